/* What the card can do and what issuing work costs: device copy, frozen products of real models as
 * cuBLASLt's first proposal, its best one and the choice of run.deterministic=placement compute
 * them, float32 products, kernel launches one by one and in a graph, letters to the host.
 *
 *   gpu_ceilings [--json FILE] [--quick]     --probe: the card's name only; 77 without one
 *
 * A time is the median over SAMPLES samples of a batch of calls between two events; operands are
 * random numbers and move through a pool far larger than the L2. README.md explains the table. */
#include "bench/cuda/gemm_trial.h"
#include "kernels/arena.h"
#include "kernels/cuda/cuda.h"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SAMPLES      21
#define SAMPLE_S     2e-4 /* a batch has as many calls as fill this */
#define MOST_IN_ONE  20
#define POOL_STEP    ((size_t)16 << 20) /* between the operands of one call and the next, at least */
#define LAUNCHES     500
#define LETTER_TRIPS 200

typedef struct bench {
    wk_ctx ctx;
    wk_dev *dev, *placed, *plain; /* hidden bfloat16; with placement; float32 */
    cublasLtHandle_t lt;
    cudaEvent_t begin, end;
    unsigned char *pool, *result, *workspace; /* device memory */
    size_t pool_bytes, result_bytes;
    size_t at, result_at; /* how far calls have moved through them */
    FILE *json;
    int lines;
    bool quick;
    double best_flops;
} bench;

static void fail(const char *what, const char *text) {
    (void)fprintf(stderr, "gpu_ceilings: %s: %s\n", what, text);
    exit(1);
}
static void must(bench *b, weft_status st) {
    if (st != WEFT_OK) fail("device", b->ctx.err.text);
}
static void cuda(cudaError_t e, const char *what) {
    if (e != cudaSuccess) fail(what, cudaGetErrorString(e));
}

static double now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *v, int n) {
    qsort(v, (size_t)n, sizeof *v, by_value);
    return v[n / 2];
}

/* ---- timing ---- */

/* One call of what is timed, its operands at b->at; false: it cannot be done. */
typedef bool call_fn(bench *b, void *what);

static double batch(bench *b, wk_dev *dev, call_fn *call, void *what, int calls) {
    const cudaStream_t stream = cuda_lane_of(dev)->stream;
    float ms = 0;
    cuda(cudaEventRecord(b->begin, stream), "event");
    for (int i = 0; i < calls; i++)
        if (!call(b, what)) return -1;
    cuda(cudaEventRecord(b->end, stream), "event");
    cuda(cudaEventSynchronize(b->end), "synchronize");
    cuda(cudaEventElapsedTime(&ms, b->begin, b->end), "elapsed time");
    return 1e-3 * (double)ms / calls;
}

/* Seconds of a call, or -1. */
static double time_of(bench *b, wk_dev *dev, call_fn *call, void *what, int samples) {
    double v[SAMPLES];
    double once = batch(b, dev, call, what, 1);
    if (once < 0) return -1;
    once = batch(b, dev, call, what, 1);
    int calls = once > 0 ? (int)(SAMPLE_S / once) + 1 : MOST_IN_ONE;
    if (calls > MOST_IN_ONE) calls = MOST_IN_ONE;
    for (int i = 0; i < samples; i++) v[i] = batch(b, dev, call, what, calls);
    return median(v, samples);
}

/* `bytes` of the pool, 256-byte aligned, from `*offset` on, which moves behind them. */
static unsigned char *from_pool(bench *b, size_t *offset, size_t bytes) {
    unsigned char *p = b->pool + *offset;
    *offset += (bytes + 255) / 256 * 256;
    return p;
}
/* Where a call may use `bytes` of `size`; the next call's place is another one. */
static size_t move_on(size_t *at, size_t size, size_t bytes) {
    if (bytes > size) fail("pool", "an operand does not fit");
    if (*at + bytes > size) *at = 0;
    const size_t here = *at;
    *at += ((bytes > POOL_STEP ? bytes : POOL_STEP) + 255) / 256 * 256;
    return here;
}
static size_t move_operands(bench *b, size_t bytes) {
    return move_on(&b->at, b->pool_bytes, bytes);
}
static unsigned char *move_result(bench *b, size_t bytes) {
    return b->result + move_on(&b->result_at, b->result_bytes, bytes);
}

/* ---- copy ---- */

typedef struct copy_case {
    size_t bytes;
    bool by_runtime;
} copy_case;

