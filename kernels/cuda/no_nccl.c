/* In place of nccl.c where NCCL's header was not found, or not wanted (WEFT_NCCL). */
#include "kernels/cuda/impl.h"

static weft_status find(wk_dev *dev, wk_comm_offer *out) {
    (void)out;
    return WEFT_FAIL(&dev->ctx->err, WEFT_E_UNSUPPORTED,
                     "the CUDA plugin was built without NCCL (WEFT_NCCL)");
}

const wk_comm_calls cuda_comm_calls = {.find = find};
