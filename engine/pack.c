#include "engine/pack.h"

#include "kernels/dev.h"

#include <string.h>

weft_status we_pack_init(we_pack *p, wk_ctx *ctx, we_pack_limits limits) {
    *p = (we_pack){.ctx = ctx, .limits = limits};
    size_t t = (size_t)limits.tokens, q = (size_t)limits.rows, s = (size_t)limits.segments;
    struct {
        void *array; /* address of the pointer */
        size_t count, size;
    } const plan[] = {
        {&p->tok, t, sizeof(int32_t)},
        {&p->pos, t, sizeof(int32_t)},
        {&p->type, t, sizeof(int32_t)},
        {&p->seq_off, q + 1, sizeof(int32_t)},
        {&p->first, q, sizeof(int32_t)},
        {&p->label, q, sizeof(int32_t)},
        {&p->target, q, sizeof(float)},
        {&p->weight, q, sizeof(float)},
        {&p->seg_token_off, s + 1, sizeof(int32_t)},
        {&p->seg_row_off, s + 1, sizeof(int32_t)},
        {&p->slot, s, sizeof(int32_t)},
        {&p->rng, 3 * s, sizeof(int32_t)},
    };
    for (size_t i = 0; i < sizeof plan / sizeof *plan; i++) {
        void *memory = NULL;
        weft_status st = wk_host_alloc(ctx, &memory, plan[i].count, plan[i].size, "pack");
        memcpy(plan[i].array, &memory, sizeof memory);
        if (st != WEFT_OK) {
            we_pack_fini(p);
            return st;
        }
    }
    return WEFT_OK;
}

void we_pack_fini(we_pack *p) {
    if (!p->ctx) return;
    void *const arrays[] = {p->tok,           p->pos,         p->type,   p->seq_off,
                            p->first,         p->label,       p->target, p->weight,
                            p->seg_token_off, p->seg_row_off, p->slot,   p->rng};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) wk_host_free(p->ctx, arrays[i]);
    memset(p, 0, sizeof *p);
}

size_t we_pack_host_bytes(we_pack_limits limits) {
    return 4u *
           (3u * (size_t)limits.tokens + 5u * (size_t)limits.rows + 6u * (size_t)limits.segments);
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

void we_pack_segment(we_pack *p, int32_t slot, uint32_t step, uint32_t round, uint32_t client) {
    int32_t s = p->n_segments++;
    const uint32_t rng[3] = {step, round, client};
    p->slot[s] = slot;
    memcpy(p->rng + 3 * s, rng, sizeof rng);
    p->seg_token_off[s + 1] = (int32_t)p->n_tokens;
    p->seg_row_off[s + 1] = (int32_t)p->n_rows;
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

weft_status we_batch_place(we_batch *b, wk_arena *a, we_pack_limits limits) {
    memset(b, 0, sizeof *b);
    int64_t t = limits.tokens, q = limits.rows, s = limits.segments;
    WEFT_TRY(wk_arena_vec(a, &b->tok, "token ids", WK_I32, t));
    WEFT_TRY(wk_arena_vec(a, &b->pos, "position ids", WK_I32, t));
    WEFT_TRY(wk_arena_vec(a, &b->type, "type ids", WK_I32, t));
    WEFT_TRY(wk_arena_vec(a, &b->seq_off, "sequence offsets", WK_I32, q + 1));
    WEFT_TRY(wk_arena_vec(a, &b->first, "first tokens", WK_I32, q));
    WEFT_TRY(wk_arena_vec(a, &b->label, "labels", WK_I32, q));
    WEFT_TRY(wk_arena_mat(a, &b->target, "targets", WK_F32, q, 1));
    WEFT_TRY(wk_arena_vec(a, &b->weight, "row weights", WK_F32, q));
    WEFT_TRY(wk_arena_vec(a, &b->token_segs.off, "segment offsets", WK_I32, s + 1));
    WEFT_TRY(wk_arena_vec(a, &b->row_segs.off, "segment offsets", WK_I32, s + 1));
    WEFT_TRY(wk_arena_vec(a, &b->token_segs.slot, "segment slots", WK_I32, s));
    b->row_segs.slot = b->token_segs.slot;
    return wk_arena_mat(a, &b->rng, "segment streams", WK_I32, s, 3);
}

/* Cut the view to what the pack holds, then copy. */
static weft_status put(wk_dev *dev, wk_tensor *dst, int64_t n, const void *src) {
    dst->dim[0] = n;
    return wk_upload(dev, *dst, src);
}

weft_status we_batch_upload(we_batch *b, const we_pack *p, wk_dev *dev) {
    int64_t t = p->n_tokens, q = p->n_rows, s = p->n_segments;
    b->n_tokens = t, b->n_rows = q, b->n_segments = p->n_segments, b->max_len = p->max_len;
    WEFT_TRY(put(dev, &b->tok, t, p->tok));
    WEFT_TRY(put(dev, &b->pos, t, p->pos));
    WEFT_TRY(put(dev, &b->type, t, p->type));
    WEFT_TRY(put(dev, &b->seq_off, q + 1, p->seq_off));
    WEFT_TRY(put(dev, &b->first, q, p->first));
    WEFT_TRY(put(dev, &b->label, q, p->label));
    WEFT_TRY(put(dev, &b->target, q, p->target));
    WEFT_TRY(put(dev, &b->weight, q, p->weight));
    WEFT_TRY(put(dev, &b->token_segs.off, s + 1, p->seg_token_off));
    WEFT_TRY(put(dev, &b->row_segs.off, s + 1, p->seg_row_off));
    WEFT_TRY(put(dev, &b->token_segs.slot, s, p->slot));
    b->row_segs.slot = b->token_segs.slot;
    return put(dev, &b->rng, s, p->rng);
}
