/* The per-client linears on the emulator against ref on the same values, for what the op cases are
 * too small for: segments around every tile and chunk, widths of every kernel, every mix of dtypes,
 * aligned and not. The same segments once more in another order, at other rows and in other slots,
 * and one alone, must give the same bits; so must gradients in slices of a small scratch memory.
 * Rows outside the segments, idle slots and the space between rows hold NaN.
 *
 * test_lora [--order forward|reversed|random] [--few]; prints the largest error of each shape.
 * --few: every kernel, on a few blocks, for tools under which they take long. */
#include "kernels/cuda/cuda.h"
#include "tests/simt/simt_check.h"

#define F32_BOUND  2e-5    /* of the largest: sums of floats in another order, or hi + lo factors */
#define HALF       0.00391 /* of the value: a little over what rounding to bf16 costs, 2^-8 */
#define MOST       1100    /* segments */
#define FIRST_ROW  3       /* rows before the first segment, and behind the last */
#define EDGE_BYTES 64

enum { X, Y, DX, DY, M, BIAS, DM, DBIAS, OPERANDS };

typedef struct shape {
    const char *name;
    int32_t o, d;
    wk_dtype x, y; /* of x and dx, of y and dy */
    int pad;       /* elements between rows; odd: nothing is aligned */
    const int32_t *lens;
    int32_t segs;
    bool accumulate, bias;
} shape;

static const int32_t edges[] = {0, 1, 15, 16, 17, 63, 64, 65, 511, 512, 513, 1030};
static const int32_t few[] = {1, 130, 0, 64, 17, 530};
static const int32_t head[] = {8, 0, 33, 1, 64}, pair[] = {40, 8};
static const int32_t small[] = {17, 0, 70};
#define LENS(a) a, (int32_t)(sizeof(a) / sizeof *(a))

/* Where the segments of a shape lie: in call order. */
typedef struct layout {
    int32_t segs, which[MOST], slot[MOST];
    int64_t first;
} layout;

typedef struct problem {
    const shape *s;
    const layout *at;
    wk_tensor t[OPERANDS];
    unsigned char *memory[OPERANDS];
    size_t bytes[OPERANDS];
    int32_t off[MOST + 1];
    int64_t rows, slots;
} problem;

static wk_ctx ctx;
static wk_dev *ref, *simt;

static bool per_slot(int operand) {
    return operand >= M;
}

static float get(wk_tensor t, int64_t row, int64_t j) {
    const void *p = wk_row_ptr(t, row);
    return t.dtype == WK_BF16 ? wk_bf16_to_f32(((const uint16_t *)p)[j]) : ((const float *)p)[j];
}

static void put(wk_tensor t, int64_t row, int64_t j, float value) {
    void *p = wk_row_ptr(t, row);
    if (t.dtype == WK_BF16)
        ((uint16_t *)p)[j] = wk_f32_to_bf16(value);
    else
        ((float *)p)[j] = value;
}

/* Operand `i` of segment `which`: a pure function of those. x and y are given in bf16 numbers, so
 * that all devices compute from the same. */
static float given(int i, int which, int64_t row, int64_t j, bool half) {
    const uint64_t place = ((uint64_t)i << 56) + ((uint64_t)which << 40) + ((uint64_t)row << 24);
    const float v = (float)(wk_mix64(place + (uint64_t)j) >> 40) / 8388608.0f - 1.0f;
    return half ? wk_bf16_to_f32(wk_f32_to_bf16(v)) : v;
}

static void open_operand(problem *p, int i, wk_dtype dtype, int64_t rows, int64_t width) {
    const int64_t before = per_slot(i) ? (p->s->pad % 2 ? 5 : 16) : 0;
    const int64_t behind = per_slot(i) ? (p->s->pad % 2 ? 2 : 32 - width % 16) : p->s->pad;
    const int64_t ld = before + width + behind;
    const size_t size = wk_dtype_size(dtype);
    p->bytes[i] = (size_t)(rows * ld) * size + EDGE_BYTES;
    p->memory[i] = take(p->bytes[i]);
    memset(p->memory[i], 0xff, p->bytes[i]); /* NaN in both dtypes */
    p->t[i] = wk_mat(p->memory[i] + (size_t)before * size, dtype, rows, width);
    p->t[i].ld = ld;
}

