/* labels: unit */
#include "tests/check.h"

#include "engine/lbfgs.h"
#include "engine/logreg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST 90

/* Data that numpy repeats to the bit:
 *   x[i, j] = (((37 i + 101 j + 13 i j) mod 97) / 97 - 0.5) * (1 + j)   as float32
 *   y[i] = ((7 i + 3 [x0 > 0] + 2 [x1 > 0.2]) mod 11) * classes // 11
 *   t[i] = 0.5 x0 - 0.25 x1 + 0.125 ((29 i) mod 17) - 1                  as float32 */
static float x[MOST * 6], target[MOST];
static int32_t label[MOST];

static we_features data_of(int64_t n, int32_t d, int32_t classes) {
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < d; j++)
            x[i * d + j] = (float)(((double)((i * 37 + j * 101 + i * j * 13) % 97) / 97 - 0.5) *
                                   (double)(1 + j));
        double a = (double)x[i * d], b = (double)x[i * d + 1];
        label[i] = (int32_t)((i * 7 + (a > 0) * 3 + (b > 0.2) * 2) % 11) * classes / 11;
        target[i] = (float)(0.5 * a - 0.25 * b + 0.125 * (double)((i * 29) % 17) - 1);
    }
    return (we_features){.x = x, .n = n, .d = d, .label = label, .outputs = classes};
}

/* Recorded from scikit-learn 1.9.1, numpy 2.4.6: LogisticRegression(C=c, tol=1e-12,
 * max_iter=100000), on the features or on StandardScaler's; the objective as in logreg.h, and
 * predict_proba of row 1. */
static const struct {
    int64_t n;
    int32_t d, classes;
    double c;
    bool standardise;
    double objective, probability[5];
} logistic[] = {
    {60, 4, 2, 1.0, false, 0.686128558815005, {0.52100470015, 0.47899529985}},
    {60, 4, 2, 1.0, true, 0.685628633139588, {0.522260102131, 0.477739897869}},
    {60, 4, 2, 0.1, false, 0.689259664822483, {0.521538872239, 0.478461127761}},
    {60, 4, 3, 1.0, false, 1.04912554238799, {0.343147078859, 0.460525557599, 0.196327363542}},
    {60, 4, 3, 1.0, true, 1.04778949078594, {0.343792087121, 0.46251393591, 0.193693976969}},
    {60, 4, 3, 100.0, false, 1.0449951380023, {0.343376530284, 0.469713951732, 0.186909517984}},
    {90,
     6,
     5,
     0.01,
     false,
     1.55213116536485,
     {0.318142532546, 0.184010510701, 0.133287477572, 0.169335073483, 0.195224405698}},
    {90,
     6,
     5,
     0.01,
     true,
     1.55520032249631,
     {0.311788122644, 0.179994648871, 0.133483147871, 0.169754233688, 0.204979846926}},
};

static void logistic_as_sklearn(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof logistic / sizeof *logistic; i++) {
        int32_t classes = logistic[i].classes;
        we_features data = data_of(logistic[i].n, logistic[i].d, classes);
        we_linear_options options = {.c = logistic[i].c, .standardise = logistic[i].standardise};
        wk_ctx ctx;
        wk_ctx_init(&ctx, NULL);
        we_linear model = {0};
        double value = 0, sum = 0;
        float y[5];
        check_ok(we_linear_init(&model, &ctx, classes, data.d), &ctx.err);
        check_ok(we_logreg_fit(&model, &data, &options, &value), &ctx.err);
        assert_true(fabs(value / logistic[i].objective - 1) < 1e-9);
        we_linear_apply(&model, x + data.d, y);
        for (int32_t k = 0; k < classes; k++) sum += exp((double)y[k]);
        for (int32_t k = 0; k < classes; k++)
            assert_true(fabs(exp((double)y[k]) / sum / logistic[i].probability[k] - 1) < 1e-5);
        /* A second fit starts at the answer and stays. */
        double again = 0;
        check_ok(we_logreg_fit(&model, &data, &options, &again), &ctx.err);
        assert_true(fabs(again / value - 1) < 1e-12);
        we_linear_free(&model);
    }
}

/* Recorded likewise: Ridge(alpha=1/c, solver="cholesky"), predictions of rows 0, 1, 2. */
static const struct {
    int64_t n;
    int32_t d;
    double c;
    bool standardise;
    double objective, prediction[3];
} ridge[] = {
    {60, 4, 1, false, 20.2925169393365, {-0.0785124880165, 0.0662444638614, 0.205143736769}},
    {60, 4, 1, true, 20.1710202241202, {-0.0865878044934, 0.0598732952897, 0.220840145129}},
    {60, 4, 0.01, false, 23.7939833303861, {-0.0560162568525, 0.0495990013195, 0.024124481496}},
    {60, 4, 0.01, true, 23.0939712071628, {-0.063517605038, 0.0371080874496, 0.0978738090788}},
    {90, 6, 100, false, 30.4056968855522, {-0.129512262462, 0.0976997602669, 0.272268393304}},
    {90, 6, 100, true, 30.4037474724438, {-0.129678817723, 0.0976257792041, 0.272428011819}},
};

