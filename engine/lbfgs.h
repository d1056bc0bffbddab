/* Minimisation of a smooth function by L-BFGS (Liu and Nocedal 1989), ten pairs of memory, with the
 * weak Wolfe line search by bisection (Lewis and Overton 2013). Deterministic. */
#ifndef WE_LBFGS_H
#define WE_LBFGS_H

#include "kernels/base.h"

/* The value at x (n); fills gradient (n). */
typedef double (*we_objective)(void *ud, const double *x, double *gradient);

typedef struct we_lbfgs_options {
    int32_t max_iterations;
    double tolerance; /* stop when no component of the gradient is larger */
    /* May be NULL. Called before each iteration; false stops with WEFT_E_STOPPED. */
    bool (*tick)(void *ud, int64_t done, int64_t total);
    void *tick_ud;
} we_lbfgs_options;

/* x (n): the start, then the minimiser. *value (may be NULL): the minimum. Ends as well when the
 * function can no longer be lowered in double precision, or after max_iterations. WEFT_E_DATA: the
 * start is not finite. Scratch of 24n doubles from ctx. */
WEFT_NODISCARD weft_status we_lbfgs(wk_ctx *ctx, double *x, int64_t n, we_objective f, void *ud,
                                    const we_lbfgs_options *options, double *value);

#endif
