/* labels: unit */
#include "host/dataset.h"

#include "tests/check.h"
#include "tests/host/temp_folder.h"

#include <stdlib.h>
#include <string.h>

/* A WordPiece vocabulary where the id is the line: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, then words.
 */
static const char VOCAB[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nred\ngreen\nblue\n";
static const char TRAIN[] =
    "{\"text\": \"red green\", \"label\": \"b\", \"who\": \"zoe\"}\n"
    "{\"text\": \"blue\", \"label\": \"a\", \"who\": \"adam\"}\n"
    "{\"text\": \"red red red red red\", \"label\": \"b\", \"who\": \"zoe\"}\n";

static char path[3][512];
static wh_tokenizer *tokenizer;
static weft_config *config;
static weft_error error;

static void write_text(const char *name, const char *text, char *out) {
    (void)snprintf(out, 512, "%s", temp_path(name));
    temp_text(out, text);
}

static void set(const char *key, const char *value) {
    check_ok(weft_config_set(config, key, value, NULL, &error), &error);
}

static int setup(void **state) {
    assert_int_equal(temp_setup(state), 0);
    char vocab[512];
    write_text("vocab.txt", VOCAB, vocab);
    write_text("train.jsonl", TRAIN, path[0]);
    write_text("test.jsonl", "{\"text\": \"green?\", \"label\": \"b\"}\n", path[1]);
    check_ok(wh_tokenizer_open(&tokenizer, temp_folder, &error), &error);
    check_ok(weft_config_new(&config, &error), &error);
    set("data.train", path[0]);
    set("data.test", path[1]);
    set("data.max_length", "5");
    return 0;
}

static int teardown(void **state) {
    weft_config_free(config);
    wh_tokenizer_close(tokenizer);
    config = NULL, tokenizer = NULL;
    return temp_teardown(state);
}

static weft_status load(wh_dataset *out, weft_split split, wh_labels **labels, int threads) {
    return wh_dataset_load(out, config, split, tokenizer, labels, threads, &error);
}

static void rows_of_a_table(void **state) {
    (void)state;
    wh_dataset train, test;
    wh_labels *labels = NULL;
    set("data.client_column", "who");
    check_ok(load(&train, WEFT_SPLIT_TRAIN, &labels, 1), &error);
    static const int64_t OFFSET[] = {0, 4, 7, 12};
    static const int32_t TOKEN[] = {2, 5, 6, 3, 2, 7, 3, 2, 5, 5, 5, 3}; /* the last row cut to 5 */
    static const int32_t LABEL[] = {1, 0, 1}, CLIENT[] = {1, 0, 1};
    assert_int_equal(train.rows.n_rows, 3);
    check_same("offset", train.rows.offset, OFFSET, sizeof OFFSET);
    check_same("token", train.rows.token, TOKEN, sizeof TOKEN);
    check_same("label", train.rows.label, LABEL, sizeof LABEL);
    check_same("client", train.rows.client, CLIENT, sizeof CLIENT);
    assert_int_equal(train.rows.num_labels, 2);
    assert_int_equal(train.rows.n_clients, 2);
    assert_int_equal(train.n_full, 1);
    assert_null(train.rows.type); /* single texts have no second segment */
    assert_null(train.rows.target);

    /* The test rows have no client column and use the training classes. */
    check_ok(load(&test, WEFT_SPLIT_TEST, &labels, 1), &error);
    assert_int_equal(test.rows.label[0], 1);
    assert_int_equal(test.rows.num_labels, 2);
    assert_null(test.rows.client);
    wh_dataset_free(&test);
    wh_dataset_free(&train);
    wh_labels_free(labels);
}

static void pairs_have_types(void **state) {
    (void)state;
    wh_dataset train;
    wh_labels *labels = NULL;
    set("data.text_pair_column", "who");
    set("data.max_length", "16");
    check_ok(load(&train, WEFT_SPLIT_TRAIN, &labels, 1), &error);
    static const uint8_t TYPE[] = {0, 0, 0, 0, 1, 1}; /* CLS red green SEP zoe SEP */
    assert_non_null(train.rows.type);
    assert_int_equal(train.rows.offset[1], 6);
    check_same("type", train.rows.type, TYPE, sizeof TYPE);
    wh_dataset_free(&train);
    wh_labels_free(labels);
}

/* Many rows, so that several threads really share them. */
static void threads_change_nothing(void **state) {
    (void)state;
    (void)snprintf(path[2], sizeof path[2], "%s", temp_path("many.csv"));
    FILE *file = fopen(path[2], "w");
    assert_non_null(file);
    fputs("text,label\n", file);
    static const char *const WORD[] = {"red", "green", "blue", "other"};
    for (int i = 0; i < 3000; i++) {
        for (int w = 0; w <= i % 5; w++) fprintf(file, "%s ", WORD[(i * 7 + w * 3) % 4]);
        fprintf(file, ",%d\n", i % 3);
    }
    assert_int_equal(fclose(file), 0);
    set("data.train", path[2]);
    wh_dataset one, four;
    wh_labels *labels = NULL;
    check_ok(load(&one, WEFT_SPLIT_TRAIN, &labels, 1), &error);
    check_ok(load(&four, WEFT_SPLIT_TRAIN, &labels, 4), &error);
    assert_int_equal(four.rows.n_rows, 3000);
    size_t n = (size_t)one.rows.offset[3000];
    check_same("offset", four.rows.offset, one.rows.offset, 3001 * sizeof(int64_t));
    check_same("token", four.rows.token, one.rows.token, n * sizeof(int32_t));
    assert_int_equal(four.n_full, one.n_full);
    wh_dataset_free(&one);
    wh_dataset_free(&four);
    wh_labels_free(labels);
}

static void regression(void **state) {
    (void)state;
    wh_dataset train;
    wh_labels *labels = NULL;
    write_text("train.jsonl",
               "{\"text\": \"red\", \"label\": 2.5}\n{\"text\": \"blue\", \"label\": -1}\n",
               path[0]);
    set("data.task", "regression");
    check_ok(load(&train, WEFT_SPLIT_TRAIN, &labels, 1), &error);
    assert_null(labels);
    assert_null(train.rows.label);
    assert_int_equal(train.rows.num_labels, 1);
    assert_true(train.rows.target[0] == 2.5F && train.rows.target[1] == -1.0F);
    wh_dataset_free(&train);
}

static void refused(weft_split split, wh_labels **labels, weft_status want, const char *part) {
    wh_dataset data;
    assert_int_equal(load(&data, split, labels, 2), want);
    if (!strstr(error.text, part)) fail_msg("'%s' lacks '%s'", error.text, part);
    assert_null(data.token); /* nothing left behind */
}

static void errors(void **state) {
    (void)state;
    wh_dataset train;
    wh_labels *labels = NULL;
    check_ok(load(&train, WEFT_SPLIT_TRAIN, &labels, 1), &error);
    wh_dataset_free(&train);
    write_text("test.jsonl",
               "{\"text\": \"x\", \"label\": \"b\"}\n{\"text\": \"x\", \"label\": \"c\"}\n",
               path[1]);
    refused(WEFT_SPLIT_TEST, &labels, WEFT_E_DATA, "test.jsonl:2: ");
    set("data.max_length", "2"); /* both places go to the special tokens: still a row */
    set("data.test", "no/such.jsonl");
    refused(WEFT_SPLIT_TEST, &labels, WEFT_E_DATA, "no/such.jsonl");
    set("data.text_column", "txt");
    refused(WEFT_SPLIT_TRAIN, &labels, WEFT_E_DATA, "txt");
    set("data.label_column", "");
    refused(WEFT_SPLIT_TRAIN, &labels, WEFT_E_CONFIG, "data.label_column");
    wh_labels_free(labels);
}

static void bad_rows_can_be_skipped(void **state) {
    (void)state;
    wh_dataset train;
    wh_labels *labels = NULL;
    write_text("train.jsonl",
               "{\"text\": \"red\", \"label\": \"a\"}\nnot json\n"
               "{\"text\": \"blue\", \"label\": \"b\"}\n",
               path[0]);
    refused(WEFT_SPLIT_TRAIN, &labels, WEFT_E_DATA, "train.jsonl:2: ");
    set("data.on_bad_row", "skip");
    check_ok(load(&train, WEFT_SPLIT_TRAIN, &labels, 1), &error);
    assert_int_equal(train.rows.n_rows, 2);
    assert_int_equal(train.n_skipped, 1);
    assert_non_null(strstr(train.first_skipped, ":2:"));
    wh_dataset_free(&train);
    wh_labels_free(labels);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(rows_of_a_table), TEST(pairs_have_types), TEST(threads_change_nothing),
        TEST(regression),      TEST(errors),           TEST(bad_rows_can_be_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
