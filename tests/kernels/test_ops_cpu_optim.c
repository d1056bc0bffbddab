/* labels: unit op */
/* Optimizer ops of the cpu backend against the reference: slots that step, wait or are dead, sizes
 * around the chunk boundaries, clipping on and off, a gradient that is not finite. */
#include "tests/kernels/op_fixture.h"

#include <math.h>

#define TOL   2e-6 /* a handful of float roundings and a float division against double */
#define SLOTS 19   /* more than one batch of grad_norm */

static wk_ctx ctx;
static wk_dev *dev[2];

static int open_devices(void **state) {
    (void)state;
    static const char *const names[] = {"ref", "cpu"};
    wk_ctx_init(&ctx, NULL);
    for (int b = 0; b < 2; b++)
        check_ok(wk_dev_open(&dev[b], &ctx, &(wk_dev_options){.backend = names[b], .threads = 2}),
                 &ctx.err);
    return 0;
}

static int close_devices(void **state) {
    (void)state;
    for (int b = 0; b < 2; b++) wk_dev_close(dev[b]);
    return 0;
}

static wk_slot_state new_slots(fx *f, const double *sqnorm) {
    int32_t step[SLOTS], dead[SLOTS];
    wk_slot_state s = {.lr = fx_out(f, SLOTS, 0, 0), .sqnorm = fx_raw(f, WK_F64, SLOTS, 0, 0)};
    for (int k = 0; k < SLOTS; k++) {
        step[k] = k % 4, dead[k] = k % 7 == 5;
        ((float *)s.lr.data)[k] = 0.01f * (float)(k + 1);
        ((double *)s.sqnorm.data)[k] = sqnorm ? sqnorm[k] : -1.0;
    }
    s.step = fx_i32(f, SLOTS, step), s.dead = fx_i32(f, SLOTS, dead);
    return s;
}

static void norm_and_steps(int64_t p, float clip, float mu) {
    fx f = {0};
    wk_tensor w0 = fx_randn(&f, SLOTS, p, 1, 1.0f), g0 = fx_randn(&f, SLOTS, p, 1, 0.3f);
    wk_tensor m0 = fx_randn(&f, SLOTS, p, 1, 0.1f), v0 = fx_randn(&f, SLOTS, p, 1, 0.1f);
    wk_tensor anchor = fx_randn(&f, p, 0, 0, 1.0f), g[2], w[2][4], m[2][3], v[2];
    for (int k = 0; k < SLOTS; k++)
        for (int64_t j = 0; j < p; j++) {
            float *x = (float *)wk_row_ptr(v0, k) + j;
            *x = fabsf(*x);
        }
    ((float *)wk_row_ptr(g0, 2))[p / 2] = NAN, ((float *)wk_row_ptr(g0, 9))[p - 1] = INFINITY;
    wk_slot_state s[2];
    for (int b = 0; b < 2; b++) {
        s[b] = new_slots(&f, NULL);
        g[b] = fx_copy(&f, g0), v[b] = fx_copy(&f, v0);
        for (int i = 0; i < 4; i++) w[b][i] = fx_copy(&f, w0);
        for (int i = 0; i < 3; i++) m[b][i] = fx_copy(&f, m0);
        check_ok(
            wk_grad_norm(dev[b],
                         &(wk_grad_norm_args){
                             .g = g[b], .w = w0, .anchor = anchor, .slots = s[b], .prox_mu = mu}),
            &ctx.err);
    }
    const double *got = s[1].sqnorm.data, *want = s[0].sqnorm.data;
    for (int k = 0; k < SLOTS; k++) {
        assert_int_equal(((int32_t *)s[1].dead.data)[k], ((int32_t *)s[0].dead.data)[k]);
        if (isfinite(want[k]) && fabs(got[k] - want[k]) > 1e-6 * fabs(want[k]))
            fail_msg("slot %d: squared norm %.17g, reference %.17g", k, got[k], want[k]);
    }
    assert_int_equal(((int32_t *)s[1].dead.data)[2], 1);
    assert_int_equal(((int32_t *)s[1].dead.data)[9], 1);
    fx_close("g", g[1], g[0], TOL);
    for (int b = 0; b < 2; b++) {
        check_ok(wk_adamw_step(dev[b], &(wk_adamw_step_args){.w = w[b][0],
                                                             .g = g0,
                                                             .m = m[b][0],
                                                             .v = v[b],
                                                             .slots = s[b],
                                                             .beta1 = 0.9f,
                                                             .beta2 = 0.999f,
                                                             .eps = 1e-8f,
                                                             .weight_decay = 0.01f,
                                                             .clip = clip}),
                 &ctx.err);
        check_ok(wk_sgd_step(dev[b], &(wk_sgd_step_args){.w = w[b][1],
                                                         .g = g0,
                                                         .slots = s[b],
                                                         .weight_decay = 0.01f,
                                                         .clip = clip}),
                 &ctx.err);
        for (int n = 0; n < 2; n++)
            check_ok(wk_sgd_step(dev[b], &(wk_sgd_step_args){.w = w[b][2 + n],
                                                             .g = g0,
                                                             .m = m[b][1 + n],
                                                             .slots = s[b],
                                                             .momentum = 0.9f,
                                                             .clip = clip,
                                                             .weight_decay = 0.1f,
                                                             .nesterov = n == 1}),
                     &ctx.err);
    }
    for (int i = 0; i < 4; i++) fx_close("w", w[1][i], w[0][i], TOL);
    for (int i = 0; i < 3; i++) fx_close("m", m[1][i], m[0][i], TOL);
    fx_close("v", v[1], v[0], TOL);
    fx_check_guards(&f);
    fx_free(&f);
}

