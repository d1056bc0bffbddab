/* Ranges for profilers: NVTX 3, which is headers only and does nothing unless a tool has injected
 * itself. Ranges around recorded work show up once, when it is recorded. */
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
