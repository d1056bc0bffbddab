/* labels: unit */
#include "tests/check.h"

#include "engine/order.h"
#include "engine/random.h"

#include <math.h>
#include <string.h>

static wk_stream stream(uint32_t site) {
    return wk_stream_at(wk_rng_key(7, WK_RNG_TEST, site), 0, 0, 0);
}

#define DRAWS 100000

/* Mean, variance and the Kolmogorov-Smirnov distance; 1.95/sqrt(n) is its 0.1 % point. */
static void normals(void **state) {
    (void)state;
    static float x[DRAWS];
    static int32_t order[DRAWS];
    wk_stream s = stream(1);
    double mean = 0, square = 0, distance = 0;
    for (int i = 0; i < DRAWS; i++) {
        double z = we_random_normal(&s);
        x[i] = (float)z, mean += z, square += z * z;
    }
    assert_true(fabs(mean / DRAWS) < 0.013 && fabs(square / DRAWS - 1) < 0.018);
    we_order_f32(order, x, DRAWS);
    for (int i = 0; i < DRAWS; i++) {
        double cdf = 0.5 * erfc(-(double)x[order[i]] / sqrt(2));
        distance = fmax(distance,
                        fmax(fabs(cdf - i / (double)DRAWS), fabs(cdf - (i + 1) / (double)DRAWS)));
    }
    assert_true(distance < 1.95 / sqrt(DRAWS));
}

/* Gamma(k, 1): mean k, variance k; the mean of its log is digamma(k)
 * (scipy.special.digamma, 1.17.1). */
static void gammas(void **state) {
    (void)state;
    static const struct {
        double shape, digamma;
    } cases[] = {{0.1, -10.423754940411076},
                 {0.5, -1.9635100260214235},
                 {1.0, -0.5772156649015329},
                 {3.7, 1.1671535393615113},
                 {50.0, 3.9019896734278925}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        wk_stream s = stream(10 + (uint32_t)c);
        double k = cases[c].shape, mean = 0, square = 0, logs = 0;
        for (int i = 0; i < DRAWS; i++) {
            double log_gamma = we_random_log_gamma(&s, k), g = exp(log_gamma);
            mean += g, square += (g - k) * (g - k), logs += log_gamma;
        }
        /* five standard errors; the fourth central moment of a Gamma is 3k^2 + 6k */
        assert_true(fabs(mean / DRAWS - k) < 5 * sqrt(k / DRAWS));
        assert_true(fabs(square / DRAWS - k) < 5 * sqrt((2 * k * k + 6 * k) / DRAWS));
        assert_true(fabs(logs / DRAWS - cases[c].digamma) < 5 * 1.5 * fmax(1 / k, 1) / sqrt(DRAWS));
    }
}

/* Shape 1 is the exponential distribution: Kolmogorov-Smirnov against 1 - exp(-x). */
static void gamma_of_shape_one_is_exponential(void **state) {
    (void)state;
    static float x[DRAWS];
    static int32_t order[DRAWS];
    wk_stream s = stream(30);
    for (int i = 0; i < DRAWS; i++) x[i] = (float)exp(we_random_log_gamma(&s, 1.0));
    we_order_f32(order, x, DRAWS);
    double distance = 0;
    for (int i = 0; i < DRAWS; i++) {
        double cdf = 1 - exp(-(double)x[order[i]]);
        distance = fmax(distance, fabs(cdf - (i + 0.5) / DRAWS));
    }
    assert_true(distance < 1.95 / sqrt(DRAWS));
}

/* Mean 1/n, variance (1/n)(1 - 1/n)/(n alpha + 1); sums to 1 even where plain gammas underflow. */
static void dirichlets(void **state) {
    (void)state;
    static const double alphas[] = {1e-3, 0.1, 1, 100};
    for (size_t a = 0; a < 4; a++) {
        enum { N = 5, TIMES = 20000 };
        wk_stream s = stream(40 + (uint32_t)a);
        double p[N], mean = 0, square = 0;
        for (int i = 0; i < TIMES; i++) {
            we_random_dirichlet(&s, alphas[a], p, N);
            double sum = 0;
            for (int j = 0; j < N; j++) {
                assert_true(p[j] >= 0 && p[j] <= 1);
                sum += p[j];
            }
            assert_true(fabs(sum - 1) < 1e-12);
            mean += p[0], square += (p[0] - 0.2) * (p[0] - 0.2);
        }
        double variance = 0.16 / (N * alphas[a] + 1);
        assert_true(fabs(mean / TIMES - 0.2) < 5 * sqrt(variance / TIMES));
        assert_true(fabs(square / TIMES - variance) < 0.05 * variance);
    }
    double one = 0;
    wk_stream s = stream(50);
    we_random_dirichlet(&s, 0.5, &one, 1);
    assert_true(one == 1);
}

