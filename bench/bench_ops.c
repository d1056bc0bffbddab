/* Micro-benchmark of the ops of a backend at the shapes of encoders.
 *
 *   bench_ops [--backend cpu|ref|cuda] [--threads N] [--gemm own|dnnl] [--dtype f32|bf16]
 *             [--filter TEXT] [--json FILE] [--small]
 *
 * A line: median and best time, GFLOP/s, GB/s (each operand once), the floor max(FLOPs / peak,
 * bytes / bandwidth) with both rates measured here, and the share floor / median. On the host,
 * operands that stay in cache can beat the bandwidth of memory: shares above 1 mean just that. A
 * device beside the host is timed by its own clock with cold caches. bench_ops_cuda is this program
 * with the cuda backend, its default. --small: sizes that only show that everything runs. */
#include "bench/bench_floor.h"
#include "bench/ops_bench.h"
#include "kernels/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

#define RANK     8
#define SLOTS    8 /* clients in a pack on the host */
#define SEQUENCE 64

#ifdef WEFT_BENCH_CUDA
extern const wk_backend wk_backend_cuda;
#    define BACKEND "cuda"
#else
#    define BACKEND "cpu"
#endif

typedef struct arguments {
    wk_dev_options device;
    cpu_gemm_kind gemm;
    const char *json;
    bool small;
} arguments;

/* On the host: a pack of few to many tokens of eight clients. */
static void host_model(ops_bench *b, const char *name, int64_t d, int64_t f, int32_t heads,
                       int64_t adapter, bool small) {
    static const int64_t tokens[] = {64, 256, 1024, 4096};
    printf("\n%s (width %lld, MLP %lld, %d heads)\n", name, (long long)d, (long long)f, heads);
    for (size_t i = 0; i < (small ? 1 : sizeof tokens / sizeof *tokens); i++) {
        const size_t mark = wk_arena_mark(&b->arena);
        const int64_t t = tokens[i];
        const ops_pack many = ops_pack_even(b, t, SLOTS, SEQUENCE),
                       one = ops_pack_even(b, t, 1, SEQUENCE);
        ops_bench_linear(b, t, d, d), ops_bench_linear(b, t, 3 * d, d);
        ops_bench_linear(b, t, f, d), ops_bench_linear(b, t, d, f);
        ops_bench_lora(b, &many, RANK, d), ops_bench_lora(b, &many, d, RANK);
        ops_bench_lora(b, &one, RANK, d), ops_bench_lora(b, &one, d, RANK);
        ops_bench_attention(b, &many, d, heads), ops_bench_rows(b, &many, d, f);
        wk_arena_reset(&b->arena, mark);
    }
    ops_bench_optimizers(b, SLOTS, adapter), ops_bench_optimizers(b, 1, adapter);
    ops_bench_server(b, SLOTS, adapter);
}

/* On a GPU: RoBERTa-base, one whole pack, many clients. */
static void device_model(ops_bench *b, bool small) {
    const int64_t t = small ? 256 : 16896, d = small ? 128 : 768, f = 4 * d,
                  clients = small ? 4 : 64, p = small ? 5000 : 900000;
    const int32_t heads = small ? 2 : 12, length = 128;
    const ops_pack pack[] = {ops_pack_even(b, t, clients, length),
                             ops_pack_ragged(b, t, clients, length)},
                   head = ops_pack_even(b, small ? 8 : 136, small ? 2 : 17, 1);
    ops_bench_linear(b, t, 3 * d, d), ops_bench_linear(b, t, d, d);
    ops_bench_linear(b, t, f, d), ops_bench_linear(b, t, d, f);
    for (int i = 0; i < 2; i++) {
        for (int64_t rank = 8; rank <= 16; rank += 8)
            ops_bench_lora(b, &pack[i], rank, d), ops_bench_lora(b, &pack[i], d, rank);
        ops_bench_attention(b, &pack[i], d, heads);
    }
    ops_bench_lora(b, &head, d, d);
    ops_bench_rows(b, &pack[0], d, f);
    ops_bench_optimizers(b, clients, p);
    ops_bench_server(b, clients, p);
}

OPS_CALL(linear_fwd)
OPS_CALL(copy)

/* The ceilings of a device: its own product and copy, both large. */
static void device_ceilings(ops_bench *b, bool small) {
    const size_t mark = wk_arena_mark(&b->arena);
    const int64_t n = small ? 64 : 8192, floats = small ? 1 << 16 : 1 << 27;
    const wk_dtype h = b->dev->hidden;
    wk_weight w = {.w = ops_random(b, h, n, n), .o = n, .d = n};
    const wk_linear_fwd_args product = {
        .y = ops_zeros(b, h, n, n), .x = ops_random(b, h, n, n), .w = &w};
    b->peak = 2.0 * (double)(n * n * n) / ops_measure(b, call_linear_fwd, &product).median;
    wk_arena_reset(&b->arena, mark);
    const wk_copy_args copy = {.y = ops_zeros(b, WK_F32, floats, 0),
                               .x = ops_random(b, WK_F32, floats, 0)};
    b->bandwidth = 8.0 * (double)floats / ops_measure(b, call_copy, &copy).median;
    wk_arena_reset(&b->arena, mark);
}

