/* labels: unit fed */
#include "tests/check.h"

#include "engine/metrics.h"

#include <math.h>
#include <string.h>

#define MOST 16

/* Scores of predicted classes, as one-hot logits. */
static weft_metrics score(const int32_t *label, const int32_t *said, int64_t n, int32_t classes,
                          float height) {
    float outputs[MOST * 8] = {0};
    for (int64_t i = 0; i < n; i++) outputs[i * classes + said[i]] = height;
    weft_rows rows = {.n_rows = n, .label = label, .num_labels = classes};
    wk_ctx ctx;
    wk_ctx_init(&ctx, NULL);
    weft_metrics m;
    memset(&m, 0x5a, sizeof m);
    check_ok(we_metrics_compute(&ctx, &rows, NULL, n, outputs, classes, &m), &ctx.err);
    return m;
}

/* Recorded from scikit-learn 1.9.1: accuracy_score, f1_score(average="macro", zero_division=0),
 * f1_score(zero_division=0), matthews_corrcoef. */
static void classes_as_sklearn(void **state) {
    (void)state;
    static const struct {
        int64_t n;
        int32_t classes, label[MOST], said[MOST];
        double accuracy, macro, binary, matthews;
    } cases[] = {
        {10,
         2,
         {0, 1, 1, 0, 1, 0, 0, 1, 1, 1},
         {0, 1, 0, 0, 1, 1, 0, 1, 1, 0},
         0.7,
         0.696969696969697,
         0.7272727272727273,
         0.408248290463863},
        {4, 2, {0, 0, 0, 0}, {0, 0, 0, 0}, 1.0, 1.0, 0.0, 0.0},
        {4, 2, {0, 0, 0, 0}, {0, 1, 0, 1}, 0.5, 0.3333333333333333, 0.0, 0.0},
        {4, 2, {1, 1, 0, 1}, {0, 0, 0, 0}, 0.25, 0.2, 0.0, 0.0},
        {12,
         5,
         {0, 1, 2, 2, 1, 0, 3, 3, 1, 2, 0, 4},
         {0, 2, 2, 2, 1, 0, 3, 1, 1, 0, 0, 1},
         0.6666666666666666,
         0.5523809523809523,
         0.0,
         0.5707169062809038},
        {6,
         8,
         {0, 1, 2, 2, 1, 0},
         {0, 1, 2, 5, 1, 5}, /* classes 3, 4, 6, 7 never seen */
         0.6666666666666666,
         0.5833333333333333,
         0.0,
         0.6405126152203485},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weft_metrics m = score(cases[i].label, cases[i].said, cases[i].n, cases[i].classes, 1);
        assert_int_equal(m.n, cases[i].n);
        assert_false(m.is_regression);
        assert_true(fabs(m.accuracy - cases[i].accuracy) < 1e-15);
        assert_true(fabs(m.f1_macro - cases[i].macro) < 1e-15);
        assert_true(fabs(m.f1_binary - cases[i].binary) < 1e-15);
        assert_true(fabs(m.matthews - cases[i].matthews) < 1e-15);
        assert_true(m.pearson == 0 && m.spearman == 0 && m.mse == 0);
    }
}

static void cross_entropy_is_exact_and_safe(void **state) {
    (void)state;
    static const int32_t label[] = {0, 1}, said[] = {0, 0};
    /* log(1 + e^-1) and log(1 + e), by hand */
    weft_metrics m = score(label, said, 2, 2, 1);
    assert_true(fabs(m.loss - 0.5 * (log1p(exp(-1)) + log1p(exp(1)))) < 1e-15);
    m = score(label, said, 2, 2, 1e30f); /* no overflow */
    assert_true(fabs(m.loss / 5e29 - 1) < 1e-6);
}

static void a_choice_of_rows(void **state) {
    (void)state;
    static const int32_t label[] = {0, 1, 1, 0}, chosen[] = {2, 0};
    static const float outputs[] = {0, 1, 0, 1};
    weft_rows rows = {.n_rows = 4, .label = label, .num_labels = 2};
    wk_ctx ctx;
    wk_ctx_init(&ctx, NULL);
    weft_metrics m;
    check_ok(we_metrics_compute(&ctx, &rows, chosen, 2, outputs, 2, &m), &ctx.err);
    assert_true(m.accuracy == 0.5 && m.n == 2);
    check_ok(we_metrics_compute(&ctx, &rows, chosen, 0, outputs, 2, &m), &ctx.err);
    assert_true(m.accuracy == 0 && m.loss == 0 && m.n == 0);
}

/* Recorded from scipy 1.17.1 (pearsonr, spearmanr) and scikit-learn 1.9.1 (mean_squared_error). */
static void regression_as_scipy(void **state) {
    (void)state;
    static const float said[] = {0.1f, 2.5f, 2.5f, -1.0f, 3.0f, 0.5f, 2.5f, 7.25f, -1.0f, 0.5f};
    static const float target[] = {0.0f, 2.0f, 3.0f, -0.5f, 2.0f, 1.0f, 2.0f, 9.0f, 0.25f, -0.5f};
    static const float flat[10] = {0};
    weft_rows rows = {.n_rows = 10, .target = target, .num_labels = 1};
    wk_ctx ctx;
    wk_ctx_init(&ctx, NULL);
    weft_metrics m;
    check_ok(we_metrics_compute(&ctx, &rows, NULL, 10, said, 1, &m), &ctx.err);
    assert_true(m.is_regression && m.n == 10);
    assert_true(fabs(m.pearson - 0.9459843225977902) < 1e-14);
    assert_true(fabs(m.spearman - 0.8526687663783826) < 1e-14);
    assert_true(fabs(m.mse - 0.7885000000298023) < 1e-14);
    assert_true(m.loss == m.mse && m.accuracy == 0);
    check_ok(we_metrics_compute(&ctx, &rows, NULL, 10, flat, 1, &m), &ctx.err);
    assert_true(m.pearson == 0 && m.spearman == 0); /* undefined */
    check_ok(we_metrics_compute(&ctx, &rows, NULL, 10, target, 1, &m), &ctx.err);
    assert_true(m.mse == 0 && fabs(m.pearson - 1) < 1e-15 && fabs(m.spearman - 1) < 1e-15);
}

static void *no_memory(void *ud, size_t bytes) {
    (void)ud, (void)bytes;
    return NULL;
}
static void no_release(void *ud, void *ptr) {
    (void)ud, (void)ptr;
}

static void out_of_memory_is_an_error(void **state) {
    (void)state;
    static const int32_t label[] = {0};
    static const float outputs[] = {0, 1};
    weft_rows rows = {.n_rows = 1, .label = label, .num_labels = 2};
    wk_hooks hooks = {.alloc = no_memory, .release = no_release};
    wk_ctx ctx;
    wk_ctx_init(&ctx, &hooks);
    weft_metrics m = {.n = 77};
    assert_int_equal(we_metrics_compute(&ctx, &rows, NULL, 1, outputs, 2, &m), WEFT_E_MEM);
    assert_int_equal(m.n, 77);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_as_sklearn),
        cmocka_unit_test(cross_entropy_is_exact_and_safe),
        cmocka_unit_test(a_choice_of_rows),
        cmocka_unit_test(regression_as_scipy),
        cmocka_unit_test(out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
