/* The reference backend: every op as the plain loop of its definition in ops.h. Sums run in double
 * in a fixed order and are rounded once, on store; threads split rows, segments, sequences or slots
 * only. */
#ifndef REF_REF_H
#define REF_REF_H

#include "kernels/dev.h"
#include "kernels/parallel.h"

#include <math.h>
#include <string.h>

#define X(op) WEFT_NODISCARD weft_status ref_##op(wk_dev *dev, const wk_##op##_args *a);
WK_OPS(X)
#undef X

size_t ref_weight_pack_bytes(wk_dev *dev, int64_t o, int64_t d, wk_dtype dtype, bool dx);

/* The complete table; other backends start from it. */
void ref_fill_ops(wk_ops *table);

static inline float *ref_row(wk_tensor t, int64_t i) {
    return wk_row_ptr(t, i);
}

/* Numbers of a hidden operand, which is float32 or bfloat16: a row, or its end from column j on. */
typedef struct ref_hidden {
    void *at;
    bool half;
} ref_hidden;

static inline ref_hidden ref_hidden_at(wk_tensor t, int64_t i, int64_t j) {
    t.data = wk_row_ptr(t, i);
    return (ref_hidden){wk_cols(t, j, 0).data, t.dtype == WK_BF16};
}

static inline double ref_get(ref_hidden x, int64_t j) {
    return (double)(x.half ? wk_bf16_to_f32(((const uint16_t *)x.at)[j])
                           : ((const float *)x.at)[j]);
}

/* To nearest even in one step. The float between is rounded to odd: of the two floats around a
 * value that has none, the one with an odd last bit, from which the second rounding goes where one
 * rounding would have gone (Boldo, Melquiond 2008). */
static inline uint16_t ref_f64_to_bf16(double value) {
    const float near = (float)value;
    uint32_t bits;
    memcpy(&bits, &near, sizeof bits);
    if ((double)near != value && !(bits & 1u) && value == value)
        bits += fabs((double)near) < fabs(value) ? 1u : UINT32_MAX;
    float odd;
    memcpy(&odd, &bits, sizeof odd);
    return wk_f32_to_bf16(odd);
}

static inline void ref_put(ref_hidden y, int64_t j, double value) {
    if (y.half)
        ((uint16_t *)y.at)[j] = ref_f64_to_bf16(value);
    else
        ((float *)y.at)[j] = (float)value;
}

static inline const int32_t *ref_i32(wk_tensor t) {
    return t.data;
}

/* A slot takes part in an optimizer op (ops.h, wk_slot_state). */
static inline bool ref_slot_active(const wk_slot_state *s, int64_t k) {
    return ref_i32(s->step)[k] > 0 && ref_i32(s->dead)[k] == 0;
}

#endif
