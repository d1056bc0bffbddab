/* Checks of the ops of a layer and of training: norm, activation, attention, losses, optimizers,
 * server. */
#include "kernels/exact_sum.h"
#include "kernels/ops_check.h"

#include <math.h>

/* ---- norm and activation ---- */

weft_status wk_check_layernorm_fwd(wk_dev *dev, const wk_layernorm_fwd_args *a) {
    wk_check c = {dev, "layernorm_fwd", WEFT_OK};
    wk_need_hidden(&c, WK_ARG(x), 2);
    wk_need_hidden(&c, WK_ARG(y), 2);
    wk_need(&c, WK_ARG(weight), WK_F32, 1);
    wk_need(&c, WK_ARG(bias), WK_F32, 1);
    wk_need_hidden_opt(&c, WK_ARG(residual), 2);
    wk_need_hidden_opt(&c, WK_ARG(z), 2);
    wk_need_opt(&c, WK_ARG(mean), WK_F32, 1);
    wk_need_opt(&c, WK_ARG(rstd), WK_F32, 1);
    wk_same_dtype(&c, WK_ARG(residual), WK_ARG(x));
    wk_same_dtype(&c, WK_ARG(z), WK_ARG(x));
    wk_same_shape(&c, WK_ARG(y), WK_ARG(x));
    wk_same_shape(&c, WK_ARG(residual), WK_ARG(x));
    wk_same_shape(&c, WK_ARG(z), WK_ARG(x));
    wk_same_dim(&c, WK_ARG(weight), 0, WK_ARG(x), 1);
    wk_same_dim(&c, WK_ARG(bias), 0, WK_ARG(x), 1);
    wk_same_dim(&c, WK_ARG(mean), 0, WK_ARG(x), 0);
    wk_same_dim(&c, WK_ARG(rstd), 0, WK_ARG(x), 0);
    wk_require(&c, a->eps >= 0, WEFT_E_ARG, "eps is %g", (double)a->eps);
    wk_apart(&c, WK_ARG(y), WK_ARG(x));
    wk_apart(&c, WK_ARG(y), WK_ARG(residual));
    wk_apart(&c, WK_ARG(y), WK_ARG(z));
    wk_apart(&c, WK_ARG(y), WK_ARG(weight));
    wk_apart(&c, WK_ARG(y), WK_ARG(bias));
    wk_apart(&c, WK_ARG(z), WK_ARG(residual));
    wk_apart_or_same(&c, WK_ARG(z), WK_ARG(x));
    return c.st;
}

weft_status wk_check_layernorm_bwd(wk_dev *dev, const wk_layernorm_bwd_args *a) {
    wk_check c = {dev, "layernorm_bwd", WEFT_OK};
    wk_need_hidden(&c, WK_ARG(dy), 2);
    wk_need_hidden(&c, WK_ARG(dz), 2);
    wk_need_hidden(&c, WK_ARG(z), 2);
    wk_need(&c, WK_ARG(mean), WK_F32, 1);
    wk_need(&c, WK_ARG(rstd), WK_F32, 1);
    wk_need(&c, WK_ARG(weight), WK_F32, 1);
    wk_same_shape(&c, WK_ARG(dz), WK_ARG(dy));
    wk_same_shape(&c, WK_ARG(z), WK_ARG(dy));
    wk_same_dim(&c, WK_ARG(mean), 0, WK_ARG(dy), 0);
    wk_same_dim(&c, WK_ARG(rstd), 0, WK_ARG(dy), 0);
    wk_same_dim(&c, WK_ARG(weight), 0, WK_ARG(dy), 1);
    wk_apart_or_same(&c, WK_ARG(dz), WK_ARG(dy));
    wk_apart(&c, WK_ARG(dz), WK_ARG(z));
    wk_apart(&c, WK_ARG(dz), WK_ARG(weight));
    return c.st;
}

