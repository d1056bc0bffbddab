/* tokenizer.json: the file, its model and its added tokens. */
#include "host/tokenizer_json.h"

#include "host/json_util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- JSON helpers ---- */

weft_status wh_tok_json_file(json_t **out, const char *path, weft_error *err) {
    WEFT_TRY(wh_json_load_lenient(out, path, WH_TOKENIZER_FILE_MAX, err));
    if (json_is_object(*out)) return WEFT_OK;
    json_decref(*out);
    *out = NULL;
    return WEFT_FAIL(err, WEFT_E_DATA, "%s: the file holds no JSON object", path);
}

weft_status wh_tok_json_bool(json_t *object, const char *key, bool preset, bool *out,
                             const char *where, weft_error *err) {
    json_t *value = json_object_get(object, key);
    *out = preset;
    if (!value || json_is_null(value)) return WEFT_OK;
    if (!json_is_boolean(value))
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: '%s' is not true or false", where, key);
    *out = json_is_true(value);
    return WEFT_OK;
}

weft_status wh_tok_json_text(json_t *object, const char *key, const char **out, size_t *len,
                             const char *where, weft_error *err) {
    json_t *value = json_object_get(object, key);
    *out = "";
    *len = 0;
    if (!json_is_string(value))
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: '%s' is missing or not a string", where, key);
    *out = json_string_value(value);
    *len = json_string_length(value);
    return WEFT_OK;
}

weft_status wh_tok_json_id(json_t *value, int32_t *out, const char *what, const char *where,
                           weft_error *err) {
    int64_t id = -1;
    *out = -1;
    if (!wh_json_whole(value, &id) || id < 0 || id >= INT32_MAX)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: the id of '%s' is not an integer from 0 to 2^31-2",
                         where, what);
    *out = (int32_t)id;
    return WEFT_OK;
}

/* ---- model ---- */

weft_status wh_vocab_put(wh_model *model, const char *token, size_t len, int64_t id,
                         const char *where, weft_error *err) {
    if (id < 0 || id >= INT32_MAX)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: the id %lld of '%.60s' is not from 0 to 2^31-2",
                         where, (long long)id, token);
    if (!wh_strmap_put(&model->vocab, token, len, (int32_t)id))
        return WEFT_FAIL(err, WEFT_E_MEM, "%s: no memory for the vocabulary", where);
    if (len > model->longest) model->longest = len;
    return WEFT_OK;
}

static weft_status read_vocab(wh_model *model, json_t *vocab, const char *path, weft_error *err) {
    if (!json_is_object(vocab) || json_object_size(vocab) == 0)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: the model has no vocabulary ('vocab')", path);
    const char *token;
    json_t *value;
    json_object_foreach(vocab, token, value) {
        int32_t id;
        WEFT_TRY(wh_tok_json_id(value, &id, token, path, err));
        WEFT_TRY(wh_vocab_put(model, token, strlen(token), id, path, err));
    }
    return WEFT_OK;
}

/* A string member that may be missing or null; *out is then NULL, or "" with `empty`. */
static weft_status optional_text(json_t *object, const char *key, bool empty, char **out,
                                 size_t *len, const char *path, weft_error *err) {
    json_t *value = json_object_get(object, key);
    const char *text = "";
    *len = 0;
    if (value && !json_is_null(value))
        WEFT_TRY(wh_tok_json_text(object, key, &text, len, path, err));
    else if (!empty)
        return WEFT_OK;
    *out = malloc(*len + 1);
    if (!*out) return WEFT_FAIL(err, WEFT_E_MEM, "%s: no memory", path);
    memcpy(*out, text, *len + 1);
    return WEFT_OK;
}

static weft_status read_wordpiece(wh_model *model, json_t *m, const char *path, weft_error *err) {
    const char *text;
    size_t len;
    WEFT_TRY(wh_tok_json_text(m, "unk_token", &text, &len, path, err));
    WEFT_TRY(wh_tok_json_text(m, "continuing_subword_prefix", &text, &len, path, err));
    int64_t chars = -1;
    if (!wh_json_whole(json_object_get(m, "max_input_chars_per_word"), &chars) || chars < 0)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: 'max_input_chars_per_word' is missing or not a positive integer",
                         path);
    model->max_chars = (size_t)chars;
    return WEFT_OK;
}

static weft_status read_merge(wh_model *model, json_t *merge, uint32_t rank, const char *path,
                              weft_error *err) {
    if (json_is_string(merge)) {
        const char *text = json_string_value(merge);
        size_t len = json_string_length(merge);
        const char *gap = memchr(text, ' ', len);
        if (gap && !memchr(gap + 1, ' ', len - (size_t)(gap + 1 - text)))
            return wh_bpe_add_merge(model, rank, text, (size_t)(gap - text), gap + 1,
                                    len - (size_t)(gap + 1 - text), path, err);
    } else if (json_array_size(merge) == 2) {
        json_t *a = json_array_get(merge, 0), *b = json_array_get(merge, 1);
        if (json_is_string(a) && json_is_string(b))
            return wh_bpe_add_merge(model, rank, json_string_value(a), json_string_length(a),
                                    json_string_value(b), json_string_length(b), path, err);
    }
    return WEFT_FAIL(err, WEFT_E_DATA, "%s: merge %u is not two tokens", path, (unsigned)rank + 1);
}

