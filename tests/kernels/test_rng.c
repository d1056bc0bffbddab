/* labels: unit */
/* Philox against the vectors that its authors publish (Random123, kat_vectors, philox4x32 10), and
 * what is built on it: uniform numbers and dropout masks. */
#include "kernels/dev.h"
#include "kernels/rng.h"
#include "tests/check.h"

#include <math.h>
#include <stdlib.h>

static void philox_known_answers(void **state) {
    (void)state;
    const struct {
        uint32_t counter[4], key[2], out[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof kat / sizeof *kat; i++) {
        const uint32_t *c = kat[i].counter;
        uint64_t key = ((uint64_t)kat[i].key[1] << 32) | kat[i].key[0];
        wk_philox got = wk_philox4(key, c[0], c[1], c[2], c[3]);
        for (int w = 0; w < 4; w++) {
            assert_int_equal(got.v[w], kat[i].out[w]);
        }
    }
}

static void a_word_is_a_function_of_its_place(void **state) {
    (void)state;
    const uint64_t key = wk_rng_key(1, WK_RNG_TEST, 2);
    wk_stream s = wk_stream_at(key, 3, 4, 5);
    for (uint32_t i = 0; i < 40; i++) {
        assert_int_equal(wk_stream_u32(&s), wk_philox4(key, i / 4, 3, 4, 5).v[i % 4]);
        assert_int_equal(wk_rng_u32(key, i, 3, 4, 5), wk_philox4(key, i / 4, 3, 4, 5).v[i % 4]);
    }
}

static void keys_differ(void **state) {
    (void)state;
    uint64_t key[3 * 7 * 5];
    int n = 0;
    for (uint64_t seed = 0; seed < 3; seed++)
        for (uint32_t purpose = 1; purpose <= 7; purpose++)
            for (uint32_t site = 0; site < 5; site++) key[n++] = wk_rng_key(seed, purpose, site);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) assert_true(key[i] != key[j]);
}

static void below_is_uniform(void **state) {
    (void)state;
    wk_stream s = wk_stream_at(wk_rng_key(9, WK_RNG_TEST, 0), 0, 0, 0);
    int count[7] = {0};
    for (int i = 0; i < 70000; i++) count[wk_stream_below(&s, 7)]++;
    for (int i = 0; i < 7; i++) /* five standard deviations of a binomial */
        assert_true(abs(count[i] - 10000) < 5 * sqrt(70000.0 * (1.0 / 7) * (6.0 / 7)));
    for (int i = 0; i < 1000; i++) assert_true(wk_stream_below(&s, 1) == 0);
}

static void unit_numbers_stay_below_one(void **state) {
    (void)state;
    assert_true(wk_u32_to_unit(0) == 0.0f);
    assert_true(wk_u32_to_unit(~0u) < 1.0f);
}

/* ---- dropout masks ---- */

enum { ROWS = 200, WIDTH = 50 };

static void drop(wk_dev *dev, float *y, float p, int32_t first, int32_t rows, int32_t client) {
    static float ones[(ROWS + 8) * WIDTH];
    for (int i = 0; i < (ROWS + 8) * WIDTH; i++) ones[i] = 1;
    int32_t off[] = {first, first + rows}, slot[] = {0}, rng[] = {4, 2, client};
    wk_dropout_args a = {.y = wk_mat(y, WK_F32, ROWS + 8, WIDTH),
                         .x = wk_mat(ones, WK_F32, ROWS + 8, WIDTH),
                         .rng = wk_mat(rng, WK_I32, 1, 3),
                         .segs = {wk_vec(off, WK_I32, 2), wk_vec(slot, WK_I32, 1)},
                         .key = wk_rng_key(1, WK_RNG_DROPOUT, 3),
                         .p = p};
    check_ok(wk_dropout(dev, &a), NULL);
}

static void dropout_masks(void **state) {
    (void)state;
    static float y[(ROWS + 8) * WIDTH], moved[(ROWS + 8) * WIDTH], other[(ROWS + 8) * WIDTH];
    wk_ctx ctx;
    wk_dev *dev = NULL;
    wk_ctx_init(&ctx, NULL);
    check_ok(wk_dev_open(&dev, &ctx, &(wk_dev_options){.backend = "ref", .threads = 1}), &ctx.err);
    const float rates[] = {0.05f, 0.1f, 0.5f, 0.9f};
    for (int r = 0; r < 4; r++) {
        const double p = (double)rates[r], n = ROWS * WIDTH;
        drop(dev, y, rates[r], 0, ROWS, 7);
        drop(dev, moved, rates[r], 5, ROWS, 7);
        drop(dev, other, rates[r], 0, ROWS, 8);
        int dropped = 0, agree = 0;
        for (int i = 0; i < ROWS * WIDTH; i++) {
            assert_true(y[i] == 0.0f || fabs((double)y[i] - 1 / (1 - p)) < 1e-6);
            dropped += y[i] == 0.0f;
            agree += y[i] == other[i];
        }
        assert_true(fabs(dropped - n * p) < 5 * sqrt(n * p * (1 - p)));
        const double same = p * p + (1 - p) * (1 - p); /* of independent masks */
        assert_true(fabs(agree - n * same) < 5 * sqrt(n * same * (1 - same)));
        check_same("mask of a segment at another row", moved + 5 * WIDTH, y, ROWS * WIDTH * 4);
        assert_true(moved[0] == 1.0f && moved[5 * WIDTH - 1] == 1.0f); /* outside: copied */
    }
    wk_dev_close(dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(a_word_is_a_function_of_its_place),
        cmocka_unit_test(keys_differ),
        cmocka_unit_test(below_is_uniform),
        cmocka_unit_test(unit_numbers_stay_below_one),
        cmocka_unit_test(dropout_masks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
