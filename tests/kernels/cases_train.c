/* Cases of the local optimizers, their drift, and the server. The formulas follow ops.h, in double.
 */
#include "kernels/rng.h"
#include "tests/kernels/op_run.h"

#include <math.h>

#define FOR(i, n) for (int64_t i = 0; i < (n); i++)

/* ---- slots: the second rests, the fourth is dead ---- */

typedef struct slot_operands {
    op_buf *step, *lr, *sqnorm, *dead;
    wk_slot_state state;
} slot_operands;

static slot_operands declare_slots(op_run *r) {
    const int32_t step[] = {1, 0, 7, 3, 1000}, dead[] = {0, 0, 0, 1, 0};
    slot_operands q = {.step = op_ints(r, "step", step, r->s->k),
                       .lr = op_in(r, "lr", r->s->k, 0),
                       .sqnorm = op_typed(r, "sqnorm", WK_F64, r->s->k, 0),
                       .dead = op_ints(r, "dead", dead, r->s->k)};
    FOR (k, r->s->k) {
        op_set(q.lr, k, 0, 0.01 * (double)(k + 1));
        op_set(q.sqnorm, k, 0, 0.25 * (double)(k + 1));
    }
    q.state = (wk_slot_state){q.step->t, q.lr->t, q.sqnorm->t, q.dead->t};
    return q;
}

static bool active(const slot_operands *q, int64_t k) {
    return op_at(q->step, k, 0) > 0 && op_at(q->dead, k, 0) < 1;
}

static weft_status run_grad_norm(op_run *r) {
    const op_shape *s = r->s;
    op_buf *g = op_out(r, "g", s->k, s->d), *w = op_in(r, "w", s->k, s->d),
           *anchor = op_in(r, "anchor", s->d, 0);
    slot_operands q = declare_slots(r);
    op_output(r, q.sqnorm);
    op_output(r, q.dead);
    if (s->full) op_set(g, 2, 1, (double)NAN), op_want(q.dead, 2, 0, 1);
    FOR (k, s->k) {
        if (!active(&q, k)) continue;
        double sum = 0;
        FOR (j, s->d) {
            double value = op_at(g, k, j) + (double)s->p * (op_at(w, k, j) - op_at(anchor, j, 0));
            if (s->p > 0) op_want(g, k, j, value);
            double stored = (double)(float)value;
            sum += stored * stored;
        }
        op_want(q.sqnorm, k, 0, sum);
    }
    WEFT_TRY(op_upload(r));
    return wk_grad_norm(
        r->dev, &(wk_grad_norm_args){
                    .g = g->t, .w = w->t, .anchor = anchor->t, .slots = q.state, .prox_mu = s->p});
}

/* ---- drift ---- */

typedef struct drift_buffers {
    op_buf *anchor, *sqnorm, *sketch, *sign, *rot;
    wk_drift_operands d;
} drift_buffers;

/* o: rows of the sketch, 0 for none. */
static drift_buffers declare_drift(op_run *r) {
    const int64_t n = r->s->d, rows = r->s->o, width = WK_SKETCH_WIDTH;
    const int64_t blocks = (n + width - 1) / width;
    drift_buffers b = {.anchor = op_in(r, "drift.anchor", n, 0),
                       .sqnorm = op_output(r, op_typed(r, "drift.sqnorm", WK_F64, r->s->k, 0))};
    b.d = (wk_drift_operands){.anchor = b.anchor->t, .sqnorm = b.sqnorm->t};
    if (!rows) return b;
    b.sketch = op_output(r, op_stacked(r, "drift.sketch", r->s->k, rows, width));
    b.sign = op_typed(r, "drift.sign", WK_U8, n, 0);
    b.rot = op_typed(r, "drift.rot", WK_U8, blocks, rows);
    wk_stream s = wk_stream_at(wk_rng_key(4, WK_RNG_TEST, 1), 0, 0, 0);
    FOR (i, n) op_set(b.sign, i, 0, wk_stream_below(&s, 256));
    FOR (i, blocks)
        FOR (j, rows) op_set(b.rot, i, j, wk_stream_below(&s, 256));
    b.d.sketch = b.sketch->t, b.d.sign = b.sign->t, b.d.rot = b.rot->t;
    return b;
}

/* What is expected of slot k when its numbers are w[…]. The sketch by its definition: for every
 * row and bucket, the one number of each block that falls into it. */
