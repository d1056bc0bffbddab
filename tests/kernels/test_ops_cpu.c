/* labels: unit op */
/* Every op that the cpu backend overrides, against the reference: awkward sizes, strided views,
 * empty segments, aliases that ops.h allows. Outputs start as NaN and guards surround every tensor.
 */
#include "kernels/cpu/cpu.h"
#include "tests/kernels/op_fixture.h"

#include <math.h>

/* Bounds are on max|cpu - ref| / max|ref| of a tensor. ref sums in double; cpu sums k floats, whose
 * error grows like sqrt(k) * 6e-8 for random signs: 1e-5 covers k = 4000 with a wide margin.
 * Elementwise results carry the errors of vec_math.h (3e-7) and a few roundings. */
#define TOL_SUM   1e-5
#define TOL_ROW   2e-6
#define TOL_EXACT 0.0

enum { REF, CPU, BOTH };
static wk_ctx ctx;
static wk_dev *dev[BOTH];

static int open_devices(void **state) {
    (void)state;
    wk_ctx_init(&ctx, NULL);
    const char *names[] = {"ref", "cpu"};
    for (int b = 0; b < BOTH; b++)
        check_ok(wk_dev_open(&dev[b], &ctx, &(wk_dev_options){.backend = names[b], .threads = 2}),
                 &ctx.err);
    print_message("cpu: %s\n", dev[CPU]->note);
    return 0;
}

static int close_devices(void **state) {
    (void)state;
    for (int b = 0; b < BOTH; b++) wk_dev_close(dev[b]);
    return 0;
}

#define RUN(b, op, ...) check_ok(wk_##op(dev[b], &(wk_##op##_args){__VA_ARGS__}), &ctx.err)

static void finish(fx *f) {
    fx_check_guards(f);
    fx_free(f);
}

/* ---- frozen linear ---- */

static void pack_weight(fx *f, wk_dev *on, wk_weight *w, wk_tensor plain) {
    *w = (wk_weight){.w = plain, .o = plain.dim[0], .d = plain.dim[1]};
    for (int dx = 0; dx < 2; dx++) {
        const size_t bytes = wk_weight_pack_bytes(on, w->o, w->d, w->w.dtype, dx != 0);
        if (bytes == 0) continue;
        wk_tensor t = fx_raw(f, WK_F32, (int64_t)(bytes + 3) / 4 + 64, 0, 0);
        t = wk_vec((void *)(((uintptr_t)t.data + 255) / 256 * 256), WK_U8, (int64_t)bytes);
        *(dx ? &w->dx : &w->fwd) = t;
    }
    check_ok(wk_weight_pack(on, &(wk_weight_pack_args){.weight = w}), &ctx.err);
    if (wk_given(w->fwd) && wk_given(w->dx)) w->w = (wk_tensor){0}; /* not read from here on */
}

static void linear_case(int64_t m, int64_t o, int64_t d, int64_t pad) {
    fx f = {0};
    wk_tensor w = fx_randn(&f, o, d, pad, 0.1f), x = fx_randn(&f, m, d, pad, 1.0f);
    wk_tensor dy = fx_randn(&f, m, o, pad, 1.0f), bias = fx_randn(&f, o, 0, 0, 1.0f);
    wk_tensor residual = fx_randn(&f, m, o, pad, 1.0f), dx0 = fx_randn(&f, m, d, pad, 1.0f);
    wk_tensor y[BOTH][4], dx[BOTH][2];
    for (int b = 0; b < BOTH; b++) {
        wk_weight packed;
        pack_weight(&f, dev[b], &packed, w);
        for (int i = 0; i < 3; i++) y[b][i] = fx_out(&f, m, o, pad);
        y[b][3] = fx_copy(&f, residual);
        dx[b][0] = fx_out(&f, m, d, pad), dx[b][1] = fx_copy(&f, dx0);
        RUN(b, linear_fwd, .y = y[b][0], .x = x, .w = &packed);
        RUN(b, linear_fwd, .y = y[b][1], .x = x, .w = &packed, .bias = bias);
        RUN(b, linear_fwd, .y = y[b][2], .x = x, .w = &packed, .bias = bias, .residual = residual);
        RUN(b, linear_fwd, .y = y[b][3], .x = x, .w = &packed, .residual = y[b][3]);
        for (int i = 0; i < 2; i++)
            RUN(b, linear_dx, .dx = dx[b][i], .dy = dy, .w = &packed, .accumulate = i == 1);
    }
    for (int i = 0; i < 4; i++) fx_close("linear_fwd", y[CPU][i], y[REF][i], TOL_SUM);
    for (int i = 0; i < 2; i++) fx_close("linear_dx", dx[CPU][i], dx[REF][i], TOL_SUM);
    finish(&f);
}

