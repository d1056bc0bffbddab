/* tokenizer.json: the post-processor, turned into one template for a text and one for a pair. */
#include "host/json_util.h"
#include "host/tokenizer_json.h"

#include <string.h>

/* "sep": ["[SEP]", 102] */
static weft_status read_token_id(json_t *value, const char *key, int32_t *out, const char *path,
                                 weft_error *err) {
    json_t *pair = json_object_get(value, key);
    if (json_array_size(pair) != 2)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: the post-processor's '%s' is not [token, id]", path,
                         key);
    return wh_tok_json_id(json_array_get(pair, 1), out, key, path, err);
}

/* Rows keep a type id in a byte. */
static weft_status read_type_id(json_t *piece, int32_t *out, const char *path, weft_error *err) {
    int64_t id = 0;
    WEFT_TRY(wh_json_int(piece, path, "type_id", 0, UINT8_MAX, &id, err));
    *out = (int32_t)id;
    return WEFT_OK;
}

/* Ids of one special token, a template's part each. */
static weft_status add_special(wh_template *out, json_t *specials, const char *name,
                               int32_t type_id, const char *path, weft_error *err) {
    json_t *ids = json_object_get(json_object_get(specials, name), "ids");
    if (!json_is_array(ids))
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: the template's special token '%.60s' has no ids",
                         path, name);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        int32_t id;
        WEFT_TRY(wh_tok_json_id(json_array_get(ids, i), &id, name, path, err));
        WEFT_TRY(wh_template_add(out, WH_PART_SPECIAL, type_id, id, err));
    }
    return WEFT_OK;
}

static weft_status read_piece(wh_template *out, json_t *piece, json_t *specials, bool pair,
                              const char *path, weft_error *err) {
    json_t *text = json_object_get(piece, "Sequence"),
           *special = json_object_get(piece, "SpecialToken");
    const char *id = json_string_value(json_object_get(text ? text : special, "id"));
    int32_t type_id;
    if (!id) return WEFT_FAIL(err, WEFT_E_DATA, "%s: a part of a template has no id", path);
    WEFT_TRY(read_type_id(text ? text : special, &type_id, path, err));
    if (!text) return add_special(out, specials, id, type_id, path, err);
    bool first = strcmp(id, "A") == 0;
    if (!first && (strcmp(id, "B") != 0 || !pair))
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: the template for %s uses the sequence '%.60s'",
                         path, pair ? "pairs" : "single texts", id);
    wh_part_kind kind = first ? WH_PART_A : WH_PART_B;
    for (size_t i = 0; i < out->n; i++)
        if (out->v[i].kind == kind)
            return WEFT_FAIL(err, WEFT_E_DATA,
                             "%s: the template for %s uses the sequence '%s' twice; not supported",
                             path, pair ? "pairs" : "single texts", id);
    return wh_template_add(out, kind, type_id, 0, err);
}

static weft_status read_template(wh_template *out, json_t *value, bool pair, const char *path,
                                 weft_error *err) {
    const char *key = pair ? "pair" : "single";
    json_t *pieces = json_object_get(value, key);
    json_t *specials = json_object_get(value, "special_tokens");
    if (!json_is_array(pieces))
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: TemplateProcessing has no list '%s'", path, key);
    out->n = 0;
    out->specials = 0;
    for (size_t i = 0; i < json_array_size(pieces); i++)
        WEFT_TRY(read_piece(out, json_array_get(pieces, i), specials, pair, path, err));
    return WEFT_OK;
}

static weft_status read_cls_sep(wh_tokenizer *t, json_t *value, bool roberta, const char *path,
                                weft_error *err) {
    int32_t cls, sep;
    WEFT_TRY(read_token_id(value, "cls", &cls, path, err));
    WEFT_TRY(read_token_id(value, "sep", &sep, path, err));
    t->role[WH_CLS] = cls;
    t->role[WH_SEP] = sep;
    return roberta ? wh_template_roberta(t, cls, sep, err) : wh_template_bert(t, cls, sep, err);
}

/* *set counts the post-processors that add tokens: more than one cannot be one template. */
static weft_status read_one(wh_tokenizer *t, json_t *value, int *set, const char *path,
                            weft_error *err) {
    const char *type = json_string_value(json_object_get(value, "type"));
    if (!type) type = "(without a type)";
    if (strcmp(type, "Sequence") == 0) {
        json_t *list = json_object_get(value, "processors");
        if (!json_is_array(list))
            return WEFT_FAIL(err, WEFT_E_DATA, "%s: a Sequence has no list 'processors'", path);
        for (size_t i = 0; i < json_array_size(list); i++)
            WEFT_TRY(read_one(t, json_array_get(list, i), set, path, err));
        return WEFT_OK;
    }
    if (strcmp(type, "ByteLevel") == 0) return WEFT_OK; /* it only changes character offsets */
    if (++*set > 1)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: more than one post-processor that adds tokens is not supported",
                         path);
    if (strcmp(type, "BertProcessing") == 0) return read_cls_sep(t, value, false, path, err);
    if (strcmp(type, "RobertaProcessing") == 0) return read_cls_sep(t, value, true, path, err);
    if (strcmp(type, "TemplateProcessing") == 0) {
        WEFT_TRY(read_template(&t->single, value, false, path, err));
        return read_template(&t->pair, value, true, path, err);
    }
    return WEFT_FAIL(err, WEFT_E_DATA, "%s: the post-processor '%.60s' is not supported", path,
                     type);
}

weft_status wh_read_post_processor(wh_tokenizer *t, json_t *value, const char *path,
                                   weft_error *err) {
    int set = 0;
    WEFT_TRY(wh_template_plain(t, err));
    if (!value || json_is_null(value)) return WEFT_OK;
    return read_one(t, value, &set, path, err);
}
