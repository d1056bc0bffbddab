/* The backends that are compiled in. Only dev.c and tests name them. */
#ifndef WK_BACKENDS_H
#define WK_BACKENDS_H

#include "kernels/dev.h"

extern const wk_backend wk_backend_ref; /* kernels/ref: plain loops, the oracle */
extern const wk_backend wk_backend_cpu; /* kernels/cpu: ref with its hot ops overridden */
extern const wk_backend wk_backend_dry; /* kernels/dry: shapes, bytes and FLOPs only */

#endif
