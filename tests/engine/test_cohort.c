/* labels: unit fed */
#include "tests/check.h"

#include "engine/cohort.h"

#include <string.h>

static weft_config *config_of(int64_t per_round, we_sampling sampling, const char *seed) {
    weft_config *c = NULL;
    weft_error err = {0};
    char k[32];
    (void)snprintf(k, sizeof k, "%lld", (long long)per_round);
    check_ok(weft_config_new(&c, &err), &err);
    check_ok(weft_config_set(c, "fl.clients_per_round", k, NULL, &err), &err);
    check_ok(weft_config_set(c, "run.seed", seed, NULL, &err), &err);
    check_ok(weft_config_set(c, "fl.sampling",
                             sampling == WE_SAMPLING_PASS ? "pass" : "independent", NULL, &err),
             &err);
    return c;
}

static void assert_ascending(const int32_t *cohort, int32_t k, int32_t n) {
    for (int32_t i = 0; i < k; i++) {
        assert_true(cohort[i] >= 0 && cohort[i] < n);
        if (i) assert_true(cohort[i - 1] < cohort[i]);
    }
}

static const int32_t shapes[][2] = {{1, 1},  {2, 1},    {10, 10}, {10, 7}, {10, 5},    {10, 3},
                                    {20, 9}, {100, 33}, {64, 16}, {7, 3},  {1000, 49}, {11, 6}};

static void cohorts_are_distinct_and_ascending(void **state) {
    (void)state;
    int32_t cohort[64], again[64];
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int sampling = 0; sampling < 2; sampling++) {
            int32_t n = shapes[s][0], k = shapes[s][1];
            weft_config *c = config_of(k, (we_sampling)sampling, "5");
            for (int64_t round = 1; round <= 60; round++) {
                we_cohort_sample(c, n, round, cohort);
                assert_ascending(cohort, k, n);
                we_cohort_sample(c, n, round, again);
                check_same("cohort", again, cohort, sizeof *cohort * (size_t)k);
            }
            weft_config_free(c);
        }
}

/* Nobody is drawn again before everybody was: after any number of whole rounds the counts of two
 * clients differ by at most one, but for those a border round stepped over, who come a round late.
 */
static void a_pass_draws_everybody_once(void **state) {
    (void)state;
    int32_t cohort[64], count[1000];
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        int32_t n = shapes[s][0], k = shapes[s][1];
        weft_config *c = config_of(k, WE_SAMPLING_PASS, "9");
        memset(count, 0, sizeof count);
        int64_t drawn = 0;
        for (int64_t round = 1; round <= 150; round++) {
            we_cohort_sample(c, n, round, cohort);
            for (int32_t i = 0; i < k; i++) {
                /* the client has been in every pass so far, and in this one not yet */
                count[cohort[i]]++;
                drawn++;
            }
            int64_t whole = drawn / n;
            for (int32_t i = 0; i < n; i++) assert_true(count[i] == whole || count[i] == whole + 1);
        }
        weft_config_free(c);
    }
}

/* Passes are fresh orders: with 12 clients in cohorts of 4, the same first cohort in all of 50
 * passes would have a chance of 495^-49. */
static void passes_differ(void **state) {
    (void)state;
    int32_t first[4], cohort[4];
    weft_config *c = config_of(4, WE_SAMPLING_PASS, "1");
    we_cohort_sample(c, 12, 1, first);
    int same = 0;
    for (int64_t pass = 1; pass < 50; pass++) {
        we_cohort_sample(c, 12, 1 + 3 * pass, cohort);
        same += memcmp(first, cohort, sizeof first) == 0;
    }
    assert_true(same < 5);
    weft_config_free(c);
}

/* Every set equally likely: 2 of 5 clients, 10 sets; 27.877 is the 0.1 % point of chi-square with
 * nine degrees of freedom (scipy.stats.chi2, 1.17.1). Both ways of sampling. */
static void sets_are_equally_likely(void **state) {
    (void)state;
    for (int sampling = 0; sampling < 2; sampling++) {
        int count[25] = {0}, times = 20000;
        for (int i = 0; i < times; i++) {
            int32_t cohort[2];
            char seed[32];
            (void)snprintf(seed, sizeof seed, "%d", sampling ? i / 5 : 3);
            static weft_config *c;
            if (!c || (sampling && i % 5 == 0)) {
                weft_config_free(c);
                c = config_of(2, (we_sampling)sampling, seed);
            }
            we_cohort_sample(c, 5, sampling ? i % 5 + 1 : i + 1, cohort);
            count[cohort[0] * 5 + cohort[1]]++;
            if (i + 1 == times) weft_config_free(c), c = NULL;
        }
        double chi = 0, expected = times / 10.0;
        for (int a = 0; a < 5; a++)
            for (int b = a + 1; b < 5; b++) {
                double d = count[a * 5 + b] - expected;
                chi += d * d / expected;
            }
        assert_true(chi < 27.877);
    }
}

static void seeds_and_rounds_matter(void **state) {
    (void)state;
    int32_t a[10], b[10];
    weft_config *one = config_of(10, WE_SAMPLING_INDEPENDENT, "1");
    weft_config *two = config_of(10, WE_SAMPLING_INDEPENDENT, "2");
    we_cohort_sample(one, 1000, 1, a);
    we_cohort_sample(two, 1000, 1, b);
    assert_memory_not_equal(a, b, sizeof a);
    we_cohort_sample(one, 1000, 2, b);
    assert_memory_not_equal(a, b, sizeof a);
    weft_config_free(one);
    weft_config_free(two);
}

static void a_million_clients_are_fine(void **state) {
    (void)state;
    int32_t cohort[1000];
    for (int sampling = 0; sampling < 2; sampling++) {
        weft_config *c = config_of(1000, (we_sampling)sampling, "1");
        for (int64_t round = 1; round <= 1000000000; round += 333333333) {
            we_cohort_sample(c, 1000000, round, cohort);
            assert_ascending(cohort, 1000, 1000000);
            we_cohort_sample(c, INT32_MAX, round, cohort);
            assert_ascending(cohort, 1000, INT32_MAX);
        }
        weft_config_free(c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cohorts_are_distinct_and_ascending),
        cmocka_unit_test(a_pass_draws_everybody_once),
        cmocka_unit_test(passes_differ),
        cmocka_unit_test(sets_are_equally_likely),
        cmocka_unit_test(seeds_and_rounds_matter),
        cmocka_unit_test(a_million_clients_are_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
