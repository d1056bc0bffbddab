/* labels: unit */
/* Rounding a double to bfloat16: once, to nearest even. The reference rounds by way of float, so
 * what matters is that the float between leaves no trace. */
#include "kernels/ref/ref.h"
#include "kernels/rng.h"
#include "tests/check.h"

#include <float.h>

/* The nearest bfloat16 by comparing distances to the two around the value: no rounding at all. */
static uint16_t nearest(double value) {
    const uint16_t sign = signbit(value) ? 0x8000 : 0;
    const double size = fabs(value);
    uint16_t low = 0, high = 0x7f7f; /* the largest finite one */
    if (size >= (double)wk_bf16_to_f32(high)) {
        /* The next one would be 2^128; half way there, even wins, and that is infinity. */
        const double half_way = ldexp(1.0, 128) - ldexp(1.0, 128 - 9);
        return sign | (size >= half_way ? 0x7f80 : high);
    }
    while (high - low > 1) {
        const uint16_t middle = (uint16_t)((low + high) / 2);
        if ((double)wk_bf16_to_f32(middle) <= size)
            low = middle;
        else
            high = middle;
    }
    const double below = size - (double)wk_bf16_to_f32(low),
                 above = (double)wk_bf16_to_f32(high) - size;
    const bool up = above < below || (above == below && (low & 1)); /* both differences are exact */
    return (uint16_t)(sign | (up ? high : low));
}

static void same(double value) {
    const uint16_t got = ref_f64_to_bf16(value), want = nearest(value);
    if (got == want) return;
    print_error("%.17g: got 0x%04x want 0x%04x\n", value, (unsigned)got, (unsigned)want);
    fail();
}

static void ties_and_their_neighbours(void **state) {
    (void)state;
    /* Half way between two bfloat16, and a hair to either side, which float cannot tell apart. */
    for (unsigned h = 0; h < 0x7f7f; h += 3) {
        const double a = (double)wk_bf16_to_f32((uint16_t)h),
                     b = (double)wk_bf16_to_f32((uint16_t)(h + 1)), tie = (a + b) / 2;
        const double hair = (b - a) * ldexp(1.0, -30);
        for (int s = -1; s <= 1; s += 2) {
            same(s * a), same(s * tie), same(s * (tie - hair)), same(s * (tie + hair));
            same(s * (a + hair)), same(s * (b - hair));
        }
    }
}

static void specials(void **state) {
    (void)state;
    const double values[] = {0.0,
                             -0.0,
                             DBL_MIN,
                             -DBL_MIN,
                             1e-45,
                             DBL_MAX,
                             (double)FLT_MAX,
                             (double)FLT_MIN,
                             ldexp(1.0, 128),
                             ldexp(255.5, 120),
                             HUGE_VAL,
                             1e39,
                             1e-39,
                             1e-41};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) same(values[i]), same(-values[i]);
    assert_true(isnan(wk_bf16_to_f32(ref_f64_to_bf16((double)NAN))));
}

static void random_numbers(void **state) {
    (void)state;
    wk_stream s = wk_stream_at(wk_rng_key(5, WK_RNG_TEST, 1), 0, 0, 0);
    for (int i = 0; i < 200000; i++)
        same(ldexp(wk_stream_f64(&s) - 0.5, (int)wk_stream_below(&s, 280) - 150));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ties_and_their_neighbours),
        cmocka_unit_test(specials),
        cmocka_unit_test(random_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
