#include "bench/ops_bench.h"

#include "bench/bench_floor.h"
#include "kernels/profile.h"
#include "kernels/rng.h"

#include <stdlib.h>
#include <string.h>

#define MOST     400 /* samples */
#define FEWEST   21
#define ENOUGH_S 0.2 /* of samples */
#define CHUNK    ((int64_t)1 << 18)

void ops_must(ops_bench *b, weft_status st) {
    if (st == WEFT_OK) return;
    (void)fprintf(stderr, "bench_ops: %s\n", b->ctx.err.text);
    exit(1);
}

/* ---- operands ---- */

static wk_tensor take(ops_bench *b, wk_dtype type, int64_t rows, int64_t cols) {
    wk_tensor t;
    if (cols)
        ops_must(b, wk_arena_mat(&b->arena, &t, "operand", type, rows, cols));
    else
        ops_must(b, wk_arena_vec(&b->arena, &t, "operand", type, rows));
    return t;
}

wk_tensor ops_zeros(ops_bench *b, wk_dtype type, int64_t rows, int64_t cols) {
    const wk_tensor t = take(b, type, rows, cols);
    ops_must(b, wk_fill(b->dev, &(wk_fill_args){.y = t}));
    return t;
}

/* Repeats a block of CHUNK numbers. */
wk_tensor ops_random(ops_bench *b, wk_dtype type, int64_t rows, int64_t cols) {
    const wk_tensor t = take(b, type, rows, cols), flat = wk_vec(t.data, type, wk_numel(t));
    const size_t size = wk_dtype_size(type);
    unsigned char *block = malloc((size_t)CHUNK * size);
    uint64_t state = b->site++;
    if (!block) exit(1);
    for (int64_t i = 0; i < CHUNK; i++) {
        state = wk_mix64(state);
        const float f = wk_u32_to_unit((uint32_t)state) - 0.5f;
        const uint16_t h = wk_f32_to_bf16(f);
        memcpy(block + (size_t)i * size, type == WK_BF16 ? (const void *)&h : &f, size);
    }
    for (int64_t i = 0; i < flat.dim[0]; i += CHUNK) {
        const int64_t n = flat.dim[0] - i < CHUNK ? flat.dim[0] - i : CHUNK;
        ops_must(b, wk_upload(b->dev, wk_rows(flat, i, n), block));
    }
    free(block);
    return t;
}

wk_tensor ops_ones(ops_bench *b, int64_t n) {
    const wk_tensor t = take(b, WK_F64, n, 0);
    ops_must(b, wk_fill(b->dev, &(wk_fill_args){.y = t, .value = 1}));
    return t;
}

wk_tensor ops_ints(ops_bench *b, const int32_t *values, int64_t n) {
    const wk_tensor t = take(b, WK_I32, n, 0);
    ops_must(b, wk_upload(b->dev, t, values));
    return t;
}

wk_tensor ops_ascending(ops_bench *b, int64_t n, int64_t step) {
    int32_t *v = malloc((size_t)n * sizeof *v + 1);
    if (!v) exit(1);
    for (int64_t i = 0; i < n; i++) v[i] = (int32_t)(i * step);
    const wk_tensor t = ops_ints(b, v, n);
    free(v);
    return t;
}

/* ---- packs ---- */

ops_pack ops_pack_even(ops_bench *b, int64_t tokens, int64_t clients, int32_t length) {
    return (ops_pack){.name = "",
                      .tokens = tokens,
                      .segs = {.off = ops_ascending(b, clients + 1, tokens / clients),
                               .slot = ops_ascending(b, clients, 1)},
                      .seq_off = ops_ascending(b, tokens / length + 1, length),
                      .clients = clients,
                      .sequences = tokens / length,
                      .max_len = length,
                      .pairs = 1};
}

/* Offsets of pieces from `least` to `most` rows that fill `rows`, at most `pieces` of them: the
 * last one may end early. Returns how many. */
static int64_t split(int32_t *off, int64_t pieces, int64_t rows, int64_t least, int64_t most,
                     uint32_t site) {
    wk_stream s = wk_stream_at(wk_rng_key(5, WK_RNG_TEST, site), 0, 0, 0);
    int64_t n = 0;
    off[0] = 0;
    while (n < pieces && off[n] < rows) {
        int64_t end = off[n] + least + (int64_t)wk_stream_below(&s, (uint32_t)(most - least + 1));
        if (end > rows || n + 1 == pieces) end = rows;
        off[++n] = (int32_t)end;
    }
    return n;
}

