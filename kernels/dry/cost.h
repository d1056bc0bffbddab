/* FLOPs and bytes of every op: the one place with these formulas. */
#ifndef DRY_COST_H
#define DRY_COST_H

#include "kernels/ops.h"

/* flops: a multiply and an add count as two, exp and the like as one. bytes: each operand read or
 * written once, a floor for any backend. Offsets are not readable on a dry device, so a segmented
 * op counts as if its segments covered all rows, and attention as if every sequence were max_len
 * long. */
typedef struct dry_cost {
    double flops, bytes;
} dry_cost;

#define X(op) dry_cost dry_cost_##op(const wk_##op##_args *a);
WK_OPS(X)
#undef X

#endif
