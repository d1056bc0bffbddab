#include "engine/models/encoder.h"

#include "engine/models/head.h"
#include "engine/models/linear.h"
#include "kernels/dev.h"

#include <math.h>

static const wk_tensor none = {0};

void we_watch(const we_pass *p, const char *name, int32_t layer, wk_tensor t) {
    if (p->m->watch) p->m->watch(p->m->watch_ud, name, layer, t);
}

/* The layer's buffers, cut to the batch. */
static we_layer_acts cut_layer(const we_layer_acts *full, int64_t t) {
    we_layer_acts c = *full;
    wk_tensor *const all[] = {&c.x,    &c.qkv,  &c.o,    &c.lse,  &c.z1,    &c.mean1, &c.rstd1,
                              &c.y1,   &c.u,    &c.a,    &c.z2,   &c.mean2, &c.rstd2, &c.s[0],
                              &c.s[1], &c.s[2], &c.s[3], &c.s[4], &c.s[5]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (wk_given(*all[i])) all[i]->dim[0] = t;
    return c;
}

static wk_attn_fwd_args attention(const we_pass *p, const we_layer_acts *c) {
    int32_t d = p->m->hp.d, heads = p->m->hp.heads;
    return (wk_attn_fwd_args){.o = c->o,
                              .lse = c->lse,
                              .q = wk_cols(c->qkv, 0, d),
                              .k = wk_cols(c->qkv, d, d),
                              .v = wk_cols(c->qkv, 2 * d, d),
                              .seq_off = p->batch->seq_off,
                              .heads = heads,
                              .kv_heads = heads,
                              .max_len = p->batch->max_len,
                              .scale = (float)(1.0 / sqrt((double)(d / heads)))};
}

static weft_status norm_fwd(const we_pass *p, we_norm norm, wk_tensor y, wk_tensor x, wk_tensor z,
                            wk_tensor mean, wk_tensor rstd) {
    wk_layernorm_fwd_args a = {.y = y,
                               .z = z,
                               .mean = mean,
                               .rstd = rstd,
                               .x = x,
                               .weight = norm.weight,
                               .bias = norm.bias,
                               .eps = p->m->hp.norm_eps};
    return wk_layernorm_fwd(p->m->dev, &a);
}

static weft_status norm_bwd(const we_pass *p, we_norm norm, wk_tensor dz, wk_tensor dy, wk_tensor z,
                            wk_tensor mean, wk_tensor rstd) {
    wk_layernorm_bwd_args a = {
        .dz = dz, .dy = dy, .z = z, .mean = mean, .rstd = rstd, .weight = norm.weight};
    return wk_layernorm_bwd(p->m->dev, &a);
}

static weft_status embed(const we_pass *p, wk_tensor x) {
    we_model *m = p->m;
    const we_batch *b = p->batch;
    wk_tensor sum = p->acts->h; /* not needed before the last layer */
    wk_range(m->dev, "forward: embedding");
    wk_embed_fwd_args a = {
        .y = sum, .tok = b->tok, .pos_id = b->pos, .word = m->word, .pos = m->pos};
    if (wk_given(m->type)) a.type = m->type, a.type_id = b->type;
    WEFT_TRY(wk_embed_fwd(m->dev, &a));
    WEFT_TRY(norm_fwd(p, m->embed_norm, x, sum, none, none, none));
    we_watch(p, "embeddings", -1, x);
    return WEFT_OK;
}

/* The head reads one row of each sequence, so what follows attention in the last layer is only
 * computed for those rows. Not when somebody watches or pools the whole output. */
static bool only_first_rows(const we_pass *p, int32_t l) {
    return l + 1 == p->m->hp.layers && p->adapters && !p->m->watch;
}

static weft_status gather_first(const we_pass *p, wk_tensor y, wk_tensor x) {
    wk_gather_rows_args a = {.y = y, .x = x, .idx = p->batch->first};
    return wk_gather_rows(p->m->dev, &a);
}

/* From attention's output o and the layer's input x to its output y, over the rows of `segs`:
 * z1 = o W_o + b + x and so on; the residual rides in the linear, the norm reads one tensor. */
static weft_status after_attention_fwd(const we_pass *p, const we_layer *w, const we_layer_acts *c,
                                       const wk_segs *segs, wk_tensor o, wk_tensor x, wk_tensor y) {
    WEFT_TRY(we_group_fwd(p, &w->o, segs, c->z1, o, x, &c->s[3]));
    WEFT_TRY(norm_fwd(p, w->norm1, c->y1, c->z1, none, c->mean1, c->rstd1));
    WEFT_TRY(we_group_fwd(p, &w->up, segs, c->u, c->y1, none, &c->s[4]));
    wk_act_fwd_args act = {.y = c->a, .x = c->u, .act = p->m->hp.act};
    WEFT_TRY(wk_act_fwd(p->m->dev, &act));
    WEFT_TRY(we_group_fwd(p, &w->down, segs, c->z2, c->a, c->y1, &c->s[5]));
    return norm_fwd(p, w->norm2, y, c->z2, none, c->mean2, c->rstd2);
}

static weft_status layer_fwd(const we_pass *p, int32_t l, wk_tensor y) {
    const we_layer *w = &p->m->layer[l];
    const we_batch *b = p->batch;
    const we_acts *acts = p->acts;
    we_layer_acts c = cut_layer(&acts->layer[l], b->n_tokens);
    wk_range(p->m->dev, "forward: query, key, value");
    WEFT_TRY(we_group_fwd(p, &w->qkv, &b->token_segs, c.qkv, c.x, none, c.s));
    wk_range(p->m->dev, "forward: attention");
    wk_attn_fwd_args attn = attention(p, &c);
    WEFT_TRY(wk_attn_fwd(p->m->dev, &attn));
    wk_range(p->m->dev, "forward: projection, MLP, norms");
    if (only_first_rows(p, l)) {
        we_layer_acts q = cut_layer(&acts->layer[l], b->n_rows);
        WEFT_TRY(gather_first(p, acts->o_first, c.o));
        WEFT_TRY(gather_first(p, acts->x_first, c.x));
        return after_attention_fwd(p, w, &q, &b->row_segs, acts->o_first, acts->x_first,
                                   acts->first);
    }
    WEFT_TRY(after_attention_fwd(p, w, &c, &b->token_segs, c.o, c.x, y));
    we_watch(p, "layer", l, y);
    return WEFT_OK;
}

void we_encoder_cut(const we_pass *p) {
    we_acts *acts = p->acts;
    const int64_t q = p->batch->n_rows;
    acts->h.dim[0] = p->batch->n_tokens;
    wk_tensor *const rows[] = {&acts->first,      &acts->o_first,  &acts->x_first,  &acts->hidden,
                               &acts->hidden_act, &acts->s_hidden, &acts->pooled,   &acts->logits,
                               &acts->loss,       &acts->dlogits,  &acts->dhead[0], &acts->dhead[1],
                               &acts->dh_first,   &acts->do_first};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) rows[i]->dim[0] = q;
}

