/* labels: golden unit */
/* Token ids against recorded ones of HF tokenizers (tests/golden/make_tokenizer_fixture.py), and
 * what a user can do wrong. */
#include "host/tokenizer.h"
#include "tests/check.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GOLDEN WEFT_TEST_DIR "/golden/tokenizer/"

typedef struct {
    char *bytes;
    size_t len, n;
    const char *text[1024];
    size_t text_len[1024];
} text_list;

static char *read_all(const char *path, size_t *len) {
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s cannot be read", path);
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    char *bytes = malloc(*len + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *len, f), *len);
    bytes[*len] = '\0';
    fclose(f);
    return bytes;
}

static void read_texts(text_list *list) {
    list->n = 0;
    list->bytes = read_all(GOLDEN "texts.bin", &list->len);
    for (size_t i = 0; i + 4 <= list->len && list->n < 1024;) {
        const uint8_t *b = (const uint8_t *)list->bytes + i;
        size_t n = b[0] | (size_t)b[1] << 8 | (size_t)b[2] << 16;
        list->text[list->n] = list->bytes + i + 4;
        list->text_len[list->n++] = n;
        i += 4 + n;
    }
    assert_true(list->n > 500);
}

static wh_tokenizer *open_golden(const char *name) {
    char path[512];
    weft_error err = {0};
    wh_tokenizer *t = NULL;
    snprintf(path, sizeof path, GOLDEN "%s", name);
    check_ok(wh_tokenizer_open(&t, path, &err), &err);
    return t;
}

/* "id id|type type\n" as in the recorded files; caller frees. */
static char *as_line(const wh_encoding *e) {
    size_t cap = e->len * 24 + 8, at = 0;
    char *line = malloc(cap);
    assert_non_null(line);
    for (size_t i = 0; i < e->len; i++)
        at += (size_t)snprintf(line + at, cap - at, "%s%d", i ? " " : "", (int)e->ids[i]);
    line[at++] = '|';
    for (size_t i = 0; i < e->len; i++)
        at += (size_t)snprintf(line + at, cap - at, "%s%d", i ? " " : "", (int)e->type_ids[i]);
    line[at++] = '\n';
    line[at] = '\0';
    return line;
}

static void expect_line(const char *name, size_t index, const wh_encoding *e, const char **want) {
    char *got = as_line(e);
    size_t n = strlen(got);
    if (strncmp(got, *want, n) != 0)
        fail_msg("%s, line %zu:\n got  %.300s want %.300s", name, index + 1, got, *want);
    *want += n;
    free(got);
}

static void compare(const char *name) {
    char path[512];
    size_t len;
    text_list texts;
    weft_error err = {0};
    wh_encoding e = {0};
    read_texts(&texts);
    snprintf(path, sizeof path, GOLDEN "%s.ids", name);
    char *lines = read_all(path, &len);
    const char *want = lines;
    wh_tokenizer *t = open_golden(name);
    for (size_t i = 0; i < texts.n; i++) {
        check_ok(wh_tokenizer_encode(t, texts.text[i], texts.text_len[i], NULL, 0, 0, &e, &err),
                 &err);
        expect_line(name, i, &e, &want);
    }
    for (size_t i = 0; i < 200; i += 2) {
        check_ok(wh_tokenizer_encode(t, texts.text[i], texts.text_len[i], texts.text[i + 1],
                                     texts.text_len[i + 1], 24, &e, &err),
                 &err);
        expect_line(name, texts.n + i / 2, &e, &want);
    }
    assert_int_equal(want - lines, len);
    wh_tokenizer_close(t);
    wh_encoding_free(&e);
    free(lines);
    free(texts.bytes);
}

static void wordpiece_uncased_equals_hf(void **state) {
    (void)state;
    compare("wordpiece-uncased");
}

static void wordpiece_cased_equals_hf(void **state) {
    (void)state;
    compare("wordpiece-cased");
}

static void byte_bpe_equals_hf(void **state) {
    (void)state;
    compare("byte-bpe");
}

static void vocab_txt_equals_hf(void **state) {
    (void)state;
    compare("legacy-vocab");
}

