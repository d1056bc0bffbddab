/* From a checkpoint to the device: find each tensor, check it, convert it to float, upload it, let
 * the backend prepare it. */
#include "engine/fingerprint.h"
#include "engine/models/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct loader {
    we_model *m;
    const weft_model_source *source;
    float *stage; /* the largest tensor, as float */
    uint64_t seed;
} loader;

static weft_status find(loader *ld, const char *module, const char *tensor,
                        weft_source_tensor *out) {
    const we_arch *arch = ld->m->arch;
    const weft_model_source *src = ld->source;
    /* Checkpoints of the bare encoder have no prefix; those with TensorFlow roots say gamma and
     * beta. */
    const char *other = strcmp(tensor, "weight") == 0 ? "gamma" : "beta";
    size_t skip = strlen(arch->prefix);
    bool has_prefix = strncmp(module, arch->prefix, skip) == 0;
    for (int i = 0; i < 4; i++) {
        if ((i & 1) && !has_prefix) continue;
        char name[WE_MODULE_NAME + 16];
        (void)snprintf(name, sizeof name, "%s.%s", module + ((i & 1) ? skip : 0),
                       i < 2 ? tensor : other);
        weft_source_tensor found = {0};
        WEFT_TRY(src->tensor(src->ud, name, &found, &ld->m->ctx->err));
        if (found.data) {
            *out = found;
            return WEFT_OK;
        }
    }
    memset(out, 0, sizeof *out);
    return WEFT_OK;
}

static weft_status convert(loader *ld, const char *module, const char *tensor,
                           const weft_source_tensor *t, int64_t rows, int64_t cols, float *out) {
    wk_ctx *ctx = ld->m->ctx;
    int64_t have[2] = {t->ndim > 0 ? t->dim[0] : 0, t->ndim > 1 ? t->dim[1] : 0};
    if (t->ndim != (cols ? 2 : 1) || have[0] != rows || have[1] != cols)
        return WEFT_FAIL(
            &ctx->err, WEFT_E_DATA,
            "%s: %s.%s has shape (%lld, %lld) in %d dimensions, config.json asks for (%lld, %lld)",
            ld->source->name, module, tensor, (long long)have[0], (long long)have[1], t->ndim,
            (long long)rows, (long long)cols);
    int64_t n = cols ? rows * cols : rows;
    switch (t->dtype) {
    case WEFT_F32:
        memcpy(out, t->data, (size_t)n * sizeof *out);
        break;
    case WEFT_F64:
        for (int64_t i = 0; i < n; i++) out[i] = (float)((const double *)t->data)[i];
        break;
    case WEFT_BF16:
        for (int64_t i = 0; i < n; i++) out[i] = wk_bf16_to_f32(((const uint16_t *)t->data)[i]);
        break;
    case WEFT_F16:
        for (int64_t i = 0; i < n; i++) out[i] = wk_f16_to_f32(((const uint16_t *)t->data)[i]);
        break;
    case WEFT_I32:
    case WEFT_U8:
    case WEFT_I64:
        return WEFT_FAIL(&ctx->err, WEFT_E_DATA, "%s: %s.%s has dtype %s, expected a float type",
                         ld->source->name, module, tensor, wk_dtype_name((wk_dtype)t->dtype));
    }
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(out[i]))
            return WEFT_FAIL(&ctx->err, WEFT_E_DATA,
                             "%s: %s.%s[%lld] is %f: the weights are damaged", ld->source->name,
                             module, tensor, (long long)i, (double)out[i]);
    return WEFT_OK;
}

/* Reads a tensor into `out`; cols 0 for a vector. */
static weft_status read(loader *ld, const char *module, const char *tensor, int64_t rows,
                        int64_t cols, float *out) {
    weft_source_tensor t;
    WEFT_TRY(find(ld, module, tensor, &t));
    if (!t.data)
        return WEFT_FAIL(&ld->m->ctx->err, WEFT_E_DATA, "%s: no tensor %s.%s in the weights",
                         ld->source->name, module, tensor);
    WEFT_TRY(convert(ld, module, tensor, &t, rows, cols, out));
    ld->m->fingerprint =
        we_fingerprint_weight(ld->m->fingerprint, module, tensor, out, cols ? rows * cols : rows);
    return WEFT_OK;
}

/* Uploads floats, rounded in place when the device keeps them as bfloat16. */
static weft_status put(loader *ld, wk_tensor dst, float *values) {
    if (dst.dtype == WK_BF16) we_round_to_bf16(values, wk_numel(dst));
    return wk_upload(ld->m->dev, dst, values);
}

static weft_status load(loader *ld, const char *module, const char *tensor, wk_tensor dst) {
    WEFT_TRY(read(ld, module, tensor, dst.dim[0], dst.ndim == 2 ? dst.dim[1] : 0, ld->stage));
    return put(ld, dst, ld->stage);
}

static weft_status load_embedding(loader *ld, const char *module, wk_tensor dst) {
    char name[WE_MODULE_NAME];
    return load(ld, we_module_path(name, ld->m->arch->prefix, module, 0), "weight", dst);
}

