/* The one function that libweft_cuda.so exports. Its signature is repeated in host/plugin.c, which
 * may not see this layer; change both, and the name with them. */
#include "kernels/cuda/cuda.h"

#include <cuda_runtime_api.h>

/* *interface: WK_ABI of this build; *runtime: the CUDA runtime that it was built with, 13000 for
 * 13.0; *version: Weft's. */
__attribute__((visibility("default"))) const wk_backend *
weft_plugin(uint32_t *interface, int *runtime, const char **version);

const wk_backend *weft_plugin(uint32_t *interface, int *runtime, const char **version) {
    *interface = WK_ABI;
    *runtime = CUDART_VERSION;
    *version = WEFT_VERSION;
    return &wk_backend_cuda;
}
