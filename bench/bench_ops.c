/* Micro-benchmark of the hot ops of a backend at MiniLM and BERT-base shapes.
 *
 *   bench_ops [--backend cpu|ref] [--threads N] [--gemm own|dnnl] [--filter TEXT]
 *             [--json FILE]
 *
 * A line: median and best time, GFLOP/s, GB/s (each operand once), the floor max(FLOPs / peak,
 * bytes / bandwidth) with both rates measured here, and the share floor / median. Operands that
 * stay in cache can beat the bandwidth of memory: shares above 1 mean just that. */
#include "bench/bench_floor.h"
#include "kernels/arena.h"
#include "kernels/cpu/cpu.h"
#include "kernels/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS    8 /* clients in the pack */
#define RANK     8
#define SEQUENCE 64

typedef struct bench {
    wk_ctx ctx;
    wk_dev *dev;
    wk_arena arena;
    double peak, bandwidth;
    const char *filter;
    FILE *json;
    int lines;
    uint32_t site;
} bench;

static void must(bench *b, weft_status st) {
    if (st == WEFT_OK) return;
    (void)fprintf(stderr, "bench_ops: %s\n", b->ctx.err.text);
    exit(1);
}

static wk_tensor tensor(bench *b, wk_dtype type, int64_t rows, int64_t cols) {
    wk_tensor t;
    if (cols)
        must(b, wk_arena_mat(&b->arena, &t, "operand", type, rows, cols));
    else
        must(b, wk_arena_vec(&b->arena, &t, "operand", type, rows));
    memset(t.data, 0, (size_t)wk_numel(t) * wk_dtype_size(type));
    return t;
}

static wk_tensor random_tensor(bench *b, int64_t rows, int64_t cols) {
    wk_tensor t = tensor(b, WK_F32, rows, cols);
    uint64_t state = b->site++;
    for (int64_t i = 0; i < wk_numel(t); i++) {
        state = wk_mix64(state);
        ((float *)t.data)[i] = wk_u32_to_unit((uint32_t)state) - 0.5f;
    }
    return t;
}

static wk_tensor ascending(bench *b, int64_t n, int64_t step) {
    wk_tensor t = tensor(b, WK_I32, n, 0);
    for (int64_t i = 0; i < n; i++) ((int32_t *)t.data)[i] = (int32_t)(i * step);
    return t;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef weft_status call_fn(wk_dev *dev, const void *args);

/* Runs for 0.2 s or 400 calls, after two calls to warm up, and prints the line. */
static void measure(bench *b, const char *op, const char *shape, double flops, double bytes,
                    call_fn *call, const void *args) {
    char name[96];
    (void)snprintf(name, sizeof name, "%s %s", op, shape);
    if (b->filter && !strstr(name, b->filter)) return;
    double time[400], total = 0;
    int n = 0;
    for (int i = 0; i < 2; i++) must(b, call(b->dev, args));
    for (; n < 400 && (total < 0.2 || n < 5); n++) {
        const double start = bench_now();
        must(b, call(b->dev, args));
        time[n] = bench_now() - start;
        total += time[n];
    }
    qsort(time, (size_t)n, sizeof *time, by_value);
    const double median = time[n / 2], by_flops = flops / b->peak, by_bytes = bytes / b->bandwidth;
    const double floor = by_flops > by_bytes ? by_flops : by_bytes;
    printf("%-16s %-22s %9.3f %9.3f %8.1f %7.1f %9.3f %6.2f\n", op, shape, median * 1e3,
           time[0] * 1e3, flops / median * 1e-9, bytes / median * 1e-9, floor * 1e3,
           floor / median);
    (void)fflush(stdout);
    if (!b->json) return;
    (void)fprintf(b->json,
                  "%s\n  {\"op\": \"%s\", \"shape\": \"%s\", \"median_s\": %.9g, \"best_s\": %.9g, "
                  "\"flops\": %.9g, \"bytes\": %.9g, \"floor_s\": %.9g}",
                  b->lines++ ? "," : "", op, shape, median, time[0], flops, bytes, floor);
}

#define CALL(op)                                                                                   \
    static weft_status call_##op(wk_dev *dev, const void *args) {                                  \
        return wk_##op(dev, args);                                                                 \
    }
