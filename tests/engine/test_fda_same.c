/* labels: fed */
/* FDA between clients that are all the same: there is no variance, and what each estimator makes of
 * that is known (specified with the paper's estimators: naive |u|^2, linear |u|^2 sin^2 of an
 * angle, sketch eps/(1 + eps) |u|^2 and its noise). */
#include "tests/engine/kept_job.h"

#include <math.h>
#include <string.h>

enum { CHECKS = 4 };

/* One row a client, and all rows the first one's words and label. */
static void prepare_same(job *j, const char *estimator) {
    const char *const pairs[] = {"fl.sync",       "fda",     "fda.theta",           "1e300",
                                 "fda.estimator", estimator, "fda.max_checks",      "4",
                                 "lora.dropout",  "0",       "partition.kind",      "iid",
                                 "fl.weighting",  "uniform", "client.local_epochs", "1"};
    kept_prepare_rows(j, pairs, sizeof pairs / sizeof *pairs, false, CLIENTS);
    int64_t *offset = (int64_t *)(uintptr_t)j->rows.offset;
    int32_t *token = (int32_t *)(uintptr_t)j->rows.token,
            *label = (int32_t *)(uintptr_t)j->rows.label;
    int64_t shortest = offset[1];
    for (int64_t i = 0; i < CLIENTS; i++)
        if (offset[i + 1] - offset[i] < shortest) shortest = offset[i + 1] - offset[i];
    for (int64_t i = 0; i < CLIENTS; i++) {
        offset[i + 1] = (i + 1) * shortest;
        memmove(token + i * shortest, token, (size_t)shortest * sizeof *token);
        label[i] = label[0];
    }
    for (int32_t c = 0; c < CLIENTS; c++)
        assert_int_equal(j->part->offset[c + 1] - j->part->offset[c], 1);
}

/* Share of the mean squared norm that the estimator calls variance, at each check. */
static void shares(const char *estimator, double share[CHECKS]) {
    job j;
    prepare_same(&j, estimator);
    kept_start(&j);
    const weft_round_report r = kept_round(&j);
    assert_int_equal(r.n_checks, CHECKS);
    for (int32_t i = 0; i < CHECKS; i++) {
        const weft_check *c = &r.checks[i];
        assert_int_equal(c->clients, COHORT);
        assert_true(c->mean_sqnorm > 0);
        assert_true(fabs(c->variance) <= 1e-12 * c->mean_sqnorm);
        share[i] = c->estimate / c->mean_sqnorm;
    }
    kept_finish(&j);
}

static void test_estimates(void **state) {
    double share[CHECKS];
    (void)state;
    shares("exact", share);
    for (int i = 0; i < CHECKS; i++) assert_true(fabs(share[i]) <= 1e-12);
    shares("naive", share);
    for (int i = 0; i < CHECKS; i++) assert_true(share[i] == 1);
    shares("linear", share); /* sin^2 */
    for (int i = 0; i < CHECKS; i++) assert_true(share[i] >= -1e-12 && share[i] <= 1);
    shares("sketch", share);
    const double eps = 1 / sqrt(250), noise = 4 * sqrt(2.0 / 250); /* of one row; there are five */
    for (int i = 0; i < CHECKS; i++) assert_true(fabs(share[i] - eps / (1 + eps)) < noise);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_estimates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