static bool call_copy(bench *b, void *what) {
    const copy_case *c = what;
    size_t at = move_operands(b, c->bytes);
    unsigned char *from = from_pool(b, &at, c->bytes), *to = move_result(b, c->bytes);
    if (c->by_runtime)
        return cudaMemcpyAsync(to, from, c->bytes, cudaMemcpyDeviceToDevice,
                               cuda_lane_of(b->dev)->stream) == cudaSuccess;
    const int64_t n = (int64_t)(c->bytes / 4);
    must(b, wk_copy(b->dev,
                    &(wk_copy_args){.y = wk_vec(to, WK_F32, n), .x = wk_vec(from, WK_F32, n)}));
    return true;
}

static void copies(bench *b) {
    copy_case own = {.bytes = b->result_bytes / 2}, runtime = {own.bytes, true};
    const double bytes = 2.0 * (double)own.bytes, a = time_of(b, b->dev, call_copy, &own, SAMPLES),
                 r = time_of(b, b->dev, call_copy, &runtime, SAMPLES);
    printf("ceiling: copy, bytes read and written      %8.1f GB/s by wk_copy, %8.1f GB/s by "
           "cudaMemcpyAsync\n",
           1e-9 * bytes / a, 1e-9 * bytes / r);
    if (b->json)
        (void)fprintf(b->json, " \"copy_bytes_per_s\": %.6g, \"runtime_copy_bytes_per_s\": %.6g,\n",
                      bytes / a, bytes / r);
}

/* ---- products ---- */

typedef struct product {
    trial trial;
    int candidate;
    wk_dev *dev; /* given: through its op, in its dtype */
} product;

static bool call_product(bench *b, void *what) {
    product *p = what;
    const trial_shape *s = &p->trial.shape;
    const wk_dtype type = p->dev ? p->dev->hidden : WK_BF16;
    const size_t size = wk_dtype_size(type);
    const size_t w_bytes = (size_t)(s->width * s->inner) * size,
                 in_bytes = (size_t)(s->rows * s->inner) * size,
                 out_bytes = (size_t)(s->rows * s->width) * size;
    const size_t c_bytes = s->add && s->forward ? out_bytes : 0;
    size_t at = move_operands(b, w_bytes + in_bytes + c_bytes + (size_t)s->width * size + 4 * 256);
    unsigned char *w = from_pool(b, &at, w_bytes), *in = from_pool(b, &at, in_bytes),
                  *bias = from_pool(b, &at, (size_t)s->width * size),
                  *out = move_result(b, out_bytes),
                  *c = c_bytes ? from_pool(b, &at, c_bytes) : out; /* dX += works in place */
    if (!p->dev)
        return !trial_run(&p->trial, b->lt, p->candidate, w, in, bias, c, out, b->workspace,
                          cuda_lane_of(b->dev)->stream);
    const wk_tensor none = {0}, x = wk_mat(in, type, s->rows, s->inner),
                    y = wk_mat(out, type, s->rows, s->width);
    wk_weight weight = {.o = s->forward ? s->width : s->inner,
                        .d = s->forward ? s->inner : s->width};
    weight.w = wk_mat(w, type, weight.o, weight.d);
    weft_status st;
    if (s->forward)
        st = wk_linear_fwd(
            p->dev,
            &(wk_linear_fwd_args){.y = y,
                                  .x = x,
                                  .w = &weight,
                                  .bias = s->bias ? wk_vec(bias, type, s->width) : none,
                                  .residual = s->add ? wk_mat(c, type, s->rows, s->width) : none});
    else
        st = wk_linear_dx(
            p->dev, &(wk_linear_dx_args){.dx = y, .dy = x, .w = &weight, .accumulate = s->add});
    if (st == WEFT_E_UNSUPPORTED) return false;
    must(b, st);
    return true;
}

static double rate(double flops, double seconds) {
    return seconds > 0 ? 1e-12 * flops / seconds : 0;
}

