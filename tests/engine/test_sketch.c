/* labels: fed */
/* FDA's sketch against numbers worked out by hand or by enumeration, and its statistics against
 * theory. */
#include "engine/sketch.h"
#include "kernels/dev.h"
#include "kernels/rng.h"
#include "tests/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static we_sketch_hash known(bool folds_by_xor) {
    return (we_sketch_hash){.f = {1103515245, 12345, 48271, 16807, 69621, 62089911},
                            .folds_by_xor = folds_by_xor};
}

/* Worked out in Python's integers. */
static void test_hash(void **state) {
    (void)state;
    static const struct {
        uint32_t j, bucket250, bucket500, xor500;
        char sign, xor_sign;
    } want[] = {{0, 95, 345, 345, '-', '-'},       {1, 90, 90, 90, '-', '-'},
                {2, 188, 188, 186, '-', '-'},      {3, 183, 433, 433, '+', '+'},
                {4, 31, 31, 31, '+', '+'},         {5, 26, 276, 272, '-', '-'},
                {6, 124, 374, 368, '-', '-'},      {7, 119, 119, 119, '-', '-'},
                {1000, 184, 434, 408, '-', '-'},   {294911, 72, 72, 392, '+', '-'},
                {1000000, 87, 337, 397, '+', '-'}, {99999999, 96, 96, 220, '+', '+'}};
    const we_sketch_hash sum = known(false), fold = known(true);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        assert_int_equal(we_sketch_bucket(&sum, want[i].j, 250), want[i].bucket250);
        assert_int_equal(we_sketch_bucket(&sum, want[i].j, 500), want[i].bucket500);
        assert_int_equal(we_sketch_bucket(&fold, want[i].j, 500), want[i].xor500);
        assert_int_equal(we_sketch_is_minus(&sum, want[i].j), want[i].sign == '-');
        assert_int_equal(we_sketch_is_minus(&fold, want[i].j), want[i].xor_sign == '-');
    }
}

/* The sketch of one row by its tables, as wk_table_sketch takes it. */
static void sketch_row(const we_sketch_hash *h, const double *v, int32_t n, uint32_t width,
                       double *out) {
    int32_t *place = calloc((size_t)n, sizeof *place), *entry = calloc((size_t)n, sizeof *entry);
    int32_t *start = calloc(width + 1, sizeof *start);
    for (int32_t j = 0; j < n; j++) place[j] = j;
    we_sketch_fill_row(h, place, n, width, start, entry);
    assert_int_equal(start[0], 0);
    assert_int_equal(start[width], n);
    for (uint32_t b = 0; b < width; b++) {
        out[b] = 0;
        for (int32_t i = start[b]; i < start[b + 1]; i++) {
            if (i > start[b]) assert_true(entry[i] > entry[i - 1]);
            assert_int_equal(we_sketch_bucket(h, (uint32_t)(entry[i] / 2), width), b);
            out[b] += entry[i] % 2 ? -v[entry[i] / 2] : v[entry[i] / 2];
        }
    }
    free(place), free(entry), free(start);
}

static void test_small_sketches(void **state) {
    (void)state;
    const double v[] = {1, 2, 3, 4, 5, 6, 7, 8};
    const double by_sum[] = {-9, 3, -9, -3}, by_xor[] = {-13, 3, -5, -3};
    const we_sketch_hash sum = known(false), fold = known(true);
    double got[4];
    sketch_row(&sum, v, 8, 4, got);
    for (int b = 0; b < 4; b++) assert_true(got[b] == by_sum[b]);
    assert_true(we_sketch_sqnorm(got, 1, 4) == 180);
    sketch_row(&fold, v, 8, 4, got);
    for (int b = 0; b < 4; b++) assert_true(got[b] == by_xor[b]);
    assert_true(we_sketch_sqnorm(got, 1, 4) == 212);
}

