#include "engine/sketch.h"

#include "kernels/ops.h"
#include "kernels/rng.h"

#include <math.h>
#include <string.h>

/* ---- hash functions ---- */

we_sketch_hash we_sketch_hash_draw(uint64_t seed, int row, bool folds_by_xor) {
    wk_stream s = wk_stream_at(wk_rng_key(seed, WK_RNG_SKETCH, (uint32_t)row), 0, 0, 0);
    we_sketch_hash h = {.folds_by_xor = folds_by_xor};
    for (int i = 0; i < 6; i++) h.f[i] = wk_stream_below(&s, WE_SKETCH_PRIME);
    return h;
}

/* a * j + b modulo 2^31 - 1, or folded once with XOR. */
static uint64_t step(const we_sketch_hash *h, uint64_t a, uint32_t j, uint32_t b) {
    const uint64_t r = a * j + b;
    return h->folds_by_xor ? ((r >> 31) ^ r) & WE_SKETCH_PRIME : r % WE_SKETCH_PRIME;
}

uint32_t we_sketch_bucket(const we_sketch_hash *h, uint32_t j, uint32_t width) {
    return (uint32_t)(step(h, h->f[0], j, h->f[1]) % width);
}

bool we_sketch_is_minus(const we_sketch_hash *h, uint32_t j) {
    const uint64_t cubic = step(h, step(h, step(h, h->f[2], j, h->f[3]), j, h->f[4]), j, h->f[5]);
    return !(cubic >> 15 & 1);
}

/* ---- tables ---- */

void we_sketch_fill_row(const we_sketch_hash *h, const int32_t *place, int64_t n, uint32_t width,
                        int32_t *start, int32_t *entry) {
    memset(start, 0, ((size_t)width + 1) * sizeof *start);
    for (int64_t j = 0; j < n; j++) start[we_sketch_bucket(h, (uint32_t)j, width) + 1]++;
    for (uint32_t b = 0; b < width; b++) start[b + 1] += start[b];
    for (int64_t j = 0; j < n; j++) /* moves each start to its end … */
        entry[start[we_sketch_bucket(h, (uint32_t)j, width)]++] =
            2 * place[j] + (we_sketch_is_minus(h, (uint32_t)j) ? 1 : 0);
    memmove(start + 1, start, width * sizeof *start); /* … which is the start of the next */
    start[0] = 0;
}

void we_sketch_invert_row(const int32_t *start, const int32_t *entry, uint32_t width,
                          int32_t *bucket, int64_t size) {
    for (int64_t i = 0; i < size; i++) bucket[i] = (int32_t)(2 * width);
    for (int32_t b = 0; b < (int32_t)width; b++)
        for (int32_t n = start[b]; n < start[b + 1]; n++)
            bucket[entry[n] >> 1] = 2 * b + (entry[n] & 1);
}

void we_sketch_fill_xor(const we_sketch_hash *h, int row, int64_t p, uint8_t *sign, uint8_t *rot,
                        int64_t rot_stride) {
    const uint8_t bit = (uint8_t)(1u << row);
    for (int64_t i = 0; i < p; i++) {
        if (i % WK_SKETCH_WIDTH == 0) {
            const uint32_t block = (uint32_t)(i / WK_SKETCH_WIDTH);
            rot[block * rot_stride] = (uint8_t)we_sketch_bucket(h, block, WK_SKETCH_WIDTH);
        }
        if (we_sketch_is_minus(h, (uint32_t)i)) sign[i] |= bit;
    }
}

/* ---- estimates ---- */

double we_sketch_sqnorm(const double *sketch, int depth, int64_t width) {
    double row[WE_SKETCH_DEPTH_MAX];
    for (int j = 0; j < depth; j++) {
        double sum = 0;
        for (int64_t b = 0; b < width; b++) sum += sketch[j * width + b] * sketch[j * width + b];
        int at = j; /* into its place among the rows so far; NaN stays behind */
        for (; at > 0 && row[at - 1] > sum; at--) row[at] = row[at - 1];
        row[at] = sum;
    }
    for (int j = 0; j < depth; j++)
        if (!isfinite(row[j])) return row[j];
    return row[depth / 2];
}

/* P(at least half of `depth` independent events), each of probability p. */
static double majority(int64_t depth, double p) {
    double sum = 0;
    for (int64_t k = depth / 2 + 1; k <= depth; k++) {
        double ways = 1;
        for (int64_t i = 0; i < k; i++) ways = ways * (double)(depth - i) / (double)(i + 1);
        sum += ways * pow(p, (double)k) * pow(1 - p, (double)(depth - k));
    }
    return sum;
}

double we_sketch_epsilon(int64_t depth, int64_t width, double failure) {
    const double root = sqrt((double)width);
    if (!(failure > 0)) return 1 / root;
    /* A row exceeds by c/sqrt(width), that is by c/sqrt(2) of its deviations, with probability
     * erfc(c/2)/2; the median exceeds when most rows do. Falls with c. */
    double low = 0, high = 64;
    for (int i = 0; i < 200; i++) {
        const double c = (low + high) / 2;
        if (majority(depth, erfc(c / 2) / 2) > failure)
            low = c;
        else
            high = c;
    }
    return (low + high) / 2 / root;
}
