#include "tests/cuda/gpu.h"
#include "tests/device/device.h"

const wk_backend *device_under_test(void) {
    wk_ctx ctx;
    wk_ctx_init(&ctx, NULL);
    wk_dev_close(gpu_open(&ctx, (wk_dev_options){0})); /* or the end of the program */
    return &wk_backend_cuda;
}