static void want_drift(op_run *r, const drift_buffers *b, int64_t k, const double *w) {
    const int64_t n = r->s->d, width = WK_SKETCH_WIDTH;
    double squares = 0;
    FOR (i, n) squares += pow(w[i] - op_at(b->anchor, i, 0), 2);
    op_want(b->sqnorm, k, 0, squares);
    FOR (j, r->s->o)
        FOR (bucket, width) {
            double sum = 0;
            for (int64_t block = 0; block * width < n; block++) {
                const int64_t i = block * width + (bucket ^ (int64_t)op_at(b->rot, block, j));
                if (i >= n) continue;
                const bool minus = (int64_t)op_at(b->sign, i, 0) >> j & 1;
                sum += (minus ? -1 : 1) * (w[i] - op_at(b->anchor, i, 0));
            }
            op_want(b->sketch, k, j * width + bucket, sum);
        }
}

#define LONGEST 9000

static weft_status run_drift(op_run *r) {
    op_buf *w = op_in(r, "w", r->s->k, r->s->d);
    slot_operands q = declare_slots(r);
    drift_buffers b = declare_drift(r);
    FOR (k, r->s->k) {
        static double row[LONGEST];
        FOR (i, r->s->d) row[i] = op_at(w, k, i);
        if (active(&q, k)) want_drift(r, &b, k, row);
    }
    WEFT_TRY(op_upload(r));
    return wk_drift(r->dev, &(wk_drift_args){.w = w->t, .slots = q.state, .drift = b.d});
}

static double clip_factor(const slot_operands *q, int64_t k, double clip) {
    return clip > 0 ? fmin(1, clip / (sqrt(op_at(q->sqnorm, k, 0)) + 1e-6)) : 1;
}

/* full: with drift. */
static weft_status run_adamw_step(op_run *r) {
    const op_shape *s = r->s;
    const double b1 = (double)0.9f, b2 = (double)0.999f, eps = (double)1e-8f, decay = (double)0.01f;
    op_buf *w = op_out(r, "w", s->k, s->d), *g = op_in(r, "g", s->k, s->d),
           *m = op_out(r, "m", s->k, s->d), *v = op_out(r, "v", s->k, s->d);
    slot_operands q = declare_slots(r);
    drift_buffers b = {0};
    if (s->full) b = declare_drift(r);
    FOR (k, s->k) {
        static double stepped[LONGEST];
        FOR (j, s->d) {
            op_set(v, k, j, fabs(op_at(v, k, j)));
            if (!active(&q, k)) continue;
            const double t = op_at(q.step, k, 0), lr = op_at(q.lr, k, 0);
            const double grad = clip_factor(&q, k, (double)s->p) * op_at(g, k, j);
            const double m1 = b1 * op_at(m, k, j) + (1 - b1) * grad;
            const double v1 = b2 * op_at(v, k, j) + (1 - b2) * grad * grad;
            const double mhat = m1 / (1 - pow(b1, t)), vhat = v1 / (1 - pow(b2, t));
            op_want(m, k, j, m1);
            op_want(v, k, j, v1);
            const double w1 = (1 - lr * decay) * op_at(w, k, j) - lr * mhat / (sqrt(vhat) + eps);
            op_want(w, k, j, w1);
            stepped[j] = op_rounded(w, w1); /* drift goes on from what was stored */
        }
        if (s->full && active(&q, k)) want_drift(r, &b, k, stepped);
    }
    WEFT_TRY(op_upload(r));
    return wk_adamw_step(r->dev, &(wk_adamw_step_args){.w = w->t,
                                                       .g = g->t,
                                                       .m = m->t,
                                                       .v = v->t,
                                                       .slots = q.state,
                                                       .drift = b.d,
                                                       .beta1 = 0.9f,
                                                       .beta2 = 0.999f,
                                                       .eps = 1e-8f,
                                                       .weight_decay = 0.01f,
                                                       .clip = s->p});
}

/* p: momentum. full: Nesterov and clipping. */
static weft_status run_sgd_step(op_run *r) {
    const op_shape *s = r->s;
    const double decay = (double)0.02f, clip = s->full ? (double)0.3f : 0, mu = (double)s->p;
    op_buf *w = op_out(r, "w", s->k, s->d), *g = op_in(r, "g", s->k, s->d),
           *m = op_out(r, "m", s->k, s->d);
    slot_operands q = declare_slots(r);
    FOR (k, s->k)
        FOR (j, s->d) {
            if (!active(&q, k)) continue;
            const double grad = clip_factor(&q, k, clip) * op_at(g, k, j) + decay * op_at(w, k, j);
            const double buf = op_at(q.step, k, 0) > 1 ? mu * op_at(m, k, j) + grad : grad;
            const double by = mu > 0 ? (s->full ? grad + mu * buf : buf) : grad;
            if (mu > 0) op_want(m, k, j, buf);
            op_want(w, k, j, op_at(w, k, j) - op_at(q.lr, k, 0) * by);
        }
    WEFT_TRY(op_upload(r));
    wk_sgd_step_args a = {.w = w->t,
                          .g = g->t,
                          .slots = q.state,
                          .momentum = s->p,
                          .weight_decay = 0.02f,
                          .clip = (float)clip,
                          .nesterov = s->full};
    if (mu > 0) a.m = m->t;
    return wk_sgd_step(r->dev, &a);
}