/* Number of a permutation of n <= 5 elements: its digits in base n. */
static size_t code_of(const int32_t *p, int n) {
    size_t code = 0;
    for (int i = 0; i < n; i++) code = code * (size_t)n + (size_t)p[i];
    return code;
}

static double chi_square(const int *count, size_t codes, int cells, int times) {
    double expected = times / (double)cells, chi = 0;
    int seen = 0;
    for (size_t i = 0; i < codes; i++) {
        if (!count[i]) continue;
        seen++;
        chi += (count[i] - expected) * (count[i] - expected) / expected;
    }
    return chi + (cells - seen) * expected;
}

/* All orders equally likely; bounds are the 0.1 % points of chi-square with n! - 1 degrees of
 * freedom (scipy.stats.chi2.ppf(0.999, n! - 1), 1.17.1). */
static const struct {
    int n, cells;
    double bound;
} order_cases[] = {{2, 2, 10.828}, {3, 6, 20.515}, {4, 24, 49.728}, {5, 120, 172.418}};

static void shuffles_are_uniform(void **state) {
    (void)state;
    static int count[3125];
    for (size_t c = 0; c < 4; c++) {
        int n = order_cases[c].n, times = 60000;
        memset(count, 0, sizeof count);
        wk_stream s = stream(60);
        for (int i = 0; i < times; i++) {
            int32_t p[5] = {0, 1, 2, 3, 4};
            we_random_shuffle(&s, p, n);
            count[code_of(p, n)]++;
        }
        assert_true(chi_square(count, 3125, order_cases[c].cells, times) < order_cases[c].bound);
    }
}

static void permutations_are_uniform(void **state) {
    (void)state;
    static int count[3125];
    for (size_t c = 0; c < 4; c++) {
        int n = order_cases[c].n, times = 60000;
        memset(count, 0, sizeof count);
        for (int i = 0; i < times; i++) {
            we_permutation p = we_permutation_make(3, (uint64_t)i, (uint32_t)n);
            int32_t image[5];
            for (int j = 0; j < n; j++) image[j] = (int32_t)we_permutation_at(&p, (uint32_t)j);
            count[code_of(image, n)]++;
        }
        assert_true(chi_square(count, 3125, order_cases[c].cells, times) < order_cases[c].bound);
    }
}

static void permutations_are_permutations(void **state) {
    (void)state;
    static const uint32_t sizes[] = {1, 2, 3, 7, 10, 97, 1000, 4096, 10007};
    static bool seen[10007];
    for (size_t c = 0; c < sizeof sizes / sizeof *sizes; c++) {
        memset(seen, 0, sizeof seen);
        we_permutation p = we_permutation_make(11, 1ull << 40, sizes[c]);
        for (uint32_t i = 0; i < sizes[c]; i++) {
            uint32_t x = we_permutation_at(&p, i);
            assert_true(x < sizes[c] && !seen[x]);
            seen[x] = true;
            assert_int_equal(we_permutation_find(&p, x), i);
        }
    }
    we_permutation big = we_permutation_make(5, 0, 1u << 31);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(we_permutation_find(&big, we_permutation_at(&big, i * 21474836u)),
                         i * 21474836u);
}

static void sorting(void **state) {
    (void)state;
    int32_t v[200];
    int64_t w[200];
    float key[200];
    wk_stream s = stream(70);
    for (int n = 0; n <= 200; n += 25) {
        for (int i = 0; i < n; i++) {
            v[i] = (int32_t)wk_stream_below(&s, 50) - 25;
            w[i] = (int64_t)v[i] * 5000000000;
            key[i] = i % 40 == 7 ? NAN : (float)v[i];
        }
        we_sort_i32(v, n);
        we_sort_i64(w, n);
        for (int i = 1; i < n; i++) assert_true(v[i - 1] <= v[i] && w[i - 1] <= w[i]);
        we_order_f32(v, key, n);
        for (int i = 1; i < n; i++) {
            float a = key[v[i - 1]], b = key[v[i]];
            assert_true(a < b || (a == b && v[i - 1] < v[i]) || (!isnan(a) && isnan(b)) ||
                        (isnan(a) && isnan(b) && v[i - 1] < v[i]));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normals),
        cmocka_unit_test(gammas),
        cmocka_unit_test(gamma_of_shape_one_is_exponential),
        cmocka_unit_test(dirichlets),
        cmocka_unit_test(shuffles_are_uniform),
        cmocka_unit_test(permutations_are_uniform),
        cmocka_unit_test(permutations_are_permutations),
        cmocka_unit_test(sorting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
