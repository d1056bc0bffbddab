/* A pack: sequences of many clients back to back, without padding between them, as one batch for
 * the frozen base.
 *
 * Host side (we_pack) it is filled row by row in one block of words taken once; device side
 * (we_batch) the same block lies at a fixed place, so that one copy moves a pack, and the tensors
 * are views of it cut to what the pack holds. Rows of one client are adjacent: a segment.
 *
 * On a device that replays recorded work (wk_replay) counts are rounded up, so that few shapes
 * occur: surplus tokens lie outside all sequences and segments, surplus sequences and segments are
 * empty, their labels ignored. */
#ifndef WE_PACK_H
#define WE_PACK_H

#include "engine/weft.h"
#include "kernels/arena.h"
#include "kernels/ops.h"

typedef struct we_pack_limits {
    int64_t tokens;   /* most tokens */
    int64_t rows;     /* most sequences */
    int32_t segments; /* most clients */
} we_pack_limits;

/* The arrays of a pack inside its block of 32-bit words: name, element type, words. */
#define WE_PACK_ARRAYS(X)                                                                          \
    X(tok, int32_t, limits.tokens)                                                                 \
    X(pos, int32_t, limits.tokens)                                                                 \
    X(type, int32_t, limits.tokens)                                                                \
    X(seq_off, int32_t, limits.rows + 1)                                                           \
    X(first, int32_t, limits.rows)                                                                 \
    X(label, int32_t, limits.rows)                                                                 \
    X(target, float, limits.rows)                                                                  \
    X(weight, float, limits.rows)                                                                  \
    X(seg_token_off, int32_t, limits.segments + 1)                                                 \
    X(seg_row_off, int32_t, limits.segments + 1)                                                   \
    X(slot, int32_t, limits.segments)                                                              \
    X(rng, int32_t, 3 * limits.segments)

typedef struct we_batch {
    wk_tensor block; /* (words) i32: all of the following */
    int64_t n_tokens, n_rows;
    int32_t n_segments, max_len; /* max_len >= the longest sequence */
    wk_tensor tok, pos, type;    /* (T) i32 */
    wk_tensor seq_off;           /* (Q+1) i32 into tokens */
    wk_tensor first;             /* (Q) i32: the token that the head reads; -1: none */
    wk_tensor label;             /* (Q) i32 */
    wk_tensor target;            /* (Q, 1) f32, regression */
    wk_tensor weight;            /* (Q) f32: share of the row in its client's step */
    wk_segs token_segs, row_segs;
    wk_tensor rng; /* (S, 3) i32: step, round, client of each segment's random streams */
} we_batch;

typedef struct we_pack {
    wk_ctx *ctx;
    we_pack_limits limits;
    int64_t n_tokens, n_rows;
    int32_t n_segments, max_len;
    int32_t *block;
#define X(name, type, words) type *name;
    WE_PACK_ARRAYS(X)
#undef X
} we_pack;

/* How a model numbers positions (we_hparams). */
typedef struct we_positions {
    int32_t offset, pad_id;
} we_positions;

WEFT_NODISCARD weft_status we_pack_init(we_pack *p, wk_ctx *ctx, we_pack_limits limits);
void we_pack_fini(we_pack *p);
/* 32-bit words of the block. */
int64_t we_pack_words(we_pack_limits limits);

void we_pack_clear(we_pack *p);
/* Room for a segment of so many rows and tokens? */
bool we_pack_fits(const we_pack *p, int64_t rows, int64_t tokens);
/* Open a segment; its rows follow. Streams of the segment: (step, round, client). */
void we_pack_segment(we_pack *p, int32_t slot, uint32_t step, uint32_t round, uint32_t client);
/* Append row `index` of `rows` to the open segment. The caller has checked the limits. */
void we_pack_row(we_pack *p, const weft_rows *rows, int64_t index, float weight, we_positions pos);

WEFT_NODISCARD weft_status we_batch_place(we_batch *b, wk_arena *arena, we_pack_limits limits);
/* Rounds the pack's counts up if the device replays, copies it, cuts the views. */
WEFT_NODISCARD weft_status we_batch_upload(we_batch *b, we_pack *p, wk_dev *dev);

#endif
