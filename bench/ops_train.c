/* Lines of bench_ops: local optimizers over all slots, and the server. */
#include "bench/ops_bench.h"

OPS_CALL(fill)
OPS_CALL(copy)
OPS_CALL(grad_norm)
OPS_CALL(drift)
OPS_CALL(adamw_step)
OPS_CALL(sgd_step)
OPS_CALL(update_add)
OPS_CALL(weighted_sum)
OPS_CALL(order_stat)
OPS_CALL(noise)
OPS_CALL(server_step)

#define SKETCH_ROWS 5

static wk_slot_state all_stepping(ops_bench *b, int64_t slots) {
    const wk_slot_state s = {.step = ops_zeros(b, WK_I32, slots, 0),
                             .lr = ops_random(b, WK_F32, slots, 0),
                             .sqnorm = ops_zeros(b, WK_F64, slots, 0),
                             .dead = ops_zeros(b, WK_I32, slots, 0)};
    ops_must(b, wk_fill(b->dev, &(wk_fill_args){.y = s.step, .value = 1}));
    ops_must(b, wk_fill(b->dev, &(wk_fill_args){.y = s.lr, .value = 1e-3}));
    return s;
}

void ops_bench_optimizers(ops_bench *b, int64_t slots, int64_t p) {
    const size_t mark = wk_arena_mark(&b->arena);
    wk_tensor w = ops_random(b, WK_F32, slots, p), g = ops_random(b, WK_F32, slots, p),
              m = ops_zeros(b, WK_F32, slots, p), v = ops_zeros(b, WK_F32, slots, p);
    const wk_slot_state s = all_stepping(b, slots);
    const int64_t blocks = (p + WK_SKETCH_WIDTH - 1) / WK_SKETCH_WIDTH;
    const wk_drift_operands drift = {
        .anchor = ops_random(b, WK_F32, p, 0),
        .sqnorm = ops_zeros(b, WK_F64, slots, 0),
        .sketch = {0},
    };
    wk_drift_operands sketch = drift;
    sketch.sketch = ops_zeros(b, WK_F32, slots, (int64_t)SKETCH_ROWS * WK_SKETCH_WIDTH);
    sketch.sketch.ndim = 3, sketch.sketch.dim[1] = SKETCH_ROWS;
    sketch.sketch.dim[2] = WK_SKETCH_WIDTH;
    sketch.sign = ops_zeros(b, WK_U8, p, 0);
    sketch.rot = ops_zeros(b, WK_U8, blocks, SKETCH_ROWS);
    const char *shape = OPS_SHAPE(slots, p, 0);
    ops_line(b, "grad_norm", shape, 1, call_grad_norm,
             &(wk_grad_norm_args){.g = g, .w = w, .slots = s});
    ops_line(
        b, "grad_norm prox", shape, 1, call_grad_norm,
        &(wk_grad_norm_args){.g = g, .w = w, .anchor = drift.anchor, .slots = s, .prox_mu = 1e-3f});
    wk_adamw_step_args step = {.w = w,
                               .g = g,
                               .m = m,
                               .v = v,
                               .slots = s,
                               .beta1 = 0.9f,
                               .beta2 = 0.999f,
                               .eps = 1e-8f,
                               .clip = 1.0f};
    ops_line(b, "adamw_step", shape, 1, call_adamw_step, &step);
    step.drift = drift;
    ops_line(b, "adamw_step drift", shape, 1, call_adamw_step, &step);
    step.drift = sketch;
    ops_line(b, "adamw_step sketch", shape, 1, call_adamw_step, &step);
    ops_line(b, "drift sketch", shape, 1, call_drift,
             &(wk_drift_args){.w = w, .slots = s, .drift = sketch});
    ops_line(b, "sgd_step momentum", shape, 1, call_sgd_step,
             &(wk_sgd_step_args){.w = w, .g = g, .m = m, .slots = s, .momentum = 0.9f, .clip = 1});
    ops_line(b, "fill", shape, 1, call_fill, &(wk_fill_args){.y = g});
    ops_line(b, "copy", shape, 1, call_copy, &(wk_copy_args){.y = g, .x = w});
    wk_arena_reset(&b->arena, mark);
}

void ops_bench_server(ops_bench *b, int64_t slots, int64_t p) {
    const size_t mark = wk_arena_mark(&b->arena);
    wk_tensor w = ops_random(b, WK_F32, slots, p), anchor = ops_random(b, WK_F32, p, 0),
              acc = ops_zeros(b, WK_F64, p, 0), x = ops_random(b, WK_F32, p, 0),
              m = ops_zeros(b, WK_F64, p, 0), v = ops_zeros(b, WK_F64, p, 0),
              weight = ops_zeros(b, WK_F64, slots, 0);
    ops_line(b, "update_add", OPS_SHAPE(1, p, 0), 1, call_update_add,
             &(wk_update_add_args){
                 .acc = acc, .w = wk_vec(w.data, WK_F32, p), .anchor = anchor, .weight = 0.1});
    ops_line(b, "weighted_sum", OPS_SHAPE(slots, p, 0), 1, call_weighted_sum,
             &(wk_weighted_sum_args){.y = acc, .x = w, .weight = weight});
    ops_line(b, "order_stat median", OPS_SHAPE(slots, p, 0), 1, call_order_stat,
             &(wk_order_stat_args){.y = x, .x = w, .lo = (slots - 1) / 2, .hi = slots / 2 + 1});
    ops_line(b, "noise", OPS_SHAPE(p, 0, 0), 1, call_noise,
             &(wk_noise_args){.y = x, .key = 1, .sigma = 1e-6f});
    ops_line(b, "server_step adam", OPS_SHAPE(p, 0, 0), 1, call_server_step,
             &(wk_server_step_args){.x = x,
                                    .delta = acc,
                                    .m = m,
                                    .v = v,
                                    .kind = WK_SERVER_ADAM,
                                    .step = 1,
                                    .delta_scale = 1,
                                    .lr = 1e-3,
                                    .beta1 = 0.9,
                                    .beta2 = 0.99,
                                    .tau = 1e-3});
    wk_arena_reset(&b->arena, mark);
}
