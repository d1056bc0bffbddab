/* Attention kernels on the emulator, each pack against ref on the same values, sequence by
 * sequence; and each of its sequences once more alone, in another layout and order of threads, to
 * the same bits. Covers what the op cases are too small for: every head width of the tensor-core
 * kernels, lengths around their tiles, and the choice between kernels.
 *
 * test_attn [--order forward|reversed|random]; prints the largest error of each pack. */
#include "kernels/cuda/cuda.h"
#include "tests/simt/dev_simt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANY       1100 /* sequences for which the search for a slot's takes three steps */
#define BF16_BOUND 1.5e-2
#define F32_BOUND  2e-5
#define OUTSIDE    2 /* rows before the first and behind the last sequence */
#define SENTINEL   123.0f

/* Shared memory of a block, KiB: as on sm_86, as on sm_90, and without the short kernels. */
typedef enum { SMALL = 99, LARGE = 227, LEAST = 48 } gpu;

typedef struct pack {
    const char *name;
    wk_dtype dtype;
    int32_t width, heads, kv_heads;
    gpu gpu;
    bool causal;
    float scale; /* times 1/sqrt(width) */
    int32_t max_len, lens[MANY], seqs;
    bool cold;        /* all scores far below 0, so that exp(0 - lse) is infinite */
    bool scratchless; /* also with delta in dq instead of the scratch */
    int32_t pad;      /* columns behind dv and o: 8 keeps rows aligned */
} pack;

enum { Q, K, V, O, D_O, DQ, DK, DV, TENSORS };
static const char *const tensor_name[TENSORS] = {"q", "k", "v", "o", "d_o", "dq", "dk", "dv"};

/* The operands of both ops: q, k and v are columns of one buffer, dq, dk and dv of another. */
typedef struct operands {
    wk_tensor t[TENSORS], lse, seq_off;
    void *memory[6];
    int64_t rows;
    int32_t max_len;
} operands;

static wk_ctx ctx;
static wk_dev *ref, *simt;
static int order, failures;

static void fail(const pack *p, const char *what, const char *tensor, int64_t row, int64_t col,
                 double got, double want) {
    printf("FAIL %s: %s of %s, row %lld, column %lld: %.8g, expected %.8g\n", p->name, what, tensor,
           (long long)row, (long long)col, got, want);
    failures++;
}

static void need(bool ok, const char *what) {
    if (ok) return;
    (void)fprintf(stderr, "%s: %s\n", what, ctx.err.text);
    exit(1);
}

/* ---- operands ---- */

static int32_t columns(const pack *p, int tensor) {
    return p->width *
           (tensor == K || tensor == V || tensor == DK || tensor == DV ? p->kv_heads : p->heads);
}

static float get(wk_tensor t, int64_t i, int64_t j) {
    const void *row = wk_row_ptr(t, i);
    return t.dtype == WK_BF16 ? wk_bf16_to_f32(((const uint16_t *)row)[j])
                              : ((const float *)row)[j];
}

static void put(wk_tensor t, int64_t i, int64_t j, float x) {
    void *row = wk_row_ptr(t, i);
    if (t.dtype == WK_BF16)
        ((uint16_t *)row)[j] = wk_f32_to_bf16(x);
    else
        ((float *)row)[j] = x;
}

static void *sentinels(wk_tensor *t, wk_dtype dtype, int64_t rows, int64_t cols) {
    void *data = aligned_alloc(256, (size_t)(rows * cols + 256) * 4 / 256 * 256);
    need(data != NULL, "memory");
    *t = wk_mat(data, dtype, rows, cols);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) put(*t, i, j, SENTINEL);
    return data;
}