static void vocab_and_merges_equal_hf(void **state) {
    (void)state;
    compare("legacy-merges");
}

static void expect_ids(const wh_tokenizer *t, wh_encoding *e, const char *text, const char *pair,
                       int32_t max_len, const int32_t *ids, size_t n) {
    weft_error err = {0};
    check_ok(
        wh_tokenizer_encode(t, text, strlen(text), pair, pair ? strlen(pair) : 0, max_len, e, &err),
        &err);
    assert_int_equal(e->len, n);
    for (size_t i = 0; i < n; i++) assert_int_equal(e->ids[i], ids[i]);
}

static void special_tokens(void **state) {
    (void)state;
    /* [PAD] [UNK] [CLS] [SEP] [MASK] are 0..4 in the fixture. */
    wh_tokenizer *t = open_golden("wordpiece-uncased");
    wh_encoding e = {0};
    assert_int_equal(wh_tokenizer_pad_id(t), 0);
    assert_int_equal(wh_tokenizer_unk_id(t), 1);
    assert_int_equal(wh_tokenizer_cls_id(t), 2);
    assert_int_equal(wh_tokenizer_sep_id(t), 3);
    assert_int_equal(wh_tokenizer_mask_id(t), 4);
    assert_int_equal(wh_tokenizer_id(t, "[MASK]"), 4);
    assert_int_equal(wh_tokenizer_id(t, "no such token"), -1);
    assert_int_equal(wh_tokenizer_added(t, false), 2);
    assert_int_equal(wh_tokenizer_added(t, true), 3);
    assert_string_equal(wh_tokenizer_model_name(t), "WordPiece");
    assert_int_equal(wh_tokenizer_vocab_size(t), 2500);
    expect_ids(t, &e, "", NULL, 0, (const int32_t[]){2, 3}, 2);
    expect_ids(t, &e, "", "", 0, (const int32_t[]){2, 3, 3}, 3);
    expect_ids(t, &e, " \t\n", NULL, 0, (const int32_t[]){2, 3}, 2);
    expect_ids(t, &e, "[CLS][MASK] [SEP]", NULL, 0, (const int32_t[]){2, 2, 4, 3, 3}, 5);
    expect_ids(t, &e, "[mask", NULL, 3, (const int32_t[]){2, wh_tokenizer_id(t, "["), 3}, 3);
    wh_tokenizer_close(t);
    /* <s> <pad> </s> <unk> <mask>; <mask> takes the spaces on its left. */
    t = open_golden("byte-bpe");
    assert_int_equal(wh_tokenizer_pad_id(t), 1);
    assert_int_equal(wh_tokenizer_cls_id(t), 0);
    assert_int_equal(wh_tokenizer_sep_id(t), 2);
    assert_string_equal(wh_tokenizer_model_name(t), "BPE");
    expect_ids(t, &e, "", NULL, 0, (const int32_t[]){0, 2}, 2);
    expect_ids(t, &e, "", "", 0, (const int32_t[]){0, 2, 2, 2}, 4);
    expect_ids(t, &e, "   <mask>", NULL, 0, (const int32_t[]){0, 4, 2}, 3);
    wh_tokenizer_close(t);
    wh_encoding_free(&e);
}

/* HF's longest_first: the shorter text stays whole while it is at most half. */
static void truncation(void **state) {
    (void)state;
    wh_tokenizer *t = open_golden("wordpiece-uncased");
    wh_encoding e = {0};
    weft_error err = {0};
    int32_t m = 4;
    expect_ids(t, &e, "[MASK][MASK][MASK]", NULL, 4, (const int32_t[]){2, m, m, 3}, 4);
    expect_ids(t, &e, "[MASK][MASK][MASK]", NULL, 2, (const int32_t[]){2, 3}, 2);
    /* Three against one, room for three: two and one. */
    expect_ids(t, &e, "[MASK][MASK][MASK]", "[PAD]", 6, (const int32_t[]){2, m, m, 3, 0, 3}, 6);
    /* Three against four, room for five: the longer text gets the odd token. */
    expect_ids(t, &e, "[MASK][MASK][MASK]", "[PAD][PAD][PAD][PAD]", 8,
               (const int32_t[]){2, m, m, 3, 0, 0, 0, 3}, 8);
    assert_int_equal(e.type_ids[3], 0);
    assert_int_equal(e.type_ids[4], 1);
    assert_int_equal(e.type_ids[7], 1);
    assert_int_equal(wh_tokenizer_encode(t, "a", 1, NULL, 0, 1, &e, &err), WEFT_E_CONFIG);
    assert_non_null(strstr(err.text, "1"));
    assert_non_null(strstr(err.text, "2"));
    wh_tokenizer_close(t);
    wh_encoding_free(&e);
}

