/* Added tokens: strings that are cut out of a text before words are made, such as "[MASK]" or
 * "<s>". */
#include "host/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

static weft_status no_memory(weft_error *err) {
    return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory for added tokens");
}

static char *copy(const char *bytes, size_t len) {
    char *out = malloc(len + 1);
    if (!out) return NULL;
    if (len) memcpy(out, bytes, len);
    out[len] = '\0';
    return out;
}

weft_status wh_added_put(wh_added_tokens *added, const wh_added *token, const char *content,
                         weft_error *err) {
    if (token->content_len == 0) return WEFT_OK;
    int32_t old = wh_strmap_get(&added->by_content, content, token->content_len);
    if (old >= 0) {
        wh_added *a = &added->v[old];
        a->single_word = token->single_word;
        a->left_strip = token->left_strip;
        a->right_strip = token->right_strip;
        a->normalized = token->normalized;
        a->special = token->special;
        return WEFT_OK;
    }
    void *v = added->v;
    if (added->n >= INT32_MAX || !wh_grow(&v, &added->cap, added->n + 1, sizeof *added->v))
        return no_memory(err);
    added->v = v;
    wh_added *a = &added->v[added->n];
    *a = *token;
    a->match = NULL;
    a->id = -1;
    a->content = copy(content, token->content_len);
    if (!a->content) return no_memory(err);
    if (!wh_strmap_put(&added->by_content, a->content, a->content_len, (int32_t)added->n)) {
        free(a->content);
        return no_memory(err);
    }
    added->n++;
    return WEFT_OK;
}

/* qsort has no argument for the tokens, so what it compares is copied out. */
typedef struct {
    const char *match;
    size_t len;
    uint32_t index;
} sort_key;

static int by_byte_then_length(const void *left, const void *right) {
    const sort_key *a = left, *b = right;
    uint8_t x = (uint8_t)a->match[0], y = (uint8_t)b->match[0];
    if (x != y) return x < y ? -1 : 1;
    if (a->len != b->len) return a->len > b->len ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static weft_status build_index(const wh_added_tokens *added, bool normalized, wh_added_index *out,
                               weft_error *err) {
    sort_key *keys = malloc((added->n + 1) * sizeof *keys);
    out->order = malloc((added->n + 1) * sizeof *out->order);
    if (!keys || !out->order) {
        free(keys);
        return no_memory(err);
    }
    size_t n = 0;
    for (size_t i = 0; i < added->n; i++)
        if (added->v[i].normalized == normalized && added->v[i].match_len)
            keys[n++] = (sort_key){added->v[i].match, added->v[i].match_len, (uint32_t)i};
    qsort(keys, n, sizeof *keys, by_byte_then_length);
    size_t at = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        out->start[byte] = (uint32_t)at;
        for (; at < n && (uint8_t)keys[at].match[0] == byte; at++) out->order[at] = keys[at].index;
    }
    out->start[256] = (uint32_t)n;
    free(keys);
    return WEFT_OK;
}

weft_status wh_added_finish(wh_added_tokens *added, const wh_strmap *vocab,
                            const wh_norm_step *steps, size_t count, weft_error *err) {
    wh_scratch scratch = {0};
    weft_status st = WEFT_OK;
    if (vocab->count > (size_t)INT32_MAX - added->n) return no_memory(err);
    int32_t next = (int32_t)vocab->count;
    for (size_t i = 0; i < added->n; i++) {
        wh_added *a = &added->v[i];
        a->id = wh_strmap_get(vocab, a->content, a->content_len);
        if (a->id < 0) a->id = next++;
        scratch.text.len = 0;
        WEFT_TRY_GOTO(st,
                      wh_normalize(steps, a->normalized ? count : 0, &scratch, a->content,
                                   a->content_len, &scratch.text, err),
                      done);
        a->match_len = scratch.text.len;
        a->match = copy(scratch.text.data, scratch.text.len);
        if (!a->match) {
            st = no_memory(err);
            goto done;
        }
    }
    WEFT_TRY_GOTO(st, build_index(added, false, &added->raw, err), done);
    st = build_index(added, true, &added->normalized, err);
done:
    wh_scratch_release(&scratch);
    return st;
}

/* The longest token at s, or NULL. */
static const wh_added *token_at(const wh_added_tokens *added, const wh_added_index *index,
                                const char *s, size_t left) {
    uint8_t byte = (uint8_t)s[0];
    for (uint32_t i = index->start[byte]; i < index->start[byte + 1]; i++) {
        const wh_added *a = &added->v[index->order[i]];
        if (a->match_len <= left && memcmp(a->match, s, a->match_len) == 0) return a;
    }
    return NULL;
}

static bool stands_alone(const char *text, size_t len, size_t start, size_t end) {
    size_t size;
    return (start == 0 || !wh_is_word(wh_utf8_before(text + start, &size))) &&
           (end == len || !wh_is_word(wh_utf8_get(text + end, &size)));
}

weft_status wh_added_split(const wh_added_tokens *added, const wh_added_index *index,
                           const char *text, size_t len, size_t base, bool first, wh_pieces *out,
                           weft_error *err) {
    size_t done = 0;
    for (size_t i = 0; index->start[256] && i < len;) {
        const wh_added *a = token_at(added, index, text + i, len - i);
        if (!a) {
            i++;
            continue;
        }
        size_t start = i, end = i + a->match_len, size;
        i = end;
        if (a->single_word && !stands_alone(text, len, start, end)) continue;
        if (a->left_strip) {
            while (start > 0 && wh_is_space(wh_utf8_before(text + start, &size))) start -= size;
            if (start < done) start = done;
        }
        if (a->right_strip)
            while (end < len && wh_is_space(wh_utf8_get(text + end, &size))) end += size;
        if (done < start)
            WEFT_TRY(wh_pieces_add(out, base + done, start - done, -1, first && done == 0, err));
        WEFT_TRY(wh_pieces_add(out, base + start, end - start, a->id, first && start == 0, err));
        done = end;
    }
    if (done < len) return wh_pieces_add(out, base + done, len - done, -1, first && done == 0, err);
    return WEFT_OK;
}

void wh_added_free(wh_added_tokens *added) {
    for (size_t i = 0; i < added->n; i++) {
        free(added->v[i].content);
        free(added->v[i].match);
    }
    free(added->v);
    free(added->raw.order);
    free(added->normalized.order);
    wh_strmap_free(&added->by_content);
    *added = (wh_added_tokens){0};
}
