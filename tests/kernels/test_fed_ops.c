/* labels: op */
/* What the shared cases cannot see of drift, the variance, order statistics and noise: equal bits
 * by another way, the sketch's and the generator's statistics, a sort and a Philox of the test's
 * own. */
#include "kernels/dev.h"
#include "kernels/rng.h"
#include "tests/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static wk_ctx ctx;

static wk_dev *open_device(const char *backend) {
    wk_dev *dev = NULL;
    wk_ctx_init(&ctx, NULL);
    check_ok(wk_dev_open(&dev, &ctx, &(wk_dev_options){.backend = backend, .threads = 2}),
             &ctx.err);
    return dev;
}

/* ---- drift ---- */

enum {
    SLOTS = 3,
    P = 2100,
    ROWS = 4,
    BLOCKS = (P + WK_SKETCH_WIDTH - 1) / WK_SKETCH_WIDTH,
    SKETCH = ROWS * WK_SKETCH_WIDTH
};

typedef struct slot_arrays {
    int32_t step[SLOTS], dead[SLOTS];
    float lr[SLOTS];
    double sqnorm[SLOTS];
} slot_arrays;

typedef struct drift_arrays {
    double sqnorm[SLOTS];
    float sketch[SLOTS * SKETCH];
    uint8_t sign[P], rot[BLOCKS * ROWS];
} drift_arrays;

static wk_slot_state slots_of(slot_arrays *s) {
    return (wk_slot_state){.step = wk_vec(s->step, WK_I32, SLOTS),
                           .lr = wk_vec(s->lr, WK_F32, SLOTS),
                           .sqnorm = wk_vec(s->sqnorm, WK_F64, SLOTS),
                           .dead = wk_vec(s->dead, WK_I32, SLOTS)};
}

static wk_drift_operands drift_of(drift_arrays *d, float *anchor) {
    wk_tensor sketch = wk_mat(d->sketch, WK_F32, SLOTS, SKETCH);
    sketch.ndim = 3, sketch.dim[1] = ROWS, sketch.dim[2] = WK_SKETCH_WIDTH;
    return (wk_drift_operands){.anchor = wk_vec(anchor, WK_F32, P),
                               .sqnorm = wk_vec(d->sqnorm, WK_F64, SLOTS),
                               .sketch = sketch,
                               .sign = wk_vec(d->sign, WK_U8, P),
                               .rot = wk_mat(d->rot, WK_U8, BLOCKS, ROWS)};
}

/* Signs and rotations of draw `n`: independent of each other and of other draws. */
static void draw_hashes(drift_arrays *d, uint32_t n) {
    wk_stream s = wk_stream_at(wk_rng_key(17, WK_RNG_TEST, n), 0, 0, 0);
    for (int i = 0; i < P; i++) d->sign[i] = (uint8_t)wk_stream_below(&s, 256);
    for (int i = 0; i < BLOCKS * ROWS; i++) d->rot[i] = (uint8_t)wk_stream_below(&s, 256);
}

/* A step that reports its drift leaves the bits of a step and a drift after it; near the anchor,
 * where training is. */
