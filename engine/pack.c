#include "engine/pack.h"

#include "kernels/dev.h"

#include <string.h>

#define ALIGN_WORDS 64 /* arrays start at multiples of 256 bytes */

static int64_t round_up(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

static int64_t at_most(int64_t n, int64_t limit) {
    return n < limit ? n : limit;
}

int64_t we_pack_words(we_pack_limits limits) {
    int64_t words = 0;
#define X(name, type, count) words += round_up(count, ALIGN_WORDS);
    WE_PACK_ARRAYS(X)
#undef X
    return words;
}

weft_status we_pack_init(we_pack *p, wk_ctx *ctx, we_pack_limits limits) {
    *p = (we_pack){.ctx = ctx, .limits = limits};
    void *block = NULL;
    WEFT_TRY(wk_host_alloc(ctx, &block, (size_t)we_pack_words(limits), sizeof(int32_t), "pack"));
    p->block = block;
    int64_t at = 0;
#define X(name, type, count)                                                                       \
    p->name = (type *)(void *)(p->block + at);                                                     \
    at += round_up(count, ALIGN_WORDS);
    WE_PACK_ARRAYS(X)
#undef X
    return WEFT_OK;
}

void we_pack_fini(we_pack *p) {
    if (!p->ctx) return;
    wk_host_free(p->ctx, p->block);
    memset(p, 0, sizeof *p);
}

void we_pack_clear(we_pack *p) {
    p->n_tokens = p->n_rows = 0;
    p->n_segments = p->max_len = 0;
    p->seq_off[0] = p->seg_token_off[0] = p->seg_row_off[0] = 0;
}

bool we_pack_fits(const we_pack *p, int64_t rows, int64_t tokens) {
    return p->n_segments < p->limits.segments && p->n_rows + rows <= p->limits.rows &&
           p->n_tokens + tokens <= p->limits.tokens;
}

static void open_segment(we_pack *p, int32_t slot, const uint32_t rng[3]) {
    int32_t s = p->n_segments++;
    p->slot[s] = slot;
    memcpy(p->rng + 3 * s, rng, 3 * sizeof *rng);
    p->seg_token_off[s + 1] = p->seg_token_off[s];
    p->seg_row_off[s + 1] = p->seg_row_off[s];
}

void we_pack_segment(we_pack *p, int32_t slot, uint32_t step, uint32_t round, uint32_t client) {
    open_segment(p, slot, (const uint32_t[3]){step, round, client});
}

void we_pack_row(we_pack *p, const weft_rows *rows, int64_t index, float weight, we_positions pos) {
    int64_t from = rows->offset[index], n = rows->offset[index + 1] - from, q = p->n_rows++;
    int32_t *tok = p->tok + p->n_tokens, *at = p->pos + p->n_tokens, *type = p->type + p->n_tokens;
    memcpy(tok, rows->token + from, (size_t)n * sizeof *tok);
    int32_t next = pos.offset;
    for (int64_t i = 0; i < n; i++) {
        at[i] = tok[i] == pos.pad_id ? pos.pad_id : next++;
        type[i] = rows->type ? rows->type[from + i] : 0;
    }
    p->first[q] = (int32_t)p->n_tokens;
    p->label[q] = rows->label ? rows->label[index] : -1;
    p->target[q] = rows->target ? rows->target[index] : 0.0f;
    p->weight[q] = weight;
    p->n_tokens += n;
    p->seq_off[q + 1] = (int32_t)p->n_tokens;
    p->seg_token_off[p->n_segments] = (int32_t)p->n_tokens;
    p->seg_row_off[p->n_segments] = (int32_t)p->n_rows;
    if (n > p->max_len) p->max_len = (int32_t)n;
}

/* ---- few shapes: rounding up for devices that replay ---- */

#define TILE_ROWS   128 /* rows of a GEMM tile: tokens are rounded to multiples of it */
#define TOKEN_STEPS 32  /* token counts that occur, about */

/* The next of 1, 2, 3, 4, 6, 8, 12, 16 … */
static int64_t coarse(int64_t n) {
    int64_t power = 1;
    while (power < n) power *= 2;
    return power >= 4 && power * 3 / 4 >= n ? power * 3 / 4 : power;
}

static int64_t power_of_two(int64_t n) {
    int64_t power = 16;
    while (power < n) power *= 2;
    return power;
}

static void round_counts(we_pack *p) {
    const we_pack_limits *most = &p->limits;
    const int64_t step = round_up(most->tokens / TOKEN_STEPS + 1, TILE_ROWS);
    const int64_t tokens = at_most(round_up(p->n_tokens, step), most->tokens);
    const int64_t rows = at_most(coarse(p->n_rows), most->rows);
    const int64_t segments = at_most(coarse(p->n_segments), most->segments);
    const size_t surplus = (size_t)(tokens - p->n_tokens) * sizeof *p->tok;
    memset(p->tok + p->n_tokens, 0, surplus);
    memset(p->pos + p->n_tokens, 0, surplus);
    memset(p->type + p->n_tokens, 0, surplus);
    for (int64_t q = p->n_rows; q < rows; q++) {
        p->seq_off[q + 1] = p->seq_off[q];
        p->first[q] = p->label[q] = -1;
        p->target[q] = p->weight[q] = 0.0f;
    }
    while (p->n_segments < segments) open_segment(p, 0, (const uint32_t[3]){0, 0, 0});
    p->n_tokens = tokens, p->n_rows = rows;
    p->max_len = (int32_t)at_most(power_of_two(p->max_len), INT32_MAX);
}

/* ---- on the device ---- */

weft_status we_batch_place(we_batch *b, wk_arena *a, we_pack_limits limits) {
    memset(b, 0, sizeof *b);
    WEFT_TRY(wk_arena_vec(a, &b->block, "batch", WK_I32, we_pack_words(limits)));
    int64_t at = 0;
    wk_tensor view[12] = {{0}};
    int n = 0;
#define X(name, type, count)                                                                       \
    view[n++] = wk_rows(b->block, at, count);                                                      \
    at += round_up(count, ALIGN_WORDS);
    WE_PACK_ARRAYS(X)
#undef X
    wk_tensor *const to[] = {&b->tok,
                             &b->pos,
                             &b->type,
                             &b->seq_off,
                             &b->first,
                             &b->label,
                             &b->target,
                             &b->weight,
                             &b->token_segs.off,
                             &b->row_segs.off,
                             &b->token_segs.slot,
                             &b->rng};
    for (int i = 0; i < n; i++) *to[i] = view[i];
    b->target = wk_mat(b->target.data, WK_F32, limits.rows, 1);
    b->weight.dtype = WK_F32;
    b->row_segs.slot = b->token_segs.slot;
    b->rng = wk_mat(b->rng.data, WK_I32, limits.segments, 3);
    return WEFT_OK;
}

weft_status we_batch_upload(we_batch *b, we_pack *p, wk_dev *dev) {
    if (dev->backend->replay) round_counts(p);
    const int64_t t = p->n_tokens, q = p->n_rows, s = p->n_segments;
    b->n_tokens = t, b->n_rows = q, b->n_segments = p->n_segments, b->max_len = p->max_len;
    b->tok.dim[0] = b->pos.dim[0] = b->type.dim[0] = t;
    b->seq_off.dim[0] = q + 1;
    b->first.dim[0] = b->label.dim[0] = b->target.dim[0] = b->weight.dim[0] = q;
    b->token_segs.off.dim[0] = b->row_segs.off.dim[0] = s + 1;
    b->token_segs.slot.dim[0] = b->row_segs.slot.dim[0] = b->rng.dim[0] = s;
    return wk_upload(dev, b->block, p->block);
}
