/* The CUDA kernels of the federation ops on the emulator: what rounds after every operation must
 * have ref's bits, sums in chunks are held against sums in order; ranks against counting; noise
 * against its formula in double. */
#include "kernels/cuda/cuda.h"
#include "tests/simt/simt_check.h"

static wk_tensor floats(int64_t n, uint32_t tensor, int shift) {
    float *x = (float *)take((size_t)(n + shift) * 4) + shift;
    FOR (i, n) x[i] = value_of(tensor, 0, i);
    return wk_vec(x, WK_F32, n);
}

/* Doubles with all their bits. */
static wk_tensor doubles(int64_t n, uint32_t tensor, int shift) {
    double *x = (double *)take((size_t)(n + shift) * 8) + shift;
    FOR (i, n) x[i] = (double)value_of(tensor, 0, i) + 0x1p-30 * (double)value_of(tensor, 1, i);
    return wk_vec(x, WK_F64, n);
}

static void release(wk_tensor t, int shift) {
    free((unsigned char *)t.data - (size_t)shift * wk_dtype_size(t.dtype));
}

static bool same(wk_tensor a, wk_tensor b) {
    return memcmp(a.data, b.data, (size_t)wk_numel(a) * wk_dtype_size(a.dtype)) == 0;
}

/* ---- against ref, to the bit ---- */

static wk_tensor words(int64_t n) {
    wk_tensor t = wk_mat(take((size_t)n * 2 * 8), WK_I64, 2, n);
    FOR (i, 2 * n) ((int64_t *)t.data)[i] = 1000 * i - 5;
    return t;
}

static void test_update_add(wk_dev *dev, wk_dev *ref, int64_t n, int64_t p) {
    wk_tensor w = floats(n * p, 1, 0), anchor = floats(p, 2, 0), weight = doubles(n, 3, 0);
    wk_tensor want = words(p), got = words(p);
    w = wk_mat(w.data, WK_F32, n, p);
    ((double *)weight.data)[n / 2] = 0;
    DO(wk_update_add(ref, &(wk_update_add_args){want, w, anchor, weight}));
    DO(wk_update_add(dev, &(wk_update_add_args){got, w, anchor, weight}));
    EXPECT(same(got, want), "update_add: acc is not ref's, (%d, %d)", (int)n, (int)p);
    for (int with_base = 0; with_base < 2; with_base++) {
        wk_tensor y[2] = {doubles(p, 4, 0), doubles(p, 4, 0)}, none = {0};
        for (int i = 0; i < 2; i++)
            DO(wk_sum_read(i ? ref : dev,
                           &(wk_sum_read_args){y[i], got, with_base ? anchor : none}));
        EXPECT(same(y[0], y[1]), "sum_read: not ref's, P = %d", (int)p);
        release(y[0], 0), release(y[1], 0);
    }
    free(w.data), free(got.data), free(want.data);
    release(anchor, 0), release(weight, 0);
}

static void test_server_step(wk_dev *dev, wk_dev *ref, int kind, bool full, int64_t p) {
    wk_server_step_args a[2];
    for (int i = 0; i < 2; i++) {
        a[i] = (wk_server_step_args){.x = floats(p, 1, 0),
                                     .delta = doubles(p, 2, 0),
                                     .kind = (wk_server_kind)kind,
                                     .step = 3,
                                     .delta_scale = 1.0 / 7.0,
                                     .lr = 0.05,
                                     .beta1 = 0.9,
                                     .beta2 = 0.99,
                                     .tau = 1e-3,
                                     .weight_decay = full ? 0.1 : 0,
                                     .bias_correction = full};
        /* Adagrad is tested with m and, when full, without. */
        if (kind == WK_SERVER_ADAGRAD && full) a[i].beta1 = 0;
        if (kind != WK_SERVER_AVG && a[i].beta1 > 0) a[i].m = doubles(p, 3, 0);
        if (kind >= WK_SERVER_ADAGRAD) a[i].v = doubles(p, 4, 0);
        if (wk_given(a[i].v))
            FOR (j, p) {
                double *v = &((double *)a[i].v.data)[j];
                *v = j % 5 == 4 ? 0 : fabs(*v) * 0.05; /* on both sides of d2 */
            }
        DO(wk_server_step(i ? ref : dev, &a[i]));
    }
    EXPECT(same(a[0].x, a[1].x), "server_step, kind %d: x is not ref's", kind);
    if (wk_given(a[0].m))
        EXPECT(same(a[0].m, a[1].m), "server_step, kind %d: m is not ref's", kind);
    if (wk_given(a[0].v))
        EXPECT(same(a[0].v, a[1].v), "server_step, kind %d: v is not ref's", kind);
    for (int i = 0; i < 2; i++)
        free(a[i].x.data), free(a[i].delta.data), free(a[i].m.data), free(a[i].v.data);
}