static void known_act(wk_check *c, wk_act act) {
    wk_require(c, (int)act >= WK_ACT_GELU && (int)act <= WK_ACT_TANH, WEFT_E_ARG,
               "activation %d is unknown", (int)act);
}

weft_status wk_check_act_fwd(wk_dev *dev, const wk_act_fwd_args *a) {
    wk_check c = {dev, "act_fwd", WEFT_OK};
    wk_need_hidden(&c, WK_ARG(x), 2);
    wk_need_hidden(&c, WK_ARG(y), 2);
    wk_same_dtype(&c, WK_ARG(y), WK_ARG(x));
    wk_same_shape(&c, WK_ARG(y), WK_ARG(x));
    wk_apart_or_same(&c, WK_ARG(y), WK_ARG(x));
    known_act(&c, a->act);
    return c.st;
}

weft_status wk_check_act_bwd(wk_dev *dev, const wk_act_bwd_args *a) {
    wk_check c = {dev, "act_bwd", WEFT_OK};
    wk_need_hidden(&c, WK_ARG(x), 2);
    wk_need_hidden(&c, WK_ARG(dy), 2);
    wk_need_hidden(&c, WK_ARG(dx), 2);
    wk_same_dtype(&c, WK_ARG(dy), WK_ARG(x));
    wk_same_dtype(&c, WK_ARG(dx), WK_ARG(x));
    wk_same_shape(&c, WK_ARG(dy), WK_ARG(x));
    wk_same_shape(&c, WK_ARG(dx), WK_ARG(x));
    wk_apart_or_same(&c, WK_ARG(dx), WK_ARG(dy));
    wk_apart(&c, WK_ARG(dx), WK_ARG(x));
    known_act(&c, a->act);
    return c.st;
}

/* ---- attention ---- */

typedef struct attn_shape {
    wk_tensor q, k, v, o, lse, seq_off;
    int32_t heads, kv_heads, max_len;
} attn_shape;

static void check_attn(wk_check *c, const attn_shape *a) {
    wk_need_hidden(c, WK_ARG(q), 2);
    wk_need_hidden(c, WK_ARG(k), 2);
    wk_need_hidden(c, WK_ARG(v), 2);
    wk_need_hidden(c, WK_ARG(o), 2);
    wk_need(c, WK_ARG(lse), WK_F32, 2);
    wk_need(c, WK_ARG(seq_off), WK_I32, 1);
    wk_same_dtype(c, WK_ARG(k), WK_ARG(q));
    wk_same_dtype(c, WK_ARG(v), WK_ARG(q));
    wk_same_dtype(c, WK_ARG(o), WK_ARG(q));
    wk_require(c, a->heads > 0 && a->kv_heads > 0 && a->heads % a->kv_heads == 0, WEFT_E_SHAPE,
               "%d heads cannot share %d key heads", (int)a->heads, (int)a->kv_heads);
    if (c->st != WEFT_OK) return;
    int64_t width = a->q.dim[1] / a->heads;
    wk_require(c, width * a->heads == a->q.dim[1], WEFT_E_SHAPE,
               "q has %lld columns, not a multiple of %d heads", (long long)a->q.dim[1],
               (int)a->heads);
    wk_require(c, width <= WK_MAX_HEAD_DIM, WEFT_E_UNSUPPORTED,
               "head width %lld is above the limit of %d", (long long)width, WK_MAX_HEAD_DIM);
    wk_require(c, a->k.dim[1] == width * a->kv_heads, WEFT_E_SHAPE,
               "k has %lld columns, needed are %d key heads of %lld", (long long)a->k.dim[1],
               (int)a->kv_heads, (long long)width);
    wk_same_dim(c, WK_ARG(k), 0, WK_ARG(q), 0);
    wk_same_shape(c, WK_ARG(v), WK_ARG(k));
    wk_same_shape(c, WK_ARG(o), WK_ARG(q));
    wk_same_dim(c, WK_ARG(lse), 0, WK_ARG(q), 0);
    wk_require(c, a->lse.dim[1] == a->heads, WEFT_E_SHAPE, "lse has %lld columns but %d heads",
               (long long)a->lse.dim[1], (int)a->heads);
    wk_require(c, a->seq_off.dim[0] >= 1, WEFT_E_SHAPE, "seq_off is empty");
    wk_require(c, a->max_len >= 0, WEFT_E_ARG, "max_len is %d", (int)a->max_len);
}