static operands operands_open(const pack *p, wk_dtype dtype, int32_t pad, const int32_t *lens,
                              int32_t seqs, int32_t max_len, int32_t before) {
    operands x = {.max_len = max_len, .rows = before + OUTSIDE};
    for (int32_t s = 0; s < seqs; s++) x.rows += lens[s];
    const int32_t q = columns(p, Q), kv = columns(p, K);
    wk_tensor all, grad, o, d_o;
    x.memory[0] = sentinels(&all, dtype, x.rows, q + 2 * kv + pad);
    x.memory[1] = sentinels(&grad, dtype, x.rows, q + 2 * kv + pad);
    x.memory[2] = sentinels(&o, dtype, x.rows, q + pad);
    x.memory[3] = sentinels(&d_o, dtype, x.rows, q + pad);
    x.memory[4] = sentinels(&x.lse, WK_F32, x.rows, p->heads);
    x.t[Q] = wk_cols(all, 0, q), x.t[K] = wk_cols(all, q, kv), x.t[V] = wk_cols(all, q + kv, kv);
    x.t[DQ] = wk_cols(grad, 0, q);
    x.t[DK] = wk_cols(grad, q, kv), x.t[DV] = wk_cols(grad, q + kv, kv);
    x.t[O] = wk_cols(o, 0, q), x.t[D_O] = wk_cols(d_o, 0, q);
    int32_t *off = malloc((size_t)(seqs + 1) * sizeof *off);
    need(off != NULL, "memory");
    x.memory[5] = off;
    off[0] = before;
    for (int32_t s = 0; s < seqs; s++) off[s + 1] = off[s] + lens[s];
    x.seq_off = wk_vec(off, WK_I32, seqs + 1);
    return x;
}

static void operands_close(operands *x) {
    for (int i = 0; i < 6; i++) free(x->memory[i]);
}

static void copy_rows(wk_tensor to, int64_t to_row, wk_tensor from, int64_t row, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < from.dim[1]; j++) put(to, to_row + i, j, get(from, row + i, j));
}

/* Roughly normal, representable in bfloat16. */
static void randomize(wk_tensor t, uint32_t seed) {
    uint64_t state = seed * 0x9E3779B97F4A7C15ull + 1;
    for (int64_t i = 0; i < t.dim[0]; i++)
        for (int64_t j = 0; j < t.dim[1]; j++) {
            float x = 0;
            for (int n = 0; n < 4; n++) {
                state = state * 6364136223846793005ull + 1442695040888963407ull;
                x += (float)(state >> 40) / 16777216.0f - 0.5f;
            }
            put(t, i, j, wk_bf16_to_f32(wk_f32_to_bf16(x * 1.7f)));
        }
}

static void shift(wk_tensor t, float by) {
    for (int64_t i = 0; i < t.dim[0]; i++)
        for (int64_t j = 0; j < t.dim[1]; j++) put(t, i, j, 0.25f * get(t, i, j) + by);
}

/* ---- running ---- */

static float scale_of(const pack *p) {
    return p->scale / sqrtf((float)p->width);
}

static void forward(wk_dev *dev, const pack *p, const operands *x) {
    need(wk_attn_fwd(dev, &(wk_attn_fwd_args){.o = x->t[O],
                                              .lse = x->lse,
                                              .q = x->t[Q],
                                              .k = x->t[K],
                                              .v = x->t[V],
                                              .seq_off = x->seq_off,
                                              .heads = p->heads,
                                              .kv_heads = p->kv_heads,
                                              .max_len = x->max_len,
                                              .scale = scale_of(p),
                                              .causal = p->causal}) == WEFT_OK,
         "attn_fwd");
}

static void backward(wk_dev *dev, const pack *p, const operands *x) {
    need(wk_attn_bwd(dev, &(wk_attn_bwd_args){.dq = x->t[DQ],
                                              .dk = x->t[DK],
                                              .dv = x->t[DV],
                                              .d_o = x->t[D_O],
                                              .q = x->t[Q],
                                              .k = x->t[K],
                                              .v = x->t[V],
                                              .o = x->t[O],
                                              .lse = x->lse,
                                              .seq_off = x->seq_off,
                                              .heads = p->heads,
                                              .kv_heads = p->kv_heads,
                                              .max_len = x->max_len,
                                              .scale = scale_of(p),
                                              .causal = p->causal}) == WEFT_OK,
         "attn_bwd");
}

