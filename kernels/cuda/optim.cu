/* Gradient norms, SGD, and the table of the local optimizers; AdamW and drift are in drift.cu. */
#include "kernels/cuda/optim.cuh"

/* ---- second stage of sums ---- */

/* One block a slot. 8 B a chunk. */
__global__ __launch_bounds__(THREADS) void sum_chunks_k(double *out, const double *part,
                                                        slot_group q, bool kill) {
    const int local = (int)blockIdx.x, k = q.first + local;
    if (q.slots.step && !takes_part(q.slots, k)) return;
    const int chunks = (int)((q.p + q.chunk - 1) / q.chunk);
    double sum = 0.0;
    for (int c = (int)threadIdx.x; c < chunks; c += THREADS)
        sum += part[(int64_t)c * q.count + local];
    sum = block_sum(sum);
    if (threadIdx.x != 0) return;
    out[k] = sum;
    if (kill && !isfinite(sum)) q.slots.dead[k] = 1;
}

void cuda_sum_chunks(wk_dev *dev, double *out, const double *part, const slot_group &q, bool kill) {
    LAUNCH(dev, sum_chunks_k, (unsigned)q.count, THREADS, 0, out, part, q, kill);
}

/* ---- grad_norm ---- */

typedef struct grad_operands {
    float *g;
    const float *w, *anchor;
    int64_t ldg, ldw;
    float mu;
} grad_operands;

/* The sum of squares of one chunk of one slot, block b having slot b % count of the group and chunk
 * b / count. 4 B/param; PULL: 16 B/param, 12 from memory where slots share the anchor in cache.
 * Four tiles at a time, so that enough loads are under way. */
template <bool VECTOR, bool PULL, bool WHOLE>
WK_DEVICE double square_tiles(const grad_operands &a, int64_t k, int64_t base, int64_t end) {
    float g[4][4];
    double sum = 0.0;
#pragma unroll
    for (int u = 0; u < 4; u++) {
        const int64_t i = base + u * TILE + 4 * (int)threadIdx.x;
        load4<VECTOR>(g[u], a.g + k * a.ldg + i, WHOLE ? 4 : four_below(i, end));
    }
#pragma unroll
    for (int u = 0; u < 4; u++) {
        const int64_t i = base + u * TILE + 4 * (int)threadIdx.x;
        const int n = WHOLE ? 4 : four_below(i, end);
        if (PULL) {
            float w[4], anchor[4];
            load4<VECTOR>(w, a.w + k * a.ldw + i, n);
            load4<VECTOR>(anchor, a.anchor + i, n);
#pragma unroll
            for (int c = 0; c < 4; c++) g[u][c] = fmaf(a.mu, w[c] - anchor[c], g[u][c]);
            store4<VECTOR>(a.g + k * a.ldg + i, g[u], n);
        }
#pragma unroll
        for (int c = 0; c < 4; c++) sum = fma((double)g[u][c], (double)g[u][c], sum);
    }
    return sum;
}

