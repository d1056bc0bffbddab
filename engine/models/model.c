/* What the model consists of: modules, shapes, placement. Loading is weights.c. */
#include "engine/models/model.h"

#include <stdio.h>
#include <string.h>

static int64_t group_numel(const we_group *g) {
    return g->out * g->in + g->out;
}

const char *we_module_path(char *buffer, const char *prefix, const char *pattern, int32_t layer) {
    const char *mark = strstr(pattern, "%d");
    if (mark)
        (void)snprintf(buffer, WE_MODULE_NAME, "%s%.*s%d%s", prefix, (int)(mark - pattern), pattern,
                       layer, mark + 2);
    else
        (void)snprintf(buffer, WE_MODULE_NAME, "%s%s", prefix, pattern);
    return buffer;
}

/* Append one linear to a group: fused parts follow each other in the columns. */
static void add_part(we_group *g, const char *prefix, const char *pattern, int32_t layer,
                     int64_t out, int64_t in, uint32_t *site) {
    we_linear *lin = &g->part[g->n++];
    we_module_path(lin->module, prefix, pattern, layer);
    lin->out = out, lin->in = in, lin->col = g->out, lin->a = lin->b = -1;
    lin->site = (*site)++;
    g->in = in;
    g->out += out;
}

weft_status we_model_describe(we_model *m, wk_ctx *ctx, const weft_config *config,
                              const weft_model_source *source, int32_t num_labels) {
    memset(m, 0, sizeof *m);
    m->ctx = ctx;
    m->num_labels = num_labels;
    WEFT_TRY(we_arch_find(ctx, source, &m->arch));
    WEFT_TRY(m->arch->hparams(ctx, source, &m->hp));
    const we_hparams *hp = &m->hp;
    const we_arch *arch = m->arch;
    if (hp->d % hp->heads != 0)
        return WEFT_FAIL(&ctx->err, WEFT_E_DATA, "%s: hidden size %d is not a multiple of %d heads",
                         source->name, hp->d, hp->heads);
    void *layers = NULL;
    WEFT_TRY(wk_host_alloc(ctx, &layers, (size_t)hp->layers, sizeof(we_layer), "layer table"));
    m->layer = layers;

    uint32_t site = 0;
    int64_t d = hp->d, f = hp->ffn, norm = 2 * d;
    m->base_parameters = (hp->vocab + hp->max_pos + (arch->type ? hp->type_vocab : 0)) * d + norm;
    for (int32_t l = 0; l < hp->layers; l++) {
        we_layer *y = &m->layer[l];
        add_part(&y->qkv, arch->prefix, arch->layer.q, l, d, d, &site);
        add_part(&y->qkv, arch->prefix, arch->layer.k, l, d, d, &site);
        add_part(&y->qkv, arch->prefix, arch->layer.v, l, d, d, &site);
        add_part(&y->o, arch->prefix, arch->layer.o, l, d, d, &site);
        add_part(&y->up, arch->prefix, arch->layer.up, l, f, d, &site);
        add_part(&y->down, arch->prefix, arch->layer.down, l, d, f, &site);
        m->base_parameters += group_numel(&y->qkv) + group_numel(&y->o) + group_numel(&y->up) +
                              group_numel(&y->down) + 2 * norm;
    }
    add_part(&m->hidden.frozen, "", arch->head.hidden, 0, d, d, &site);
    add_part(&m->out.frozen, "", arch->head.out, 0, num_labels, d, &site);
    WEFT_TRY(we_lora_describe(m, config));
    if (!m->hidden.is_trained) m->base_parameters += group_numel(&m->hidden.frozen);
    if (!m->out.is_trained) m->base_parameters += group_numel(&m->out.frozen);

    m->lowest = hp->layers;
    for (int32_t l = hp->layers; l-- > 0;)
        for (int32_t i = 6 * l; i < 6 * l + 6; i++)
            if (we_model_linear(m, i)->a >= 0) m->lowest = l;
    return WEFT_OK;
}

void we_model_fini(we_model *m) {
    if (!m->ctx) return;
    we_lora_fini(m);
    wk_host_free(m->ctx, m->layer);
    m->layer = NULL;
}

int32_t we_model_linear_count(const we_model *m) {
    return 6 * m->hp.layers + (m->hidden.is_trained ? 0 : 1);
}