/* A line of the table: TFLOP/s of the op as it is, of the best proposal, and with placement. */
static void measure_product(bench *b, const char *model, const char *name, trial_shape s) {
    product p = {0};
    const double flops = 2.0 * (double)s.rows * (double)s.width * (double)s.inner;
    const cublasStatus_t st = trial_open(&p.trial, b->lt, &s);
    double best = -1, took[TRIAL_CANDIDATES];
    int which = -1;
    for (int i = 0; !st && i < p.trial.count; i++) {
        p.candidate = i;
        took[i] = time_of(b, b->dev, call_product, &p, 5);
        if (took[i] > 0 && (which < 0 || took[i] < took[which])) which = i;
    }
    if (which >= 0) p.candidate = which, best = time_of(b, b->dev, call_product, &p, SAMPLES);
    p.dev = b->dev;
    const double first = time_of(b, b->dev, call_product, &p, SAMPLES);
    p.dev = b->placed;
    const double placed = time_of(b, b->placed, call_product, &p, SAMPLES);
    const char *way = s.forward ? s.add    ? "fwd bias +c"
                                  : s.bias ? "fwd bias"
                                           : "fwd"
                      : s.add   ? "dX +="
                                : "dX";
    printf("%-12s %-6s %-11s %6lld x %5lld x %5lld %8.1f %8.1f (%d of %d) %8.1f %6.2f %6.2f\n",
           model, name, way, (long long)s.rows, (long long)s.width, (long long)s.inner,
           rate(flops, first), rate(flops, best), which + 1, p.trial.count, rate(flops, placed),
           best > 0 ? first / best : 0, placed > 0 ? placed / first : 0);
    (void)fflush(stdout);
    if (rate(flops, first) > b->best_flops) b->best_flops = rate(flops, first);
    if (b->json)
        (void)fprintf(b->json,
                      "%s\n  {\"model\": \"%s\", \"name\": \"%s\", \"way\": \"%s\", \"m\": %lld, "
                      "\"n\": %lld, \"k\": %lld, \"us\": %.3f, \"best_us\": %.3f, \"best\": %d, "
                      "\"candidates\": %d, \"placement_us\": %.3f}",
                      b->lines++ ? "," : "", model, name, way, (long long)s.rows,
                      (long long)s.width, (long long)s.inner, 1e6 * first, 1e6 * best, which,
                      p.trial.count, placed > 0 ? 1e6 * placed : 0.0);
    trial_close(&p.trial);
}

typedef struct layer {
    const char *model, *name;
    int64_t o, d;
    bool bias;
} layer;

static const layer ENCODER[] = {{"roberta-base", "qkv", 2304, 768, true},
                                {"roberta-base", "o", 768, 768, true},
                                {"roberta-base", "up", 3072, 768, true},
                                {"roberta-base", "down", 768, 3072, true}},
                   DECODER[] = {{"llama-1b", "qkv", 3072, 2048, false},
                                {"llama-1b", "o", 2048, 2048, false},
                                {"llama-1b", "gateup", 16384, 2048, false},
                                {"llama-1b", "down", 2048, 8192, false},
                                {"llama-8b", "qkv", 6144, 4096, false},
                                {"llama-8b", "o", 4096, 4096, false},
                                {"llama-8b", "gateup", 28672, 4096, false},
                                {"llama-8b", "down", 4096, 14336, false}};

static trial_shape forward(const layer *l, int64_t m, bool bias, bool add) {
    return (trial_shape){
        .rows = m, .width = l->o, .inner = l->d, .forward = true, .bias = bias, .add = add};
}
static trial_shape backward(const layer *l, int64_t m, bool add) {
    return (trial_shape){.rows = m, .width = l->d, .inner = l->o, .add = add};
}

static void encoder(bench *b, int64_t m) {
    for (size_t i = 0; i < sizeof ENCODER / sizeof *ENCODER; i++) {
        const layer *l = &ENCODER[i];
        measure_product(b, l->model, l->name, forward(l, m, false, false));
        measure_product(b, l->model, l->name, forward(l, m, true, false));
        measure_product(b, l->model, l->name, forward(l, m, true, true));
        measure_product(b, l->model, l->name, backward(l, m, false));
        measure_product(b, l->model, l->name, backward(l, m, true));
    }
}

static void decoder(bench *b, int64_t m) {
    for (size_t i = 0; i < sizeof DECODER / sizeof *DECODER; i++) {
        const layer *l = &DECODER[i];
        measure_product(b, l->model, l->name, forward(l, m, false, false));
        measure_product(b, l->model, l->name, forward(l, m, false, true));
        measure_product(b, l->model, l->name, backward(l, m, false));
    }
}