static void linear_cases(void) {
    static const int64_t shape[][4] = {
        {1, 1, 1, 0},    {1, 8, 16, 0},     {7, 13, 5, 3},     {97, 31, 257, 1}, {48, 64, 48, 0},
        {64, 96, 40, 8}, {193, 50, 300, 0}, {96, 384, 384, 0}, {2, 17, 530, 5},  {0, 16, 16, 0}};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
        linear_case(shape[i][0], shape[i][1], shape[i][2], shape[i][3]);
}

static void linear(void **state) {
    (void)state;
    check_ok(cpu_gemm_select(dev[CPU], CPU_GEMM_OWN), &ctx.err);
    linear_cases();
}

static void linear_dnnl(void **state) {
    (void)state;
    const weft_status st = cpu_gemm_select(dev[CPU], CPU_GEMM_DNNL);
    if (st == WEFT_E_UNSUPPORTED) check_skip("built without oneDNN");
    check_ok(st, &ctx.err);
    print_message("cpu: %s\n", dev[CPU]->note);
    linear_cases();
    check_ok(cpu_gemm_select(dev[CPU], CPU_GEMM_OWN), &ctx.err);
}

/* ---- per-client linear, dropout ---- */

/* Segments of a pack of 310 rows: one row, empty, primes, more than one block; rows outside at both
 * ends. */
#define SEGMENTS 5
#define ROWS     310
static const int32_t seg_off[SEGMENTS + 1] = {3, 4, 4, 41, 108, 301};
static const int32_t seg_slot[SEGMENTS] = {2, 0, 5, 1, 3};
#define SLOTS 6

static void seg_linear_case(int64_t o, int64_t d, int64_t pad) {
    fx f = {0};
    const wk_segs segs = fx_segs(&f, SEGMENTS, seg_off, seg_slot);
    wk_tensor x = fx_randn(&f, ROWS, d, pad, 1.0f), dy = fx_randn(&f, ROWS, o, pad, 1.0f);
    wk_tensor m = fx_stack(fx_randn(&f, SLOTS, o * d, 11, 0.2f), o, d),
              bias = fx_randn(&f, SLOTS, o, 11, 1.0f);
    wk_tensor y0 = fx_randn(&f, ROWS, o, pad, 1.0f), dx0 = fx_randn(&f, ROWS, d, pad, 1.0f);
    wk_tensor dm0 = fx_randn(&f, SLOTS, o * d, 11, 1.0f), db0 = fx_randn(&f, SLOTS, o, 11, 1.0f);
    wk_tensor out[BOTH][6];
    for (int b = 0; b < BOTH; b++) {
        wk_tensor *r = out[b];
        r[0] = fx_copy(&f, y0), r[1] = fx_copy(&f, y0), r[2] = fx_copy(&f, dx0),
        r[3] = fx_copy(&f, dx0);
        r[4] = fx_copy(&f, dm0), r[5] = fx_copy(&f, db0);
        RUN(b, seg_linear_fwd, .y = r[0], .x = x, .m = m, .segs = segs, .alpha = 0.75f,
            .accumulate = true);
        RUN(b, seg_linear_fwd, .y = r[1], .x = x, .m = m, .bias = bias, .segs = segs,
            .alpha = 1.0f);
        RUN(b, seg_linear_dx, .dx = r[2], .dy = dy, .m = m, .segs = segs, .alpha = 2.0f);
        RUN(b, seg_linear_dx, .dx = r[3], .dy = dy, .m = m, .segs = segs, .alpha = 0.5f,
            .accumulate = true);
        RUN(b, seg_linear_dw, .dm = fx_stack(r[4], o, d), .dbias = r[5], .dy = dy, .x = x,
            .segs = segs, .alpha = 0.5f);
    }
    static const char *const names[] = {"fwd +=", "fwd", "dx", "dx +=", "dw", "dbias"};
    for (int i = 0; i < 6; i++) fx_close(names[i], out[CPU][i], out[REF][i], TOL_SUM);
    finish(&f);
}

static void seg_linear(void **state) {
    (void)state;
    static const int64_t shape[][3] = {{1, 1, 0},   {8, 384, 0}, {384, 8, 0}, {4, 33, 3},
                                       {33, 4, 1},  {16, 70, 0}, {70, 16, 5}, {2, 64, 0},
                                       {61, 67, 2}, {17, 520, 0}};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
        seg_linear_case(shape[i][0], shape[i][1], shape[i][2]);
}

