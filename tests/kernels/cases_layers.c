/* Cases of norm, activation, attention and losses. The formulas follow ops.h, in double. */
#include "tests/kernels/op_run.h"

#include <math.h>

#define FOR(i, n) for (int64_t i = 0; i < (n); i++)

/* ---- layer normalisation ---- */

#define WIDEST 17000 /* a row that no backend holds in registers */

static weft_status run_layernorm_fwd(op_run *r) {
    static double sums[WIDEST];
    const op_shape *s = r->s;
    op_buf *x = op_hidden_in(r, 0, "x", s->n, s->d),
           *res = op_hidden_in(r, 0, "residual", s->n, s->d), *weight = op_in(r, "weight", s->d, 0),
           *bias = op_in(r, "bias", s->d, 0), *y = op_hidden_out(r, 1, "y", s->n, s->d),
           *mean = op_out(r, "mean", s->n, 0), *rstd = op_out(r, "rstd", s->n, 0),
           *z = s->in_place ? op_output(r, x) : op_hidden_out(r, 0, "z", s->n, s->d);
    FOR (i, s->n) {
        double sum = 0, squares = 0, width = s->d;
        FOR (j, s->d) {
            const double z_j = op_at(x, i, j) + (s->residual ? op_at(res, i, j) : 0);
            sums[j] = s->full ? op_rounded(z, z_j) : (double)(float)z_j; /* z is given when full */
            sum += sums[j];
            if (s->full) op_want(z, i, j, sums[j]);
        }
        FOR (j, s->d) squares += pow(sums[j] - sum / width, 2);
        double scale = 1 / sqrt(squares / width + 1e-5);
        FOR (j, s->d)
            op_want(y, i, j,
                    (sums[j] - sum / width) * scale * op_at(weight, j, 0) + op_at(bias, j, 0));
        if (s->full) op_want(mean, i, 0, sum / width), op_want(rstd, i, 0, scale);
    }
    WEFT_TRY(op_upload(r));
    wk_layernorm_fwd_args a = {
        .y = y->t, .x = x->t, .weight = weight->t, .bias = bias->t, .eps = 1e-5f};
    if (s->residual) a.residual = res->t;
    if (s->full) a.z = z->t, a.mean = mean->t, a.rstd = rstd->t;
    return wk_layernorm_fwd(r->dev, &a);
}

static weft_status run_layernorm_bwd(op_run *r) {
    const op_shape *s = r->s;
    op_buf *dy = op_hidden_in(r, 0, "dy", s->n, s->d), *z = op_hidden_in(r, 1, "z", s->n, s->d),
           *weight = op_in(r, "weight", s->d, 0), *mean = op_in(r, "mean", s->n, 0),
           *rstd = op_in(r, "rstd", s->n, 0),
           *dz = s->in_place ? op_output(r, dy) : op_hidden_out(r, 2, "dz", s->n, s->d);
    FOR (i, s->n) {
        double width = s->d, mean_g = 0, mean_gx = 0;
        op_set(rstd, i, 0, 0.5 + fabs(op_at(rstd, i, 0)));
        FOR (j, s->d) {
            double g = op_at(dy, i, j) * op_at(weight, j, 0) / width;
            mean_g += g;
            mean_gx += g * (op_at(z, i, j) - op_at(mean, i, 0)) * op_at(rstd, i, 0);
        }
        FOR (j, s->d) {
            double xhat = (op_at(z, i, j) - op_at(mean, i, 0)) * op_at(rstd, i, 0);
            op_want(dz, i, j,
                    op_at(rstd, i, 0) *
                        (op_at(dy, i, j) * op_at(weight, j, 0) - mean_g - xhat * mean_gx));
        }
    }
    WEFT_TRY(op_upload(r));
    return wk_layernorm_bwd(r->dev, &(wk_layernorm_bwd_args){.dz = dz->t,
                                                             .dy = dy->t,
                                                             .z = z->t,
                                                             .mean = mean->t,
                                                             .rstd = rstd->t,
                                                             .weight = weight->t});
}

