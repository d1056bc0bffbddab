/* tokenizer.json of anyone. With what is accepted a few texts are encoded: ids must be inside the
 * vocabulary that it claims, and their number within max_len and within reason. */
#include "host/tokenizer.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

static const char *const texts[] = {
    "", "Hello, w\xc3\xb6rld!  \xe4\xbd\xa0\xe5\xa5\xbd 12345",
    "a\xcc\x81 [MASK]\xef\xac\x81</s> it's\t\xff\xf0\x9f\x98\x80\r\n",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"};

static void check_ids(const wh_tokenizer *t, const wh_encoding *e, int32_t max_len) {
    FUZZ_CHECK(max_len == 0 || e->len <= (size_t)max_len, "%zu ids, at most %d were asked for",
               e->len, (int)max_len);
    for (size_t i = 0; i < e->len; i++) {
        FUZZ_CHECK(e->ids[i] >= 0 && e->ids[i] < wh_tokenizer_vocab_size(t), "id %d of %d",
                   (int)e->ids[i], (int)wh_tokenizer_vocab_size(t));
        FUZZ_CHECK(e->type_ids[i] >= 0, "type id %d", (int)e->type_ids[i]);
    }
}

static void encode(const wh_tokenizer *t, wh_encoding *e, const char *text, const char *pair,
                   int32_t max_len) {
    weft_error err = {0};
    weft_status st =
        wh_tokenizer_encode(t, text, strlen(text), pair, pair ? strlen(pair) : 0, max_len, e, &err);
    if (st == WEFT_OK)
        check_ids(t, e, max_len);
    else
        fuzz_refused(st, &err, "token");
    FUZZ_CHECK(st == WEFT_OK || e->len == 0, "ids after an error");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char folder[128];
    weft_error err = {0};
    wh_tokenizer *t = NULL;
    const char *path = fuzz_file("tokenizer.json", data, size);
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    weft_status st = wh_tokenizer_open(&t, folder, &err);
    if (st != WEFT_OK) {
        fuzz_refused(st, &err, "token");
        return 0;
    }
    wh_encoding e = {0};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        encode(t, &e, texts[i], NULL, 0);
        encode(t, &e, texts[i], NULL, 8);
        encode(t, &e, texts[i], texts[1], 9);
    }
    FUZZ_CHECK(wh_tokenizer_added(t, false) >= 0 && wh_tokenizer_added(t, true) >= 0, "specials");
    wh_encoding_free(&e);
    wh_tokenizer_close(t);
    return 0;
}
