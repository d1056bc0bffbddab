#include "kernels/dry/cost.h"

#include <math.h>

static double numel(wk_tensor t) {
    return (double)wk_numel(t);
}

static double bytes_of(wk_tensor t) {
    return numel(t) * (double)wk_dtype_size(t.dtype);
}

/* Sum over operands; those not given have no bytes. The compound literal keeps call sites short. */
#define BYTES(...)                                                                                 \
    sum_bytes((const wk_tensor[]){__VA_ARGS__},                                                    \
              sizeof((const wk_tensor[]){__VA_ARGS__}) / sizeof(wk_tensor))
static double sum_bytes(const wk_tensor *t, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += bytes_of(t[i]);
    return sum;
}

/* Bytes of the slots that S segments touch in a stacked (K, …) operand. */
static double touched(wk_tensor stacked, wk_segs segs) {
    double slots = numel(segs.slot);
    if (slots > (double)stacked.dim[0]) slots = (double)stacked.dim[0];
    return slots * (double)wk_row_numel(stacked) * (double)wk_dtype_size(stacked.dtype);
}

/* Bytes of as many elements as `some` has, on both sides of a move to or from `other`. */
static double moved(wk_tensor some, wk_tensor other) {
    return numel(some) * (double)(wk_dtype_size(some.dtype) + wk_dtype_size(other.dtype));
}

/* ---- memory ---- */

dry_cost dry_cost_fill(const wk_fill_args *a) {
    return (dry_cost){0, bytes_of(a->y)};
}

dry_cost dry_cost_copy(const wk_copy_args *a) {
    return (dry_cost){0, BYTES(a->y, a->x)};
}

dry_cost dry_cost_axpy(const wk_axpy_args *a) {
    return (dry_cost){2 * numel(a->y), BYTES(a->y, a->y, a->x)};
}

dry_cost dry_cost_gather_rows(const wk_gather_rows_args *a) {
    return (dry_cost){0, moved(a->y, a->x) + bytes_of(a->idx)};
}

dry_cost dry_cost_scatter_rows(const wk_scatter_rows_args *a) {
    return (dry_cost){0, moved(a->x, a->y) + bytes_of(a->idx)};
}

dry_cost dry_cost_mean_pool(const wk_mean_pool_args *a) {
    return (dry_cost){numel(a->x), BYTES(a->y, a->x, a->seq_off)};
}

dry_cost dry_cost_embed_fwd(const wk_embed_fwd_args *a) {
    double rows = wk_given(a->type) ? 3 : 2; /* table rows read for a row of y */
    return (dry_cost){(rows - 1) * numel(a->y),
                      rows * numel(a->y) * (double)wk_dtype_size(a->word.dtype) +
                          BYTES(a->y, a->tok, a->pos_id, a->type_id)};
}

/* ---- linear ---- */

static double weight_bytes(const wk_weight *w, wk_tensor packed) {
    return wk_given(packed) ? bytes_of(packed) : bytes_of(w->w);
}

dry_cost dry_cost_weight_pack(const wk_weight_pack_args *a) {
    return (dry_cost){0, BYTES(a->weight->w, a->weight->fwd, a->weight->dx)};
}

dry_cost dry_cost_linear_fwd(const wk_linear_fwd_args *a) {
    double adds = (wk_given(a->bias) ? 1 : 0) + (wk_given(a->residual) ? 1 : 0);
    return (dry_cost){(2 * (double)a->w->d + adds) * numel(a->y),
                      weight_bytes(a->w, a->w->fwd) + BYTES(a->y, a->x, a->bias, a->residual)};
}

dry_cost dry_cost_linear_dx(const wk_linear_dx_args *a) {
    return (dry_cost){2 * (double)a->w->o * numel(a->dx),
                      weight_bytes(a->w, a->w->dx) + bytes_of(a->dy) +
                          (a->accumulate ? 2 : 1) * bytes_of(a->dx)};
}

