/* Lines of bench_ops: local optimizers over all slots, checks of the variance between them, and the
 * server. */
#include "bench/ops_bench.h"
#include "kernels/rng.h"

#include <stdlib.h>

OPS_CALL(fill)
OPS_CALL(copy)
OPS_CALL(grad_norm)
OPS_CALL(drift)
OPS_CALL(adamw_step)
OPS_CALL(sgd_step)
OPS_CALL(range_sqdist)
OPS_CALL(project)
OPS_CALL(table_sketch)
OPS_CALL(update_add)
OPS_CALL(sum_read)
OPS_CALL(weighted_sum)
OPS_CALL(order_stat)
OPS_CALL(noise)
OPS_CALL(server_step)

static wk_slot_state all_stepping(ops_bench *b, int64_t slots) {
    const wk_slot_state s = {.step = ops_zeros(b, WK_I32, slots, 0),
                             .lr = ops_random(b, WK_F32, slots, 0),
                             .sqnorm = ops_zeros(b, WK_F64, slots, 0),
                             .dead = ops_zeros(b, WK_I32, slots, 0)};
    ops_must(b, wk_fill(b->dev, &(wk_fill_args){.y = s.step, .value = 1}));
    ops_must(b, wk_fill(b->dev, &(wk_fill_args){.y = s.lr, .value = 1e-3}));
    return s;
}

/* Sketched by blocks, in `rows` rows of WK_SKETCH_WIDTH buckets. */
static wk_drift_operands sketch_operands(ops_bench *b, int64_t slots, int64_t p, int64_t rows,
                                         wk_tensor anchor) {
    wk_drift_operands d = {
        .anchor = anchor,
        .sqnorm = ops_zeros(b, WK_F64, slots, 0),
        .sketch = ops_zeros(b, WK_F32, slots, rows * WK_SKETCH_WIDTH),
        .sign = ops_zeros(b, WK_U8, p, 0),
        .rot = ops_zeros(b, WK_U8, (p + WK_SKETCH_WIDTH - 1) / WK_SKETCH_WIDTH, rows)};
    d.sketch.ndim = 3, d.sketch.dim[1] = rows, d.sketch.dim[2] = WK_SKETCH_WIDTH;
    return d;
}

void ops_bench_optimizers(ops_bench *b, int64_t slots, int64_t p) {
    const size_t mark = wk_arena_mark(&b->arena);
    wk_tensor w = ops_random(b, WK_F32, slots, p), g = ops_random(b, WK_F32, slots, p),
              m = ops_zeros(b, WK_F32, slots, p), v = ops_zeros(b, WK_F32, slots, p);
    const wk_slot_state s = all_stepping(b, slots);
    const wk_drift_operands drift = {
        .anchor = ops_random(b, WK_F32, p, 0),
        .sqnorm = ops_zeros(b, WK_F64, slots, 0),
        .sketch = {0},
    };
    const wk_drift_operands sketch = sketch_operands(b, slots, p, 5, drift.anchor);
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
    ops_line(b, "sgd_step momentum", shape, 1, call_sgd_step,
             &(wk_sgd_step_args){.w = w, .g = g, .m = m, .slots = s, .momentum = 0.9f, .clip = 1});
    ops_line(b, "fill", shape, 1, call_fill, &(wk_fill_args){.y = g});
    ops_line(b, "copy", shape, 1, call_copy, &(wk_copy_args){.y = g, .x = w});
    wk_arena_reset(&b->arena, mark);
}

/* A row of the tables: every number in a random bucket with a random sign, by bucket and ascending
 * within one. start (width + 1), entry and bucket (p). */
static void hash_row(int row, int64_t p, int width, int32_t *start, int32_t *entry,
                     int32_t *bucket) {
    wk_stream s = wk_stream_at(wk_rng_key(1, WK_RNG_SKETCH, (uint32_t)row), 0, 0, 0);
    for (int64_t b = 0; b <= width; b++) start[b] = 0;
    for (int64_t i = 0; i < p; i++) {
        bucket[i] = (int32_t)wk_stream_below(&s, 2 * (uint32_t)width);
        start[1 + bucket[i] / 2]++;
    }
    for (int64_t b = 0; b < width; b++) start[b + 1] += start[b];
    for (int64_t i = p - 1; i >= 0; i--) /* start[b + 1], the end of b, becomes its start */
        entry[--start[1 + bucket[i] / 2]] = (int32_t)(2 * i) + bucket[i] % 2;
    for (int64_t b = 0; b < width; b++) start[b] = start[b + 1];
    start[width] = (int32_t)p;
}