CALL(linear_fwd)
CALL(linear_dx)
CALL(seg_linear_fwd)
CALL(seg_linear_dx)
CALL(seg_linear_dw)
CALL(dropout)
CALL(layernorm_fwd)
CALL(layernorm_bwd)
CALL(act_fwd)
CALL(act_bwd)
CALL(attn_fwd)
CALL(attn_bwd)
CALL(grad_norm)
CALL(adamw_step)
CALL(update_add)

static const char *text(char *to, size_t size, int64_t m, int64_t n, int64_t k) {
    (void)snprintf(to, size, k ? "%lldx%lldx%lld" : "%lldx%lld", (long long)m, (long long)n,
                   (long long)k);
    return to;
}
#define SHAPE(m, n, k) text((char[64]){0}, 64, (m), (n), (k))

static void linear(bench *b, int64_t m, int64_t o, int64_t d) {
    const size_t mark = wk_arena_mark(&b->arena);
    wk_weight w = {.w = random_tensor(b, o, d), .o = o, .d = d};
    const size_t fwd = wk_weight_pack_bytes(b->dev, o, d, false),
                 dx = wk_weight_pack_bytes(b->dev, o, d, true);
    if (fwd) w.fwd = tensor(b, WK_U8, (int64_t)fwd, 0);
    if (dx) w.dx = tensor(b, WK_U8, (int64_t)dx, 0);
    must(b, wk_weight_pack(b->dev, &(wk_weight_pack_args){.weight = &w}));
    wk_tensor x = random_tensor(b, m, d), y = random_tensor(b, m, o), bias = random_tensor(b, o, 0);
    const double flops = 2.0 * (double)(m * o * d), bytes = 4.0 * (double)(m * o + m * d + o * d);
    measure(b, "linear_fwd", SHAPE(m, o, d), flops, bytes, call_linear_fwd,
            &(wk_linear_fwd_args){.y = y, .x = x, .bias = bias, .w = &w});
    measure(b, "linear_dx", SHAPE(m, o, d), flops, bytes, call_linear_dx,
            &(wk_linear_dx_args){.dx = x, .dy = y, .w = &w});
    wk_arena_reset(&b->arena, mark);
}

static void lora(bench *b, int64_t t, int64_t o, int64_t d, int64_t clients) {
    const size_t mark = wk_arena_mark(&b->arena);
    wk_segs segs = {.off = ascending(b, clients + 1, t / clients),
                    .slot = ascending(b, clients, 1)};
    wk_tensor x = random_tensor(b, t, d), y = random_tensor(b, t, o),
              m = random_tensor(b, clients, o * d);
    m.ndim = 3, m.dim[1] = o, m.dim[2] = d;
    char shape[64];
    (void)snprintf(shape, sizeof shape, "%lldx%lldx%lld/%lld", (long long)t, (long long)o,
                   (long long)d, (long long)clients);
    const double flops = 2.0 * (double)(t * o * d),
                 bytes = 4.0 * (double)(t * o + t * d + clients * o * d);
    measure(b, "seg_linear_fwd", shape, flops, bytes, call_seg_linear_fwd,
            &(wk_seg_linear_fwd_args){.y = y, .x = x, .m = m, .segs = segs, .alpha = 1.0f});
    measure(b, "seg_linear_dw", shape, flops, bytes, call_seg_linear_dw,
            &(wk_seg_linear_dw_args){.dm = m, .dy = y, .x = x, .segs = segs, .alpha = 1e-6f});
    measure(b, "seg_linear_dx", shape, flops, bytes, call_seg_linear_dx,
            &(wk_seg_linear_dx_args){.dx = x, .dy = y, .m = m, .segs = segs, .alpha = 1.0f});
    wk_arena_reset(&b->arena, mark);
}

