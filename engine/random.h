/* Distributions and shuffles on top of Philox streams (kernels/rng.h), for host code: partitions,
 * cohorts, order of rows. Everything is a pure function of the stream. */
#ifndef WE_RANDOM_H
#define WE_RANDOM_H

#include "kernels/rng.h"

#include <stdint.h>

/* Standard normal: Box and Muller 1958, one of the pair. */
double we_random_normal(wk_stream *s);

/* log of a Gamma(shape, 1) variate, shape > 0: Marsaglia and Tsang 2000, "A simple method for
 * generating gamma variables"; shape < 1 by G(shape) = G(shape + 1) * U^(1/shape). In logarithms,
 * because small shapes give values below the smallest double. */
double we_random_log_gamma(wk_stream *s, double shape);

/* out (n) ~ Dirichlet(alpha, …, alpha), n >= 1; sums to 1. */
void we_random_dirichlet(wk_stream *s, double alpha, double *out, int32_t n);

/* Fisher and Yates: every order of `value` (n) equally likely. n < 2^32. */
void we_random_shuffle(wk_stream *s, int32_t *value, int64_t n);

/* A keyed permutation of [0, n) that needs no memory: the image of any position by itself. A
 * generalised Feistel network over Z_a x Z_b with a*b >= n, walking on while outside (Black and
 * Rogaway 2002, "Ciphers with arbitrary finite domains"), its round functions being Philox. */
typedef struct we_permutation {
    uint64_t key;
    uint32_t n, a, b;
    uint32_t round_low, round_high; /* of the Philox counter */
} we_permutation;

/* n in [1, 2^31]. Different (key, index) give independent permutations. */
we_permutation we_permutation_make(uint64_t key, uint64_t index, uint32_t n);
uint32_t we_permutation_at(const we_permutation *p, uint32_t position);
/* The inverse: the position whose image is `value`. */
uint32_t we_permutation_find(const we_permutation *p, uint32_t value);

#endif
