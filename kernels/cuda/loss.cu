/* Losses of rows and their sums per client. softmax_xent is bound by memory for many classes: 4
 * bytes an element, 12 with the gradient, of which the second read is mostly the cache's (a row of
 * 128k classes has 512 KiB). */
#include "kernels/cuda/block.cuh"

#include <float.h>
#include <math.h>

/* ---- softmax_xent ----
 *
 * One pass keeps the maximum and the sum of exponentials below it for every lane (Milakov,
 * Gimelshein 2018), a second one writes the gradient. */

#define XENT_GROUP 4
#define XENT_WARPS 32   /* at most, for one row */
#define XENT_HELD  1024 /* columns for which one warp suffices */

struct xent {
    row_plan plan;
    float *loss, *dlogits; /* dlogits: or NULL; may be logits */
    const float *logits, *weight;
    const int32_t *label;
    int64_t ld, ld_grad;
};

/* Sum of exp(x - top) over some columns, top being their maximum. */
struct exp_sum {
    float top, sum;
};
WK_DEVICE exp_sum joined(exp_sum a, exp_sum b) {
    const float top = fmaxf(a.top, b.top);
    return exp_sum{top, a.sum * expf(a.top - top) + b.sum * expf(b.top - top)};
}

/* Over the threads of a row, the same bits in all; orders reads before it with writes after it. */
WK_DEVICE exp_sum row_join(exp_sum e, const row_plan &p, exp_sum *part) {
#pragma unroll
    for (int d = WARP / 2; d > 0; d /= 2)
        e = joined(e, exp_sum{__shfl_xor_sync(FULL, e.top, d), __shfl_xor_sync(FULL, e.sum, d)});
    __syncwarp();
    if (p.warps == 1) return e;
    if (threadIdx.x == 0) part[threadIdx.y] = e;
    __syncthreads();
    e = part[0];
    for (int w = 1; w < p.warps; w++) e = joined(e, part[w]);
    return e;
}

__global__ void __launch_bounds__(XENT_WARPS *WARP) softmax_xent_k(xent a) {
    WK_SHARED(exp_sum, part, [XENT_WARPS]);
    const row_plan p = a.plan;
    const int64_t row = plan_row(p);
    if (row < 0) return;
    const int first = first_column<XENT_GROUP>(p), step = column_step<XENT_GROUP>(p);
    const float *logits = a.logits + row * a.ld;
    float *dlogits = a.dlogits ? a.dlogits + row * a.ld_grad : NULL;
    const int label = a.label[row];
    if (label < 0) {
        const float zero[XENT_GROUP] = {};
        if (first == 0) a.loss[row] = 0.0f;
        for (int j = first; dlogits && j < p.width; j += step) write_group(dlogits, j, zero, p);
        return;
    }
    const float chosen = logits[label];
    exp_sum e = {-FLT_MAX, 0.0f}; /* finite, so that logits of -inf are nothing */
    for (int j = first; j < p.width; j += step) {
        float v[XENT_GROUP] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
        read_group(v, logits, j, p);
        const float top = fmaxf(e.top, fmaxf(fmaxf(v[0], v[1]), fmaxf(v[2], v[3])));
        e.sum *= expf(e.top - top);
#pragma unroll
        for (int k = 0; k < XENT_GROUP; k++) e.sum += expf(v[k] - top);
        e.top = top;
    }
    e = row_join(e, p, part);
    if (first == 0) a.loss[row] = logf(e.sum) + (e.top - chosen);
    if (!dlogits) return;
    const float weight = a.weight[row], scale = 1.0f / e.sum;
    for (int j = first; j < p.width; j += step) {
        float v[XENT_GROUP] = {};
        read_group(v, logits, j, p);
#pragma unroll
        for (int k = 0; k < XENT_GROUP; k++)
            v[k] = weight * (expf(v[k] - e.top) * scale - (j + k == label ? 1.0f : 0.0f));
        write_group(dlogits, j, v, p);
    }
}

