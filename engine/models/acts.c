/* Placement of the activation buffers: the largest part of a training step's memory. */
#include "engine/models/encoder.h"

#include <string.h>

static weft_status place_layer(we_layer_acts *c, const we_model *m, wk_arena *a, int64_t t,
                               const bool adapts[6]) {
    int64_t d = m->hp.d, f = m->hp.ffn;
    wk_dtype h = a->dev->hidden;
    WEFT_TRY(wk_arena_mat(a, &c->x, "layer input", h, t, d));
    WEFT_TRY(wk_arena_mat(a, &c->qkv, "query, key, value", h, t, 3 * d));
    WEFT_TRY(wk_arena_mat(a, &c->o, "attention output", h, t, d));
    WEFT_TRY(wk_arena_mat(a, &c->lse, "attention lse", WK_F32, t, m->hp.heads));
    WEFT_TRY(wk_arena_mat(a, &c->z1, "norm 1 input", h, t, d));
    WEFT_TRY(wk_arena_vec(a, &c->mean1, "norm 1 mean", WK_F32, t));
    WEFT_TRY(wk_arena_vec(a, &c->rstd1, "norm 1 rstd", WK_F32, t));
    WEFT_TRY(wk_arena_mat(a, &c->y1, "norm 1 output", h, t, d));
    WEFT_TRY(wk_arena_mat(a, &c->u, "mlp before activation", h, t, f));
    WEFT_TRY(wk_arena_mat(a, &c->a, "mlp after activation", h, t, f));
    WEFT_TRY(wk_arena_mat(a, &c->z2, "norm 2 input", h, t, d));
    WEFT_TRY(wk_arena_vec(a, &c->mean2, "norm 2 mean", WK_F32, t));
    WEFT_TRY(wk_arena_vec(a, &c->rstd2, "norm 2 rstd", WK_F32, t));
    for (int32_t i = 0; i < 6; i++)
        if (adapts[i]) WEFT_TRY(wk_arena_mat(a, &c->s[i], "lora_A x", WK_F32, t, m->lora.r));
    return WEFT_OK;
}

/* Which of the six linears of layers [from, to) have an adapter anywhere. */
static void find_adapted(const we_model *m, int32_t from, int32_t to, bool adapts[6]) {
    memset(adapts, 0, 6 * sizeof *adapts);
    for (int32_t l = from; l < to; l++) {
        const we_layer *y = &m->layer[l];
        const we_linear *const lin[6] = {&y->qkv.part[0], &y->qkv.part[1], &y->qkv.part[2],
                                         &y->o.part[0],   &y->up.part[0],  &y->down.part[0]};
        for (int32_t i = 0; i < 6; i++) adapts[i] |= lin[i]->a >= 0;
    }
}

/* Layers that backward will visit keep their own buffers. The others share one set, with two inputs
 * in turn, since a layer writes the next one's input while it still reads its own. */
static weft_status place_layers(we_acts *acts, const we_model *m, wk_arena *a, int64_t t,
                                bool train) {
    int32_t layers = m->hp.layers, kept = train ? m->lowest : layers;
    bool adapts[6];
    if (kept > 0) {
        we_layer_acts shared = {0};
        wk_tensor other;
        find_adapted(m, 0, kept, adapts);
        WEFT_TRY(place_layer(&shared, m, a, t, adapts));
        WEFT_TRY(wk_arena_mat(a, &other, "layer input", a->dev->hidden, t, m->hp.d));
        for (int32_t l = 0; l < kept; l++) {
            acts->layer[l] = shared;
            if (l & 1) acts->layer[l].x = other;
        }
    }
    for (int32_t l = kept; l < layers; l++) {
        find_adapted(m, l, l + 1, adapts);
        WEFT_TRY(place_layer(&acts->layer[l], m, a, t, adapts));
    }
    return WEFT_OK;
}