/* All 2^4 signs and 2^4 maps to two buckets. */
static void test_enumeration(void **state) {
    (void)state;
    const double v[] = {1, 2, 3, 4};
    double sum = 0, squares = 0;
    for (int signs = 0; signs < 16; signs++)
        for (int map = 0; map < 16; map++) {
            double row[2] = {0};
            for (int j = 0; j < 4; j++) row[map >> j & 1] += signs >> j & 1 ? -v[j] : v[j];
            const double estimate = we_sketch_sqnorm(row, 1, 2);
            sum += estimate, squares += estimate * estimate;
        }
    assert_true(sum / 256 == 30);
    assert_true(squares / 256 - 30 * 30 == 546);
}

static void test_trivial(void **state) {
    (void)state;
    double sketch[5 * 250] = {0};
    assert_true(we_sketch_sqnorm(sketch, 5, 250) == 0);
    for (int row = 0; row < 5; row++) {
        const we_sketch_hash h = we_sketch_hash_draw(3, row, false);
        double v[7] = {0, 0, 0, -1.5, 0, 0, 0};
        sketch_row(&h, v, 7, 250, sketch + row * 250);
    }
    assert_true(we_sketch_sqnorm(sketch, 5, 250) == 2.25);
    const double median[3] = {3, 1, 2}; /* squares 9, 1, 4 */
    assert_true(we_sketch_sqnorm(median, 3, 1) == 4);
    const double broken[3] = {1, (double)NAN, 2};
    assert_true(isnan(we_sketch_sqnorm(broken, 3, 1)));
    const double endless[3] = {1, (double)INFINITY, 2};
    assert_true(!isfinite(we_sketch_sqnorm(endless, 3, 1)));
}

/* ---- on the device ---- */

#define MOST_SLOTS 11
#define PLACES     1500 /* numbers and gaps */
#define MOST_WIDTH 5000

static wk_ctx ctx;

/* The tables of `depth` rows over the places that are not multiples of 16. */
typedef struct tables {
    int32_t entry[WE_SKETCH_DEPTH_MAX * PLACES], start[WE_SKETCH_DEPTH_MAX * (MOST_WIDTH + 1)],
        bucket[WE_SKETCH_DEPTH_MAX * PLACES];
} tables;

static wk_table_sketch_args make_tables(tables *t, int depth, uint32_t width) {
    static int32_t place[PLACES];
    int64_t n = 0;
    for (int32_t i = 0; i < PLACES; i++)
        if (i % 16) place[n++] = i;
    for (int j = 0; j < depth; j++) {
        const we_sketch_hash h = we_sketch_hash_draw(11, j, false);
        int32_t *start = t->start + (uint32_t)j * (width + 1), *entry = t->entry + j * n;
        we_sketch_fill_row(&h, place, n, width, start, entry);
        we_sketch_invert_row(start, entry, width, t->bucket + j * PLACES, PLACES);
        for (int32_t i = 0; i < PLACES; i += 16)
            assert_int_equal(t->bucket[j * PLACES + i], 2 * width);
        for (int64_t i = 0; i < n; i++)
            assert_int_equal(t->bucket[j * PLACES + place[i]],
                             2 * we_sketch_bucket(&h, (uint32_t)i, width) +
                                 we_sketch_is_minus(&h, (uint32_t)i));
    }
    return (wk_table_sketch_args){.entry = wk_mat(t->entry, WK_I32, depth, n),
                                  .start = wk_mat(t->start, WK_I32, depth, width + 1),
                                  .bucket = wk_mat(t->bucket, WK_I32, depth, PLACES)};
}

static wk_tensor sketches(float *data, int64_t slots, int64_t depth, int64_t width) {
    wk_tensor t = wk_mat(data, WK_F32, slots, depth * width);
    t.ndim = 3, t.dim[1] = depth, t.dim[2] = width;
    return t;
}

/* By bucket, as the reference, and by number: the same terms in the same order, to the bit; for any
 * number of slots and threads, and widths of which one, some or no row fits into a thread's memory
 * (there the processor gathers, too). */
