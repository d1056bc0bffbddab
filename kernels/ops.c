/* wk_<op>(): the shared check (ops_check_*.c), then the backend. */
#include "kernels/ops.h"

#include "kernels/ops_check.h"

#define X(op)                                                                                      \
    weft_status wk_##op(wk_dev *dev, const wk_##op##_args *a) {                                    \
        WEFT_TRY(wk_check_##op(dev, a));                                                           \
        return dev->ops.op(dev, a);                                                                \
    }
WK_OPS(X)
#undef X

size_t wk_weight_pack_bytes(wk_dev *dev, int64_t o, int64_t d, wk_dtype dtype, bool dx) {
    return dev->ops.weight_pack_bytes(dev, o, d, dtype, dx);
}
