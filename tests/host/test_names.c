/* labels: unit */
#include "host/names.h"

#include "tests/check.h"

#include <string.h>

static const char *const words[] = {"b", "a", "b", "\xc3\xa9", "", "ab", "b"};

static const char *word(const void *ud, int64_t i) {
    (void)ud;
    return words[i];
}

static void distinct_in_byte_order(void **state) {
    (void)state;
    static const char *const want[] = {"", "a", "ab", "b", "\xc3\xa9"};
    static const int64_t count[] = {1, 1, 1, 3, 1};
    weft_error err = {0};
    wh_names names = {0};
    check_ok(wh_names_build(&names, 7, word, NULL, "words", &err), &err);
    assert_int_equal(names.n, 5);
    for (int32_t i = 0; i < 5; i++) {
        assert_string_equal(names.name[i], want[i]);
        assert_int_equal(names.count[i], count[i]);
        assert_int_equal(wh_names_find(&names, want[i]), i);
    }
    assert_int_equal(wh_names_find(&names, "aa"), -1);
    wh_names_free(&names);
    assert_int_equal(wh_names_find(&names, "a"), -1);
}

static void nearest(void **state) {
    (void)state;
    static const char *const list[] = {"sentence1", "sentence2", "Label", ""};
    assert_string_equal(wh_nearest("label", list, 4), "Label");
    assert_string_equal(wh_nearest("sentence", list, 4), "sentence1");
    assert_string_equal(wh_nearest("sentense2", list, 4), "sentence2");
    static const char *const verbs[] = {"brains", "train"};
    assert_string_equal(wh_nearest("tarin", verbs, 2), "train");            /* a swap is one edit */
    assert_null(wh_nearest("sitting", (const char *const[]){"kitten"}, 1)); /* 3 of 7 letters */
    assert_null(wh_nearest("score", list, 4));
    assert_null(wh_nearest("", list, 4));
    assert_null(wh_nearest("x", list, 0));
}

static void joined(void **state) {
    (void)state;
    static const char *const list[] = {"one", "two", "three"};
    char out[64];
    assert_string_equal(wh_join_names(out, sizeof out, list, 3), "one, two, three");
    assert_string_equal(wh_join_names(out, 16, list, 3), "one, two, three");
    assert_string_equal(wh_join_names(out, 15, list, 3), "one, two, …");
    assert_string_equal(wh_join_names(out, sizeof out, list, 0), "");
    for (size_t size = 1; size < 20; size++) /* never beyond the buffer, always terminated */
        assert_true(strlen(wh_join_names(out, size, list, 3)) < size);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distinct_in_byte_order),
        cmocka_unit_test(nearest),
        cmocka_unit_test(joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