static void fill(problem *p, int i, bool half) {
    const int64_t width = wk_row_numel(p->t[i]);
    FOR (n, p->at->segs) {
        const int32_t which = p->at->which[n];
        const int64_t first = per_slot(i) ? p->at->slot[n] : p->off[n];
        const int64_t rows = per_slot(i) ? 1 : p->off[n + 1] - p->off[n];
        FOR (row, rows)
            FOR (j, width) put(p->t[i], first + row, j, given(i, which, row, j, half));
    }
}

static void open_problem(problem *p, const shape *s, const layout *at, bool floats) {
    memset(p, 0, sizeof *p);
    p->s = s, p->at = at;
    p->off[0] = (int32_t)at->first;
    FOR (n, at->segs) {
        p->off[n + 1] = p->off[n] + s->lens[at->which[n]];
        if (at->slot[n] >= p->slots) p->slots = at->slot[n] + 1;
    }
    p->rows = p->off[at->segs] + FIRST_ROW;
    const wk_dtype x = floats ? WK_F32 : s->x, y = floats ? WK_F32 : s->y;
    const struct {
        wk_dtype dtype;
        int64_t width;
    } of[OPERANDS] = {{x, s->d},
                      {y, s->o},
                      {x, s->d},
                      {y, s->o},
                      {WK_F32, s->o * s->d},
                      {WK_F32, s->o},
                      {WK_F32, s->o * s->d},
                      {WK_F32, s->o}};
    FOR (i, OPERANDS) {
        const bool half = !per_slot((int)i) && (i == X || i == DX ? s->x : s->y) == WK_BF16;
        open_operand(p, (int)i, of[i].dtype, per_slot((int)i) ? p->slots : p->rows, of[i].width);
        fill(p, (int)i, half);
    }
    p->t[M].ndim = p->t[DM].ndim = 3;
    p->t[M].dim[1] = p->t[DM].dim[1] = s->o, p->t[M].dim[2] = p->t[DM].dim[2] = s->d;
}

static void close_problem(problem *p) {
    FOR (i, (int64_t)OPERANDS) free(p->memory[i]);
}

static void run_dw(wk_dev *dev, problem *p, wk_segs segs) {
    DO(wk_seg_linear_dw(dev, &(wk_seg_linear_dw_args){.dm = p->t[DM],
                                                      .dbias = p->t[DBIAS],
                                                      .dy = p->t[DY],
                                                      .x = p->t[X],
                                                      .segs = segs,
                                                      .alpha = 0.5f}));
}

static wk_segs segs_of(problem *p) {
    return (wk_segs){.off = wk_vec(p->off, WK_I32, p->at->segs + 1),
                     .slot = wk_vec((void *)(uintptr_t)p->at->slot, WK_I32, p->at->segs)};
}

static void run(wk_dev *dev, problem *p) {
    const wk_segs segs = segs_of(p);
    wk_seg_linear_fwd_args fwd = {.y = p->t[Y],
                                  .x = p->t[X],
                                  .m = p->t[M],
                                  .segs = segs,
                                  .alpha = 2.0f,
                                  .accumulate = p->s->accumulate};
    if (p->s->bias) fwd.bias = p->t[BIAS];
    DO(wk_seg_linear_fwd(dev, &fwd));
    DO(wk_seg_linear_dx(dev, &(wk_seg_linear_dx_args){.dx = p->t[DX],
                                                      .dy = p->t[DY],
                                                      .m = p->t[M],
                                                      .segs = segs,
                                                      .alpha = -0.75f,
                                                      .accumulate = !p->s->accumulate}));
    run_dw(dev, p, segs);
}