static void test_both_tables(void **state) {
    (void)state;
    static float w[MOST_SLOTS * PLACES], anchor[PLACES], scale[PLACES];
    static tables t;
    static const struct {
        int depth, width, slots, threads;
    } shape[] = {{5, 250, 10, 2}, {3, 500, 11, 1}, {7, 600, 1, 4},
                 {5, 2, 3, 3},    {3, 4000, 9, 2}, {1, 5000, 2, 2}};
    check_randn(w, MOST_SLOTS * PLACES, 9, 1, 1.0f);
    check_randn(anchor, PLACES, 9, 2, 1.0f);
    check_randn(scale, PLACES, 9, 3, 1.0f);
    wk_ctx_init(&ctx, NULL);
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        const int64_t depth = shape[i].depth, width = shape[i].width, slots = shape[i].slots;
        const size_t count = (size_t)(slots * depth * width);
        float *got[2] = {calloc(count, sizeof **got), calloc(count, sizeof **got)};
        wk_table_sketch_args a = make_tables(&t, shape[i].depth, (uint32_t)shape[i].width);
        a.w = wk_mat(w, WK_F32, slots, PLACES), a.anchor = wk_vec(anchor, WK_F32, PLACES);
        const wk_tensor by_number = a.bucket;
        for (int weighted = 0; weighted < 2; weighted++) {
            if (weighted) a.scale = wk_vec(scale, WK_F32, PLACES);
            for (int by = 0; by < 2; by++) {
                const wk_dev_options device = {.backend = by ? "cpu" : "ref",
                                               .threads = shape[i].threads};
                wk_dev *dev = NULL;
                check_ok(wk_dev_open(&dev, &ctx, &device), &ctx.err);
                a.sketch = sketches(got[by], slots, depth, width);
                a.bucket = by ? by_number : (wk_tensor){0};
                check_ok(wk_table_sketch(dev, &a), &ctx.err);
                wk_dev_close(dev);
            }
            check_same("sketches", got[1], got[0], count * sizeof **got);
        }
        free(got[0]), free(got[1]);
    }
}

/* The sketch of 3 u - 5 v is 3 times that of u less 5 times that of v, to the bit for small whole
 * numbers: why a mean of sketches is the sketch of the mean. */
static void test_linear(void **state) {
    (void)state;
    enum { DEPTH = 3, WIDTH = 40, SIZE = DEPTH * WIDTH };
    static float w[3 * PLACES], anchor[PLACES], got[3 * SIZE];
    static tables t;
    wk_ctx_init(&ctx, NULL);
    wk_stream s = wk_stream_at(wk_rng_key(5, WK_RNG_TEST, 2), 0, 0, 0);
    for (int i = 0; i < PLACES; i++) {
        const float u = (float)wk_stream_below(&s, 201) - 100,
                    v = (float)wk_stream_below(&s, 201) - 100;
        anchor[i] = (float)wk_stream_below(&s, 100);
        w[i] = anchor[i] + u, w[PLACES + i] = anchor[i] + v;
        w[2 * PLACES + i] = anchor[i] + 3 * u - 5 * v;
    }
    wk_table_sketch_args a = make_tables(&t, DEPTH, WIDTH);
    a.w = wk_mat(w, WK_F32, 3, PLACES), a.anchor = wk_vec(anchor, WK_F32, PLACES);
    a.sketch = sketches(got, 3, DEPTH, WIDTH);
    static const char *const backends[] = {"ref", "cpu"};
    for (int i = 0; i < 2; i++) {
        wk_dev *dev = NULL;
        check_ok(wk_dev_open(&dev, &ctx, &(wk_dev_options){.backend = backends[i], .threads = 2}),
                 &ctx.err);
        memset(got, 0, sizeof got);
        check_ok(wk_table_sketch(dev, &a), &ctx.err);
        wk_dev_close(dev);
        float most = 0;
        for (int b = 0; b < SIZE; b++) {
            assert_true(got[2 * SIZE + b] == 3 * got[b] - 5 * got[SIZE + b]);
            most = fmaxf(most, fabsf(got[2 * SIZE + b]));
        }
        assert_true(most > 0);
    }
}

