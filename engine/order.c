#include "engine/order.h"

#include <math.h>
#include <stdbool.h>

/* One heapsort for an array of TYPE; `before(a, b)` is a strict total order. */
#define HEAPSORT(name, TYPE, EXTRA, before)                                                        \
    static void name##_sift(TYPE *v, int64_t root, int64_t n EXTRA) {                              \
        TYPE moved = v[root];                                                                      \
        for (int64_t child = 2 * root + 1; child < n; root = child, child = 2 * root + 1) {        \
            if (child + 1 < n && before(v[child], v[child + 1])) child++;                          \
            if (!before(moved, v[child])) break;                                                   \
            v[root] = v[child];                                                                    \
        }                                                                                          \
        v[root] = moved;                                                                           \
    }

#define NOTHING
#define LESS(a, b) ((a) < (b))
HEAPSORT(i32, int32_t, NOTHING, LESS)
HEAPSORT(i64, int64_t, NOTHING, LESS)

static bool key_before(float x, float y, int32_t i, int32_t j) {
    if (isnan(x) || isnan(y)) return isnan(x) == isnan(y) ? i < j : isnan(y);
    return x < y || (x == y && i < j);
}
#define WITH_KEY       , const float *key
#define KEY_LESS(a, b) key_before(key[a], key[b], (a), (b))
HEAPSORT(f32, int32_t, WITH_KEY, KEY_LESS)

void we_sort_i32(int32_t *value, int64_t n) {
    for (int64_t i = n / 2; i-- > 0;) i32_sift(value, i, n);
    for (int64_t end = n; end-- > 1;) {
        int32_t last = value[end];
        value[end] = value[0], value[0] = last;
        i32_sift(value, 0, end);
    }
}

void we_sort_i64(int64_t *value, int64_t n) {
    for (int64_t i = n / 2; i-- > 0;) i64_sift(value, i, n);
    for (int64_t end = n; end-- > 1;) {
        int64_t last = value[end];
        value[end] = value[0], value[0] = last;
        i64_sift(value, 0, end);
    }
}

void we_order_f32(int32_t *index, const float *key, int64_t n) {
    for (int64_t i = 0; i < n; i++) index[i] = (int32_t)i;
    for (int64_t i = n / 2; i-- > 0;) f32_sift(index, i, n, key);
    for (int64_t end = n; end-- > 1;) {
        int32_t last = index[end];
        index[end] = index[0], index[0] = last;
        f32_sift(index, 0, end, key);
    }
}