/* FLOPs of the elementwise ops are rough counts; memory is their floor. */
static void rows(bench *b, int64_t t, int64_t d, int64_t f) {
    const size_t mark = wk_arena_mark(&b->arena);
    wk_tensor x = random_tensor(b, t, d), y = random_tensor(b, t, d), z = random_tensor(b, t, d);
    wk_tensor dy = random_tensor(b, t, d), w = random_tensor(b, d, 0);
    wk_tensor mean = random_tensor(b, t, 0), rstd = random_tensor(b, t, 0);
    wk_tensor u = random_tensor(b, t, f), v = random_tensor(b, t, f),
              rng = tensor(b, WK_I32, SLOTS, 3);
    wk_segs segs = {.off = ascending(b, SLOTS + 1, t / SLOTS), .slot = ascending(b, SLOTS, 1)};
    const double td = (double)(t * d), tf = (double)(t * f);
    measure(b, "layernorm_fwd", SHAPE(t, d, 0), 9 * td, 16 * td, call_layernorm_fwd,
            &(wk_layernorm_fwd_args){.y = y,
                                     .z = z,
                                     .mean = mean,
                                     .rstd = rstd,
                                     .x = x,
                                     .residual = dy,
                                     .weight = w,
                                     .bias = w,
                                     .eps = 1e-12f});
    measure(b, "layernorm_bwd", SHAPE(t, d, 0), 12 * td, 12 * td, call_layernorm_bwd,
            &(wk_layernorm_bwd_args){
                .dz = x, .dy = dy, .z = z, .mean = mean, .rstd = rstd, .weight = w});
    measure(b, "act_fwd gelu", SHAPE(t, f, 0), 40 * tf, 8 * tf, call_act_fwd,
            &(wk_act_fwd_args){.y = v, .x = u, .act = WK_ACT_GELU});
    measure(b, "act_bwd gelu", SHAPE(t, f, 0), 60 * tf, 12 * tf, call_act_bwd,
            &(wk_act_bwd_args){.dx = v, .dy = v, .x = u, .act = WK_ACT_GELU});
    measure(b, "dropout", SHAPE(t, d, 0), 0, 8 * td, call_dropout,
            &(wk_dropout_args){.y = y, .x = dy, .rng = rng, .segs = segs, .key = 1, .p = 0.1f});
    wk_arena_reset(&b->arena, mark);
}

static void attention(bench *b, int64_t t, int64_t d, int32_t heads) {
    const size_t mark = wk_arena_mark(&b->arena);
    wk_tensor qkv = random_tensor(b, t, 3 * d), grad = random_tensor(b, t, 3 * d);
    wk_tensor o = random_tensor(b, t, d), d_o = random_tensor(b, t, d),
              lse = tensor(b, WK_F32, t, heads);
    wk_tensor off = ascending(b, t / SEQUENCE + 1, SEQUENCE);
    const wk_tensor q = wk_cols(qkv, 0, d), k = wk_cols(qkv, d, d), v = wk_cols(qkv, 2 * d, d);
    const double product = 2.0 * (double)(t * SEQUENCE * d), td = 4.0 * (double)(t * d);
    measure(b, "attn_fwd", SHAPE(t, SEQUENCE, d), 2 * product, 4 * td, call_attn_fwd,
            &(wk_attn_fwd_args){.o = o,
                                .lse = lse,
                                .q = q,
                                .k = k,
                                .v = v,
                                .seq_off = off,
                                .heads = heads,
                                .kv_heads = heads,
                                .max_len = SEQUENCE,
                                .scale = 0.1f});
    measure(b, "attn_bwd", SHAPE(t, SEQUENCE, d), 5 * product, 8 * td, call_attn_bwd,
            &(wk_attn_bwd_args){.dq = wk_cols(grad, 0, d),
                                .dk = wk_cols(grad, d, d),
                                .dv = wk_cols(grad, 2 * d, d),
                                .d_o = d_o,
                                .q = q,
                                .k = k,
                                .v = v,
                                .o = o,
                                .lse = lse,
                                .seq_off = off,
                                .heads = heads,
                                .kv_heads = heads,
                                .max_len = SEQUENCE,
                                .scale = 0.1f});
    wk_arena_reset(&b->arena, mark);
}

static void optimizer(bench *b, int64_t slots, int64_t p) {
    const size_t mark = wk_arena_mark(&b->arena);
    wk_tensor w = random_tensor(b, slots, p), g = random_tensor(b, slots, p),
              m = tensor(b, WK_F32, slots, p);
    wk_tensor v = tensor(b, WK_F32, slots, p), acc = tensor(b, WK_F64, p, 0),
              anchor = random_tensor(b, p, 0);
    wk_slot_state s = {.step = tensor(b, WK_I32, slots, 0),
                       .lr = random_tensor(b, slots, 0),
                       .sqnorm = tensor(b, WK_F64, slots, 0),
                       .dead = tensor(b, WK_I32, slots, 0)};
    for (int64_t k = 0; k < slots; k++) ((int32_t *)s.step.data)[k] = 1;
    const double all = (double)(slots * p);
    measure(b, "grad_norm", SHAPE(slots, p, 0), 2 * all, 4 * all, call_grad_norm,
            &(wk_grad_norm_args){.g = g, .w = w, .slots = s});
    measure(b, "adamw_step", SHAPE(slots, p, 0), 14 * all, 28 * all, call_adamw_step,
            &(wk_adamw_step_args){.w = w,
                                  .g = g,
                                  .m = m,
                                  .v = v,
                                  .slots = s,
                                  .beta1 = 0.9f,
                                  .beta2 = 0.999f,
                                  .eps = 1e-8f,
                                  .clip = 1.0f});
    measure(b, "update_add", SHAPE(1, p, 0), 3.0 * (double)p, 24.0 * (double)p, call_update_add,
            &(wk_update_add_args){
                .acc = acc, .w = wk_vec(w.data, WK_F32, p), .anchor = anchor, .weight = 0.1});
    wk_arena_reset(&b->arena, mark);
}

