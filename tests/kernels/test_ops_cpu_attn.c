/* labels: unit op */
/* Attention of the cpu backend against the reference: ragged packs with empty and single-token
 * sequences, lengths around the block of 64, odd head widths, grouped heads, causal or not, strided
 * views of one fused (T, 3D) tensor, rows outside all sequences. */
#include "tests/kernels/op_fixture.h"

#include <math.h>

/* Against a reference in double: sums of up to 200 floats, exponentials with 2e-7 (vec_math.h);
 * gradients pass through three products. */
#define TOL_FWD 3e-6
#define TOL_BWD 1e-5

static wk_ctx ctx;

#define SEQUENCES 7
static const int32_t offsets[SEQUENCES + 1] = {2, 3, 3, 67, 132, 135, 335, 398};
#define ROWS    401
#define LONGEST 200

typedef struct shape {
    int32_t heads, kv_heads;
    int64_t dh;
    bool causal;
} shape;

/* ---- bfloat16 tensors: two to a word of the fixture ---- */

static wk_tensor half_out(fx *f, int64_t rows, int64_t cols) {
    wk_tensor t = fx_raw(f, WK_F32, rows, (cols + 1) / 2, 1);
    t.dtype = WK_BF16, t.dim[1] = cols, t.ld *= 2;
    return t;
}

static wk_tensor half_of(fx *f, wk_tensor x) {
    wk_tensor t = half_out(f, x.dim[0], x.dim[1]);
    for (int64_t i = 0; i < x.dim[0]; i++)
        for (int64_t j = 0; j < x.dim[1]; j++)
            ((uint16_t *)wk_row_ptr(t, i))[j] = wk_f32_to_bf16(((float *)wk_row_ptr(x, i))[j]);
    return t;
}

static wk_tensor whole_of(fx *f, wk_tensor x) {
    if (x.dtype == WK_F32) return x;
    wk_tensor t = fx_out(f, x.dim[0], x.dim[1], 0);
    for (int64_t i = 0; i < x.dim[0]; i++)
        for (int64_t j = 0; j < x.dim[1]; j++)
            ((float *)wk_row_ptr(t, i))[j] = wk_bf16_to_f32(((uint16_t *)wk_row_ptr(x, i))[j]);
    return t;
}

static void close_rows(fx *f, const char *name, wk_tensor got, wk_tensor want, double tol) {
    fx_close(name, whole_of(f, got), whole_of(f, want), tol);
}

static void attention_case(shape s, wk_dtype hidden, float size, double tol_fwd, double tol_bwd) {
    static const char *const names[] = {"ref", "cpu"};
    fx f = {0};
    const int64_t qw = s.heads * s.dh, kw = s.kv_heads * s.dh, all = qw + 2 * kw;
    wk_tensor qkv = fx_randn(&f, ROWS, all, 3, size), d_o = fx_randn(&f, ROWS, qw, 1, 1.0f);
    const bool half = hidden == WK_BF16;
    if (half) qkv = half_of(&f, qkv), d_o = half_of(&f, d_o);
    wk_tensor off = fx_i32(&f, SEQUENCES + 1, offsets), o[2], lse[2], grad[2];
    wk_tensor q = wk_cols(qkv, 0, qw), k = wk_cols(qkv, qw, kw), v = wk_cols(qkv, qw + kw, kw);
    const float scale = 1.0f / sqrtf((float)s.dh);
    for (int b = 0; b < 2; b++) {
        wk_dev *dev;
        const wk_dev_options options = {.backend = names[b], .threads = 2, .hidden = hidden};
        check_ok(wk_dev_open(&dev, &ctx, &options), &ctx.err);
        o[b] = half ? half_out(&f, ROWS, qw) : fx_out(&f, ROWS, qw, 5);
        grad[b] = half ? half_out(&f, ROWS, all) : fx_out(&f, ROWS, all, 2);
        lse[b] = fx_randn(&f, ROWS, s.heads, 0, 0.0f); /* rows outside are left as they are */
        check_ok(wk_attn_fwd(dev, &(wk_attn_fwd_args){.o = o[b],
                                                      .lse = lse[b],
                                                      .q = q,
                                                      .k = k,
                                                      .v = v,
                                                      .seq_off = off,
                                                      .heads = s.heads,
                                                      .kv_heads = s.kv_heads,
                                                      .max_len = LONGEST,
                                                      .scale = scale,
                                                      .causal = s.causal}),
                 &ctx.err);
        check_ok(wk_attn_bwd(dev, &(wk_attn_bwd_args){.dq = wk_cols(grad[b], 0, qw),
                                                      .dk = wk_cols(grad[b], qw, kw),
                                                      .dv = wk_cols(grad[b], qw + kw, kw),
                                                      .d_o = d_o,
                                                      .q = q,
                                                      .k = k,
                                                      .v = v,
                                                      .o = o[0],
                                                      .lse = lse[0],
                                                      .seq_off = off,
                                                      .heads = s.heads,
                                                      .kv_heads = s.kv_heads,
                                                      .max_len = LONGEST,
                                                      .scale = scale,
                                                      .causal = s.causal}),
                 &ctx.err);
        wk_dev_close(dev);
    }
    close_rows(&f, "o", o[1], o[0], tol_fwd);
    fx_close("lse", lse[1], lse[0], tol_fwd);
    close_rows(&f, "dq", wk_cols(grad[1], 0, qw), wk_cols(grad[0], 0, qw), tol_bwd);
    close_rows(&f, "dk", wk_cols(grad[1], qw, kw), wk_cols(grad[0], qw, kw), tol_bwd);
    close_rows(&f, "dv", wk_cols(grad[1], qw + kw, kw), wk_cols(grad[0], qw + kw, kw), tol_bwd);
    fx_check_guards(&f);
    fx_free(&f);
}

static void attention(void **state) {
    (void)state;
    static const shape shapes[] = {{1, 1, 1, false},  {2, 2, 32, false}, {3, 3, 7, true},
                                   {2, 1, 64, true},  {4, 2, 20, false}, {1, 1, 80, true},
                                   {6, 3, 16, false}, {1, 1, 256, false}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        attention_case(shapes[i], WK_F32, 1.0f, TOL_FWD, TOL_BWD);
}

/* Scores of several hundred: the running maximum must keep every exponential finite. A score's
 * rounding error, 800 * 6e-8 and more, is a relative error of its probability. */
#define TOL_LARGE 1e-3

static void large_scores(void **state) {
    (void)state;
    attention_case((shape){2, 2, 32, false}, WK_F32, 12.0f, TOL_LARGE, TOL_LARGE);
    attention_case((shape){2, 2, 32, true}, WK_F32, 12.0f, TOL_LARGE, TOL_LARGE);
}

/* Sequences of 200 tokens with heads of 256 do not fit a task's room, so dq and dk with dv take a
 * pass each. What `ref` rounds on store the fast table may round in its products too, 2^-9 each;
 * the probabilities go through two of them. */
#define TOL_HALF 1e-2

static void halves(void **state) {
    (void)state;
    static const shape shapes[] = {{1, 1, 256, false}, {2, 1, 256, true}, {4, 2, 20, false},
                                   {2, 2, 32, true},   {3, 3, 7, false},  {1, 1, 1, false}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        attention_case(shapes[i], WK_BF16, 1.0f, TOL_HALF, TOL_HALF);
}

static int init(void **state) {
    (void)state;
    wk_ctx_init(&ctx, NULL);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(attention), cmocka_unit_test(large_scores),
                                       cmocka_unit_test(halves)};
    return cmocka_run_group_tests(tests, init, NULL);
}