/* One wh_encoding serves two tokenizers in turn: the cache of words must not leak. */
static void reuse_across_tokenizers(void **state) {
    (void)state;
    wh_tokenizer *a = open_golden("wordpiece-uncased"), *b = open_golden("byte-bpe");
    wh_encoding shared = {0};
    weft_error err = {0};
    const char *text = "the data of federated learning";
    for (int round = 0; round < 2; round++) {
        const wh_tokenizer *t[] = {a, b};
        for (int k = 0; k < 2; k++) {
            check_ok(wh_tokenizer_encode(t[k], text, strlen(text), NULL, 0, 0, &shared, &err),
                     &err);
            wh_encoding fresh = {0};
            check_ok(wh_tokenizer_encode(t[k], text, strlen(text), NULL, 0, 0, &fresh, &err), &err);
            assert_int_equal(shared.len, fresh.len);
            check_same("ids", shared.ids, fresh.ids, fresh.len * sizeof *fresh.ids);
            wh_encoding_free(&fresh);
        }
    }
    wh_tokenizer_close(a);
    wh_tokenizer_close(b);
    wh_encoding_free(&shared);
}

typedef struct {
    const wh_tokenizer *tokenizer;
    const text_list *texts;
    uint64_t sum;
} job;

static void *encode_all(void *arg) {
    job *j = arg;
    wh_encoding e = {0};
    for (size_t i = 0; i < j->texts->n; i++) {
        if (wh_tokenizer_encode(j->tokenizer, j->texts->text[i], j->texts->text_len[i], NULL, 0, 0,
                                &e, NULL) != WEFT_OK)
            return NULL;
        for (size_t k = 0; k < e.len; k++) j->sum = j->sum * 31 + (uint64_t)e.ids[k];
    }
    wh_encoding_free(&e);
    return NULL;
}

static void threads_share_a_tokenizer(void **state) {
    (void)state;
    text_list texts;
    read_texts(&texts);
    wh_tokenizer *t = open_golden("byte-bpe");
    job jobs[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        jobs[i] = (job){t, &texts, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, encode_all, &jobs[i]), 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    for (int i = 1; i < 4; i++) assert_true(jobs[i].sum == jobs[0].sum && jobs[i].sum != 0);
    wh_tokenizer_close(t);
    free(texts.bytes);
}

static void huge_texts_take_linear_time(void **state) {
    (void)state;
    const char *units[] = {"a", "\xcc\xa3\xcc\x81", "[", "\xe4\xb8\xad", " ", "\xff"};
    const char *names[] = {"wordpiece-uncased", "byte-bpe"};
    size_t size = (size_t)1 << 20;
    char *text = malloc(size);
    assert_non_null(text);
    for (size_t k = 0; k < 2; k++) {
        wh_tokenizer *t = open_golden(names[k]);
        wh_encoding e = {0};
        weft_error err = {0};
        for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
            size_t n = strlen(units[u]), len = size / n * n;
            for (size_t i = 0; i < len; i++) text[i] = units[u][i % n];
            check_ok(wh_tokenizer_encode(t, text, len, NULL, 0, 0, &e, &err), &err);
            assert_true(e.len >= 2);
        }
        wh_encoding_free(&e);
        wh_tokenizer_close(t);
    }
    free(text);
}

/* ---- bad folders ---- */

static void write_file(const char *dir, const char *name, const char *content) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(content, f);
    fclose(f);
}