static void ridge_as_sklearn(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof ridge / sizeof *ridge; i++) {
        we_features data = data_of(ridge[i].n, ridge[i].d, 1);
        data.label = NULL, data.target = target;
        we_linear_options options = {.c = ridge[i].c, .standardise = ridge[i].standardise};
        wk_ctx ctx;
        wk_ctx_init(&ctx, NULL);
        we_linear model = {0};
        double value = 0;
        check_ok(we_linear_init(&model, &ctx, 1, data.d), &ctx.err);
        check_ok(we_ridge_fit(&model, &data, &options, &value), &ctx.err);
        assert_true(fabs(value / ridge[i].objective - 1) < 1e-9);
        for (int r = 0; r < 3; r++) {
            float y = 0;
            we_linear_apply(&model, x + r * data.d, &y);
            assert_true(fabs((double)y / ridge[i].prediction[r] - 1) < 1e-5);
        }
        we_linear_free(&model);
    }
}

/* The same bits for any number of threads, and for a choice of rows as for a copy of them. */
static void threads_and_choices_change_nothing(void **state) {
    (void)state;
    wk_ctx ctx;
    wk_ctx_init(&ctx, NULL);
    we_features data = data_of(90, 6, 3);
    we_linear model[3] = {{0}, {0}, {0}};
    for (int i = 0; i < 2; i++) {
        we_linear_options options = {.c = 1, .threads = 1 + 3 * i};
        check_ok(we_linear_init(&model[i], &ctx, 3, 6), &ctx.err);
        check_ok(we_logreg_fit(&model[i], &data, &options, NULL), &ctx.err);
    }
    check_same("w", model[1].w, model[0].w, sizeof(double) * 3 * 7);
    int32_t row[40];
    float copy[40 * 6];
    int32_t copied[40];
    for (int i = 0; i < 40; i++) {
        row[i] = 89 - 2 * i;
        memcpy(copy + 6 * i, x + 6 * row[i], sizeof(float) * 6);
        copied[i] = label[row[i]];
    }
    we_linear_options options = {.c = 1, .standardise = true};
    we_features chosen = data, plain = data;
    chosen.row = row, chosen.n = 40;
    plain.x = copy, plain.label = copied, plain.n = 40;
    memset(model[0].w, 0, sizeof(double) * 3 * 7);
    memset(model[1].w, 0, sizeof(double) * 3 * 7);
    check_ok(we_logreg_fit(&model[0], &chosen, &options, NULL), &ctx.err);
    check_ok(we_logreg_fit(&model[1], &plain, &options, NULL), &ctx.err);
    check_same("w", model[1].w, model[0].w, sizeof(double) * 3 * 7);
    for (int i = 0; i < 3; i++) we_linear_free(&model[i]);
}

/* Features that separate the classes but for noise want a weak penalty; features that are noise a
 * strong one. */
static void the_probe_chooses_its_strength(void **state) {
    (void)state;
    enum { N = 400, D = 20 };
    static float noise[N * D], value[N];
    static int32_t classes[N];
    wk_ctx ctx;
    wk_ctx_init(&ctx, NULL);
    check_randn(noise, (size_t)N * D, 1, 1, 1.0f);
    for (int task = 0; task < 4; task++) {
        bool real = task % 2 == 0, regression = task >= 2;
        for (int i = 0; i < N; i++) {
            const float *f = noise + i * D;
            float signal = f[0] - 2 * f[1] + 3 * f[2];
            classes[i] = real ? signal > 0 : i % 2;
            value[i] = real ? signal : (float)(i % 2) - 0.5f;
        }
        we_features data = {.x = noise, .n = N, .d = D, .outputs = regression ? 1 : 2};
        if (regression)
            data.target = value;
        else
            data.label = classes;
        we_linear_options options = {.standardise = true};
        we_linear model = {0};
        double c = 0, again = 0;
        check_ok(we_linear_init(&model, &ctx, data.outputs, D), &ctx.err);
        check_ok(we_probe_fit(&model, &data, 5, &options, &c), &ctx.err);
        assert_true(real ? c >= 10 : c <= 0.1);
        int hits = 0;
        for (int i = 0; i < N && !regression; i++) {
            float y[2];
            we_linear_apply(&model, noise + i * D, y);
            hits += (y[1] > y[0]) == classes[i];
        }
        if (real && !regression) assert_true(hits > 390);
        double w = model.w[0];
        memset(model.w, 0, sizeof(double) * (size_t)data.outputs * (D + 1));
        check_ok(we_probe_fit(&model, &data, 5, &options, &again), &ctx.err);
        assert_true(again == c && model.w[0] == w);
        we_linear_free(&model);
    }
}