static weft_status load_norm(loader *ld, const char *pattern, int32_t layer, we_norm norm) {
    char name[WE_MODULE_NAME];
    we_module_path(name, ld->m->arch->prefix, pattern, layer);
    WEFT_TRY(load(ld, name, "weight", norm.weight));
    return load(ld, name, "bias", norm.bias);
}

/* Let the backend prepare the weight, after which a staged plain copy is gone. */
static weft_status pack(loader *ld, we_group *g) {
    wk_weight_pack_args a = {.weight = &g->weight};
    WEFT_TRY(wk_weight_pack(ld->m->dev, &a));
    if (!g->keeps_plain) g->weight.w = (wk_tensor){0};
    return WEFT_OK;
}

static weft_status load_group(loader *ld, we_group *g) {
    for (int32_t i = 0; i < g->n; i++) {
        const we_linear *lin = &g->part[i];
        WEFT_TRY(load(ld, lin->module, "weight", wk_rows(g->weight.w, lin->col, lin->out)));
        WEFT_TRY(load(ld, lin->module, "bias", wk_rows(g->bias, lin->col, lin->out)));
    }
    return pack(ld, g);
}

/* A head layer comes from the checkpoint, or is drawn as transformers draws it: normal weights,
 * zero bias. Trained layers start in the adapter, frozen ones stay in the base. */
static weft_status load_head(loader *ld, we_head_layer *layer, float *flat) {
    we_model *m = ld->m;
    const we_linear *lin = &layer->frozen.part[0];
    float *weight = layer->is_trained ? flat + layer->weight : ld->stage;
    float *bias = layer->is_trained ? flat + layer->bias : ld->stage + lin->out * lin->in;
    weft_source_tensor have;
    WEFT_TRY(find(ld, lin->module, "weight", &have));
    /* An output layer for another number of classes is of no use here, as in transformers with
     * ignore_mismatched_sizes. */
    bool fits = have.data && have.ndim == 2 && have.dim[0] == lin->out && have.dim[1] == lin->in;
    if (fits) {
        WEFT_TRY(read(ld, lin->module, "weight", lin->out, lin->in, weight));
        WEFT_TRY(read(ld, lin->module, "bias", lin->out, 0, bias));
    } else {
        wk_log(m->ctx, layer->is_trained ? WK_LOG_INFO : WK_LOG_WARN, "model",
               "%s is %s the checkpoint: %s", lin->module,
               have.data ? "of another shape in" : "not in",
               layer->is_trained ? "it is trained, from random weights or those of an adapter"
                                 : "it stays frozen with random weights");
        we_normal_init(ld->seed, 0x10000u + lin->site, m->hp.init_range, weight,
                       lin->out * lin->in);
        memset(bias, 0, (size_t)lin->out * sizeof *bias);
    }
    if (layer->is_trained) return WEFT_OK;
    we_group *g = &layer->frozen;
    WEFT_TRY(wk_upload(m->dev, g->weight.w, weight));
    WEFT_TRY(wk_upload(m->dev, g->bias, bias));
    return pack(ld, g);
}

static weft_status load_all(loader *ld, float *flat) {
    we_model *m = ld->m;
    const we_arch *arch = m->arch;
    WEFT_TRY(load_embedding(ld, arch->word, m->word));
    WEFT_TRY(load_embedding(ld, arch->pos, m->pos));
    if (arch->type) WEFT_TRY(load_embedding(ld, arch->type, m->type));
    WEFT_TRY(load_norm(ld, arch->embed_norm, 0, m->embed_norm));
    for (int32_t l = 0; l < m->hp.layers; l++) {
        we_layer *y = &m->layer[l];
        WEFT_TRY(load_group(ld, &y->qkv));
        WEFT_TRY(load_group(ld, &y->o));
        WEFT_TRY(load_norm(ld, arch->layer.norm1, l, y->norm1));
        WEFT_TRY(load_group(ld, &y->up));
        WEFT_TRY(load_group(ld, &y->down));
        WEFT_TRY(load_norm(ld, arch->layer.norm2, l, y->norm2));
    }
    WEFT_TRY(load_head(ld, &m->hidden, flat));
    return load_head(ld, &m->out, flat);
}

weft_status we_model_load(we_model *m, const weft_model_source *source, uint64_t seed,
                          float *flat) {
    const we_hparams *hp = &m->hp;
    const int32_t rows[] = {hp->vocab, hp->max_pos, hp->type_vocab, hp->ffn, hp->d, m->num_labels};
    int64_t most = 0; /* (rows, d) and a bias; the MLP's second weight is (d, ffn) */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) most = rows[i] > most ? rows[i] : most;
    most = (most + 1) * hp->d;
    loader ld = {.m = m, .source = source, .seed = seed};
    void *stage = NULL;
    WEFT_TRY(wk_host_alloc(m->ctx, &stage, (size_t)most, sizeof(float), "staging of a weight"));
    ld.stage = stage;
    weft_status st = load_all(&ld, flat);
    wk_host_free(m->ctx, stage);
    return st;
}