/* Opens a folder with these files (NULL: none) and expects a message with `part`. */
static void expect_refusal(const char *name, const char *content, const char *name2,
                           const char *content2, const char *part) {
    char dir[] = "/tmp/weft-tok-XXXXXX", path[512];
    weft_error err = {0};
    wh_tokenizer *t = NULL;
    assert_non_null(mkdtemp(dir));
    if (name) write_file(dir, name, content);
    if (name2) write_file(dir, name2, content2);
    weft_status st = wh_tokenizer_open(&t, dir, &err);
    const char *names[] = {name, name2};
    for (int i = 0; i < 2; i++)
        if (names[i]) {
            snprintf(path, sizeof path, "%s/%s", dir, names[i]);
            unlink(path);
        }
    rmdir(dir);
    if (st != WEFT_E_DATA || !strstr(err.text, part) || strchr(err.text, '\n'))
        fail_msg("status %d, message '%s', expected '%s'", (int)st, err.text, part);
    assert_non_null(strstr(err.text, dir));
    assert_null(t);
}

#define WORDPIECE                                                                                  \
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"u\",\"continuing_subword_prefix\":\"##\","  \
    "\"max_input_chars_per_word\":9,\"vocab\":{\"u\":0}}"

/* A post-processor with these parts for one text and this id of its special token. */
#define SEQUENCE(type) "{\"Sequence\":{\"id\":\"A\",\"type_id\":" type "}}"
#define TEMPLATE(parts, id)                                                                        \
    ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[" parts                      \
    "],\"pair\":[],\"special_tokens\":{\"s\":{\"id\":\"s\",\"ids\":[" id "]}}}"

static void refuse_json(const char *content, const char *part) {
    expect_refusal("tokenizer.json", content, NULL, NULL, part);
}

