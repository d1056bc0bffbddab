#include "engine/random.h"

#include <math.h>

double we_random_normal(wk_stream *s) {
    const double two_pi = 6.283185307179586;
    double u = 1.0 - wk_stream_f64(s), v = wk_stream_f64(s); /* u in (0, 1] */
    return sqrt(-2.0 * log(u)) * cos(two_pi * v);
}

double we_random_log_gamma(wk_stream *s, double shape) {
    double boost = 0;
    if (shape < 1) {
        boost = log(1.0 - wk_stream_f64(s)) / shape;
        shape += 1;
    }
    const double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = we_random_normal(s), t = 1 + c * x;
        if (t <= 0) continue;
        double v = t * t * t, u = 1.0 - wk_stream_f64(s);
        if (log(u) < 0.5 * x * x + d - d * v + d * log(v)) return log(d) + log(v) + boost;
    }
}

void we_random_dirichlet(wk_stream *s, double alpha, double *out, int32_t n) {
    double top = -HUGE_VAL, sum = 0;
    for (int32_t i = 0; i < n; i++) {
        out[i] = we_random_log_gamma(s, alpha);
        top = fmax(top, out[i]);
    }
    for (int32_t i = 0; i < n; i++) {
        out[i] = exp(out[i] - top);
        sum += out[i];
    }
    for (int32_t i = 0; i < n; i++) out[i] /= sum;
}

void we_random_shuffle(wk_stream *s, int32_t *value, int64_t n) {
    for (int64_t i = n; i-- > 1;) {
        uint32_t j = wk_stream_below(s, (uint32_t)i + 1);
        int32_t moved = value[i];
        value[i] = value[j], value[j] = moved;
    }
}

/* Rounds until small domains, where a round has few functions to choose from, are mixed as well:
 * the test counts every permutation of up to five elements. Even, so that the halves end where they
 * began. */
#define FEISTEL_ROUNDS 16

we_permutation we_permutation_make(uint64_t key, uint64_t index, uint32_t n) {
    uint32_t a = (uint32_t)ceil(sqrt((double)n));
    we_permutation p = {.key = key,
                        .n = n,
                        .a = a,
                        .b = (uint32_t)(((uint64_t)n + a - 1) / a),
                        .round_low = (uint32_t)index,
                        .round_high = (uint32_t)(index >> 32)};
    return p;
}

/* What a round adds to the half it changes, given the half it reads. */
static uint32_t feistel_shift(const we_permutation *p, uint32_t read, uint32_t round,
                              uint32_t size) {
    uint32_t u = wk_philox4(p->key, read, round, p->round_low, p->round_high).v[0];
    return (uint32_t)(((uint64_t)u * size) >> 32);
}

uint32_t we_permutation_at(const we_permutation *p, uint32_t position) {
    uint32_t x = position;
    do {
        uint32_t left = x / p->b, right = x % p->b; /* in Z_a and Z_b */
        for (uint32_t round = 0; round < FEISTEL_ROUNDS; round += 2) {
            left = (left + feistel_shift(p, right, round, p->a)) % p->a;
            right = (right + feistel_shift(p, left, round + 1, p->b)) % p->b;
        }
        x = left * p->b + right;
    } while (x >= p->n);
    return x;
}

uint32_t we_permutation_find(const we_permutation *p, uint32_t value) {
    uint32_t x = value;
    do {
        uint32_t left = x / p->b, right = x % p->b;
        for (uint32_t round = FEISTEL_ROUNDS; round > 0; round -= 2) {
            right = (right + p->b - feistel_shift(p, left, round - 1, p->b)) % p->b;
            left = (left + p->a - feistel_shift(p, right, round - 2, p->a)) % p->a;
        }
        x = left * p->b + right;
    } while (x >= p->n);
    return x;
}
