/* The frozen linears on the cuda device: shapes of encoders and odd ones, both dtypes, bias,
 * residual, accumulation and strided views against a double formula; the same bits twice (R1); and
 * with options.placement bits of a row that depend neither on the number of rows nor on its place
 * (R2).  gpu_gemm [quick] */
#include "kernels/arena.h"
#include "kernels/rng.h"
#include "tests/cuda/gpu.h"

#include <math.h>

typedef struct shape {
    int64_t t, d, o;
    int pad; /* elements between rows, of every operand its own */
} shape;

/* What a case computes, on the host; dtype f32 or bf16, values already rounded to it. */
typedef struct operands {
    wk_dtype dtype;
    int64_t t, d, o;
    float *x, *w, *bias, *residual, *dy, *dx; /* contiguous */
} operands;

static float *numbers(wk_dtype dtype, int64_t n, uint32_t site, float scale) {
    float *v = malloc((size_t)(n ? n : 1) * sizeof *v);
    if (!v) exit(1);
    wk_stream s = wk_stream_at(wk_rng_key(11, WK_RNG_TEST, site), 0, 0, 0);
    for (int64_t i = 0; i < n; i++) {
        const float f = scale * (float)(wk_stream_f64(&s) * 2 - 1);
        v[i] = dtype == WK_BF16 ? wk_bf16_to_f32(wk_f32_to_bf16(f)) : f;
    }
    return v;
}

static operands make(wk_dtype dtype, int64_t t, int64_t d, int64_t o) {
    return (operands){
        .dtype = dtype,
        .t = t,
        .d = d,
        .o = o,
        .x = numbers(dtype, t * d, 1, 1),
        .w = numbers(dtype, o * d, 2, 1),
        .bias = numbers(dtype, o, 3, 1),
        .residual = numbers(dtype, t * o, 4, 1),
        .dy = numbers(dtype, t * o, 5, 1),
        .dx = numbers(dtype, t * d, 6, 1),
    };
}

static void drop(operands *p) {
    free(p->x), free(p->w), free(p->bias), free(p->residual), free(p->dy), free(p->dx);
}

/* A matrix on the device, rows `pad` elements apart; cols 0: a vector. NULL values: zeros. */
static wk_tensor put(wk_arena *a, wk_dtype dtype, const float *values, int64_t rows, int64_t cols,
                     int pad) {
    wk_ctx *ctx = a->dev->ctx;
    const int64_t width = cols ? cols : 1, ld = width + (cols ? pad : 0);
    wk_tensor flat;
    OK(ctx, wk_arena_vec(a, &flat, "operand", dtype, rows * ld + 1));
    const size_t size = wk_dtype_size(dtype), bytes = (size_t)(rows * ld + 1) * size;
    unsigned char *staged = calloc(1, bytes);
    if (!staged) exit(1);
    for (int64_t i = 0; values && i < rows; i++)
        for (int64_t j = 0; j < width; j++) {
            const float f = values[i * width + j];
            const uint16_t h = wk_f32_to_bf16(f);
            memcpy(staged + (size_t)(i * ld + j) * size, dtype == WK_BF16 ? (const void *)&h : &f,
                   size);
        }
    OK(ctx, wk_upload(a->dev, flat, staged));
    free(staged);
    wk_tensor t = cols ? wk_mat(flat.data, dtype, rows, cols) : wk_vec(flat.data, dtype, rows);
    if (cols) t.ld = ld;
    return t;
}

/* The values of a matrix, contiguous; also checks that nothing was written between its rows. */
static float *get(wk_dev *dev, wk_tensor t) {
    const int64_t rows = t.dim[0], cols = t.dim[1];
    const size_t size = wk_dtype_size(t.dtype);
    const wk_tensor flat = wk_vec(t.data, t.dtype, rows * t.ld);
    unsigned char *raw = malloc((size_t)(rows * t.ld) * size + 1);
    float *v = malloc((size_t)(rows * cols) * sizeof *v + 1);
    int stray = 0;
    if (!raw || !v) exit(1);
    OK(dev->ctx, wk_download(dev, raw, flat));
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < t.ld; j++) {
            float f = 0;
            uint16_t h = 0;
            memcpy(t.dtype == WK_BF16 ? (void *)&h : &f, raw + (size_t)(i * t.ld + j) * size, size);
            if (t.dtype == WK_BF16) f = wk_bf16_to_f32(h);
            if (j < cols)
                v[i * cols + j] = f;
            else
                stray += f != 0;
        }
    CHECK(stray == 0);
    free(raw);
    return v;
}