dry_cost dry_cost_seg_linear_fwd(const wk_seg_linear_fwd_args *a) {
    double bias = wk_given(a->bias) ? touched(a->bias, a->segs) : 0;
    return (dry_cost){2 * numel(a->y) * (double)a->m.dim[2],
                      touched(a->m, a->segs) + bias + bytes_of(a->x) +
                          (a->accumulate ? 2 : 1) * bytes_of(a->y)};
}

dry_cost dry_cost_seg_linear_dx(const wk_seg_linear_dx_args *a) {
    return (dry_cost){2 * numel(a->dx) * (double)a->m.dim[1],
                      touched(a->m, a->segs) + bytes_of(a->dy) +
                          (a->accumulate ? 2 : 1) * bytes_of(a->dx)};
}

dry_cost dry_cost_seg_linear_dw(const wk_seg_linear_dw_args *a) {
    double dbias = wk_given(a->dbias) ? touched(a->dbias, a->segs) : 0;
    return (dry_cost){2 * numel(a->dy) * (double)a->dm.dim[2],
                      2 * (touched(a->dm, a->segs) + dbias) + BYTES(a->dy, a->x)};
}

dry_cost dry_cost_dropout(const wk_dropout_args *a) {
    return (dry_cost){2 * numel(a->y),
                      BYTES(a->x, a->rng) + (a->accumulate ? 2 : 1) * bytes_of(a->y)};
}

/* ---- norm, activation, attention ---- */

dry_cost dry_cost_layernorm_fwd(const wk_layernorm_fwd_args *a) {
    return (dry_cost){8 * numel(a->x),
                      BYTES(a->y, a->x, a->residual, a->z, a->mean, a->rstd, a->weight, a->bias)};
}

dry_cost dry_cost_layernorm_bwd(const wk_layernorm_bwd_args *a) {
    return (dry_cost){11 * numel(a->dy), BYTES(a->dz, a->dy, a->z, a->mean, a->rstd, a->weight)};
}

dry_cost dry_cost_act_fwd(const wk_act_fwd_args *a) {
    return (dry_cost){4 * numel(a->x), BYTES(a->y, a->x)};
}

dry_cost dry_cost_act_bwd(const wk_act_bwd_args *a) {
    return (dry_cost){8 * numel(a->x), BYTES(a->dx, a->dy, a->x)};
}

/* Query-key pairs over all heads: T queries, each with max_len keys, or half of them when causal.
 */
static double pairs(wk_tensor q, int32_t heads, int32_t max_len, bool causal) {
    double keys = causal ? ((double)max_len + 1) / 2 : (double)max_len;
    return (double)q.dim[0] * (double)heads * keys;
}

dry_cost dry_cost_attn_fwd(const wk_attn_fwd_args *a) {
    double width = (double)(a->q.dim[1] / a->heads); /* two products, and a softmax of five */
    return (dry_cost){pairs(a->q, a->heads, a->max_len, a->causal) * (4 * width + 5),
                      BYTES(a->o, a->lse, a->q, a->k, a->v, a->seq_off)};
}

dry_cost dry_cost_attn_bwd(const wk_attn_bwd_args *a) {
    double width = (double)(a->q.dim[1] / a->heads); /* five products, one of them recomputation */
    return (dry_cost){
        pairs(a->q, a->heads, a->max_len, a->causal) * (10 * width + 5),
        BYTES(a->dq, a->dk, a->dv, a->d_o, a->q, a->k, a->v, a->o, a->lse, a->seq_off)};
}

/* ---- loss ---- */

dry_cost dry_cost_softmax_xent(const wk_softmax_xent_args *a) {
    return (dry_cost){(wk_given(a->dlogits) ? 7 : 4) * numel(a->logits),
                      BYTES(a->loss, a->dlogits, a->logits, a->label, a->weight)};
}

dry_cost dry_cost_mse(const wk_mse_args *a) {
    return (dry_cost){(wk_given(a->dpred) ? 4 : 3) * numel(a->pred),
                      BYTES(a->loss, a->dpred, a->pred, a->target, a->weight)};
}

