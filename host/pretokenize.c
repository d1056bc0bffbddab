/* Pre-tokenizers of tokenizer.json: each cuts the words found so far into smaller ones. */
#include "host/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

weft_status wh_pieces_add(wh_pieces *pieces, size_t off, size_t len, int32_t id, bool first,
                          weft_error *err) {
    if (len == 0 && id < 0) return WEFT_OK;
    void *v = pieces->v;
    if (!wh_grow(&v, &pieces->cap, pieces->n + 1, sizeof *pieces->v))
        return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory for %zu words", pieces->n + 1);
    pieces->v = v;
    pieces->v[pieces->n++] = (wh_piece){(uint32_t)off, (uint32_t)len, id, first};
    return WEFT_OK;
}

/* One piece being cut: takes stretches from left to right, matches and what lies between, and adds
 * pieces by the behaviour. */
typedef struct {
    wh_pieces *out;
    wh_piece piece;
    wh_split_behavior behavior;
    bool invert;
    size_t start, end; /* a piece that may still grow; empty when start == end */
    bool last_match;
} cutter;

static weft_status emit(cutter *c, size_t start, size_t end, weft_error *err) {
    return wh_pieces_add(c->out, c->piece.off + start, end - start, -1,
                         c->piece.first && start == 0, err);
}

static weft_status flush(cutter *c, weft_error *err) {
    WEFT_TRY(emit(c, c->start, c->end, err));
    c->start = c->end;
    return WEFT_OK;
}

static weft_status stretch(cutter *c, size_t start, size_t end, bool match, weft_error *err) {
    match ^= c->invert;
    bool joins = false;
    switch (c->behavior) {
    case WH_SPLIT_REMOVED:
        return match ? WEFT_OK : emit(c, start, end, err);
    case WH_SPLIT_ISOLATED:
        return emit(c, start, end, err);
    case WH_SPLIT_CONTIGUOUS:
        joins = match == c->last_match;
        break;
    case WH_SPLIT_MERGED_WITH_PREVIOUS:
        joins = match && !c->last_match;
        break;
    case WH_SPLIT_MERGED_WITH_NEXT:
        joins = !match && c->last_match;
        break;
    }
    c->last_match = match;
    if (!joins) {
        WEFT_TRY(flush(c, err));
        c->start = start;
    }
    c->end = end;
    return WEFT_OK;
}

static cutter cut(wh_scratch *s, size_t index, wh_split_behavior behavior, bool invert) {
    return (cutter){
        .out = &s->next, .piece = s->pieces.v[index], .behavior = behavior, .invert = invert};
}

/* Cuts at the characters of a class; each is a match of its own. */
static weft_status cut_class(wh_scratch *s, size_t index, bool (*in_class)(uint32_t),
                             wh_split_behavior behavior, weft_error *err) {
    cutter c = cut(s, index, behavior, false);
    const char *text = s->text.data + c.piece.off;
    size_t done = 0;
    for (size_t i = 0, size; i < c.piece.len; i += size) {
        if (!in_class(wh_utf8_get(text + i, &size))) continue;
        if (done < i) WEFT_TRY(stretch(&c, done, i, false, err));
        WEFT_TRY(stretch(&c, i, i + size, true, err));
        done = i + size;
    }
    if (done < c.piece.len) WEFT_TRY(stretch(&c, done, c.piece.len, false, err));
    return flush(&c, err);
}

static weft_status cut_pattern(wh_scratch *s, size_t index, const wh_pattern *pattern,
                               wh_split_behavior behavior, bool invert, weft_error *err) {
    cutter c = cut(s, index, behavior, invert);
    const char *text = s->text.data + c.piece.off;
    size_t done = 0, from = 0, len = c.piece.len;
    bool any = false;
    while (from <= len) {
        bool found;
        size_t start, end, size = 1;
        WEFT_TRY(wh_pattern_find(pattern, s, text, len, from, &found, &start, &end, err));
        if (!found) break;
        /* An empty match right behind a match does not count. */
        if (start != end || start != done || !any) {
            if (done < start) WEFT_TRY(stretch(&c, done, start, false, err));
            WEFT_TRY(stretch(&c, start, end, true, err));
            done = end;
            any = true;
        }
        if (start == end && end < len) (void)wh_utf8_get(text + end, &size);
        from = start == end ? end + size : end;
    }
    if (done < len) WEFT_TRY(stretch(&c, done, len, false, err));
    return flush(&c, err);
}

/* Words without spaces, punctuation characters alone. */
static weft_status cut_bert(wh_scratch *s, size_t index, weft_error *err) {
    wh_piece piece = s->pieces.v[index];
    const char *text = s->text.data + piece.off;
    size_t word = 0;
    for (size_t i = 0, size; i < piece.len; i += size) {
        uint32_t c = wh_utf8_get(text + i, &size);
        bool space = wh_is_space(c);
        if (!space && !wh_is_punctuation(c)) continue;
        WEFT_TRY(
            wh_pieces_add(&s->next, piece.off + word, i - word, -1, piece.first && word == 0, err));
        if (!space)
            WEFT_TRY(wh_pieces_add(&s->next, piece.off + i, size, -1, piece.first && i == 0, err));
        word = i + size;
    }
    return wh_pieces_add(&s->next, piece.off + word, piece.len - word, -1, piece.first && word == 0,
                         err);
}