static void adamw_with_drift_is_both(void **state) {
    wk_dev *dev = open_device(*state);
    static float anchor[P], g[SLOTS * P], w[2][SLOTS * P], m[2][SLOTS * P], v[2][SLOTS * P];
    static drift_arrays d[2];
    slot_arrays s = {{2, 0, 5}, {0}, {1e-3f, 1e-3f, 2e-3f}, {4, 9, 16}};
    check_randn(anchor, P, 3, 1, 1.0f);
    check_randn(g, SLOTS * P, 3, 2, 1.0f);
    for (int way = 0; way < 2; way++) {
        check_randn(w[way], SLOTS * P, 3, 3, 1e-3f);
        check_randn(m[way], SLOTS * P, 3, 4, 0.1f);
        for (int i = 0; i < SLOTS * P; i++) {
            w[way][i] += anchor[i % P];
            v[way][i] = 0.01f * (float)(i % 100);
        }
        memset(&d[way], 0x55, sizeof d[way]);
        draw_hashes(&d[way], 0);
        wk_adamw_step_args a = {.w = wk_mat(w[way], WK_F32, SLOTS, P),
                                .g = wk_mat(g, WK_F32, SLOTS, P),
                                .m = wk_mat(m[way], WK_F32, SLOTS, P),
                                .v = wk_mat(v[way], WK_F32, SLOTS, P),
                                .slots = slots_of(&s),
                                .beta1 = 0.9f,
                                .beta2 = 0.999f,
                                .eps = 1e-8f,
                                .weight_decay = 0.01f,
                                .clip = 1.0f};
        const wk_drift_operands drift = drift_of(&d[way], anchor);
        if (way == 0) a.drift = drift;
        check_ok(wk_adamw_step(dev, &a), &ctx.err);
        if (way == 1) check_ok(wk_drift(dev, &(wk_drift_args){a.w, a.slots, drift}), &ctx.err);
    }
    check_same("w", w[0], w[1], sizeof w[0]);
    check_same("m", m[0], m[1], sizeof m[0]);
    check_same("v", v[0], v[1], sizeof v[0]);
    check_same("drift", &d[0], &d[1], sizeof d[0]);
    /* The first slot drifted, the second rests. */
    assert_true(d[0].sqnorm[0] > 0 && d[0].sqnorm[0] < 1);
    const drift_arrays *untouched = &d[0];
    double pattern;
    memset(&pattern, 0x55, sizeof pattern);
    assert_memory_equal(&untouched->sqnorm[1], &pattern, sizeof pattern);
    assert_memory_equal(&untouched->sketch[SKETCH], &pattern, sizeof pattern);
    wk_dev_close(dev);
}

/* The squared length of a sketch's row estimates |delta|^2 without bias: over random signs and
 * rotations its mean is |delta|^2. Its variance is that of Alon, Matias, Szegedy 1999, section 2.2,
 * for those pairs that can meet: 2 / W * (|delta|^4 - sum over blocks of |delta in block|^4). */
static void sketch_estimates_the_norm(void **state) {
    wk_dev *dev = open_device(*state);
    enum { DRAWS = 500 };
    static float anchor[P], w[SLOTS * P];
    static drift_arrays d;
    slot_arrays s = {{1, 1, 1}, {0}, {0}, {0}};
    check_randn(anchor, P, 5, 1, 1.0f);
    check_randn(w, SLOTS * P, 5, 2, 0.5f);
    for (int i = 0; i < 40; i++) w[i] += 3.0f; /* some numbers dominate */
    double sum[SLOTS] = {0}, squares[SLOTS] = {0};
    for (uint32_t n = 0; n < DRAWS; n++) {
        draw_hashes(&d, n);
        check_ok(wk_drift(dev, &(wk_drift_args){.w = wk_mat(w, WK_F32, SLOTS, P),
                                                .slots = slots_of(&s),
                                                .drift = drift_of(&d, anchor)}),
                 &ctx.err);
        for (int k = 0; k < SLOTS; k++)
            for (int j = 0; j < ROWS; j++) {
                double estimate = 0;
                for (int b = 0; b < WK_SKETCH_WIDTH; b++)
                    estimate += pow((double)d.sketch[k * SKETCH + j * WK_SKETCH_WIDTH + b], 2);
                sum[k] += estimate, squares[k] += estimate * estimate;
            }
    }
    for (int k = 0; k < SLOTS; k++) {
        double norm = 0, together = 0;
        for (int block = 0; block < BLOCKS; block++) {
            double part = 0;
            for (int i = block * WK_SKETCH_WIDTH; i < P && i < (block + 1) * WK_SKETCH_WIDTH; i++)
                part += pow((double)w[k * P + i] - (double)anchor[i], 2);
            norm += part, together += part * part;
        }
        assert_true(fabs(d.sqnorm[k] - norm) <= 1e-12 * norm);
        const int n = DRAWS * ROWS;
        const double mean = sum[k] / n, variance = squares[k] / n - mean * mean;
        const double expected = 2.0 / WK_SKETCH_WIDTH * (norm * norm - together);
        print_message("slot %d: |delta|^2 %.4f, mean estimate %.4f, deviation %.4f (theory %.4f)\n",
                      k, norm, mean, sqrt(variance), sqrt(expected));
        assert_true(fabs(mean - norm) < 3 * sqrt(expected / n));
        assert_true(fabs(variance / expected - 1) < 0.15);
    }
    wk_dev_close(dev);
}