static void few_rows_and_odd_ones(void **state) {
    (void)state;
    wk_ctx ctx;
    wk_ctx_init(&ctx, NULL);
    we_features data = data_of(5, 4, 3);
    we_linear_options options = {.c = 1, .standardise = true};
    we_linear model = {0};
    double c = 0;
    check_ok(we_linear_init(&model, &ctx, 3, 4), &ctx.err);
    check_ok(we_probe_fit(&model, &data, 1, &options, &c), &ctx.err);
    assert_true(c == 1);
    for (int i = 0; i < 5; i++) x[4 * i + 2] = 7; /* a constant feature */
    check_ok(we_logreg_fit(&model, &data, &options, NULL), &ctx.err);
    for (int i = 0; i < 5; i++) label[i] = 1; /* a single class */
    check_ok(we_logreg_fit(&model, &data, &options, NULL), &ctx.err);
    float y[3];
    we_linear_apply(&model, x, y);
    assert_true(y[1] > y[0] && y[1] > y[2] && isfinite(y[1]));
    x[4 * 3 + 1] = NAN;
    assert_int_equal(we_logreg_fit(&model, &data, &options, NULL), WEFT_E_DATA);
    assert_string_equal(ctx.err.text,
                        "feature 1 of row 3 is not finite: the frozen model overflows on it");
    data.label = NULL, data.target = target, data.outputs = 1;
    assert_int_equal(we_ridge_fit(&model, &data, &options, NULL), WEFT_E_DATA);
    we_linear_free(&model);
    we_linear_free(&model);
}

static bool stop_at_two(void *ud, int64_t done, int64_t total) {
    (void)total;
    *(int64_t *)ud = done;
    return done < 2;
}

static void a_tick_can_stop_it(void **state) {
    (void)state;
    wk_ctx ctx;
    wk_ctx_init(&ctx, NULL);
    int64_t last = -1;
    we_features data = data_of(60, 4, 3);
    we_linear_options options = {.c = 1, .tick = stop_at_two, .tick_ud = &last};
    we_linear model = {0};
    check_ok(we_linear_init(&model, &ctx, 3, 4), &ctx.err);
    assert_int_equal(we_logreg_fit(&model, &data, &options, NULL), WEFT_E_STOPPED);
    assert_int_equal(last, 2);
    assert_true(model.w[0] == 0); /* untouched */
    we_linear_free(&model);
}

/* Rosenbrock 1960: a curved valley, minimum 0 at (1, 1). */
static double rosenbrock(void *ud, const double *p, double *g) {
    (void)ud;
    double a = 1 - p[0], b = p[1] - p[0] * p[0];
    g[0] = -2 * a - 400 * p[0] * b;
    g[1] = 200 * b;
    return a * a + 100 * b * b;
}

static double undefined(void *ud, const double *p, double *g) {
    (void)ud, (void)p;
    g[0] = 0;
    return nan("");
}

static void lbfgs_finds_minima(void **state) {
    (void)state;
    wk_ctx ctx;
    wk_ctx_init(&ctx, NULL);
    double p[2] = {-1.2, 1}, value = 1;
    we_lbfgs_options options = {.max_iterations = 200, .tolerance = 1e-9};
    check_ok(we_lbfgs(&ctx, p, 2, rosenbrock, NULL, &options, &value), &ctx.err);
    assert_true(fabs(p[0] - 1) < 1e-8 && fabs(p[1] - 1) < 1e-8 && value < 1e-16);
    assert_int_equal(we_lbfgs(&ctx, p, 1, undefined, NULL, &options, NULL), WEFT_E_DATA);
}

/* Every allocation fails in turn; nothing leaks and nothing is half done. */
typedef struct failing {
    int left, live;
} failing;
static void *failing_alloc(void *ud, size_t bytes) {
    failing *f = ud;
    if (f->left-- <= 0) return NULL;
    f->live++;
    return malloc(bytes);
}
static void failing_release(void *ud, void *ptr) {
    failing *f = ud;
    if (ptr) f->live--;
    free(ptr);
}

static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    we_features data = data_of(60, 4, 3);
    for (int task = 0; task < 2; task++) {
        if (task) data.label = NULL, data.target = target, data.outputs = 1;
        weft_status st = WEFT_E_MEM;
        for (int allowed = 0; st != WEFT_OK; allowed++) {
            failing f = {.left = allowed};
            wk_hooks hooks = {.ud = &f, .alloc = failing_alloc, .release = failing_release};
            wk_ctx ctx;
            wk_ctx_init(&ctx, &hooks);
            we_linear model = {0};
            we_linear_options options = {0};
            st = we_linear_init(&model, &ctx, data.outputs, data.d);
            if (st == WEFT_OK) st = we_probe_fit(&model, &data, 1, &options, NULL);
            assert_true(st == WEFT_OK || st == WEFT_E_MEM);
            we_linear_free(&model);
            assert_int_equal(f.live, 0);
            assert_true(allowed < 100);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logistic_as_sklearn),
        cmocka_unit_test(ridge_as_sklearn),
        cmocka_unit_test(threads_and_choices_change_nothing),
        cmocka_unit_test(the_probe_chooses_its_strength),
        cmocka_unit_test(few_rows_and_odd_ones),
        cmocka_unit_test(a_tick_can_stop_it),
        cmocka_unit_test(lbfgs_finds_minima),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