static void products(bench *b) {
    static const int64_t rows[] = {512, 1024, 4224, 5632, 16896, 33792};
    const layer square = {"square", "8192", 8192, 8192, false},
                small = {"tiny", "256", 256, 256, true};
    printf("%-12s %-6s %-11s %-22s %8s %19s %8s %6s %6s\n", "model", "layer", "product",
           "rows x width x inner", "TFLOP/s", "best proposal", "placed", "gain", "price");
    if (b->json) (void)fprintf(b->json, " \"gemm\": [");
    measure_product(b, "tiny", "256", forward(&small, 512, true, true));
    if (!b->quick) {
        b->best_flops = 0;
        measure_product(b, "square", "8192", forward(&square, 8192, false, false));
        printf("ceiling: bfloat16 product 8192^3            %8.1f TFLOP/s\n", b->best_flops);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) encoder(b, rows[i]);
        decoder(b, 4224), decoder(b, 16896);
    }
    if (b->json) (void)fprintf(b->json, "\n ],\n");
}

/* float32, which may not use TF32: what run.dtype=f32 costs. */
static void plain_products(bench *b) {
    const layer tiny = {"tiny", "256", 256, 256, true};
    if (b->json) (void)fprintf(b->json, " \"gemm_f32\": [");
    for (size_t i = 0; i < (b->quick ? 1 : sizeof ENCODER / sizeof *ENCODER); i++) {
        const layer *l = b->quick ? &tiny : &ENCODER[i];
        product p = {.dev = b->plain};
        p.trial.shape = forward(l, b->quick ? 512 : 4224, true, false);
        const trial_shape *s = &p.trial.shape;
        const double flops = 2.0 * (double)s->rows * (double)s->width * (double)s->inner,
                     t = time_of(b, b->plain, call_product, &p, SAMPLES);
        printf("ceiling: float32 product %-6s %6lld rows    %8.2f TFLOP/s (no TF32)\n", l->name,
               (long long)s->rows, rate(flops, t));
        if (b->json)
            (void)fprintf(
                b->json,
                "%s\n  {\"name\": \"%s\", \"m\": %lld, \"n\": %lld, \"k\": %lld, \"us\": %.3f}",
                i ? "," : "", l->name, (long long)s->rows, (long long)s->width, (long long)s->inner,
                1e6 * t);
    }
    if (b->json) (void)fprintf(b->json, "\n ],\n");
}

/* ---- issuing work ---- */

static weft_status small_fills(void *ud) {
    bench *b = ud;
    for (int i = 0; i < LAUNCHES; i++)
        WEFT_TRY(wk_fill(b->dev, &(wk_fill_args){.y = wk_vec(b->result, WK_F32, 64), .value = i}));
    return WEFT_OK;
}
static bool call_launches(bench *b, void *host) {
    const double start = now();
    must(b, small_fills(b));
    *(double *)host = now() - start;
    return true;
}
static bool call_graph(bench *b, void *host) {
    const double start = now();
    must(b, wk_replay(b->dev, "fills", 5, small_fills, b));
    *(double *)host = now() - start;
    return true;
}

static void issuing(bench *b) {
    double v[LETTER_TRIPS], one_host = 0, graph_host = 0, got[4];
    uint64_t ticket = 0;
    for (int i = 0; i < 3; i++) (void)call_graph(b, &graph_host); /* run, record, replay */
    const double one = time_of(b, b->dev, call_launches, &one_host, SAMPLES) / LAUNCHES,
                 graph = time_of(b, b->dev, call_graph, &graph_host, SAMPLES) / LAUNCHES;
    must(b, b->dev->backend->sync(b->dev));
    for (int i = 0; i < LETTER_TRIPS; i++) {
        const double start = now();
        must(b, wk_post(b->dev, wk_vec(b->result, WK_F64, 4), &ticket));
        must(b, wk_collect(b->dev, ticket, got, sizeof got));
        v[i] = now() - start;
    }
    const double trip = median(v, LETTER_TRIPS);
    printf(
        "ceiling: %d tiny kernels, each              %8.2f us one by one (host %.2f us), %.2f us "
        "in a graph (host %.1f us for all)\n",
        LAUNCHES, 1e6 * one, 1e6 * one_host / LAUNCHES, 1e6 * graph, 1e6 * graph_host);
    printf("ceiling: a letter to the host and back      %8.2f us\n", 1e6 * trip);
    if (b->json)
        (void)fprintf(b->json,
                      " \"launch\": {\"one_us\": %.4f, \"one_host_us\": %.4f, \"graph_node_us\": "
                      "%.4f, \"graph_host_us\": %.3f, \"letter_us\": %.3f}\n}\n",
                      1e6 * one, 1e6 * one_host / LAUNCHES, 1e6 * graph, 1e6 * graph_host,
                      1e6 * trip);
}

