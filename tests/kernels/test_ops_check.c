/* labels: unit */
/* Calls that must be refused: the status, and the message with op, operands and both shapes. On the
 * dry device, so that nothing is read or written. */
#include "kernels/arena.h"
#include "tests/check.h"

#include <string.h>

static wk_ctx ctx;
static wk_dev *dev;
static wk_arena arena;

static int open_dry(void **state) {
    (void)state;
    wk_ctx_init(&ctx, NULL);
    if (wk_dev_open(&dev, &ctx, &(wk_dev_options){.backend = "dry", .threads = 1}) != WEFT_OK)
        return -1;
    return wk_arena_open(&arena, dev, "test", (size_t)1 << 30) == WEFT_OK ? 0 : -1;
}

static int close_dry(void **state) {
    (void)state;
    wk_arena_close(&arena);
    wk_dev_close(dev);
    return 0;
}

static wk_tensor typed(wk_dtype dtype, int64_t rows, int64_t cols) {
    wk_tensor t;
    weft_status st = cols < 0 ? wk_arena_vec(&arena, &t, "operand", dtype, rows)
                              : wk_arena_mat(&arena, &t, "operand", dtype, rows, cols);
    check_ok(st, &ctx.err);
    return t;
}

static wk_tensor mat(int64_t rows, int64_t cols) {
    return typed(WK_F32, rows, cols);
}

static wk_tensor vec(int64_t n) {
    return typed(WK_F32, n, -1);
}

static wk_tensor ints(int64_t n) {
    return typed(WK_I32, n, -1);
}

static wk_tensor stack(int64_t k, int64_t o, int64_t d) {
    wk_tensor t;
    check_ok(wk_arena_tensor(&arena, &t, "stack", WK_F32, 3, (const int64_t[]){k, o, d}), &ctx.err);
    return t;
}

static void refused_at(weft_status got, weft_status want, const char *text, int line) {
    if (got == want && strstr(ctx.err.text, text)) return;
    print_error("line %d: status %d, message \"%s\"; wanted %d, \"%s\"\n", line, (int)got,
                ctx.err.text, (int)want, text);
    fail();
}
#define refused(call, status, text) refused_at((call), (status), (text), __LINE__)

static void linear(void **state) {
    (void)state;
    wk_weight w = {.w = mat(384, 512), .o = 384, .d = 512};
    wk_linear_fwd_args ok = {.y = mat(70, 384), .x = mat(70, 512), .bias = vec(384), .w = &w},
                       a = ok;
    check_ok(wk_linear_fwd(dev, &ok), &ctx.err);
    a.x = mat(70, 384);
    refused(wk_linear_fwd(dev, &a), WEFT_E_SHAPE, "linear_fwd: x (70,384) but W is (384,512)");
    a = ok, a.y = mat(69, 384);
    refused(wk_linear_fwd(dev, &a), WEFT_E_SHAPE, "linear_fwd: y (69,384) but x is (70,512)");
    a = ok, a.bias = vec(512);
    refused(wk_linear_fwd(dev, &a), WEFT_E_SHAPE, "bias (512) but W is (384,512)");
    a = ok, a.bias = mat(1, 384);
    refused(wk_linear_fwd(dev, &a), WEFT_E_SHAPE, "bias is (1,384), needed are 1 dimensions");
    a = ok, a.x = typed(WK_BF16, 70, 512);
    refused(wk_linear_fwd(dev, &a), WEFT_E_SHAPE, "y is float32 but x is bfloat16");
    a = ok, a.x = typed(WK_F64, 70, 512);
    refused(wk_linear_fwd(dev, &a), WEFT_E_SHAPE, "x is float64, needed is float32 or bfloat16");
    a = ok, a.x.ndim = 0;
    refused(wk_linear_fwd(dev, &a), WEFT_E_ARG, "linear_fwd: x is not given");
    a = ok, a.w = NULL;
    refused(wk_linear_fwd(dev, &a), WEFT_E_ARG, "W is not given");
    a = ok, a.x.data = NULL;
    refused(wk_linear_fwd(dev, &a), WEFT_E_ARG, "x (70,512) has no address");
    a = ok, a.x.ld = 100;
    refused(wk_linear_fwd(dev, &a), WEFT_E_SHAPE, "x (70,512) has a row stride of 100");
    a = ok, a.x.dim[0] = -1;
    refused(wk_linear_fwd(dev, &a), WEFT_E_SHAPE, "x is (-1,512)");
    a = ok, a.residual = a.y;
    check_ok(wk_linear_fwd(dev, &a), &ctx.err);
    a.residual = wk_cols(mat(70, 385), 1, 384);
    check_ok(wk_linear_fwd(dev, &a), &ctx.err);
    wk_linear_dx_args back = {.dx = mat(70, 384), .dy = mat(70, 384), .w = &w};
    refused(wk_linear_dx(dev, &back), WEFT_E_SHAPE, "linear_dx: dx (70,384) but W is (384,512)");
    wk_weight bare = {.o = 384, .d = 512};
    a = ok, a.w = &bare;
    refused(wk_linear_fwd(dev, &a), WEFT_E_ARG, "W has neither its plain copy nor fwd");
    bare.w = mat(384, 511);
    refused(wk_linear_fwd(dev, &a), WEFT_E_SHAPE, "weight.w (384,511) but W is (384,512)");
}