weft_status we_encoder_forward(const we_pass *p) {
    we_model *m = p->m;
    we_acts *acts = p->acts;
    int64_t t = p->batch->n_tokens;
    we_encoder_cut(p);
    WEFT_TRY(embed(p, wk_rows(acts->layer[0].x, 0, t)));
    for (int32_t l = 0; l < m->hp.layers; l++) {
        wk_tensor y = l + 1 < m->hp.layers ? wk_rows(acts->layer[l + 1].x, 0, t) : acts->h;
        WEFT_TRY(layer_fwd(p, l, y));
    }
    if (!p->adapters) return WEFT_OK;
    wk_range(m->dev, "head and loss");
    if (!only_first_rows(p, m->hp.layers - 1)) WEFT_TRY(gather_first(p, acts->first, acts->h));
    return we_head_forward(p);
}

weft_status we_encoder_pool(const we_pass *p) {
    wk_mean_pool_args a = {.y = p->acts->pooled, .x = p->acts->h, .seq_off = p->batch->seq_off};
    return wk_mean_pool(p->m->dev, &a);
}

/* From the gradient dy of the layer's output, dh becomes that of z1, which is also the residual's
 * share of the layer's input, and d_o that of attention's output. dh may be dy. */
static weft_status after_attention_bwd(const we_pass *p, const we_layer *w, const we_layer_acts *c,
                                       const wk_segs *segs, wk_tensor o, wk_tensor dy, wk_tensor dh,
                                       wk_tensor d_o) {
    wk_tensor du = wk_mat(p->acts->dwide.data, dh.dtype, dh.dim[0], p->m->hp.ffn);
    WEFT_TRY(norm_bwd(p, w->norm2, dh, dy, c->z2, c->mean2, c->rstd2));
    WEFT_TRY(we_group_bwd(p, &w->down, segs, du, dh, c->a, &c->s[5], false));
    wk_act_bwd_args act = {.dx = du, .dy = du, .x = c->u, .act = p->m->hp.act};
    WEFT_TRY(wk_act_bwd(p->m->dev, &act));
    WEFT_TRY(we_group_bwd(p, &w->up, segs, dh, du, c->y1, &c->s[4], true));
    WEFT_TRY(norm_bwd(p, w->norm1, dh, dh, c->z1, c->mean1, c->rstd1));
    return we_group_bwd(p, &w->o, segs, d_o, dh, o, &c->s[3], false);
}