/* ---- activation ---- */

static double gelu_tanh_inner(double x) {
    return sqrt(2 / acos(-1)) * (x + 0.044715 * pow(x, 3));
}

static double act(int kind, double x) {
    if (kind == WK_ACT_GELU) return x / 2 * erfc(-x / sqrt(2));
    if (kind == WK_ACT_GELU_TANH) return x / (1 + exp(-2 * gelu_tanh_inner(x)));
    if (kind == WK_ACT_RELU) return fmax(x, 0);
    return 1 - 2 / (exp(2 * x) + 1);
}

static double act_slope(int kind, double x) {
    if (kind == WK_ACT_GELU)
        return erfc(-x / sqrt(2)) / 2 + x * exp(-x * x / 2) / sqrt(2 * acos(-1));
    if (kind == WK_ACT_GELU_TANH) {
        double s = 1 / (1 + exp(-2 * gelu_tanh_inner(x)));
        return s + x * s * (1 - s) * 2 * sqrt(2 / acos(-1)) * (1 + 0.134145 * x * x);
    }
    if (kind == WK_ACT_RELU) return x > 0;
    return 1 / pow(cosh(x), 2);
}

/* The first row holds the places where a fast implementation may fail: tails, zero, tiny numbers.
 */
static void set_hard_points(op_buf *x, const op_shape *s) {
    const double hard[] = {0, -0.0, 1e-8, -1e-8, 30, -30, 6, -6, 3, -3, 100, -100};
    FOR (j, s->d < 12 ? s->d : 12) op_set(x, 0, j, hard[j]);
}

static weft_status run_act_fwd(op_run *r) {
    const op_shape *s = r->s;
    op_buf *x = op_hidden_in(r, 0, "x", s->n, s->d),
           *y = s->in_place ? op_output(r, x) : op_hidden_out(r, 0, "y", s->n, s->d);
    set_hard_points(x, s);
    FOR (i, s->n)
        FOR (j, s->d) op_want(y, i, j, act(s->kind, op_at(x, i, j)));
    WEFT_TRY(op_upload(r));
    return wk_act_fwd(r->dev, &(wk_act_fwd_args){.y = y->t, .x = x->t, .act = (wk_act)s->kind});
}

static weft_status run_act_bwd(op_run *r) {
    const op_shape *s = r->s;
    op_buf *x = op_hidden_in(r, 0, "x", s->n, s->d), *dy = op_hidden_in(r, 0, "dy", s->n, s->d),
           *dx = s->in_place ? op_output(r, dy) : op_hidden_out(r, 0, "dx", s->n, s->d);
    set_hard_points(x, s);
    FOR (i, s->n)
        FOR (j, s->d) op_want(dx, i, j, op_at(dy, i, j) * act_slope(s->kind, op_at(x, i, j)));
    WEFT_TRY(op_upload(r));
    return wk_act_bwd(
        r->dev, &(wk_act_bwd_args){.dx = dx->t, .dy = dy->t, .x = x->t, .act = (wk_act)s->kind});
}

/* ---- attention ---- */

#define LONGEST 64

typedef struct attn_operands {
    op_buf *q, *k, *v;
    double scale;
} attn_operands;

/* Probabilities of query i in head h over the keys of its sequence; returns the row's log-sum. */
static double probabilities(const op_shape *s, const attn_operands *a, int64_t i, int64_t h,
                            int64_t begin, int64_t end, double *p) {
    const int64_t kv = h / (s->heads / s->kv_heads);
    double sum = 0;
    for (int64_t j = begin; j < end; j++) {
        double score = 0;
        FOR (c, s->d) score += op_at(a->q, i, h * s->d + c) * op_at(a->k, j, kv * s->d + c);
        p[j - begin] = s->causal && j > i ? 0 : exp(a->scale * score);
        sum += p[j - begin];
    }
    for (int64_t j = begin; j < end; j++) p[j - begin] /= sum;
    return log(sum);
}