weft_status wk_check_attn_fwd(wk_dev *dev, const wk_attn_fwd_args *a) {
    wk_check c = {dev, "attn_fwd", WEFT_OK};
    check_attn(&c, &(attn_shape){a->q, a->k, a->v, a->o, a->lse, a->seq_off, a->heads, a->kv_heads,
                                 a->max_len});
    wk_apart(&c, WK_ARG(o), WK_ARG(q));
    wk_apart(&c, WK_ARG(o), WK_ARG(k));
    wk_apart(&c, WK_ARG(o), WK_ARG(v));
    wk_apart(&c, WK_ARG(o), WK_ARG(lse));
    return c.st;
}

weft_status wk_check_attn_bwd(wk_dev *dev, const wk_attn_bwd_args *a) {
    wk_check c = {dev, "attn_bwd", WEFT_OK};
    check_attn(&c, &(attn_shape){a->q, a->k, a->v, a->o, a->lse, a->seq_off, a->heads, a->kv_heads,
                                 a->max_len});
    wk_need_hidden(&c, WK_ARG(d_o), 2);
    wk_need_hidden(&c, WK_ARG(dq), 2);
    wk_need_hidden(&c, WK_ARG(dk), 2);
    wk_need_hidden(&c, WK_ARG(dv), 2);
    wk_same_dtype(&c, WK_ARG(d_o), WK_ARG(q));
    wk_same_dtype(&c, WK_ARG(dq), WK_ARG(q));
    wk_same_dtype(&c, WK_ARG(dk), WK_ARG(q));
    wk_same_dtype(&c, WK_ARG(dv), WK_ARG(q));
    wk_same_shape(&c, WK_ARG(d_o), WK_ARG(o));
    wk_same_shape(&c, WK_ARG(dq), WK_ARG(q));
    wk_same_shape(&c, WK_ARG(dk), WK_ARG(k));
    wk_same_shape(&c, WK_ARG(dv), WK_ARG(v));
    const char *const out_name[] = {"dq", "dk", "dv"};
    const wk_tensor out[] = {a->dq, a->dk, a->dv};
    for (int i = 0; i < 3; i++) {
        wk_apart(&c, out_name[i], out[i], WK_ARG(q));
        wk_apart(&c, out_name[i], out[i], WK_ARG(k));
        wk_apart(&c, out_name[i], out[i], WK_ARG(v));
        wk_apart(&c, out_name[i], out[i], WK_ARG(o));
        wk_apart(&c, out_name[i], out[i], WK_ARG(d_o));
        wk_apart(&c, out_name[i], out[i], WK_ARG(lse));
        wk_apart(&c, out_name[i], out[i], out_name[(i + 1) % 3], out[(i + 1) % 3]);
    }
    return c.st;
}

/* ---- loss ---- */