static void overlaps(void **state) {
    (void)state;
    wk_tensor wide = mat(10, 40);
    /* Column slices of one buffer are apart; slices that share a column are not. */
    wk_copy_args a = {.y = wk_cols(wide, 0, 20), .x = wk_cols(wide, 20, 20)};
    check_ok(wk_copy(dev, &a), &ctx.err);
    a.x = wk_cols(wide, 19, 20);
    refused(wk_copy(dev, &a), WEFT_E_ARG, "copy: y (10,20) overlaps x (10,20)");
    a.x = wk_cols(wk_rows(wide, 3, 1), 20, 20), a.y = wk_rows(a.y, 2, 1);
    check_ok(wk_copy(dev, &a), &ctx.err);
    a.y = wk_cols(wide, 0, 20), a.x = wk_cols(mat(10, 20), 0, 20);
    check_ok(wk_copy(dev, &a), &ctx.err);
    a.y = wk_rows(wide, 0, 5), a.x = wk_rows(wide, 5, 5);
    check_ok(wk_copy(dev, &a), &ctx.err);
    a.x = wk_rows(wide, 4, 5);
    refused(wk_copy(dev, &a), WEFT_E_ARG, "overlaps");
    /* A row that wraps round into the next columns. */
    a.y = wk_cols(wide, 0, 20), a.x = a.y;
    a.x.data = (void *)((uintptr_t)a.y.data + 4 * 30);
    refused(wk_copy(dev, &a), WEFT_E_ARG, "overlaps");
    /* In place where the op allows it, only as the very same view. */
    wk_act_fwd_args act = {.y = wide, .x = wide, .act = WK_ACT_RELU};
    check_ok(wk_act_fwd(dev, &act), &ctx.err);
    act.y = wk_rows(wide, 0, 9), act.x = wk_rows(wide, 1, 9);
    refused(wk_act_fwd(dev, &act), WEFT_E_ARG, "act_fwd: y (9,40) overlaps x (9,40)");
    wk_axpy_args axpy = {.y = wide, .x = wide, .alpha = 1};
    refused(wk_axpy(dev, &axpy), WEFT_E_ARG, "axpy: y (10,40) overlaps x (10,40)");
    act.y = wide, act.x = wide, act.act = (wk_act)9;
    refused(wk_act_fwd(dev, &act), WEFT_E_ARG, "activation 9 is unknown");
}

