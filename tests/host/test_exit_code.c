/* labels: unit */
#include "host/exit_code.h"

#include "tests/check.h"

#include <string.h>

/* The documented table, number for number. */
static void codes(void **state) {
    (void)state;
    static const struct {
        weft_status status;
        int code;
    } CASES[] = {
        {WEFT_OK, 0},     {WEFT_E_ARG, 1},    {WEFT_E_SHAPE, 1},    {WEFT_E_CONFIG, 2},
        {WEFT_E_DATA, 3}, {WEFT_E_MEM, 4},    {WEFT_E_DIVERGED, 5}, {WEFT_E_DEVICE, 6},
        {WEFT_E_COMM, 6}, {WEFT_E_RESUME, 7}, {WEFT_E_OUTPUT, 8},   {WEFT_E_UNSUPPORTED, 3},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        assert_int_equal(wh_exit_code(CASES[i].status, 0, true), CASES[i].code);
    }
    assert_int_equal(wh_exit_code(WEFT_E_STOPPED, 2, false), 130);
    assert_int_equal(wh_exit_code(WEFT_E_STOPPED, 15, false), 143);
    assert_int_equal(wh_exit_code(WEFT_E_STOPPED, 15, true), 75);
    /* A signal that came after the work was done changes nothing. */
    assert_int_equal(wh_exit_code(WEFT_OK, 2, false), 0);
    assert_int_equal(wh_exit_code(WEFT_E_DATA, 15, false), 3);
}

/* What a parent makes of the code of a child ends it with the same code. */
static void codes_of_children(void **state) {
    (void)state;
    for (int code = 0; code <= 8; code++)
        assert_int_equal(wh_exit_code(wh_exit_status(code), 0, true), code);
    assert_int_equal(wh_exit_code(wh_exit_status(75), 0, true), 75);
    assert_int_equal(wh_exit_code(wh_exit_status(128 + 9), 0, true), 4);
    assert_int_equal(wh_exit_code(wh_exit_status(128 + 11), 0, true), 1);
    assert_int_equal(wh_exit_code(wh_exit_status(127), 0, true), 1);
}

static void line(void **state) {
    (void)state;
    char out[64];
    weft_error err = {0};
    (void)WEFT_FAIL(&err, WEFT_E_DATA, "rows.csv:3: two\nlines");
    wh_exit_line(out, sizeof out, WEFT_E_DATA, &err);
    assert_string_equal(out, "weft: error: rows.csv:3: two?lines\n");
    wh_exit_line(out, sizeof out, WEFT_E_MEM, NULL);
    assert_string_equal(out, "weft: error: out of memory\n");
    (void)WEFT_FAIL(&err, WEFT_E_DATA, "%0100d", 7);
    wh_exit_line(out, sizeof out, WEFT_E_DATA, &err);
    assert_int_equal(strlen(out), sizeof out - 1);
    assert_int_equal(out[sizeof out - 2], '\n');
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(codes), cmocka_unit_test(codes_of_children),
                                       cmocka_unit_test(line)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