we_linear *we_model_linear(we_model *m, int32_t index) {
    if (index >= 6 * m->hp.layers) return &m->hidden.frozen.part[0];
    we_layer *y = &m->layer[index / 6];
    switch (index % 6) {
    case 3:
        return &y->o.part[0];
    case 4:
        return &y->up.part[0];
    case 5:
        return &y->down.part[0];
    default:
        return &y->qkv.part[index % 6];
    }
}

/* A weight that the backend packs for every use of it keeps no plain copy: that one lies in
 * `staging` while it is loaded. */
static weft_status place_group(we_group *g, wk_arena *base, wk_arena *staging, wk_dtype dtype,
                               bool needs_dx) {
    wk_dev *dev = base->dev;
    wk_weight *w = &g->weight;
    const char *name = g->part[0].module;
    size_t fwd = wk_weight_pack_bytes(dev, g->out, g->in, dtype, false);
    size_t dx = needs_dx ? wk_weight_pack_bytes(dev, g->out, g->in, dtype, true) : 0;
    *w = (wk_weight){.o = g->out, .d = g->in};
    WEFT_TRY(wk_arena_vec(base, &g->bias, name, dtype, g->out));
    if (fwd) WEFT_TRY(wk_arena_vec(base, &w->fwd, name, WK_U8, (int64_t)fwd));
    if (dx) WEFT_TRY(wk_arena_vec(base, &w->dx, name, WK_U8, (int64_t)dx));
    g->keeps_plain = !fwd || (needs_dx && !dx);
    if (g->keeps_plain) return wk_arena_mat(base, &w->w, name, dtype, g->out, g->in);
    size_t mark = wk_arena_mark(staging);
    WEFT_TRY(wk_arena_mat(staging, &w->w, name, dtype, g->out, g->in));
    wk_arena_reset(staging, mark);
    return WEFT_OK;
}

static weft_status place_norm(we_norm *norm, wk_arena *base, int64_t d) {
    WEFT_TRY(wk_arena_vec(base, &norm->weight, "norm weight", WK_F32, d));
    return wk_arena_vec(base, &norm->bias, "norm bias", WK_F32, d);
}

weft_status we_model_place(we_model *m, wk_arena *base, wk_arena *staging, bool train) {
    const we_hparams *hp = &m->hp;
    bool into_layers = train && m->lowest < hp->layers;
    m->dev = base->dev;
    wk_dtype h = m->dev->hidden; /* the head is float32 whatever the layers are: its rows are few */
    WEFT_TRY(wk_arena_mat(base, &m->word, "word embeddings", h, hp->vocab, hp->d));
    WEFT_TRY(wk_arena_mat(base, &m->pos, "position embeddings", h, hp->max_pos, hp->d));
    if (m->arch->type)
        WEFT_TRY(wk_arena_mat(base, &m->type, "token type embeddings", h, hp->type_vocab, hp->d));
    WEFT_TRY(place_norm(&m->embed_norm, base, hp->d));
    for (int32_t l = 0; l < hp->layers; l++) {
        we_layer *y = &m->layer[l];
        /* Below the lowest adapted layer no gradient flows, nor out of its query, key and value. */
        bool visited = train && l >= m->lowest;
        WEFT_TRY(place_group(&y->qkv, base, staging, h, visited && l > m->lowest));
        WEFT_TRY(place_group(&y->o, base, staging, h, visited));
        WEFT_TRY(place_group(&y->up, base, staging, h, visited));
        WEFT_TRY(place_group(&y->down, base, staging, h, visited));
        WEFT_TRY(place_norm(&y->norm1, base, hp->d));
        WEFT_TRY(place_norm(&y->norm2, base, hp->d));
    }
    if (!m->hidden.is_trained)
        WEFT_TRY(place_group(&m->hidden.frozen, base, staging, WK_F32, into_layers));
    if (!m->out.is_trained) WEFT_TRY(place_group(&m->out.frozen, base, staging, WK_F32, train));
    return WEFT_OK;
}

static void drop_staged(we_group *g) {
    if (!g->keeps_plain) g->weight.w = (wk_tensor){0};
}

void we_model_drop_staged(we_model *m) {
    for (int32_t l = 0; l < m->hp.layers; l++) {
        we_layer *y = &m->layer[l];
        drop_staged(&y->qkv), drop_staged(&y->o), drop_staged(&y->up), drop_staged(&y->down);
    }
    drop_staged(&m->hidden.frozen), drop_staged(&m->out.frozen);
}