/* ---- federation ---- */

/* Both words of a sum that begins somewhere; the last row has no weight and is not a number. */
static weft_status run_update_add(op_run *r) {
    const op_shape *s = r->s;
    op_buf *acc = op_output(r, op_typed(r, "acc", WK_I64, 2, s->d)), *w = op_in(r, "w", s->n, s->d),
           *anchor = op_in(r, "anchor", s->d, 0), *weight = op_typed(r, "weight", WK_F64, s->n, 0);
    op_set(weight, s->n - 1, 0, 0);
    FOR (j, s->d) {
        double high = 1000 * (double)j, low = -7;
        op_set(acc, 0, j, high), op_set(acc, 1, j, low);
        op_set(w, s->n - 1, j, (double)NAN);
        FOR (k, s->n - 1) {
            const double term = op_at(weight, k, 0) * (op_at(w, k, j) - op_at(anchor, j, 0));
            const double whole = nearbyint(ldexp(term, 20));
            high += whole;
            low += nearbyint(ldexp(term - ldexp(whole, -20), 63));
        }
        op_want(acc, 0, j, high), op_want(acc, 1, j, low);
    }
    WEFT_TRY(op_upload(r));
    return wk_update_add(r->dev, &(wk_update_add_args){acc->t, w->t, anchor->t, weight->t});
}

static weft_status run_sum_read(op_run *r) {
    const int64_t n = r->s->d;
    op_buf *y = op_output(r, op_typed(r, "y", WK_F64, n, 0)),
           *acc = op_typed(r, "acc", WK_I64, 2, n), *base = op_in(r, "base", n, 0),
           *noise = op_in(r, "noise", 2, n);
    FOR (j, n) {
        op_set(acc, 0, j, 0x1p30 * op_at(noise, 0, j));
        op_set(acc, 1, j, 0x1p40 * op_at(noise, 1, j));
        const double sum = ldexp(op_at(acc, 0, j), -20) + ldexp(op_at(acc, 1, j), -63);
        op_want(y, j, 0, sum + (r->s->full ? op_at(base, j, 0) : 0));
    }
    WEFT_TRY(op_upload(r));
    const wk_tensor none = {0};
    return wk_sum_read(r->dev, &(wk_sum_read_args){y->t, acc->t, r->s->full ? base->t : none});
}

static weft_status run_weighted_sum(op_run *r) {
    const op_shape *s = r->s;
    op_buf *x = op_in(r, "x", s->n, s->d), *weight = op_typed(r, "weight", WK_F64, s->n, 0),
           *y = op_output(r, op_typed(r, "y", WK_F64, s->d, 0));
    FOR (j, s->d) {
        double sum = 0;
        FOR (n, s->n) sum += op_at(weight, n, 0) * op_at(x, n, j);
        op_want(y, j, 0, sum);
    }
    WEFT_TRY(op_upload(r));
    return wk_weighted_sum(r->dev, &(wk_weighted_sum_args){y->t, x->t, weight->t});
}

/* Ranks [o, k) of n values. full: with equal values, infinities and NaN among them. */
static weft_status run_order_stat(op_run *r) {
    const op_shape *s = r->s;
    op_buf *x = op_in(r, "x", s->n, s->d), *y = op_out(r, "y", s->d, 0);
    const double odd[] = {0, -HUGE_VAL, (double)NAN, 0, 1, HUGE_VAL, 1, -1, (double)NAN, -0.0};
    if (s->full)
        FOR (n, s->n)
            FOR (j, s->d)
                if ((n + j) % 3) op_set(x, n, j, odd[(3 * n + 7 * j) % 10]);
    FOR (j, s->d) {
        /* The rank of a value is the number of values that go before it. */
        double sum = 0;
        FOR (n, s->n) {
            const double value = op_at(x, n, j);
            int64_t rank = 0;
            FOR (m, s->n) {
                const double other = op_at(x, m, j);
                const bool equal = other == value || (isnan(other) && isnan(value));
                rank += equal ? m < n : other < value || (isnan(value) && !isnan(other));
            }
            if (rank >= s->o && rank < s->k) sum += value;
        }
        op_want(y, j, 0, sum / (s->k - s->o));
    }
    WEFT_TRY(op_upload(r));
    return wk_order_stat(r->dev,
                         &(wk_order_stat_args){.y = y->t, .x = x->t, .lo = s->o, .hi = s->k});
}