weft_status wk_check_softmax_xent(wk_dev *dev, const wk_softmax_xent_args *a) {
    wk_check c = {dev, "softmax_xent", WEFT_OK};
    wk_need(&c, WK_ARG(logits), WK_F32, 2);
    wk_need(&c, WK_ARG(label), WK_I32, 1);
    wk_need(&c, WK_ARG(weight), WK_F32, 1);
    wk_need(&c, WK_ARG(loss), WK_F32, 1);
    wk_need_opt(&c, WK_ARG(dlogits), WK_F32, 2);
    wk_same_dim(&c, WK_ARG(label), 0, WK_ARG(logits), 0);
    wk_same_dim(&c, WK_ARG(weight), 0, WK_ARG(logits), 0);
    wk_same_dim(&c, WK_ARG(loss), 0, WK_ARG(logits), 0);
    wk_same_shape(&c, WK_ARG(dlogits), WK_ARG(logits));
    wk_apart_or_same(&c, WK_ARG(dlogits), WK_ARG(logits));
    wk_apart(&c, WK_ARG(loss), WK_ARG(logits));
    wk_apart(&c, WK_ARG(loss), WK_ARG(weight));
    return c.st;
}

weft_status wk_check_mse(wk_dev *dev, const wk_mse_args *a) {
    wk_check c = {dev, "mse", WEFT_OK};
    wk_need(&c, WK_ARG(pred), WK_F32, 2);
    wk_need(&c, WK_ARG(target), WK_F32, 2);
    wk_need(&c, WK_ARG(weight), WK_F32, 1);
    wk_need(&c, WK_ARG(loss), WK_F32, 1);
    wk_need_opt(&c, WK_ARG(dpred), WK_F32, 2);
    wk_same_shape(&c, WK_ARG(target), WK_ARG(pred));
    wk_same_shape(&c, WK_ARG(dpred), WK_ARG(pred));
    wk_same_dim(&c, WK_ARG(weight), 0, WK_ARG(pred), 0);
    wk_same_dim(&c, WK_ARG(loss), 0, WK_ARG(pred), 0);
    wk_apart_or_same(&c, WK_ARG(dpred), WK_ARG(pred));
    wk_apart(&c, WK_ARG(dpred), WK_ARG(target));
    wk_apart(&c, WK_ARG(loss), WK_ARG(pred));
    wk_apart(&c, WK_ARG(loss), WK_ARG(weight));
    return c.st;
}

weft_status wk_check_seg_sum(wk_dev *dev, const wk_seg_sum_args *a) {
    wk_check c = {dev, "seg_sum", WEFT_OK};
    wk_need_segs(&c, a->segs);
    wk_need(&c, WK_ARG(x), WK_F32, 1);
    wk_need(&c, WK_ARG(weight), WK_F32, 1);
    wk_need(&c, WK_ARG(out), WK_F64, 1);
    wk_same_dim(&c, WK_ARG(weight), 0, WK_ARG(x), 0);
    return c.st;
}

/* ---- optimizers ---- */

weft_status wk_check_grad_norm(wk_dev *dev, const wk_grad_norm_args *a) {
    wk_check c = {dev, "grad_norm", WEFT_OK};
    wk_need(&c, WK_ARG(g), WK_F32, 2);
    wk_need_slots(&c, a->slots, WK_ARG(g));
    wk_need_opt(&c, WK_ARG(w), WK_F32, 2);
    wk_need_opt(&c, WK_ARG(anchor), WK_F32, 1);
    wk_require(&c, a->prox_mu >= 0, WEFT_E_ARG, "prox_mu is %g", (double)a->prox_mu);
    wk_require(&c, !(a->prox_mu > 0) || (wk_given(a->w) && wk_given(a->anchor)), WEFT_E_ARG,
               "prox_mu is %g but w or anchor is not given", (double)a->prox_mu);
    wk_same_shape(&c, WK_ARG(w), WK_ARG(g));
    wk_same_dim(&c, WK_ARG(anchor), 0, WK_ARG(g), 1);
    wk_apart(&c, WK_ARG(g), WK_ARG(w));
    return c.st;
}

