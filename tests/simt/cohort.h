/* K client slots with all that their optimizers read and write, in one piece of memory, so that two
 * runs can be compared to the byte. */
#ifndef SIMT_COHORT_H
#define SIMT_COHORT_H

#include "tests/simt/simt_check.h"

typedef struct shape {
    int32_t k, rows; /* slots, rows of the sketch */
    int64_t p;
    int pad, shift; /* numbers between rows, and before the first */
    int32_t first;  /* row 0 is this slot */
    bool no_eps;    /* of AdamW */
} shape;

typedef struct cohort {
    shape s;
    unsigned char *memory; /* all of the below */
    size_t bytes;
    wk_tensor w, g, m, v, anchor;
    wk_slot_state slots;
    wk_drift_operands drift;
} cohort;

static const int32_t steps[] = {1, 0, 7, 3, 1000}, deads[] = {0, 0, 0, 1, 0};

static inline bool active(int64_t slot) {
    return steps[slot] > 0 && deads[slot] == 0;
}

/* The next operand, `shift` elements past a multiple of 256 bytes. */
static inline wk_tensor place(cohort *c, wk_dtype dtype, int64_t rows, int64_t width, int pad,
                              int shift) {
    const size_t size = wk_dtype_size(dtype), begin = (c->bytes + 255) / 256 * 256;
    unsigned char *at = c->memory + begin + (size_t)shift * size;
    wk_tensor t = width ? wk_mat(at, dtype, rows, width) : wk_vec(at, dtype, rows);
    if (width) t.ld += pad;
    c->bytes = begin + ((size_t)shift + (size_t)(rows * t.ld)) * size + 64;
    return t;
}

static inline void fill_row(wk_tensor t, int64_t row, uint32_t tensor, int64_t slot, float scale,
                            bool positive) {
    float *x = wk_row_ptr(t, row);
    FOR (j, wk_row_numel(t)) {
        const float value = scale * value_of(tensor, (uint32_t)slot, j);
        x[j] = positive ? fabsf(value) : value;
    }
}

static inline void fill(cohort *c) {
    const shape *s = &c->s;
    FOR (k, s->k) {
        const int64_t slot = s->first + k;
        fill_row(c->w, k, 1, slot, 1, false);
        fill_row(c->g, k, 2, slot, 0.1f, false);
        fill_row(c->m, k, 3, slot, 0.05f, false);
        fill_row(c->v, k, 4, slot, 0.01f, true);
        ((int32_t *)c->slots.step.data)[k] = steps[slot];
        ((int32_t *)c->slots.dead.data)[k] = deads[slot];
        ((float *)c->slots.lr.data)[k] = 0.01f * (float)(slot + 1);
        ((double *)c->slots.sqnorm.data)[k] = 0.25 * (double)(slot + 1);
        ((double *)c->drift.sqnorm.data)[k] = -1;
    }
    FOR (j, s->p) {
        ((float *)c->anchor.data)[j] = value_of(5, 0, j);
        ((uint8_t *)c->drift.sign.data)[j] =
            (uint8_t)wk_rng_u32(wk_rng_key(11, WK_RNG_TEST, 6), (uint32_t)j, 0, 0, 0);
    }
    FOR (b, c->drift.rot.dim[0])
        FOR (j, s->rows)
            ((uint8_t *)wk_row_ptr(c->drift.rot, b))[j] =
                (uint8_t)wk_rng_u32(wk_rng_key(11, WK_RNG_TEST, 7), (uint32_t)(b * 8 + j), 0, 0, 0);
}

static inline cohort cohort_of(shape s) {
    cohort c = {.s = s};
    const int64_t blocks = (s.p + WK_SKETCH_WIDTH - 1) / WK_SKETCH_WIDTH;
    for (int pass = 0; pass < 2; pass++) { /* count the bytes, then place */
        if (pass) {
            c.memory = take(c.bytes);
            for (size_t i = 0; i + 4 <= c.bytes; i += 4)
                memcpy(c.memory + i, &(uint32_t){POISON}, 4);
        }
        c.bytes = 0;
        c.w = place(&c, WK_F32, s.k, s.p, s.pad, s.shift);
        c.g = place(&c, WK_F32, s.k, s.p, s.pad, s.shift);
        c.m = place(&c, WK_F32, s.k, s.p, s.pad, s.shift);
        c.v = place(&c, WK_F32, s.k, s.p, s.pad, s.shift);
        c.anchor = place(&c, WK_F32, s.p, 0, 0, s.shift);
        c.slots.step = place(&c, WK_I32, s.k, 0, 0, 0);
        c.slots.dead = place(&c, WK_I32, s.k, 0, 0, 0);
        c.slots.lr = place(&c, WK_F32, s.k, 0, 0, 0);
        c.slots.sqnorm = place(&c, WK_F64, s.k, 0, 0, 0);
        c.drift.sqnorm = place(&c, WK_F64, s.k, 0, 0, 0);
        c.drift.sign = place(&c, WK_U8, s.p, 0, 0, s.shift);
        c.drift.rot = place(&c, WK_U8, blocks, s.rows, s.pad, s.shift);
        c.drift.sketch = place(&c, WK_F32, s.k, s.rows * WK_SKETCH_WIDTH, s.pad, s.shift);
    }
    c.drift.sketch.ndim = 3;
    c.drift.sketch.dim[1] = s.rows, c.drift.sketch.dim[2] = WK_SKETCH_WIDTH;
    c.drift.anchor = c.anchor;
    fill(&c);
    return c;
}

static inline void free_cohort(cohort *c) {
    free(c->memory);
}

static inline bool same_bytes(const cohort *a, const cohort *b) {
    return a->bytes == b->bytes && memcmp(a->memory, b->memory, a->bytes) == 0;
}

static inline bool same_row(wk_tensor a, int64_t i, wk_tensor b, int64_t j) {
    return memcmp(wk_row_ptr(a, i), wk_row_ptr(b, j),
                  (size_t)wk_row_numel(a) * wk_dtype_size(a.dtype)) == 0;
}

/* Everything of row i of a is what row j of b is. */
static inline bool same_slot(const cohort *a, int64_t i, const cohort *b, int64_t j) {
    return same_row(a->w, i, b->w, j) && same_row(a->g, i, b->g, j) && same_row(a->m, i, b->m, j) &&
           same_row(a->v, i, b->v, j) && same_row(a->drift.sketch, i, b->drift.sketch, j) &&
           same_row(a->drift.sqnorm, i, b->drift.sqnorm, j) &&
           same_row(a->slots.sqnorm, i, b->slots.sqnorm, j) &&
           same_row(a->slots.dead, i, b->slots.dead, j);
}

#endif
