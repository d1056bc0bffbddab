/* tokenizer.json: normalisers, pre-tokenizers and the post-processor. */
#include "host/tokenizer_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

weft_status wh_norm_push(wh_tokenizer *t, wh_norm_step step, weft_error *err) {
    void *norm = t->norm;
    if (!wh_grow(&norm, &t->norm_cap, t->norm_n + 1, sizeof *t->norm)) {
        wh_norm_step_free(&step);
        return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory");
    }
    t->norm = norm;
    t->norm[t->norm_n++] = step;
    return WEFT_OK;
}

weft_status wh_pre_push(wh_tokenizer *t, wh_pre_step step, weft_error *err) {
    void *pre = t->pre;
    if (!wh_grow(&pre, &t->pre_cap, t->pre_n + 1, sizeof *t->pre)) {
        wh_pre_step_free(&step);
        return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory");
    }
    t->pre = pre;
    t->pre[t->pre_n++] = step;
    return WEFT_OK;
}

typedef struct {
    const char *name;
    int kind;
} named;

/* The kind of a component by its "type", or -1. */
static int kind_of(json_t *value, const named *names, size_t count) {
    const char *type = json_string_value(json_object_get(value, "type"));
    for (size_t i = 0; type && i < count; i++)
        if (strcmp(type, names[i].name) == 0) return names[i].kind;
    return -1;
}

static weft_status unsupported(json_t *value, const char *what, const char *path, weft_error *err) {
    const char *type = json_string_value(json_object_get(value, "type"));
    return WEFT_FAIL(err, WEFT_E_DATA, "%s: the %s '%.60s' is not supported", path, what,
                     type ? type : "(without a type)");
}

typedef weft_status reader(wh_tokenizer *t, json_t *value, const char *path, weft_error *err);

/* Reads the members of a Sequence one by one; sequences do not nest deeper than the JSON parser
 * allows. */
static weft_status each(wh_tokenizer *t, json_t *value, const char *list, reader *read,
                        const char *path, weft_error *err) {
    json_t *items = json_object_get(value, list);
    if (!json_is_array(items))
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: a Sequence has no list '%s'", path, list);
    for (size_t i = 0; i < json_array_size(items); i++)
        WEFT_TRY(read(t, json_array_get(items, i), path, err));
    return WEFT_OK;
}

static bool is_sequence(json_t *value) {
    const char *type = json_string_value(json_object_get(value, "type"));
    return type && strcmp(type, "Sequence") == 0;
}

/* {"String": "..."} or {"Regex": "..."}. */
static weft_status read_pattern(wh_pattern *out, json_t *value, const char *what, const char *path,
                                weft_error *err) {
    json_t *pattern = json_object_get(value, "pattern");
    json_t *literal = json_object_get(pattern, "String"),
           *regex = json_object_get(pattern, "Regex");
    char where[512];
    (void)snprintf(where, sizeof where, "%s: %s", path, what);
    if (json_is_string(regex))
        return wh_pattern_regex(out, json_string_value(regex), json_string_length(regex), where,
                                err);
    if (json_is_string(literal) && json_string_length(literal) > 0)
        return wh_pattern_literal(out, json_string_value(literal), json_string_length(literal),
                                  err);
    return WEFT_FAIL(err, WEFT_E_DATA, "%s: 'pattern' is not a Regex or a String that is not empty",
                     where);
}

/* ---- normalisers ---- */

static const named NORMALIZERS[] = {{"BertNormalizer", WH_NORM_BERT},
                                    {"Lowercase", WH_NORM_LOWER},
                                    {"NFC", WH_NORM_NFC},
                                    {"NFD", WH_NORM_NFD},
                                    {"NFKC", WH_NORM_NFKC},
                                    {"NFKD", WH_NORM_NFKD},
                                    {"Strip", WH_NORM_STRIP},
                                    {"StripAccents", WH_NORM_STRIP_ACCENTS},
                                    {"Replace", WH_NORM_REPLACE},
                                    {"Prepend", WH_NORM_PREPEND},
                                    {"ByteLevel", WH_NORM_BYTE_LEVEL}};

static weft_status read_content(wh_norm_step *step, json_t *value, const char *key,
                                const char *path, weft_error *err) {
    const char *text;
    WEFT_TRY(wh_tok_json_text(value, key, &text, &step->content_len, path, err));
    step->content = malloc(step->content_len + 1);
    if (!step->content) return WEFT_FAIL(err, WEFT_E_MEM, "%s: no memory", path);
    memcpy(step->content, text, step->content_len + 1);
    return WEFT_OK;
}

static weft_status read_norm_members(wh_norm_step *step, json_t *value, const char *path,
                                     weft_error *err) {
    if (step->kind == WH_NORM_BERT) {
        WEFT_TRY(wh_tok_json_bool(value, "clean_text", true, &step->clean, path, err));
        WEFT_TRY(wh_tok_json_bool(value, "handle_chinese_chars", true, &step->cjk, path, err));
        WEFT_TRY(wh_tok_json_bool(value, "lowercase", true, &step->lower, path, err));
        return wh_tok_json_bool(value, "strip_accents", step->lower, &step->strip_accents, path,
                                err);
    }
    if (step->kind == WH_NORM_STRIP) {
        WEFT_TRY(wh_tok_json_bool(value, "strip_left", true, &step->left, path, err));
        return wh_tok_json_bool(value, "strip_right", true, &step->right, path, err);
    }
    if (step->kind == WH_NORM_PREPEND) return read_content(step, value, "prepend", path, err);
    if (step->kind == WH_NORM_REPLACE) {
        WEFT_TRY(read_pattern(&step->pattern, value, "Replace", path, err));
        return read_content(step, value, "content", path, err);
    }
    return WEFT_OK;
}

