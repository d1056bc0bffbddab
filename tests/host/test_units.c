/* labels: unit */
#include "host/units.h"

#include "host/text_table.h"
#include "tests/check.h"

#include <math.h>
#include <string.h>

static char out[64];

static void bytes(void **state) {
    (void)state;
    assert_string_equal(wh_units_wire(out, sizeof out, 0), "0 B");
    assert_string_equal(wh_units_wire(out, sizeof out, 999), "999 B");
    assert_string_equal(wh_units_wire(out, sizeof out, 1000), "1.00 kB");
    assert_string_equal(wh_units_wire(out, sizeof out, 12345678), "12.3 MB");
    assert_string_equal(wh_units_wire(out, sizeof out, 999.9e6), "1.00 GB"); /* not "1000 MB" */
    assert_string_equal(wh_units_memory(out, sizeof out, 1536), "1.50 KiB");
    assert_string_equal(wh_units_memory(out, sizeof out, 1342177280), "1.25 GiB");
}

static void numbers(void **state) {
    (void)state;
    assert_string_equal(wh_units_count(out, sizeof out, 22713216), "22.7 M");
    assert_string_equal(wh_units_count(out, sizeof out, 42), "42");
    assert_string_equal(wh_units_count(out, sizeof out, (double)NAN), "-");
    assert_string_equal(wh_units_grouped(out, sizeof out, 22713216), "22,713,216");
    assert_string_equal(wh_units_grouped(out, sizeof out, 999), "999");
    assert_string_equal(wh_units_grouped(out, sizeof out, -123456), "-123,456");
    assert_string_equal(wh_units_metric(out, sizeof out, 0.5), "0.5000");
    assert_string_equal(wh_units_metric(out, sizeof out, (double)NAN), "-");
}

static void seconds(void **state) {
    (void)state;
    assert_string_equal(wh_units_seconds(out, sizeof out, 0.837), "0.84 s");
    assert_string_equal(wh_units_seconds(out, sizeof out, 59.94), "59.9 s");
    assert_string_equal(wh_units_seconds(out, sizeof out, 59.96), "1:00");
    assert_string_equal(wh_units_seconds(out, sizeof out, 3723), "1:02:03");
    assert_string_equal(wh_units_seconds(out, sizeof out, (double)INFINITY), "-");
}

static void table(void **state) {
    (void)state;
    wh_text_table t;
    wh_text text = {0};
    wh_text_table_init(&t, "lr");
    wh_text_table_cell(&t, "model");
    wh_text_table_cell(&t, "accuracy");
    wh_text_table_cell(&t, "Zürich"); /* seven bytes, six characters */
    wh_text_table_cell(&t, "%.1f", 0.5);
    wh_text_table_add(&text, &t, "> ");
    assert_string_equal(text.data, "> model   accuracy\n> Zürich       0.5\n");
    wh_text_free(&text);
    wh_text_table_fini(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes),
        cmocka_unit_test(numbers),
        cmocka_unit_test(seconds),
        cmocka_unit_test(table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