/* The operands of a drift from w (K, P), each apart from what is read or written beside them. */
static void need_drift(wk_check *c, wk_drift_operands d, wk_tensor w, wk_slot_state slots) {
    wk_need(c, "drift.anchor", d.anchor, WK_F32, 1);
    wk_need(c, "drift.sqnorm", d.sqnorm, WK_F64, 1);
    wk_same_dim(c, "drift.anchor", d.anchor, 0, "w", w, 1);
    wk_same_dim(c, "drift.sqnorm", d.sqnorm, 0, "w", w, 0);
    wk_apart(c, "w", w, "drift.anchor", d.anchor);
    wk_apart(c, "drift.sqnorm", d.sqnorm, "slots.sqnorm", slots.sqnorm);
    const bool sketched = wk_given(d.sketch);
    wk_require(c, wk_given(d.sign) == sketched && wk_given(d.rot) == sketched, WEFT_E_ARG,
               "drift.sketch, sign and rot must be given together");
    if (!sketched || c->st != WEFT_OK) return;
    wk_need(c, "drift.sketch", d.sketch, WK_F32, 3);
    wk_need(c, "drift.sign", d.sign, WK_U8, 1);
    wk_need(c, "drift.rot", d.rot, WK_U8, 2);
    wk_same_dim(c, "drift.sketch", d.sketch, 0, "w", w, 0);
    wk_require(c, d.sketch.dim[1] >= 1 && d.sketch.dim[1] <= 8, WEFT_E_SHAPE,
               "drift.sketch has %lld rows, possible are 1 to 8", (long long)d.sketch.dim[1]);
    wk_require(c, d.sketch.dim[2] == WK_SKETCH_WIDTH, WEFT_E_SHAPE,
               "drift.sketch is %lld wide, needed is %d", (long long)d.sketch.dim[2],
               WK_SKETCH_WIDTH);
    wk_same_dim(c, "drift.sign", d.sign, 0, "w", w, 1);
    wk_same_dim(c, "drift.rot", d.rot, 1, "drift.sketch", d.sketch, 1);
    const int64_t blocks = (w.dim[1] + WK_SKETCH_WIDTH - 1) / WK_SKETCH_WIDTH;
    wk_require(c, d.rot.dim[0] == blocks, WEFT_E_SHAPE,
               "drift.rot has %lld rows, needed are %lld: one for every %d numbers of w",
               (long long)d.rot.dim[0], (long long)blocks, WK_SKETCH_WIDTH);
    wk_apart(c, "drift.sketch", d.sketch, "w", w);
    wk_apart(c, "drift.sketch", d.sketch, "drift.anchor", d.anchor);
}

weft_status wk_check_drift(wk_dev *dev, const wk_drift_args *a) {
    wk_check c = {dev, "drift", WEFT_OK};
    wk_need(&c, WK_ARG(w), WK_F32, 2);
    wk_need_slots(&c, a->slots, WK_ARG(w));
    need_drift(&c, a->drift, a->w, a->slots);
    return c.st;
}

weft_status wk_check_adamw_step(wk_dev *dev, const wk_adamw_step_args *a) {
    wk_check c = {dev, "adamw_step", WEFT_OK};
    wk_need(&c, WK_ARG(w), WK_F32, 2);
    wk_need(&c, WK_ARG(g), WK_F32, 2);
    wk_need(&c, WK_ARG(m), WK_F32, 2);
    wk_need(&c, WK_ARG(v), WK_F32, 2);
    wk_need_slots(&c, a->slots, WK_ARG(w));
    wk_same_shape(&c, WK_ARG(g), WK_ARG(w));
    wk_same_shape(&c, WK_ARG(m), WK_ARG(w));
    wk_same_shape(&c, WK_ARG(v), WK_ARG(w));
    wk_apart(&c, WK_ARG(w), WK_ARG(g));
    wk_apart(&c, WK_ARG(w), WK_ARG(m));
    wk_apart(&c, WK_ARG(w), WK_ARG(v));
    wk_apart(&c, WK_ARG(m), WK_ARG(g));
    wk_apart(&c, WK_ARG(v), WK_ARG(g));
    wk_apart(&c, WK_ARG(m), WK_ARG(v));
    wk_require(
        &c, wk_given(a->drift.anchor) || !(wk_given(a->drift.sqnorm) || wk_given(a->drift.sketch)),
        WEFT_E_ARG, "drift is given without drift.anchor");
    if (wk_given(a->drift.anchor)) need_drift(&c, a->drift, a->w, a->slots);
    return c.st;
}

