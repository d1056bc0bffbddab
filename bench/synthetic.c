#include "bench/synthetic.h"

#include "kernels/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const synthetic_shape shapes[] = {
    {"roberta-base", "roberta", 12, 768, 12, 3072, 50265, 514, 1},
    {"roberta-large", "roberta", 24, 1024, 16, 4096, 50265, 514, 1},
    {"bert-base", "bert", 12, 768, 12, 3072, 30522, 512, 2},
    {"minilm", "bert", 6, 384, 12, 1536, 30522, 512, 2},
    {"tiny", "bert", 4, 128, 4, 512, 8192, 512, 2},
};

const synthetic_shape *synthetic_find(const char *name) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shapes[i].name, name) == 0) return &shapes[i];
    return NULL;
}

const char *synthetic_known(void) {
    return "roberta-base, roberta-large, bert-base, minilm, tiny";
}

/* Normal numbers of deviation 0.02, as transformers initialises, from a block that repeats. */
static void fill_noise(float *out, size_t n) {
    const size_t block = n < (1u << 18) ? n : (1u << 18);
    wk_stream s = wk_stream_at(wk_rng_key(3, WK_RNG_TEST, 0), 0, 0, 0);
    for (size_t i = 0; i < block; i++) {
        const double u = 1.0 - wk_stream_f64(&s), v = wk_stream_f64(&s);
        out[i] = (float)(0.02 * sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
    }
    for (size_t i = block; i < n; i++) out[i] = out[i - block];
}

bool synthetic_open(synthetic_model *m, const synthetic_shape *shape) {
    const size_t d = (size_t)shape->d,
                 rows = (size_t)(shape->vocab > 4 * shape->ffn ? shape->vocab : 4 * shape->ffn);
    *m = (synthetic_model){.shape = shape};
    m->noise = malloc(rows * d * sizeof *m->noise);
    m->ones = malloc(d * sizeof *m->ones);
    if (!m->noise || !m->ones) {
        synthetic_close(m);
        return false;
    }
    fill_noise(m->noise, rows * d);
    for (size_t i = 0; i < d; i++) m->ones[i] = 1.0f;
    return true;
}

void synthetic_close(synthetic_model *m) {
    free(m->noise);
    free(m->ones);
    memset(m, 0, sizeof *m);
}

static const char *meta(void *ud, const char *key) {
    synthetic_model *m = ud;
    const synthetic_shape *s = m->shape;
    const struct {
        const char *key;
        int value;
    } numbers[] = {{"num_hidden_layers", s->layers},  {"hidden_size", s->d},
                   {"num_attention_heads", s->heads}, {"intermediate_size", s->ffn},
                   {"vocab_size", s->vocab},          {"max_position_embeddings", s->max_pos},
                   {"type_vocab_size", s->types},     {"pad_token_id", 1}};
    if (strcmp(key, "model_type") == 0) return s->type;
    if (strcmp(key, "hidden_act") == 0) return "gelu";
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(key, numbers[i].key) == 0) {
            (void)snprintf(m->text, sizeof m->text, "%d", numbers[i].value);
            return m->text;
        }
    return NULL;
}

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), k = strlen(end);
    return n >= k && strcmp(text + n - k, end) == 0;
}

static weft_status tensor(void *ud, const char *name, weft_source_tensor *out, weft_error *err) {
    const synthetic_model *m = ud;
    const synthetic_shape *s = m->shape;
    const struct {
        const char *part;
        int rows, cols; /* of the weight; rows 0: a norm */
    } parts[] = {{"word_embeddings", s->vocab, s->d},
                 {"position_embeddings", s->max_pos, s->d},
                 {"token_type_embeddings", s->types, s->d},
                 {"LayerNorm", 0, s->d},
                 {"intermediate.dense", s->ffn, s->d},
                 {"attention.output.dense", s->d, s->d},
                 {"output.dense", s->d, s->ffn},
                 {"query", s->d, s->d},
                 {"key", s->d, s->d},
                 {"value", s->d, s->d},
                 {"pooler.dense", s->d, s->d}};
    (void)err;
    memset(out, 0, sizeof *out);
    const bool weight = ends_with(name, ".weight");
    if (!weight && !ends_with(name, ".bias")) return WEFT_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (!strstr(name, parts[i].part)) continue;
        const bool matrix = weight && parts[i].rows > 0;
        out->data = weight && parts[i].rows == 0 ? m->ones : m->noise;
        out->dtype = WEFT_F32;
        out->ndim = matrix ? 2 : 1;
        out->dim[0] = parts[i].rows > 0 ? parts[i].rows : parts[i].cols;
        if (matrix) out->dim[1] = parts[i].cols;
        return WEFT_OK;
    }
    return WEFT_OK; /* the head is drawn */
}

weft_model_source synthetic_source(synthetic_model *m) {
    return (weft_model_source){.ud = m, .name = m->shape->name, .meta = meta, .tensor = tensor};
}

static int64_t draw_length(wk_stream *s, int longest) {
    const double u = 1.0 - wk_stream_f64(s), v = wk_stream_f64(s);
    const double normal = sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
    /* exp(mu + sigma^2/2) = 48 */
    const double n = exp(3.746 + 0.5 * normal);
    return n < 8 ? 8 : n > longest ? longest : (int64_t)n;
}

bool synthetic_rows_make(weft_rows *out, const synthetic_rows *what, int vocab) {
    const int64_t n = (int64_t)what->clients * what->batch, most = n * what->length;
    wk_stream s = wk_stream_at(wk_rng_key(4, WK_RNG_TEST, 0), 0, 0, 0);
    int64_t *offset = malloc((size_t)(n + 1) * sizeof *offset);
    int32_t *token = malloc((size_t)most * sizeof *token);
    int32_t *label = malloc((size_t)n * sizeof *label),
            *client = malloc((size_t)n * sizeof *client);
    *out = (weft_rows){.n_rows = n,
                       .offset = offset,
                       .token = token,
                       .label = label,
                       .client = client,
                       .n_clients = what->clients,
                       .num_labels = 2};
    if (!offset || !token || !label || !client) {
        synthetic_rows_free(out);
        return false;
    }
    offset[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        offset[i + 1] = offset[i] + (what->ragged ? draw_length(&s, what->length) : what->length);
        for (int64_t t = offset[i]; t < offset[i + 1]; t++) /* 0 … 3 are special, 1 is padding */
            token[t] = (int32_t)(4 + wk_stream_below(&s, (uint32_t)vocab - 4));
        label[i] = (int32_t)wk_stream_below(&s, 2);
        client[i] = (int32_t)(i / what->batch);
    }
    return true;
}

void synthetic_rows_free(weft_rows *rows) {
    free((void *)(uintptr_t)rows->offset);
    free((void *)(uintptr_t)rows->token);
    free((void *)(uintptr_t)rows->label);
    free((void *)(uintptr_t)rows->client);
    memset(rows, 0, sizeof *rows);
}
