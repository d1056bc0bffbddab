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
 * The numbers of a bucket lie all over the adapter, so what counts is what a number costs beside
 * its load: no branch on the sign, which nobody can predict, and four slots at a time as far as
 * they go, which share an entry and its anchor. */

#define SLOTS 4
typedef double of_four __attribute__((vector_size(8 * SLOTS)));
typedef float of_four_single __attribute__((vector_size(4 * SLOTS)));

static const double sign_of[2] = {1, -1};

/* What an entry adds to its bucket. A product with a sign is exact, so contracting it into the sum
 * does not change a bit. */
VEC_INLINE double entry_of_one(const float *const w[1], const float *anchor, const float *scale,
                               int32_t entry) {
    const int32_t i = entry >> 1;
    const double d = (double)w[0][i] - (double)anchor[i];
    return (scale ? d * (double)scale[i] : d) * sign_of[entry & 1];
}

VEC_INLINE of_four entry_of_four(const float *const w[SLOTS], const float *anchor,
                                 const float *scale, int32_t entry) {
    const int32_t i = entry >> 1;
    const of_four_single x = {w[0][i], w[1][i], w[2][i], w[3][i]};
    const of_four d = __builtin_convertvector(x, of_four) - (double)anchor[i];
    return (scale ? d * (double)scale[i] : d) * sign_of[entry & 1];
}

/* A bucket: its even and its odd entries, in order. */
#define GATHER(name, type, entry_of)                                                               \
    static type name(const float *const *w, const float *anchor, const float *scale,               \
                     const int32_t *entry, int64_t n) {                                            \
        type even = {0}, odd = {0};                                                                \
        int64_t e = 0;                                                                             \
        for (; e + 2 <= n; e += 2) {                                                               \
            even += entry_of(w, anchor, scale, entry[e]);                                          \
            odd += entry_of(w, anchor, scale, entry[e + 1]);                                       \
        }                                                                                          \
        if (e < n) even += entry_of(w, anchor, scale, entry[e]);                                   \
        return even + odd;                                                                         \
    }
GATHER(gather_one, double, entry_of_one)
GATHER(gather_four, of_four, entry_of_four)

/* Row j of the sketches of slots [k, k + count), count 1 or SLOTS. */
static void sketch_row(const wk_table_sketch_args *a, int64_t k, int64_t count, int64_t j) {
    const int64_t width = a->sketch.dim[2];
    const int32_t *entry = wk_row_ptr(a->entry, j), *start = wk_row_ptr(a->start, j);
    const float *w[SLOTS] = {0}, *anchor = a->anchor.data, *scale = a->scale.data;
    for (int64_t c = 0; c < count; c++) w[c] = cpu_row(a->w, k + c);
    for (int64_t b = 0; b < width; b++) {
        const int32_t *first = entry + start[b];
        const int64_t n = start[b + 1] - start[b];
        of_four sum = {0};
        if (count == SLOTS)
            sum = gather_four(w, anchor, scale, first, n);
        else
            sum[0] = gather_one(w, anchor, scale, first, n);
        for (int64_t c = 0; c < count; c++)
            cpu_row(a->sketch, k + c)[j * width + b] = (float)sum[c];
    }
}

static weft_status table_sketch(wk_dev *dev, const wk_table_sketch_args *a) {
    const int64_t slots = a->w.dim[0], rows = a->sketch.dim[1];
    const int64_t fours = slots / SLOTS, groups = fours + slots % SLOTS; /* the last of one each */
    CPU_PARALLEL_FOR(cpu_threads(dev, slots * rows * a->entry.dim[1]))
    for (int64_t task = 0; task < groups * rows; task++) {
        const int64_t g = task / rows, j = task % rows;
        if (g < fours)
            sketch_row(a, SLOTS * g, SLOTS, j);
        else
            sketch_row(a, SLOTS * fours + (g - fours), 1, j);
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