static void segments(void **state) {
    (void)state;
    wk_segs segs = {ints(5), ints(4)};
    wk_seg_linear_fwd_args ok = {
        .y = mat(30, 8), .x = mat(30, 64), .m = stack(4, 8, 64), .segs = segs, .alpha = 1};
    wk_seg_linear_fwd_args a = ok;
    check_ok(wk_seg_linear_fwd(dev, &ok), &ctx.err);
    a.m = stack(4, 8, 63);
    refused(wk_seg_linear_fwd(dev, &a), WEFT_E_SHAPE,
            "seg_linear_fwd: x (30,64) but m is (4,8,63)");
    a = ok, a.segs.off = ints(4);
    refused(wk_seg_linear_fwd(dev, &a), WEFT_E_SHAPE, "segs.off (4) but segs.slot is (4)");
    a = ok, a.segs.off.ndim = 0;
    refused(wk_seg_linear_fwd(dev, &a), WEFT_E_ARG, "segs.off is not given");
    a = ok, a.bias = mat(4, 9);
    refused(wk_seg_linear_fwd(dev, &a), WEFT_E_SHAPE, "bias (4,9) but m is (4,8,64)");
    wk_dropout_args drop = {
        .y = mat(30, 64), .x = mat(30, 64), .rng = typed(WK_I32, 4, 3), .segs = segs, .p = 0.5f};
    check_ok(wk_dropout(dev, &drop), &ctx.err);
    drop.p = 1.0f;
    refused(wk_dropout(dev, &drop), WEFT_E_ARG, "p is 1, needed is 0 <= p < 1");
    drop.p = 0.5f, drop.rng = typed(WK_I32, 4, 2);
    refused(wk_dropout(dev, &drop), WEFT_E_SHAPE, "rng has 2 columns, needed are 3");
    drop.rng = typed(WK_I32, 3, 3);
    refused(wk_dropout(dev, &drop), WEFT_E_SHAPE, "rng (3,3) but segs.slot is (4)");
    drop.rng = typed(WK_I32, 4, 3), drop.y = drop.x;
    check_ok(wk_dropout(dev, &drop), &ctx.err);
    drop.accumulate = true;
    refused(wk_dropout(dev, &drop), WEFT_E_ARG, "y (30,64) overlaps x (30,64)");
}

/* Operands marked (h) have a dtype each, those marked (H) one between them, all others their own.
 */
static void hidden_operands(void **state) {
    (void)state;
    wk_weight w = {.w = typed(WK_BF16, 8, 16), .o = 8, .d = 16};
    wk_linear_fwd_args linear = {.y = typed(WK_BF16, 5, 8), .x = typed(WK_BF16, 5, 16), .w = &w};
    check_ok(wk_linear_fwd(dev, &linear), &ctx.err);
    linear.bias = vec(8);
    refused(wk_linear_fwd(dev, &linear), WEFT_E_SHAPE, "bias is float32 but x is bfloat16");
    linear.bias.ndim = 0, w.w = mat(8, 16);
    refused(wk_linear_fwd(dev, &linear), WEFT_E_SHAPE, "weight.w is float32 but x is bfloat16");
    wk_linear_dx_args back = {.dx = typed(WK_BF16, 5, 16), .dy = typed(WK_BF16, 5, 8), .w = &w};
    refused(wk_linear_dx(dev, &back), WEFT_E_SHAPE, "weight.w is float32 but dy is bfloat16");

    wk_layernorm_fwd_args norm = {.y = mat(9, 12),
                                  .x = typed(WK_BF16, 9, 12),
                                  .residual = typed(WK_BF16, 9, 12),
                                  .z = typed(WK_BF16, 9, 12),
                                  .weight = vec(12),
                                  .bias = vec(12)};
    check_ok(wk_layernorm_fwd(dev, &norm), &ctx.err);
    norm.z = mat(9, 12);
    refused(wk_layernorm_fwd(dev, &norm), WEFT_E_SHAPE, "z is float32 but x is bfloat16");
    norm.z.ndim = 0, norm.weight = typed(WK_BF16, 12, -1);
    refused(wk_layernorm_fwd(dev, &norm), WEFT_E_SHAPE, "weight is bfloat16, needed is float32");

    wk_gather_rows_args gather = {.y = mat(4, 6), .x = typed(WK_BF16, 9, 6), .idx = ints(4)};
    check_ok(wk_gather_rows(dev, &gather), &ctx.err);
    gather.x = typed(WK_F16, 9, 6);
    refused(wk_gather_rows(dev, &gather), WEFT_E_SHAPE,
            "gather_rows: x is float16, needed is float32 or bfloat16");
    wk_mean_pool_args pool = {typed(WK_BF16, 2, 6), typed(WK_BF16, 9, 6), ints(3)};
    refused(wk_mean_pool(dev, &pool), WEFT_E_SHAPE, "y is bfloat16, needed is float32");

    wk_segs segs = {ints(5), ints(4)};
    wk_seg_linear_fwd_args lora = {
        .y = mat(30, 8), .x = typed(WK_BF16, 30, 64), .m = stack(4, 8, 64), .segs = segs};
    check_ok(wk_seg_linear_fwd(dev, &lora), &ctx.err);
    lora.m.dtype = WK_BF16;
    refused(wk_seg_linear_fwd(dev, &lora), WEFT_E_SHAPE, "m is bfloat16, needed is float32");
}

