/* Sorting without allocation and without ties left open: equal keys stay in index order, so the
 * result is one and the same everywhere. Heapsort (Williams 1964), O(n log n) in every case. */
#ifndef WE_ORDER_H
#define WE_ORDER_H

#include <stdint.h>

/* Ascending, in place. */
void we_sort_i32(int32_t *value, int64_t n);
void we_sort_i64(int64_t *value, int64_t n);
/* index (n) becomes the permutation that sorts key (n) ascending, equal keys by index. NaN comes
 * last. */
void we_order_f32(int32_t *index, const float *key, int64_t n);

#endif
