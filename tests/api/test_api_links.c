/* labels: unit */
/* A program that sees only weft.h and links only the libraries. */
#include "engine/weft.h"

#include "tests/check.h"

#include <string.h>

static void test_options_are_listed(void **state) {
    (void)state;
    assert_true(weft_option_count() > 50);
    assert_null(weft_option_at(weft_option_count()));
    for (size_t i = 0; i < weft_option_count(); i++) {
        const weft_option *o = weft_option_at(i);
        assert_ptr_equal(weft_option_find(o->key, NULL), o);
        assert_true(strlen(o->help) > 4);
    }
}

static void test_null_handles_are_fine(void **state) {
    (void)state;
    weft_engine_close(NULL);
    weft_config_free(NULL);
    weft_partition_free(NULL);
}

static void test_every_status_has_a_text(void **state) {
    (void)state;
#define X(name, num, text) assert_string_equal(weft_status_str(WEFT_##name), text);
    WEFT_STATUS_MAP(X)
#undef X
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_are_listed),
        cmocka_unit_test(test_null_handles_are_fine),
        cmocka_unit_test(test_every_status_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