static void dropout(void **state) {
    (void)state;
    static const int64_t width[] = {1, 3, 16, 67, 384};
    static const int32_t at[SEGMENTS * 3] = {1, 2, 3, 4, 5, 6, 7, 8, 9, -1, 0, 7, 100, 3, 0};
    for (size_t i = 0; i < sizeof width / sizeof *width; i++)
        for (int accumulate = 0; accumulate < 2; accumulate++) {
            fx f = {0};
            const int64_t d = width[i];
            const wk_segs segs = fx_segs(&f, SEGMENTS, seg_off, seg_slot);
            wk_tensor x = fx_randn(&f, ROWS, d, 2, 1.0f), y0 = fx_randn(&f, ROWS, d, 1, 1.0f);
            wk_tensor rng = fx_i32(&f, SEGMENTS * 3, at), y[BOTH];
            rng = wk_mat(rng.data, WK_I32, SEGMENTS, 3);
            for (int b = 0; b < BOTH; b++) {
                y[b] = fx_copy(&f, y0);
                RUN(b, dropout, .y = y[b], .x = x, .rng = rng, .segs = segs,
                    .key = 0x123456789abcdefull, .p = 0.3f, .accumulate = accumulate != 0);
            }
            fx_close("dropout", y[CPU], y[REF], TOL_ROW);
            finish(&f);
        }
}

/* ---- rows ---- */

static void layernorm(void **state) {
    (void)state;
    static const int64_t shape[][3] = {{1, 1, 0}, {5, 7, 2}, {3, 384, 0}, {33, 65, 1}, {2, 771, 0}};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        fx f = {0};
        const int64_t n = shape[i][0], d = shape[i][1], pad = shape[i][2];
        wk_tensor x = fx_randn(&f, n, d, pad, 2.0f), residual = fx_randn(&f, n, d, pad, 1.0f);
        wk_tensor w = fx_randn(&f, d, 0, 0, 1.0f), bias = fx_randn(&f, d, 0, 0, 1.0f);
        wk_tensor dy = fx_randn(&f, n, d, pad, 1.0f), out[BOTH][6];
        for (int b = 0; b < BOTH; b++) {
            wk_tensor *r = out[b];
            for (int j = 0; j < 4; j++) r[j] = j < 2 ? fx_out(&f, n, d, pad) : fx_out(&f, n, 0, 0);
            r[4] = fx_out(&f, n, d, pad), r[5] = fx_copy(&f, dy);
            RUN(b, layernorm_fwd, .y = r[0], .z = r[1], .mean = r[2], .rstd = r[3], .x = x,
                .residual = residual, .weight = w, .bias = bias, .eps = 1e-5f);
            RUN(b, layernorm_fwd, .y = r[4], .x = x, .residual = residual, .weight = w,
                .bias = bias, .eps = 1e-5f);
            RUN(b, layernorm_bwd, .dz = r[5], .dy = r[5], .z = r[1], .mean = r[2], .rstd = r[3],
                .weight = w);
        }
        for (int j = 0; j < 6; j++) fx_close("layernorm", out[CPU][j], out[REF][j], TOL_SUM);
        finish(&f);
    }
}

static void activations(void **state) {
    (void)state;
    for (int kind = WK_ACT_GELU; kind <= WK_ACT_TANH; kind++)
        for (int64_t d = 1; d < 80; d += 13) {
            fx f = {0};
            wk_tensor x = fx_randn(&f, 9, d, 3, 3.0f), dy = fx_randn(&f, 9, d, 3, 1.0f), y[BOTH],
                      dx[BOTH];
            for (int b = 0; b < BOTH; b++) {
                y[b] = fx_copy(&f, x), dx[b] = fx_out(&f, 9, d, 3);
                RUN(b, act_bwd, .dx = dx[b], .dy = dy, .x = x, .act = (wk_act)kind);
                RUN(b, act_fwd, .y = y[b], .x = y[b], .act = (wk_act)kind);
            }
            fx_close("act_fwd", y[CPU], y[REF], TOL_ROW);
            fx_close("act_bwd", dx[CPU], dx[REF], TOL_ROW);
            finish(&f);
        }
}

/* The functions themselves on a fine grid, against the C library in double: absolute error of GELU
 * divided by |x| (that is, of its normal distribution function) and of tanh; zeros, infinities and
 * NaN. */