/* Writes o and lse of all sequences with `set` (op_want or op_set). */
static void attend(const op_shape *s, const attn_operands *a, op_buf *o, op_buf *lse,
                   void (*set)(op_buf *, int64_t, int64_t, double)) {
    FOR (seq, s->segs->n) {
        const int64_t begin = s->segs->off[seq], end = s->segs->off[seq + 1];
        for (int64_t i = begin; i < end; i++)
            FOR (h, s->heads) {
                double p[LONGEST];
                set(lse, i, h, probabilities(s, a, i, h, begin, end, p));
                FOR (c, s->d) {
                    double sum = 0;
                    for (int64_t j = begin; j < end; j++)
                        sum +=
                            p[j - begin] * op_at(a->v, j, h / (s->heads / s->kv_heads) * s->d + c);
                    set(o, i, h * s->d + c, sum);
                }
            }
    }
}

static void zero_outside(const op_shape *s, op_buf *b,
                         void (*set)(op_buf *, int64_t, int64_t, double)) {
    FOR (i, s->n)
        if (i < s->segs->off[0] || i >= s->segs->off[s->segs->n])
            FOR (j, wk_row_numel(b->t)) set(b, i, j, 0);
}

static attn_operands declare_qkv(op_run *r) {
    const op_shape *s = r->s;
    attn_operands a = {.q = op_hidden_in(r, 0, "q", s->n, s->heads * s->d),
                       .k = op_hidden_in(r, 0, "k", s->n, s->kv_heads * s->d),
                       .v = op_hidden_in(r, 0, "v", s->n, s->kv_heads * s->d),
                       .scale = (double)(float)(1 / sqrt((double)s->d))};
    return a;
}

static weft_status run_attn_fwd(op_run *r) {
    const op_shape *s = r->s;
    attn_operands a = declare_qkv(r);
    op_buf *o = op_hidden_out(r, 0, "o", s->n, s->heads * s->d),
           *lse = op_out(r, "lse", s->n, s->heads);
    wk_tensor seq_off = op_seq_off(r);
    attend(s, &a, o, lse, op_want);
    zero_outside(s, o, op_want);
    WEFT_TRY(op_upload(r));
    return wk_attn_fwd(r->dev, &(wk_attn_fwd_args){.o = o->t,
                                                   .lse = lse->t,
                                                   .q = a.q->t,
                                                   .k = a.k->t,
                                                   .v = a.v->t,
                                                   .seq_off = seq_off,
                                                   .heads = s->heads,
                                                   .kv_heads = s->kv_heads,
                                                   .max_len = LONGEST,
                                                   .scale = (float)a.scale,
                                                   .causal = s->causal});
}

/* Adds to what an output is expected to be. */
static void want_more(op_buf *b, int64_t i, int64_t j, double value) {
    if (b->want) b->want[i * wk_row_numel(b->t) + j] += value;
}

