/* The overrides of one instruction set. */
#include "kernels/cpu/vec.h"

void WK_VEC(cpu_fill_vec)(wk_ops *table) {
#define X(family) WK_VEC(cpu_fill_##family)(table);
    CPU_VEC_FAMILIES(X)
#undef X
}
