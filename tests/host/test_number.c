/* labels: unit */
#include "host/number.h"

#include "tests/host/comma_locale.h"

#include <locale.h>
#include <string.h>

static void integers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        wh_number status;
        int64_t value;
    } cases[] = {
        {"0", WH_NUMBER_OK, 0},
        {"-12", WH_NUMBER_OK, -12},
        {"+007", WH_NUMBER_OK, 7},
        {"9223372036854775807", WH_NUMBER_OK, INT64_MAX},
        {"-9223372036854775808", WH_NUMBER_OK, INT64_MIN},
        {"9223372036854775808", WH_NUMBER_RANGE, 0},
        {"-9223372036854775809", WH_NUMBER_RANGE, 0},
        {"99999999999999999999999", WH_NUMBER_RANGE, 0},
        {"", WH_NUMBER_MALFORMED, 0},
        {"-", WH_NUMBER_MALFORMED, 0},
        {"1 ", WH_NUMBER_MALFORMED, 0},
        {" 1", WH_NUMBER_MALFORMED, 0},
        {"1.0", WH_NUMBER_MALFORMED, 0},
        {"0x1", WH_NUMBER_MALFORMED, 0},
        {"--1", WH_NUMBER_MALFORMED, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t value = 0;
        if (wh_parse_int64(cases[i].text, &value) != cases[i].status || value != cases[i].value)
            fail_msg("\"%s\"", cases[i].text);
    }
}

static void doubles_here(void) {
    static const struct {
        const char *text;
        wh_number status;
        double value; /* as the compiler reads it */
    } cases[] = {
        {"1", WH_NUMBER_OK, 1.0},
        {"-.5", WH_NUMBER_OK, -0.5},
        {"5.", WH_NUMBER_OK, 5.0},
        {"3.25e2", WH_NUMBER_OK, 325.0},
        {"0.1", WH_NUMBER_OK, 0.1},
        {"1e-400", WH_NUMBER_OK, 0.0},
        {"1.7976931348623157e308", WH_NUMBER_OK, 1.7976931348623157e308},
        {"1e309", WH_NUMBER_RANGE, 0},
        {"", WH_NUMBER_MALFORMED, 0},
        {".", WH_NUMBER_MALFORMED, 0},
        {"1,5", WH_NUMBER_MALFORMED, 0},
        {"1e", WH_NUMBER_MALFORMED, 0},
        {"inf", WH_NUMBER_MALFORMED, 0},
        {"nan", WH_NUMBER_MALFORMED, 0},
        {"0x1p3", WH_NUMBER_MALFORMED, 0},
        {"1 ", WH_NUMBER_MALFORMED, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double value = 0;
        if (wh_parse_double(cases[i].text, &value) != cases[i].status ||
            memcmp(&value, &cases[i].value, sizeof value) != 0)
            fail_msg("\"%s\" gives %.17g", cases[i].text, value);
    }
    char text[WH_NUMBER_TEXT];
    assert_string_equal(wh_format_double(text, 1.0), "1");
    assert_string_equal(wh_format_double(text, 0.1), "0.1");
    assert_string_equal(wh_format_double(text, -2.5e-10), "-2.5e-10");
    assert_string_equal(wh_format_double(text, 0.1 + 0.2), "0.30000000000000004");
}

static void doubles(void **state) {
    (void)state;
    doubles_here();
}

static void doubles_in_another_locale(void **state) {
    (void)state;
    if (!comma_locale_enter()) check_skip("no locale with a decimal comma can be made");
    doubles_here();
    assert_non_null(setlocale(LC_ALL, "C"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),
        cmocka_unit_test(doubles),
        cmocka_unit_test_setup_teardown(doubles_in_another_locale, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