static weft_status run_attn_bwd(op_run *r) {
    const op_shape *s = r->s;
    const int64_t shared = s->heads / s->kv_heads;
    attn_operands a = declare_qkv(r);
    op_buf *o = op_hidden_in(r, 0, "o", s->n, s->heads * s->d),
           *lse = op_in(r, "lse", s->n, s->heads),
           *d_o = op_hidden_in(r, 0, "d_o", s->n, s->heads * s->d),
           *dq = op_hidden_out(r, 0, "dq", s->n, s->heads * s->d),
           *dk = op_hidden_out(r, 0, "dk", s->n, s->kv_heads * s->d),
           *dv = op_hidden_out(r, 0, "dv", s->n, s->kv_heads * s->d);
    wk_tensor seq_off = op_seq_off(r);
    attend(s, &a, o, lse, op_set);
    op_buf *const outputs[] = {dq, dk, dv};
    FOR (g, 3)
        FOR (i, s->n)
            FOR (j, wk_row_numel(outputs[g]->t)) op_want(outputs[g], i, j, 0);
    FOR (seq, s->segs->n) {
        const int64_t begin = s->segs->off[seq], end = s->segs->off[seq + 1];
        for (int64_t i = begin; i < end; i++)
            FOR (h, s->heads) {
                const int64_t kv = h / shared * s->d, at = h * s->d;
                double p[LONGEST], dp[LONGEST], mean = 0;
                probabilities(s, &a, i, h, begin, end, p);
                for (int64_t j = begin; j < end; j++) {
                    dp[j - begin] = 0;
                    FOR (c, s->d) dp[j - begin] += op_at(d_o, i, at + c) * op_at(a.v, j, kv + c);
                }
                FOR (c, s->d) mean += op_at(d_o, i, at + c) * op_at(o, i, at + c);
                for (int64_t j = begin; j < end; j++) {
                    const double ds = a.scale * p[j - begin] * (dp[j - begin] - mean);
                    FOR (c, s->d) {
                        want_more(dq, i, at + c, ds * op_at(a.k, j, kv + c));
                        want_more(dk, j, kv + c, ds * op_at(a.q, i, at + c));
                        want_more(dv, j, kv + c, p[j - begin] * op_at(d_o, i, at + c));
                    }
                }
            }
    }
    WEFT_TRY(op_upload(r));
    return wk_attn_bwd(r->dev, &(wk_attn_bwd_args){.dq = dq->t,
                                                   .dk = dk->t,
                                                   .dv = dv->t,
                                                   .d_o = d_o->t,
                                                   .q = a.q->t,
                                                   .k = a.k->t,
                                                   .v = a.v->t,
                                                   .o = o->t,
                                                   .lse = lse->t,
                                                   .seq_off = seq_off,
                                                   .heads = s->heads,
                                                   .kv_heads = s->kv_heads,
                                                   .max_len = LONGEST,
                                                   .scale = (float)a.scale,
                                                   .causal = s->causal});
}

/* ---- loss ---- */

static weft_status run_softmax_xent(op_run *r) {
    const op_shape *s = r->s;
    op_buf *logits = op_in(r, "logits", s->n, s->d), *weight = op_in(r, "weight", s->n, 0),
           *loss = op_out(r, "loss", s->n, 0), *label = op_typed(r, "label", WK_I32, s->n, 0),
           *dl = s->in_place ? op_output(r, logits) : op_out(r, "dlogits", s->n, s->d);
    FOR (j, s->d) op_set(logits, 0, j, 400 * op_at(logits, 0, j)); /* exp would overflow */
    FOR (i, s->n) {
        int64_t y = i % 5 == 3 ? -1 : i * 7 % s->d;
        op_set(label, i, 0, (double)y);
        double sum = 0, top = op_at(logits, i, 0);
        FOR (j, s->d) top = fmax(top, op_at(logits, i, j));
        FOR (j, s->d) sum += exp(op_at(logits, i, j) - top);
        op_want(loss, i, 0, y < 0 ? 0 : log(sum) + top - op_at(logits, i, y));
        if (s->full)
            FOR (j, s->d) {
                double p = exp(op_at(logits, i, j) - top) / sum;
                op_want(dl, i, j, y < 0 ? 0 : op_at(weight, i, 0) * (p - (j == y ? 1 : 0)));
            }
    }
    WEFT_TRY(op_upload(r));
    wk_softmax_xent_args a = {
        .loss = loss->t, .logits = logits->t, .label = label->t, .weight = weight->t};
    if (s->full) a.dlogits = dl->t;
    return wk_softmax_xent(r->dev, &a);
}