/* ---- the variance between clients ---- */

typedef struct spread {
    double mean_sqnorm, sqnorm; /* mean |u_k|^2, |mean u|^2 */
    double centred;             /* mean |u_k - mean u|^2 */
} spread;

/* As a check of FDA computes it, u_k = w_k - anchor, the means by share (adds up to 1). */
static spread measure(wk_dev *dev, float *w, float *anchor, double *share, int64_t k, int64_t p) {
    int64_t *words = calloc((size_t)(2 * p), sizeof *words);
    double *mean = calloc((size_t)p, sizeof *mean), *far = calloc((size_t)k, sizeof *far);
    int32_t off[2] = {0, (int32_t)p};
    spread s = {0};
    const wk_tensor acc = wk_mat(words, WK_I64, 2, p), to = wk_vec(mean, WK_F64, p),
                    all = wk_mat(w, WK_F32, k, p), from = wk_vec(anchor, WK_F32, p);
    check_ok(wk_update_add(dev, &(wk_update_add_args){acc, all, from, wk_vec(share, WK_F64, k)}),
             &ctx.err);
    check_ok(wk_sum_read(dev, &(wk_sum_read_args){.y = to, .acc = acc, .base = from}), &ctx.err);
    for (int64_t i = 0; i < p; i++) s.sqnorm += pow(mean[i] - (double)anchor[i], 2);
    for (int centred = 0; centred < 2; centred++) {
        check_ok(wk_range_sqdist(dev, &(wk_range_sqdist_args){.out = wk_mat(far, WK_F64, k, 1),
                                                              .w = all,
                                                              .center = centred ? to : from,
                                                              .off = wk_vec(off, WK_I32, 2)}),
                 &ctx.err);
        for (int64_t i = 0; i < k; i++)
            *(centred ? &s.centred : &s.mean_sqnorm) += share[i] * far[i];
    }
    free(words), free(mean), free(far);
    return s;
}

static void near(double got, double want, double tolerance) {
    if (!(fabs(got - want) <= tolerance * fabs(want)))
        print_error("%.17g, want %.17g\n", got, want);
    assert_true(fabs(got - want) <= tolerance * fabs(want));
}

/* Var = mean |u_k|^2 - |mean u|^2 = mean |u_k - mean u|^2 = sum over pairs of p_k p_l |u_k -
 * u_l|^2: by hand; and for random numbers in double, whatever the order of clients; a common shift
 * changes nothing, a factor c gives c^2. */