static void optimizers(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 2, 63, 64, 65, 4097, 12289};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        norm_and_steps(sizes[i], 0.0f, 0.0f);
        norm_and_steps(sizes[i], 1.0f, 0.1f);
    }
}

/* The same bits in any order, on any table: 40 terms over twelve orders of magnitude. */
static void sums_are_exact(void **state) {
    (void)state;
    enum { N = 40, P = 300 };
    fx f = {0};
    wk_tensor w = fx_randn(&f, N, P, 0, 1.0f), anchor = fx_randn(&f, P, 0, 0, 1.0f), acc[4], y[4],
              one = fx_raw(&f, WK_F64, 1, 0, 0);
    long double sum[P] = {0};
    double weight[N];
    for (int k = 0; k < N; k++) weight[k] = ldexp(1 + k / 3.0, k % 40 - 25);
    for (int way = 0; way < 4; way++) {
        acc[way] = fx_raw(&f, WK_I64, 2, P, 0), y[way] = fx_raw(&f, WK_F64, P, 0, 0);
        memset(acc[way].data, 0, 2 * P * sizeof(int64_t));
        for (int i = 0; i < N; i++) {
            const int k = way % 2 ? (i * 17 + 5) % N : i;
            *(double *)one.data = weight[k];
            check_ok(wk_update_add(dev[way / 2],
                                   &(wk_update_add_args){acc[way], wk_rows(w, k, 1), anchor, one}),
                     &ctx.err);
        }
        check_ok(wk_sum_read(dev[way / 2], &(wk_sum_read_args){.y = y[way], .acc = acc[way]}),
                 &ctx.err);
        assert_memory_equal(acc[way].data, acc[0].data, 2 * P * sizeof(int64_t));
        assert_memory_equal(y[way].data, y[0].data, P * sizeof(double));
    }
    for (int j = 0; j < P; j++) {
        for (int k = 0; k < N; k++) {
            const double d =
                (double)((float *)wk_row_ptr(w, k))[j] - (double)((float *)anchor.data)[j];
            sum[j] += (long double)weight[k] * (long double)d;
        }
        const long double off = sum[j] - (long double)((double *)y[0].data)[j];
        assert_true(fabsl(off) < 0x1p-33L); /* of some 2^19 */
    }
    fx_check_guards(&f);
    fx_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(optimizers),
                                       cmocka_unit_test(sums_are_exact)};
    return cmocka_run_group_tests(tests, open_devices, close_devices);
}