static weft_status read_bpe(wh_model *model, json_t *m, const char *path, weft_error *err) {
    json_t *dropout = json_object_get(m, "dropout"), *merges = json_object_get(m, "merges");
    if (json_is_number(dropout) && json_number_value(dropout) > 0)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: BPE with 'dropout' is not supported; set it to null", path);
    WEFT_TRY(optional_text(m, "end_of_word_suffix", true, &model->suffix, &model->suffix_len, path,
                           err));
    WEFT_TRY(wh_tok_json_bool(m, "fuse_unk", false, &model->fuse_unk, path, err));
    WEFT_TRY(wh_tok_json_bool(m, "byte_fallback", false, &model->byte_fallback, path, err));
    WEFT_TRY(wh_tok_json_bool(m, "ignore_merges", false, &model->ignore_merges, path, err));
    if (!json_is_array(merges))
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: the BPE model has no list of merges ('merges')",
                         path);
    for (unsigned b = 0; b < 256; b++) {
        char name[8];
        int n = snprintf(name, sizeof name, "<0x%02X>", b);
        model->byte_ids[b] = wh_strmap_get(&model->vocab, name, (size_t)n);
    }
    WEFT_TRY(wh_bpe_merge_room(model, json_array_size(merges), err));
    uint32_t rank = 0;
    for (size_t i = 0; i < json_array_size(merges); i++) {
        json_t *merge = json_array_get(merges, i);
        if (json_is_string(merge) && strncmp(json_string_value(merge), "#version", 8) == 0)
            continue;
        WEFT_TRY(read_merge(model, merge, rank++, path, err));
    }
    return WEFT_OK;
}

static weft_status read_model(wh_model *model, json_t *m, const char *path, weft_error *err) {
    if (!json_is_object(m)) return WEFT_FAIL(err, WEFT_E_DATA, "%s: there is no 'model'", path);
    const char *type = json_string_value(json_object_get(m, "type"));
    if (!type) type = json_object_get(m, "merges") ? "BPE" : "WordPiece"; /* files before 2020 */
    size_t ignored;
    WEFT_TRY(optional_text(m, "continuing_subword_prefix", true, &model->prefix, &model->prefix_len,
                           path, err));
    WEFT_TRY(optional_text(m, "unk_token", false, &model->unk, &ignored, path, err));
    if (strcmp(type, "WordPiece") == 0) {
        model->kind = WH_MODEL_WORDPIECE;
        WEFT_TRY(read_vocab(model, json_object_get(m, "vocab"), path, err));
        WEFT_TRY(read_wordpiece(model, m, path, err));
    } else if (strcmp(type, "BPE") == 0) {
        model->kind = WH_MODEL_BPE;
        WEFT_TRY(read_vocab(model, json_object_get(m, "vocab"), path, err));
        WEFT_TRY(read_bpe(model, m, path, err));
    } else {
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: the model '%s' is not supported; WordPiece and BPE are", path, type);
    }
    if (model->unk) model->unk_id = wh_strmap_get(&model->vocab, model->unk, strlen(model->unk));
    return WEFT_OK;
}

/* ---- added tokens and the whole ---- */

static weft_status read_added(wh_tokenizer *t, json_t *list, const char *path, weft_error *err) {
    if (list && !json_is_null(list) && !json_is_array(list))
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: 'added_tokens' is not a list", path);
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i);
        wh_added token = {0};
        const char *content;
        WEFT_TRY(wh_tok_json_text(item, "content", &content, &token.content_len, path, err));
        WEFT_TRY(wh_tok_json_bool(item, "special", false, &token.special, path, err));
        WEFT_TRY(wh_tok_json_bool(item, "single_word", false, &token.single_word, path, err));
        WEFT_TRY(wh_tok_json_bool(item, "lstrip", false, &token.left_strip, path, err));
        WEFT_TRY(wh_tok_json_bool(item, "rstrip", false, &token.right_strip, path, err));
        WEFT_TRY(
            wh_tok_json_bool(item, "normalized", !token.special, &token.normalized, path, err));
        WEFT_TRY(wh_added_put(&t->added, &token, content, err));
    }
    return wh_added_finish(&t->added, &t->model.vocab, t->norm, t->norm_n, err);
}

weft_status wh_read_tokenizer_json(wh_tokenizer *t, const char *path, weft_error *err) {
    json_t *root = NULL;
    WEFT_TRY(wh_tok_json_file(&root, path, err));
    weft_status st;
    WEFT_TRY_GOTO(st, read_model(&t->model, json_object_get(root, "model"), path, err), done);
    WEFT_TRY_GOTO(st, wh_read_normalizer(t, json_object_get(root, "normalizer"), path, err), done);
    WEFT_TRY_GOTO(st, wh_read_pre_tokenizer(t, json_object_get(root, "pre_tokenizer"), path, err),
                  done);
    WEFT_TRY_GOTO(st, wh_read_post_processor(t, json_object_get(root, "post_processor"), path, err),
                  done);
    st = read_added(t, json_object_get(root, "added_tokens"), path, err);
done:
    json_decref(root);
    return st;
}