/* The matches of \w+|[^\w\s]+. */
static weft_status cut_whitespace(wh_scratch *s, size_t index, weft_error *err) {
    cutter c = cut(s, index, WH_SPLIT_REMOVED, false);
    const char *text = s->text.data + c.piece.off;
    enum { SPACE, WORD, OTHER } last = SPACE, kind;
    size_t start = 0;
    for (size_t i = 0, size; i < c.piece.len; i += size) {
        uint32_t point = wh_utf8_get(text + i, &size);
        kind = wh_is_word(point) ? WORD : wh_is_space(point) ? SPACE : OTHER;
        if (kind == last) continue;
        if (last != SPACE) WEFT_TRY(emit(&c, start, i, err));
        start = i;
        last = kind;
    }
    return last != SPACE ? emit(&c, start, c.piece.len, err) : WEFT_OK;
}

/* Writes the pieces anew with spaces replaced and the replacement in front, then cuts before each
 * replacement. */
static weft_status metaspace(const wh_pre_step *step, wh_scratch *s, weft_error *err) {
    const wh_pattern *mark = &step->pattern;
    s->spare.len = 0;
    for (size_t k = 0; k < s->pieces.n; k++) {
        wh_piece *piece = &s->pieces.v[k];
        size_t off = s->spare.len;
        if (piece->id >= 0) continue;
        const char *text = s->text.data + piece->off;
        bool marked = text[0] == ' ' || (piece->len >= mark->literal_len &&
                                         memcmp(text, mark->literal, mark->literal_len) == 0);
        bool wanted = step->prepend == WH_PREPEND_ALWAYS ||
                      (step->prepend == WH_PREPEND_FIRST && piece->first);
        if (wanted && !marked)
            WEFT_TRY(wh_text_add(&s->spare, mark->literal, mark->literal_len, err));
        for (size_t i = 0, done = 0; i <= piece->len; i++) {
            if (i < piece->len && text[i] != ' ') continue;
            WEFT_TRY(wh_text_add(&s->spare, text + done, i - done, err));
            if (i < piece->len)
                WEFT_TRY(wh_text_add(&s->spare, mark->literal, mark->literal_len, err));
            done = i + 1;
        }
        piece->off = (uint32_t)off;
        piece->len = (uint32_t)(s->spare.len - off);
    }
    wh_text swap = s->text;
    s->text = s->spare;
    s->spare = swap;
    if (!step->split) return WEFT_OK;
    s->next.n = 0;
    for (size_t k = 0; k < s->pieces.n; k++) {
        const wh_piece *p = &s->pieces.v[k];
        if (p->id >= 0)
            WEFT_TRY(wh_pieces_add(&s->next, p->off, p->len, p->id, p->first, err));
        else
            WEFT_TRY(cut_pattern(s, k, mark, WH_SPLIT_MERGED_WITH_NEXT, false, err));
    }
    wh_pieces pieces = s->pieces;
    s->pieces = s->next;
    s->next = pieces;
    return WEFT_OK;
}

static weft_status cut_piece(const wh_pre_step *step, wh_scratch *s, size_t k, weft_error *err) {
    switch (step->kind) {
    case WH_PRE_BERT:
        return cut_bert(s, k, err);
    case WH_PRE_WHITESPACE:
        return cut_whitespace(s, k, err);
    case WH_PRE_WHITESPACE_SPLIT:
        return cut_class(s, k, wh_is_space, WH_SPLIT_REMOVED, err);
    case WH_PRE_DIGITS:
        return cut_class(s, k, wh_is_numeric, step->behavior, err);
    case WH_PRE_PUNCTUATION:
        return cut_class(s, k, wh_is_punctuation, step->behavior, err);
    case WH_PRE_SPLIT:
        return cut_pattern(s, k, &step->pattern, step->behavior, step->invert, err);
    case WH_PRE_BYTE_LEVEL:
    case WH_PRE_METASPACE:
        break;
    }
    return WEFT_OK;
}

weft_status wh_pretokenize(const wh_pre_step *steps, size_t count, wh_scratch *s, weft_error *err) {
    for (size_t i = 0; i < count; i++) {
        if (steps[i].kind == WH_PRE_BYTE_LEVEL) {
            WEFT_TRY(wh_byte_level(&steps[i], s, err));
            continue;
        }
        if (steps[i].kind == WH_PRE_METASPACE) {
            WEFT_TRY(metaspace(&steps[i], s, err));
            continue;
        }
        s->next.n = 0;
        for (size_t k = 0; k < s->pieces.n; k++) {
            const wh_piece *p = &s->pieces.v[k];
            if (p->id >= 0)
                WEFT_TRY(wh_pieces_add(&s->next, p->off, p->len, p->id, p->first, err));
            else
                WEFT_TRY(cut_piece(&steps[i], s, k, err));
        }
        wh_pieces swap = s->pieces;
        s->pieces = s->next;
        s->next = swap;
    }
    return WEFT_OK;
}

void wh_pre_step_free(wh_pre_step *step) {
    wh_pattern_free(&step->pattern);
    *step = (wh_pre_step){0};
}
