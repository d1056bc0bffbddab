/* Optimizer steps over all slots and the server's sum of updates. A slot's P numbers are cut into a
 * fixed number of chunks; a thread takes whole chunks, and partial sums are added in the order of
 * chunks. The loops are plain: independent elements, which the compiler turns into vectors. */
#include "kernels/cpu/vec.h"
#include "kernels/exact_sum.h"

#include <math.h>

#define CHUNKS 64
#define SLOTS  16 /* slots whose partial sums are kept at a time */

typedef struct range {
    int64_t first, count;
} range;

/* The c-th chunk of p numbers: boundaries depend on p alone and lie on whole cache lines. */
static range chunk_of(int64_t p, int64_t c) {
    const int64_t size = cpu_ceil_div(cpu_ceil_div(p, CHUNKS), 64) * 64,
                  first = cpu_min(p, c * size);
    return (range){first, cpu_min(size, p - first)};
}

static double square_sum(const float *g, int64_t n) {
    double sum[VEC_SUMS] = {0};
    int64_t j = 0;
    for (; j + VEC_SUMS <= n; j += VEC_SUMS)
        for (int i = 0; i < VEC_SUMS; i++) sum[i] += (double)g[j + i] * (double)g[j + i];
    for (; j < n; j++) sum[0] += (double)g[j] * (double)g[j];
    return vec_total(sum);
}

static void pull_to_anchor(float *restrict g, const float *restrict w, const float *restrict anchor,
                           int64_t n, float mu) {
    for (int64_t j = 0; j < n; j++) g[j] += mu * (w[j] - anchor[j]);
}

static weft_status grad_norm(wk_dev *dev, const wk_grad_norm_args *a) {
    const int64_t slots = a->g.dim[0], p = a->g.dim[1];
    double partial[SLOTS][CHUNKS];
    for (int64_t base = 0; base < slots; base += SLOTS) {
        const int64_t batch = cpu_min(SLOTS, slots - base);
        CPU_PARALLEL_ROWS(cpu_threads(dev, batch * p))
        for (int64_t task = 0; task < batch * CHUNKS; task++) {
            const int64_t k = base + task / CHUNKS, c = task % CHUNKS;
            if (!ref_slot_active(&a->slots, k)) continue;
            const range r = chunk_of(p, c);
            float *g = cpu_row(a->g, k) + r.first;
            if (a->prox_mu > 0.0f)
                pull_to_anchor(g, cpu_row(a->w, k) + r.first,
                               (const float *)a->anchor.data + r.first, r.count, a->prox_mu);
            partial[k - base][c] = square_sum(g, r.count);
        }
        for (int64_t k = base; k < base + batch; k++) {
            if (!ref_slot_active(&a->slots, k)) continue;
            double sum = 0.0;
            for (int c = 0; c < CHUNKS; c++) sum += partial[k - base][c];
            ((double *)a->slots.sqnorm.data)[k] = sum;
            if (!isfinite(sum)) ((int32_t *)a->slots.dead.data)[k] = 1;
        }
    }
    return WEFT_OK;
}

static float clip_factor(const wk_slot_state *s, int64_t k, float clip) {
    if (!(clip > 0.0f)) return 1.0f;
    const double c = (double)clip / (sqrt(((const double *)s->sqnorm.data)[k]) + 1e-6);
    return c < 1.0 ? (float)c : 1.0f;
}

static void adamw_chunk(float *restrict w, const float *restrict g, float *restrict m,
                        float *restrict v, int64_t n, const wk_adamw_step_args *a, float clip,
                        float lr, int32_t step) {
    const float b1 = a->beta1, b2 = a->beta2, eps = a->eps;
    const float rest1 = (float)(1.0 - (double)b1), rest2 = (float)(1.0 - (double)b2);
    const float rate = (float)((double)lr / (1.0 - pow((double)b1, step)));
    const float root = (float)(1.0 / sqrt(1.0 - pow((double)b2, step)));
    const float keep = (float)(1.0 - (double)lr * (double)a->weight_decay);
    for (int64_t j = 0; j < n; j++) {
        const float gj = clip * g[j];
        const float mj = b1 * m[j] + rest1 * gj, vj = b2 * v[j] + rest2 * (gj * gj);
        m[j] = mj, v[j] = vj;
        w[j] = w[j] * keep - rate * mj / (__builtin_sqrtf(vj) * root + eps);
    }
}

