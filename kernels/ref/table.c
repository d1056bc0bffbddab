#include "kernels/ref/ref.h"

void ref_fill_ops(wk_ops *table) {
#define X(op) table->op = ref_##op;
    WK_OPS(X)
#undef X
    table->weight_pack_bytes = ref_weight_pack_bytes;
}