/* With a scale where groups of the adapter have weights. */
static void bench_tables(ops_bench *b, int64_t slots, int64_t p, int rows, int width, wk_tensor w,
                         wk_tensor anchor, bool weighted, const char *name) {
    const size_t mark = wk_arena_mark(&b->arena);
    wk_table_sketch_args a = {.w = w, .anchor = anchor};
    if (weighted) a.scale = ops_random(b, WK_F32, p, 0);
    int32_t *entry = calloc((size_t)p, sizeof *entry), *bucket = calloc((size_t)p, sizeof *bucket),
            *start = calloc((size_t)width + 1, sizeof *start);
    a.sketch = ops_zeros(b, WK_F32, slots, (int64_t)rows * width);
    a.sketch.ndim = 3, a.sketch.dim[1] = rows, a.sketch.dim[2] = width;
    a.entry = ops_zeros(b, WK_I32, rows, p), a.start = ops_zeros(b, WK_I32, rows, width + 1);
    a.bucket = ops_zeros(b, WK_I32, rows, p);
    for (int j = 0; entry && bucket && start && j < rows; j++) {
        hash_row(j, p, width, start, entry, bucket);
        ops_must(b, wk_upload(b->dev, wk_rows(a.entry, j, 1), entry));
        ops_must(b, wk_upload(b->dev, wk_rows(a.start, j, 1), start));
        ops_must(b, wk_upload(b->dev, wk_rows(a.bucket, j, 1), bucket));
    }
    ops_line(b, name, OPS_SHAPE(slots, p, rows), 1, call_table_sketch, &a);
    free(entry), free(bucket), free(start);
    wk_arena_reset(&b->arena, mark);
}

static void bench_blocks(ops_bench *b, int64_t slots, int64_t p, int rows, wk_tensor w,
                         wk_tensor anchor, const char *name) {
    const size_t mark = wk_arena_mark(&b->arena);
    const wk_drift_args a = {.w = w,
                             .slots = all_stepping(b, slots),
                             .drift = sketch_operands(b, slots, p, rows, anchor)};
    ops_line(b, name, OPS_SHAPE(slots, p, rows), 1, call_drift, &a);
    wk_arena_reset(&b->arena, mark);
}

/* What checks of the variance are made of (engine/fda_round.c). Every estimator: range_sqdist from
 * the anchor, or with fda.sketch=xor drift in its place. Linear: project. Sketch by hashing:
 * table_sketch. Exact, and for the log: the mean (a line of the server) and range_sqdist from it.
 * Rows and widths as in FDA and FDA-Opt. */
static void bench_variance(ops_bench *b, int64_t slots, int64_t p, wk_tensor w, wk_tensor anchor,
                           wk_tensor mean) {
    enum { RANGES = 26 };
    int32_t off[RANGES + 1];
    for (int i = 0; i <= RANGES; i++) off[i] = (int32_t)(p * i / RANGES);
    wk_range_sqdist_args far = {.out = ops_zeros(b, WK_F64, slots, RANGES),
                                .w = w,
                                .center = anchor,
                                .off = ops_ints(b, off, RANGES + 1)};
    ops_line(b, "range_sqdist", OPS_SHAPE(slots, p, RANGES), 1, call_range_sqdist, &far);
    far.center = mean;
    ops_line(b, "range_sqdist mean", OPS_SHAPE(slots, p, RANGES), 1, call_range_sqdist, &far);
    ops_line(
        b, "project", OPS_SHAPE(slots, p, 0), 1, call_project,
        &(wk_project_args){ops_zeros(b, WK_F64, slots, 0), w, anchor, ops_random(b, WK_F32, p, 0)});
    bench_tables(b, slots, p, 5, 250, w, anchor, false, "table_sketch 5x250");
    bench_tables(b, slots, p, 3, 500, w, anchor, false, "table_sketch 3x500");
    bench_tables(b, slots, p, 3, 500, w, anchor, true, "table_sketch 3x500 w");
    bench_blocks(b, slots, p, 5, w, anchor, "drift 5x256");
    bench_blocks(b, slots, p, 3, w, anchor, "drift 3x256");
}

void ops_bench_server(ops_bench *b, int64_t slots, int64_t p) {
    const size_t mark = wk_arena_mark(&b->arena);
    wk_tensor w = ops_random(b, WK_F32, slots, p), anchor = ops_random(b, WK_F32, p, 0),
              acc = ops_zeros(b, WK_F64, p, 0), x = ops_random(b, WK_F32, p, 0),
              m = ops_zeros(b, WK_F64, p, 0), v = ops_zeros(b, WK_F64, p, 0),
              weight = ops_zeros(b, WK_F64, slots, 0);
    wk_tensor words = ops_zeros(b, WK_I64, 2, p);
    ops_line(b, "update_add", OPS_SHAPE(slots, p, 0), 1, call_update_add,
             &(wk_update_add_args){words, w, anchor, ops_ones(b, slots)});
    ops_line(b, "sum_read", OPS_SHAPE(p, 0, 0), 1, call_sum_read,
             &(wk_sum_read_args){.y = acc, .acc = words});
    ops_line(b, "weighted_sum", OPS_SHAPE(slots, p, 0), 1, call_weighted_sum,
             &(wk_weighted_sum_args){.y = acc, .x = w, .weight = weight});
    bench_variance(b, slots, p, w, anchor, acc);
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
