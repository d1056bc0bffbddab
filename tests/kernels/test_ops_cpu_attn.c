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

static void attention_case(shape s, float size, double tol_fwd, double tol_bwd) {
    static const char *const names[] = {"ref", "cpu"};
    fx f = {0};
    const int64_t qw = s.heads * s.dh, kw = s.kv_heads * s.dh, all = qw + 2 * kw;
    wk_tensor qkv = fx_randn(&f, ROWS, all, 3, size), d_o = fx_randn(&f, ROWS, qw, 1, 1.0f);
    wk_tensor off = fx_i32(&f, SEQUENCES + 1, offsets), o[2], lse[2], grad[2];
    wk_tensor q = wk_cols(qkv, 0, qw), k = wk_cols(qkv, qw, kw), v = wk_cols(qkv, qw + kw, kw);
    const float scale = 1.0f / sqrtf((float)s.dh);
    for (int b = 0; b < 2; b++) {
        wk_dev *dev;
        check_ok(wk_dev_open(&dev, &ctx, &(wk_dev_options){.backend = names[b], .threads = 2}),
                 &ctx.err);
        o[b] = fx_out(&f, ROWS, qw, 5), grad[b] = fx_out(&f, ROWS, all, 2);
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
    fx_close("o", o[1], o[0], tol_fwd);
    fx_close("lse", lse[1], lse[0], tol_fwd);
    fx_close("dq", wk_cols(grad[1], 0, qw), wk_cols(grad[0], 0, qw), tol_bwd);
    fx_close("dk", wk_cols(grad[1], qw, kw), wk_cols(grad[0], qw, kw), tol_bwd);
    fx_close("dv", wk_cols(grad[1], qw + kw, kw), wk_cols(grad[0], qw + kw, kw), tol_bwd);
    fx_check_guards(&f);
    fx_free(&f);
}

static void attention(void **state) {
    (void)state;
    static const shape shapes[] = {{1, 1, 1, false},  {2, 2, 32, false}, {3, 3, 7, true},
                                   {2, 1, 64, true},  {4, 2, 20, false}, {1, 1, 80, true},
                                   {6, 3, 16, false}, {1, 1, 256, false}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        attention_case(shapes[i], 1.0f, TOL_FWD, TOL_BWD);
}

/* Scores of several hundred: the running maximum must keep every exponential finite. A score's
 * rounding error, 800 * 6e-8 and more, is a relative error of its probability. */
#define TOL_LARGE 1e-3

static void large_scores(void **state) {
    (void)state;
    attention_case((shape){2, 2, 32, false}, 12.0f, TOL_LARGE, TOL_LARGE);
    attention_case((shape){2, 2, 32, true}, 12.0f, TOL_LARGE, TOL_LARGE);
}

static int init(void **state) {
    (void)state;
    wk_ctx_init(&ctx, NULL);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(attention), cmocka_unit_test(large_scores)};
    return cmocka_run_group_tests(tests, init, NULL);
}
