/* Any text through the fixed tokenizers: WordPiece cased and uncased, byte-level BPE. Ids are
 * inside the vocabulary, the same again, and the same whether or not the cache of words is warm;
 * cutting to max_len gives the beginning of the whole. */
#include "host/tokenizer.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static const char *const folders[] = {WEFT_TEST_DIR "/golden/tokenizer/wordpiece-uncased",
                                      WEFT_TEST_DIR "/golden/tokenizer/wordpiece-cased",
                                      WEFT_TEST_DIR "/golden/tokenizer/byte-bpe",
                                      WEFT_TEST_DIR "/golden/tokenizer/legacy-merges"};
enum { N = sizeof folders / sizeof *folders };
static wh_tokenizer *tokenizers[N];
static wh_encoding warm[N];

static void close_all(void) {
    for (int i = 0; i < N; i++) {
        wh_tokenizer_close(tokenizers[i]);
        wh_encoding_free(&warm[i]);
    }
}

static void open_all(void) {
    weft_error err;
    for (int i = 0; i < N; i++)
        FUZZ_CHECK(wh_tokenizer_open(&tokenizers[i], folders[i], &err) == WEFT_OK, "%s", err.text);
    (void)atexit(close_all);
}

static void encode(int i, wh_encoding *e, const char *text, size_t n, const char *pair, size_t m,
                   int32_t max_len) {
    weft_error err = {0};
    FUZZ_CHECK(wh_tokenizer_encode(tokenizers[i], text, n, pair, m, max_len, e, &err) == WEFT_OK,
               "%s", err.text);
    for (size_t k = 0; k < e->len; k++)
        FUZZ_CHECK(e->ids[k] >= 0 && e->ids[k] < wh_tokenizer_vocab_size(tokenizers[i]), "id %d",
                   (int)e->ids[k]);
    FUZZ_CHECK(max_len == 0 || e->len <= (size_t)max_len, "%zu ids of %d", e->len, (int)max_len);
}

static void check_tokenizer(int i, const char *text, size_t n, const char *pair, size_t m) {
    wh_encoding cold = {0};
    const int32_t added = wh_tokenizer_added(tokenizers[i], false);
    encode(i, &warm[i], text, n, NULL, 0, 0);
    encode(i, &cold, text, n, NULL, 0, 0);
    FUZZ_CHECK(cold.len == warm[i].len &&
                   memcmp(cold.ids, warm[i].ids, cold.len * sizeof *cold.ids) == 0,
               "a warm cache changes the ids");
    /* Decomposition makes up to 18 characters of one (3 bytes or more); ideographs get spaces. */
    FUZZ_CHECK(cold.len <= 20 * n + (size_t)added + 1, "%zu ids of %zu bytes", cold.len, n);
    int32_t max_len = added + 3;
    encode(i, &warm[i], text, n, NULL, 0, max_len);
    size_t expect = cold.len < (size_t)max_len ? cold.len : (size_t)max_len;
    FUZZ_CHECK(warm[i].len == expect, "cut to %zu, expected %zu", warm[i].len, expect);
    /* one special token begins and one ends; between them is the beginning */
    FUZZ_CHECK(expect < 2 || memcmp(warm[i].ids, cold.ids, (expect - 1) * sizeof *cold.ids) == 0,
               "what is kept of a cut text is not its beginning");
    encode(i, &warm[i], text, n, pair, m, 0);
    encode(i, &cold, text, n, pair, m, 12);
    FUZZ_CHECK(cold.len == (warm[i].len < 12 ? warm[i].len : 12), "a cut pair has %zu ids",
               cold.len);
    wh_encoding_free(&cold);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!tokenizers[0]) open_all();
    /* The first byte cuts the text in two. */
    size_t cut = size ? data[0] * (size - 1) / 255 : 0;
    const char *text = size ? (const char *)data + 1 : "";
    for (int i = 0; i < N; i++)
        check_tokenizer(i, text, size ? size - 1 : 0, text + cut, size ? size - 1 - cut : 0);
    return 0;
}
