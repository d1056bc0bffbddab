/* Opening a tokenizer and encoding with it. */
#include "host/text.h"
#include "host/tokenizer_parts.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The cache of words starts over past this many ids, and longer words are not kept. */
#define CACHED_IDS_MAX  (1u << 20)
#define CACHED_WORD_MAX 256

/* Over the vocabulary, the added tokens and what the templates put around texts, which a file may
 * number as it likes. */
static void set_top_id(wh_tokenizer *t) {
    t->top_id = -1;
    const wh_strmap *vocab = &t->model.vocab;
    for (size_t i = 0; i < vocab->places; i++)
        if (vocab->entries[i].value > t->top_id) t->top_id = vocab->entries[i].value;
    for (size_t i = 0; i < t->added.n; i++)
        if (t->added.v[i].id > t->top_id) t->top_id = t->added.v[i].id;
    const wh_template *const templates[] = {&t->single, &t->pair};
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < templates[k]->n; i++)
            if (templates[k]->v[i].id > t->top_id) t->top_id = templates[k]->v[i].id;
}

static weft_status read_folder(wh_tokenizer *t, const char *dir, weft_error *err) {
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return WEFT_FAIL(err, WEFT_E_DATA, "model folder: the path has more than %zu bytes",
                         sizeof path);
    if (wh_folder_has(dir, "tokenizer.json"))
        WEFT_TRY(wh_read_tokenizer_json(t, path, err));
    else if (wh_folder_has(dir, "vocab.txt"))
        WEFT_TRY(wh_read_vocab_txt(t, dir, err));
    else if (wh_folder_has(dir, "vocab.json") && wh_folder_has(dir, "merges.txt"))
        WEFT_TRY(wh_read_vocab_merges(t, dir, err));
    else
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: no tokenizer; the folder needs tokenizer.json, or vocab.txt, or "
                         "vocab.json with merges.txt",
                         dir);
    return wh_read_roles(t, dir, err);
}

weft_status wh_tokenizer_open(wh_tokenizer **out, const char *model_dir, weft_error *err) {
    static atomic_uint_fast64_t serials = 1;
    wh_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory");
    t->serial = atomic_fetch_add(&serials, 1);
    t->model.unk_id = -1;
    for (int i = 0; i < WH_ROLES; i++) t->role[i] = -1;
    weft_status st = read_folder(t, model_dir, err);
    if (st != WEFT_OK) {
        wh_tokenizer_close(t);
        return st;
    }
    set_top_id(t);
    *out = t;
    return WEFT_OK;
}

void wh_tokenizer_close(wh_tokenizer *t) {
    if (!t) return;
    for (size_t i = 0; i < t->norm_n; i++) wh_norm_step_free(&t->norm[i]);
    for (size_t i = 0; i < t->pre_n; i++) wh_pre_step_free(&t->pre[i]);
    free(t->norm);
    free(t->pre);
    wh_strmap_free(&t->model.vocab);
    free(t->model.unk);
    free(t->model.prefix);
    free(t->model.suffix);
    free(t->model.merges);
    wh_added_free(&t->added);
    free(t->single.v);
    free(t->pair.v);
    free(t);
}

/* ---- encode ---- */

/* Appends the ids of a word, from the cache where it is there. */
static weft_status look_up(const wh_tokenizer *t, wh_scratch *s, const char *word, size_t len,
                           wh_ids *ids, weft_error *err) {
    int32_t at = len <= CACHED_WORD_MAX ? wh_strmap_get(&s->cache, word, len) : -1;
    if (at >= 0) {
        const int32_t *hit = s->cached.v + at;
        for (int32_t i = 1; i <= hit[0]; i++) WEFT_TRY(wh_ids_add(ids, hit[i], err));
        return WEFT_OK;
    }
    size_t from = ids->n;
    WEFT_TRY(t->model.kind == WH_MODEL_WORDPIECE ? wh_wordpiece(&t->model, s, word, len, ids, err)
                                                 : wh_bpe(&t->model, s, word, len, ids, err));
    if (len > CACHED_WORD_MAX) return WEFT_OK;
    size_t n = ids->n - from;
    if (s->cached.n + n + 1 > CACHED_IDS_MAX) {
        s->cached.n = 0;
        wh_strmap_clear(&s->cache);
    }
    at = (int32_t)s->cached.n;
    WEFT_TRY(wh_ids_add(&s->cached, (int32_t)n, err));
    for (size_t i = 0; i < n; i++) WEFT_TRY(wh_ids_add(&s->cached, ids->v[from + i], err));
    if (!wh_strmap_put(&s->cache, word, len, at))
        return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory for the cache of words");
    return WEFT_OK;
}

/* Words of one text, in s->pieces over s->text. */
static weft_status find_words(const wh_tokenizer *t, wh_scratch *s, const char *text, size_t len,
                              weft_error *err) {
    s->input.len = s->text.len = 0;
    s->found.n = s->pieces.n = 0;
    WEFT_TRY(wh_utf8_repair(&s->input, text, len, err));
    WEFT_TRY(wh_added_split(&t->added, &t->added.raw, s->input.data, s->input.len, 0, true,
                            &s->found, err));
    for (size_t i = 0; i < s->found.n; i++) {
        const wh_piece *p = &s->found.v[i];
        if (p->id >= 0) {
            WEFT_TRY(wh_pieces_add(&s->pieces, 0, 0, p->id, p->first, err));
            continue;
        }
        size_t base = s->text.len;
        WEFT_TRY(
            wh_normalize(t->norm, t->norm_n, s, s->input.data + p->off, p->len, &s->text, err));
        if (s->text.len == base) continue;
        WEFT_TRY(wh_added_split(&t->added, &t->added.normalized, s->text.data + base,
                                s->text.len - base, base, p->first, &s->pieces, err));
    }
    return wh_pretokenize(t->pre, t->pre_n, s, err);
}