/* ---- statistics over clients ---- */

static wk_tensor rows_of(int64_t n, int64_t p, int pad, int shift) {
    float *x = (float *)take((size_t)(n * (p + pad) + shift) * 4) + shift;
    FOR (i, n * (p + pad)) memcpy(&x[i], &(uint32_t){POISON}, 4);
    wk_tensor t = wk_mat(x, WK_F32, n, p);
    t.ld = p + pad;
    FOR (i, n)
        FOR (j, p) ((float *)wk_row_ptr(t, i))[j] = value_of(8, (uint32_t)i, j);
    return t;
}

static void test_weighted_sum(wk_dev *dev, int64_t n, int64_t p, int pad, int shift) {
    wk_tensor x = rows_of(n, p, pad, shift), weight = doubles(n, 9, 0), y = doubles(p, 10, shift);
    for (int order = 0; order < 3; order++) {
        simt_order(order, 9);
        DO(wk_weighted_sum(dev, &(wk_weighted_sum_args){.y = y, .x = x, .weight = weight}));
        FOR (j, p) {
            double sum = 0;
            FOR (i, n) sum += ((double *)weight.data)[i] * (double)((float *)wk_row_ptr(x, i))[j];
            EXPECT(((double *)y.data)[j] == sum, "weighted_sum (%d, %d): column %d", (int)n, (int)p,
                   (int)j);
        }
    }
    release(x, shift), release(y, shift), free(weight.data);
}

/* Some columns are mostly ties, some have NaN, infinities and both zeros. */
static float awkward(int64_t i, int64_t j, float plain) {
    static const float odd[] = {-0.0f, 0.0f, 1.0f, -1.0f};
    if (j % 4 == 1) return odd[wk_mix64((uint64_t)(i * 31 + j)) % 4];
    if (j % 4 == 2 && i % 3 == 1) return i % 2 ? NAN : -NAN;
    if (j % 4 == 3 && i % 4 == 1) return i % 8 == 1 ? INFINITY : -INFINITY;
    return plain;
}

static bool stands_before(float a, int64_t i, float b, int64_t j) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b) ? i < j : !isnan(a);
    return a < b || (a == b && i < j);
}

/* The mean of ranks [lo, hi) of column j, by counting. */
static float by_counting(wk_tensor x, int64_t j, int64_t lo, int64_t hi, float *sorted) {
    const int64_t n = x.dim[0];
    FOR (i, n) {
        const float a = ((float *)wk_row_ptr(x, i))[j];
        int64_t rank = 0;
        FOR (k, n) rank += stands_before(((float *)wk_row_ptr(x, k))[j], k, a, i);
        sorted[rank] = a;
    }
    double sum = 0;
    for (int64_t rank = lo; rank < hi; rank++) sum += (double)sorted[rank];
    return (float)(sum / (double)(hi - lo));
}

static void test_order_stat(wk_dev *dev, int64_t n, int64_t p, int pad, int orders) {
    wk_tensor x = rows_of(n, p, pad, 0), y = floats(p, 11, 0);
    FOR (i, n)
        FOR (j, p) {
            float *at = &((float *)wk_row_ptr(x, i))[j];
            *at = awkward(i, j, *at);
        }
    float *sorted = take((size_t)n * 4);
    const int64_t ranges[][2] = {
        {(n - 1) / 2, n / 2 + 1}, {n / 4, n - n / 4}, {0, n}, {0, 1}, {n - 1, n}};
    for (int r = 0; r < 5; r++)
        for (int order = 0; order < orders; order++) {
            const int64_t lo = ranges[r][0], hi = ranges[r][1];
            simt_order(order, 9);
            DO(wk_order_stat(dev, &(wk_order_stat_args){.y = y, .x = x, .lo = lo, .hi = hi}));
            FOR (j, p) {
                const float want = by_counting(x, j, lo, hi, sorted);
                const float got = ((float *)y.data)[j];
                EXPECT(got == want || (isnan(got) && isnan(want)),
                       "order_stat (%d, %d), ranks %d to %d, column %d: %.9g, not %.9g", (int)n,
                       (int)p, (int)lo, (int)hi, (int)j, (double)got, (double)want);
            }
        }
    simt_order(0, 0);
    free(x.data), free(y.data), free(sorted);
}