/* ---- checks ---- */

static double largest(wk_tensor t, int64_t row, int64_t count) {
    double most = 0;
    for (int64_t i = row; i < row + count; i++)
        for (int64_t j = 0; j < t.dim[1]; j++) most = fmax(most, fabs((double)get(t, i, j)));
    return most;
}

/* Every sequence within the bound, relative to its largest element or a tenth of the pack's; rows
 * outside are zero, or for lse untouched. Returns the largest relative error. */
static double check_tensor(const pack *p, const operands *x, const char *name, wk_tensor got,
                           wk_tensor want, double bound) {
    const int32_t *off = x->seq_off.data;
    const int64_t seqs = x->seq_off.dim[0] - 1;
    double pack_most = largest(want, off[0], off[seqs] - off[0]), worst = 0;
    for (int64_t i = 0; i < x->rows; i++) {
        if (i >= off[0] && i < off[seqs]) continue;
        const float outside = name[0] == 'l' ? SENTINEL : 0;
        for (int64_t j = 0; j < got.dim[1]; j++)
            if (get(got, i, j) != outside)
                fail(p, "row outside", name, i, j, (double)get(got, i, j), (double)outside);
    }
    for (int64_t s = 0; s < seqs; s++) {
        const double unit =
            fmax(largest(want, off[s], off[s + 1] - off[s]), 0.1 * pack_most) + 1e-30;
        for (int64_t i = off[s]; i < off[s + 1]; i++)
            for (int64_t j = 0; j < got.dim[1]; j++) {
                const double g = (double)get(got, i, j), w = (double)get(want, i, j);
                const double error = fabs(g - w) / unit;
                if (error > worst) worst = error;
                if (error <= bound) continue; /* false for NaN too */
                fail(p, "value", name, i - off[s], j, g, w);
                return error;
            }
    }
    return worst;
}

/* The columns behind o and dv are no part of the views. */
static void check_padding(const pack *p, const operands *x) {
    for (int64_t i = 0; i < x->rows; i++)
        for (int64_t j = 0; j < p->pad; j++) {
            if (get(x->t[O], i, columns(p, Q) + j) != SENTINEL)
                fail(p, "padding", "o", i, j, (double)get(x->t[O], i, columns(p, Q) + j), 0);
            if (get(x->t[DV], i, columns(p, V) + j) != SENTINEL)
                fail(p, "padding", "dv", i, j, (double)get(x->t[DV], i, columns(p, V) + j), 0);
        }
}

static void same_rows(const pack *p, const char *what, const char *name, wk_tensor a, int64_t a_row,
                      wk_tensor b, int64_t b_row, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (memcmp(wk_row_ptr(a, a_row + i), wk_row_ptr(b, b_row + i),
                   (size_t)a.dim[1] * wk_dtype_size(a.dtype)) != 0)
            for (int64_t j = 0; j < a.dim[1]; j++)
                if (get(a, a_row + i, j) != get(b, b_row + i, j)) {
                    fail(p, what, name, i, j, (double)get(b, b_row + i, j),
                         (double)get(a, a_row + i, j));
                    return;
                }
}

static void same_results(const pack *p, const char *what, const operands *a, int64_t a_row,
                         const operands *b, int64_t b_row, int64_t count) {
    static const int outputs[] = {O, DQ, DK, DV};
    for (int n = 0; n < 4; n++)
        same_rows(p, what, tensor_name[outputs[n]], a->t[outputs[n]], a_row, b->t[outputs[n]],
                  b_row, count);
    same_rows(p, what, "lse", a->lse, a_row, b->lse, b_row, count);
}

