/* Tensors for op tests: guard words around every tensor and between its rows, outputs that start as
 * NaN. */
#ifndef WEFT_TESTS_OP_FIXTURE_H
#define WEFT_TESTS_OP_FIXTURE_H

#include "kernels/dev.h"
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

#define FX_GUARD 0x7fc0dead /* a NaN: reading past a row shows up in the result */
#define FX_EDGE  64         /* guard words at either end */
#define FX_MAX   256

typedef struct fx {
    struct {
        uint32_t *words;
        int64_t count;
        wk_tensor t;
    } item[FX_MAX];
    int count;
    uint32_t site; /* of the next random tensor */
} fx;

/* (rows, cols) of 4-byte elements with `pad` guard words after each row; NaN inside. cols 0: a
 * vector. */
static inline wk_tensor fx_raw(fx *f, wk_dtype dtype, int64_t rows, int64_t cols, int64_t pad) {
    const int64_t width = cols ? cols : 1, unit = (int64_t)wk_dtype_size(dtype) / 4;
    const int64_t ld = width + (cols ? pad : 0), count = rows * ld * unit + 2 * FX_EDGE;
    uint32_t *words = malloc((size_t)count * sizeof *words);
    assert_non_null(words);
    assert_true(f->count < FX_MAX);
    for (int64_t i = 0; i < count; i++) words[i] = FX_GUARD;
    wk_tensor t =
        cols ? wk_mat(words + FX_EDGE, dtype, rows, cols) : wk_vec(words + FX_EDGE, dtype, rows);
    t.ld = ld;
    f->item[f->count].words = words, f->item[f->count].count = count, f->item[f->count].t = t;
    f->count++;
    return t;
}

static inline wk_tensor fx_out(fx *f, int64_t rows, int64_t cols, int64_t pad) {
    return fx_raw(f, WK_F32, rows, cols, pad);
}

/* Normal numbers, another set for every tensor of the fixture. */
static inline wk_tensor fx_randn(fx *f, int64_t rows, int64_t cols, int64_t pad, float scale) {
    wk_tensor t = fx_raw(f, WK_F32, rows, cols, pad);
    for (int64_t i = 0; i < rows; i++)
        check_randn(wk_row_ptr(t, i), (size_t)(cols ? cols : 1), 7u, f->site * 65536u + (uint32_t)i,
                    scale);
    f->site++;
    return t;
}

static inline wk_tensor fx_copy(fx *f, wk_tensor of) {
    const int64_t cols = of.ndim == 1 ? 0 : wk_row_numel(of);
    wk_tensor t = fx_raw(f, of.dtype, of.dim[0], cols, cols ? of.ld - cols : 0);
    for (int64_t i = 0; i < of.dim[0]; i++)
        memcpy(wk_row_ptr(t, i), wk_row_ptr(of, i),
               (size_t)wk_row_numel(of) * wk_dtype_size(of.dtype));
    return t;
}

static inline wk_tensor fx_i32(fx *f, int64_t n, const int32_t *values) {
    wk_tensor t = fx_raw(f, WK_I32, n, 0, 0);
    if (n) memcpy(t.data, values, (size_t)n * sizeof *values);
    return t;
}

static inline wk_segs fx_segs(fx *f, int64_t segments, const int32_t *off, const int32_t *slot) {
    return (wk_segs){.off = fx_i32(f, segments + 1, off), .slot = fx_i32(f, segments, slot)};
}

/* View of a (K, O*D) buffer as (K, O, D). */
static inline wk_tensor fx_stack(wk_tensor t, int64_t o, int64_t d) {
    t.ndim = 3, t.dim[1] = o, t.dim[2] = d;
    return t;
}

/* Nothing outside the tensors was written. */
static inline void fx_check_guards(const fx *f) {
    for (int n = 0; n < f->count; n++) {
        const wk_tensor t = f->item[n].t;
        const int64_t unit = (int64_t)wk_dtype_size(t.dtype) / 4, width = wk_row_numel(t) * unit;
        const int64_t ld = t.ld * unit;
        for (int64_t i = 0; i < f->item[n].count; i++) {
            const int64_t at = i - FX_EDGE;
            const bool inside = at >= 0 && at < t.dim[0] * ld && at % ld < width;
            if (!inside && f->item[n].words[i] != FX_GUARD)
                fail_msg("tensor %d: guard word %lld was overwritten", n, (long long)at);
        }
    }
}

static inline void fx_free(fx *f) {
    for (int n = 0; n < f->count; n++) free(f->item[n].words);
    *f = (fx){0};
}

/* Rows of two float tensors by check_close; both may be strided. */
static inline void fx_close(const char *name, wk_tensor got, wk_tensor want, double tol) {
    const int64_t rows = got.dim[0], cols = wk_row_numel(got);
    float *g = malloc((size_t)(rows * cols + 1) * sizeof *g),
          *w = malloc((size_t)(rows * cols + 1) * sizeof *w);
    assert_non_null(g), assert_non_null(w);
    for (int64_t i = 0; i < rows; i++) {
        memcpy(g + i * cols, wk_row_ptr(got, i), (size_t)cols * sizeof *g);
        memcpy(w + i * cols, wk_row_ptr(want, i), (size_t)cols * sizeof *w);
    }
    (void)check_close(name, g, w, rows * cols, tol);
    free(g), free(w);
}

#endif
