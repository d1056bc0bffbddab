/* A pack: sequences of many clients back to back, without padding, as one batch for the frozen
 * base.
 *
 * Host side (we_pack) it is filled row by row in arrays taken once; device side (we_batch) it is a
 * set of fixed buffers whose views are cut to what the pack holds. Rows of one client are adjacent:
 * a segment. */
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

typedef struct we_batch {
    int64_t n_tokens, n_rows;
    int32_t n_segments, max_len; /* longest sequence */
    wk_tensor tok, pos, type;    /* (T) i32 */
    wk_tensor seq_off;           /* (Q+1) i32 into tokens */
    wk_tensor first;             /* (Q) i32: the token that the head reads */
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
    int32_t *tok, *pos, *type, *seq_off, *first, *label, *seg_token_off, *seg_row_off, *slot, *rng;
    float *target, *weight;
} we_pack;

/* How a model numbers positions (we_hparams). */
typedef struct we_positions {
    int32_t offset, pad_id;
} we_positions;

WEFT_NODISCARD weft_status we_pack_init(we_pack *p, wk_ctx *ctx, we_pack_limits limits);
void we_pack_fini(we_pack *p);
size_t we_pack_host_bytes(we_pack_limits limits);

void we_pack_clear(we_pack *p);
/* Room for a segment of so many rows and tokens? */
bool we_pack_fits(const we_pack *p, int64_t rows, int64_t tokens);
/* Open a segment; its rows follow. Streams of the segment: (step, round, client). */
void we_pack_segment(we_pack *p, int32_t slot, uint32_t step, uint32_t round, uint32_t client);
/* Append row `index` of `rows` to the open segment. The caller has checked the limits. */
void we_pack_row(we_pack *p, const weft_rows *rows, int64_t index, float weight, we_positions pos);

WEFT_NODISCARD weft_status we_batch_place(we_batch *b, wk_arena *arena, we_pack_limits limits);
WEFT_NODISCARD weft_status we_batch_upload(we_batch *b, const we_pack *p, wk_dev *dev);

#endif