static void bad_folders(void **state) {
    (void)state;
    expect_refusal(NULL, NULL, NULL, NULL, "no tokenizer");
    refuse_json("", "tokenizer.json:");
    refuse_json("{\"model\": ", "not valid JSON");
    refuse_json("[]", "no JSON object");
    refuse_json("{}", "no 'model'");
    refuse_json("{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", "Unigram");
    refuse_json("{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"u\"}}", "vocab");
    refuse_json("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}", "merges");
    refuse_json("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "'a'");
    refuse_json("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "'b'");
    refuse_json("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"ab\"]}}",
                "merge 1");
    refuse_json("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.1}}",
                "dropout");
    refuse_json("{" WORDPIECE ",\"normalizer\":{\"type\":\"Precompiled\"}}", "Precompiled");
    refuse_json("{" WORDPIECE ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":"
                "\"Nmt\"}]}}",
                "Nmt");
    refuse_json("{" WORDPIECE ",\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}}",
                "UnicodeScripts");
    refuse_json("{" WORDPIECE
                ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},"
                "\"behavior\":\"Isolated\",\"invert\":false}}",
                "regular expression");
    refuse_json("{" WORDPIECE ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":"
                "\"\\\\h\"},\"behavior\":\"Isolated\",\"invert\":false}}",
                "\\h");
    refuse_json("{" WORDPIECE ",\"post_processor\":{\"type\":\"Other\"}}", "Other");
    refuse_json("{" WORDPIECE ",\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"a\"]}}",
                "cls");
    refuse_json("{" WORDPIECE TEMPLATE(SEQUENCE("256"), "0") "}",
                "type_id must be an integer from 0 to 255, not 256");
    refuse_json("{" WORDPIECE TEMPLATE(SEQUENCE("0") "," SEQUENCE("0"), "0") "}",
                "the template for single texts uses the sequence 'A' twice");
    refuse_json("{" WORDPIECE ",\"added_tokens\":[{\"id\":1}]}", "content");
    expect_refusal("vocab.txt", "", NULL, NULL, "empty");
    expect_refusal("vocab.txt", "a\nb\n", NULL, NULL, "[CLS]");
    expect_refusal("vocab.json", "{\"a\":0,\"b\":1}", "merges.txt", "#version: 0.2\na b c\n",
                   "merges.txt:2");
    expect_refusal("vocab.json", "{\"a\":0,\"b\":1}", "merges.txt", "a b\n", "merge 1");
    expect_refusal("vocab.txt", "[CLS]\n[SEP]\n", "tokenizer_config.json", "{\"do_lower_case\":3}",
                   "do_lower_case");
}

static wh_tokenizer *open_json(const char *content) {
    char dir[] = "/tmp/weft-tok-XXXXXX", path[512];
    weft_error err = {0};
    wh_tokenizer *t = NULL;
    assert_non_null(mkdtemp(dir));
    write_file(dir, "tokenizer.json", content);
    weft_status st = wh_tokenizer_open(&t, dir, &err);
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    unlink(path);
    rmdir(dir);
    check_ok(st, &err);
    return t;
}

/* What a template puts around a text counts, wherever the file got its id from. */
static void every_id_is_below_the_vocabulary_size(void **state) {
    (void)state;
    wh_tokenizer *t = open_json("{" WORDPIECE TEMPLATE(
        SEQUENCE("0") ",{\"SpecialToken\":{\"id\":\"s\",\"type_id\":0}}", "41") "}");
    wh_encoding e = {0};
    expect_ids(t, &e, "u", NULL, 0, (const int32_t[]){0, 41}, 2);
    assert_int_equal(wh_tokenizer_vocab_size(t), 42);
    wh_encoding_free(&e);
    wh_tokenizer_close(t);
}

/* Thirty letters for each place between letters, eight times over, would be 10^11 bytes. The answer
 * does not depend on what the buffers held before. */
static void a_text_does_not_explode(void **state) {
    (void)state;
#define REPLACE                                                                                    \
    "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\"},\"content\":"                              \
    "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}"
    wh_tokenizer *t = open_json(
        "{" WORDPIECE ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[" REPLACE "," REPLACE
        "," REPLACE "," REPLACE "," REPLACE "," REPLACE "," REPLACE "," REPLACE "]}}");
    wh_encoding e = {0};
    for (int again = 0; again < 2; again++) {
        weft_error err = {0};
        assert_int_equal(wh_tokenizer_encode(t, "ab", 2, NULL, 0, 0, &e, &err), WEFT_E_DATA);
        assert_string_equal(err.text,
                            "tokenizer: a text grows past 65664 bytes while it is normalised");
        assert_int_equal(e.len, 0);
    }
    wh_encoding_free(&e);
    wh_tokenizer_close(t);
}

/* HF writes "no limit" as 1e30 in full or as the largest 64-bit size, both beyond an int64. */
static void lengths_without_limit(void **state) {
    (void)state;
    char dir[] = "/tmp/weft-tok-XXXXXX", path[512];
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json"};
    assert_non_null(mkdtemp(dir));
    write_file(dir, names[0],
               "{\"truncation\":{\"max_length\":18446744073709551615}," WORDPIECE "}");
    write_file(dir, names[1], "{\"model_max_length\":1000000000000000019884624838656}");
    weft_error err = {0};
    wh_tokenizer *t = NULL;
    wh_encoding e = {0};
    weft_status st = wh_tokenizer_open(&t, dir, &err);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
    check_ok(st, &err);
    expect_ids(t, &e, "u", NULL, 0, (const int32_t[]){0}, 1);
    wh_encoding_free(&e);
    wh_tokenizer_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_without_limit),
        cmocka_unit_test(every_id_is_below_the_vocabulary_size),
        cmocka_unit_test(a_text_does_not_explode),
        cmocka_unit_test(wordpiece_uncased_equals_hf),
        cmocka_unit_test(wordpiece_cased_equals_hf),
        cmocka_unit_test(byte_bpe_equals_hf),
        cmocka_unit_test(vocab_txt_equals_hf),
        cmocka_unit_test(vocab_and_merges_equal_hf),
        cmocka_unit_test(special_tokens),
        cmocka_unit_test(truncation),
        cmocka_unit_test(reuse_across_tokenizers),
        cmocka_unit_test(threads_share_a_tokenizer),
        cmocka_unit_test(huge_texts_take_linear_time),
        cmocka_unit_test(bad_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