weft_status wk_check_sgd_step(wk_dev *dev, const wk_sgd_step_args *a) {
    wk_check c = {dev, "sgd_step", WEFT_OK};
    wk_need(&c, WK_ARG(w), WK_F32, 2);
    wk_need(&c, WK_ARG(g), WK_F32, 2);
    wk_need_opt(&c, WK_ARG(m), WK_F32, 2);
    wk_need_slots(&c, a->slots, WK_ARG(w));
    wk_require(&c, a->momentum >= 0, WEFT_E_ARG, "momentum is %g", (double)a->momentum);
    wk_require(&c, !(a->momentum > 0) || wk_given(a->m), WEFT_E_ARG,
               "momentum is %g but m is not given", (double)a->momentum);
    wk_same_shape(&c, WK_ARG(g), WK_ARG(w));
    wk_same_shape(&c, WK_ARG(m), WK_ARG(w));
    wk_apart(&c, WK_ARG(w), WK_ARG(g));
    wk_apart(&c, WK_ARG(w), WK_ARG(m));
    wk_apart(&c, WK_ARG(m), WK_ARG(g));
    return c.st;
}

/* ---- the variance between clients ---- */

weft_status wk_check_range_sqdist(wk_dev *dev, const wk_range_sqdist_args *a) {
    wk_check c = {dev, "range_sqdist", WEFT_OK};
    wk_need(&c, WK_ARG(w), WK_F32, 2);
    wk_need(&c, WK_ARG(center), a->center.dtype == WK_F64 ? WK_F64 : WK_F32, 1);
    wk_need(&c, WK_ARG(off), WK_I32, 1);
    wk_need(&c, WK_ARG(out), WK_F64, 2);
    wk_same_dim(&c, WK_ARG(center), 0, WK_ARG(w), 1);
    wk_same_dim(&c, WK_ARG(out), 0, WK_ARG(w), 0);
    wk_require(&c, a->off.dim[0] == a->out.dim[1] + 1, WEFT_E_SHAPE,
               "off has %lld elements, needed is one more than the %lld columns of out",
               (long long)a->off.dim[0], (long long)a->out.dim[1]);
    wk_apart(&c, WK_ARG(out), WK_ARG(w));
    wk_apart(&c, WK_ARG(out), WK_ARG(center));
    return c.st;
}

weft_status wk_check_project(wk_dev *dev, const wk_project_args *a) {
    wk_check c = {dev, "project", WEFT_OK};
    wk_need(&c, WK_ARG(w), WK_F32, 2);
    wk_need(&c, WK_ARG(anchor), WK_F32, 1);
    wk_need(&c, WK_ARG(dir), WK_F32, 1);
    wk_need(&c, WK_ARG(out), WK_F64, 1);
    wk_same_dim(&c, WK_ARG(anchor), 0, WK_ARG(w), 1);
    wk_same_dim(&c, WK_ARG(dir), 0, WK_ARG(w), 1);
    wk_same_dim(&c, WK_ARG(out), 0, WK_ARG(w), 0);
    wk_apart(&c, WK_ARG(out), WK_ARG(w));
    return c.st;
}

