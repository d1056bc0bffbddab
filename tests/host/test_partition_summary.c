#include "host/partition_summary.h"

#include "tests/check.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static weft_error err;

/* Client c of n holds rows(c) consecutive rows; row i has label i % n_labels. */
typedef struct bed {
    weft_partition partition;
    weft_rows rows;
    int64_t *token_offset;
} bed;

static void bed_open(bed *b, int32_t n, int64_t (*rows_of)(int32_t client), int32_t n_labels) {
    memset(b, 0, sizeof *b);
    b->partition.n_clients = n;
    b->partition.offset = calloc((size_t)n + 1, sizeof(int64_t));
    for (int32_t c = 0; c < n; c++)
        b->partition.offset[c + 1] = b->partition.offset[c] + rows_of(c);
    int64_t total = b->partition.offset[n];
    b->partition.row = calloc((size_t)total, sizeof(int32_t));
    int32_t *label = calloc((size_t)total, sizeof(int32_t));
    b->token_offset = calloc((size_t)total + 1, sizeof(int64_t));
    for (int32_t i = 0; i < total; i++) b->partition.row[i] = i, label[i] = i % n_labels;
    b->rows = (weft_rows){
        .n_rows = total, .offset = b->token_offset, .label = label, .num_labels = n_labels};
}

static void bed_close(bed *b) {
    free(b->partition.offset);
    free(b->partition.row);
    free((void *)(uintptr_t)b->rows.label);
    free(b->token_offset);
}

static json_t *summary_of(const bed *b, const char *(*name)(const void *, int32_t)) {
    json_t *json = NULL;
    check_ok(wh_partition_summary(&json, &b->partition, &b->rows, name, NULL, &err), &err);
    return json;
}

static int64_t at(const json_t *object, const char *key) {
    return (int64_t)json_integer_value(json_object_get(object, key));
}

static int64_t item(const json_t *array, int i) {
    return (int64_t)json_integer_value(json_array_get(array, (size_t)i));
}

static int64_t five_three_nine(int32_t c) {
    return c == 0 ? 5 : c == 1 ? 3 : 9;
}

static const char *letters(const void *ud, int32_t label) {
    (void)ud;
    static const char *const NAME[] = {"a", "b"};
    return label < 2 ? NAME[label] : NULL;
}

static void test_small(void **state) {
    (void)state;
    bed b;
    bed_open(&b, 3, five_three_nine, 3);
    json_t *s = summary_of(&b, letters);
    assert_int_equal(at(s, "n_clients"), 3);
    assert_int_equal(at(s, "rows"), 17);
    assert_int_equal(at(s, "rows_min"), 3);
    assert_int_equal(at(s, "rows_median"), 5);
    assert_int_equal(at(s, "rows_max"), 9);
    assert_int_equal(at(s, "n_labels"), 3);
    const json_t *labels = json_object_get(s, "labels"), *clients = json_object_get(s, "clients");
    assert_string_equal(json_string_value(json_array_get(labels, 1)), "b");
    assert_string_equal(json_string_value(json_array_get(labels, 2)), "2");
    static const int64_t CLIENT[] = {2, 0, 1}, ROWS[] = {9, 5, 3};
    static const int64_t LABEL_ROWS[3][3] = {{3, 3, 3}, {2, 2, 1}, {1, 1, 1}};
    assert_int_equal(json_array_size(clients), 3);
    for (int i = 0; i < 3; i++) {
        const json_t *c = json_array_get(clients, (size_t)i);
        assert_int_equal(at(c, "client"), CLIENT[i]);
        assert_int_equal(at(c, "rows"), ROWS[i]);
        for (int k = 0; k < 3; k++)
            assert_int_equal(item(json_object_get(c, "label_rows"), k), LABEL_ROWS[i][k]);
    }
    json_decref(s);
    b.rows.label = (free((void *)(uintptr_t)b.rows.label), NULL); /* regression */
    b.rows.num_labels = 1;
    s = summary_of(&b, NULL);
    assert_null(json_object_get(s, "labels"));
    assert_null(json_object_get(json_array_get(json_object_get(s, "clients"), 0), "label_rows"));
    assert_int_equal(json_array_size(json_object_get(s, "clients")), 3);
    json_decref(s);
    bed_close(&b);
}

static int64_t varied(int32_t c) {
    return 1 + (c * 7919) % 4;
}

/* Many clients and labels: bounded, largest and smallest client shown, nothing lost in sums. */
static void test_bounded(void **state) {
    (void)state;
    bed b;
    bed_open(&b, 20000, varied, 1000);
    json_t *s = summary_of(&b, NULL);
    const json_t *clients = json_object_get(s, "clients");
    size_t n = json_array_size(clients);
    assert_int_equal(n, WH_SHOWN_CLIENTS);
    assert_int_equal(at(json_array_get(clients, 0), "rows"), at(s, "rows_max"));
    assert_int_equal(at(json_array_get(clients, n - 1), "rows"), at(s, "rows_min"));
    for (size_t i = 0; i < n; i++) {
        const json_t *c = json_array_get(clients, i);
        if (i > 0) assert_true(at(c, "rows") <= at(json_array_get(clients, i - 1), "rows"));
        int64_t sum = 0;
        assert_int_equal(json_array_size(json_object_get(c, "label_rows")), WH_SHOWN_LABELS);
        for (int k = 0; k < WH_SHOWN_LABELS; k++) sum += item(json_object_get(c, "label_rows"), k);
        assert_int_equal(sum, at(c, "rows"));
    }
    assert_int_equal(at(s, "n_labels"), 1000);
    const json_t *labels = json_object_get(s, "labels");
    assert_int_equal(json_array_size(labels), WH_SHOWN_LABELS);
    assert_string_equal(json_string_value(json_array_get(labels, WH_SHOWN_LABELS - 1)),
                        "981 others");
    int64_t total = 0;
    for (int k = 0; k < WH_SHOWN_LABELS; k++) total += item(json_object_get(s, "label_rows"), k);
    assert_int_equal(total, at(s, "rows"));
    json_decref(s);
    bed_close(&b);
}

/* The most frequent labels are the ones shown, in class order. */
static void test_frequent_labels(void **state) {
    (void)state;
    bed b;
    bed_open(&b, 3, five_three_nine, 1);
    int32_t *label = (int32_t *)(uintptr_t)b.rows.label;
    static const int32_t LABEL[17] = {30, 30, 30, 29, 29, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    memcpy(label, LABEL, sizeof LABEL);
    b.rows.num_labels = 31;
    json_t *s = summary_of(&b, NULL);
    const json_t *labels = json_object_get(s, "labels"), *rows = json_object_get(s, "label_rows");
    assert_string_equal(json_string_value(json_array_get(labels, WH_SHOWN_LABELS - 2)), "30");
    assert_string_equal(json_string_value(json_array_get(labels, WH_SHOWN_LABELS - 3)), "29");
    assert_string_equal(json_string_value(json_array_get(labels, WH_SHOWN_LABELS - 1)),
                        "12 others");
    assert_int_equal(item(rows, WH_SHOWN_LABELS - 2), 3);
    assert_int_equal(item(rows, WH_SHOWN_LABELS - 3), 2);
    assert_int_equal(item(rows, WH_SHOWN_LABELS - 1), 0);
    json_decref(s);
    bed_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_frequent_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