static void variance_has_three_forms(void **state) {
    wk_dev *dev = open_device(*state);
    float hand[9] = {1, 2, 3, 2, 0, 1, 0, 1, -1}, zero[3] = {0};
    double third[3] = {1 / 3.0, 1 / 3.0, 1 / 3.0};
    const spread h = measure(dev, hand, zero, third, 3, 3);
    near(h.mean_sqnorm, 7, 1e-15), near(h.sqnorm, 3, 1e-15), near(h.centred, 4, 1e-15);

    enum { K = 7, N = 1003 };
    static float w[K * N], anchor[N], other[K * N];
    double share[K], mixed[K], sum = 0;
    check_randn(w, K * N, 21, 1, 1.0f);
    check_randn(anchor, N, 21, 2, 1.0f);
    for (int i = 0; i < K * N; i++) w[i] = (float)round((double)w[i] * 65536) / 65536;
    for (int i = 0; i < N; i++) anchor[i] = (float)round((double)anchor[i] * 65536) / 65536;
    for (int weighted = 0; weighted < 2; weighted++) {
        sum = 0;
        for (int k = 0; k < K; k++) sum += share[k] = weighted ? 1 + k : 1;
        for (int k = 0; k < K; k++) share[k] /= sum;
        const spread s = measure(dev, w, anchor, share, K, N);
        double pairs = 0;
        for (int k = 0; k < K; k++)
            for (int l = 0; l < k; l++)
                for (int i = 0; i < N; i++)
                    pairs +=
                        share[k] * share[l] * pow((double)w[k * N + i] - (double)w[l * N + i], 2);
        near(s.centred, pairs, 1e-12), near(s.mean_sqnorm - s.sqnorm, pairs, 1e-12);
        for (int k = 0; k < K; k++) {
            const int from = (3 * k + 2) % K;
            memcpy(other + k * N, w + from * N, N * sizeof *w), mixed[k] = share[from];
        }
        near(measure(dev, other, anchor, mixed, K, N).centred, pairs, 1e-12);
        for (int i = 0; i < K * N; i++) other[i] = w[i] + 0.25f * (float)(i % N % 8); /* exact */
        near(measure(dev, other, anchor, share, K, N).centred, pairs, 1e-12);
        static float quarter[N];
        for (int i = 0; i < K * N; i++) other[i] = w[i] / 4;
        for (int i = 0; i < N; i++) quarter[i] = anchor[i] / 4;
        near(measure(dev, other, quarter, share, K, N).centred, pairs / 16, 1e-12);
    }
    wk_dev_close(dev);
}

/* Every number of clients up to 32, ragged lengths up to ten million, and clients that all but
 * agree, where a difference of squares would have lost all. */
static void variance_in_double(void **state) {
    wk_dev *dev = open_device(*state);
    static const int64_t length[] = {1, 7, 64, 1031, 20011, 10000019};
    for (size_t i = 0; i < sizeof length / sizeof *length; i++) {
        const int64_t p = length[i], most = p > 1 << 20 ? 2 : 32;
        float *w = malloc((size_t)(most * p) * sizeof *w), *anchor = malloc((size_t)p * sizeof *w);
        assert_true(w && anchor);
        check_randn(anchor, (size_t)p, 22, 1, 1.0f);
        check_randn(w, (size_t)(most * p), 22, 2, 1e-3f);
        for (int64_t k = 0; k < most; k++)
            for (int64_t j = 0; j < p; j++) w[k * p + j] = anchor[j] + (1 + w[k * p + j] / 100);
        for (int64_t k = 2; k <= most; k += p > 2000 ? 15 : 1) {
            double share[32], want = 0;
            for (int64_t c = 0; c < k; c++) share[c] = 1 / (double)k;
            for (int64_t j = 0; j < p; j++) {
                double mean = 0;
                for (int64_t c = 0; c < k; c++) mean += (double)w[c * p + j] / (double)k;
                for (int64_t c = 0; c < k; c++)
                    want += pow((double)w[c * p + j] - mean, 2) / (double)k;
            }
            near(measure(dev, w, anchor, share, k, p).centred, want, 1e-6);
        }
        free(w), free(anchor);
    }
    wk_dev_close(dev);
}

/* |mean u|^2 from a client's share of a direction of length 1: never above it, equal along it. */
static void a_direction_bounds_the_norm(void **state) {
    wk_dev *dev = open_device(*state);
    enum { K = 4, N = 501 };
    static float w[K * N], anchor[N], dir[N];
    double share[K] = {0.1, 0.2, 0.3, 0.4}, mean[N] = {0}, norm = 0, along[K];
    check_randn(w, K * N, 23, 1, 1.0f);
    check_randn(anchor, N, 23, 2, 1.0f);
    for (int k = 0; k < K; k++)
        for (int i = 0; i < N; i++)
            mean[i] += share[k] * ((double)w[k * N + i] - (double)anchor[i]);
    for (int i = 0; i < N; i++) norm += mean[i] * mean[i];
    for (uint32_t draw = 0; draw < 20; draw++) {
        double length = 0, estimate = 0;
        check_randn(dir, N, 24, draw, 1.0f);
        for (int i = 0; i < N; i++) length += draw ? pow((double)dir[i], 2) : mean[i] * mean[i];
        for (int i = 0; i < N; i++)
            dir[i] = (float)((draw ? (double)dir[i] : mean[i]) / sqrt(length));
        check_ok(wk_project(dev, &(wk_project_args){.out = wk_vec(along, WK_F64, K),
                                                    .w = wk_mat(w, WK_F32, K, N),
                                                    .anchor = wk_vec(anchor, WK_F32, N),
                                                    .dir = wk_vec(dir, WK_F32, N)}),
                 &ctx.err);
        for (int k = 0; k < K; k++) estimate += share[k] * along[k];
        if (draw == 0)
            near(estimate * estimate, norm, 1e-6);
        else
            assert_true(estimate * estimate < norm);
    }
    wk_dev_close(dev);
}

