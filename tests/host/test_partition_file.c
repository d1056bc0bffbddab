/* labels: unit */
#include "host/partition_file.h"

#include "host/atomic_file.h"
#include "tests/host/temp_folder.h"

#include <errno.h>
#include <math.h>

static weft_error err;

/* The known checksums are zlib.crc32 of struct.pack("<6i", 0, 1, 2, 0, 1, 2) and of
 * struct.pack("<2f", 0.5, -1). */
static int32_t labels[] = {0, 1, 2, 0, 1, 2};
static weft_rows rows = {.n_rows = 6, .label = labels, .num_labels = 3};
static int64_t offset[] = {0, 2, 3, 6};
static int32_t row[] = {0, 3, 5, 1, 2, 4};
static weft_partition split = {.n_clients = 3, .offset = offset, .row = row};
static wh_partition_note note = {
    .kind = "dirichlet", .seed = UINT64_MAX, .alpha = 0.5, .min_rows = 1};

static void test_checksum(void **state) {
    (void)state;
    static const float targets[] = {0.5f, -1.0f};
    const weft_rows regression = {.n_rows = 2, .target = targets, .num_labels = 1};
    assert_int_equal(wh_label_crc(&rows), 0x27a51c10u);
    assert_int_equal(wh_label_crc(&regression), 0x260ec668u);
}

static void test_round_trip(void **state) {
    (void)state;
    weft_partition *back = NULL;
    check_ok(wh_partition_save(temp_path("p.json"), &split, &rows, &note, &err), &err);
    check_ok(wh_partition_load(&back, temp_path("p.json"), &rows, &err), &err);
    assert_int_equal(back->n_clients, 3);
    assert_memory_equal(back->offset, offset, sizeof offset);
    assert_memory_equal(back->row, row, sizeof row);
    wh_partition_free(back);
    char *a = temp_read(temp_path("p.json"), NULL);
    assert_non_null(strstr(a, "\"seed\": 18446744073709551615,\n  \"alpha\": 0.5,"));
    check_ok(wh_partition_save(temp_path("q.json"), &split, &rows, &note, &err), &err);
    assert_file(temp_path("q.json"), a);
    free(a);
}

#define HEAD "{\"format\": \"weft.partition\", \"version\": 1, \"n_rows\": 6, "

static void test_bad_files(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "JSON object"},
        {"{\"a\":", "p.json:1:"},
        {"{}", "format is missing"},
        {"{\"format\": \"x\"}", "format is \"x\""},
        {"{\"format\": \"weft.partition\", \"version\": 2}", "version is 2"},
        {"{\"format\": \"weft.partition\", \"version\": 1, \"n_rows\": 7}",
         "made for 7 training rows, the data has 6"},
        {HEAD "\"labels_crc32\": 1, \"rows_of_client\": [[0]]}", "made for other labels"},
        {HEAD "\"x\": 0}", "rows_of_client is missing"},
        {HEAD "\"rows_of_client\": {}}", "an array"},
        {HEAD "\"rows_of_client\": []}", "0 clients for 6 rows"},
        {HEAD "\"rows_of_client\": [[0],[1],[2],[3],[4],[5],[0]]}", "7 clients for 6 rows"},
        {HEAD "\"rows_of_client\": [[0], []]}", "client 1 holds no rows"},
        {HEAD "\"rows_of_client\": [3]}", "client 0 holds no rows"},
        {HEAD "\"rows_of_client\": [[0, 6]]}", "client 0 lists row 6, rows go from 0 to 5"},
        {HEAD "\"rows_of_client\": [[-1]]}", "lists row -1"},
        {HEAD "\"rows_of_client\": [[1.5]]}", "lists row 1.5"},
        {HEAD "\"rows_of_client\": [[1], [2, 1]]}", "row 1 is listed twice, for clients 0 and 1"},
    };
    weft_partition *p = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        temp_text(temp_path("p.json"), cases[i].text);
        check_fails(wh_partition_load(&p, temp_path("p.json"), &rows, &err), WEFT_E_DATA, &err,
                    cases[i].message);
        assert_null(p);
    }
    temp_text(temp_path("p.json"), HEAD "\"rows_of_client\": [[5, 0], [3]]}");
    check_ok(wh_partition_load(&p, temp_path("p.json"), &rows, &err), &err);
    assert_int_equal(p->row[0], 0); /* sorted */
    assert_int_equal(p->offset[2], 3);
    wh_partition_free(p);
    check_fails(wh_partition_load(&p, temp_path("none"), &rows, &err), WEFT_E_DATA, &err,
                "No such file");
    wh_file_fault(2, ENOSPC);
    weft_status st = wh_partition_save(temp_path("new.json"), &split, &rows, &note, &err);
    wh_file_fault(0, 0);
    check_fails(st, WEFT_E_OUTPUT, &err, "new.json: No space left");
    assert_false(temp_exists(temp_path("new.json")));
}

static void test_table(void **state) {
    (void)state;
    FILE *out = fopen(temp_path("t"), "w");
    assert_non_null(out);
    check_ok(wh_partition_print(out, &split, &rows, "dirichlet", &err), &err);
    assert_int_equal(fclose(out), 0);
    assert_file(temp_path("t"), "partition: dirichlet, 3 clients, 6 of 6 rows\n"
                                "  rows               min 1       median 2       max 3\n"
                                "  classes            min 1       median 1       max 2\n"
                                "  top label's share  min 66.67   median 100     max 100 %\n"
                                "  client     rows  rows per label\n"
                                "       0        2  2 0 0\n"
                                "       1        1  0 0 1\n"
                                "       2        3  0 2 1\n");
    enum { MANY = 1000 };
    static int64_t offsets[MANY + 1];
    static int32_t many_rows[MANY], many_labels[MANY];
    for (int32_t i = 0; i < MANY; i++)
        offsets[i + 1] = i + 1, many_rows[i] = i, many_labels[i] = i % 77;
    const weft_rows wide = {.n_rows = MANY, .label = many_labels, .num_labels = 77};
    const weft_partition many = {.n_clients = MANY, .offset = offsets, .row = many_rows};
    out = fopen(temp_path("t"), "w");
    assert_non_null(out);
    check_ok(wh_partition_print(out, &many, &wide, "iid", &err), &err);
    assert_int_equal(fclose(out), 0);
    char *text = temp_read(temp_path("t"), NULL);
    int lines = 0;
    for (const char *s = text; *s; s++) lines += *s == '\n';
    assert_true(lines <= 20);
    assert_non_null(strstr(text, "... 990 more"));
    free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksum),
        TEST(test_round_trip),
        TEST(test_bad_files),
        TEST(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