static void act_accuracy(void **state) {
    (void)state;
    enum { N = 40001 };
    fx f = {0};
    wk_tensor x = fx_out(&f, 1, N + 4, 0), y = fx_out(&f, 1, N + 4, 0), t = fx_out(&f, 1, N + 4, 0);
    float *in = x.data, *gelu = y.data, *tanhs = t.data;
    for (int i = 0; i < N; i++) in[i] = -10.0f + 20.0f * (float)i / (float)(N - 1);
    in[N] = -0.0f, in[N + 1] = INFINITY, in[N + 2] = NAN, in[N + 3] = -100.0f;
    RUN(CPU, act_fwd, .y = y, .x = x, .act = WK_ACT_GELU);
    RUN(CPU, act_fwd, .y = t, .x = x, .act = WK_ACT_TANH);
    double worst_cdf = 0, worst_tanh = 0;
    for (int i = 0; i < N; i++) {
        const double v = (double)in[i], cdf = 0.5 * erfc(-v * 0.70710678118654752);
        if (v != 0) worst_cdf = fmax(worst_cdf, fabs((double)gelu[i] - v * cdf) / fabs(v));
        worst_tanh =
            fmax(worst_tanh, fabs((double)tanhs[i] - tanh(v)) / fmax(fabs(tanh(v)), 1e-30));
    }
    print_message("normal cdf: %.3g, tanh: %.3g (relative)\n", worst_cdf, worst_tanh);
    assert_true(worst_cdf < 1.5e-7); /* the product's rounding is 6e-8 of it */
    assert_true(worst_tanh < 3e-7);
    assert_true(gelu[N] == 0.0f && gelu[N + 1] == INFINITY && isnan(gelu[N + 2]) &&
                gelu[N + 3] == 0.0f);
    assert_true(tanhs[N] == 0.0f && tanhs[N + 1] == 1.0f && isnan(tanhs[N + 2]));
    finish(&f);
}

static void moves(void **state) {
    (void)state;
    static const int64_t shape[][2] = {{1, 1}, {5, 13}, {17, 64}, {3, 1000}};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        fx f = {0};
        const int64_t n = shape[i][0], d = shape[i][1];
        int32_t id[17];
        for (int k = 0; k < 17; k++) id[k] = (k * 7) % 5;
        wk_tensor tok = fx_i32(&f, n, id), x = fx_randn(&f, n, d, 1, 1.0f),
                  y0 = fx_randn(&f, n, d, 2, 1.0f);
        wk_tensor word = fx_randn(&f, 5, d, 0, 1.0f), pos = fx_randn(&f, 5, d, 3, 1.0f);
        wk_tensor half = fx_raw(&f, WK_F32, n, (d + 1) / 2, 0), out[BOTH][4];
        half = wk_mat(half.data, WK_BF16, n, d), half.ld = (d + 1) / 2 * 2;
        for (int b = 0; b < BOTH; b++) {
            wk_tensor *r = out[b];
            r[0] = fx_copy(&f, y0);
            for (int j = 1; j < 4; j++) r[j] = fx_out(&f, n, d, 1);
            RUN(b, axpy, .y = r[0], .x = x, .alpha = -0.3f);
            RUN(b, copy, .y = r[1], .x = x);
            RUN(b, copy, .y = half, .x = x);
            RUN(b, copy, .y = r[2], .x = half);
            RUN(b, embed_fwd, .y = r[3], .tok = tok, .pos_id = tok, .type_id = tok, .word = word,
                .pos = pos, .type = word);
        }
        for (int j = 0; j < 4; j++)
            fx_close("move", out[CPU][j], out[REF][j], j == 1 || j == 2 ? TOL_EXACT : TOL_ROW);
        fx_free(&f);
    }
}

/* ---- loss ---- */

static void softmax_xent(void **state) {
    (void)state;
    static const int64_t classes[] = {1, 2, 3, 16, 37, 1003};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        fx f = {0};
        const int64_t c = classes[i];
        const int32_t labels[5] = {0, (int32_t)c - 1, -1, (int32_t)c / 2, 0};
        wk_tensor logits = fx_randn(&f, 5, c, 1, 20.0f), weight = fx_randn(&f, 5, 0, 0, 1.0f);
        wk_tensor label = fx_i32(&f, 5, labels), loss[BOTH], d[BOTH];
        for (int b = 0; b < BOTH; b++) {
            loss[b] = fx_out(&f, 5, 0, 0), d[b] = fx_copy(&f, logits);
            RUN(b, softmax_xent, .loss = loss[b], .logits = logits, .label = label,
                .weight = weight);
            RUN(b, softmax_xent, .loss = loss[b], .dlogits = d[b], .logits = d[b], .label = label,
                .weight = weight);
        }
        fx_close("loss", loss[CPU], loss[REF], TOL_ROW);
        fx_close("dlogits", d[CPU], d[REF], TOL_ROW);
        finish(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear),       cmocka_unit_test(linear_dnnl),
        cmocka_unit_test(seg_linear),   cmocka_unit_test(dropout),
        cmocka_unit_test(layernorm),    cmocka_unit_test(activations),
        cmocka_unit_test(act_accuracy), cmocka_unit_test(moves),
        cmocka_unit_test(softmax_xent),
    };
    return cmocka_run_group_tests(tests, open_devices, close_devices);
}