/* ---- order statistics ---- */

static int ascending(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return isnan(x) || isnan(y) ? !!isnan(x) - !!isnan(y) : (x > y) - (x < y);
}

/* Every range of ranks of the largest size allowed and of small ones, against the C library's sort.
 */
static void order_stat_is_a_sort(void **state) {
    wk_dev *dev = open_device(*state);
    static float x[WK_MAX_RANKED * 3], y[3], sorted[WK_MAX_RANKED];
    const int sizes[] = {1, 2, 3, 5, 8, 100, WK_MAX_RANKED};
    for (size_t c = 0; c < sizeof sizes / sizeof *sizes; c++) {
        const int n = sizes[c];
        check_randn(x, (size_t)n * 3, 21, (uint32_t)c, 2.0f);
        for (int i = 0; i < n; i++) x[3 * i + 1] = floorf(x[3 * i + 1]); /* many equal values */
        if (n > 4) x[3 * 4 + 2] = (float)NAN, x[3 * 2 + 2] = INFINITY;
        const int64_t ranges[][2] = {
            {0, n}, {(n - 1) / 2, n / 2 + 1}, {0, 1}, {n - 1, n}, {n / 4, n - n / 4}};
        for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++) {
            const int64_t lo = ranges[r][0], hi = ranges[r][1];
            check_ok(wk_order_stat(dev, &(wk_order_stat_args){.y = wk_vec(y, WK_F32, 3),
                                                              .x = wk_mat(x, WK_F32, n, 3),
                                                              .lo = lo,
                                                              .hi = hi}),
                     &ctx.err);
            for (int p = 0; p < 3; p++) {
                for (int i = 0; i < n; i++) sorted[i] = x[3 * i + p];
                qsort(sorted, (size_t)n, sizeof *sorted, ascending);
                double sum = 0;
                for (int64_t i = lo; i < hi; i++) sum += (double)sorted[i];
                const float want = (float)(sum / (double)(hi - lo));
                assert_true(y[p] == want || (isnan(y[p]) && isnan(want)));
            }
        }
    }
    wk_dev_close(dev);
}

/* ---- noise ---- */

/* Philox 4x32-10 written from the paper (Salmon et al. 2011, figure 4), by halves of the product.
 */
static void philox(uint64_t key, const uint32_t counter[4], uint32_t out[4]) {
    uint32_t k[2] = {(uint32_t)key, (uint32_t)(key >> 32)}, c[4];
    memcpy(c, counter, sizeof c);
    for (int round = 0; round < 10; round++) {
        const uint64_t left = UINT64_C(0xD2511F53) * c[0], right = UINT64_C(0xCD9E8D57) * c[2];
        const uint32_t next[4] = {(uint32_t)(right >> 32) ^ c[1] ^ k[0], (uint32_t)right,
                                  (uint32_t)(left >> 32) ^ c[3] ^ k[1], (uint32_t)left};
        memcpy(c, next, sizeof c);
        k[0] += UINT32_C(0x9E3779B9), k[1] += UINT32_C(0xBB67AE85);
    }
    memcpy(out, c, sizeof c);
}