/* Each sequence (of many, some) alone: first row, exact max_len, other strides, the next order of
 * threads. */
static void check_alone(const pack *p, const operands *x) {
    const int32_t *off = x->seq_off.data;
    for (int32_t s = 0; s < p->seqs; s++) {
        if (p->lens[s] == 0 || (p->lens[s] < 3 && s % 64 > 2)) continue;
        operands one = operands_open(p, p->dtype, p->pad, &p->lens[s], 1, p->lens[s], 0);
        static const int inputs[] = {Q, K, V, D_O};
        for (int n = 0; n < 4; n++)
            copy_rows(one.t[inputs[n]], 0, x->t[inputs[n]], off[s], p->lens[s]);
        forward(simt, p, &one);
        backward(simt, p, &one);
        same_results(p, "alone: bits", x, off[s], &one, 0, p->lens[s]);
        operands_close(&one);
    }
}

static void check_scratchless(const pack *p, const operands *x) {
    const size_t scratch = cuda_lane_of(simt)->scratch_bytes;
    cuda_lane_of(simt)->scratch_bytes = 0;
    operands again = operands_open(p, p->dtype, p->pad, p->lens, p->seqs, p->max_len, OUTSIDE);
    static const int inputs[] = {Q, K, V, D_O};
    for (int n = 0; n < 4; n++) copy_rows(again.t[inputs[n]], 0, x->t[inputs[n]], 0, x->rows);
    forward(simt, p, &again);
    backward(simt, p, &again);
    same_results(p, "without scratch: bits", x, 0, &again, 0, x->rows);
    cuda_lane_of(simt)->scratch_bytes = scratch;
    operands_close(&again);
}

static void run(const pack *p) {
    /* Scores of -100 to -300 in float32, and keys that nearly cancel in dq: cold packs are about
     * infinities, not digits. */
    const double bound = (p->cold ? 16 : 1) * (p->dtype == WK_BF16 ? BF16_BOUND : F32_BOUND);
    cuda_lane_of(simt)->smem_max = (size_t)p->gpu << 10;
    simt_shared_limit((size_t)(p->gpu == LARGE ? LARGE : SMALL) << 10); /* no GPU has less */
    operands x = operands_open(p, p->dtype, p->pad, p->lens, p->seqs, p->max_len, OUTSIDE);
    operands want = operands_open(p, WK_F32, 0, p->lens, p->seqs, p->max_len, OUTSIDE);
    static const int inputs[] = {Q, K, V, D_O};
    for (int n = 0; n < 4; n++) {
        randomize(x.t[inputs[n]], (uint32_t)n + 1);
        if (p->cold && n < 2) shift(x.t[inputs[n]], n ? -3 : 3);
        copy_rows(want.t[inputs[n]], 0, x.t[inputs[n]], 0, x.rows);
    }
    simt_order(order, 1);
    forward(simt, p, &x);
    backward(simt, p, &x);
    forward(ref, p, &want);
    printf("%-34s", p->name);
    printf("  lse %.1e", check_tensor(p, &x, "lse", x.lse, want.lse, F32_BOUND));
    printf("  o %.1e", check_tensor(p, &x, "o", x.t[O], want.t[O], bound));
    /* o and lse are operands of the backward, so both get the same. */
    copy_rows(want.t[O], 0, x.t[O], 0, x.rows);
    copy_rows(want.lse, 0, x.lse, 0, x.rows);
    backward(ref, p, &want);
    for (int i = DQ; i <= DV; i++)
        printf("  %s %.1e", tensor_name[i],
               check_tensor(p, &x, tensor_name[i], x.t[i], want.t[i], bound));
    printf("\n");
    check_padding(p, &x);
    simt_order((order + 1) % 3, 2);
    check_alone(p, &x);
    if (p->scratchless) check_scratchless(p, &x);
    operands_close(&want);
    operands_close(&x);
}