static weft_status run_mse(op_run *r) {
    const op_shape *s = r->s;
    op_buf *pred = op_in(r, "pred", s->n, s->d), *target = op_in(r, "target", s->n, s->d),
           *weight = op_in(r, "weight", s->n, 0), *loss = op_out(r, "loss", s->n, 0),
           *dp = s->in_place ? op_output(r, pred) : op_out(r, "dpred", s->n, s->d);
    FOR (i, s->n) {
        double sum = 0;
        FOR (j, s->d) {
            double diff = op_at(pred, i, j) - op_at(target, i, j);
            sum += diff * diff / s->d;
            if (s->full) op_want(dp, i, j, op_at(weight, i, 0) * 2 * diff / s->d);
        }
        op_want(loss, i, 0, sum);
    }
    WEFT_TRY(op_upload(r));
    wk_mse_args a = {.loss = loss->t, .pred = pred->t, .target = target->t, .weight = weight->t};
    if (s->full) a.dpred = dp->t;
    return wk_mse(r->dev, &a);
}

static weft_status run_seg_sum(op_run *r) {
    const op_shape *s = r->s;
    op_buf *x = op_in(r, "x", s->n, 0), *weight = op_in(r, "weight", s->n, 0),
           *out = op_output(r, op_typed(r, "out", WK_F64, s->k, 0));
    wk_segs segs = op_segs_of(r);
    FOR (g, s->segs->n) {
        double sum = op_at(out, s->segs->slot[g], 0);
        for (int64_t i = s->segs->off[g]; i < s->segs->off[g + 1]; i++)
            sum += op_at(weight, i, 0) * op_at(x, i, 0);
        op_want(out, s->segs->slot[g], 0, sum);
    }
    WEFT_TRY(op_upload(r));
    return wk_seg_sum(
        r->dev, &(wk_seg_sum_args){.out = out->t, .x = x->t, .weight = weight->t, .segs = segs});
}

/* ---- the table ---- */

static const op_segs ragged = {5, {2, 5, 5, 6, 17, 40}, {3, 0, 4, 1, 2}};
static const op_segs one = {1, {0, 64}, {0}};
static const op_segs none = {0, {0}, {0}};

