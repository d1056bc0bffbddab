/* The reference backend: every op as the plain loop of its definition in ops.h. Sums run in double
 * in a fixed order and are rounded once, on store; threads split rows, segments, sequences or slots
 * only. */
#ifndef REF_REF_H
#define REF_REF_H

#include "kernels/dev.h"
#include "kernels/parallel.h"

#define X(op) WEFT_NODISCARD weft_status ref_##op(wk_dev *dev, const wk_##op##_args *a);
WK_OPS(X)
#undef X

size_t ref_weight_pack_bytes(wk_dev *dev, int64_t o, int64_t d, bool dx);

/* The complete table; other backends start from it. */
void ref_fill_ops(wk_ops *table);

static inline float *ref_row(wk_tensor t, int64_t i) {
    return wk_row_ptr(t, i);
}

static inline const int32_t *ref_i32(wk_tensor t) {
    return t.data;
}

/* A slot takes part in an optimizer op (ops.h, wk_slot_state). */
static inline bool ref_slot_active(const wk_slot_state *s, int64_t k) {
    return ref_i32(s->step)[k] > 0 && ref_i32(s->dead)[k] == 0;
}

#endif