/* What the segments do not have is still NaN of all ones. */
static void check_outside(const problem *p, int i) {
    const size_t size = wk_dtype_size(p->t[i].dtype), width = (size_t)wk_row_numel(p->t[i]) * size;
    unsigned char *was = take(p->bytes[i]);
    memcpy(was, p->memory[i], p->bytes[i]);
    FOR (n, p->at->segs) {
        const int64_t first = per_slot(i) ? p->at->slot[n] : p->off[n];
        const int64_t rows = per_slot(i) ? 1 : p->off[n + 1] - p->off[n];
        FOR (row, rows)
            memset(was + ((unsigned char *)wk_row_ptr(p->t[i], first + row) - p->memory[i]), 0xff,
                   width);
    }
    FOR (b, (int64_t)p->bytes[i])
        if (was[b] != 0xff) {
            EXPECT(false, "%s: operand %d was overwritten at byte %lld", p->s->name, i,
                   (long long)b);
            break;
        }
    free(was);
}

static const char *const output_name[OPERANDS] = {
    [Y] = "y", [DX] = "dx", [DM] = "dm", [DBIAS] = "dbias"};

/* The largest error beyond what rounding the result to bf16 may cost, of the largest. */
static void check_values(const problem *got, const problem *want, double *errors) {
    FOR (i, OPERANDS) {
        if (!output_name[i]) continue;
        worst w = {0};
        const bool half = got->t[i].dtype == WK_BF16;
        FOR (n, got->at->segs) {
            const int64_t first = per_slot((int)i) ? got->at->slot[n] : got->off[n];
            const int64_t rows = per_slot((int)i) ? 1 : got->off[n + 1] - got->off[n];
            FOR (row, rows)
                FOR (j, wk_row_numel(got->t[i])) {
                    const double g = (double)get(got->t[i], first + row, j);
                    const double v = (double)get(want->t[i], first + row, j);
                    const double spare = half ? HALF * fabs(v) : 0;
                    compare(&w, fabs(g - v) <= spare ? v : g > v ? g - spare : g + spare, v);
                }
        }
        errors[i] = w.scale > 0 ? w.diff / w.scale : 0;
        EXPECT(within(w, F32_BOUND), "%s: %s is off by %.3g of %.3g", got->s->name, output_name[i],
               w.diff, w.scale);
        check_outside(got, (int)i);
    }
}

/* Segment n of b is the bits of the same segment of a. */
static void check_same(const problem *a, const problem *b, const char *what) {
    FOR (n, b->at->segs) {
        int64_t in_a = 0;
        while (a->at->which[in_a] != b->at->which[n]) in_a++;
        FOR (i, OPERANDS) {
            if (!output_name[i]) continue;
            const size_t size = wk_dtype_size(a->t[i].dtype);
            const int64_t rows = per_slot((int)i) ? 1 : b->off[n + 1] - b->off[n];
            const int64_t from_a = per_slot((int)i) ? a->at->slot[in_a] : a->off[in_a];
            const int64_t from_b = per_slot((int)i) ? b->at->slot[n] : b->off[n];
            bool same = true;
            FOR (row, rows)
                same = same &&
                       memcmp(wk_row_ptr(a->t[i], from_a + row), wk_row_ptr(b->t[i], from_b + row),
                              (size_t)wk_row_numel(a->t[i]) * size) == 0;
            EXPECT(same, "%s: %s of segment %d is not the same %s", a->s->name, output_name[i],
                   b->at->which[n], what);
        }
    }
}

static void check_shape(const shape *s) {
    static layout plain, turned, alone;
    static problem want, got, other;
    plain = (layout){.segs = s->segs, .first = FIRST_ROW};
    turned = (layout){.segs = s->segs, .first = FIRST_ROW + 4};
    FOR (n, s->segs) {
        plain.which[n] = plain.slot[n] = (int32_t)n;
        turned.which[n] = (int32_t)(s->segs - 1 - n);
        turned.slot[n] = (int32_t)((n * 7 + 2) % (s->segs % 7 ? s->segs : s->segs + 1));
    }
    alone = (layout){.segs = 1, .which = {s->segs - 1}, .slot = {2}};
    double e[OPERANDS];
    open_problem(&want, s, &plain, true);
    open_problem(&got, s, &plain, false);
    run(ref, &want);
    run(simt, &got);
    check_values(&got, &want, e);
    close_problem(&want);
    const layout *const others[] = {&turned, &alone};
    FOR (k, 2) {
        open_problem(&other, s, others[k], false);
        run(simt, &other);
        check_same(&got, &other, k ? "alone" : "elsewhere");
        close_problem(&other);
    }
    printf("%-30s y %.1e  dx %.1e  dm %.1e  dbias %.1e\n", s->name, e[Y], e[DX], e[DM], e[DBIAS]);
    close_problem(&got);
}

