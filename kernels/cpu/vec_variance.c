/* What clients tell about their drift: distances, a projection, sketches. A slot, or a slot's range
 * or row of the sketch, belongs to one thread, and its sums have one order. */
#include "kernels/cpu/vec.h"

#include <string.h>

#define W    WK_SKETCH_WIDTH
#define ROWS 8 /* of a sketch, at most */

/* Differences in double: nothing is lost where clients agree. */
#define SQDIST(name, type)                                                                         \
    static double name(const float *restrict w, const type *restrict center, int64_t n) {          \
        double sum[VEC_SUMS] = {0};                                                                \
        int64_t i = 0;                                                                             \
        for (; i + VEC_SUMS <= n; i += VEC_SUMS)                                                   \
            for (int c = 0; c < VEC_SUMS; c++) {                                                   \
                const double d = (double)w[i + c] - (double)center[i + c];                         \
                sum[c] += d * d;                                                                   \
            }                                                                                      \
        for (; i < n; i++) {                                                                       \
            const double d = (double)w[i] - (double)center[i];                                     \
            sum[0] += d * d;                                                                       \
        }                                                                                          \
        return vec_total(sum);                                                                     \
    }
SQDIST(sqdist_single, float)
SQDIST(sqdist_wide, double)

static weft_status range_sqdist(wk_dev *dev, const wk_range_sqdist_args *a) {
    const int64_t slots = a->w.dim[0], ranges = a->out.dim[1];
    const int32_t *off = a->off.data;
    const bool is_wide = a->center.dtype == WK_F64;
    CPU_PARALLEL_ROWS(cpu_threads(dev, slots * a->w.dim[1]))
    for (int64_t task = 0; task < slots * ranges; task++) {
        const int64_t k = task / ranges, s = task % ranges, n = off[s + 1] - off[s];
        const float *w = cpu_row(a->w, k) + off[s];
        double *out = (double *)wk_row_ptr(a->out, k) + s;
        *out = is_wide ? sqdist_wide(w, (const double *)a->center.data + off[s], n)
                       : sqdist_single(w, (const float *)a->center.data + off[s], n);
    }
    return WEFT_OK;
}

static double projection(const float *restrict w, const float *restrict anchor,
                         const float *restrict dir, int64_t n) {
    double sum[VEC_SUMS] = {0};
    int64_t i = 0;
    for (; i + VEC_SUMS <= n; i += VEC_SUMS)
        for (int c = 0; c < VEC_SUMS; c++)
            sum[c] += (double)dir[i + c] * ((double)w[i + c] - (double)anchor[i + c]);
    for (; i < n; i++) sum[0] += (double)dir[i] * ((double)w[i] - (double)anchor[i]);
    return vec_total(sum);
}

static weft_status project(wk_dev *dev, const wk_project_args *a) {
    const int64_t slots = a->w.dim[0], p = a->w.dim[1];
    CPU_PARALLEL_ROWS(cpu_threads(dev, slots * p))
    for (int64_t k = 0; k < slots; k++)
        ((double *)a->out.data)[k] = projection(cpu_row(a->w, k), a->anchor.data, a->dir.data, p);
    return WEFT_OK;
}

/* ---- table_sketch ----
 *
 * By number: a tile of drifts, a lane a slot, is read once and added, row by row, to buckets that
 * stay in the cache. Gathering bucket by bucket reads a line of the adapter for every number of it.
 * The sums are those of the reference, term by term. */

#define LANES   8
#define TILE    128  /* numbers */
#define BUCKETS 4096 /* of all rows that a thread sketches at once */
typedef double of_slots __attribute__((vector_size(8 * LANES), may_alias));

typedef struct sketch_part {
    int64_t slot, slots; /* from which on, how many: LANES at most */
    int64_t row, rows;
} sketch_part;

/* Drifts of n numbers from the i-th on. */
static void load_tile(double (*restrict drift)[LANES], const wk_table_sketch_args *a,
                      const sketch_part *part, int64_t i, int64_t n) {
    const float *restrict anchor = (const float *)a->anchor.data + i, *scale = a->scale.data;
    for (int64_t c = 0; c < part->slots; c++) {
        const float *restrict w = cpu_row(a->w, part->slot + c) + i;
        for (int64_t x = 0; x < n; x++) drift[x][c] = (double)w[x] - (double)anchor[x];
        for (int64_t x = 0; scale && x < n; x++) drift[x][c] *= (double)scale[i + x];
    }
}

/* A product with a sign is exact, so contracting it into the sum does not change a bit. */
static void add_tile(of_slots *restrict sum, const double (*restrict drift)[LANES],
                     const int32_t *restrict bucket, int64_t n) {
    static const double sign[2] = {1, -1};
    for (int64_t x = 0; x < n; x++)
        sum[bucket[x] >> 1] += *(const of_slots *)drift[x] * sign[bucket[x] & 1];
}

