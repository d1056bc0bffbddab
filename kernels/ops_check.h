/* The shared checks of ops.c, one per op, and the small language they are written in.
 *
 * A check latches its first failure: later lines are then no-ops, so a check reads as a list of
 * what must hold. Lines on an operand that is not given are no-ops too; `wk_need` is what demands
 * one. */
#ifndef WK_OPS_CHECK_H
#define WK_OPS_CHECK_H

#include "kernels/dev.h"

typedef struct wk_check {
    wk_dev *dev;
    const char *op;
    weft_status st;
} wk_check;

/* Name and operand of an argument struct: wk_need(c, WK_ARG(x), WK_F32, 2). */
#define WK_ARG(field) #field, a->field

/* The operand is given, of this dtype and number of dimensions, with a sane stride and an address.
 */
void wk_need(wk_check *c, const char *name, wk_tensor t, wk_dtype dtype, int32_t ndim);
/* The same when it is given. */
void wk_need_opt(wk_check *c, const char *name, wk_tensor t, wk_dtype dtype, int32_t ndim);
/* The same for a hidden operand: float32 or bfloat16. */
void wk_need_hidden(wk_check *c, const char *name, wk_tensor t, int32_t ndim);
void wk_need_hidden_opt(wk_check *c, const char *name, wk_tensor t, int32_t ndim);
/* Hidden operands that share one dtype, (H) in ops.h. */
void wk_same_dtype(wk_check *c, const char *a_name, wk_tensor a, const char *b_name, wk_tensor b);
/* a.dim[i] == b.dim[j]. */
void wk_same_dim(wk_check *c, const char *a_name, wk_tensor a, int i, const char *b_name,
                 wk_tensor b, int j);
void wk_same_shape(wk_check *c, const char *a_name, wk_tensor a, const char *b_name, wk_tensor b);
/* The views share no element. */
void wk_apart(wk_check *c, const char *a_name, wk_tensor a, const char *b_name, wk_tensor b);
/* The views share no element, or are the same view. */
void wk_apart_or_same(wk_check *c, const char *a_name, wk_tensor a, const char *b_name,
                      wk_tensor b);
/* off (S+1) and slot (S). */
void wk_need_segs(wk_check *c, wk_segs segs);
/* Four vectors as long as the first dimension of w. */
void wk_need_slots(wk_check *c, wk_slot_state slots, const char *w_name, wk_tensor w);
/* A condition on scalars; the message follows the op's name. */
void wk_require(wk_check *c, bool holds, weft_status status, const char *format, ...)
    WEFT_PRINTF(4, 5);

#define X(op) WEFT_NODISCARD weft_status wk_check_##op(wk_dev *dev, const wk_##op##_args *a);
WK_OPS(X)
#undef X

#endif