/* Gradients with as little scratch as makes several slices of dm; with less, an error. */
static void check_slices(const shape *s, size_t bytes) {
    static layout plain;
    static problem whole, sliced;
    plain = (layout){.segs = s->segs, .first = FIRST_ROW};
    FOR (n, s->segs) plain.which[n] = plain.slot[n] = (int32_t)n;
    open_problem(&whole, s, &plain, false);
    open_problem(&sliced, s, &plain, false);
    cuda_lane *lane = cuda_lane_of(simt);
    const size_t all = lane->scratch_bytes;
    run_dw(simt, &whole, segs_of(&whole));
    const uint64_t before = simt->launches;
    lane->scratch_bytes = bytes;
    run_dw(simt, &sliced, segs_of(&sliced));
    EXPECT(simt->launches - before > 4, "%s: not in slices", s->name);
    check_same(&whole, &sliced, "in slices");
    lane->scratch_bytes = 256;
    EXPECT(wk_seg_linear_dw(simt, &(wk_seg_linear_dw_args){.dm = sliced.t[DM],
                                                           .dy = sliced.t[DY],
                                                           .x = sliced.t[X],
                                                           .segs = segs_of(&sliced),
                                                           .alpha = 1}) == WEFT_E_UNSUPPORTED,
           "%s: no error without scratch", s->name);
    lane->scratch_bytes = all;
    close_problem(&whole);
    close_problem(&sliced);
}

/* clang-format off */
static const shape shapes[] = {
    /* down: s = A x and dx of it, dA */
    {"down 4, all edges", 4, 768, WK_BF16, WK_F32, 0, LENS(edges), false, false},
    {"down 8", 8, 384, WK_BF16, WK_F32, 8, LENS(edges), false, false},
    {"down 16", 16, 768, WK_BF16, WK_F32, 0, LENS(few), true, false},
    {"down 32", 32, 200, WK_BF16, WK_F32, 0, LENS(few), false, false},
    {"down 64", 64, 200, WK_BF16, WK_F32, 0, LENS(few), false, true},
    {"down 4, float", 4, 384, WK_F32, WK_F32, 0, LENS(edges), false, false},
    {"down 16, float", 16, 100, WK_F32, WK_F32, 4, LENS(few), true, false},
    /* up: y += B s and ds, dB */
    {"up 4, all edges", 768, 4, WK_F32, WK_BF16, 0, LENS(edges), true, false},
    {"up 8", 384, 8, WK_F32, WK_BF16, 8, LENS(few), true, true},
    {"up 16", 768, 16, WK_F32, WK_BF16, 0, LENS(few), false, false},
    {"up 32", 104, 32, WK_F32, WK_BF16, 0, LENS(few), true, false},
    {"up 64", 200, 64, WK_F32, WK_BF16, 0, LENS(few), true, false},
    {"up 32, float", 100, 32, WK_F32, WK_F32, 0, LENS(few), true, false},
    /* not aligned, odd, both bf16 */
    {"down 4, odd", 4, 101, WK_BF16, WK_F32, 1, LENS(few), true, true},
    {"up 3, odd", 101, 3, WK_F32, WK_BF16, 1, LENS(few), true, true},
    {"float, odd", 67, 35, WK_F32, WK_F32, 1, LENS(few), true, true},
    {"bf16, wide", 72, 136, WK_BF16, WK_BF16, 0, LENS(few), true, true},
    {"bf16 to float, wide", 96, 200, WK_BF16, WK_F32, 0, LENS(head), false, true},
    /* heads */
    {"head 2", 2, 768, WK_F32, WK_F32, 0, LENS(head), false, true},
    {"head 3", 3, 384, WK_F32, WK_F32, 0, LENS(head), true, true},
    {"head 150", 150, 128, WK_F32, WK_F32, 2, LENS(head), false, true},
    {"head 768", 768, 768, WK_F32, WK_F32, 0, LENS(pair), false, true},
};
/* clang-format on */