/* A vector that begins `shift` elements into its memory. */
static wk_tensor put_shifted(wk_arena *a, wk_dtype dtype, const float *values, int64_t n,
                             int shift) {
    float *all = calloc((size_t)(n + shift) + 1, sizeof *all);
    if (!all) exit(1);
    memcpy(all + shift, values, (size_t)n * sizeof *all);
    const wk_tensor t = put(a, dtype, all, n + shift, 0, 0);
    free(all);
    return wk_rows(t, shift, n);
}

/* One of the ways to call the two ops. */
typedef enum way { PLAIN, BIAS, RESIDUAL, IN_PLACE, DX, DX_ADD, WAYS } way;

static float *run(wk_dev *dev, const operands *p, way how, int pad) {
    wk_arena a;
    const size_t elements =
        (size_t)(4 * (p->t + 1) * (p->d + p->o + 2 * pad) + p->o * (p->d + pad) + p->o + 4096);
    OK(dev->ctx, wk_arena_open(&a, dev, "gemm", elements * 4 + 65536));
    wk_weight w = {.w = put(&a, p->dtype, p->w, p->o, p->d, pad), .o = p->o, .d = p->d};
    wk_tensor out;
    if (how < DX) {
        wk_tensor residual = put(&a, p->dtype, p->residual, p->t, p->o, 2 * pad);
        out = how == IN_PLACE ? residual : put(&a, p->dtype, NULL, p->t, p->o, pad);
        wk_linear_fwd_args f = {.y = out, .x = put(&a, p->dtype, p->x, p->t, p->d, pad), .w = &w};
        if (how != PLAIN) f.bias = put_shifted(&a, p->dtype, p->bias, p->o, pad);
        if (how == RESIDUAL || how == IN_PLACE) f.residual = residual;
        OK(dev->ctx, wk_linear_fwd(dev, &f));
    } else {
        out = put(&a, p->dtype, p->dx, p->t, p->d, pad);
        OK(dev->ctx, wk_linear_dx(dev, &(wk_linear_dx_args){
                                           .dx = out,
                                           .dy = put(&a, p->dtype, p->dy, p->t, p->o, 2 * pad),
                                           .w = &w,
                                           .accumulate = how == DX_ADD}));
    }
    float *got = get(dev, out);
    wk_arena_close(&a);
    return got;
}

static double formula(const operands *p, way how, int64_t i, int64_t j) {
    double sum = 0;
    if (how < DX) {
        for (int64_t k = 0; k < p->d; k++)
            sum += (double)p->x[i * p->d + k] * (double)p->w[j * p->d + k];
        if (how != PLAIN) sum += (double)p->bias[j];
        return how >= RESIDUAL ? sum + (double)p->residual[i * p->o + j] : sum;
    }
    for (int64_t k = 0; k < p->o; k++)
        sum += (double)p->dy[i * p->o + k] * (double)p->w[k * p->d + j];
    return how == DX_ADD ? sum + (double)p->dx[i * p->d + j] : sum;
}

/* Rows to compare: all of few, some of many. */
static int64_t row_step(int64_t t) {
    return t > 64 ? t / 37 : 1;
}

/* A bfloat16 result is rounded once, relative to itself; sums of products of numbers below 1 in
 * float32 lose about 2^-24 per term, relative to the largest. */