static void test_draws_are_fixed(void **state) {
    (void)state;
    const we_sketch_hash a = we_sketch_hash_draw(7, 2, false), b = we_sketch_hash_draw(7, 2, true);
    const we_sketch_hash c = we_sketch_hash_draw(7, 3, false), d = we_sketch_hash_draw(8, 2, false);
    assert_memory_equal(a.f, b.f, sizeof a.f);
    assert_memory_not_equal(a.f, c.f, sizeof a.f);
    assert_memory_not_equal(a.f, d.f, sizeof a.f);
    for (int i = 0; i < 6; i++) assert_true(a.f[i] < WE_SKETCH_PRIME);
}

/* c of epsilon = c/sqrt(width), from a table of normal quantiles. */
static void test_epsilon(void **state) {
    (void)state;
    static const struct {
        int depth;
        double failure, c;
    } want[] = {{1, 0.1, 1.81}, {1, 0.05, 2.33}, {1, 0.01, 3.29}, {1, 0.001, 4.37},
                {3, 0.1, 1.21}, {3, 0.05, 1.56}, {3, 0.01, 2.21}, {3, 0.001, 2.95},
                {5, 0.1, 0.97}, {5, 0.05, 1.25}, {5, 0.01, 1.77}, {5, 0.001, 2.36},
                {7, 0.1, 0.83}, {7, 0.05, 1.07}, {7, 0.01, 1.51}, {7, 0.001, 2.02}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_true(fabs(we_sketch_epsilon(want[i].depth, 400, want[i].failure) * 20 - want[i].c) <
                    0.006);
    assert_true(we_sketch_epsilon(5, 250, 0) == 1 / sqrt(250.0));
    /* And back: 1/sqrt(width) fails for 5 rows in 9.3 % of draws, for 3 in 14.5 %. */
    assert_true(fabs(we_sketch_epsilon(5, 100, 0.0930) - 0.1) < 1e-3);
    assert_true(fabs(we_sketch_epsilon(3, 100, 0.1449) - 0.1) < 1e-3);
}

/* ---- statistics over many draws of the hash functions ---- */

#define N     20000
#define DRAWS 2000

typedef struct tally {
    double sum, squares;
    int rows, above, within, sketches;
} tally;

static void add_sketch(tally *t, const double *row, int depth, double norm, double epsilon) {
    double sorted[WE_SKETCH_DEPTH_MAX], flat[WE_SKETCH_DEPTH_MAX];
    memcpy(sorted, row, (size_t)depth * sizeof *row);
    for (int j = 0; j < depth; j++) {
        t->sum += row[j] / norm, t->squares += row[j] * row[j] / (norm * norm), t->rows++;
        flat[j] = sqrt(row[j]); /* one bucket a row: the median of their squares */
    }
    const double ratio = we_sketch_sqnorm(flat, depth, 1) / norm;
    t->above += ratio > 1 + epsilon;
    t->within += fabs(ratio - 1) <= epsilon;
    t->sketches++;
}

static void check_tally(const tally *t, double deviation, double above, double within) {
    const double mean = t->sum / t->rows, sd = sqrt(t->squares / t->rows - mean * mean);
    if (fabs(mean - 1) > 4 * deviation / sqrt((double)t->rows) || fabs(sd / deviation - 1) > 0.05)
        print_error("mean %.5f, deviation %.5f, theory %.5f\n", mean, sd, deviation);
    assert_true(fabs(mean - 1) <= 4 * deviation / sqrt((double)t->rows));
    assert_true(fabs(sd / deviation - 1) <= 0.05);
    assert_true(fabs((double)t->above / t->sketches - above) <= 0.03);
    assert_true(fabs((double)t->within / t->sketches - within) <= 0.04);
}

static double normals(double *v, int64_t n, double *norm4) {
    wk_stream s = wk_stream_at(wk_rng_key(5, WK_RNG_TEST, 1), 0, 0, 0);
    double norm = 0;
    *norm4 = 0;
    for (int64_t i = 0; i < n; i++) {
        const double u = wk_stream_f64(&s) + 1e-300, w = wk_stream_f64(&s);
        v[i] = sqrt(-2 * log(u)) * cos(6.283185307179586 * w);
        norm += v[i] * v[i], *norm4 += v[i] * v[i] * v[i] * v[i];
    }
    return norm;
}

/* Adding straight into buckets: the tables are tested above. */
static double hash_row(const we_sketch_hash *h, const double *v, uint32_t width) {
    double bucket[500] = {0}, sum = 0;
    for (uint32_t j = 0; j < N; j++)
        bucket[we_sketch_bucket(h, j, width)] += we_sketch_is_minus(h, j) ? -v[j] : v[j];
    for (uint32_t b = 0; b < width; b++) sum += bucket[b] * bucket[b];
    return sum;
}

static void test_statistics_of_hashes(void **state) {
    (void)state;
    static double v[N];
    double norm4;
    const double norm = normals(v, N, &norm4);
    static const struct {
        int depth;
        uint32_t width;
        double above, within;
    } shape[] = {{3, 500, 0.145, 0.710}, {5, 250, 0.093, 0.814}};
    for (int s = 0; s < 2; s++) {
        tally t = {0};
        const uint32_t width = shape[s].width;
        for (uint64_t seed = 0; seed < DRAWS; seed++) {
            double row[WE_SKETCH_DEPTH_MAX];
            for (int j = 0; j < shape[s].depth; j++) {
                const we_sketch_hash h = we_sketch_hash_draw(seed, j, false);
                row[j] = hash_row(&h, v, width);
            }
            add_sketch(&t, row, shape[s].depth, norm, 1 / sqrt((double)width));
        }
        check_tally(&t, sqrt(2.0 / width * (1 - norm4 / (norm * norm))), shape[s].above,
                    shape[s].within);
    }
}

/* Blocks of 256 with exclusive or: buckets and signs as wk_drift reads them. */
static void test_statistics_of_blocks(void **state) {
    (void)state;
    enum { W = WK_SKETCH_WIDTH, BLOCKS = (N + W - 1) / W, DEPTH = 5 };
    static double v[N];
    static uint8_t sign[N], rot[BLOCKS * DEPTH];
    double norm4;
    const double norm = normals(v, N, &norm4);
    tally t = {0};
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        double row[DEPTH];
        memset(sign, 0, sizeof sign);
        for (int j = 0; j < DEPTH; j++) {
            const we_sketch_hash h = we_sketch_hash_draw(seed, j, false);
            double bucket[W] = {0};
            we_sketch_fill_xor(&h, j, N, sign, rot + j, DEPTH);
            for (int i = 0; i < N; i++)
                bucket[(i % W) ^ rot[i / W * DEPTH + j]] += sign[i] >> j & 1 ? -v[i] : v[i];
            row[j] = 0;
            for (int b = 0; b < W; b++) row[j] += bucket[b] * bucket[b];
        }
        add_sketch(&t, row, DEPTH, norm, 1 / 16.0);
    }
    /* No two of a block meet, which lowers the deviation by the share of such pairs. */
    check_tally(&t, sqrt(2.0 / W * (1 - norm4 / (norm * norm)) * (1 - (double)W / N)), 0.093,
                0.814);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_small_sketches),
        cmocka_unit_test(test_enumeration),
        cmocka_unit_test(test_trivial),
        cmocka_unit_test(test_both_tables),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_draws_are_fixed),
        cmocka_unit_test(test_epsilon),
        cmocka_unit_test(test_statistics_of_hashes),
        cmocka_unit_test(test_statistics_of_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
