/* Byte pair encoding: a word starts as its characters, and the best-ranked pair of neighbours is
 * merged until none is left (Sennrich et al. 2016). A heap of candidates keeps long words at O(n
 * log n). */
#include "host/tokenizer_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t pair_key(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static wh_merge *merge_place(const wh_model *model, uint64_t pair) {
    uint64_t h = pair * 0x9e3779b97f4a7c15u;
    size_t mask = model->merge_places - 1;
    for (size_t i = (size_t)(h >> 32) & mask;; i = (i + 1) & mask) {
        wh_merge *m = &model->merges[i];
        if (m->pair == UINT64_MAX || m->pair == pair) return m;
    }
}

static const wh_merge *merge_of(const wh_model *model, int32_t left, int32_t right) {
    if (model->merge_count == 0) return NULL;
    const wh_merge *m = merge_place(model, pair_key(left, right));
    return m->pair == UINT64_MAX ? NULL : m;
}

weft_status wh_bpe_merge_room(wh_model *model, size_t count, weft_error *err) {
    size_t places = 16;
    while (places < count * 2) places *= 2;
    model->merges = malloc(places * sizeof *model->merges);
    if (!model->merges)
        return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory for %zu merges", count);
    model->merge_places = places;
    for (size_t i = 0; i < places; i++) model->merges[i].pair = UINT64_MAX;
    return WEFT_OK;
}

weft_status wh_bpe_add_merge(wh_model *model, uint32_t rank, const char *left, size_t left_len,
                             const char *right, size_t right_len, const char *where,
                             weft_error *err) {
    int32_t a = wh_strmap_get(&model->vocab, left, left_len);
    int32_t b = wh_strmap_get(&model->vocab, right, right_len);
    int32_t joined = -1;
    if (right_len >= model->prefix_len && a >= 0 && b >= 0) {
        size_t tail = right_len - model->prefix_len;
        char *text = malloc(left_len + tail + 1);
        if (!text) return WEFT_FAIL(err, WEFT_E_MEM, "%s: no memory for a merge", where);
        memcpy(text, left, left_len);
        memcpy(text + left_len, right + model->prefix_len, tail);
        joined = wh_strmap_get(&model->vocab, text, left_len + tail);
        free(text);
    }
    if (joined < 0)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: merge %u ('%.*s' '%.*s') needs a token that is not in the vocabulary",
                         where, (unsigned)rank + 1, (int)(left_len < 40 ? left_len : 40), left,
                         (int)(right_len < 40 ? right_len : 40), right);
    wh_merge *m = merge_place(model, pair_key(a, b));
    if (m->pair == UINT64_MAX) model->merge_count++;
    *m = (wh_merge){pair_key(a, b), rank, joined};
    return WEFT_OK;
}

/* ---- the heap: lowest rank first, then leftmost ---- */

static bool before(wh_merge_step a, wh_merge_step b) {
    return a.rank != b.rank ? a.rank < b.rank : a.pos < b.pos;
}