static void layers(void **state) {
    (void)state;
    wk_attn_fwd_args ok = {.o = mat(20, 64),
                           .lse = mat(20, 4),
                           .q = mat(20, 64),
                           .k = mat(20, 32),
                           .v = mat(20, 32),
                           .seq_off = ints(3),
                           .heads = 4,
                           .kv_heads = 2,
                           .max_len = 10,
                           .scale = 1};
    wk_attn_fwd_args a = ok;
    check_ok(wk_attn_fwd(dev, &ok), &ctx.err);
    a.kv_heads = 3;
    refused(wk_attn_fwd(dev, &a), WEFT_E_SHAPE, "4 heads cannot share 3 key heads");
    a = ok, a.k = mat(20, 64);
    refused(wk_attn_fwd(dev, &a), WEFT_E_SHAPE, "k has 64 columns, needed are 2 key heads of 16");
    a = ok, a.lse = mat(20, 3);
    refused(wk_attn_fwd(dev, &a), WEFT_E_SHAPE, "lse has 3 columns but 4 heads");
    a = ok, a.q = mat(20, 63), a.o = mat(20, 63);
    refused(wk_attn_fwd(dev, &a), WEFT_E_SHAPE, "q has 63 columns, not a multiple of 4 heads");
    a = ok, a.q = mat(20, 4 * 257);
    refused(wk_attn_fwd(dev, &a), WEFT_E_UNSUPPORTED, "head width 257 is above the limit of 256");

    wk_layernorm_fwd_args norm = {
        .y = mat(9, 12), .x = mat(9, 12), .weight = vec(12), .bias = vec(11), .eps = 1e-5f};
    refused(wk_layernorm_fwd(dev, &norm), WEFT_E_SHAPE, "bias (11) but x is (9,12)");
    wk_softmax_xent_args xent = {
        .loss = vec(9), .logits = mat(9, 3), .label = vec(9), .weight = vec(9)};
    refused(wk_softmax_xent(dev, &xent), WEFT_E_SHAPE, "label is float32, needed is int32");
    wk_copy_args copy = {.y = typed(WK_F16, 3, 4), .x = mat(3, 4)};
    refused(wk_copy(dev, &copy), WEFT_E_SHAPE, "cannot convert x float32 to y float16");
}

static void optimizers(void **state) {
    (void)state;
    wk_slot_state slots = {ints(3), vec(3), typed(WK_F64, 3, -1), ints(3)};
    wk_sgd_step_args sgd = {.w = mat(3, 10), .g = mat(3, 10), .slots = slots, .momentum = 0.9f};
    refused(wk_sgd_step(dev, &sgd), WEFT_E_ARG, "sgd_step: momentum is 0.9 but m is not given");
    sgd.m = mat(3, 10), sgd.slots.lr = vec(4);
    refused(wk_sgd_step(dev, &sgd), WEFT_E_SHAPE, "slots.lr (4) but w is (3,10)");
    wk_grad_norm_args norm = {.g = mat(3, 10), .slots = slots, .prox_mu = 0.1f};
    refused(wk_grad_norm(dev, &norm), WEFT_E_ARG, "prox_mu is 0.1 but w or anchor is not given");
    wk_server_step_args server = {.x = vec(10),
                                  .delta = typed(WK_F64, 10, -1),
                                  .kind = WK_SERVER_ADAM,
                                  .step = 1,
                                  .m = typed(WK_F64, 10, -1)};
    refused(wk_server_step(dev, &server), WEFT_E_ARG, "server_step: v is not given");
    server.v = typed(WK_F64, 10, -1), server.step = 0;
    refused(wk_server_step(dev, &server), WEFT_E_ARG, "step is 0, the first is 1");
    server.step = 1, server.delta = vec(10);
    refused(wk_server_step(dev, &server), WEFT_E_SHAPE, "delta is float32, needed is float64");
}

