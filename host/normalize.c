/* Normalisers of tokenizer.json, one function each: from one text to another. */
#include "host/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

static weft_status put_point(wh_bytes *out, uint32_t c, weft_error *err) {
    WEFT_TRY(wh_bytes_room(out, 4, err));
    out->len += wh_utf8_put(out->data + out->len, c);
    return WEFT_OK;
}

static weft_status put_points(wh_bytes *out, const wh_points *points, weft_error *err) {
    WEFT_TRY(wh_bytes_room(out, points->n * 4, err));
    for (size_t i = 0; i < points->n; i++)
        out->len += wh_utf8_put(out->data + out->len, (uint32_t)points->v[i]);
    return WEFT_OK;
}

static weft_status decompose_text(wh_points *points, const wh_bytes *in, bool compat,
                                  weft_error *err) {
    points->n = 0;
    for (size_t i = 0, size; i < in->len; i += size)
        WEFT_TRY(wh_decompose(points, wh_utf8_get(in->data + i, &size), compat, err));
    return wh_order_marks(points, err);
}

static weft_status lower_text(const wh_bytes *in, wh_bytes *out, weft_error *err) {
    WEFT_TRY(wh_bytes_room(out, in->len, err));
    for (size_t i = 0, size; i < in->len; i += size) {
        uint32_t lower[2];
        size_t n = wh_lower(wh_utf8_get(in->data + i, &size), lower);
        for (size_t k = 0; k < n; k++) WEFT_TRY(put_point(out, lower[k], err));
    }
    return WEFT_OK;
}

static bool is_ascii(const wh_bytes *in) {
    uint8_t bits = 0;
    for (size_t i = 0; i < in->len; i++) bits |= (uint8_t)in->data[i];
    return bits < 0x80;
}

/* ASCII has no accents and no ideographs: clean and lower in one pass. */
static weft_status bert_ascii(const wh_norm_step *step, const wh_bytes *in, wh_bytes *out,
                              weft_error *err) {
    WEFT_TRY(wh_bytes_room(out, in->len, err));
    char *to = out->data ? out->data + out->len : NULL;
    for (size_t i = 0; i < in->len; i++) {
        char c = in->data[i];
        if (step->clean) {
            if (wh_is_control((uint32_t)c)) continue;
            if (wh_is_space((uint32_t)c)) c = ' ';
        }
        if (step->lower && c >= 'A' && c <= 'Z') c = (char)(c + 32);
        *to++ = c;
        out->len++;
    }
    return WEFT_OK;
}

/* Order as in HF: clean, set ideographs apart, strip accents (canonical decomposition without
 * non-spacing marks), lower case. */
static weft_status bert(const wh_norm_step *step, wh_scratch *s, const wh_bytes *in, wh_bytes *out,
                        weft_error *err) {
    if (is_ascii(in)) return bert_ascii(step, in, out, err);
    wh_points *points = &s->points;
    points->n = 0;
    for (size_t i = 0, size; i < in->len; i += size) {
        uint32_t c = wh_utf8_get(in->data + i, &size);
        if (step->clean) {
            if (wh_is_control(c)) continue;
            if (wh_is_space(c)) c = ' ';
        }
        WEFT_TRY(wh_points_room(points, 2, err));
        bool apart = step->cjk && wh_is_cjk(c);
        if (apart) points->v[points->n++] = ' ';
        if (step->strip_accents) {
            WEFT_TRY(wh_decompose(points, c, false, err));
        } else {
            points->v[points->n++] = (int32_t)c;
        }
        WEFT_TRY(wh_points_room(points, 1, err));
        if (apart) points->v[points->n++] = ' ';
    }
    if (step->strip_accents) {
        WEFT_TRY(wh_order_marks(points, err));
        size_t kept = 0;
        for (size_t i = 0; i < points->n; i++)
            if (!wh_is_nonspacing((uint32_t)points->v[i])) points->v[kept++] = points->v[i];
        points->n = kept;
    }
    if (!step->lower) return put_points(out, points, err);
    for (size_t i = 0; i < points->n; i++) {
        uint32_t lower[2];
        size_t n = wh_lower((uint32_t)points->v[i], lower);
        for (size_t k = 0; k < n; k++) WEFT_TRY(put_point(out, lower[k], err));
    }
    return WEFT_OK;
}

static weft_status normal_form(wh_norm_kind kind, wh_scratch *s, const wh_bytes *in, wh_bytes *out,
                               weft_error *err) {
    if (is_ascii(in)) return wh_bytes_add(out, in->data, in->len, err);
    bool compat = kind == WH_NORM_NFKC || kind == WH_NORM_NFKD;
    WEFT_TRY(decompose_text(&s->points, in, compat, err));
    if (kind == WH_NORM_NFC || kind == WH_NORM_NFKC) wh_compose(&s->points);
    return put_points(out, &s->points, err);
}

