/* Times on the lane, and ranges for profilers: NVTX 3, which is headers only and does nothing
 * unless a tool has injected itself. Ranges around recorded work show up once, when it is recorded.
 */
#include "kernels/cuda/impl.h"

#include <nvtx3/nvToolsExt.h>

void cuda_range(wk_dev *dev, const char *name) {
    cuda_impl *impl = cuda_impl_of(dev);
    if (!impl->domain) impl->domain = nvtxDomainCreateA("weft");
    nvtxDomainHandle_t domain = impl->domain;
    if (impl->in_range) (void)nvtxDomainRangePop(domain);
    impl->in_range = name != NULL;
    if (!name) return;
    const nvtxEventAttributes_t range = {
        .version = NVTX_VERSION,
        .size = NVTX_EVENT_ATTRIB_STRUCT_SIZE,
        .messageType = NVTX_MESSAGE_TYPE_ASCII,
        .message.ascii = name,
    };
    (void)nvtxDomainRangePushEx(domain, &range);
}

weft_status cuda_stamp(wk_dev *dev, int i) {
    cuda_impl *impl = cuda_impl_of(dev);
    WEFT_TRY(cuda_ready_outside(dev, "stamp"));
    if (!impl->stamp[i])
        WEFT_TRY(cuda_try(dev, cudaEventCreate(&impl->stamp[i]), "cudaEventCreate"));
    return cuda_try(dev, cudaEventRecord(impl->stamp[i], impl->stream), "stamp");
}

weft_status cuda_between(wk_dev *dev, int i, int j, double *seconds) {
    cuda_impl *impl = cuda_impl_of(dev);
    float ms = 0;
    WEFT_TRY(cuda_ready_outside(dev, "stamp"));
    WEFT_TRY(cuda_try(dev, cudaEventSynchronize(impl->stamp[j]), "stamp"));
    WEFT_TRY(cuda_try(dev, cudaEventElapsedTime(&ms, impl->stamp[i], impl->stamp[j]), "stamp"));
    *seconds = 1e-3 * (double)ms;
    return WEFT_OK;
}

void cuda_stamps_close(wk_dev *dev) {
    cuda_impl *impl = cuda_impl_of(dev);
    for (int i = 0; i < WK_STAMPS; i++)
        if (impl->stamp[i]) (void)cudaEventDestroy(impl->stamp[i]);
}
