/* labels: unit */
#include "tests/check.h"

#include "engine/parse.h"

#include <locale.h>
#include <string.h>

static void integers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        we_parse status;
        int64_t value;
    } cases[] = {
        {"0", WE_PARSE_OK, 0},
        {"-0", WE_PARSE_OK, 0},
        {"+7", WE_PARSE_OK, 7},
        {"-12", WE_PARSE_OK, -12},
        {"007", WE_PARSE_OK, 7},
        {"9223372036854775807", WE_PARSE_OK, INT64_MAX},
        {"-9223372036854775808", WE_PARSE_OK, INT64_MIN},
        {"9223372036854775808", WE_PARSE_RANGE, 0},
        {"-9223372036854775809", WE_PARSE_RANGE, 0},
        {"99999999999999999999999", WE_PARSE_RANGE, 0},
        {"", WE_PARSE_MALFORMED, 0},
        {"-", WE_PARSE_MALFORMED, 0},
        {" 1", WE_PARSE_MALFORMED, 0},
        {"1 ", WE_PARSE_MALFORMED, 0},
        {"1.0", WE_PARSE_MALFORMED, 0},
        {"1e3", WE_PARSE_MALFORMED, 0},
        {"0x10", WE_PARSE_MALFORMED, 0},
        {"--1", WE_PARSE_MALFORMED, 0},
        {"99999999999999999999999x", WE_PARSE_MALFORMED, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t value = 42;
        assert_int_equal(we_parse_i64(cases[i].text, &value), cases[i].status);
        assert_true(value == (cases[i].status == WE_PARSE_OK ? cases[i].value : 42));
    }
    uint64_t u = 0;
    assert_int_equal(we_parse_u64("18446744073709551615", &u), WE_PARSE_OK);
    assert_true(u == UINT64_MAX);
    assert_int_equal(we_parse_u64("18446744073709551616", &u), WE_PARSE_RANGE);
    assert_int_equal(we_parse_u64("-1", &u), WE_PARSE_MALFORMED);
    assert_true(u == UINT64_MAX);
}

static void doubles(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double value;
    } good[] = {{"1", 1},
                {"-.5", -0.5},
                {"5.", 5},
                {"+1e-3", 1e-3},
                {"1E+2", 100},
                {"0.1", 0.1},
                {"1e-400", 0},
                {"4.9406564584124654e-324", 4.9406564584124654e-324},
                {"1.7976931348623157e308", 1.7976931348623157e308}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        double value = 42;
        assert_int_equal(we_parse_f64(good[i].text, &value), WE_PARSE_OK);
        assert_true(value == good[i].value);
    }
    static const char *const bad[] = {"",    ".",     "e3", "1e", "1e+", "nan", "inf", "0x1p3",
                                      "1,5", "1.2.3", " 1", "1 ", "1f",  "--1", "1_0", "infinity"};
    double value = 42;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(we_parse_f64(bad[i], &value), WE_PARSE_MALFORMED);
    assert_int_equal(we_parse_f64("1e309", &value), WE_PARSE_RANGE);
    assert_int_equal(we_parse_f64("-1e400", &value), WE_PARSE_RANGE);
    assert_true(value == 42);
}

static void doubles_as_text(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{1, "1"},         {0.1, "0.1"},   {1e-3, "0.001"},
                 {1e-8, "1e-08"},  {-2.5, "-2.5"}, {0.1 + 0.2, "0.30000000000000004"},
                 {1e6, "1000000"}, {0, "0"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[WE_F64_TEXT];
        we_format_f64(text, cases[i].value);
        assert_string_equal(text, cases[i].text);
    }
    /* Every double comes back. */
    uint64_t bits = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17; /* xorshift64, Marsaglia 2003 */
        double value = 0, back = 0;
        uint64_t finite = bits & ~(1ull << 62);
        memcpy(&value, &finite, sizeof value);
        char text[WE_F64_TEXT];
        we_format_f64(text, value);
        assert_int_equal(we_parse_f64(text, &back), WE_PARSE_OK);
        assert_true(back == value);
    }
}

static void numbers_in_a_comma_locale(void **state) {
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8", "fr_FR.utf8"};
    const char *found = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++)
        found = setlocale(LC_NUMERIC, names[i]);
    if (!found) check_skip("no locale with a decimal comma is installed");
    double value = 0, untouched = 0;
    char text[WE_F64_TEXT];
    we_parse point = we_parse_f64("1.5e-3", &value), comma = we_parse_f64("1,5", &untouched);
    we_format_f64(text, 0.25);
    setlocale(LC_NUMERIC, "C");
    assert_int_equal(point, WE_PARSE_OK);
    assert_int_equal(comma, WE_PARSE_MALFORMED);
    assert_true(value == 1.5e-3);
    assert_string_equal(text, "0.25");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),
        cmocka_unit_test(doubles),
        cmocka_unit_test(doubles_as_text),
        cmocka_unit_test(numbers_in_a_comma_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
