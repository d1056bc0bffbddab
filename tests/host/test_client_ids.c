/* labels: unit */
#include "host/client_ids.h"

#include "tests/host/temp_table.h"

static wh_client_ids *ids_of(const char *bytes) {
    weft_error err = {0};
    wh_table *t = NULL;
    wh_client_ids *ids = NULL;
    check_ok(temp_table(&t, "a.jsonl", bytes,
                        (wh_table_options){.text_column = "t", .client_column = "c"}, &err),
             &err);
    check_ok(wh_client_ids_build(&ids, t, &err), &err);
    wh_table_close(t);
    return ids;
}

static void sorted_whatever_the_rows(void **state) {
    (void)state;
    wh_client_ids *ids =
        ids_of("{\"t\":\"\",\"c\":\"b@x\"}\n{\"t\":\"\",\"c\":10}\n{\"t\":\"\",\"c\":\"B\"}\n"
               "{\"t\":\"\",\"c\":\"b@x\"}\n{\"t\":\"\",\"c\":9}\n");
    static const char *const names[] = {"10", "9", "B", "b@x"}; /* byte order */
    static const int64_t rows[] = {1, 1, 1, 2};
    static const int32_t of_row[] = {3, 0, 2, 3, 1};
    assert_int_equal(wh_client_ids_count(ids), 4);
    for (int32_t i = 0; i < 4; i++) {
        assert_string_equal(wh_client_ids_name(ids, i), names[i]);
        assert_int_equal(wh_client_ids_rows(ids, i), rows[i]);
    }
    assert_memory_equal(wh_client_ids_of_rows(ids), of_row, sizeof of_row);
    wh_client_ids_free(ids);
}

static void no_column(void **state) {
    (void)state;
    weft_error err = {0};
    wh_table *t = NULL;
    wh_client_ids *ids = NULL;
    check_ok(temp_table(&t, "a.csv", "t\nx\n", (wh_table_options){.text_column = "t"}, &err), &err);
    assert_int_equal(wh_client_ids_build(&ids, t, &err), WEFT_E_ARG);
    check_message(&err, "without a client column");
    assert_null(ids);
    wh_table_close(t);
    assert_int_equal(temp_table(&t, "a.jsonl", "{\"t\":\"x\",\"c\":1.5}\n",
                                (wh_table_options){.text_column = "t", .client_column = "c"}, &err),
                     WEFT_E_DATA);
    check_message(&err, "a.jsonl:1: column \"c\" is a number, expected a string or an integer");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorted_whatever_the_rows),
        cmocka_unit_test(no_column),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
