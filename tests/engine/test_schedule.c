/* labels: unit fed */
#include "tests/check.h"

#include "engine/schedule.h"

#include <math.h>

/* Recorded from transformers 5.23.0: get_last_lr() before each of ten steps, lr 0.01, of
 * get_constant_schedule_with_warmup(3), get_linear_schedule_with_warmup(3, 10),
 * get_cosine_schedule_with_warmup(3, 10), get_cosine_with_min_lr_schedule_with_warmup(3, 10,
 * min_lr_rate=0.1) and get_linear_schedule_with_warmup(0, 10). */
static const struct {
    const char *kind, *warmup, *floor;
    double rate[10];
} cases[] = {
    {"constant",
     "0.3",
     "0",
     {0.0, 0.003333333333333333, 0.006666666666666666, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01}},
    {"linear",
     "0.3",
     "0",
     {0.0, 0.003333333333333333, 0.006666666666666666, 0.01, 0.008571428571428572,
      0.0071428571428571435, 0.005714285714285714, 0.004285714285714286, 0.002857142857142857,
      0.0014285714285714286}},
    {"cosine",
     "0.25",
     "0",
     /* ceil(2.5) = 3 */
     {0.0, 0.003333333333333333, 0.006666666666666666, 0.01, 0.009504844339512096,
      0.008117449009293669, 0.006112604669781572, 0.003887395330218428, 0.0018825509907063327,
      0.0004951556604879049}},
    {"cosine",
     "0.3",
     "0.1",
     {0.0, 0.003333333333333333, 0.006666666666666666, 0.01, 0.009554359905560885,
      0.0083057041083643, 0.006501344202803414, 0.0044986557971965855, 0.0026942958916356995,
      0.0014456400944391145}},
    {"linear",
     "0",
     "0",
     {0.01, 0.009000000000000001, 0.008, 0.006999999999999999, 0.006, 0.005, 0.004, 0.003, 0.002,
      0.001}},
};

static weft_config *config_of(const char *kind, const char *warmup, const char *floor) {
    const char *const pairs[] = {"client.lr_scheduler",
                                 kind,
                                 "client.warmup_ratio",
                                 warmup,
                                 "client.min_lr_ratio",
                                 floor,
                                 "lr",
                                 "0.01",
                                 "fl.num_rounds",
                                 "10"};
    weft_config *c = NULL;
    weft_error err = {0};
    check_ok(weft_config_new(&c, &err), &err);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i += 2)
        check_ok(weft_config_set(c, pairs[i], pairs[i + 1], NULL, &err), &err);
    return c;
}

static void equal_to_transformers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weft_config *c = config_of(cases[i].kind, cases[i].warmup, cases[i].floor);
        for (int64_t round = 1; round <= 10; round++) {
            /* A warm-up begins one step further on: its first round does not stand still. */
            const double *rate = cases[i].rate;
            int64_t warming = rate[0] > 0 ? 0 : 3;
            double want = rate[round <= warming ? round : round - 1];
            assert_true(fabs(we_schedule_rate(c, round) - want) < 1e-16);
        }
        weft_config_free(c);
    }
}

static void edges(void **state) {
    (void)state;
    weft_config *c = config_of("cosine", "1", "0.1"); /* nothing but warm-up */
    assert_true(fabs(we_schedule_rate(c, 10) - 0.01) < 1e-16);
    assert_true(fabs(we_schedule_rate(c, 11) - 0.001) < 1e-16);
    weft_config_free(c);
    c = config_of("linear", "0", "0.25"); /* past the last round: the floor */
    assert_true(fabs(we_schedule_rate(c, 1) - 0.01) < 1e-16);
    assert_true(fabs(we_schedule_rate(c, 11) - 0.0025) < 1e-16);
    assert_true(fabs(we_schedule_rate(c, 99) - 0.0025) < 1e-16);
    weft_config_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_to_transformers),
        cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