ops_pack ops_pack_ragged(ops_bench *b, int64_t tokens, int64_t clients, int32_t max_len) {
    const int64_t mean = tokens / clients, most = tokens / 8 + 2;
    int32_t *off = malloc((size_t)(most > clients ? most : clients) * sizeof *off + sizeof *off);
    double pairs = 0;
    if (!off) exit(1);
    ops_pack p = {.name = " ragged", .tokens = tokens, .max_len = max_len};
    p.clients = split(off, clients, tokens, mean / 4, 2 * mean - mean / 4, 1);
    p.segs =
        (wk_segs){.off = ops_ints(b, off, p.clients + 1), .slot = ops_ascending(b, p.clients, 1)};
    p.sequences = split(off, most - 1, tokens, 8, max_len * 3 / 4, 2);
    p.seq_off = ops_ints(b, off, p.sequences + 1);
    for (int64_t i = 0; i < p.sequences; i++)
        pairs += (double)(off[i + 1] - off[i]) * (double)(off[i + 1] - off[i]);
    p.pairs = pairs / ((double)tokens * max_len);
    free(off);
    return p;
}

/* ---- timing ---- */

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double on_host(ops_bench *b, ops_call *call, const void *args) {
    const double start = bench_now();
    ops_must(b, call(b->dev, args));
    return bench_now() - start;
}

/* Between two stamps of the device, behind a fill that empties its caches and lets the host run
 * ahead. */
static double on_device(ops_bench *b, ops_call *call, const void *args) {
    static wk_profile p;
    ops_must(b, wk_profile_begin(b->dev, &p, false));
    wk_range(b->dev, "flush");
    ops_must(b, wk_fill(b->dev, &(wk_fill_args){.y = b->flush, .value = 1}));
    wk_range(b->dev, "op");
    ops_must(b, call(b->dev, args));
    ops_must(b, wk_profile_end(b->dev));
    for (int i = 0; i < p.n; i++)
        if (strcmp(p.phase[i].name, "op") == 0) return p.phase[i].seconds;
    return 0;
}

ops_time ops_measure(ops_bench *b, ops_call *call, const void *args) {
    double (*once)(ops_bench *, ops_call *, const void *) =
        wk_given(b->flush) ? on_device : on_host;
    double time[MOST];
    int n = 0;
    for (int i = 0; i < 2; i++) (void)once(b, call, args);
    const double start = bench_now();
    while (n < MOST && (n < FEWEST || bench_now() - start < ENOUGH_S))
        time[n++] = once(b, call, args);
    qsort(time, (size_t)n, sizeof *time, by_value);
    return (ops_time){time[n / 2], time[0]};
}

void ops_line(ops_bench *b, const char *op, const char *shape, double work, ops_call *call,
              const void *args) {
    char name[96];
    (void)snprintf(name, sizeof name, "%s %s", op, shape);
    if (b->filter && !strstr(name, b->filter)) return;
    const wk_counters before = b->dry->count;
    ops_must(b, call(b->dry, args));
    const double flops = work * (b->dry->count.flops - before.flops),
                 bytes = b->dry->count.bytes - before.bytes;
    const ops_time t = ops_measure(b, call, args);
    const double by_flops = flops / b->peak, by_bytes = bytes / b->bandwidth;
    const double floor = by_flops > by_bytes ? by_flops : by_bytes;
    printf("%-22s %-24s %9.4f %9.4f %9.1f %8.1f %9.4f %6.2f\n", op, shape, t.median * 1e3,
           t.best * 1e3, flops / t.median * 1e-9, bytes / t.median * 1e-9, floor * 1e3,
           floor / t.median);
    (void)fflush(stdout);
    if (!b->json) return;
    (void)fprintf(b->json,
                  "%s\n  {\"op\": \"%s\", \"shape\": \"%s\", \"median_s\": %.9g, \"best_s\": %.9g, "
                  "\"flops\": %.9g, \"bytes\": %.9g, \"floor_s\": %.9g}",
                  b->lines++ ? "," : "", op, shape, t.median, t.best, flops, bytes, floor);
}

const char *ops_shape(char *to, size_t size, int64_t a, int64_t b, int64_t c) {
    (void)snprintf(to, size,
                   c   ? "%lldx%lldx%lld"
                   : b ? "%lldx%lld"
                       : "%lld",
                   (long long)a, (long long)b, (long long)c);
    return to;
}