static weft_status place_head(we_acts *acts, const we_model *m, wk_arena *a, int64_t q,
                              bool train) {
    int64_t d = m->hp.d, c = m->num_labels;
    wk_dtype h = a->dev->hidden;
    WEFT_TRY(wk_arena_mat(a, &acts->first, "first tokens", WK_F32, q, d));
    WEFT_TRY(wk_arena_mat(a, &acts->o_first, "first tokens", h, q, d));
    WEFT_TRY(wk_arena_mat(a, &acts->x_first, "first tokens", h, q, d));
    WEFT_TRY(wk_arena_mat(a, &acts->hidden, "head hidden", WK_F32, q, d));
    WEFT_TRY(wk_arena_mat(a, &acts->hidden_act, "head hidden", WK_F32, q, d));
    WEFT_TRY(wk_arena_mat(a, &acts->pooled, "pooled features", WK_F32, q, d));
    WEFT_TRY(wk_arena_mat(a, &acts->logits, "logits", WK_F32, q, c));
    WEFT_TRY(wk_arena_vec(a, &acts->loss, "row losses", WK_F32, q));
    if (m->lora.r > 0) WEFT_TRY(wk_arena_mat(a, &acts->s_hidden, "lora_A x", WK_F32, q, m->lora.r));
    if (!train) return WEFT_OK;
    WEFT_TRY(wk_arena_mat(a, &acts->dlogits, "logit gradients", WK_F32, q, c));
    WEFT_TRY(wk_arena_mat(a, &acts->dhead[0], "head gradients", WK_F32, q, d));
    WEFT_TRY(wk_arena_mat(a, &acts->dhead[1], "head gradients", WK_F32, q, d));
    WEFT_TRY(wk_arena_mat(a, &acts->dh_first, "first tokens' gradients", h, q, d));
    return wk_arena_mat(a, &acts->do_first, "first tokens' gradients", h, q, d);
}

/* Holds an adapter's input after dropout: hidden rows of any layer, or float rows of the head. */
static weft_status place_dropped(we_acts *acts, const we_model *m, wk_arena *a, int64_t rows,
                                 int64_t q) {
    int64_t d = m->hp.d, f = m->hp.ffn, size = (int64_t)wk_dtype_size(a->dev->hidden);
    int64_t layers = rows * (f > d ? f : d) * size, head = q * d * (int64_t)sizeof(float);
    return wk_arena_vec(a, &acts->dropped, "dropped inputs", WK_U8, layers > head ? layers : head);
}

static weft_status place_gradients(we_acts *acts, const we_model *m, wk_arena *a, int64_t t,
                                   int64_t q) {
    int64_t d = m->hp.d, f = m->hp.ffn, wide = f > 3 * d ? f : 3 * d;
    bool into_layers = m->lowest < m->hp.layers;
    wk_dtype h = a->dev->hidden;
    int64_t rows = into_layers ? t : q; /* only a head's adapter needs ds otherwise */
    if (m->lora.r > 0)
        WEFT_TRY(wk_arena_mat(a, &acts->ds, "adapter gradients", WK_F32, rows, m->lora.r));
    if (m->lora.r > 0 && m->lora.dropout > 0) WEFT_TRY(place_dropped(acts, m, a, rows, q));
    if (!into_layers) return WEFT_OK;
    WEFT_TRY(wk_arena_mat(a, &acts->dh, "hidden gradients", h, t, d));
    WEFT_TRY(wk_arena_mat(a, &acts->dt, "hidden gradients", h, t, d));
    return wk_arena_mat(a, &acts->dwide, "wide gradients", h, t, wide);
}

weft_status we_acts_place(we_acts *acts, const we_model *m, wk_arena *arena, we_pack_limits limits,
                          bool train) {
    memset(acts, 0, sizeof *acts);
    void *layers = NULL;
    WEFT_TRY(
        wk_host_alloc(m->ctx, &layers, (size_t)m->hp.layers, sizeof(we_layer_acts), "activations"));
    acts->layer = layers;
    acts->ctx = m->ctx;
    WEFT_TRY(place_layers(acts, m, arena, limits.tokens, train));
    WEFT_TRY(wk_arena_mat(arena, &acts->h, "encoder output", arena->dev->hidden, limits.tokens,
                          m->hp.d));
    WEFT_TRY(place_head(acts, m, arena, limits.rows, train));
    return train ? place_gradients(acts, m, arena, limits.tokens, limits.rows) : WEFT_OK;
}

void we_acts_fini(we_acts *acts) {
    if (acts->ctx) wk_host_free(acts->ctx, acts->layer);
    memset(acts, 0, sizeof *acts);
}
