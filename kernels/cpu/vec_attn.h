/* What the forward and the backward of attention share.
 *
 * Scores are kept transposed, keys down and queries across: then the softmax runs along the lanes
 * without a horizontal step, K and V are read where they lie, and only Q (and dO) are packed, once
 * per block of queries. Blocks are counted from the start of the sequence.
 *
 * bfloat16 is multiplied as pairs where the instruction set can (TILE_PAIRS): along the head for
 * scores, along keys or queries for the other products, whose factors P and dS are rounded for it.
 * Elsewhere its rows are widened, and all products are float32. Either way rows are brought into
 * rooms on the stack first, and what is summed for rows of bfloat16 is collected in a room and
 * rounded once. */
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

/* A block's scores, or what became of them, in pairs. */
typedef struct attn_pairs {
    uint32_t word[ATTN_BLOCK * ATTN_BLOCK / 2] __attribute__((aligned(64)));
} attn_pairs;

/* Rows of one head, ld words apart. */
typedef struct attn_rows {
    float *x;
    int64_t ld;
} attn_rows;

static inline bool attn_paired(wk_tensor t) {
    return TILE_PAIRS && is_half(t);
}

/* Words of n numbers along k. */
static inline int64_t attn_words(int64_t n, bool paired) {
    return paired ? cpu_ceil_div(n, 2) : n;
}

/* `rows` rows of t, columns [col, col + dh), for products along the head: where they lie, or copied
 * into `room` as pairs, or widened. */
static inline attn_rows attn_read(wk_tensor t, int64_t row, int64_t rows, int64_t col, int64_t dh,
                                  float *room) {
    if (!is_half(t)) return (attn_rows){cpu_row(t, row) + col, t.ld};
    const uint16_t *x = (const uint16_t *)wk_row_ptr(t, row) + col;
    const int64_t ld = attn_words(dh, TILE_PAIRS);
    if (!TILE_PAIRS) cpu_widen(room, ld, ld, x, t.ld, rows, dh);
    for (int64_t i = 0; TILE_PAIRS && i < rows; i++, x += t.ld) {
        uint16_t *to = (uint16_t *)(room + i * ld);
        memcpy(to, x, (size_t)dh * sizeof *to);
        if (dh % 2) to[dh] = 0;
    }
    return (attn_rows){room, ld};
}

/* The same rows, which attn_read gave, for products along the rows: pairs are numbers of two rows,
 * of the last one and zero where their number is odd. */
static inline attn_rows attn_along(wk_tensor t, int64_t row, int64_t rows, int64_t col, int64_t dh,
                                   attn_rows read, float *room) {
    if (!attn_paired(t)) return read;
    for (int64_t i = 0; i < rows; i += 2) {
        const hid low = hid_row(t, row + i, col, true), high = hid_row(t, row + i + 1, col, true);
        float *to = room + i / 2 * dh;
        for (int64_t j = 0; j < dh; j += VL) {
            vu word = (vu)hid_at(low, j, dh) >> 16;
            if (i + 1 < rows) word |= (vu)hid_at(high, j, dh);
            vf_put(to, j, dh, (vf)word);
        }
    }
    return (attn_rows){room, dh};
}

/* A of a product with a block of scores, B and C to be filled in. Along the queries: a row of C per
 * key; lanes beyond the queries meet zeros of B. */
static inline cpu_tile attn_along_queries(const attn_scores *s, int64_t keys, int64_t queries,
                                          bool paired, attn_pairs *room) {
    if (!paired) return (cpu_tile){.a = s->x, .a_row = ATTN_BLOCK, .a_k = 1, .k = queries};
    for (int64_t j = 0; j < keys; j++) {
        const hid to = {(uint16_t *)room->word + j * ATTN_BLOCK, true};
        for (int64_t i = 0; i < queries; i += VL)
            hid_store(to, i, vf_load(s->x + j * ATTN_BLOCK + i));
    }
    return (cpu_tile){.a = (const cpu_word *)room->word,
                      .a_row = ATTN_BLOCK / 2,
                      .a_k = 1,
                      .k = attn_words(queries, true),
                      .pairs = true};
}

/* Along the keys: a row of C per query. */
static inline cpu_tile attn_along_keys(const attn_scores *s, int64_t keys, int64_t queries,
                                       bool paired, attn_pairs *room) {
    if (!paired) return (cpu_tile){.a = s->x, .a_row = 1, .a_k = ATTN_BLOCK, .k = keys};
    for (int64_t j = 0; j < keys; j += 2) {
        const float *low = s->x + j * ATTN_BLOCK, *high = low + ATTN_BLOCK;
        for (int64_t i = 0; i < queries; i += VL) {
            vu word = __builtin_convertvector(vf_to_bf16(vf_load(low + i)), vu);
            if (j + 1 < keys)
                word |= __builtin_convertvector(vf_to_bf16(vf_load(high + i)), vu) << 16;
            vf_store((float *)room->word + j / 2 * ATTN_BLOCK + i, (vf)word);
        }
    }
    return (cpu_tile){.a = (const cpu_word *)room->word,
                      .a_row = 1,
                      .a_k = ATTN_BLOCK,
                      .k = attn_words(keys, true),
                      .pairs = true};
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

/* Of rows that attn_read gave; `words` of them are along the head, here and below. */
static inline void attn_pack(attn_block *to, attn_rows x, int64_t rows, int64_t words) {
    for (int64_t i = 0; i < rows; i += TILE_COLS)
        cpu_panel_pack_transposed(to->x + i * words, TILE_COLS, x.x + i * x.ld, x.ld, words,
                                  cpu_min(TILE_COLS, rows - i));
}

/* s[j][i] = x[j, :] . block[i, :] */
static inline void attn_scores_of(attn_scores *s, attn_rows x, int64_t keys,
                                  const attn_block *block, int64_t queries, int64_t words,
                                  bool paired) {
    for (int64_t i = 0; i < queries; i += TILE_COLS) {
        cpu_tile t = {.a = x.x,
                      .a_row = x.ld,
                      .a_k = 1,
                      .b = block->x + i * words,
                      .b_k = TILE_COLS,
                      .c = s->x + i,
                      .c_row = ATTN_BLOCK,
                      .k = words,
                      .fresh = true,
                      .pairs = paired};
        cpu_tile_rows(&t, keys);
    }
}

/* c (rows, cols) += a b, where b and c are plain rows of words and k <= ATTN_BLOCK. A last panel
 * that is not full goes through padded copies. */
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
    for (int64_t i = from; i < to; i++)
        memset(wk_row_ptr(x, i), 0, (size_t)x.dim[1] * wk_dtype_size(x.dtype));
}

#endif