/* ---- noise ---- */

static double normal_of(const wk_noise_args *a, int64_t i) {
    const wk_philox block = wk_philox4(a->key, (uint32_t)(i / 4), a->step, a->round, a->client);
    const double turn = 6.283185307179586476925;
    const double u = (double)block.v[i % 4 / 2 * 2] * 0x1p-32 + 0x1p-33;
    const double angle = ((double)block.v[i % 4 / 2 * 2 + 1] * 0x1p-32 + 0x1p-33) * turn;
    return sqrt(-2 * log(u)) * (i % 2 ? cos(angle) : sin(angle));
}

static void test_noise(wk_dev *dev, int64_t p, int shift) {
    wk_noise_args a = {.key = wk_rng_key(3, WK_RNG_TEST, 1), .step = 5, .round = 6, .client = 7};
    a.sigma = 0.5f;
    wk_tensor first = floats(p, 12, 0), was = floats(p, 12, 0);
    double mean = 0, square = 0;
    for (int order = 0; order < 3; order++) {
        simt_order(order, 9);
        a.y = order ? floats(p, 12, shift) : first;
        DO(wk_noise(dev, &a));
        worst w = {0};
        FOR (i, p) {
            const double before = (double)((float *)was.data)[i];
            const double after = (double)((float *)a.y.data)[i];
            compare(&w, after, before + (double)a.sigma * normal_of(&a, i));
            mean += (after - before) / 0.5,
                square += (after - before) / 0.5 * (after - before) / 0.5;
        }
        EXPECT(within(w, 1e-6), "noise: off by %.3g of %.3g", w.diff, w.scale);
        EXPECT(same(a.y, first), "noise: other bits at shift %d, order %d", shift, order);
        if (order) release(a.y, shift);
    }
    const double n = 3 * (double)p;
    EXPECT(p < 10000 || (fabs(mean / n) < 5 / sqrt((double)p) &&
                         fabs(square / n - 1) < 5 * sqrt(2 / (double)p)),
           "noise: mean %.3g, variance %.3g", mean / n, square / n);
    free(first.data), free(was.data);
}

int main(void) {
    wk_ctx ctx;
    wk_dev *dev = NULL, *ref = NULL;
    wk_ctx_init(&ctx, NULL);
    if (wk_dev_open_backend(&dev, &ctx, &wk_backend_simt, &(wk_dev_options){.threads = 1}) ||
        wk_dev_open(&ref, &ctx, &(wk_dev_options){.backend = "ref", .threads = 1})) {
        (void)fprintf(stderr, "%s\n", ctx.err.text);
        return 1;
    }
    const int64_t lengths[] = {1, 3, 1024, 1027, 8191, 8192, 8193, 30000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        test_update_add(dev, ref, 1, lengths[i]);
        test_update_add(dev, ref, 5, lengths[i]);
        test_noise(dev, lengths[i], 1);
    }
    for (int kind = WK_SERVER_AVG; kind <= WK_SERVER_YOGI; kind++)
        for (int full = 0; full < 2; full++) test_server_step(dev, ref, kind, full, 1003);
    test_weighted_sum(dev, 1, 1, 0, 0);
    test_weighted_sum(dev, 7, 2000, 0, 0);
    test_weighted_sum(dev, 7, 2000, 4, 1);
    test_weighted_sum(dev, 33, 1027, 1, 0);
    test_weighted_sum(dev, 0, 5, 0, 0);
    const int64_t counts[] = {1, 2, 3, 4, 5, 7, 8, 16, 17, 100, 129};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        test_order_stat(dev, counts[i], 131, 3, 3);
    test_order_stat(dev, 1000, 17, 0, 1);
    test_order_stat(dev, WK_MAX_RANKED, 9, 1, 1);
    wk_dev_close(ref);
    wk_dev_close(dev);
    (void)printf("%d checks failed\n", checks_failed);
    return checks_failed != 0;
}
