/* labels: op */
/* Every backward op of the reference device against central differences of its forward: the
 * derivative of L = sum c * y, with c the incoming gradient, by the five-point stencil. */
#include "kernels/dev.h"
#include "tests/check.h"

#include <math.h>
#include <string.h>

#define STEP      0.03
#define TOLERANCE 1e-4 /* y is rounded to float: 6e-8 / STEP, times the number of y that move */
#define MOST      2048

static wk_ctx ctx;
static wk_dev *dev;

static int open_ref(void **state) {
    (void)state;
    wk_ctx_init(&ctx, NULL);
    return wk_dev_open(&dev, &ctx, &(wk_dev_options){.backend = "ref", .threads = 2}) == WEFT_OK
               ? 0
               : -1;
}

static int close_ref(void **state) {
    (void)state;
    wk_dev_close(dev);
    return 0;
}

/* ---- the check ---- */

typedef struct forward {
    weft_status (*run)(const void *args); /* writes y */
    const void *args;
    const float *y, *c;
    int64_t n; /* of y and c */
} forward;

static double objective(const forward *f) {
    check_ok(f->run(f->args), &ctx.err);
    double sum = 0;
    for (int64_t i = 0; i < f->n; i++) sum += (double)f->c[i] * (double)f->y[i];
    return sum;
}

static double moved(const forward *f, float *x, double by) {
    const float was = *x;
    *x = (float)((double)was + by);
    const double value = objective(f);
    *x = was;
    return value;
}

static void check_gradient(const char *name, const forward *f, float *x, const float *dx,
                           int64_t n) {
    float numeric[MOST];
    assert_true(n <= MOST);
    for (int64_t i = 0; i < n; i++) {
        double near = moved(f, &x[i], STEP) - moved(f, &x[i], -STEP);
        double far = moved(f, &x[i], 2 * STEP) - moved(f, &x[i], -2 * STEP);
        numeric[i] = (float)((8 * near - far) / (12 * STEP));
    }
    check_close(name, dx, numeric, n, TOLERANCE);
}

static wk_tensor mat(float *data, int64_t rows, int64_t cols) {
    return wk_mat(data, WK_F32, rows, cols);
}

static wk_tensor vec(float *data, int64_t n) {
    return wk_vec(data, WK_F32, n);
}

static wk_tensor ints(int32_t *data, int64_t n) {
    return wk_vec(data, WK_I32, n);
}

/* ---- linear ---- */

static weft_status run_linear(const void *args) {
    return wk_linear_fwd(dev, args);
}

static void linear_dx(void **state) {
    (void)state;
    enum { N = 3, D = 11, O = 7 };
    float x[N * D], w[O * D], bias[O], y[N * O], dy[N * O], dx[N * D];
    check_randn(x, N * D, 1, 1, 1), check_randn(w, O * D, 1, 2, 1);
    check_randn(bias, O, 1, 3, 1), check_randn(dy, N * O, 1, 4, 1);
    wk_weight weight = {.w = mat(w, O, D), .o = O, .d = D};
    wk_linear_fwd_args fwd = {
        .y = mat(y, N, O), .x = mat(x, N, D), .bias = vec(bias, O), .w = &weight};
    check_ok(wk_linear_dx(
                 dev, &(wk_linear_dx_args){.dx = mat(dx, N, D), .dy = mat(dy, N, O), .w = &weight}),
             &ctx.err);
    check_gradient("linear dx", &(forward){run_linear, &fwd, y, dy, N * O}, x, dx, N * D);
}

static weft_status run_seg_linear(const void *args) {
    return wk_seg_linear_fwd(dev, args);
}

