/* labels: unit */
/* Expected numbers are what Python's repr() prints, with numpy.float32 for floats. */
#include "host/text.h"

#include "tests/host/comma_locale.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void numbers(void) {
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {1.0, "1.0"},
        {0.1, "0.1"},
        {1.0 / 3, "0.3333333333333333"},
        {2.0 / 3, "0.6666666666666666"},
        {0.1 + 0.2, "0.30000000000000004"},
        {5e-5, "5e-05"},
        {1e22, "1e+22"},
        {123456789.0, "123456789.0"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {HUGE_VAL, "inf"},
        {-HUGE_VAL, "-inf"},
    };
    char out[WH_NUMBER_TEXT];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(wh_real_text(out, cases[i].value), cases[i].text);
    assert_string_equal(wh_real_text(out, (double)NAN), "nan");
    assert_string_equal(wh_float_text(out, 0.1f), "0.1");
    assert_string_equal(wh_float_text(out, 1.0f / 3), "0.33333334");
    assert_string_equal(wh_float_text(out, FLT_MAX), "3.4028235e+38");
    assert_string_equal(wh_float_text(out, 16777216.0f), "16777216.0");
}

static void test_numbers(void **state) {
    (void)state;
    numbers();
}

static void test_numbers_in_a_locale_with_comma(void **state) {
    (void)state;
    if (!comma_locale_enter()) check_skip("no locale with a decimal comma can be made");
    numbers();
    (void)setlocale(LC_ALL, "C");
}

static void test_every_power_of_two_reads_back(void **state) {
    (void)state;
    char out[WH_NUMBER_TEXT];
    for (int e = -1074; e < 1024; e++) {
        double value = ldexp(1.0 + (e % 7) / 8.0, e);
        assert_true(strlen(wh_real_text(out, value)) < WH_NUMBER_TEXT);
        double back = strtod(out, NULL);
        assert_memory_equal(&back, &value, sizeof value);
    }
}

static void test_buffer(void **state) {
    (void)state;
    weft_error err = {0};
    wh_text text = {0};
    for (int i = 0; i < 1000; i++) wh_text_addf(&text, "%d,", i);
    check_ok(wh_text_check(&text, "a test", &err), &err);
    assert_int_equal(text.len, 10 * 2 + 90 * 3 + 900 * 4);
    wh_text_clear(&text);
    wh_text_add(&text, "x");
    char *taken = wh_text_take(&text);
    assert_string_equal(taken, "x");
    free(taken);
    taken = wh_text_take(&text);
    assert_string_equal(taken, "");
    free(taken);
    text.failed = true;
    wh_text_add(&text, "ignored");
    assert_int_equal(wh_text_check(&text, "a test", &err), WEFT_E_MEM);
    wh_text_free(&text);
}

static void test_shell_words(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"plain-_./=:,@%+9", "plain-_./=:,@%+9"},
                                           {"", "''"},
                                           {"two words", "'two words'"},
                                           {"it's", "'it'\\''s'"},
                                           {"$(a) `b` \"c\" \\ ~ # !", "'$(a) `b` \"c\" \\ ~ # !'"},
                                           {"~", "'~'"},
                                           {"a\nb", "'a\nb'"},
                                           {"\xc3\xa9", "'\xc3\xa9'"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wh_text text = {0};
        wh_text_add_shell_word(&text, cases[i][0]);
        assert_string_equal(text.data, cases[i][1]);
        wh_text_free(&text);
    }
}

static void test_path_join(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "b"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = wh_path_join(cases[i][0], cases[i][1]);
        assert_string_equal(path, cases[i][2]);
        free(path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test_setup_teardown(test_numbers_in_a_locale_with_comma, temp_setup,
                                        temp_teardown),
        cmocka_unit_test(test_every_power_of_two_reads_back),
        cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_shell_words),
        cmocka_unit_test(test_path_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