static weft_status heap_push(wh_scratch *s, wh_merge_step step, weft_error *err) {
    void *heap = s->heap;
    if (!wh_grow(&heap, &s->heap_cap, s->heap_n + 1, sizeof *s->heap))
        return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory to merge a word");
    s->heap = heap;
    size_t i = s->heap_n++;
    for (; i > 0 && before(step, s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = step;
    return WEFT_OK;
}

static wh_merge_step heap_pop(wh_scratch *s) {
    wh_merge_step top = s->heap[0], last = s->heap[--s->heap_n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < s->heap_n; i = child) {
        if (child + 1 < s->heap_n && before(s->heap[child + 1], s->heap[child])) child++;
        if (!before(s->heap[child], last)) break;
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = last;
    return top;
}

/* ---- a word ---- */

static weft_status add_symbol(wh_scratch *s, size_t *n, int32_t id, weft_error *err) {
    void *symbols = s->symbols;
    if (*n >= INT32_MAX || !wh_grow(&symbols, &s->symbols_cap, *n + 1, sizeof *s->symbols))
        return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory to merge a word");
    s->symbols = symbols;
    int32_t at = (int32_t)*n;
    s->symbols[at] = (wh_symbol){id, at - 1, -1, 1};
    if (at) s->symbols[at - 1].next = at;
    (*n)++;
    return WEFT_OK;
}

static weft_status offer(const wh_model *model, wh_scratch *s, int32_t left, int32_t right,
                         weft_error *err) {
    const wh_merge *m = merge_of(model, s->symbols[left].id, s->symbols[right].id);
    if (!m) return WEFT_OK;
    return heap_push(s, (wh_merge_step){m->rank, (uint32_t)left, m->id}, err);
}

/* One token for each byte of s, if the vocabulary has them all. */
static weft_status add_bytes(const wh_model *model, wh_scratch *s, size_t *n, const char *text,
                             size_t len, bool *done, weft_error *err) {
    *done = false;
    if (!model->byte_fallback) return WEFT_OK;
    for (size_t i = 0; i < len; i++)
        if (model->byte_ids[(uint8_t)text[i]] < 0) return WEFT_OK;
    for (size_t i = 0; i < len; i++)
        WEFT_TRY(add_symbol(s, n, model->byte_ids[(uint8_t)text[i]], err));
    *done = true;
    return WEFT_OK;
}

/* The word's characters as symbols. An unknown character waits until the next known one, so that it
 * can fuse with its neighbours; bytes that stand for a character do not end the wait (as in HF). */
static weft_status add_symbols(const wh_model *model, wh_scratch *s, const char *word, size_t len,
                               size_t *n, weft_error *err) {
    bool waiting = false;
    wh_bytes *key = &s->other;
    for (size_t i = 0, size; i < len; i += size) {
        (void)wh_utf8_get(word + i, &size);
        const char *text = word + i;
        size_t text_len = size;
        bool prefixed = i > 0 && model->prefix_len, suffixed = i + size == len && model->suffix_len;
        if (prefixed || suffixed) {
            key->len = 0;
            if (prefixed) WEFT_TRY(wh_bytes_add(key, model->prefix, model->prefix_len, err));
            WEFT_TRY(wh_bytes_add(key, text, size, err));
            if (suffixed) WEFT_TRY(wh_bytes_add(key, model->suffix, model->suffix_len, err));
            text = key->data;
            text_len = key->len;
        }
        int32_t id = wh_strmap_get(&model->vocab, text, text_len);
        if (id >= 0) {
            if (waiting) WEFT_TRY(add_symbol(s, n, model->unk_id, err));
            waiting = false;
            WEFT_TRY(add_symbol(s, n, id, err));
            continue;
        }
        bool done;
        WEFT_TRY(add_bytes(model, s, n, text, text_len, &done, err));
        if (done || !model->unk) continue;
        if (model->unk_id < 0)
            return WEFT_FAIL(err, WEFT_E_DATA,
                             "tokenizer: the text needs the unknown token '%s', which is not in "
                             "the vocabulary",
                             model->unk);
        if (waiting && !model->fuse_unk) WEFT_TRY(add_symbol(s, n, model->unk_id, err));
        waiting = true;
    }
    return waiting ? add_symbol(s, n, model->unk_id, err) : WEFT_OK;
}

weft_status wh_bpe(const wh_model *model, wh_scratch *s, const char *word, size_t len, wh_ids *ids,
                   weft_error *err) {
    if (model->ignore_merges) {
        int32_t id = wh_strmap_get(&model->vocab, word, len);
        if (id >= 0) return wh_ids_add(ids, id, err);
    }
    size_t n = 0;
    WEFT_TRY(add_symbols(model, s, word, len, &n, err));
    s->heap_n = 0;
    for (size_t i = 0; i + 1 < n; i++) WEFT_TRY(offer(model, s, (int32_t)i, (int32_t)i + 1, err));
    while (s->heap_n) {
        wh_merge_step top = heap_pop(s);
        wh_symbol *left = &s->symbols[top.pos];
        if (left->len == 0 || left->next < 0) continue;
        wh_symbol *right = &s->symbols[left->next];
        const wh_merge *m = merge_of(model, left->id, right->id);
        if (!m || m->id != top.id) continue; /* the pair changed since it was offered */
        left->id = top.id;
        left->len += right->len;
        right->len = 0;
        left->next = right->next;
        if (left->next >= 0) s->symbols[left->next].prev = (int32_t)top.pos;
        if (left->prev >= 0) WEFT_TRY(offer(model, s, left->prev, (int32_t)top.pos, err));
        if (left->next >= 0) WEFT_TRY(offer(model, s, (int32_t)top.pos, left->next, err));
    }
    for (int32_t i = n ? 0 : -1; i >= 0; i = s->symbols[i].next)
        WEFT_TRY(wh_ids_add(ids, s->symbols[i].id, err));
    return WEFT_OK;
}