/* y = 0 but for the rows that the head reads. */
static weft_status spread_first(const we_pass *p, wk_tensor y, wk_tensor x) {
    wk_fill_args zero = {.y = y};
    wk_scatter_rows_args a = {.y = y, .x = x, .idx = p->batch->first};
    WEFT_TRY(wk_fill(p->m->dev, &zero));
    return wk_scatter_rows(p->m->dev, &a);
}

/* dh (T, D) holds the gradient of the layer's output and is turned, in place, into that of its
 * input; in the last layer it arrives in dhead[1], for the rows that the head reads. In the lowest
 * adapted layer nothing below wants it, and query, key and value give no dx. */
static weft_status layer_bwd(const we_pass *p, int32_t l, wk_tensor dh) {
    we_model *m = p->m;
    we_acts *acts = p->acts;
    const we_batch *b = p->batch;
    const we_layer *w = &m->layer[l];
    we_layer_acts c = cut_layer(&acts->layer[l], b->n_tokens);
    int64_t t = b->n_tokens, d = m->hp.d;
    wk_tensor d_o = wk_rows(acts->dt, 0, t), dqkv = wk_mat(acts->dwide.data, dh.dtype, t, 3 * d);

    wk_range(m->dev, "backward: projection, MLP, norms");
    if (only_first_rows(p, l)) {
        we_layer_acts q = cut_layer(&acts->layer[l], b->n_rows);
        WEFT_TRY(after_attention_bwd(p, w, &q, &b->row_segs, acts->o_first, acts->dhead[1],
                                     acts->dh_first, acts->do_first));
        WEFT_TRY(spread_first(p, dh, acts->dh_first));
        WEFT_TRY(spread_first(p, d_o, acts->do_first));
    } else {
        if (l + 1 == m->hp.layers) WEFT_TRY(spread_first(p, dh, acts->dhead[1]));
        WEFT_TRY(after_attention_bwd(p, w, &c, &b->token_segs, c.o, dh, dh, d_o));
    }
    wk_attn_fwd_args f = attention(p, &c);
    wk_attn_bwd_args attn = {.dq = wk_cols(dqkv, 0, d),
                             .dk = wk_cols(dqkv, d, d),
                             .dv = wk_cols(dqkv, 2 * d, d),
                             .d_o = d_o,
                             .q = f.q,
                             .k = f.k,
                             .v = f.v,
                             .o = c.o,
                             .lse = c.lse,
                             .seq_off = f.seq_off,
                             .heads = f.heads,
                             .kv_heads = f.kv_heads,
                             .max_len = f.max_len,
                             .scale = f.scale};
    wk_range(m->dev, "backward: attention");
    WEFT_TRY(wk_attn_bwd(m->dev, &attn));
    wk_range(m->dev, "backward: query, key, value");
    return we_group_bwd(p, &w->qkv, &b->token_segs, l > m->lowest ? dh : none, dqkv, c.x, c.s,
                        true);
}

weft_status we_encoder_backward(const we_pass *p) {
    const we_model *m = p->m;
    bool into_layers = m->lowest < m->hp.layers;
    WEFT_TRY(we_head_backward(p, into_layers));
    if (!into_layers) return WEFT_OK;
    wk_tensor dh = wk_rows(p->acts->dh, 0, p->batch->n_tokens);
    for (int32_t l = m->hp.layers; l-- > m->lowest;) WEFT_TRY(layer_bwd(p, l, dh));
    return WEFT_OK;
}