static void noise_by_hand(void **state) {
    wk_dev *dev = open_device(*state);
    enum { N = 4099 };
    static float y[N], want[N];
    const uint64_t key = UINT64_C(0x0123456789abcdef);
    const double pi = acos(-1);
    for (int i = 0; i < N; i += 2) {
        uint32_t v[4];
        philox(key, (const uint32_t[4]){(uint32_t)(i / 4), 3, 5, 7}, v);
        const double u = ldexp(v[i % 4], -32) + ldexp(1, -33),
                     angle = (ldexp(v[i % 4 + 1], -32) + ldexp(1, -33)) * 2 * pi,
                     radius = sqrt(-2 * log(u));
        want[i] = (float)(0.5 + 0.25 * radius * sin(angle));
        if (i + 1 < N) want[i + 1] = (float)(0.5 + 0.25 * radius * cos(angle));
    }
    for (int i = 0; i < N; i++) y[i] = 0.5f;
    check_ok(wk_noise(dev, &(wk_noise_args){.y = wk_vec(y, WK_F32, N),
                                            .key = key,
                                            .step = 3,
                                            .round = 5,
                                            .client = 7,
                                            .sigma = 0.25f}),
             &ctx.err);
    (void)check_close("noise", y, want, N, 1e-6);
    wk_dev_close(dev);
}

/* Moments 0, 1, 0, 3, neighbours and two clients uncorrelated: each within four standard errors,
 * which for the raw moments of N normal numbers are the roots of 1, 2, 15 and 96 over N. */
static void noise_has_the_moments_of_a_normal(void **state) {
    wk_dev *dev = open_device(*state);
    enum { N = 400000 };
    static float y[2][N];
    memset(y, 0, sizeof y);
    for (uint32_t client = 0; client < 2; client++)
        check_ok(wk_noise(dev, &(wk_noise_args){.y = wk_vec(y[client], WK_F32, N),
                                                .key = wk_rng_key(1, WK_RNG_TEST, 9),
                                                .step = 1,
                                                .round = 2,
                                                .client = client,
                                                .sigma = 1}),
                 &ctx.err);
    double m[5] = {0}, neighbours = 0, clients = 0, largest = 0;
    for (int i = 0; i < N; i++) {
        const double v = (double)y[0][i];
        for (int power = 1; power <= 4; power++) m[power] += pow(v, power) / N;
        neighbours += v * (double)y[0][(i + 1) % N] / N;
        clients += v * (double)y[1][i] / N;
        largest = fmax(largest, fabs(v));
    }
    print_message("moments %.5f %.5f %.5f %.5f, neighbours %.5f, clients %.5f, largest %.3f\n",
                  m[1], m[2], m[3], m[4], neighbours, clients, largest);
    const double error = 4 / sqrt((double)N);
    assert_true(fabs(m[1]) < error);
    assert_true(fabs(m[2] - 1) < error * sqrt(2));
    assert_true(fabs(m[3]) < error * sqrt(15));
    assert_true(fabs(m[4] - 3) < error * sqrt(96));
    assert_true(fabs(neighbours) < error && fabs(clients) < error);
    assert_true(largest > 4 && largest < 6.7); /* sqrt(-2 ln 2^-33) is 6.76 */
    wk_dev_close(dev);
}

#define ON(test, backend)                                                                          \
    { #test ", " backend, test, NULL, NULL, (void *)(uintptr_t)backend }

int main(void) {
    const struct CMUnitTest tests[] = {
        ON(adamw_with_drift_is_both, "ref"),
        ON(adamw_with_drift_is_both, "cpu"),
        ON(sketch_estimates_the_norm, "ref"),
        ON(sketch_estimates_the_norm, "cpu"),
        ON(variance_has_three_forms, "ref"),
        ON(variance_has_three_forms, "cpu"),
        ON(variance_in_double, "ref"),
        ON(variance_in_double, "cpu"),
        ON(a_direction_bounds_the_norm, "ref"),
        ON(a_direction_bounds_the_norm, "cpu"),
        ON(order_stat_is_a_sort, "ref"),
        ON(order_stat_is_a_sort, "cpu"),
        ON(noise_by_hand, "ref"),
        ON(noise_by_hand, "cpu"),
        ON(noise_has_the_moments_of_a_normal, "ref"),
        ON(noise_has_the_moments_of_a_normal, "cpu"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