static void drift(void **state) {
    (void)state;
    wk_slot_state slots = {ints(3), vec(3), typed(WK_F64, 3, -1), ints(3)};
    const wk_drift_operands ok = {.anchor = vec(600),
                                  .sqnorm = typed(WK_F64, 3, -1),
                                  .sketch = stack(3, 5, 256),
                                  .sign = typed(WK_U8, 600, -1),
                                  .rot = typed(WK_U8, 3, 5)};
    wk_drift_args a = {.w = mat(3, 600), .slots = slots, .drift = ok};
    check_ok(wk_drift(dev, &a), &ctx.err);
    a.drift.anchor.ndim = 0;
    refused(wk_drift(dev, &a), WEFT_E_ARG, "drift: drift.anchor is not given");
    a.drift = ok, a.drift.anchor = vec(601);
    refused(wk_drift(dev, &a), WEFT_E_SHAPE, "drift.anchor (601) but w is (3,600)");
    a.drift = ok, a.drift.sqnorm = slots.sqnorm;
    refused(wk_drift(dev, &a), WEFT_E_ARG, "drift.sqnorm (3) overlaps slots.sqnorm (3)");
    a.drift = ok, a.drift.rot.ndim = 0;
    refused(wk_drift(dev, &a), WEFT_E_ARG, "drift.sketch, sign and rot must be given together");
    a.drift = ok, a.drift.rot = typed(WK_U8, 2, 5);
    refused(wk_drift(dev, &a), WEFT_E_SHAPE, "drift.rot has 2 rows, needed are 3");
    a.drift = ok, a.drift.rot = typed(WK_U8, 3, 4);
    refused(wk_drift(dev, &a), WEFT_E_SHAPE, "drift.rot (3,4) but drift.sketch is (3,5,256)");
    a.drift = ok, a.drift.sketch = stack(3, 9, 256);
    refused(wk_drift(dev, &a), WEFT_E_SHAPE, "drift.sketch has 9 rows, possible are 1 to 8");
    a.drift = ok, a.drift.sketch = stack(3, 5, 128);
    refused(wk_drift(dev, &a), WEFT_E_SHAPE, "drift.sketch is 128 wide, needed is 256");
    a.drift = (wk_drift_operands){.anchor = ok.anchor, .sqnorm = ok.sqnorm};
    check_ok(wk_drift(dev, &a), &ctx.err);

    wk_adamw_step_args step = {.w = mat(3, 600),
                               .g = mat(3, 600),
                               .m = mat(3, 600),
                               .v = mat(3, 600),
                               .slots = slots,
                               .drift = ok};
    check_ok(wk_adamw_step(dev, &step), &ctx.err);
    step.drift.anchor.ndim = 0;
    refused(wk_adamw_step(dev, &step), WEFT_E_ARG, "drift is given without drift.anchor");
    step.drift = ok, step.drift.sign = vec(600);
    refused(wk_adamw_step(dev, &step), WEFT_E_SHAPE, "drift.sign is float32, needed is uint8");
}

