/* Lines of bench_ops: what a layer of a model calls. */
#include "bench/ops_bench.h"

OPS_CALL(linear_fwd)
OPS_CALL(linear_dx)
OPS_CALL(seg_linear_fwd)
OPS_CALL(seg_linear_dx)
OPS_CALL(seg_linear_dw)
OPS_CALL(dropout)
OPS_CALL(layernorm_fwd)
OPS_CALL(layernorm_bwd)
OPS_CALL(act_fwd)
OPS_CALL(act_bwd)
OPS_CALL(attn_fwd)
OPS_CALL(attn_bwd)
OPS_CALL(embed_fwd)
OPS_CALL(gather_rows)
OPS_CALL(softmax_xent)

void ops_bench_linear(ops_bench *b, int64_t m, int64_t o, int64_t d) {
    const size_t mark = wk_arena_mark(&b->arena);
    const wk_dtype h = b->dev->hidden;
    wk_weight w = {.w = ops_random(b, h, o, d), .o = o, .d = d};
    const size_t fwd = wk_weight_pack_bytes(b->dev, o, d, h, false),
                 dx = wk_weight_pack_bytes(b->dev, o, d, h, true);
    if (fwd) w.fwd = ops_zeros(b, WK_U8, (int64_t)fwd, 0);
    if (dx) w.dx = ops_zeros(b, WK_U8, (int64_t)dx, 0);
    ops_must(b, wk_weight_pack(b->dev, &(wk_weight_pack_args){.weight = &w}));
    wk_tensor x = ops_random(b, h, m, d), y = ops_random(b, h, m, o), bias = ops_random(b, h, o, 0);
    ops_line(b, "linear_fwd", OPS_SHAPE(m, o, d), 1, call_linear_fwd,
             &(wk_linear_fwd_args){.y = y, .x = x, .bias = bias, .w = &w});
    ops_line(b, "linear_dx", OPS_SHAPE(m, o, d), 1, call_linear_dx,
             &(wk_linear_dx_args){.dx = x, .dy = y, .w = &w});
    wk_arena_reset(&b->arena, mark);
}

void ops_bench_lora(ops_bench *b, const ops_pack *p, int64_t o, int64_t d) {
    const size_t mark = wk_arena_mark(&b->arena);
    const wk_dtype h = b->dev->hidden, x_type = d <= o ? WK_F32 : h, y_type = o <= d ? WK_F32 : h;
    wk_tensor x = ops_random(b, x_type, p->tokens, d), y = ops_random(b, y_type, p->tokens, o),
              m = ops_random(b, WK_F32, p->clients, o * d);
    m.ndim = 3, m.dim[1] = o, m.dim[2] = d;
    char shape[64];
    (void)snprintf(shape, sizeof shape, "%lldx%lldx%lld/%lld%s", (long long)p->tokens, (long long)o,
                   (long long)d, (long long)p->clients, p->name);
    const bool expand = d < o;
    ops_line(b, "seg_linear_fwd", shape, 1, call_seg_linear_fwd,
             &(wk_seg_linear_fwd_args){
                 .y = y, .x = x, .m = m, .segs = p->segs, .alpha = 1e-3f, .accumulate = expand});
    ops_line(b, "seg_linear_dw", shape, 1, call_seg_linear_dw,
             &(wk_seg_linear_dw_args){.dm = m, .dy = y, .x = x, .segs = p->segs, .alpha = 1e-6f});
    ops_line(b, "seg_linear_dx", shape, 1, call_seg_linear_dx,
             &(wk_seg_linear_dx_args){
                 .dx = x, .dy = y, .m = m, .segs = p->segs, .alpha = 1e-3f, .accumulate = !expand});
    wk_arena_reset(&b->arena, mark);
}

static void embedding(ops_bench *b, const ops_pack *p, int64_t d) {
    const wk_dtype h = b->dev->hidden;
    const int64_t t = p->tokens, vocab = 30000;
    wk_tensor y = ops_random(b, h, t, d), word = ops_random(b, h, vocab, d),
              pos = ops_random(b, h, 512, d), first = ops_random(b, WK_F32, p->sequences, d);
    int32_t *ids = NULL;
    ops_must(b, wk_host_alloc(&b->ctx, (void **)&ids, (size_t)t, sizeof *ids, "ids"));
    for (int64_t i = 0; i < t; i++) ids[i] = (int32_t)((uint64_t)i * 2654435761u % (uint64_t)vocab);
    wk_tensor tok = ops_ints(b, ids, t);
    for (int64_t i = 0; i < t; i++) ids[i] = (int32_t)(i % p->max_len);
    wk_tensor at = ops_ints(b, ids, t);
    wk_host_free(&b->ctx, ids);
    ops_line(b, "embed_fwd", OPS_SHAPE(t, d, 0), 1, call_embed_fwd,
             &(wk_embed_fwd_args){.y = y, .tok = tok, .pos_id = at, .word = word, .pos = pos});
    ops_line(
        b, "gather_rows", OPS_SHAPE(p->sequences, d, 0), 1, call_gather_rows,
        &(wk_gather_rows_args){.y = first, .x = y, .idx = wk_rows(p->seq_off, 0, p->sequences)});
}

