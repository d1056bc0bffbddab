/* After the model: cut to a length, and put special tokens around one text or two. */
#include "host/tokenizer_parts.h"

#include <string.h>

weft_status wh_ids_add(wh_ids *ids, int32_t id, weft_error *err) {
    void *v = ids->v;
    if (!wh_grow(&v, &ids->cap, ids->n + 1, sizeof *ids->v))
        return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory for %zu ids", ids->n + 1);
    ids->v = v;
    ids->v[ids->n++] = id;
    return WEFT_OK;
}

weft_status wh_template_add(wh_template *template, wh_part_kind kind, int32_t type_id, int32_t id,
                            weft_error *err) {
    void *v = template->v;
    if (!wh_grow(&v, &template->cap, template->n + 1, sizeof *template->v))
        return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory for a template");
    template->v = v;
    template->v[template->n++] = (wh_part){kind, type_id, id};
    if (kind == WH_PART_SPECIAL) template->specials++;
    return WEFT_OK;
}

static weft_status fill_template(wh_template *out, const wh_part *parts, size_t count,
                                 weft_error *err) {
    out->n = 0;
    out->specials = 0;
    for (size_t i = 0; i < count; i++)
        WEFT_TRY(wh_template_add(out, parts[i].kind, parts[i].type_id, parts[i].id, err));
    return WEFT_OK;
}

weft_status wh_template_plain(wh_tokenizer *t, weft_error *err) {
    const wh_part parts[] = {{WH_PART_A, 0, 0}, {WH_PART_B, 1, 0}};
    WEFT_TRY(fill_template(&t->single, parts, 1, err));
    return fill_template(&t->pair, parts, 2, err);
}

weft_status wh_template_bert(wh_tokenizer *t, int32_t cls, int32_t sep, weft_error *err) {
    const wh_part parts[] = {{WH_PART_SPECIAL, 0, cls},
                             {WH_PART_A, 0, 0},
                             {WH_PART_SPECIAL, 0, sep},
                             {WH_PART_B, 1, 0},
                             {WH_PART_SPECIAL, 1, sep}};
    WEFT_TRY(fill_template(&t->single, parts, 3, err));
    return fill_template(&t->pair, parts, 5, err);
}

weft_status wh_template_roberta(wh_tokenizer *t, int32_t cls, int32_t sep, weft_error *err) {
    const wh_part parts[] = {{WH_PART_SPECIAL, 0, cls}, {WH_PART_A, 0, 0},
                             {WH_PART_SPECIAL, 0, sep}, {WH_PART_SPECIAL, 0, sep},
                             {WH_PART_B, 0, 0},         {WH_PART_SPECIAL, 0, sep}};
    WEFT_TRY(fill_template(&t->single, parts, 3, err));
    return fill_template(&t->pair, parts, 6, err);
}

static void shorten(wh_ids *ids, size_t n) {
    if (ids->n > n) ids->n = n;
}

weft_status wh_truncate(const wh_template *template, int32_t max_len, wh_ids *a, wh_ids *b,
                        weft_error *err) {
    if (max_len < template->specials)
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "tokenizer: a maximum length of %d tokens has no room for the %d special "
                         "tokens; raise it",
                         (int)max_len, (int)template->specials);
    size_t room = (size_t)(max_len - template->specials);
    if (!b) {
        shorten(a, room);
        return WEFT_OK;
    }
    if (a->n + b->n <= room) return WEFT_OK;
    /* The shorter text stays whole if the longer keeps at least as much; else each gets half, and
     * the longer the odd token. */
    bool swapped = a->n > b->n;
    size_t brief = swapped ? b->n : a->n, lengthy = brief;
    if (brief <= room && room - brief > brief) lengthy = room - brief;
    if (brief + lengthy > room) {
        brief = room / 2;
        lengthy = brief + room % 2;
    }
    shorten(a, swapped ? lengthy : brief);
    shorten(b, swapped ? brief : lengthy);
    return WEFT_OK;
}

weft_status wh_fill(const wh_template *template, const wh_ids *a, const wh_ids *b, wh_encoding *out,
                    weft_error *err) {
    size_t len = 0;
    for (size_t i = 0; i < template->n; i++)
        len += template->v[i].kind == WH_PART_SPECIAL ? 1
               : template->v[i].kind == WH_PART_A     ? a->n
                                                      : b->n;
    size_t cap = out->cap, type_cap = out->cap;
    void *ids = out->ids, *types = out->type_ids;
    bool ok = wh_grow(&ids, &cap, len, sizeof *out->ids);
    out->ids = ids;
    ok = ok && wh_grow(&types, &type_cap, len, sizeof *out->type_ids);
    out->type_ids = types;
    if (!ok) return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory for %zu ids", len);
    out->cap = cap;
    size_t at = 0;
    for (size_t i = 0; i < template->n; i++) {
        const wh_part *part = &template->v[i];
        const int32_t *from = &part->id;
        size_t n = 1;
        if (part->kind != WH_PART_SPECIAL) {
            const wh_ids *text = part->kind == WH_PART_A ? a : b;
            from = text->v;
            n = text->n;
        }
        if (n) memcpy(out->ids + at, from, n * sizeof *from);
        for (size_t k = 0; k < n; k++) out->type_ids[at + k] = part->type_id;
        at += n;
    }
    out->len = len;
    return WEFT_OK;
}
