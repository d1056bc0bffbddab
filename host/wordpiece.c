/* WordPiece: a word is cut greedily into the longest tokens of the vocabulary (Schuster and
 * Nakajima 2012, as in BERT); a word that cannot be cut is the unknown token. */
#include "host/tokenizer_parts.h"

#include <string.h>

static weft_status unknown(const wh_model *model, wh_ids *ids, size_t keep, weft_error *err) {
    ids->n = keep;
    if (model->unk_id < 0)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "tokenizer: the text needs the unknown token '%s', which is not in the "
                         "vocabulary",
                         model->unk ? model->unk : "");
    return wh_ids_add(ids, model->unk_id, err);
}

/* The longest token at the start of s: its id, and its bytes in *used (without the prefix that
 * `buffer` begins with). */
static int32_t longest(const wh_model *model, wh_text *buffer, size_t prefix, const char *s,
                       size_t left, size_t *used) {
    size_t end = left < model->longest ? left : model->longest;
    while (end > 0 && end < left && ((uint8_t)s[end] & 0xc0) == 0x80) end--;
    const char *key = s;
    if (prefix) {
        memcpy(buffer->data + prefix, s, end);
        key = buffer->data;
    }
    while (end > 0) {
        int32_t id = wh_strmap_get(&model->vocab, key, prefix + end);
        if (id >= 0) {
            *used = end;
            return id;
        }
        do end--;
        while (end > 0 && ((uint8_t)s[end] & 0xc0) == 0x80);
    }
    return -1;
}

weft_status wh_wordpiece(const wh_model *model, wh_scratch *scratch, const char *word, size_t len,
                         wh_ids *ids, weft_error *err) {
    size_t chars = 0, keep = ids->n;
    for (size_t i = 0; i < len; i++) chars += ((uint8_t)word[i] & 0xc0) != 0x80;
    if (chars > model->max_chars) return unknown(model, ids, keep, err);
    wh_text *buffer = &scratch->other;
    buffer->len = 0;
    WEFT_TRY(wh_text_room(buffer, model->prefix_len + model->longest, err));
    if (model->prefix_len) memcpy(buffer->data, model->prefix, model->prefix_len);
    for (size_t start = 0, used = 0; start < len; start += used) {
        int32_t id =
            longest(model, buffer, start ? model->prefix_len : 0, word + start, len - start, &used);
        if (id < 0) return unknown(model, ids, keep, err);
        WEFT_TRY(wh_ids_add(ids, id, err));
    }
    return WEFT_OK;
}