/* Rows of p sum to 1: v of ones gives o of ones. A causal first query sees its own key only. */
static void run_exact(const pack *p) {
    cuda_lane_of(simt)->smem_max = (size_t)p->gpu << 10;
    simt_shared_limit((size_t)(p->gpu == LARGE ? LARGE : SMALL) << 10); /* no GPU has less */
    operands x = operands_open(p, p->dtype, p->pad, p->lens, p->seqs, p->max_len, OUTSIDE);
    const int32_t *off = x.seq_off.data;
    randomize(x.t[Q], 1), randomize(x.t[K], 2), randomize(x.t[V], 3);
    simt_order(order, 1);
    forward(simt, p, &x);
    for (int32_t s = 0; p->causal && s < p->seqs; s++)
        for (int32_t j = 0; p->lens[s] && j < columns(p, O); j++) {
            const int32_t h = j / p->width / (p->heads / p->kv_heads);
            const float v = get(x.t[V], off[s], h * p->width + j % p->width);
            if (get(x.t[O], off[s], j) != v)
                fail(p, "first query", "o", off[s], j, (double)get(x.t[O], off[s], j), (double)v);
        }
    for (int64_t i = 0; i < x.rows; i++)
        for (int64_t j = 0; j < x.t[V].dim[1]; j++) put(x.t[V], i, j, 1);
    forward(simt, p, &x);
    const double bound = p->dtype == WK_BF16 ? 1.0 / 256 : F32_BOUND;
    for (int64_t i = off[0]; i < off[p->seqs]; i++)
        for (int64_t j = 0; j < columns(p, O); j++)
            if (!(fabs((double)get(x.t[O], i, j) - 1) <= bound))
                fail(p, "sum of p", "o", i, j, (double)get(x.t[O], i, j), 1);
    operands_close(&x);
}

/* clang-format off */
#define AROUND_TILES .max_len = 4096, .seqs = 13, .lens = {1, 0, 15, 16, 17, 63, 64, 65, 127, 128, 129, 200, 0}
#define SHORT_ONES   .max_len = 128, .seqs = 7, .lens = {1, 33, 0, 32, 64, 128, 90}
#define A_FEW        .max_len = 300, .seqs = 4, .lens = {40, 131, 0, 70}

