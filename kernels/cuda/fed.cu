/* Adding up client updates, and the server optimizers. Arithmetic is double and rounds after every
 * operation, as ref's does: no product is contracted into a sum, so each number gets ref's bits. */
#include "kernels/cuda/fed.cuh"
#include "kernels/exact_sum.h"

/* ---- update_add ---- */

/* 4 K + 36 B/param: both words of acc read and written, anchor and K rows of w read. */
__global__ __launch_bounds__(THREADS) void update_add_k(int64_t *high, int64_t *low, const float *w,
                                                        int64_t ld, int64_t rows,
                                                        const float *anchor, const double *weight,
                                                        int64_t p) {
    const int64_t i = (int64_t)blockIdx.x * THREADS + (int)threadIdx.x;
    if (i >= p) return;
    const double from = (double)anchor[i];
    int64_t h = 0, l = 0;
    for (int64_t k = 0; k < rows; k++) {
        const double share = weight[k];
        if (!(share < 0 || share > 0)) continue;
        wk_sum_add(&h, &l, __dmul_rn(share, (double)w[k * ld + i] - from));
    }
    high[i] += h;
    low[i] += l;
}

static weft_status cuda_update_add(wk_dev *dev, const wk_update_add_args *a) {
    const int64_t p = a->w.dim[1];
    if (p > 0)
        LAUNCH(dev, update_add_k, (unsigned)ceil_div(p, THREADS), THREADS, 0,
               (int64_t *)wk_row_ptr(a->acc, 0), (int64_t *)wk_row_ptr(a->acc, 1),
               (const float *)a->w.data, a->w.ld, a->w.dim[0], (const float *)a->anchor.data,
               (const double *)a->weight.data, p);
    return cuda_launched(dev, "update_add");
}

/* ---- sum_read ---- */

/* 28 B/param: both words and base read, y written. */
__global__ __launch_bounds__(THREADS) void sum_read_k(double *y, const int64_t *high,
                                                      const int64_t *low, const float *base,
                                                      int64_t p) {
    const int64_t i = (int64_t)blockIdx.x * THREADS + (int)threadIdx.x;
    if (i >= p) return;
    const double sum = wk_sum_value(high[i], low[i]);
    y[i] = base ? __dadd_rn((double)base[i], sum) : sum;
}

static weft_status cuda_sum_read(wk_dev *dev, const wk_sum_read_args *a) {
    const int64_t p = a->y.dim[0];
    if (p > 0)
        LAUNCH(dev, sum_read_k, (unsigned)ceil_div(p, THREADS), THREADS, 0, (double *)a->y.data,
               (const int64_t *)wk_row_ptr(a->acc, 0), (const int64_t *)wk_row_ptr(a->acc, 1),
               (const float *)a->base.data, p);
    return cuda_launched(dev, "sum_read");
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
    table->sum_read = cuda_sum_read;
    table->server_step = cuda_server_step;
    table->weighted_sum = cuda_weighted_sum;
    table->order_stat = cuda_order_stat;
    table->noise = cuda_noise;
}