static void compare(const operands *p, way how, const float *got) {
    const int64_t cols = how < DX ? p->o : p->d, inner = how < DX ? p->d : p->o;
    double scale = 0, worst = 0;
    for (int64_t i = 0; i < p->t; i += row_step(p->t))
        for (int64_t j = 0; j < cols; j++) {
            const double want = formula(p, how, i, j),
                         diff = fabs((double)got[i * cols + j] - want);
            const double rounding = p->dtype == WK_BF16 ? fabs(want) / 256 : 0;
            scale = fmax(scale, fabs(want));
            worst = fmax(worst, diff - rounding);
        }
    const double tolerance = 2e-6 * sqrt((double)inner) * fmax(scale, 1);
    if (worst <= tolerance) return;
    gpu_failures++;
    printf("FAIL %s %lldx%lldx%lld way %d: off by %.3g, %.3g is allowed\n", wk_dtype_name(p->dtype),
           (long long)p->t, (long long)p->d, (long long)p->o, (int)how, worst, tolerance);
}

static void check_shape(wk_dev *dev, wk_dtype dtype, shape s) {
    operands p = make(dtype, s.t, s.d, s.o);
    for (way how = PLAIN; how < WAYS; how++) {
        float *first = run(dev, &p, how, s.pad), *again = run(dev, &p, how, s.pad);
        const size_t bytes = (size_t)(s.t * (how < DX ? s.o : s.d)) * sizeof *first;
        compare(&p, how, first);
        CHECK(memcmp(first, again, bytes) == 0);
        free(first), free(again);
    }
    drop(&p);
}

/* The same rows among many, few, alone and elsewhere: the same bits. */
static void check_placement(wk_dev *dev, wk_dtype dtype, int64_t d, int64_t o, int64_t most) {
    const struct {
        int64_t first, count;
    } part[] = {{0, 1}, {5, 1}, {0, 7}, {3, 64}, {17, 100}, {1, most - 1}};
    operands p = make(dtype, most, d, o);
    for (way how = PLAIN; how < WAYS; how++) {
        const int64_t cols = how < DX ? o : d;
        float *whole = run(dev, &p, how, 0);
        for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
            operands q = p;
            if (part[i].first + part[i].count > most) continue;
            q.t = part[i].count;
            q.x += part[i].first * d, q.dx += part[i].first * d;
            q.residual += part[i].first * o, q.dy += part[i].first * o;
            float *alone = run(dev, &q, how, 0);
            const bool same = memcmp(alone, whole + part[i].first * cols,
                                     (size_t)(q.t * cols) * sizeof *alone) == 0;
            if (!same)
                printf("rows %lld+%lld of %lld, %lldx%lld, %s, way %d:\n", (long long)part[i].first,
                       (long long)q.t, (long long)most, (long long)d, (long long)o,
                       wk_dtype_name(dtype), (int)how);
            CHECK(same);
            free(alone);
        }
        free(whole);
    }
    drop(&p);
}

int main(int argc, char **argv) {
    static const shape small[] = {{1, 1, 1, 0},    {3, 7, 5, 3},    {1, 64, 33, 0},
                                  {17, 40, 37, 1}, {64, 48, 80, 8}, {130, 72, 56, 0},
                                  {5, 31, 64, 5}},
                       real[] = {{100, 384, 1536, 0}, {1000, 768, 2304, 0}, {333, 3072, 768, 8}};
    const bool quick = argc > 1 && strcmp(argv[1], "quick") == 0;
    const wk_dtype dtypes[] = {WK_F32, WK_BF16};
    wk_ctx ctx;
    wk_ctx_init(&ctx, NULL);
    for (int placement = 0; placement < 2; placement++)
        for (int i = 0; i < 2; i++) {
            wk_dev *dev =
                gpu_open(&ctx, (wk_dev_options){.hidden = dtypes[i], .placement = placement != 0});
            if (!placement && i == 0) printf("%s\n", dev->note);
            for (size_t s = 0; s < sizeof small / sizeof *small; s++)
                check_shape(dev, dtypes[i], small[s]);
            for (size_t s = 0; s < sizeof real / sizeof *real && !quick; s++)
                check_shape(dev, dtypes[i], real[s]);
            if (placement) {
                check_placement(dev, dtypes[i], 40, 37, 130);
                if (!quick) check_placement(dev, dtypes[i], 768, 2304, 4224);
                if (!quick) check_placement(dev, dtypes[i], 384, 1536, 1000);
                if (!quick) check_placement(dev, dtypes[i], 3072, 768, 1000);
            }
            wk_dev_close(dev);
        }
    return gpu_end("gpu_gemm");
}
