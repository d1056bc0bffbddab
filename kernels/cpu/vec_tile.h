/* The register tile under every matrix product of this folder: C (rows, 1 or 2 vectors) += A B,
 * with k as the innermost, strictly ascending loop. A number of C is thus one chain of
 * multiply-adds in the order of k, whatever tile its row falls into: this is where "the bits of a
 * row do not depend on its place" comes from. Blocking after Goto and van de Geijn 2008 (packed B
 * in L1), without their packing of A. */
#ifndef CPU_VEC_TILE_H
#define CPU_VEC_TILE_H

#include "kernels/cpu/vec.h"

#ifdef __AVX512BF16__
#    include <immintrin.h>
#endif

#define TILE_COLS (2 * VL) /* columns of a full panel */
#define TILE_K    256      /* rows of B held in L1 at a time: 16 KiB with AVX2 */
#if VL == 16
#    define TILE_ROWS 12 /* of 32 registers: 24 sums, 2 of B, 1 of A */
#else
#    define TILE_ROWS 6 /* of 16 registers: 12 sums, 2 of B, 1 of A */
#endif

/* A number of A or B: a float or, in a tile of `pairs`, two bfloat16 that are neighbours along k.
 * TILE_PAIRS says whether the instruction set multiplies pairs. */
typedef float cpu_word __attribute__((may_alias, aligned(2)));
typedef float vf_words __attribute__((vector_size(4 * VL), aligned(2), may_alias));
#ifdef __AVX512BF16__
#    define TILE_PAIRS 1
#else
#    define TILE_PAIRS 0
#endif

/* a (rows, k) at a[i*a_row + l*a_k]; b (k, cols) at b[l*b_k + j]; c at c[i*c_row + j], taken as
 * zero when fresh. k counts words. */
typedef struct cpu_tile {
    const cpu_word *a, *b;
    float *c;
    int64_t a_row, a_k, b_k, c_row, k;
    bool fresh, pairs;
} cpu_tile;

VEC_INLINE vf vf_load_words(const cpu_word *p) {
    return *(const vf_words *)p;
}

/* Two products of a pair are added one after the other, subnormal numbers count as zero. */
VEC_INLINE vf tile_add(vf sum, vf a, vf b, bool pairs) {
#if TILE_PAIRS
    if (pairs) return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#endif
    (void)pairs;
    return sum + a * b;
}

/* `rows`, `vectors` and `pairs` are constants at every call, so the sums live in registers. */
VEC_INLINE void cpu_tile_fixed(const cpu_tile *t, int64_t first, int rows, int vectors,
                               bool pairs) {
    const cpu_word *a = t->a + first * t->a_row, *b = t->b;
    float *c = t->c + first * t->c_row;
    const int64_t a_row = t->a_row, a_k = t->a_k, b_k = t->b_k;
    vf sum[2 * TILE_ROWS][2];
#pragma GCC unroll 24
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            sum[i][v] = t->fresh ? (vf){0} : vf_load(c + i * t->c_row + v * VL);
    for (int64_t l = t->k; l > 0; l--, a += a_k, b += b_k) {
        vf b0 = vf_load_words(b), b1 = vectors > 1 ? vf_load_words(b + VL) : b0;
#pragma GCC unroll 24
        for (int i = 0; i < rows; i++) {
            vf s = vf_set(a[i * a_row]);
            sum[i][0] = tile_add(sum[i][0], s, b0, pairs);
            if (vectors > 1) sum[i][1] = tile_add(sum[i][1], s, b1, pairs);
        }
    }
#pragma GCC unroll 24
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) vf_store(c + i * t->c_row + v * VL, sum[i][v]);
}

/* Any number of rows, in tiles of nearly equal height: short tiles leave the multipliers idle. */
VEC_INLINE void cpu_tile_rows_of(const cpu_tile *t, int64_t rows, bool pairs) {
    int64_t first = 0;
    for (int64_t left = cpu_ceil_div(rows, TILE_ROWS); left > 0; left--) {
        int64_t n = cpu_ceil_div(rows - first, left);
        /* clang-format off */
        switch (n) {
#define X(height) case height: cpu_tile_fixed(t, first, height, 2, pairs); break;
        X(1) X(2) X(3) X(4) X(5) X(6)
#if TILE_ROWS > 6
        X(7) X(8) X(9) X(10) X(11) X(12)
#endif
#undef X
        default: break;
        }
        /* clang-format on */
        first += n;
    }
}