static weft_status adamw_step(wk_dev *dev, const wk_adamw_step_args *a) {
    const int64_t slots = a->w.dim[0], p = a->w.dim[1];
    CPU_PARALLEL_ROWS(cpu_threads(dev, slots * p * 4))
    for (int64_t task = 0; task < slots * CHUNKS; task++) {
        const int64_t k = task / CHUNKS;
        if (!ref_slot_active(&a->slots, k)) continue;
        const range r = chunk_of(p, task % CHUNKS);
        if (r.count == 0) continue;
        adamw_chunk(cpu_row(a->w, k) + r.first, cpu_row(a->g, k) + r.first,
                    cpu_row(a->m, k) + r.first, cpu_row(a->v, k) + r.first, r.count, a,
                    clip_factor(&a->slots, k, a->clip), ((const float *)a->slots.lr.data)[k],
                    ((const int32_t *)a->slots.step.data)[k]);
    }
    if (!wk_given(a->drift.anchor)) return WEFT_OK;
    return dev->ops.drift(dev, &(wk_drift_args){a->w, a->slots, a->drift});
}

static void sgd_chunk(float *restrict w, const float *restrict g, int64_t n, float clip, float lr,
                      float decay) {
    for (int64_t j = 0; j < n; j++) w[j] -= lr * (clip * g[j] + decay * w[j]);
}

static void momentum_chunk(float *restrict w, const float *restrict g, float *restrict m, int64_t n,
                           const wk_sgd_step_args *a, float clip, float lr, bool first) {
    const float decay = a->weight_decay, old = first ? 0.0f : a->momentum, mu = a->momentum;
    for (int64_t j = 0; j < n; j++) {
        const float gj = clip * g[j] + decay * w[j];
        const float buf = first ? gj : old * m[j] + gj; /* m may hold anything before step 1 */
        m[j] = buf;
        w[j] -= lr * (a->nesterov ? gj + mu * buf : buf);
    }
}

static weft_status sgd_step(wk_dev *dev, const wk_sgd_step_args *a) {
    const int64_t slots = a->w.dim[0], p = a->w.dim[1];
    CPU_PARALLEL_ROWS(cpu_threads(dev, slots * p * 2))
    for (int64_t task = 0; task < slots * CHUNKS; task++) {
        const int64_t k = task / CHUNKS;
        if (!ref_slot_active(&a->slots, k)) continue;
        const range r = chunk_of(p, task % CHUNKS);
        const float lr = ((const float *)a->slots.lr.data)[k],
                    clip = clip_factor(&a->slots, k, a->clip);
        float *w = cpu_row(a->w, k) + r.first;
        const float *g = cpu_row(a->g, k) + r.first;
        if (a->momentum != 0.0f)
            momentum_chunk(w, g, cpu_row(a->m, k) + r.first, r.count, a, clip, lr,
                           ((const int32_t *)a->slots.step.data)[k] == 1);
        else
            sgd_chunk(w, g, r.count, clip, lr, a->weight_decay);
    }
    return WEFT_OK;
}

/* Adds the chunk's weighted update and returns its squared norm, in sixteen interleaved partial
 * sums. */
static void add_chunk(int64_t *restrict high, int64_t *restrict low, const float *restrict w,
                      const float *restrict anchor, int64_t n, double weight) {
    for (int64_t j = 0; j < n; j++)
        wk_sum_add(&high[j], &low[j], weight * ((double)w[j] - (double)anchor[j]));
}

static weft_status update_add(wk_dev *dev, const wk_update_add_args *a) {
    const int64_t rows = a->w.dim[0], p = a->w.dim[1];
    const double *weight = a->weight.data;
    CPU_PARALLEL_ROWS(cpu_threads(dev, rows * p))
    for (int64_t c = 0; c < CHUNKS; c++) {
        const range r = chunk_of(p, c);
        for (int64_t k = 0; k < rows; k++)
            if (weight[k] < 0 || weight[k] > 0)
                add_chunk((int64_t *)wk_row_ptr(a->acc, 0) + r.first,
                          (int64_t *)wk_row_ptr(a->acc, 1) + r.first, cpu_row(a->w, k) + r.first,
                          (const float *)a->anchor.data + r.first, r.count, weight[k]);
    }
    return WEFT_OK;
}

void WK_VEC(cpu_fill_optim)(wk_ops *table) {
    table->grad_norm = grad_norm;
    table->adamw_step = adamw_step;
    table->sgd_step = sgd_step;
    table->update_add = update_add;
}