static weft_status cuda_softmax_xent(wk_dev *dev, const wk_softmax_xent_args *a) {
    const int64_t rows = a->logits.dim[0], width = a->logits.dim[1];
    const int64_t warps = ceil_div(width, XENT_HELD);
    const bool vector = can_vector(a->logits, XENT_GROUP) && can_vector(a->dlogits, XENT_GROUP);
    const xent x = {
        {rows, (int)width, (int)(warps < XENT_WARPS ? warps : XENT_WARPS), vector},
        (float *)a->loss.data,
        (float *)a->dlogits.data,
        (const float *)a->logits.data,
        (const float *)a->weight.data,
        (const int32_t *)a->label.data,
        a->logits.ld,
        a->dlogits.ld};
    if (rows > 0 && width > 0)
        LAUNCH(dev, softmax_xent_k, plan_grid(x.plan), plan_block(x.plan), 0, x);
    return cuda_launched(dev, "softmax_xent");
}

/* ---- mse: a warp a row; 8 bytes an element, 12 with the gradient ---- */

struct mse {
    int64_t rows, width;
    float *loss, *dpred; /* dpred: or NULL; may be pred */
    const float *pred, *target, *weight;
    int64_t ld, ld_target, ld_grad;
};

__global__ void __launch_bounds__(4 * WARP) mse_k(mse a) {
    const int64_t row = blockIdx.x * (int64_t)4 + threadIdx.y;
    if (row >= a.rows) return;
    const float scale = a.weight[row] * 2.0f / (float)a.width;
    float sum = 0;
    for (int64_t j = threadIdx.x; j < a.width; j += WARP) {
        const float d = a.pred[row * a.ld + j] - a.target[row * a.ld_target + j];
        sum += d * d;
        if (a.dpred) a.dpred[row * a.ld_grad + j] = scale * d;
    }
    sum = warp_sum(sum);
    if (threadIdx.x == 0) a.loss[row] = sum / (float)a.width;
}

static weft_status cuda_mse(wk_dev *dev, const wk_mse_args *a) {
    const mse m = {a->pred.dim[0],
                   a->pred.dim[1],
                   (float *)a->loss.data,
                   (float *)a->dpred.data,
                   (const float *)a->pred.data,
                   (const float *)a->target.data,
                   (const float *)a->weight.data,
                   a->pred.ld,
                   a->target.ld,
                   a->dpred.ld};
    if (m.rows > 0) LAUNCH(dev, mse_k, (unsigned)ceil_div(m.rows, 4), dim3(WARP, 4), 0, m);
    return cuda_launched(dev, "mse");
}

/* ---- seg_sum: a warp a segment, lane l taking rows l, l + 32 … of it; 8 bytes a row ---- */

__global__ void __launch_bounds__(WARP)
    seg_sum_k(double *out, const float *x, const float *weight, const int32_t *off,
              const int32_t *slot) {
    const int64_t begin = off[blockIdx.x], end = off[blockIdx.x + 1];
    double sum = 0;
#pragma unroll 4
    for (int64_t i = begin + threadIdx.x; i < end; i += WARP)
        sum += (double)weight[i] * (double)x[i];
    sum = warp_sum(sum);
    if (threadIdx.x == 0) out[slot[blockIdx.x]] += sum;
}

static weft_status cuda_seg_sum(wk_dev *dev, const wk_seg_sum_args *a) {
    const int64_t segments = a->segs.slot.dim[0];
    if (segments > 0)
        LAUNCH(dev, seg_sum_k, (unsigned)segments, WARP, 0, (double *)a->out.data,
               (const float *)a->x.data, (const float *)a->weight.data,
               (const int32_t *)a->segs.off.data, (const int32_t *)a->segs.slot.data);
    return cuda_launched(dev, "seg_sum");
}

void cuda_fill_loss(wk_ops *table) {
    table->softmax_xent = cuda_softmax_xent;
    table->mse = cuda_mse;
    table->seg_sum = cuda_seg_sum;
}
