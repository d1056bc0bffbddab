/* Adding up client updates, and the server optimizers. Arithmetic is double and rounds after every
 * operation, as ref's does: no product is contracted into a sum, so each number gets ref's bits. */
#include "kernels/cuda/fed.cuh"

/* ---- update_add ---- */

/* One chunk. 24 B/param: acc read and written, w and anchor read. */
template <bool VECTOR, bool NORM>
__global__ __launch_bounds__(THREADS) void update_add_k(double *acc, const float *w,
                                                        const float *anchor, double weight,
                                                        slot_group q, double *part) {
    const int64_t first = (int64_t)blockIdx.x * q.chunk;
    const int64_t end = first + q.chunk < q.p ? first + q.chunk : q.p;
    double sum = 0.0;
    for (int64_t i = first + 4 * (int)threadIdx.x; i < end; i += TILE) {
        const int n = four_below(i, end);
        float x[4], y[4];
        double to[4];
        load4<VECTOR>(x, w + i, n);
        load4<VECTOR>(y, anchor + i, n);
        load4<VECTOR>(to, acc + i, n);
#pragma unroll
        for (int c = 0; c < 4; c++) {
            const double d = (double)x[c] - (double)y[c];
            to[c] = __dadd_rn(to[c], __dmul_rn(weight, d));
            if (NORM) sum = fma(d, d, sum);
        }
        store4<VECTOR>(acc + i, to, n);
    }
    if constexpr (NORM) {
        sum = block_sum(sum);
        if (threadIdx.x == 0) part[blockIdx.x] = sum;
    }
}

static weft_status cuda_update_add(wk_dev *dev, const wk_update_add_args *a) {
    slot_group q = {};
    q.count = 1, q.p = a->acc.dim[0], q.chunk = chunk_length(q.p);
    const bool vector = rows_aligned(a->acc, 16) && rows_aligned(a->w, 16) &&
                        rows_aligned(a->anchor, 16);
    const bool norm = wk_given(a->sqnorm);
    double *acc = (double *)a->acc.data, *part = (double *)cuda_lane_of(dev)->scratch;
    const float *w = (const float *)a->w.data, *anchor = (const float *)a->anchor.data;
    const unsigned blocks = blocks_of(q);
    if (blocks > 0) {
        if (vector && norm)
            LAUNCH(dev, (update_add_k<true, true>), blocks, THREADS, 0, acc, w, anchor, a->weight,
                   q, part);
        else if (vector)
            LAUNCH(dev, (update_add_k<true, false>), blocks, THREADS, 0, acc, w, anchor, a->weight,
                   q, part);
        else if (norm)
            LAUNCH(dev, (update_add_k<false, true>), blocks, THREADS, 0, acc, w, anchor,
                   a->weight, q, part);
        else
            LAUNCH(dev, (update_add_k<false, false>), blocks, THREADS, 0, acc, w, anchor,
                   a->weight, q, part);
    }
    if (norm) cuda_sum_chunks(dev, (double *)a->sqnorm.data, part, q, false);
    return cuda_launched(dev, "update_add");
}

/* ---- server_step ---- */

typedef struct server_operands {
    float *x;
    const double *delta;
    double *m, *v;
    wk_server_kind kind;
    int64_t p;
    double delta_scale, lr, beta1, beta2, tau;
    double rest1, rest2, keep, m_scale, v_scale; /* 1 - beta1, 1 - beta2, decay, corrections */
} server_operands;

WK_DEVICE double second_moment(const server_operands &a, double v, double d2) {
    if (a.kind == WK_SERVER_ADAGRAD) return __dadd_rn(v, d2);
    if (a.kind == WK_SERVER_ADAM)
        return __dadd_rn(__dmul_rn(a.beta2, v), __dmul_rn(a.rest2, d2));
    const double sign = v > d2 ? 1.0 : v < d2 ? -1.0 : 0.0; /* Yogi */
    return __dadd_rn(v, -__dmul_rn(__dmul_rn(a.rest2, d2), sign));
}

/* A thread a number. At most 48 B/param (Adam, Yogi), Avg 16, AvgM 32, Adagrad without m 32: x, m
 * and v read and written, delta read. */
__global__ __launch_bounds__(THREADS) void server_step_k(server_operands a) {
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= a.p) return;
    const double old = (double)a.x[i], mean = __dmul_rn(a.delta_scale, a.delta[i]);
    double to;
    if (a.kind == WK_SERVER_AVG) {
        to = __dadd_rn(old, __dmul_rn(a.lr, mean));
    } else if (a.kind == WK_SERVER_AVGM) {
        const double m = __dadd_rn(__dmul_rn(a.beta1, a.m[i]), mean);
        a.m[i] = m;
        to = __dadd_rn(old, __dmul_rn(a.lr, m));
    } else {
        double first = mean;
        if (a.m) {
            first = __dadd_rn(__dmul_rn(a.beta1, a.m[i]), __dmul_rn(a.rest1, mean));
            a.m[i] = first;
        }
        const double v = second_moment(a, a.v[i], __dmul_rn(mean, mean));
        a.v[i] = v;
        const double by = __dmul_rn(__dmul_rn(a.lr, first), a.m_scale);
        to = __dadd_rn(__dmul_rn(old, a.keep),
                       by / __dadd_rn(sqrt(__dmul_rn(v, a.v_scale)), a.tau));
    }
    a.x[i] = (float)to;
}

static weft_status cuda_server_step(wk_dev *dev, const wk_server_step_args *a) {
    const bool correct =
        a->bias_correction && (a->kind == WK_SERVER_ADAM || a->kind == WK_SERVER_YOGI);
    server_operands o = {};
    o.x = (float *)a->x.data, o.delta = (const double *)a->delta.data;
    o.m = wk_given(a->m) ? (double *)a->m.data : NULL, o.v = (double *)a->v.data;
    o.kind = a->kind, o.p = a->x.dim[0];
    o.delta_scale = a->delta_scale, o.lr = a->lr, o.tau = a->tau;
    o.beta1 = a->beta1, o.beta2 = a->beta2;
    o.rest1 = 1.0 - a->beta1, o.rest2 = 1.0 - a->beta2;
    o.keep = 1.0 - a->lr * a->weight_decay;
    o.m_scale = correct ? 1.0 / (1.0 - pow(a->beta1, (double)a->step)) : 1.0;
    o.v_scale = correct ? 1.0 / (1.0 - pow(a->beta2, (double)a->step)) : 1.0;
    if (o.p > 0) LAUNCH(dev, server_step_k, (unsigned)ceil_div(o.p, THREADS), THREADS, 0, o);
    return cuda_launched(dev, "server_step");
}

void cuda_fill_fed(wk_ops *table) {
    table->update_add = cuda_update_add;
    table->server_step = cuda_server_step;
    table->weighted_sum = cuda_weighted_sum;
    table->order_stat = cuda_order_stat;
    table->noise = cuda_noise;
}