static void seg_linear_dx_and_dw(void **state) {
    (void)state;
    enum {
        N = 9,
        D = 5,
        O = 4,
        K = 3,
        P = 2 + O * D + O + 1
    }; /* row: 2 others, M, bias, 1 other */
    float x[N * D], stack[K * P], y[N * O], dy[N * O], dx[N * D], dstack[K * P];
    int32_t off[] = {1, 4, 4, 8}, slot[] = {2, 1, 0}; /* rows 0 and 8 outside, slot 1 empty */
    check_randn(x, N * D, 2, 1, 1), check_randn(stack, K * P, 2, 2, 1);
    check_randn(dy, N * O, 2, 3, 1);
    memset(y, 0, sizeof y), memset(dx, 0, sizeof dx), memset(dstack, 0, sizeof dstack);
    wk_segs segs = {ints(off, 4), ints(slot, 3)};
    wk_tensor m = {stack + 2, {K, O, D}, P, 3, WK_F32}, dm = {dstack + 2, {K, O, D}, P, 3, WK_F32};
    wk_tensor bias = wk_cols(mat(stack, K, P), 2 + O * D, O),
              dbias = wk_cols(mat(dstack, K, P), 2 + O * D, O);
    wk_seg_linear_fwd_args fwd = {
        .y = mat(y, N, O), .x = mat(x, N, D), .m = m, .bias = bias, .segs = segs, .alpha = 1.7f};
    wk_seg_linear_dx_args back = {
        .dx = mat(dx, N, D), .dy = mat(dy, N, O), .m = m, .segs = segs, .alpha = 1.7f};
    wk_seg_linear_dw_args grad = {.dm = dm,
                                  .dbias = dbias,
                                  .dy = mat(dy, N, O),
                                  .x = mat(x, N, D),
                                  .segs = segs,
                                  .alpha = 1.7f};
    check_ok(wk_seg_linear_dx(dev, &back), &ctx.err);
    check_ok(wk_seg_linear_dw(dev, &grad), &ctx.err);
    forward f = {run_seg_linear, &fwd, y, dy, N * O};
    check_gradient("seg_linear dx", &f, x, dx, N * D);
    check_gradient("seg_linear dM and dbias", &f, stack, dstack, K * P);
}

/* ---- norm and activation ---- */

static weft_status run_layernorm(const void *args) {
    return wk_layernorm_fwd(dev, args);
}

static void layernorm(void **state) {
    (void)state;
    enum { N = 4, D = 13 };
    float x[N * D], res[N * D], weight[D], bias[D], y[N * D], z[N * D], mean[N], rstd[N];
    float dy[N * D], dz[N * D];
    check_randn(x, N * D, 3, 1, 1), check_randn(res, N * D, 3, 2, 1),
        check_randn(dy, N * D, 3, 5, 1);
    check_randn(weight, D, 3, 3, 1), check_randn(bias, D, 3, 4, 1);
    wk_layernorm_fwd_args fwd = {.y = mat(y, N, D),
                                 .z = mat(z, N, D),
                                 .mean = vec(mean, N),
                                 .rstd = vec(rstd, N),
                                 .x = mat(x, N, D),
                                 .residual = mat(res, N, D),
                                 .weight = vec(weight, D),
                                 .bias = vec(bias, D),
                                 .eps = 1e-5f};
    wk_layernorm_bwd_args back = {.dz = mat(dz, N, D),
                                  .dy = mat(dy, N, D),
                                  .z = fwd.z,
                                  .mean = fwd.mean,
                                  .rstd = fwd.rstd,
                                  .weight = fwd.weight};
    check_ok(wk_layernorm_fwd(dev, &fwd), &ctx.err);
    check_ok(wk_layernorm_bwd(dev, &back), &ctx.err);
    forward f = {run_layernorm, &fwd, y, dy, N * D};
    check_gradient("layernorm dx", &f, x, dz, N * D);
    check_gradient("layernorm dresidual", &f, res, dz, N * D);
}

static weft_status run_act(const void *args) {
    return wk_act_fwd(dev, args);
}

static void activations(void **state) {
    (void)state;
    enum { N = 4, D = 16 };
    const char *const name[] = {"gelu", "gelu_tanh", "relu", "tanh"};
    float x[N * D], y[N * D], dy[N * D], dx[N * D];
    check_randn(x, N * D, 4, 1, 1.5f), check_randn(dy, N * D, 4, 2, 1);
    for (int i = 0; i < N * D; i++) x[i] += copysignf(0.1f, x[i]); /* off the corner of relu */
    for (int kind = WK_ACT_GELU; kind <= WK_ACT_TANH; kind++) {
        wk_act_fwd_args fwd = {mat(y, N, D), mat(x, N, D), (wk_act)kind};
        wk_act_bwd_args back = {mat(dx, N, D), mat(dy, N, D), mat(x, N, D), (wk_act)kind};
        check_ok(wk_act_bwd(dev, &back), &ctx.err);
        check_gradient(name[kind], &(forward){run_act, &fwd, y, dy, N * D}, x, dx, N * D);
    }
}

/* ---- attention ---- */

static weft_status run_attn(const void *args) {
    return wk_attn_fwd(dev, args);
}

/* q, k, v are column slices of one buffer, as a fused projection leaves them; so are their
 * gradients. */