weft_status wk_check_table_sketch(wk_dev *dev, const wk_table_sketch_args *a) {
    wk_check c = {dev, "table_sketch", WEFT_OK};
    wk_need(&c, WK_ARG(w), WK_F32, 2);
    wk_need(&c, WK_ARG(anchor), WK_F32, 1);
    wk_need_opt(&c, WK_ARG(scale), WK_F32, 1);
    wk_need(&c, WK_ARG(entry), WK_I32, 2);
    wk_need(&c, WK_ARG(start), WK_I32, 2);
    wk_need_opt(&c, WK_ARG(bucket), WK_I32, 2);
    wk_need(&c, WK_ARG(sketch), WK_F32, 3);
    wk_require(&c, a->w.dim[1] < (int64_t)1 << 30, WEFT_E_UNSUPPORTED,
               "w has %lld columns, an entry holds less than 2^30", (long long)a->w.dim[1]);
    wk_same_dim(&c, WK_ARG(anchor), 0, WK_ARG(w), 1);
    wk_same_dim(&c, WK_ARG(scale), 0, WK_ARG(w), 1);
    wk_same_dim(&c, WK_ARG(sketch), 0, WK_ARG(w), 0);
    wk_same_dim(&c, WK_ARG(entry), 0, WK_ARG(sketch), 1);
    wk_same_dim(&c, WK_ARG(start), 0, WK_ARG(sketch), 1);
    wk_same_dim(&c, WK_ARG(bucket), 0, WK_ARG(sketch), 1);
    wk_same_dim(&c, WK_ARG(bucket), 1, WK_ARG(w), 1);
    wk_require(&c, a->start.dim[1] == a->sketch.dim[2] + 1, WEFT_E_SHAPE,
               "start has %lld columns, needed is one more than the %lld buckets of sketch",
               (long long)a->start.dim[1], (long long)a->sketch.dim[2]);
    wk_apart(&c, WK_ARG(sketch), WK_ARG(w));
    wk_apart(&c, WK_ARG(sketch), WK_ARG(anchor));
    return c.st;
}

/* ---- federation ---- */

static void need_sum(wk_check *c, const char *name, wk_tensor t) {
    wk_need(c, name, t, WK_I64, 2);
    wk_require(c, t.dim[0] == WK_SUM_WORDS, WEFT_E_SHAPE, "%s has %lld rows, needed are %d", name,
               (long long)t.dim[0], WK_SUM_WORDS);
}

weft_status wk_check_update_add(wk_dev *dev, const wk_update_add_args *a) {
    wk_check c = {dev, "update_add", WEFT_OK};
    need_sum(&c, WK_ARG(acc));
    wk_need(&c, WK_ARG(w), WK_F32, 2);
    wk_need(&c, WK_ARG(anchor), WK_F32, 1);
    wk_need(&c, WK_ARG(weight), WK_F64, 1);
    wk_same_dim(&c, WK_ARG(w), 1, WK_ARG(acc), 1);
    wk_same_dim(&c, WK_ARG(anchor), 0, WK_ARG(w), 1);
    wk_same_dim(&c, WK_ARG(weight), 0, WK_ARG(w), 0);
    wk_apart(&c, WK_ARG(acc), WK_ARG(w));
    wk_apart(&c, WK_ARG(acc), WK_ARG(anchor));
    return c.st;
}

weft_status wk_check_sum_read(wk_dev *dev, const wk_sum_read_args *a) {
    wk_check c = {dev, "sum_read", WEFT_OK};
    need_sum(&c, WK_ARG(acc));
    wk_need(&c, WK_ARG(y), WK_F64, 1);
    wk_need_opt(&c, WK_ARG(base), WK_F32, 1);
    wk_same_dim(&c, WK_ARG(y), 0, WK_ARG(acc), 1);
    wk_same_dim(&c, WK_ARG(base), 0, WK_ARG(y), 0);
    wk_apart(&c, WK_ARG(y), WK_ARG(acc));
    wk_apart(&c, WK_ARG(y), WK_ARG(base));
    return c.st;
}