static void open_device(ops_bench *b, const arguments *a) {
    weft_status st = WEFT_E_CONFIG;
#ifdef WEFT_BENCH_CUDA
    if (strcmp(a->device.backend, "cuda") == 0) {
        st = wk_dev_open_backend(&b->dev, &b->ctx, &wk_backend_cuda, &a->device);
        if (st != WEFT_OK && strncmp(b->ctx.err.text, "no CUDA device", 14) == 0) {
            printf("skipped: %s\n", b->ctx.err.text);
            exit(77);
        }
    } else
#endif
        st = wk_dev_open(&b->dev, &b->ctx, &a->device);
    ops_must(b, st);
    if (strcmp(a->device.backend, "cpu") == 0) ops_must(b, cpu_gemm_select(b->dev, a->gemm));
    ops_must(b, wk_dev_open(&b->dry, &b->ctx, &(wk_dev_options){.backend = "dry"}));
}

static int run(ops_bench *b, const arguments *a) {
    open_device(b, a);
    const bool beside = b->dev->backend->stamp != NULL;
    ops_must(b, wk_arena_open(&b->arena, b->dev, "bench",
                              a->small ? (size_t)64 << 20 : (size_t)(beside ? 3072 : 512) << 20));
    if (beside) {
        b->flush = ops_zeros(b, WK_F32, a->small ? 1 << 10 : 1 << 26, 0);
        device_ceilings(b, a->small);
    } else {
        b->peak = bench_peak_flops(b->dev->threads, b->dev->hidden);
        b->bandwidth = bench_copy_bandwidth(b->dev->threads);
    }
    if (a->json && !(b->json = fopen(a->json, "w"))) {
        (void)fprintf(stderr, "bench_ops: cannot write %s\n", a->json);
        return 1;
    }
    printf("backend %s (%s), %d threads; peak %.1f GFLOP/s, copy %.1f GB/s\n", a->device.backend,
           b->dev->note, b->dev->threads, b->peak * 1e-9, b->bandwidth * 1e-9);
    printf("%-22s %-24s %9s %9s %9s %8s %9s %6s\n", "op", "shape", "median ms", "best ms",
           "GFLOP/s", "GB/s", "floor ms", "share");
    if (b->json)
        (void)fprintf(
            b->json,
            "{\"note\": \"%s\", \"threads\": %d, \"peak\": %.6g, \"bandwidth\": %.6g, \"ops\": [",
            b->dev->note, b->dev->threads, b->peak, b->bandwidth);
    /* Adapters on the host: LoRA on four projections of every layer. */
    if (beside) device_model(b, a->small);
    if (!beside) host_model(b, "MiniLM", 384, 1536, 12, 6 * 4 * 2 * RANK * 384, a->small);
    if (!beside && !a->small)
        host_model(b, "BERT-base", 768, 3072, 12, 12 * 4 * 2 * RANK * 768, false);
    if (b->json) {
        (void)fprintf(b->json, "\n]}\n");
        if (fclose(b->json) != 0) return 1;
    }
    wk_arena_close(&b->arena);
    wk_dev_close(b->dry);
    wk_dev_close(b->dev);
    return 0;
}

static arguments read_arguments(ops_bench *b, int argc, char **argv) {
    arguments a = {.device = {.backend = BACKEND}, .gemm = CPU_GEMM_OWN};
    const char *dtype = NULL;
    for (int i = 1; i < argc; i++) {
        const char *key = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(key, "--small") == 0) {
            a.small = true;
            continue;
        }
        i++;
        if (strcmp(key, "--backend") == 0) a.device.backend = value;
        if (strcmp(key, "--threads") == 0) a.device.threads = (int)strtol(value, NULL, 10);
        if (strcmp(key, "--gemm") == 0)
            a.gemm = strcmp(value, "dnnl") == 0 ? CPU_GEMM_DNNL : CPU_GEMM_OWN;
        if (strcmp(key, "--dtype") == 0) dtype = value;
        if (strcmp(key, "--filter") == 0) b->filter = value;
        if (strcmp(key, "--json") == 0) a.json = value;
    }
    if (dtype ? strcmp(dtype, "bf16") == 0 : strcmp(a.device.backend, "cuda") == 0)
        a.device.hidden = WK_BF16;
    return a;
}

int main(int argc, char **argv) {
    static ops_bench b;
    const arguments a = read_arguments(&b, argc, argv);
    wk_ctx_init(&b.ctx, NULL);
    return run(&b, &a);
}