static void check_attention(const char *name, int32_t heads, int32_t kv_heads, bool causal) {
    enum { N = 12, WIDTH = 4, MOST_HEADS = 4, COLS = 3 * MOST_HEADS * WIDTH };
    int32_t off[] = {1, 5, 5, 6, 11}; /* rows 0 and 11 outside; lengths 4, 0, 1, 5 */
    const int64_t q_cols = heads * WIDTH, kv_cols = kv_heads * WIDTH;
    float qkv[N * COLS], dqkv[N * COLS], o[N * MOST_HEADS * WIDTH], d_o[N * MOST_HEADS * WIDTH];
    float lse[N * MOST_HEADS];
    check_randn(qkv, N * COLS, 5, 1, 1), check_randn(d_o, N * MOST_HEADS * WIDTH, 5, 2, 1);
    memset(dqkv, 0, sizeof dqkv), memset(lse, 0, sizeof lse);
    wk_tensor all = mat(qkv, N, COLS), dall = mat(dqkv, N, COLS);
    wk_attn_fwd_args fwd = {.o = mat(o, N, q_cols),
                            .lse = mat(lse, N, heads),
                            .q = wk_cols(all, 0, q_cols),
                            .k = wk_cols(all, q_cols, kv_cols),
                            .v = wk_cols(all, q_cols + kv_cols, kv_cols),
                            .seq_off = ints(off, 5),
                            .heads = heads,
                            .kv_heads = kv_heads,
                            .max_len = 5,
                            .scale = 0.6f,
                            .causal = causal};
    wk_attn_bwd_args back = {.dq = wk_cols(dall, 0, q_cols),
                             .dk = wk_cols(dall, q_cols, kv_cols),
                             .dv = wk_cols(dall, q_cols + kv_cols, kv_cols),
                             .d_o = mat(d_o, N, q_cols),
                             .q = fwd.q,
                             .k = fwd.k,
                             .v = fwd.v,
                             .o = fwd.o,
                             .lse = fwd.lse,
                             .seq_off = fwd.seq_off,
                             .heads = heads,
                             .kv_heads = kv_heads,
                             .max_len = 5,
                             .scale = 0.6f,
                             .causal = causal};
    check_ok(wk_attn_fwd(dev, &fwd), &ctx.err);
    check_ok(wk_attn_bwd(dev, &back), &ctx.err);
    forward f = {run_attn, &fwd, o, d_o, N * q_cols};
    check_gradient(name, &f, qkv, dqkv, N * COLS);
}

static void attention(void **state) {
    (void)state;
    check_attention("attention", 3, 3, false);
    check_attention("attention, causal", 3, 3, true);
    check_attention("attention, grouped", 4, 2, false);
    check_attention("attention, causal, one key head", 4, 1, true);
}

/* ---- losses ---- */

static weft_status run_xent(const void *args) {
    return wk_softmax_xent(dev, args);
}

static weft_status run_mse(const void *args) {
    return wk_mse(dev, args);
}

static void losses(void **state) {
    (void)state;
    enum { N = 6, C = 5 };
    float x[N * C], target[N * C], weight[N], loss[N], dx[N * C];
    int32_t label[N] = {0, 4, -1, 2, 2, 1};
    check_randn(x, N * C, 6, 1, 1), check_randn(target, N * C, 6, 2, 1);
    check_randn(weight, N, 6, 3, 1);
    wk_softmax_xent_args xent = {.loss = vec(loss, N),
                                 .logits = mat(x, N, C),
                                 .label = ints(label, N),
                                 .weight = vec(weight, N)};
    wk_softmax_xent_args xent_back = xent;
    xent_back.dlogits = mat(dx, N, C);
    check_ok(wk_softmax_xent(dev, &xent_back), &ctx.err);
    check_gradient("softmax_xent", &(forward){run_xent, &xent, loss, weight, N}, x, dx, N * C);

    wk_mse_args mse = {.loss = vec(loss, N),
                       .pred = mat(x, N, C),
                       .target = mat(target, N, C),
                       .weight = vec(weight, N)};
    wk_mse_args mse_back = mse;
    mse_back.dpred = mat(dx, N, C);
    check_ok(wk_mse(dev, &mse_back), &ctx.err);
    check_gradient("mse", &(forward){run_mse, &mse, loss, weight, N}, x, dx, N * C);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_dx), cmocka_unit_test(seg_linear_dx_and_dw),
        cmocka_unit_test(layernorm), cmocka_unit_test(activations),
        cmocka_unit_test(attention), cmocka_unit_test(losses),
    };
    return cmocka_run_group_tests(tests, open_ref, close_ref);
}