dry_cost dry_cost_seg_sum(const wk_seg_sum_args *a) {
    return (dry_cost){2 * numel(a->x), BYTES(a->x, a->weight, a->out, a->out)};
}

/* ---- optimizers and federation: as if every slot took part ---- */

dry_cost dry_cost_grad_norm(const wk_grad_norm_args *a) {
    if (!(a->prox_mu > 0)) return (dry_cost){2 * numel(a->g), bytes_of(a->g)};
    return (dry_cost){5 * numel(a->g), BYTES(a->g, a->g, a->w, a->anchor)};
}

/* Of a drift beside w, which a step has at hand. */
static dry_cost drift_cost(const wk_drift_operands *d, wk_tensor w) {
    if (!wk_given(d->anchor)) return (dry_cost){0, 0};
    double rows = wk_given(d->sketch) ? (double)d->sketch.dim[1] : 0;
    return (dry_cost){(3 + rows) * numel(w),
                      BYTES(d->anchor, d->sqnorm, d->sketch, d->sign, d->rot)};
}

dry_cost dry_cost_drift(const wk_drift_args *a) {
    dry_cost drift = drift_cost(&a->drift, a->w);
    return (dry_cost){drift.flops, drift.bytes + bytes_of(a->w)};
}

dry_cost dry_cost_adamw_step(const wk_adamw_step_args *a) {
    dry_cost drift = drift_cost(&a->drift, a->w);
    return (dry_cost){15 * numel(a->w) + drift.flops,
                      BYTES(a->g, a->w, a->w, a->m, a->m, a->v, a->v) + drift.bytes};
}

dry_cost dry_cost_sgd_step(const wk_sgd_step_args *a) {
    bool m = a->momentum > 0;
    return (dry_cost){(m ? 7 : 5) * numel(a->w),
                      BYTES(a->g, a->w, a->w) + (m ? 2 * bytes_of(a->m) : 0)};
}

dry_cost dry_cost_range_sqdist(const wk_range_sqdist_args *a) {
    return (dry_cost){3 * numel(a->w), BYTES(a->w, a->center, a->off, a->out)};
}

dry_cost dry_cost_project(const wk_project_args *a) {
    return (dry_cost){3 * numel(a->w), BYTES(a->w, a->anchor, a->dir, a->out)};
}

/* Each row of the sketch gathers what it adds. */
dry_cost dry_cost_table_sketch(const wk_table_sketch_args *a) {
    const double sums = numel(a->entry) * (double)a->w.dim[0];
    return (dry_cost){(wk_given(a->scale) ? 3 : 2) * sums,
                      BYTES(a->w, a->anchor, a->scale, a->entry, a->start, a->sketch)};
}

dry_cost dry_cost_update_add(const wk_update_add_args *a) {
    return (dry_cost){8 * numel(a->w), BYTES(a->acc, a->acc, a->w, a->anchor, a->weight)};
}

dry_cost dry_cost_sum_read(const wk_sum_read_args *a) {
    return (dry_cost){4 * numel(a->y), BYTES(a->y, a->acc, a->base)};
}

dry_cost dry_cost_weighted_sum(const wk_weighted_sum_args *a) {
    return (dry_cost){2 * numel(a->x), BYTES(a->y, a->x, a->weight)};
}

/* N log N comparisons a column. */
dry_cost dry_cost_order_stat(const wk_order_stat_args *a) {
    return (dry_cost){numel(a->x) * log2((double)a->x.dim[0] + 1), BYTES(a->y, a->x)};
}

/* Philox's forty multiplications make four numbers; a pair takes log, sqrt, sin and cos. */
dry_cost dry_cost_noise(const wk_noise_args *a) {
    return (dry_cost){16 * numel(a->y), BYTES(a->y, a->y)};
}

dry_cost dry_cost_server_step(const wk_server_step_args *a) {
    return (dry_cost){(a->kind >= WK_SERVER_ADAGRAD ? 14 : 4) * numel(a->x),
                      BYTES(a->x, a->x, a->delta, a->m, a->m, a->v, a->v)};
}
