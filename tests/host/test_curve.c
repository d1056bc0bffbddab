#include "host/curve.h"

#include "tests/check.h"

#include <math.h>
#include <stdlib.h>

static wh_curve curve;
static wh_point out[WH_CURVE_POINTS];

static void add(double round, double y) {
    wh_curve_add(&curve, (wh_point){.round = round, .bytes = 10 * round, .seconds = round, .y = y});
}

static void test_short_curves_are_exact(void **state) {
    (void)state;
    wh_curve_init(&curve, 1);
    assert_int_equal(wh_curve_points(&curve, out), 0);
    for (int i = 1; i <= WH_CURVE_BINS; i++) add(i, i == 7 ? (double)NAN : i * 0.5);
    assert_int_equal(wh_curve_points(&curve, out), WH_CURVE_BINS);
    assert_int_equal(curve.per_bin, 1);
    for (int i = 0; i < WH_CURVE_BINS; i++) {
        assert_true(out[i].round == i + 1 && out[i].bytes == 10 * (i + 1));
        assert_true(i == 6 ? isnan(out[i].y) : out[i].y == (i + 1) * 0.5);
    }
}

/* Of a long one, every peak stays, at its place; the order is that of rounds; the end is the end.
 */
static void test_long_curves_keep_every_peak(void **state) {
    (void)state;
    enum { N = 123457 };
    wh_curve_init(&curve, 1);
    for (int i = 1; i <= N; i++) add(i, i == 5 ? 100 : i == 70001 ? -100 : i == N ? 0.25 : 1);
    int n = wh_curve_points(&curve, out);
    assert_int_equal(curve.n_points, N);
    assert_true(n > 1 && n <= WH_CURVE_POINTS);
    bool high = false, low = false;
    for (int i = 0; i < n; i++) {
        assert_true(i == 0 || out[i].round > out[i - 1].round);
        if (out[i].y == 100) high = out[i].round == 5;
        if (out[i].y == -100) low = out[i].round == 70001;
    }
    assert_true(high && low);
    assert_true(out[n - 1].round == N && out[n - 1].y == 0.25);
}

/* Smallest and largest of every stretch, against a direct search. */
static void test_bins_hold_the_extremes(void **state) {
    (void)state;
    enum { N = 3000 };
    static double y[N];
    wh_curve_init(&curve, 1);
    srand(3);
    for (int i = 0; i < N; i++) {
        y[i] = i % 11 == 0 ? (double)NAN : (double)rand() / RAND_MAX;
        add(i, y[i]);
    }
    assert_int_equal(curve.per_bin, 8);
    for (int b = 0; b < curve.n; b++) {
        double lo = (double)INFINITY, hi = -(double)INFINITY;
        for (int i = 8 * b; i < 8 * b + 8 && i < N; i++) lo = fmin(lo, y[i]), hi = fmax(hi, y[i]);
        assert_true(curve.bin[b].low.y == lo && curve.bin[b].high.y == hi);
        assert_true(y[(int)curve.bin[b].low.round] == lo);
    }
}

static void test_a_gap_longer_than_a_bin_stays(void **state) {
    (void)state;
    wh_curve_init(&curve, 1);
    for (int i = 0; i < 4 * WH_CURVE_BINS; i++) add(i, i >= 800 && i < 1200 ? (double)NAN : 1.0);
    int gaps = 0, n = wh_curve_points(&curve, out);
    for (int i = 0; i < n; i++) gaps += isnan(out[i].y) != 0;
    assert_int_equal(gaps, 400 / curve.per_bin);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_curves_are_exact),
        cmocka_unit_test(test_long_curves_keep_every_peak),
        cmocka_unit_test(test_bins_hold_the_extremes),
        cmocka_unit_test(test_a_gap_longer_than_a_bin_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