/* clang-format off */
const op_case op_cases_layers[] = {
    {"layernorm_fwd", "eval", run_layernorm_fwd, {.n = 9, .d = 37}},
    {"layernorm_fwd", "all operands", run_layernorm_fwd, {.n = 33, .d = 64, .pad = 5, .residual = true, .full = true}},
    {"layernorm_fwd", "z in place of x", run_layernorm_fwd, {.n = 5, .d = 384, .residual = true, .full = true, .in_place = true}},
    {"layernorm_fwd", "width 1", run_layernorm_fwd, {.n = 3, .d = 1, .full = true}},
    {"layernorm_fwd", "residual, z not kept", run_layernorm_fwd, {.n = 5, .d = 768, .residual = true}},
    {"layernorm_fwd", "4096", run_layernorm_fwd, {.n = 3, .d = 4096, .residual = true, .full = true}},
    {"layernorm_fwd", "widest in place", run_layernorm_fwd, {.n = 2, .d = WIDEST, .residual = true, .full = true, .in_place = true}},
    {"layernorm_bwd", "odd", run_layernorm_bwd, {.n = 9, .d = 37, .pad = 3}},
    {"layernorm_bwd", "in place", run_layernorm_bwd, {.n = 33, .d = 384, .in_place = true}},
    {"layernorm_bwd", "1023", run_layernorm_bwd, {.n = 5, .d = 1023, .pad = 1}},
    {"layernorm_bwd", "4096", run_layernorm_bwd, {.n = 3, .d = 4096}},
    {"layernorm_bwd", "widest in place", run_layernorm_bwd, {.n = 2, .d = WIDEST, .in_place = true}},
    {"act_fwd", "gelu", run_act_fwd, {.n = 5, .d = 131, .pad = 3, .kind = WK_ACT_GELU}},
    {"act_fwd", "gelu in place", run_act_fwd, {.n = 64, .d = 64, .kind = WK_ACT_GELU, .in_place = true}},
    {"act_fwd", "gelu_tanh", run_act_fwd, {.n = 5, .d = 131, .kind = WK_ACT_GELU_TANH}},
    {"act_fwd", "relu", run_act_fwd, {.n = 5, .d = 131, .kind = WK_ACT_RELU}},
    {"act_fwd", "tanh", run_act_fwd, {.n = 5, .d = 131, .pad = 1, .kind = WK_ACT_TANH}},
    {"act_bwd", "gelu", run_act_bwd, {.n = 5, .d = 131, .pad = 3, .kind = WK_ACT_GELU}},
    {"act_bwd", "gelu in place", run_act_bwd, {.n = 64, .d = 64, .kind = WK_ACT_GELU, .in_place = true}},
    {"act_bwd", "gelu_tanh", run_act_bwd, {.n = 5, .d = 131, .kind = WK_ACT_GELU_TANH}},
    {"act_bwd", "relu", run_act_bwd, {.n = 5, .d = 131, .kind = WK_ACT_RELU}},
    {"act_bwd", "tanh", run_act_bwd, {.n = 5, .d = 131, .pad = 1, .kind = WK_ACT_TANH}},
    {"attn_fwd", "ragged", run_attn_fwd, {.n = 44, .d = 32, .heads = 3, .kv_heads = 3, .pad = 7, .segs = &ragged}},
    {"attn_fwd", "causal", run_attn_fwd, {.n = 44, .d = 32, .heads = 2, .kv_heads = 2, .segs = &ragged, .causal = true}},
    {"attn_fwd", "grouped heads", run_attn_fwd, {.n = 44, .d = 16, .heads = 6, .kv_heads = 2, .segs = &ragged}},
    {"attn_fwd", "causal, grouped, odd", run_attn_fwd, {.n = 44, .d = 5, .heads = 4, .kv_heads = 1, .pad = 1, .segs = &ragged, .causal = true}},
    {"attn_fwd", "one sequence", run_attn_fwd, {.n = 64, .d = 64, .heads = 2, .kv_heads = 2, .segs = &one}},
    {"attn_fwd", "no sequence", run_attn_fwd, {.n = 3, .d = 8, .heads = 1, .kv_heads = 1, .segs = &none}},
    {"attn_bwd", "ragged", run_attn_bwd, {.n = 44, .d = 32, .heads = 3, .kv_heads = 3, .pad = 7, .segs = &ragged}},
    {"attn_bwd", "causal", run_attn_bwd, {.n = 44, .d = 32, .heads = 2, .kv_heads = 2, .segs = &ragged, .causal = true}},
    {"attn_bwd", "grouped heads", run_attn_bwd, {.n = 44, .d = 16, .heads = 6, .kv_heads = 2, .segs = &ragged}},
    {"attn_bwd", "causal, grouped, odd", run_attn_bwd, {.n = 44, .d = 5, .heads = 4, .kv_heads = 1, .pad = 1, .segs = &ragged, .causal = true}},
    {"attn_bwd", "one sequence", run_attn_bwd, {.n = 64, .d = 64, .heads = 2, .kv_heads = 2, .segs = &one}},
    {"attn_bwd", "no sequence", run_attn_bwd, {.n = 3, .d = 8, .heads = 1, .kv_heads = 1, .segs = &none}},
    {"softmax_xent", "loss only", run_softmax_xent, {.n = 11, .d = 3}},
    {"softmax_xent", "with gradient", run_softmax_xent, {.n = 11, .d = 77, .pad = 3, .full = true}},
    {"softmax_xent", "in place", run_softmax_xent, {.n = 40, .d = 2, .full = true, .in_place = true}},
    {"softmax_xent", "1000 classes", run_softmax_xent, {.n = 6, .d = 1000, .full = true}},
    {"softmax_xent", "50001 classes in place", run_softmax_xent, {.n = 3, .d = 50001, .full = true, .in_place = true}},
    {"mse", "loss only", run_mse, {.n = 11, .d = 1}},
    {"mse", "with gradient", run_mse, {.n = 11, .d = 5, .pad = 3, .full = true}},
    {"mse", "in place", run_mse, {.n = 7, .d = 1, .full = true, .in_place = true}},
    {"seg_sum", "ragged", run_seg_sum, {.n = 44, .k = 6, .segs = &ragged}},
    {0},
};
