/* Model folders without tokenizer.json: vocab.txt (BERT), vocab.json with merges.txt (RoBERTa,
 * GPT-2); and special tokens by role, from tokenizer_config.json and special_tokens_map.json. */
#include "host/json_util.h"
#include "host/tokenizer_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4096

static const char *const ROLE_KEYS[WH_ROLES] = {
    [WH_PAD] = "pad_token", [WH_CLS] = "cls_token",   [WH_SEP] = "sep_token",
    [WH_UNK] = "unk_token", [WH_MASK] = "mask_token",
};
static const char *const ROLE_NAMES[WH_ROLES][2] = {
    [WH_PAD] = {"[PAD]", "<pad>"}, [WH_CLS] = {"[CLS]", "<s>"},      [WH_SEP] = {"[SEP]", "</s>"},
    [WH_UNK] = {"[UNK]", "<unk>"}, [WH_MASK] = {"[MASK]", "<mask>"},
};

static weft_status join(char path[PATH_BYTES], const char *dir, const char *name, weft_error *err) {
    int n = snprintf(path, PATH_BYTES, "%s/%s", dir, name);
    if (n > 0 && n < PATH_BYTES) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_DATA, "model folder: the path has more than %d bytes", PATH_BYTES);
}

/* A JSON file that may be missing; *out is then NULL. */
static weft_status optional_json(json_t **out, const char *dir, const char *name, weft_error *err) {
    char path[PATH_BYTES];
    *out = NULL;
    WEFT_TRY(join(path, dir, name, err));
    return access(path, F_OK) == 0 ? wh_tok_json_file(out, path, err) : WEFT_OK;
}

/* The name of a special token: a string, or {"content": ...}; NULL where there is none. */
static const char *token_name(json_t *config, const char *key) {
    json_t *value = json_object_get(config, key);
    if (json_is_object(value)) value = json_object_get(value, "content");
    return json_string_value(value);
}

weft_status wh_read_roles(wh_tokenizer *t, const char *dir, weft_error *err) {
    json_t *config = NULL, *map = NULL;
    WEFT_TRY(optional_json(&config, dir, "tokenizer_config.json", err));
    weft_status st = optional_json(&map, dir, "special_tokens_map.json", err);
    for (int role = 0; st == WEFT_OK && role < WH_ROLES; role++) {
        const char *names[] = {
            token_name(config, ROLE_KEYS[role]), token_name(map, ROLE_KEYS[role]),
            role == WH_UNK ? t->model.unk : NULL, ROLE_NAMES[role][0], ROLE_NAMES[role][1]};
        for (size_t i = 0; i < 5 && t->role[role] < 0; i++)
            if (names[i]) t->role[role] = wh_tokenizer_id(t, names[i]);
    }
    json_decref(config);
    json_decref(map);
    return st;
}

/* The five roles as added tokens, as far as the vocabulary has them. */
static weft_status add_roles(wh_tokenizer *t, const char *dir, bool mask_strips, weft_error *err) {
    WEFT_TRY(wh_read_roles(t, dir, err));
    const wh_strmap *vocab = &t->model.vocab;
    for (size_t i = 0; i < vocab->places; i++) {
        const wh_strmap_entry *e = &vocab->entries[i];
        for (int role = 0; e->value >= 0 && role < WH_ROLES; role++) {
            if (t->role[role] != e->value) continue;
            wh_added token = {.content_len = e->len,
                              .special = true,
                              .left_strip = mask_strips && role == WH_MASK};
            WEFT_TRY(wh_added_put(&t->added, &token, vocab->bytes + e->key, err));
        }
    }
    return wh_added_finish(&t->added, vocab, t->norm, t->norm_n, err);
}

/* ---- text files line by line ---- */

typedef struct {
    char *text;
    size_t bytes, at, number;
} lines;

static weft_status open_lines(lines *l, const char *path, weft_error *err) {
    *l = (lines){0};
    return wh_file_read(&l->text, &l->bytes, path, WH_TOKENIZER_FILE_MAX, err);
}

static void close_lines(lines *l) {
    free(l->text);
}

/* The next line without its end; false after the last. */
static bool next_line(lines *l, const char **line, size_t *len) {
    if (l->at >= l->bytes) return false;
    *line = l->text + l->at;
    const char *end = memchr(*line, '\n', l->bytes - l->at);
    *len = end ? (size_t)(end - *line) : l->bytes - l->at;
    l->at += *len + 1;
    l->number++;
    if (*len > 0 && (*line)[*len - 1] == '\r') --*len;
    return true;
}

/* ---- BERT ---- */

static weft_status read_words(wh_model *model, const char *path, weft_error *err) {
    lines l;
    const char *line;
    size_t len;
    weft_status st = open_lines(&l, path, err);
    while (st == WEFT_OK && next_line(&l, &line, &len))
        st = wh_vocab_put(model, line, len, (int64_t)l.number - 1, path, err);
    close_lines(&l);
    if (st == WEFT_OK && model->vocab.count == 0)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: the vocabulary is empty", path);
    return st;
}

static weft_status set_text(char **out, size_t *len, const char *text, weft_error *err) {
    *len = strlen(text);
    *out = malloc(*len + 1);
    if (!*out) return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory");
    memcpy(*out, text, *len + 1);
    return WEFT_OK;
}

