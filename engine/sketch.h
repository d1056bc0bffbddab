/* The sketch with which FDA's clients tell the server about their updates: rows of buckets, every
 * number added with a sign to one bucket of each row. It is linear, so the mean of sketches is the
 * sketch of the mean, and the median over rows of the sum of squares estimates the squared norm.
 * Alon, Matias, Szegedy 1999 (AMS) in the layout of Charikar, Chen, Farach-Colton 2002, as FDA
 * (Theologitis et al. 2024) uses it.
 *
 * Of one row the relative deviation is sqrt(2/width), whatever the vector, as long as buckets are
 * pairwise and signs 4-wise independent. */
#ifndef WE_SKETCH_H
#define WE_SKETCH_H

#include <stdbool.h>
#include <stdint.h>

#define WE_SKETCH_DEPTH_MAX 7
#define WE_SKETCH_PRIME     2147483647u /* 2^31 - 1 */

/* The six coefficients of a row: two of the bucket's polynomial, four of the sign's. */
typedef struct we_sketch_hash {
    uint32_t f[6];
    bool
        folds_by_xor; /* with XOR in place of an addition, as the authors' code: no proven family */
} we_sketch_hash;

#define WE_SKETCH_HASH_BYTES 24 /* of a row on the wire */

we_sketch_hash we_sketch_hash_draw(uint64_t seed, int row, bool folds_by_xor);
/* Of coordinate j: (f0 j + f1 mod p) mod width; whether bit 15 of f2 j^3 + f3 j^2 + f4 j + f5 mod p
 * is 0. */
uint32_t we_sketch_bucket(const we_sketch_hash *h, uint32_t j, uint32_t width);
bool we_sketch_is_minus(const we_sketch_hash *h, uint32_t j);

/* One row's tables for wk_table_sketch. Coordinate j lies at place[j]. start (width+1) is filled,
 * entry (n): 2 * place + (1 for minus), by bucket, ascending within one. */
void we_sketch_fill_row(const we_sketch_hash *h, const int32_t *place, int64_t n, uint32_t width,
                        int32_t *start, int32_t *entry);
/* The same row by number: bucket (size) of wk_table_sketch. */
void we_sketch_invert_row(const int32_t *start, const int32_t *entry, uint32_t width,
                          int32_t *bucket, int64_t size);
/* Row `row` of the tables of wk_drift: bit `row` of sign (p), rot (blocks) with a stride. */
void we_sketch_fill_xor(const we_sketch_hash *h, int row, int64_t p, uint8_t *sign, uint8_t *rot,
                        int64_t rot_stride);

/* The median over rows of the sum of squares. sketch (depth, width), depth odd. */
double we_sketch_sqnorm(const double *sketch, int depth, int64_t width);

/* epsilon with P(sqnorm of the sketch > (1 + epsilon) of the true one) = failure, in the limit of
 * many coordinates, where a row's estimate is normal; failure 0: 1/sqrt(width), the papers'. */
double we_sketch_epsilon(int64_t depth, int64_t width, double failure);

#endif