static void loss(ops_bench *b, const ops_pack *p) {
    const int64_t n = p->sequences, c = 2;
    ops_line(b, "softmax_xent", OPS_SHAPE(n, c, 0), 1, call_softmax_xent,
             &(wk_softmax_xent_args){.loss = ops_zeros(b, WK_F32, n, 0),
                                     .dlogits = ops_zeros(b, WK_F32, n, c),
                                     .logits = ops_random(b, WK_F32, n, c),
                                     .label = ops_zeros(b, WK_I32, n, 0),
                                     .weight = ops_random(b, WK_F32, n, 0)});
}

static void norms(ops_bench *b, int64_t t, int64_t d) {
    const wk_dtype h = b->dev->hidden;
    wk_tensor x = ops_random(b, h, t, d), y = ops_random(b, h, t, d), z = ops_random(b, h, t, d),
              dy = ops_random(b, h, t, d), w = ops_random(b, WK_F32, d, 0);
    wk_tensor mean = ops_random(b, WK_F32, t, 0), rstd = ops_random(b, WK_F32, t, 0);
    ops_line(b, "layernorm_fwd", OPS_SHAPE(t, d, 0), 1, call_layernorm_fwd,
             &(wk_layernorm_fwd_args){.y = y,
                                      .z = z,
                                      .mean = mean,
                                      .rstd = rstd,
                                      .x = x,
                                      .residual = dy,
                                      .weight = w,
                                      .bias = w,
                                      .eps = 1e-12f});
    ops_line(b, "layernorm_bwd", OPS_SHAPE(t, d, 0), 1, call_layernorm_bwd,
             &(wk_layernorm_bwd_args){
                 .dz = x, .dy = dy, .z = z, .mean = mean, .rstd = rstd, .weight = w});
}

void ops_bench_rows(ops_bench *b, const ops_pack *p, int64_t d, int64_t ffn) {
    const size_t mark = wk_arena_mark(&b->arena);
    const wk_dtype h = b->dev->hidden;
    const int64_t t = p->tokens;
    norms(b, t, d);
    wk_arena_reset(&b->arena, mark);
    wk_tensor u = ops_random(b, h, t, ffn), v = ops_random(b, h, t, ffn),
              dv = ops_random(b, h, t, ffn);
    ops_line(b, "act_fwd gelu", OPS_SHAPE(t, ffn, 0), 1, call_act_fwd,
             &(wk_act_fwd_args){.y = v, .x = u, .act = WK_ACT_GELU});
    ops_line(b, "act_bwd gelu", OPS_SHAPE(t, ffn, 0), 1, call_act_bwd,
             &(wk_act_bwd_args){.dx = dv, .dy = v, .x = u, .act = WK_ACT_GELU});
    wk_arena_reset(&b->arena, mark);
    wk_tensor x = ops_random(b, h, t, d), y = ops_random(b, h, t, d),
              rng = ops_zeros(b, WK_I32, p->clients, 3);
    ops_line(b, "dropout", OPS_SHAPE(t, d, 0), 1, call_dropout,
             &(wk_dropout_args){.y = y, .x = x, .rng = rng, .segs = p->segs, .key = 1, .p = 0.1f});
    embedding(b, p, d);
    loss(b, p);
    wk_arena_reset(&b->arena, mark);
}

void ops_bench_attention(ops_bench *b, const ops_pack *p, int64_t d, int32_t heads) {
    const size_t mark = wk_arena_mark(&b->arena);
    const wk_dtype h = b->dev->hidden;
    const int64_t t = p->tokens;
    wk_tensor qkv = ops_random(b, h, t, 3 * d), grad = ops_random(b, h, t, 3 * d);
    wk_tensor o = ops_random(b, h, t, d), d_o = ops_random(b, h, t, d),
              lse = ops_zeros(b, WK_F32, t, heads);
    const wk_tensor q = wk_cols(qkv, 0, d), k = wk_cols(qkv, d, d), v = wk_cols(qkv, 2 * d, d);
    char shape[64];
    (void)snprintf(shape, sizeof shape, "%lldx%dx%lld%s", (long long)t, (int)p->max_len,
                   (long long)d, p->name);
    ops_line(b, "attn_fwd", shape, p->pairs, call_attn_fwd,
             &(wk_attn_fwd_args){.o = o,
                                 .lse = lse,
                                 .q = q,
                                 .k = k,
                                 .v = v,
                                 .seq_off = p->seq_off,
                                 .heads = heads,
                                 .kv_heads = heads,
                                 .max_len = p->max_len,
                                 .scale = 0.125f});
    ops_line(b, "attn_bwd", shape, p->pairs, call_attn_bwd,
             &(wk_attn_bwd_args){.dq = wk_cols(grad, 0, d),
                                 .dk = wk_cols(grad, d, d),
                                 .dv = wk_cols(grad, 2 * d, d),
                                 .d_o = d_o,
                                 .q = q,
                                 .k = k,
                                 .v = v,
                                 .o = o,
                                 .lse = lse,
                                 .seq_off = p->seq_off,
                                 .heads = heads,
                                 .kv_heads = heads,
                                 .max_len = p->max_len,
                                 .scale = 0.125f});
    wk_arena_reset(&b->arena, mark);
}