static weft_status strip_accents(const wh_bytes *in, wh_bytes *out, weft_error *err) {
    for (size_t i = 0, size; i < in->len; i += size) {
        uint32_t c = wh_utf8_get(in->data + i, &size);
        if (!wh_is_combining(c)) WEFT_TRY(put_point(out, c, err));
    }
    return WEFT_OK;
}

static weft_status strip(const wh_norm_step *step, const wh_bytes *in, wh_bytes *out,
                         weft_error *err) {
    size_t from = 0, to = in->len, size;
    while (step->left && from < to && wh_is_space(wh_utf8_get(in->data + from, &size)))
        from += size;
    while (step->right && to > from && wh_is_space(wh_utf8_before(in->data + to, &size)))
        to -= size;
    return to > from ? wh_bytes_add(out, in->data + from, to - from, err) : WEFT_OK;
}

static weft_status replace(const wh_norm_step *step, wh_scratch *s, const wh_bytes *in,
                           wh_bytes *out, weft_error *err) {
    size_t done = 0, from = 0;
    bool after_match = false;
    while (from <= in->len) {
        bool found;
        size_t start, end, size = 1;
        WEFT_TRY(
            wh_pattern_find(&step->pattern, s, in->data, in->len, from, &found, &start, &end, err));
        if (!found) break;
        /* An empty match right behind a match does not count. */
        if (start != end || start != done || !after_match) {
            WEFT_TRY(wh_bytes_add(out, in->data + done, start - done, err));
            WEFT_TRY(wh_bytes_add(out, step->content, step->content_len, err));
            done = end;
            after_match = true;
        }
        if (start == end && end < in->len) (void)wh_utf8_get(in->data + end, &size);
        from = start == end ? end + size : end;
    }
    return wh_bytes_add(out, in->data + done, in->len - done, err);
}

static weft_status run(const wh_norm_step *step, wh_scratch *s, const wh_bytes *in, wh_bytes *out,
                       weft_error *err) {
    switch (step->kind) {
    case WH_NORM_BERT:
        return bert(step, s, in, out, err);
    case WH_NORM_LOWER:
        return lower_text(in, out, err);
    case WH_NORM_NFC:
    case WH_NORM_NFD:
    case WH_NORM_NFKC:
    case WH_NORM_NFKD:
        return normal_form(step->kind, s, in, out, err);
    case WH_NORM_STRIP_ACCENTS:
        return strip_accents(in, out, err);
    case WH_NORM_STRIP:
        return strip(step, in, out, err);
    case WH_NORM_REPLACE:
        return replace(step, s, in, out, err);
    case WH_NORM_PREPEND:
        WEFT_TRY(wh_bytes_add(out, step->content, step->content_len, err));
        return wh_bytes_add(out, in->data, in->len, err);
    case WH_NORM_BYTE_LEVEL:
        return wh_byte_chars(out, in->data, in->len, err);
    }
    return WEFT_OK;
}

static weft_status run_all(const wh_norm_step *steps, size_t count, wh_scratch *s, wh_bytes *out,
                           weft_error *err) {
    for (size_t i = 0; i < count; i++) {
        if (s->work.len == 0) return WEFT_OK; /* no step makes text out of nothing */
        s->other.len = 0;
        WEFT_TRY(run(&steps[i], s, &s->work, &s->other, err));
        wh_bytes swap = s->work;
        s->work = s->other;
        s->other = swap;
    }
    return wh_bytes_add(out, s->work.data, s->work.len, err);
}

weft_status wh_normalize(const wh_norm_step *steps, size_t count, wh_scratch *s, const char *text,
                         size_t len, wh_bytes *out, weft_error *err) {
    if (count == 0) return wh_bytes_add(out, text, len, err);
    s->work.len = 0;
    WEFT_TRY(wh_bytes_add(&s->work, text, len, err));
    /* Replacements of a tokenizer.json that is a trap multiply a text again and again. */
    s->work.limit = s->other.limit = len * WH_NORM_GROWTH + WH_NORM_GROWTH_BASE;
    weft_status st = run_all(steps, count, s, out, err);
    s->work.limit = s->other.limit = 0;
    return st;
}

void wh_norm_step_free(wh_norm_step *step) {
    wh_pattern_free(&step->pattern);
    free(step->content);
    *step = (wh_norm_step){0};
}