template <bool VECTOR, bool PULL>
__global__ __launch_bounds__(THREADS) void grad_norm_k(grad_operands a, slot_group q,
                                                       double *part) {
    const int k = q.first + (int)(blockIdx.x % (unsigned)q.count);
    if (!takes_part(q.slots, k)) return;
    const int64_t first = (int64_t)(blockIdx.x / (unsigned)q.count) * q.chunk;
    const int64_t end = first + q.chunk < q.p ? first + q.chunk : q.p;
    double sum = 0.0;
    for (int64_t base = first; base < end; base += 4 * TILE)
        sum += base + 4 * TILE <= end ? square_tiles<VECTOR, PULL, true>(a, k, base, end)
                                      : square_tiles<VECTOR, PULL, false>(a, k, base, end);
    sum = block_sum(sum);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

static weft_status cuda_grad_norm(wk_dev *dev, const wk_grad_norm_args *a) {
    const int64_t slots = a->g.dim[0], p = a->g.dim[1];
    const bool pull = a->prox_mu > 0.0f;
    const bool vector = rows_aligned(a->g, 16) &&
                        (!pull || (rows_aligned(a->w, 16) && rows_aligned(a->anchor, 16)));
    const grad_operands o = {(float *)a->g.data, (const float *)a->w.data,
                             (const float *)a->anchor.data, a->g.ld, a->w.ld, a->prox_mu};
    double *part = (double *)cuda_lane_of(dev)->scratch;
    const int64_t most = slots_at_once(dev, p, sizeof(double));
    for (int64_t first = 0; first < slots; first += most) {
        const slot_group q = group_of(&a->slots, p, first,
                                      slots - first < most ? slots - first : most);
        if (p > 0) {
            if (vector && pull)
                LAUNCH(dev, (grad_norm_k<true, true>), blocks_of(q), THREADS, 0, o, q, part);
            else if (vector)
                LAUNCH(dev, (grad_norm_k<true, false>), blocks_of(q), THREADS, 0, o, q, part);
            else if (pull)
                LAUNCH(dev, (grad_norm_k<false, true>), blocks_of(q), THREADS, 0, o, q, part);
            else
                LAUNCH(dev, (grad_norm_k<false, false>), blocks_of(q), THREADS, 0, o, q, part);
        }
        cuda_sum_chunks(dev, (double *)a->slots.sqnorm.data, part, q, true);
    }
    return cuda_launched(dev, "grad_norm");
}

/* ---- sgd_step ---- */

typedef struct sgd_operands {
    float *w, *m; /* m NULL: no momentum */
    const float *g;
    int64_t ldw, ldm, ldg;
    float momentum, decay, clip;
    bool nesterov;
} sgd_operands;

typedef struct sgd_scalars {
    float clip, lr;
    bool first;
} sgd_scalars;

template <bool VECTOR, bool MOMENTUM>
WK_DEVICE void sgd_four(const sgd_operands &a, const sgd_scalars &q, int64_t k, int64_t i, int n) {
    float w[4], g[4], m[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    load4<VECTOR>(g, a.g + k * a.ldg + i, n);
    load4<VECTOR>(w, a.w + k * a.ldw + i, n);
    if (MOMENTUM) load4<VECTOR>(m, a.m + k * a.ldm + i, n);
#pragma unroll
    for (int c = 0; c < 4; c++) {
        const float by = fmaf(q.clip, g[c], a.decay * w[c]);
        /* m may hold anything before step 1 */
        if (MOMENTUM) m[c] = q.first ? by : fmaf(a.momentum, m[c], by);
        const float direction = !MOMENTUM  ? by
                                : a.nesterov ? fmaf(a.momentum, m[c], by)
                                             : m[c];
        w[c] = fmaf(-q.lr, direction, w[c]);
    }
    if (MOMENTUM) store4<VECTOR>(a.m + k * a.ldm + i, m, n);
    store4<VECTOR>(a.w + k * a.ldw + i, w, n);
}

/* One chunk of one slot. 12 B/param, with momentum 20. */
template <bool VECTOR, bool MOMENTUM>
__global__ __launch_bounds__(THREADS) void sgd_step_k(sgd_operands a, slot_group q) {
    const int k = q.first + (int)(blockIdx.x % (unsigned)q.count);
    if (!takes_part(q.slots, k)) return;
    WK_SHARED(sgd_scalars, shared, [1]);
    if (threadIdx.x == 0)
        shared[0] = sgd_scalars{(float)clip_factor(q.slots, k, a.clip), q.slots.lr[k],
                                q.slots.step[k] == 1};
    __syncthreads();
    const sgd_scalars s = shared[0];
    const int64_t first = (int64_t)(blockIdx.x / (unsigned)q.count) * q.chunk;
    const int64_t end = first + q.chunk < q.p ? first + q.chunk : q.p;
    for (int64_t base = first; base < end; base += TILE) {
        const int64_t i = base + 4 * (int)threadIdx.x;
        if (base + TILE <= end)
            sgd_four<VECTOR, MOMENTUM>(a, s, k, i, 4);
        else
            sgd_four<VECTOR, MOMENTUM>(a, s, k, i, four_below(i, end));
    }
}

static weft_status cuda_sgd_step(wk_dev *dev, const wk_sgd_step_args *a) {
    const int64_t slots = a->w.dim[0], p = a->w.dim[1];
    const bool momentum = a->momentum > 0.0f;
    const bool vector = rows_aligned(a->w, 16) && rows_aligned(a->g, 16) &&
                        (!momentum || rows_aligned(a->m, 16));
    const sgd_operands o = {(float *)a->w.data, momentum ? (float *)a->m.data : NULL,
                            (const float *)a->g.data, a->w.ld, a->m.ld, a->g.ld,
                            a->momentum, a->weight_decay, a->clip, a->nesterov};
    for (int64_t first = 0; first < slots && p > 0; first += MOST_SLOTS) {
        const slot_group q = group_of(&a->slots, p, first,
                                      slots - first < MOST_SLOTS ? slots - first : MOST_SLOTS);
        if (vector && momentum)
            LAUNCH(dev, (sgd_step_k<true, true>), blocks_of(q), THREADS, 0, o, q);
        else if (vector)
            LAUNCH(dev, (sgd_step_k<true, false>), blocks_of(q), THREADS, 0, o, q);
        else if (momentum)
            LAUNCH(dev, (sgd_step_k<false, true>), blocks_of(q), THREADS, 0, o, q);
        else
            LAUNCH(dev, (sgd_step_k<false, false>), blocks_of(q), THREADS, 0, o, q);
    }
    return cuda_launched(dev, "sgd_step");
}

void cuda_fill_optim(wk_ops *table) {
    table->grad_norm = cuda_grad_norm;
    table->sgd_step = cuda_sgd_step;
    table->adamw_step = cuda_adamw_step;
    table->drift = cuda_drift;
}
