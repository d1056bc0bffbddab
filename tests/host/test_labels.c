/* labels: unit */
#include "host/labels.h"

#include "tests/host/temp_table.h"

/* A CSV file with a label column of these lines, read back. */
static wh_table *labelled(const char *file, const char *lines) {
    char bytes[512];
    weft_error err = {0};
    wh_table *t = NULL;
    (void)snprintf(bytes, sizeof bytes, "label,text\n%s", lines);
    check_ok(temp_table(&t, file, bytes,
                        (wh_table_options){.text_column = "text", .label_column = "label"}, &err),
             &err);
    return t;
}

static void classes(void **state) {
    (void)state;
    static const struct {
        const char *rows, *list;
        int32_t num_classes;
        const char *names[4];
        int32_t id[4]; /* of the rows; all have four */
        const char *note;
    } cases[] = {
        {"pos,\nneg,\nZ,\npos,\n", NULL, 0, {"Z", "neg", "pos"}, {2, 1, 0, 2}, ""},
        {"pos,\nneg,\nneg,\npos,\n", "pos, neg", 0, {"pos", "neg"}, {0, 1, 1, 0}, ""},
        {"b,\na,\nb,\na,\n", "b,a,c", 3, {"b", "a", "c"}, {0, 1, 0, 1}, "1 of the 3 listed labels"},
        {"2,\n0,\n1,\n2,\n", NULL, 0, {"0", "1", "2"}, {2, 0, 1, 2}, ""},
        {"10,\n9,\n-1,\n10,\n",
         "",
         0,
         {"-1", "9", "10"},
         {2, 1, 0, 2},
         "3 different integer labels from -1 to 10"},
        {"1,\n2,\n3,\n4,\n",
         NULL,
         0,
         {"1", "2", "3", "4"},
         {0, 1, 2, 3},
         "from 1 to 4 become classes 0 to 3"},
        {"01,\n1,\n0,\n+1,\n", NULL, 0, {"0", "1"}, {1, 1, 0, 1}, ""},
        {"2,\n0,\n2,\n0,\n", NULL, 4, {"0", "1", "2", "3"}, {2, 0, 2, 0}, ""},
        {"1.5,\n1,\nx,\n1,\n", NULL, 0, {"1", "1.5", "x"}, {1, 0, 2, 0}, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weft_error err = {0};
        wh_labels *labels = NULL;
        int32_t id[4] = {-1, -1, -1, -1};
        wh_table *t = labelled("train.csv", cases[i].rows);
        check_ok(wh_labels_build(&labels, t, cases[i].list, cases[i].num_classes, &err), &err);
        check_ok(wh_labels_encode(labels, t, id, &err), &err);
        wh_table_close(t);
        int32_t n = 0;
        for (; n < 4 && cases[i].names[n]; n++)
            assert_string_equal(wh_labels_name(labels, n), cases[i].names[n]);
        assert_int_equal(wh_labels_count(labels), n);
        assert_null(wh_labels_name(labels, n));
        assert_memory_equal(id, cases[i].id, sizeof id);
        const char *note = wh_labels_note(labels);
        assert_true(*cases[i].note ? strstr(note, cases[i].note) != NULL : *note == '\0');
        wh_labels_free(labels);
    }
}

static void bad_classes(void **state) {
    (void)state;
    static const struct {
        const char *rows, *list;
        int32_t num_classes;
        weft_status status;
        const char *words;
    } cases[] = {
        {"0,\n7,\n", NULL, 3, WEFT_E_DATA, "train.csv:3: label 7 is outside [0, 3)"},
        {"0,\n-1,\n", NULL, 3, WEFT_E_DATA, "train.csv:3: label -1 is outside [0, 3)"},
        {"a,\na,\n", NULL, 0, WEFT_E_DATA, "only one class, \"a\""},
        {"pos,\nnag,\n", "pos,neg", 0, WEFT_E_DATA,
         "train.csv:3: label \"nag\" is none of the 2 classes: pos, neg (did you mean \"neg\"?)"},
        {"a,\nb,\n", "a,,b", 0, WEFT_E_CONFIG, "name 2 of \"a,,b\" is empty"},
        {"a,\nb,\n", "b,a,b", 0, WEFT_E_CONFIG, "\"b\" is listed twice"},
        {"a,\na,\n", "a", 0, WEFT_E_CONFIG, "data.labels: only one class"},
        {"a,\nb,\n", "a,b", 3, WEFT_E_CONFIG, "2 label names, but 3 classes"},
        {"a,\nb,\n", NULL, 3, WEFT_E_DATA, "train.csv: 2 label names, but 3 classes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weft_error err = {0};
        wh_labels *labels = NULL;
        wh_table *t = labelled("train.csv", cases[i].rows);
        weft_status st = wh_labels_build(&labels, t, cases[i].list, cases[i].num_classes, &err);
        if (st != cases[i].status) fail_msg("case %zu: status %d: %s", i, (int)st, err.text);
        check_message(&err, cases[i].words);
        assert_null(labels);
        wh_table_close(t);
    }
}

static void unseen_test_label(void **state) {
    (void)state;
    static const struct {
        const char *train, *test, *words;
    } cases[] = {
        {"sport,\nart,\n", "art,\nsports,\n",
         "test.csv:3: label \"sports\" is none of the 2 classes: art, sport (did you mean "
         "\"sport\"?)"},
        {"0,\n1,\n", "1,\n2,\n", "test.csv:3: label 2 is outside [0, 2)"},
        {"1,\n3,\n", "2,\n", "test.csv:2: label \"2\" is none of the 2 classes: 1, 3"},
        {"0,\n1,\n", "x,\n", "test.csv:2: label \"x\" is none of the 2 classes: 0, 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weft_error err = {0};
        wh_labels *labels = NULL;
        int32_t id[4];
        wh_table *train = labelled("train.csv", cases[i].train);
        check_ok(wh_labels_build(&labels, train, NULL, 0, &err), &err);
        wh_table *test = labelled("test.csv", cases[i].test);
        assert_int_equal(wh_labels_encode(labels, test, id, &err), WEFT_E_DATA);
        check_message(&err, cases[i].words);
        wh_table_close(train);
        wh_table_close(test);
        wh_labels_free(labels);
    }
}

static void targets(void **state) {
    (void)state;
    weft_error err = {0};
    float got[4] = {0};
    wh_table *t = labelled("train.csv", "5.000,\n-1e-3,\n.25,\n3,\n");
    check_ok(wh_labels_targets(t, got, &err), &err);
    const float want[4] = {5.0f, -0.001f, 0.25f, 3.0f};
    assert_memory_equal(got, want, sizeof got);
    wh_table_close(t);
    static const char *const bad[][2] = {
        {"1,\n2.5x,\n", "train.csv:3: label \"2.5x\" is not a number"},
        {"nan,\n", "train.csv:2: label \"nan\" is not a number"},
        {"0x10,\n", "is not a number"},
        {"\"1,5\",\n", "is not a number"},
        {"1e39,\n", "is too large for a 32-bit float"},
        {"1e999,\n", "is too large for a 32-bit float"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        t = labelled("train.csv", bad[i][0]);
        assert_int_equal(wh_labels_targets(t, got, &err), WEFT_E_DATA);
        check_message(&err, bad[i][1]);
        wh_table_close(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes),
        cmocka_unit_test(bad_classes),
        cmocka_unit_test(unseen_test_label),
        cmocka_unit_test(targets),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