/* ---- the program ---- */

static wk_dev *open_device(bench *b, wk_dtype hidden, bool placement) {
    wk_dev *dev = NULL;
    const wk_dev_options o = {.threads = 1, .hidden = hidden, .placement = placement};
    if (wk_dev_open_backend(&dev, &b->ctx, &wk_backend_cuda, &o) == WEFT_OK) return dev;
    const bool none = strncmp(b->ctx.err.text, "no CUDA device", 14) == 0;
    printf("%s%s\n", none ? "skipped: " : "", b->ctx.err.text);
    exit(none ? 77 : 1);
}

/* Random numbers that are fine in either dtype: the sign and the fraction random, values from 1/2
 * to 2. */
static void fill_pool(bench *b) {
    const size_t block = (size_t)8 << 20;
    uint32_t *host = malloc(block), state = 1;
    if (!host) fail("memory", "none");
    for (size_t i = 0; i < block / 4; i++) {
        state = state * 1664525u + 1013904223u;
        const uint32_t r = state ^ state >> 15;
        host[i] = (r & 0x80ff80ffu) | 0x3f003f00u;
    }
    for (size_t at = 0; at < b->pool_bytes; at += block) {
        const size_t n = b->pool_bytes - at < block ? b->pool_bytes - at : block;
        must(b, wk_upload(b->dev, wk_vec(b->pool + at, WK_U8, (int64_t)n), host));
    }
    must(b, b->dev->backend->sync(b->dev));
    free(host);
}

static void set_up(bench *b) {
    b->placed = open_device(b, WK_BF16, true);
    b->plain = open_device(b, WK_F32, false);
    if (cublasLtCreate(&b->lt)) fail("cublasLtCreate", "failed");
    cuda(cudaEventCreate(&b->begin), "event");
    cuda(cudaEventCreate(&b->end), "event");
    b->pool_bytes = b->quick ? (size_t)24 << 20 : (size_t)3 << 30;
    b->result_bytes = b->quick ? (size_t)4 << 20 : (size_t)1 << 30;
    cuda(cudaMalloc((void **)&b->pool, b->pool_bytes), "memory for operands");
    cuda(cudaMalloc((void **)&b->result, b->result_bytes), "memory for results");
    cuda(cudaMalloc((void **)&b->workspace, TRIAL_WORKSPACE), "workspace");
    fill_pool(b);
}

static void take_down(bench *b) {
    (void)cudaFree(b->pool), (void)cudaFree(b->result), (void)cudaFree(b->workspace);
    (void)cudaEventDestroy(b->begin), (void)cudaEventDestroy(b->end);
    (void)cublasLtDestroy(b->lt);
    wk_dev_close(b->dev), wk_dev_close(b->placed), wk_dev_close(b->plain);
}

int main(int argc, char **argv) {
    static bench b;
    const char *json = NULL;
    bool probe = false;
    struct cudaDeviceProp card;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0 && i + 1 < argc) json = argv[++i];
        if (strcmp(argv[i], "--quick") == 0) b.quick = true;
        if (strcmp(argv[i], "--probe") == 0) probe = true;
    }
    wk_ctx_init(&b.ctx, NULL);
    b.dev = open_device(&b, WK_BF16, false);
    cuda(cudaGetDeviceProperties(&card, 0), "properties");
    if (probe) {
        printf("%s\n", card.name);
        wk_dev_close(b.dev);
        return 0;
    }
    set_up(&b);
    if (json && !(b.json = fopen(json, "w"))) fail(json, "cannot be written");
    printf("%s: %d multiprocessors, %.0f MB of L2, %.1f GiB; %s\n", card.name,
           card.multiProcessorCount, 1e-6 * (double)card.l2CacheSize,
           (double)card.totalGlobalMem / (double)((size_t)1 << 30), b.dev->note);
    if (b.json)
        (void)fprintf(b.json,
                      "{\"note\": \"%s\", \"multiprocessors\": %d, \"l2_bytes\": %d, "
                      "\"memory_bytes\": %zu,\n",
                      b.dev->note, card.multiProcessorCount, card.l2CacheSize, card.totalGlobalMem);
    copies(&b);
    products(&b);
    plain_products(&b);
    issuing(&b);
    const bool whole = !b.json || fclose(b.json) == 0;
    take_down(&b);
    if (!whole) fail(json, "could not be written whole");
    return 0;
}
