/* What the forward and the backward of attention share.
 *
 * Scores are kept transposed, keys down and queries across: then the softmax runs along the lanes
 * without a horizontal step, K and V are read where they lie, and only Q (and dO) are packed, once
 * per block of queries. Blocks are counted from the start of the sequence.
 *
 * Products are float32. Rows of bfloat16 are widened into a room on the stack before they enter
 * one, and what is summed for them is collected in such a room and rounded once. */
#ifndef CPU_VEC_ATTN_H
#define CPU_VEC_ATTN_H

#include "kernels/cpu/vec_math.h"
#include "kernels/cpu/vec_tile.h"

#include <string.h>

#define ATTN_BLOCK 64 /* queries and keys of a block; a multiple of every TILE_COLS */

typedef struct attn_block {
    float x[WK_MAX_HEAD_DIM * ATTN_BLOCK] __attribute__((aligned(64)));
} attn_block; /* queries of a block, transposed, in panels of TILE_COLS */

typedef struct attn_room {
    float x[ATTN_BLOCK * WK_MAX_HEAD_DIM] __attribute__((aligned(64)));
} attn_room; /* a block of rows of one head */

typedef struct attn_scores {
    float x[ATTN_BLOCK * ATTN_BLOCK] __attribute__((aligned(64)));
} attn_scores; /* [key][query] */

/* Rows of one head as floats, ld apart. */
typedef struct attn_rows {
    float *x;
    int64_t ld;
} attn_rows;

/* `rows` rows of t, columns [col, col + dh): where they lie or, widened, in `room`. */
static inline attn_rows attn_read(wk_tensor t, int64_t row, int64_t rows, int64_t col, int64_t dh,
                                  float *room) {
    if (!is_half(t)) return (attn_rows){cpu_row(t, row) + col, t.ld};
    const uint16_t *x = wk_row_ptr(t, row);
    cpu_widen(room, dh, dh, x + col, t.ld, rows, dh);
    return (attn_rows){room, dh};
}

/* Where sums for such rows are collected, set to zero. */
static inline attn_rows attn_begin(wk_tensor t, int64_t row, int64_t rows, int64_t col, int64_t dh,
                                   float *room) {
    const attn_rows to =
        is_half(t) ? (attn_rows){room, dh} : (attn_rows){cpu_row(t, row) + col, t.ld};
    for (int64_t i = 0; i < rows; i++) memset(to.x + i * to.ld, 0, (size_t)dh * sizeof(float));
    return to;
}

/* The sums are complete: those that were collected in a room are stored. */
static inline void attn_end(wk_tensor t, int64_t row, int64_t rows, int64_t col, int64_t dh,
                            attn_rows from) {
    for (int64_t i = 0; is_half(t) && i < rows; i++) {
        const hid to = hid_row(t, row + i, col, true);
        for (int64_t j = 0; j < dh; j += VL) hid_put(to, j, dh, vf_at(from.x + i * from.ld, j, dh));
    }
}

static inline void attn_pack(attn_block *to, attn_rows x, int64_t rows, int64_t dh) {
    for (int64_t i = 0; i < rows; i += TILE_COLS)
        cpu_panel_pack_transposed(to->x + i * dh, TILE_COLS, x.x + i * x.ld, x.ld, dh,
                                  cpu_min(TILE_COLS, rows - i));
}

/* s[j][i] = x[j, :] . block[i, :] */
static inline void attn_scores_of(attn_scores *s, attn_rows x, int64_t keys,
                                  const attn_block *block, int64_t queries, int64_t dh) {
    for (int64_t i = 0; i < queries; i += TILE_COLS) {
        cpu_tile t = {.a = x.x,
                      .a_row = x.ld,
                      .a_k = 1,
                      .b = block->x + i * dh,
                      .b_k = TILE_COLS,
                      .c = s->x + i,
                      .c_row = ATTN_BLOCK,
                      .k = dh,
                      .fresh = true};
        cpu_tile_rows(&t, keys);
    }
}

/* c (rows, cols) += a b, where b and c are plain rows and k <= ATTN_BLOCK. A last panel that is not
 * full goes through padded copies. */
static inline void attn_add_product(cpu_tile t, int64_t rows, int64_t cols) {
    float b[ATTN_BLOCK * TILE_COLS], c[ATTN_BLOCK * TILE_COLS];
    for (; cols >= TILE_COLS; cols -= TILE_COLS, t.b += TILE_COLS, t.c += TILE_COLS)
        cpu_tile_rows(&t, rows);
    if (cols == 0) return;
    cpu_panel_pack(b, TILE_COLS, t.b, t.b_k, t.k, cols);
    cpu_panel_pack(c, TILE_COLS, t.c, t.c_row, rows, cols);
    cpu_tile part = t;
    part.b = b, part.b_k = TILE_COLS, part.c = c, part.c_row = TILE_COLS;
    cpu_tile_rows(&part, rows);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) t.c[i * t.c_row + j] = c[i * TILE_COLS + j];
}

/* Lanes whose query (first lane: `query`) may not see `key`. */
VEC_INLINE vi attn_hidden(int64_t query, int64_t key) {
    vi lane;
    for (int i = 0; i < VL; i++) lane[i] = i;
    return lane < (int32_t)(key - query);
}

static inline void attn_zero_rows(wk_tensor x, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) memset(wk_row_ptr(x, i), 0, (size_t)x.dim[1] * wk_dtype_size(x.dtype));
}

#endif