weft_status wh_read_normalizer(wh_tokenizer *t, json_t *value, const char *path, weft_error *err) {
    if (!value || json_is_null(value)) return WEFT_OK;
    if (is_sequence(value)) return each(t, value, "normalizers", wh_read_normalizer, path, err);
    int kind = kind_of(value, NORMALIZERS, sizeof NORMALIZERS / sizeof NORMALIZERS[0]);
    if (kind < 0) return unsupported(value, "normalizer", path, err);
    wh_norm_step step = {.kind = (wh_norm_kind)kind};
    weft_status st = read_norm_members(&step, value, path, err);
    if (st == WEFT_OK) return wh_norm_push(t, step, err);
    wh_norm_step_free(&step);
    return st;
}

/* ---- pre-tokenizers ---- */

static const named PRE_TOKENIZERS[] = {{"BertPreTokenizer", WH_PRE_BERT},
                                       {"Whitespace", WH_PRE_WHITESPACE},
                                       {"WhitespaceSplit", WH_PRE_WHITESPACE_SPLIT},
                                       {"ByteLevel", WH_PRE_BYTE_LEVEL},
                                       {"Split", WH_PRE_SPLIT},
                                       {"Digits", WH_PRE_DIGITS},
                                       {"Punctuation", WH_PRE_PUNCTUATION},
                                       {"Metaspace", WH_PRE_METASPACE}};

static const char *const BEHAVIORS[] = {[WH_SPLIT_REMOVED] = "Removed",
                                        [WH_SPLIT_ISOLATED] = "Isolated",
                                        [WH_SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
                                        [WH_SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
                                        [WH_SPLIT_CONTIGUOUS] = "Contiguous"};

static const char *const SCHEMES[] = {
    [WH_PREPEND_ALWAYS] = "always", [WH_PREPEND_FIRST] = "first", [WH_PREPEND_NEVER] = "never"};

/* The place of a string member in a list; `preset` where it is missing. */
static weft_status read_choice(json_t *value, const char *key, const char *const *choices,
                               int count, int preset, int *out, const char *path, weft_error *err) {
    json_t *choice = json_object_get(value, key);
    *out = preset;
    if (!choice) return WEFT_OK;
    const char *text = json_string_value(choice);
    for (int i = 0; text && i < count; i++) {
        *out = i;
        if (strcmp(text, choices[i]) == 0) return WEFT_OK;
    }
    return WEFT_FAIL(err, WEFT_E_DATA, "%s: '%s': '%.60s' is not supported", path, key,
                     text ? text : "");
}

static weft_status read_metaspace(wh_pre_step *step, json_t *value, const char *path,
                                  weft_error *err) {
    const char *mark;
    size_t len, size = 0;
    bool add;
    int scheme;
    WEFT_TRY(wh_tok_json_text(value, "replacement", &mark, &len, path, err));
    if (len) (void)wh_utf8_get(mark, &size);
    if (len == 0 || size != len)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: Metaspace's 'replacement' is not one character",
                         path);
    WEFT_TRY(wh_tok_json_bool(value, "split", true, &step->split, path, err));
    WEFT_TRY(wh_tok_json_bool(value, "add_prefix_space", true, &add, path, err));
    WEFT_TRY(
        read_choice(value, "prepend_scheme", SCHEMES, 3, WH_PREPEND_ALWAYS, &scheme, path, err));
    step->prepend = add ? (wh_prepend_scheme)scheme : WH_PREPEND_NEVER;
    return wh_pattern_literal(&step->pattern, mark, len, err);
}

static weft_status read_pre_members(wh_pre_step *step, json_t *value, const char *path,
                                    weft_error *err) {
    int behavior = WH_SPLIT_ISOLATED;
    bool single;
    if (step->kind == WH_PRE_BYTE_LEVEL) {
        WEFT_TRY(wh_tok_json_bool(value, "add_prefix_space", true, &step->prefix_space, path, err));
        return wh_tok_json_bool(value, "use_regex", true, &step->regex, path, err);
    }
    if (step->kind == WH_PRE_DIGITS) {
        WEFT_TRY(wh_tok_json_bool(value, "individual_digits", false, &single, path, err));
        behavior = single ? WH_SPLIT_ISOLATED : WH_SPLIT_CONTIGUOUS;
    }
    if (step->kind == WH_PRE_METASPACE) return read_metaspace(step, value, path, err);
    if (step->kind == WH_PRE_PUNCTUATION || step->kind == WH_PRE_SPLIT)
        WEFT_TRY(
            read_choice(value, "behavior", BEHAVIORS, 5, WH_SPLIT_ISOLATED, &behavior, path, err));
    step->behavior = (wh_split_behavior)behavior;
    if (step->kind != WH_PRE_SPLIT) return WEFT_OK;
    WEFT_TRY(wh_tok_json_bool(value, "invert", false, &step->invert, path, err));
    return read_pattern(&step->pattern, value, "Split", path, err);
}

weft_status wh_read_pre_tokenizer(wh_tokenizer *t, json_t *value, const char *path,
                                  weft_error *err) {
    if (!value || json_is_null(value)) return WEFT_OK;
    if (is_sequence(value))
        return each(t, value, "pretokenizers", wh_read_pre_tokenizer, path, err);
    int kind = kind_of(value, PRE_TOKENIZERS, sizeof PRE_TOKENIZERS / sizeof PRE_TOKENIZERS[0]);
    if (kind < 0) return unsupported(value, "pre-tokenizer", path, err);
    wh_pre_step step = {.kind = (wh_pre_kind)kind};
    weft_status st = read_pre_members(&step, value, path, err);
    if (st == WEFT_OK) return wh_pre_push(t, step, err);
    wh_pre_step_free(&step);
    return st;
}