static void sketch_slots(const wk_table_sketch_args *a, const sketch_part *part) {
    const int64_t p = a->w.dim[1], width = a->sketch.dim[2];
    of_slots sum[BUCKETS], drift[TILE] = {{0}};
    memset(sum, 0, (size_t)(part->rows * (width + 1)) * sizeof *sum);
    for (int64_t i = 0; i < p; i += TILE) {
        const int64_t n = cpu_min(TILE, p - i);
        load_tile((double(*)[LANES])drift, a, part, i, n);
        for (int64_t j = 0; j < part->rows; j++)
            add_tile(sum + j * (width + 1), (const double(*)[LANES])drift,
                     (const int32_t *)wk_row_ptr(a->bucket, part->row + j) + i, n);
    }
    for (int64_t c = 0; c < part->slots; c++)
        for (int64_t j = 0; j < part->rows; j++) {
            float *out = cpu_row(a->sketch, part->slot + c) + (part->row + j) * width;
            for (int64_t b = 0; b < width; b++) out[b] = (float)sum[j * (width + 1) + b][c];
        }
}

/* Slots and, where these are few, rows are dealt to all threads. */
static weft_status table_sketch(wk_dev *dev, const wk_table_sketch_args *a) {
    const int64_t slots = a->w.dim[0], rows = a->sketch.dim[1], width = a->sketch.dim[2];
    const int64_t most = cpu_min(rows, BUCKETS / (width + 1)); /* rows at once */
    if (!wk_given(a->bucket) || most == 0 || slots == 0) return ref_table_sketch(dev, a);
    const int threads = cpu_threads(dev, slots * rows * a->w.dim[1]);
    const int64_t lanes = cpu_min(LANES, cpu_ceil_div(slots, threads));
    const int64_t groups = cpu_ceil_div(slots, lanes), spare = cpu_ceil_div(threads, groups);
    const int64_t height = cpu_min(most, cpu_ceil_div(rows, cpu_min(rows, spare)));
    const int64_t parts = cpu_ceil_div(rows, height);
    CPU_PARALLEL_FOR(threads)
    for (int64_t task = 0; task < groups * parts; task++) {
        const int64_t k = task / parts * lanes, j = task % parts * height;
        const sketch_part part = {.slot = k,
                                  .slots = cpu_min(lanes, slots - k),
                                  .row = j,
                                  .rows = cpu_min(height, rows - j)};
        sketch_slots(a, &part);
    }
    return WEFT_OK;
}

/* ---- drift ---- */

/* bucket[b] += delta[b ^ rot]. Inside groups of eight the permutation is one of eight, each a
 * constant to the compiler. */
#define ADD_LANES(lanes)                                                                           \
    case lanes:                                                                                    \
        for (int g = 0; g < W / 8; g++)                                                            \
            for (int c = 0; c < 8; c++)                                                            \
                bucket[8 * g + c] += delta[8 * (g ^ groups) + (c ^ (lanes))];                      \
        break;
static void add_block(float *restrict bucket, const float *restrict delta, unsigned rot) {
    const int groups = (int)(rot >> 3);
    switch (rot & 7u) {
        ADD_LANES(0)
        ADD_LANES(1)
        ADD_LANES(2)
        ADD_LANES(3)
        ADD_LANES(4)
        ADD_LANES(5)
        ADD_LANES(6)
        ADD_LANES(7)
    }
}

/* A block of W numbers of a slot, n of which exist, to every row of its sketch. */
static void sketch_block(float (*restrict bucket)[W], const float *restrict w,
                         const float *restrict anchor, const uint8_t *restrict sign,
                         const uint8_t *rot, int64_t rows, int64_t n) {
    float delta[W] = {0}, with_sign[W];
    uint32_t signs[W] = {0};
    for (int64_t i = 0; i < n; i++) delta[i] = w[i] - anchor[i], signs[i] = sign[i];
    for (int64_t j = 0; j < rows; j++) {
        for (int i = 0; i < W; i++) {
            uint32_t bits;
            memcpy(&bits, &delta[i], sizeof bits);
            bits ^= signs[i] >> j << 31;
            memcpy(&with_sign[i], &bits, sizeof bits);
        }
        add_block(bucket[j], with_sign, rot[j]);
    }
}

static weft_status drift(wk_dev *dev, const wk_drift_args *a) {
    const wk_drift_operands *d = &a->drift;
    const bool sketched = wk_given(d->sketch);
    const int64_t slots = a->w.dim[0], p = a->w.dim[1], rows = sketched ? d->sketch.dim[1] : 0;
    const float *anchor = d->anchor.data;
    CPU_PARALLEL_ROWS(cpu_threads(dev, slots * p * (1 + rows)))
    for (int64_t k = 0; k < slots; k++) {
        if (!ref_slot_active(&a->slots, k)) continue;
        const float *w = cpu_row(a->w, k);
        ((double *)d->sqnorm.data)[k] = sqdist_single(w, anchor, p);
        if (!sketched) continue;
        float bucket[ROWS][W] = {{0}};
        for (int64_t i = 0; i < p; i += W)
            sketch_block(bucket, w + i, anchor + i, (const uint8_t *)d->sign.data + i,
                         wk_row_ptr(d->rot, i / W), rows, cpu_min(W, p - i));
        memcpy(cpu_row(d->sketch, k), bucket, (size_t)rows * W * sizeof(float));
    }
    return WEFT_OK;
}

void WK_VEC(cpu_fill_variance)(wk_ops *table) {
    table->range_sqdist = range_sqdist;
    table->project = project;
    table->table_sketch = table_sketch;
    table->drift = drift;
}