/* Ids of one text; enough > 0: may stop after the word that reaches so many. */
static weft_status encode_text(const wh_tokenizer *t, wh_scratch *s, const char *text, size_t len,
                               int32_t enough, wh_ids *ids, weft_error *err) {
    if (len > WH_TOKENIZER_TEXT_MAX)
        return WEFT_FAIL(err, WEFT_E_DATA, "tokenizer: a text of %zu bytes; at most %zu", len,
                         WH_TOKENIZER_TEXT_MAX);
    ids->n = 0;
    WEFT_TRY(find_words(t, s, text, len, err));
    for (size_t i = 0; i < s->pieces.n; i++) {
        const wh_piece *p = &s->pieces.v[i];
        if (p->id >= 0) {
            WEFT_TRY(wh_ids_add(ids, p->id, err));
            continue;
        }
        WEFT_TRY(look_up(t, s, s->text.data + p->off, p->len, ids, err));
        if (enough > 0 && ids->n >= (size_t)enough) break;
    }
    return WEFT_OK;
}

weft_status wh_tokenizer_encode(const wh_tokenizer *t, const char *text, size_t len,
                                const char *pair, size_t pair_len, int32_t max_len,
                                wh_encoding *out, weft_error *err) {
    out->len = 0;
    if (!out->scratch) {
        out->scratch = calloc(1, sizeof *out->scratch);
        if (!out->scratch) return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory");
    }
    wh_scratch *s = out->scratch;
    if (s->owner != t->serial) {
        s->owner = t->serial;
        s->cached.n = 0;
        wh_strmap_clear(&s->cache);
    }
    /* In a pair, which text is cut depends on the full lengths of both. */
    WEFT_TRY(encode_text(t, s, text, len, pair ? 0 : max_len, &s->first, err));
    if (pair) WEFT_TRY(encode_text(t, s, pair, pair_len, 0, &s->second, err));
    const wh_template *template = pair ? &t->pair : &t->single;
    if (max_len > 0)
        WEFT_TRY(wh_truncate(template, max_len, &s->first, pair ? &s->second : NULL, err));
    return wh_fill(template, &s->first, &s->second, out, err);
}

void wh_scratch_release(wh_scratch *s) {
    wh_bytes *texts[] = {&s->input, &s->work, &s->other, &s->text, &s->spare};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) wh_bytes_free(texts[i]);
    free(s->found.v);
    free(s->pieces.v);
    free(s->next.v);
    free(s->points.v);
    free(s->first.v);
    free(s->second.v);
    free(s->symbols);
    free(s->heap);
    wh_strmap_free(&s->cache);
    free(s->cached.v);
    pcre2_match_data_free(s->match);
    *s = (wh_scratch){0};
}

void wh_encoding_free(wh_encoding *encoding) {
    if (encoding->scratch) wh_scratch_release(encoding->scratch);
    free(encoding->scratch);
    free(encoding->ids);
    free(encoding->type_ids);
    *encoding = (wh_encoding){0};
}

/* ---- getters ---- */

static size_t map_bytes(const wh_strmap *map) {
    return map->places * sizeof *map->entries + map->bytes_cap;
}

size_t wh_tokenizer_bytes(const wh_tokenizer *t) {
    return map_bytes(&t->model.vocab) + map_bytes(&t->added.by_content) +
           t->model.merge_places * sizeof *t->model.merges;
}

int32_t wh_tokenizer_vocab_size(const wh_tokenizer *t) {
    return t->top_id + 1;
}

int32_t wh_tokenizer_id(const wh_tokenizer *t, const char *token) {
    int32_t added = wh_strmap_get(&t->added.by_content, token, strlen(token));
    return added >= 0 ? t->added.v[added].id : wh_strmap_get(&t->model.vocab, token, strlen(token));
}

int32_t wh_tokenizer_pad_id(const wh_tokenizer *t) {
    return t->role[WH_PAD];
}

int32_t wh_tokenizer_cls_id(const wh_tokenizer *t) {
    return t->role[WH_CLS];
}

int32_t wh_tokenizer_sep_id(const wh_tokenizer *t) {
    return t->role[WH_SEP];
}

int32_t wh_tokenizer_unk_id(const wh_tokenizer *t) {
    return t->role[WH_UNK];
}

int32_t wh_tokenizer_mask_id(const wh_tokenizer *t) {
    return t->role[WH_MASK];
}

int32_t wh_tokenizer_added(const wh_tokenizer *t, bool pair) {
    return pair ? t->pair.specials : t->single.specials;
}

const char *wh_tokenizer_model_name(const wh_tokenizer *t) {
    return t->model.kind == WH_MODEL_WORDPIECE ? "WordPiece" : "BPE";
}