static void model(bench *b, const char *name, int64_t d, int64_t f, int32_t heads,
                  int64_t adapter) {
    static const int64_t tokens[] = {64, 256, 1024, 4096};
    printf("\n%s (width %lld, MLP %lld, %d heads)\n", name, (long long)d, (long long)f, heads);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        const int64_t t = tokens[i];
        linear(b, t, d, d), linear(b, t, 3 * d, d), linear(b, t, f, d), linear(b, t, d, f);
        lora(b, t, RANK, d, SLOTS), lora(b, t, d, RANK, SLOTS), lora(b, t, RANK, d, 1),
            lora(b, t, d, RANK, 1);
        attention(b, t, d, heads), rows(b, t, d, f);
    }
    optimizer(b, SLOTS, adapter), optimizer(b, 1, adapter);
}

static int run(bench *b, const wk_dev_options *options, cpu_gemm_kind gemm, const char *json) {
    must(b, wk_dev_open(&b->dev, &b->ctx, options));
    if (strcmp(options->backend, "cpu") == 0) must(b, cpu_gemm_select(b->dev, gemm));
    must(b, wk_arena_open(&b->arena, b->dev, "bench", (size_t)512 << 20));
    b->peak = bench_peak_flops(b->dev->threads),
    b->bandwidth = bench_copy_bandwidth(b->dev->threads);
    if (json && !(b->json = fopen(json, "w"))) {
        (void)fprintf(stderr, "bench_ops: cannot write %s\n", json);
        return 1;
    }
    printf("backend %s (%s), %d threads; peak %.1f GFLOP/s, copy %.1f GB/s\n", options->backend,
           b->dev->note, b->dev->threads, b->peak * 1e-9, b->bandwidth * 1e-9);
    printf("%-16s %-22s %9s %9s %8s %7s %9s %6s\n", "op", "shape", "median ms", "best ms",
           "GFLOP/s", "GB/s", "floor ms", "share");
    if (b->json)
        (void)fprintf(
            b->json,
            "{\"note\": \"%s\", \"threads\": %d, \"peak\": %.6g, \"bandwidth\": %.6g, \"ops\": [",
            b->dev->note, b->dev->threads, b->peak, b->bandwidth);
    /* Adapters: LoRA on four projections of every layer. */
    model(b, "MiniLM", 384, 1536, 12, 6 * 4 * 2 * RANK * 384);
    model(b, "BERT-base", 768, 3072, 12, 12 * 4 * 2 * RANK * 768);
    if (b->json) {
        (void)fprintf(b->json, "\n]}\n");
        if (fclose(b->json) != 0) return 1;
    }
    wk_arena_close(&b->arena);
    wk_dev_close(b->dev);
    return 0;
}

int main(int argc, char **argv) {
    bench b = {0};
    wk_dev_options options = {.backend = "cpu"};
    cpu_gemm_kind gemm = CPU_GEMM_OWN;
    const char *json = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *key = argv[i], *value = argv[i + 1];
        if (strcmp(key, "--backend") == 0) options.backend = value;
        if (strcmp(key, "--threads") == 0) options.threads = (int)strtol(value, NULL, 10);
        if (strcmp(key, "--gemm") == 0 && strcmp(value, "own") == 0) gemm = CPU_GEMM_OWN;
        if (strcmp(key, "--gemm") == 0 && strcmp(value, "dnnl") == 0) gemm = CPU_GEMM_DNNL;
        if (strcmp(key, "--filter") == 0) b.filter = value;
        if (strcmp(key, "--json") == 0) json = value;
    }
    wk_ctx_init(&b.ctx, NULL);
    return run(&b, &options, gemm, json);
}