static void variance(void **state) {
    (void)state;
    wk_range_sqdist_args far = {.out = typed(WK_F64, 3, 4),
                                .w = mat(3, 600),
                                .center = vec(600),
                                .off = typed(WK_I32, 5, -1)};
    check_ok(wk_range_sqdist(dev, &far), &ctx.err);
    far.center = typed(WK_F64, 600, -1);
    check_ok(wk_range_sqdist(dev, &far), &ctx.err);
    far.off = typed(WK_I32, 4, -1);
    refused(wk_range_sqdist(dev, &far), WEFT_E_SHAPE,
            "off has 4 elements, needed is one more than the 4 columns of out");
    far.off = typed(WK_I32, 5, -1), far.center = typed(WK_F64, 599, -1);
    refused(wk_range_sqdist(dev, &far), WEFT_E_SHAPE, "center (599) but w is (3,600)");
    far.center = typed(WK_I32, 600, -1);
    refused(wk_range_sqdist(dev, &far), WEFT_E_SHAPE, "center is int32, needed is float32");

    wk_project_args along = {
        .out = typed(WK_F64, 3, -1), .w = mat(3, 600), .anchor = vec(600), .dir = vec(600)};
    check_ok(wk_project(dev, &along), &ctx.err);
    along.dir = vec(601);
    refused(wk_project(dev, &along), WEFT_E_SHAPE, "dir (601) but w is (3,600)");

    const wk_table_sketch_args ok = {.sketch = stack(3, 5, 20),
                                     .w = mat(3, 600),
                                     .anchor = vec(600),
                                     .entry = typed(WK_I32, 5, 590),
                                     .start = typed(WK_I32, 5, 21)};
    wk_table_sketch_args a = ok;
    check_ok(wk_table_sketch(dev, &a), &ctx.err);
    a.scale = vec(599);
    refused(wk_table_sketch(dev, &a), WEFT_E_SHAPE, "scale (599) but w is (3,600)");
    a = ok, a.start = typed(WK_I32, 5, 20);
    refused(wk_table_sketch(dev, &a), WEFT_E_SHAPE,
            "start has 20 columns, needed is one more than the 20 buckets of sketch");
    a = ok, a.entry = typed(WK_I32, 4, 590);
    refused(wk_table_sketch(dev, &a), WEFT_E_SHAPE, "entry (4,590) but sketch is (3,5,20)");
    a = ok, a.bucket = typed(WK_I32, 5, 600);
    check_ok(wk_table_sketch(dev, &a), &ctx.err);
    a.bucket = typed(WK_I32, 5, 590);
    refused(wk_table_sketch(dev, &a), WEFT_E_SHAPE, "bucket (5,590) but w is (3,600)");
}

static void federation(void **state) {
    (void)state;
    wk_weighted_sum_args sum = {
        .y = typed(WK_F64, 9, -1), .x = mat(4, 9), .weight = typed(WK_F64, 4, -1)};
    check_ok(wk_weighted_sum(dev, &sum), &ctx.err);
    sum.weight = vec(4);
    refused(wk_weighted_sum(dev, &sum), WEFT_E_SHAPE, "weight is float32, needed is float64");
    sum.weight = typed(WK_F64, 5, -1);
    refused(wk_weighted_sum(dev, &sum), WEFT_E_SHAPE, "weight (5) but x is (4,9)");
    sum.weight = typed(WK_F64, 4, -1), sum.y = typed(WK_F64, 8, -1);
    refused(wk_weighted_sum(dev, &sum), WEFT_E_SHAPE, "y (8) but x is (4,9)");

    wk_order_stat_args rank = {.y = vec(9), .x = mat(4, 9), .lo = 1, .hi = 3};
    check_ok(wk_order_stat(dev, &rank), &ctx.err);
    rank.hi = 5;
    refused(wk_order_stat(dev, &rank), WEFT_E_ARG, "order_stat: ranks [1,5) of 4 values");
    rank.hi = 1;
    refused(wk_order_stat(dev, &rank), WEFT_E_ARG, "ranks [1,1) of 4 values");
    rank.lo = -1;
    refused(wk_order_stat(dev, &rank), WEFT_E_ARG, "ranks [-1,1) of 4 values");
    rank.x = mat(WK_MAX_RANKED + 1, 9), rank.lo = 0;
    refused(wk_order_stat(dev, &rank), WEFT_E_UNSUPPORTED, "4097 rows, above the limit of 4096");

    wk_noise_args noise = {.y = vec(9), .sigma = 0.1f};
    check_ok(wk_noise(dev, &noise), &ctx.err);
    noise.sigma = -1;
    refused(wk_noise(dev, &noise), WEFT_E_ARG, "noise: sigma is -1");
    noise.sigma = 1, noise.y = typed(WK_F64, 9, -1);
    refused(wk_noise(dev, &noise), WEFT_E_SHAPE, "y is float64, needed is float32");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear),          cmocka_unit_test(overlaps), cmocka_unit_test(segments),
        cmocka_unit_test(hidden_operands), cmocka_unit_test(layers),   cmocka_unit_test(optimizers),
        cmocka_unit_test(drift),           cmocka_unit_test(variance), cmocka_unit_test(federation),
    };
    return cmocka_run_group_tests(tests, open_dry, close_dry);
}