weft_status wh_read_vocab_txt(wh_tokenizer *t, const char *dir, weft_error *err) {
    char path[PATH_BYTES], config_path[PATH_BYTES];
    json_t *config;
    size_t len;
    wh_norm_step norm = {.kind = WH_NORM_BERT, .clean = true};
    WEFT_TRY(join(path, dir, "vocab.txt", err));
    WEFT_TRY(join(config_path, dir, "tokenizer_config.json", err));
    WEFT_TRY(optional_json(&config, dir, "tokenizer_config.json", err));
    const char *unk = token_name(config, "unk_token");
    weft_status st = set_text(&t->model.unk, &len, unk ? unk : "[UNK]", err);
    if (st == WEFT_OK)
        st = wh_tok_json_bool(config, "do_lower_case", true, &norm.lower, config_path, err);
    if (st == WEFT_OK)
        st = wh_tok_json_bool(config, "tokenize_chinese_chars", true, &norm.cjk, config_path, err);
    if (st == WEFT_OK)
        st = wh_tok_json_bool(config, "strip_accents", norm.lower, &norm.strip_accents, config_path,
                              err);
    json_decref(config);
    WEFT_TRY(st);
    t->model.kind = WH_MODEL_WORDPIECE;
    t->model.max_chars = 100;
    WEFT_TRY(set_text(&t->model.prefix, &t->model.prefix_len, "##", err));
    WEFT_TRY(read_words(&t->model, path, err));
    t->model.unk_id = wh_strmap_get(&t->model.vocab, t->model.unk, strlen(t->model.unk));
    WEFT_TRY(wh_norm_push(t, norm, err));
    WEFT_TRY(wh_pre_push(t, (wh_pre_step){.kind = WH_PRE_BERT}, err));
    WEFT_TRY(add_roles(t, dir, false, err));
    if (t->role[WH_CLS] < 0 || t->role[WH_SEP] < 0)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: the tokens [CLS] and [SEP] (or those that tokenizer_config.json "
                         "names) are not in the vocabulary",
                         path);
    return wh_template_bert(t, t->role[WH_CLS], t->role[WH_SEP], err);
}

/* ---- RoBERTa and GPT-2 ---- */

static weft_status read_merges(wh_model *model, const char *path, weft_error *err) {
    lines l;
    const char *line;
    size_t len;
    uint32_t rank = 0;
    weft_status st = open_lines(&l, path, err);
    if (st == WEFT_OK) st = wh_bpe_merge_room(model, model->vocab.count + 1, err);
    while (st == WEFT_OK && next_line(&l, &line, &len)) {
        if (len >= 8 && memcmp(line, "#version", 8) == 0) continue;
        const char *gap = memchr(line, ' ', len);
        size_t left = gap ? (size_t)(gap - line) : 0, right = gap ? len - left - 1 : 0;
        if (!gap || memchr(gap + 1, ' ', right)) {
            st = WEFT_FAIL(err, WEFT_E_DATA, "%s:%zu: not two tokens with one space between", path,
                           l.number);
        } else if (rank >= model->merge_places / 2) {
            st = WEFT_FAIL(err, WEFT_E_DATA, "%s:%zu: more merges than tokens in the vocabulary",
                           path, l.number);
        } else {
            st = wh_bpe_add_merge(model, rank++, line, left, gap + 1, right, path, err);
        }
    }
    close_lines(&l);
    return st;
}

static weft_status read_byte_vocab(wh_model *model, const char *path, weft_error *err) {
    json_t *vocab = NULL, *value;
    const char *token;
    WEFT_TRY(wh_tok_json_file(&vocab, path, err));
    weft_status st = WEFT_OK;
    json_object_foreach(vocab, token, value) {
        int32_t id = 0;
        st = wh_tok_json_id(value, &id, token, path, err);
        if (st == WEFT_OK) st = wh_vocab_put(model, token, strlen(token), id, path, err);
        if (st != WEFT_OK) break;
    }
    json_decref(vocab);
    if (st == WEFT_OK && model->vocab.count == 0)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: the vocabulary is empty", path);
    return st;
}

weft_status wh_read_vocab_merges(wh_tokenizer *t, const char *dir, weft_error *err) {
    char path[PATH_BYTES];
    json_t *config = NULL;
    wh_pre_step pre = {.kind = WH_PRE_BYTE_LEVEL, .regex = true};
    WEFT_TRY(join(path, dir, "added_tokens.json", err));
    if (access(path, F_OK) == 0)
        return WEFT_FAIL(
            err, WEFT_E_DATA,
            "%s: not supported beside merges.txt; save the tokenizer as tokenizer.json", path);
    WEFT_TRY(optional_json(&config, dir, "tokenizer_config.json", err));
    WEFT_TRY(join(path, dir, "tokenizer_config.json", err));
    weft_status st =
        wh_tok_json_bool(config, "add_prefix_space", false, &pre.prefix_space, path, err);
    json_decref(config);
    WEFT_TRY(st);
    t->model.kind = WH_MODEL_BPE;
    WEFT_TRY(set_text(&t->model.prefix, &t->model.prefix_len, "", err));
    WEFT_TRY(set_text(&t->model.suffix, &t->model.suffix_len, "", err));
    WEFT_TRY(join(path, dir, "vocab.json", err));
    WEFT_TRY(read_byte_vocab(&t->model, path, err));
    WEFT_TRY(join(path, dir, "merges.txt", err));
    WEFT_TRY(read_merges(&t->model, path, err));
    WEFT_TRY(wh_pre_push(t, pre, err));
    WEFT_TRY(add_roles(t, dir, true, err));
    /* GPT-2 has no such tokens and adds none. */
    if (t->role[WH_CLS] < 0 || t->role[WH_SEP] < 0) return wh_template_plain(t, err);
    return wh_template_roberta(t, t->role[WH_CLS], t->role[WH_SEP], err);
}