/* p: sigma. */
static weft_status run_noise(op_run *r) {
    op_buf *y = op_out(r, "y", r->s->d, 0);
    const uint64_t key = wk_rng_key(9, WK_RNG_TEST, 3);
    FOR (i, r->s->d) {
        const wk_philox v = wk_philox4(key, (uint32_t)(i / 4), 11, 12, 13);
        const int pair = i % 4 < 2 ? 0 : 2;
        const double u = ldexp(v.v[pair] + 0.5, -32), turn = ldexp(v.v[pair + 1] + 0.5, -32);
        const double quarter = i % 2 ? acos(-1) / 2 : 0; /* cos a = sin(a + pi/2) */
        op_want(y, i, 0,
                op_at(y, i, 0) +
                    (double)r->s->p * sqrt(-2 * log(u)) * sin(2 * acos(-1) * turn + quarter));
    }
    WEFT_TRY(op_upload(r));
    return wk_noise(
        r->dev,
        &(wk_noise_args){
            .y = y->t, .key = key, .step = 11, .round = 12, .client = 13, .sigma = r->s->p});
}

/* full: bias correction and weight decay, at step 3. */
static weft_status run_server_step(op_run *r) {
    const op_shape *s = r->s;
    const double lr = 0.05, b1 = 0.9, b2 = 0.99, tau = 1e-3, decay = s->full ? 0.1 : 0;
    op_buf *x = op_out(r, "x", s->d, 0), *delta = op_typed(r, "delta", WK_F64, s->d, 0),
           *m = op_output(r, op_typed(r, "m", WK_F64, s->d, 0)),
           *v = op_output(r, op_typed(r, "v", WK_F64, s->d, 0));
    const int kind = s->kind;
    const bool adaptive = kind >= WK_SERVER_ADAGRAD, correct = s->full && kind != WK_SERVER_ADAGRAD;
    FOR (j, s->d) {
        op_set(v, j, 0, fabs(op_at(v, j, 0)));
        const double d = 0.125 * op_at(delta, j, 0), d2 = d * d, v0 = op_at(v, j, 0);
        double m1 = b1 * op_at(m, j, 0) + (kind == WK_SERVER_AVGM ? 1 : 1 - b1) * d, v1 = v0 + d2;
        if (kind == WK_SERVER_ADAM) v1 = b2 * v0 + (1 - b2) * d2;
        if (kind == WK_SERVER_YOGI) v1 = v0 - (1 - b2) * copysign(d2, v0 - d2);
        if (kind != WK_SERVER_AVG) op_want(m, j, 0, m1);
        if (adaptive) op_want(v, j, 0, v1);
        double move = kind == WK_SERVER_AVG ? d : m1;
        if (correct) move /= 1 - pow(b1, 3), v1 /= 1 - pow(b2, 3);
        if (adaptive) move = move / (sqrt(v1) + tau) - decay * op_at(x, j, 0);
        op_want(x, j, 0, op_at(x, j, 0) + lr * move);
    }
    WEFT_TRY(op_upload(r));
    wk_server_step_args a = {.x = x->t,
                             .delta = delta->t,
                             .kind = (wk_server_kind)kind,
                             .step = 3,
                             .delta_scale = 0.125,
                             .lr = lr,
                             .beta1 = b1,
                             .beta2 = b2,
                             .tau = tau,
                             .weight_decay = decay,
                             .bias_correction = s->full};
    if (kind != WK_SERVER_AVG) a.m = m->t;
    if (adaptive) a.v = v->t;
    return wk_server_step(r->dev, &a);
}

