/* What clients tell about their drift, each slot by itself: distances by range, a projection, and
 * sketches by tables. No atomics; every sum has one order, which depends on lengths alone. */
#include "kernels/cuda/optim.cuh"

/* ---- range_sqdist ---- */

/* A block a range and slot; thread t takes every THREADS-th number from the t-th. 4 B/param and the
 * center, which slots share in cache: 4 or 8 B. */
template <typename CENTER>
__global__ __launch_bounds__(THREADS) void range_sqdist_k(double *out, int64_t ldout,
                                                          const float *w, int64_t ldw,
                                                          const CENTER *center, const int32_t *off,
                                                          int ranges) {
    const int s = (int)(blockIdx.x % (unsigned)ranges);
    const int64_t k = (int64_t)(blockIdx.x / (unsigned)ranges);
    const int32_t end = off[s + 1];
    const float *row = w + k * ldw;
    double sum = 0.0;
#pragma unroll 4
    for (int32_t i = off[s] + (int32_t)threadIdx.x; i < end; i += THREADS) {
        const double d = (double)row[i] - (double)center[i];
        sum = fma(d, d, sum);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) out[k * ldout + s] = sum;
}

static weft_status cuda_range_sqdist(wk_dev *dev, const wk_range_sqdist_args *a) {
    const int64_t slots = a->w.dim[0], ranges = a->out.dim[1];
    const float *w = (const float *)a->w.data;
    const int32_t *off = (const int32_t *)a->off.data;
    double *out = (double *)a->out.data;
    const unsigned blocks = (unsigned)(slots * ranges);
    if (blocks > 0 && a->center.dtype == WK_F64)
        LAUNCH(dev, range_sqdist_k<double>, blocks, THREADS, 0, out, a->out.ld, w, a->w.ld,
               (const double *)a->center.data, off, (int)ranges);
    else if (blocks > 0)
        LAUNCH(dev, range_sqdist_k<float>, blocks, THREADS, 0, out, a->out.ld, w, a->w.ld,
               (const float *)a->center.data, off, (int)ranges);
    return cuda_launched(dev, "range_sqdist");
}

/* ---- project ---- */

/* One chunk of one slot. 4 B/param; anchor and direction are shared in cache. */
template <bool VECTOR>
__global__ __launch_bounds__(THREADS) void project_k(double *part, const float *w, int64_t ldw,
                                                     const float *anchor, const float *dir,
                                                     slot_group q) {
    const int64_t k = q.first + (int64_t)(blockIdx.x % (unsigned)q.count);
    const int64_t first = (int64_t)(blockIdx.x / (unsigned)q.count) * q.chunk;
    const int64_t end = first + q.chunk < q.p ? first + q.chunk : q.p;
    double sum = 0.0;
    for (int64_t i = first + 4 * (int)threadIdx.x; i < end; i += TILE) {
        const int n = four_below(i, end);
        float x[4], from[4], by[4];
        load4<VECTOR>(x, w + k * ldw + i, n);
        load4<VECTOR>(from, anchor + i, n);
        load4<VECTOR>(by, dir + i, n);
#pragma unroll
        for (int c = 0; c < 4; c++) sum = fma((double)by[c], (double)x[c] - (double)from[c], sum);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

static weft_status cuda_project(wk_dev *dev, const wk_project_args *a) {
    const int64_t slots = a->w.dim[0], p = a->w.dim[1];
    const int64_t most = slots_at_once(dev, p, sizeof(double));
    const bool vector =
        rows_aligned(a->w, 16) && rows_aligned(a->anchor, 16) && rows_aligned(a->dir, 16);
    const float *w = (const float *)a->w.data, *anchor = (const float *)a->anchor.data,
                *dir = (const float *)a->dir.data;
    double *part = (double *)cuda_lane_of(dev)->scratch;
    for (int64_t first = 0; first < slots; first += most) {
        slot_group q = {};
        q.first = (int32_t)first, q.count = (int32_t)(slots - first < most ? slots - first : most);
        q.p = p, q.chunk = chunk_length(p);
        if (p > 0 && vector)
            LAUNCH(dev, project_k<true>, blocks_of(q), THREADS, 0, part, w, a->w.ld, anchor, dir,
                   q);
        else if (p > 0)
            LAUNCH(dev, project_k<false>, blocks_of(q), THREADS, 0, part, w, a->w.ld, anchor, dir,
                   q);
        cuda_sum_chunks(dev, (double *)a->out.data, part, q, false);
    }
    return cuda_launched(dev, "project");
}

/* ---- table_sketch ---- */

typedef struct sketch_operands {
    float *sketch;
    const float *w, *anchor, *scale; /* scale NULL: 1 */
    const int32_t *entry, *start;
    int64_t ldsketch, ldw, ldentry, ldstart;
    int64_t buckets; /* of all slots and rows */
    int rows, width;
} sketch_operands;

/* A warp a bucket: lane l takes every 32nd of its entries from the l-th. The gathers fetch 32 bytes
 * for each 4 of w and of anchor, 4 B are the entry: per row of the sketch, 68 B/param. */
__global__ __launch_bounds__(THREADS) void table_sketch_k(sketch_operands a) {
    const int64_t at = (int64_t)blockIdx.x * (THREADS / WARP) + (int)threadIdx.x / WARP;
    if (at >= a.buckets) return;
    const int b = (int)(at % a.width), j = (int)(at / a.width % a.rows);
    const int64_t k = at / a.width / a.rows;
    const int32_t *start = a.start + j * a.ldstart + b, *entry = a.entry + j * a.ldentry;
    const int32_t end = start[1];
    const float *row = a.w + k * a.ldw;
    double sum = 0.0;
    for (int32_t n = start[0] + (int32_t)threadIdx.x % WARP; n < end; n += WARP) {
        const int32_t i = entry[n] >> 1;
        double d = (double)row[i] - (double)a.anchor[i];
        if (a.scale) d *= (double)a.scale[i];
        sum += entry[n] & 1 ? -d : d;
    }
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0) a.sketch[k * a.ldsketch + (int64_t)j * a.width + b] = (float)sum;
}

static weft_status cuda_table_sketch(wk_dev *dev, const wk_table_sketch_args *a) {
    sketch_operands o = {};
    o.sketch = (float *)a->sketch.data, o.ldsketch = a->sketch.ld;
    o.w = (const float *)a->w.data, o.ldw = a->w.ld;
    o.anchor = (const float *)a->anchor.data;
    o.scale = wk_given(a->scale) ? (const float *)a->scale.data : NULL;
    o.entry = (const int32_t *)a->entry.data, o.ldentry = a->entry.ld;
    o.start = (const int32_t *)a->start.data, o.ldstart = a->start.ld;
    o.rows = (int)a->sketch.dim[1], o.width = (int)a->sketch.dim[2];
    o.buckets = wk_numel(a->sketch);
    if (o.buckets > 0)
        LAUNCH(dev, table_sketch_k, (unsigned)ceil_div(o.buckets, THREADS / WARP), THREADS, 0, o);
    return cuda_launched(dev, "table_sketch");
}

void cuda_fill_variance(wk_ops *table) {
    table->range_sqdist = cuda_range_sqdist;
    table->project = cuda_project;
    table->table_sketch = cuda_table_sketch;
}