static const pack packs[] = {
    {"width 32", WK_BF16, 32, 2, 2, SMALL, false, 1, AROUND_TILES, .pad = 8, .scratchless = true},
    {"width 32, causal, grouped", WK_BF16, 32, 2, 1, SMALL, true, 1, AROUND_TILES},
    {"width 64", WK_BF16, 64, 1, 1, SMALL, false, 1, AROUND_TILES},
    {"width 64, causal", WK_BF16, 64, 1, 1, SMALL, true, 1, AROUND_TILES, .pad = 8},
    {"width 64, grouped", WK_BF16, 64, 2, 1, LARGE, false, 1, A_FEW, .scratchless = true},
    {"width 64, short", WK_BF16, 64, 5, 5, LARGE, false, 1, SHORT_ONES},
    {"width 64, short, causal", WK_BF16, 64, 2, 2, LARGE, true, 1, SHORT_ONES},
    {"width 64, steep", WK_BF16, 64, 1, 1, SMALL, false, 6, A_FEW},
    {"width 64, cold", WK_BF16, 64, 1, 1, SMALL, false, 4, A_FEW, .cold = true},
    {"width 64, cold, causal, long", WK_BF16, 64, 1, 1, LEAST, true, 4, A_FEW, .cold = true},
    {"f32, cold", WK_F32, 64, 1, 1, SMALL, false, 1.5f, A_FEW, .cold = true},
    {"width 64, negative scale", WK_BF16, 64, 1, 1, SMALL, true, -1, A_FEW},
    {"width 64, scale 0", WK_BF16, 64, 1, 1, SMALL, true, 0, A_FEW},
    {"width 80, small gpu", WK_BF16, 80, 1, 1, SMALL, false, 1, A_FEW},
    {"width 80, causal", WK_BF16, 80, 1, 1, LARGE, true, 1, AROUND_TILES},
    {"width 96, small gpu, causal", WK_BF16, 96, 1, 1, SMALL, true, 1, A_FEW},
    {"width 96", WK_BF16, 96, 1, 1, LARGE, false, 1, AROUND_TILES},
    {"width 128, small gpu", WK_BF16, 128, 1, 1, SMALL, false, 1, A_FEW},
    {"width 128, grouped, causal", WK_BF16, 128, 2, 1, SMALL, true, 1, A_FEW},
    {"width 128, causal", WK_BF16, 128, 1, 1, LARGE, true, 1, AROUND_TILES},
    {"bf16, rows unaligned", WK_BF16, 64, 2, 1, SMALL, true, 1, A_FEW, .pad = 3},
    {"bf16, width 5", WK_BF16, 5, 3, 1, SMALL, false, 1, A_FEW, .pad = 1},
    {"f32, width 64", WK_F32, 64, 1, 1, SMALL, false, 1, AROUND_TILES},
    {"f32, width 33, causal, grouped", WK_F32, 33, 2, 1, SMALL, true, 1, A_FEW, .pad = 3},
    {"f32, width 100, causal", WK_F32, 100, 1, 1, SMALL, true, 1, A_FEW},
    {"f32, width 256", WK_F32, 256, 1, 1, SMALL, false, 1, A_FEW},
    {"f32, width 1, steep", WK_F32, 1, 2, 2, SMALL, true, 6, A_FEW},
};
/* clang-format on */

/* Lengths 0 to 2, and a few that have several tiles. */
static void run_many(const char *name, wk_dtype dtype) {
    static pack p;
    p = (pack){.name = name,
               .dtype = dtype,
               .width = 32,
               .heads = 1,
               .kv_heads = 1,
               .gpu = LEAST,
               .scale = 1,
               .max_len = 4096,
               .seqs = MANY};
    for (int32_t s = 0; s < MANY; s++) p.lens[s] = s % 3;
    p.lens[0] = 70, p.lens[601] = 65, p.lens[MANY - 1] = 33;
    run(&p);
}

/* Three sequences, the longest just above a tile: where a thread takes long (TSan). */
static pack shortened(const pack *p) {
    pack q = *p;
    q.seqs = 3, q.max_len = 100;
    q.lens[0] = 17, q.lens[1] = 0, q.lens[2] = 67;
    return q;
}

/* simt_attn [--order forward|reversed|random] [--few] */
int main(int argc, char **argv) {
    static const char *const names[] = {"forward", "reversed", "random"};
    bool few = false;
    for (int i = 1; i < argc; i++) {
        few = few || strcmp(argv[i], "--few") == 0;
        if (strcmp(argv[i], "--order") == 0 && i + 1 < argc)
            while (order < 2 && strcmp(argv[i + 1], names[order]) != 0) order++;
    }
    wk_ctx_init(&ctx, NULL);
    need(wk_dev_open(&ref, &ctx, &(wk_dev_options){.backend = "ref", .threads = 1}) == WEFT_OK,
         "ref");
    need(wk_dev_open_backend(&simt, &ctx, &wk_backend_simt, &(wk_dev_options){.threads = 1}) ==
             WEFT_OK,
         "simt");
    for (size_t i = 0; i < sizeof packs / sizeof *packs; i++) {
        const pack p = few ? shortened(&packs[i]) : packs[i];
        run(&p);
        run_exact(&p);
    }
    if (!few) {
        run_many("f32, many sequences", WK_F32);
        run_many("bf16, many sequences", WK_BF16);
    }
    wk_dev_close(simt);
    wk_dev_close(ref);
    printf("%d failed\n", failures);
    return failures != 0;
}