/* clang-format off */
static const shape few_shapes[] = {
    {"down 8", 8, 136, WK_BF16, WK_F32, 0, LENS(small), true, true},
    {"down 16", 16, 72, WK_BF16, WK_F32, 0, LENS(small), false, false},
    {"down 32", 32, 72, WK_BF16, WK_F32, 0, LENS(small), false, false},
    {"down 64", 64, 72, WK_BF16, WK_F32, 0, LENS(small), false, false},
    {"up 16", 72, 16, WK_F32, WK_BF16, 0, LENS(small), true, true},
    {"up 32", 72, 32, WK_F32, WK_BF16, 0, LENS(small), true, false},
    {"up 64", 72, 64, WK_F32, WK_BF16, 0, LENS(small), true, false},
    {"up 3, odd", 67, 3, WK_F32, WK_BF16, 1, LENS(small), true, true},
    {"bf16", 72, 72, WK_BF16, WK_BF16, 0, LENS(small), true, true},
    {"bf16, odd", 9, 67, WK_BF16, WK_BF16, 1, LENS(small), true, true},
    {"float 8", 8, 72, WK_F32, WK_F32, 0, LENS(small), false, true},
    {"float 16", 40, 16, WK_F32, WK_F32, 0, LENS(small), false, true},
    {"float 40", 40, 36, WK_F32, WK_F32, 0, LENS(small), false, true},
    {"float, odd", 35, 33, WK_F32, WK_F32, 1, LENS(small), false, true},
};
/* clang-format on */

static void check_all(void) {
    FOR (i, (int64_t)(sizeof shapes / sizeof *shapes)) check_shape(&shapes[i]);
    /* The search for a block's segment: one, two and three rounds. */
    static int32_t many[MOST];
    FOR (n, MOST) many[n] = n % 5 == 1 ? 0 : (int32_t)(n % 3 + 1);
    static const int32_t counts[] = {33, 1025, MOST};
    FOR (i, 3)
        check_shape(
            &(shape){"many segments", 2, 4, WK_F32, WK_F32, 0, many, counts[i], true, true});
    check_slices(&(shape){"slices, up 16", 384, 16, WK_F32, WK_BF16, 0, LENS(few), false, false},
                 6 * 128 * 16 * sizeof(float));
    check_slices(&(shape){"slices, wide", 200, 136, WK_F32, WK_F32, 0, LENS(few), false, false},
                 6 * 128 * 64 * sizeof(float));
}

int main(int argc, char **argv) {
    static const char *const orders[] = {"forward", "reversed", "random"};
    bool only_few = false;
    for (int i = 1; i < argc; i++) {
        bool known = strcmp(argv[i], "--few") == 0 || strcmp(argv[i], "--order") == 0;
        if (strcmp(argv[i], "--few") == 0) only_few = true;
        FOR (k, 3)
            if (strcmp(argv[i], orders[k]) == 0) {
                simt_order((simt_order_kind)k, 1);
                known = true;
            }
        if (known) continue;
        (void)fprintf(stderr, "unknown argument %s\n", argv[i]);
        return 2;
    }
    wk_ctx_init(&ctx, NULL);
    if (wk_dev_open(&ref, &ctx, &(wk_dev_options){.backend = "ref", .threads = 1}) ||
        wk_dev_open_backend(&simt, &ctx, &wk_backend_simt, &(wk_dev_options){.threads = 1})) {
        (void)fprintf(stderr, "%s\n", ctx.err.text);
        return 1;
    }
    if (only_few)
        FOR (i, (int64_t)(sizeof few_shapes / sizeof *few_shapes)) check_shape(&few_shapes[i]);
    else
        check_all();
    wk_dev_close(simt);
    wk_dev_close(ref);
    printf("%d failed\n", checks_failed);
    return checks_failed != 0;
}