/* clang-format off */
const op_case op_cases_train[] = {
    {"grad_norm", "plain", run_grad_norm, {.k = 5, .d = 1031, .pad = 3}},
    {"grad_norm", "proximal", run_grad_norm, {.k = 5, .d = 129, .p = 0.1f}},
    {"grad_norm", "long", run_grad_norm, {.k = 3, .d = 40000}},
    {"grad_norm", "not finite", run_grad_norm, {.k = 5, .d = 40, .full = true}},
    {"drift", "norm alone", run_drift, {.k = 5, .d = 1031, .pad = 3}},
    {"drift", "shorter than a block", run_drift, {.k = 5, .d = 40, .o = 2}},
    {"drift", "a whole block", run_drift, {.k = 3, .d = 256, .o = 1, .pad = 1}},
    {"drift", "odd, sketch", run_drift, {.k = 5, .d = 1031, .o = 5, .pad = 3}},
    {"drift", "long, sketch of 8 rows", run_drift, {.k = 3, .d = 8705, .o = 8}},
    {"adamw_step", "plain", run_adamw_step, {.k = 5, .d = 203}},
    {"adamw_step", "clipped, strided", run_adamw_step, {.k = 5, .d = 64, .pad = 5, .p = 0.7f}},
    {"adamw_step", "clipped, drift", run_adamw_step, {.k = 5, .d = 777, .p = 0.7f, .full = true}},
    {"adamw_step", "drift, sketch", run_adamw_step, {.k = 5, .d = 5003, .o = 5, .pad = 1, .full = true}},
    {"sgd_step", "plain", run_sgd_step, {.k = 5, .d = 203, .pad = 1}},
    {"sgd_step", "clipped", run_sgd_step, {.k = 5, .d = 64, .full = true}},
    {"sgd_step", "momentum", run_sgd_step, {.k = 5, .d = 203, .p = 0.9f}},
    {"sgd_step", "nesterov, clipped", run_sgd_step, {.k = 5, .d = 77, .pad = 3, .p = 0.9f, .full = true}},
    {"update_add", "odd", run_update_add, {.n = 5, .d = 1001, .pad = 3}},
    {"update_add", "no weight", run_update_add, {.n = 1, .d = 33}},
    {"sum_read", "odd", run_sum_read, {.d = 1001, .pad = 1}},
    {"sum_read", "with base", run_sum_read, {.d = 130, .full = true}},
    {"weighted_sum", "odd", run_weighted_sum, {.n = 7, .d = 1001, .pad = 3}},
    {"weighted_sum", "one row", run_weighted_sum, {.n = 1, .d = 64}},
    {"weighted_sum", "no rows", run_weighted_sum, {.n = 0, .d = 9}},
    {"weighted_sum", "many rows", run_weighted_sum, {.n = 300, .d = 33}},
    {"order_stat", "median of odd", run_order_stat, {.n = 9, .d = 301, .o = 4, .k = 5, .pad = 3}},
    {"order_stat", "median of even", run_order_stat, {.n = 10, .d = 64, .o = 4, .k = 6}},
    {"order_stat", "trimmed mean", run_order_stat, {.n = 33, .d = 65, .o = 5, .k = 28, .pad = 1}},
    {"order_stat", "one row", run_order_stat, {.n = 1, .d = 7, .o = 0, .k = 1}},
    {"order_stat", "equal, infinite, NaN: median", run_order_stat, {.n = 20, .d = 61, .o = 9, .k = 11, .full = true}},
    {"order_stat", "equal, infinite, NaN: tail", run_order_stat, {.n = 21, .d = 61, .o = 12, .k = 21, .full = true}},
    {"order_stat", "many rows", run_order_stat, {.n = 1025, .d = 9, .o = 100, .k = 925}},
    {"noise", "odd", run_noise, {.d = 1003, .p = 1.0f}},
    {"noise", "small", run_noise, {.d = 2, .p = 0.01f}},
    {"noise", "none", run_noise, {.d = 17, .p = 0.0f}},
    {"server_step", "avg", run_server_step, {.d = 301, .kind = WK_SERVER_AVG}},
    {"server_step", "avgm", run_server_step, {.d = 301, .kind = WK_SERVER_AVGM}},
    {"server_step", "adagrad", run_server_step, {.d = 301, .kind = WK_SERVER_ADAGRAD}},
    {"server_step", "adagrad, decay", run_server_step, {.d = 301, .kind = WK_SERVER_ADAGRAD, .full = true}},
    {"server_step", "adam", run_server_step, {.d = 301, .kind = WK_SERVER_ADAM}},
    {"server_step", "adam, corrected, decay", run_server_step, {.d = 301, .kind = WK_SERVER_ADAM, .full = true}},
    {"server_step", "yogi", run_server_step, {.d = 301, .kind = WK_SERVER_YOGI}},
    {"server_step", "yogi, corrected, decay", run_server_step, {.d = 301, .kind = WK_SERVER_YOGI, .full = true}},
    {0},
};