weft_status wk_check_weighted_sum(wk_dev *dev, const wk_weighted_sum_args *a) {
    wk_check c = {dev, "weighted_sum", WEFT_OK};
    wk_need(&c, WK_ARG(x), WK_F32, 2);
    wk_need(&c, WK_ARG(weight), WK_F64, 1);
    wk_need(&c, WK_ARG(y), WK_F64, 1);
    wk_same_dim(&c, WK_ARG(weight), 0, WK_ARG(x), 0);
    wk_same_dim(&c, WK_ARG(y), 0, WK_ARG(x), 1);
    wk_apart(&c, WK_ARG(y), WK_ARG(x));
    wk_apart(&c, WK_ARG(y), WK_ARG(weight));
    return c.st;
}

weft_status wk_check_order_stat(wk_dev *dev, const wk_order_stat_args *a) {
    wk_check c = {dev, "order_stat", WEFT_OK};
    wk_need(&c, WK_ARG(x), WK_F32, 2);
    wk_need(&c, WK_ARG(y), WK_F32, 1);
    wk_same_dim(&c, WK_ARG(y), 0, WK_ARG(x), 1);
    wk_require(&c, a->x.dim[0] <= WK_MAX_RANKED, WEFT_E_UNSUPPORTED,
               "x has %lld rows, above the limit of %d", (long long)a->x.dim[0], WK_MAX_RANKED);
    wk_require(&c, 0 <= a->lo && a->lo < a->hi && a->hi <= a->x.dim[0], WEFT_E_ARG,
               "ranks [%lld,%lld) of %lld values", (long long)a->lo, (long long)a->hi,
               (long long)a->x.dim[0]);
    wk_apart(&c, WK_ARG(y), WK_ARG(x));
    return c.st;
}

weft_status wk_check_noise(wk_dev *dev, const wk_noise_args *a) {
    wk_check c = {dev, "noise", WEFT_OK};
    wk_need(&c, WK_ARG(y), WK_F32, 1);
    wk_require(&c, a->y.dim[0] <= (int64_t)4 << 32, WEFT_E_UNSUPPORTED,
               "y has %lld elements, more than one stream gives", (long long)a->y.dim[0]);
    wk_require(&c, a->sigma >= 0 && isfinite(a->sigma), WEFT_E_ARG, "sigma is %g",
               (double)a->sigma);
    return c.st;
}

weft_status wk_check_server_step(wk_dev *dev, const wk_server_step_args *a) {
    wk_check c = {dev, "server_step", WEFT_OK};
    wk_require(&c, (int)a->kind >= WK_SERVER_AVG && (int)a->kind <= WK_SERVER_YOGI, WEFT_E_ARG,
               "kind %d is unknown", (int)a->kind);
    bool needs_v = a->kind >= WK_SERVER_ADAGRAD;
    bool needs_m = a->kind != WK_SERVER_AVG && !(a->kind == WK_SERVER_ADAGRAD && a->beta1 <= 0);
    wk_need(&c, WK_ARG(x), WK_F32, 1);
    wk_need(&c, WK_ARG(delta), WK_F64, 1);
    if (needs_m) wk_need(&c, WK_ARG(m), WK_F64, 1);
    if (needs_v) wk_need(&c, WK_ARG(v), WK_F64, 1);
    wk_need_opt(&c, WK_ARG(m), WK_F64, 1);
    wk_need_opt(&c, WK_ARG(v), WK_F64, 1);
    wk_same_shape(&c, WK_ARG(delta), WK_ARG(x));
    wk_same_shape(&c, WK_ARG(m), WK_ARG(x));
    wk_same_shape(&c, WK_ARG(v), WK_ARG(x));
    wk_require(&c, a->step >= 1, WEFT_E_ARG, "step is %lld, the first is 1", (long long)a->step);
    wk_apart(&c, WK_ARG(x), WK_ARG(delta));
    wk_apart(&c, WK_ARG(m), WK_ARG(delta));
    wk_apart(&c, WK_ARG(v), WK_ARG(delta));
    wk_apart(&c, WK_ARG(m), WK_ARG(v));
    return c.st;
}
