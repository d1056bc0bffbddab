/* labels: unit */
#include "tests/host/temp_table.h"

#define TEXT_LABEL                                                                                 \
    (wh_table_options) {                                                                           \
        .text_column = "text", .label_column = "label"                                             \
    }

static void text_is(const wh_table *t, int64_t row, const char *want, size_t n) {
    size_t length = 0;
    const char *text = wh_table_text(t, row, &length);
    assert_int_equal(length, n);
    assert_memory_equal(text, want, n + 1);
}

/* Rows in the columns of known public sets: what a user brings. */
static void known_forms(void **state) {
    (void)state;
    static const struct {
        const char *file, *bytes;
        wh_table_options options;
        int64_t rows;
        const char *text, *pair, *label, *client; /* of the last row */
    } cases[] = {
        {"sst2.tsv",
         "sentence\tlabel\nhide new secretions \t0\nsays \"so\" , \"no \t1\n",
         {.text_column = "sentence", .label_column = "label"},
         2,
         "says \"so\" , \"no ",
         NULL,
         "1",
         NULL},
        {"mrpc.tsv",
         "\xef\xbb\xbfQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t70\t71\tHe said "
         "\"a\".\tShe .\r\n",
         {.text_column = "#1 String", .text_pair_column = "#2 String", .label_column = "Quality"},
         1,
         "He said \"a\".",
         "She .",
         "1",
         NULL},
        {"stsb.tsv",
         "index\tgenre\tsentence1\tsentence2\tscore\n0\tnews\tA plane\tAn air plane\t5.000\n",
         {.text_column = "sentence1", .text_pair_column = "sentence2", .label_column = "score"},
         1,
         "A plane",
         "An air plane",
         "5.000",
         NULL},
        {"ag.csv",
         "Class Index,Title,Description\n3,\"Wall St. \"\"Bears\"\"\",\"Short, sellers\"\n",
         {.text_column = "Description", .text_pair_column = "Title", .label_column = "Class Index"},
         1,
         "Short, sellers",
         "Wall St. \"Bears\"",
         "3",
         NULL},
        {"banking.csv",
         "text,category\nI am still waiting,card_arrival\n\"What can I do, if\n\nit\r\nis "
         "late?\",x\n",
         {.text_column = "text", .label_column = "category"},
         2,
         "What can I do, if\n\nit\r\nis late?",
         NULL,
         "x",
         NULL},
        {"dolly.jsonl",
         "{\"instruction\": \"When?\", \"context\": \"\", \"response\": \"In 2000\\n\", "
         "\"category\": \"closed_qa\"}\n",
         {.text_column = "instruction",
          .text_pair_column = "response",
          .label_column = "category",
          .client_column = "category"},
         1,
         "When?",
         "In 2000\n",
         "closed_qa",
         "closed_qa"},
        {"labels.jsonl",
         "{\"t\":\"a\",\"l\":true,\"c\":7}\r\n\n  \n{\"t\":\"\\u00e9\",\"l\":-0.5,\"c\":\"u\"}",
         {.text_column = "t", .label_column = "l", .client_column = "c"},
         2,
         "\xc3\xa9",
         NULL,
         "-0.5",
         "u"},
        {"no_newline.CSV",
         "text,label\na,b",
         {.text_column = "text", .label_column = "label"},
         1,
         "a",
         NULL,
         "b",
         NULL},
        {"empty_text.csv",
         "label,text\nb,\n\nc,\"\"\n",
         {.text_column = "text", .label_column = "label"},
         2,
         "",
         NULL,
         "c",
         NULL},
        {"bytes.csv",
         "text\n\xff\xfe ok\n",
         {.text_column = "text"},
         1,
         "\xff\xfe ok",
         NULL,
         NULL,
         NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weft_error err = {0};
        wh_table *t = NULL;
        check_ok(temp_table(&t, cases[i].file, cases[i].bytes, cases[i].options, &err), &err);
        assert_int_equal(wh_table_rows(t), cases[i].rows);
        int64_t last = cases[i].rows - 1;
        text_is(t, last, cases[i].text, strlen(cases[i].text));
        const char *got[3] = {wh_table_text_pair(t, last, NULL), wh_table_label(t, last),
                              wh_table_client(t, last)};
        const char *want[3] = {cases[i].pair, cases[i].label, cases[i].client};
        for (int k = 0; k < 3; k++) {
            if (want[k])
                assert_string_equal(got[k], want[k]);
            else
                assert_null(got[k]);
        }
        wh_table_close(t);
    }
}

static void json_values(void **state) {
    (void)state;
    weft_error err = {0};
    wh_table *t = NULL;
    check_ok(temp_table(&t, "a.jsonl",
                        "{\"text\":\"a\\u0000b\",\"label\":3}\n{\"text\":\"\",\"label\":false}\n"
                        "{\"text\":\"x\",\"label\":1.0}\n{\"text\":\"y\",\"label\":0.1}\n",
                        TEXT_LABEL, &err),
             &err);
    text_is(t, 0, "a\0b", 3);
    assert_string_equal(wh_table_label(t, 0), "3");
    assert_string_equal(wh_table_label(t, 1), "false");
    assert_string_equal(wh_table_label(t, 2), "1");
    assert_string_equal(wh_table_label(t, 3), "0.1");
    assert_int_equal(wh_table_line(t, 3), 4);
    wh_table_close(t);
}

/* Every bad input: status and the words of its one line. */
static void bad_inputs(void **state) {
    (void)state;
    static const struct {
        const char *file, *bytes, *words;
        weft_status status;
    } cases[] = {
        {"a.jsonl", "{\"text\":\"a\",\"label\":0}\n{\"text\": \n", "a.jsonl:2: not JSON",
         WEFT_E_DATA},
        {"a.jsonl", "{\"text\":\"\xff\",\"label\":0}\n", "a.jsonl:1: not JSON", WEFT_E_DATA},
        {"a.jsonl", "{\"text\":\"a\",\"text\":\"b\",\"label\":0}\n", "a.jsonl:1: not JSON",
         WEFT_E_DATA},
        {"a.jsonl", "\n\n{\"texts\":\"a\",\"label\":0}\n",
         "a.jsonl:3: no column \"text\"; there are: texts, label (did you mean \"texts\"?)",
         WEFT_E_DATA},
        {"a.jsonl", "{\"text\":5,\"label\":0}\n",
         "a.jsonl:1: column \"text\" is a number, expected a string", WEFT_E_DATA},
        {"a.jsonl", "{\"text\":\"a\",\"label\":null}\n", "column \"label\" is null, expected",
         WEFT_E_DATA},
        {"a.jsonl", "{\"text\":\"a\",\"label\":[1]}\n", "column \"label\" is an array",
         WEFT_E_DATA},
        {"a.jsonl", "{\"text\":\"a\",\"label\":\"\"}\n",
         "a.jsonl:1: the label (column \"label\") is empty", WEFT_E_DATA},
        {"a.jsonl", "{\"text\":\"a\",\"label\":\"x\\u0000\"}\n", "holds a NUL byte", WEFT_E_DATA},
        {"a.jsonl", "{\"text\":\"a\",\"label\":1e999}\n", "a.jsonl:1: not JSON", WEFT_E_DATA},
        {"a.jsonl", "7\n", "a.jsonl:1: a number, expected a JSON object", WEFT_E_DATA},
        {"a.json", "[\n{\"text\":\"a\",\"label\":0}\n]\n", "a JSON array; one object per line",
         WEFT_E_DATA},
        {"a.json", "[{\"text\":\"a\",\"label\":0}]\n", "a JSON array; one object per line",
         WEFT_E_DATA},
        {"a.jsonl", "", "a.jsonl: the file is empty", WEFT_E_DATA},
        {"a.jsonl", "\n\n", "a.jsonl: the file has no rows", WEFT_E_DATA},
        {"a.csv", "", "a.csv: the file is empty", WEFT_E_DATA},
        {"a.csv", "text,label\r\n", "a.csv: the file has no rows", WEFT_E_DATA},
        {"a.csv", "text,lable\nx,y\n",
         "a.csv:1: no column \"label\"; there are: text, lable (did you mean \"lable\"?)",
         WEFT_E_DATA},
        {"a.csv", "id,when\nx,y\n", "a.csv:1: no column \"text\"; there are: id, when",
         WEFT_E_DATA},
        {"a.csv", "text,label,text\nx,y,z\n", "column \"text\" stands 2 times in the header",
         WEFT_E_DATA},
        {"a.csv", "text,label\nx,y\n\"a\nb\",1,2\n", "a.csv:3: 3 fields, the header has 2",
         WEFT_E_DATA},
        {"a.csv", "text,label\nx\n", "a.csv:2: 1 fields, the header has 2", WEFT_E_DATA},
        {"a.csv", "text,label\n\"a\"b,1\n", "a.csv:2: text after a closing quote", WEFT_E_DATA},
        {"a.csv", "text,label\nx,y\n\"a,1\nb,2\n", "a.csv:3: a quote in this row is never closed",
         WEFT_E_DATA},
        {"a.csv", "text,label\nx,\n", "a.csv:2: the label (column \"label\") is empty",
         WEFT_E_DATA},
        {"a.tsv", "text\tlabel\nx\ty\tz\n", "a.tsv:2: 3 fields, the header has 2", WEFT_E_DATA},
        {"a.parquet", "PAR1", "the extension says no known format", WEFT_E_CONFIG},
        {"noextension", "x", "the extension says no known format", WEFT_E_CONFIG},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weft_error err = {0};
        wh_table *t = NULL;
        weft_status st = temp_table(&t, cases[i].file, cases[i].bytes, TEXT_LABEL, &err);
        if (st != cases[i].status) fail_msg("case %zu: status %d: %s", i, (int)st, err.text);
        assert_null(t);
        check_message(&err, cases[i].words);
    }
}

static void bad_files(void **state) {
    (void)state;
    weft_error err = {0};
    wh_table *t = NULL;
    wh_table_options o = {.path = "/nonexistent/rows.csv", .text_column = "text"};
    assert_int_equal(wh_table_open(&t, &o, &err), WEFT_E_DATA);
    check_message(&err, "/nonexistent/rows.csv: cannot be opened: No such file");
    o.path = temp_folder;
    o.format = WH_TABLE_CSV;
    assert_int_equal(wh_table_open(&t, &o, &err), WEFT_E_DATA);
    check_message(&err, "cannot be read: Is a directory");
    o.path = "rows.csv";
    o.text_column = "";
    assert_int_equal(wh_table_open(&t, &o, &err), WEFT_E_CONFIG);
    check_message(&err, "no text column");
    o.path = NULL;
    assert_int_equal(wh_table_open(&t, &o, &err), WEFT_E_CONFIG);
    assert_null(t);
}

static void skipping(void **state) {
    (void)state;
    weft_error err = {0};
    wh_table *t = NULL;
    wh_table_options o = TEXT_LABEL;
    o.skip_bad_rows = true;
    check_ok(temp_table(&t, "a.csv", "text,label\na,1\nbad\n\"x\"y,2\nb,3\nc,\n", o, &err), &err);
    assert_int_equal(wh_table_rows(t), 2);
    assert_int_equal(wh_table_skipped(t), 3);
    assert_non_null(strstr(wh_table_first_skipped(t), "a.csv:3: 1 fields, the header has 2"));
    text_is(t, 1, "b", 1);
    assert_int_equal(wh_table_line(t, 1), 5);
    wh_table_close(t);
    t = NULL;
    check_ok(temp_table(&t, "a.jsonl", "x\n{\"text\":\"a\",\"label\":0}\n{}\n", o, &err), &err);
    assert_int_equal(wh_table_rows(t), 1);
    assert_int_equal(wh_table_skipped(t), 2);
    wh_table_close(t);
    t = NULL;
    assert_int_equal(temp_table(&t, "a.jsonl", "{}\n{\"a\":1}\n", o, &err), WEFT_E_DATA);
    check_message(&err, "all 2 rows are bad; the first: ");
    /* An open quote would swallow the rest of the file: never skipped. */
    assert_int_equal(temp_table(&t, "a.csv", "text,label\na,1\n\"b,2\nc,3\n", o, &err),
                     WEFT_E_DATA);
    check_message(&err, "a.csv:3: a quote in this row is never closed");
    assert_null(t);
}

static void max_rows(void **state) {
    (void)state;
    weft_error err = {0};
    wh_table *t = NULL;
    wh_table_options o = TEXT_LABEL;
    o.max_rows = 2;
    check_ok(temp_table(&t, "a.csv", "text,label\na,1\nb,2\nragged\n", o, &err), &err);
    assert_int_equal(wh_table_rows(t), 2);
    wh_table_close(t);
    t = NULL;
    check_ok(temp_table(&t, "a.jsonl",
                        "{\"text\":\"a\",\"label\":0}\n{\"text\":\"b\",\"label\":0}\nnot json\n", o,
                        &err),
             &err);
    assert_int_equal(wh_table_rows(t), 2);
    wh_table_close(t);
}

/* A text of `bytes` letters in a JSON line or a CSV row. */
static weft_status open_long(wh_table **t, const char *file, size_t bytes, weft_error *err) {
    bool csv = strstr(file, ".csv") != NULL;
    const char *head = csv ? "text,label\n" : "{\"label\":1,\"text\":\"",
               *tail = csv ? ",1\nend,1\n" : "\"}\n";
    char *all = malloc(bytes + 64);
    assert_non_null(all);
    size_t n = strlen(head);
    memcpy(all, head, n);
    memset(all + n, 'x', bytes);
    memcpy(all + n + bytes, tail, strlen(tail));
    weft_status st = temp_table_n(t, file, all, n + bytes + strlen(tail), TEXT_LABEL, err);
    free(all);
    return st;
}

static void long_rows(void **state) {
    (void)state;
    static const char *const files[] = {"a.csv", "a.jsonl"};
    for (int i = 0; i < 2; i++) {
        weft_error err = {0};
        wh_table *t = NULL;
        check_ok(open_long(&t, files[i], (size_t)WH_TABLE_MAX_ROW - 100, &err), &err);
        size_t length = 0;
        assert_non_null(wh_table_text(t, 0, &length));
        assert_int_equal(length, WH_TABLE_MAX_ROW - 100);
        wh_table_close(t);
        t = NULL;
        assert_int_equal(open_long(&t, files[i], (size_t)WH_TABLE_MAX_ROW + 1, &err), WEFT_E_DATA);
        check_message(&err, "longer than 16 MiB");
        assert_null(t);
    }
}

/* Rows that straddle the blocks in which a file is read come out whole: every row is checked. */
static void many_rows(void **state) {
    (void)state;
    enum { ROWS = 30000, ROOM = 64 };
    char *all = malloc((size_t)ROWS * ROOM);
    assert_non_null(all);
    size_t n = (size_t)snprintf(all, ROOM, "label,text\r\n");
    for (int i = 0; i < ROWS; i++)
        n += (size_t)snprintf(all + n, ROOM, "%d,\"row \"\"%d\"\",\r\n%.*s\"\r\n", i % 7, i, i % 23,
                              "abcdefghijklmnopqrstuvwxyz");
    weft_error err = {0};
    wh_table *t = NULL;
    check_ok(temp_table_n(&t, "a.csv", all, n, TEXT_LABEL, &err), &err);
    free(all);
    assert_int_equal(wh_table_rows(t), ROWS);
    for (int i = 0; i < ROWS; i++) {
        char want[ROOM];
        int length = snprintf(want, sizeof want, "row \"%d\",\r\n%.*s", i, i % 23,
                              "abcdefghijklmnopqrstuvwxyz");
        text_is(t, i, want, (size_t)length);
        assert_int_equal(wh_table_line(t, i), 2 + 2 * i);
        assert_int_equal(wh_table_label(t, i)[0], '0' + i % 7);
    }
    wh_table_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_forms), cmocka_unit_test(json_values), cmocka_unit_test(bad_inputs),
        cmocka_unit_test(bad_files),   cmocka_unit_test(skipping),    cmocka_unit_test(max_rows),
        cmocka_unit_test(long_rows),   cmocka_unit_test(many_rows),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
