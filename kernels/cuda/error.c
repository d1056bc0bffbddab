/* Failures of CUDA as messages, and the device that has failed for good. */
#include "kernels/cuda/impl.h"

#include <stdio.h>

static weft_status poisoned(wk_dev *dev, const char *what, const char *name, const char *text) {
    char line[400];
    (void)snprintf(line, sizeof line, "%s: %s (%s)", what, name, text);
    return cuda_poison_set(&cuda_impl_of(dev)->poison, &dev->ctx->err, line);
}

weft_status cuda_try(wk_dev *dev, cudaError_t e, const char *what) {
    if (e == cudaSuccess) return WEFT_OK;
    (void)cudaGetLastError(); /* taken note of: the next op must not report it again */
    return poisoned(dev, what, cudaGetErrorName(e), cudaGetErrorString(e));
}

weft_status cuda_try_lt(wk_dev *dev, cublasStatus_t s, const char *what) {
    if (s == CUBLAS_STATUS_SUCCESS) return WEFT_OK;
    return poisoned(dev, what, cublasLtGetStatusName(s), cublasLtGetStatusString(s));
}

weft_status cuda_ready(wk_dev *dev) {
    cuda_impl *impl = cuda_impl_of(dev);
    WEFT_TRY(cuda_poison_check(&impl->poison, &dev->ctx->err));
    return cuda_try(dev, cudaSetDevice(impl->ordinal), "cudaSetDevice");
}

weft_status cuda_ready_outside(wk_dev *dev, const char *what) {
    if (cuda_impl_of(dev)->capturing)
        return WEFT_FAIL(&dev->ctx->err, WEFT_E_ARG,
                         "%s inside the body of a replay: a body calls ops only", what);
    return cuda_ready(dev);
}

/* A kernel that fails while it runs is noticed by a later call, whose name the message then has;
 * options.check waits here instead, except while a graph is recorded, which runs nothing. */
weft_status cuda_launched(wk_dev *dev, const char *op) {
    cuda_impl *impl = cuda_impl_of(dev);
    WEFT_TRY(cuda_poison_check(&impl->poison, &dev->ctx->err));
    WEFT_TRY(cuda_try(dev, cudaGetLastError(), op));
    if (!dev->options.check || impl->capturing) return WEFT_OK;
    return cuda_try(dev, cudaStreamSynchronize(impl->stream), op);
}
