#include "tests/engine/golden_source.h"

#include "kernels/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *meta(void *ud, const char *key) {
    return golden_text(((golden_file *)ud)->set, key);
}

static weft_status tensor(void *ud, const char *name, weft_source_tensor *out, weft_error *err) {
    golden_file *g = ud;
    char key[256];
    (void)err;
    (void)snprintf(key, sizeof key, "base/%s", name);
    const golden_tensor *t = golden_find(g->set, key);
    memset(out, 0, sizeof *out);
    if (!t) return WEFT_OK;
    out->data = g->data + t->offset;
    out->dtype = t->dtype == GOLDEN_F32 ? WEFT_F32 : WEFT_I32;
    out->ndim = t->ndim;
    for (int i = 0; i < t->ndim; i++) out->dim[i] = t->dim[i];
    return WEFT_OK;
}

weft_model_source golden_source(golden_file *g) {
    return (weft_model_source){.ud = g, .name = g->set->file, .meta = meta, .tensor = tensor};
}

void golden_must(weft_status st, const weft_error *err, const char *what) {
    if (st == WEFT_OK) return;
    (void)fprintf(stderr, "%s: %s: %s\n", what, weft_status_str(st), err->text);
    exit(1);
}

static void set(weft_config *config, const char *key, const char *value) {
    weft_error err = {0};
    golden_must(weft_config_set(config, key, value, NULL, &err), &err, key);
}

weft_config *golden_config(const golden_set *s) {
    weft_config *config = NULL;
    weft_error err = {0};
    golden_must(weft_config_new(&config, &err), &err, "configuration");
    set(config, "lora.r", golden_text(s, "lora.r"));
    set(config, "lora.alpha", golden_text(s, "lora.alpha"));
    set(config, "lora.use_rslora", golden_text(s, "lora.use_rslora"));
    set(config, "client.max_grad_norm", "0");
    /* A JSON list of names becomes a comma separated one. */
    char targets[256];
    size_t n = 0;
    for (const char *p = golden_text(s, "lora.target_modules"); *p && n + 1 < sizeof targets; p++)
        if (!strchr("[]\" ", *p)) targets[n++] = *p;
    targets[n] = 0;
    set(config, "lora.target_modules", targets);
    return config;
}

void golden_set_options(weft_config *config, const char *const *pairs, size_t n) {
    weft_error err = {0};
    for (size_t i = 0; i + 1 < n; i += 2) set(config, pairs[i], pairs[i + 1]);
    golden_must(weft_config_finish(config, &err), &err, "configuration");
}

weft_rows golden_rows(const golden_file *g) {
    int64_t n_rows = 0, n_tokens = 0;
    bool types = golden_find(g->set, "c0/token_type_ids") != NULL;
    bool regression = golden_find(g->set, "c0/labels")->dtype == GOLDEN_F32;
    int64_t *offset = calloc(64, sizeof *offset);
    int32_t *token = calloc(1024, sizeof *token), *label = calloc(64, sizeof *label);
    int32_t *client = calloc(64, sizeof *client);
    uint8_t *type = calloc(1024, 1);
    float *target = calloc(64, sizeof *target);
    for (int c = 0; c < 2; c++) {
        char key[64];
        const golden_tensor *off, *ids;
        (void)snprintf(key, sizeof key, "c%d/seq_off", c);
        const int32_t *seq_off = golden_i32(g, key, &off);
        (void)snprintf(key, sizeof key, "c%d/input_ids", c);
        const int32_t *input = golden_i32(g, key, &ids);
        int64_t q = off->dim[0] - 1;
        memcpy(token + n_tokens, input, (size_t)ids->dim[0] * sizeof *token);
        if (types) {
            (void)snprintf(key, sizeof key, "c%d/token_type_ids", c);
            const int32_t *t = golden_i32(g, key, NULL);
            for (int i = 0; i < ids->dim[0]; i++) type[n_tokens + i] = (uint8_t)t[i];
        }
        (void)snprintf(key, sizeof key, "c%d/labels", c);
        for (int64_t i = 0; i < q; i++) {
            if (regression)
                target[n_rows + i] = golden_f32(g, key, NULL)[i];
            else
                label[n_rows + i] = golden_i32(g, key, NULL)[i];
            client[n_rows + i] = c;
            offset[n_rows + i + 1] = n_tokens + seq_off[i + 1];
        }
        n_rows += q;
        n_tokens += ids->dim[0];
    }
    return (weft_rows){.n_rows = n_rows,
                       .offset = offset,
                       .token = token,
                       .type = type,
                       .label = regression ? (free(label), NULL) : label,
                       .target = regression ? target : (free(target), NULL),
                       .client = client,
                       .n_clients = 2,
                       .num_labels = regression ? 1 : 3};
}

weft_rows golden_ragged_rows(int n, int lengths, uint32_t site) {
    wk_stream s = wk_stream_at(wk_rng_key(5, WK_RNG_TEST, site), 0, 0, 0);
    int64_t *offset = calloc((size_t)n + 1, sizeof *offset);
    int32_t *token = calloc((size_t)(n * (lengths + 2)), sizeof *token);
    int32_t *label = calloc((size_t)n, sizeof *label);
    for (int i = 0; i < n; i++) {
        offset[i + 1] = offset[i] + 2 + wk_stream_below(&s, (uint32_t)lengths);
        for (int64_t t = offset[i]; t < offset[i + 1]; t++)
            token[t] = (int32_t)wk_stream_below(&s, 97);
        label[i] = (int32_t)wk_stream_below(&s, 3);
    }
    return (weft_rows){
        .n_rows = n, .offset = offset, .token = token, .label = label, .num_labels = 3};
}

void golden_rows_free(weft_rows *rows) {
    const void *const owned[] = {rows->offset, rows->token,  rows->type,
                                 rows->label,  rows->target, rows->client};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free((void *)(uintptr_t)owned[i]);
    memset(rows, 0, sizeof *rows);
}

const float *golden_view(const golden_file *g, int client, const char *what,
                         const weft_view *view) {
    char key[256];
    (void)snprintf(key, sizeof key, "c%d/%s/base_model.model.%s.%s", client, what, view->module,
                   view->tensor);
    return golden_f32(g, key, NULL);
}