static inline void cpu_tile_rows(const cpu_tile *t, int64_t rows) {
    if (TILE_PAIRS && t->pairs)
        cpu_tile_rows_of(t, rows, true);
    else
        cpu_tile_rows_of(t, rows, false);
}

/* The same for panels of one vector: LoRA ranks of at most VL. */
static inline void cpu_tile_rows_narrow(const cpu_tile *t, int64_t rows) {
    int64_t i = 0;
    for (; rows - i >= 12; i += 12) cpu_tile_fixed(t, i, 12, 1, false);
    for (; rows - i >= 4; i += 4) cpu_tile_fixed(t, i, 4, 1, false);
    for (; rows - i >= 1; i += 1) cpu_tile_fixed(t, i, 1, 1, false);
}

/* cols = VL or TILE_COLS. */
static inline void cpu_tile_run(const cpu_tile *t, int64_t rows, int64_t cols) {
    if (cols > VL)
        cpu_tile_rows(t, rows);
    else
        cpu_tile_rows_narrow(t, rows);
}

/* Columns of the panel that starts with `left` columns to go. */
static inline int64_t cpu_panel_cols(int64_t left) {
    return left > VL ? TILE_COLS : VL;
}

/* panel (k, cols) = b (k, width) with row stride ldb, zeros to the right. */
static inline void cpu_panel_pack(float *panel, int64_t cols, const cpu_word *b, int64_t ldb,
                                  int64_t k, int64_t width) {
    for (int64_t l = 0; l < k; l++, b += ldb, panel += cols) {
        if (width == TILE_COLS) {
            vf_store(panel, vf_load_words(b));
            vf_store(panel + VL, vf_load_words(b + VL));
        } else {
            for (int64_t j = 0; j < cols; j++) panel[j] = j < width ? b[j] : 0.0f;
        }
    }
}

/* to (rows, cols) with row stride ld_to = the bfloat16 (rows, width) at `from`, zeros to the right.
 */
static inline void cpu_widen(float *to, int64_t ld_to, int64_t cols, const uint16_t *from,
                             int64_t ld_from, int64_t rows, int64_t width) {
    for (int64_t i = 0; i < rows; i++, to += ld_to, from += ld_from) {
        const hid x = {(void *)(uintptr_t)from, true};
        for (int64_t j = 0; j < width; j += VL) vf_put(to, j, cols, hid_at(x, j, width));
        for (int64_t j = cpu_ceil_div(width, VL) * VL; j < cols; j++) to[j] = 0.0f;
    }
}

/* Four rows of four numbers, transposed in registers; every instruction set has 16-byte vectors. */
typedef float cpu_quad __attribute__((vector_size(16), aligned(4), may_alias));

VEC_INLINE void cpu_transpose4(float *to, int64_t ld_to, const float *from, int64_t ld_from) {
    cpu_quad r0 = *(const cpu_quad *)from, r1 = *(const cpu_quad *)(from + ld_from);
    cpu_quad r2 = *(const cpu_quad *)(from + 2 * ld_from),
             r3 = *(const cpu_quad *)(from + 3 * ld_from);
    cpu_quad a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5);
    cpu_quad b = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
    cpu_quad c = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
    cpu_quad d = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
    *(cpu_quad *)to = __builtin_shufflevector(a, b, 0, 1, 4, 5);
    *(cpu_quad *)(to + ld_to) = __builtin_shufflevector(a, b, 2, 3, 6, 7);
    *(cpu_quad *)(to + 2 * ld_to) = __builtin_shufflevector(c, d, 0, 1, 4, 5);
    *(cpu_quad *)(to + 3 * ld_to) = __builtin_shufflevector(c, d, 2, 3, 6, 7);
}

/* panel (k, cols) = the transpose of b (width, k) with row stride ldb, zeros to the right. */
static inline void cpu_panel_pack_transposed(float *panel, int64_t cols, const float *b,
                                             int64_t ldb, int64_t k, int64_t width) {
    int64_t j = 0;
    for (; width - j >= 4; j += 4, b += 4 * ldb) {
        int64_t l = 0;
        for (; k - l >= 4; l += 4) cpu_transpose4(panel + l * cols + j, cols, b + l, ldb);
        for (; l < k; l++)
            for (int64_t i = 0; i < 4; i++) panel[l * cols + j + i] = b[i * ldb + l];
    }
    for (; j < cols; j++, b += ldb)
        for (int64_t l = 0; l < k; l++) panel[l * cols + j] = j < width ? b[l] : 0.0f;
}

#endif
