#include "tests/simt/dev_simt.h"

#include "kernels/cuda/cuda.h"
#include "kernels/ref/host_memory.h"
#include "kernels/ref/ref.h"

#include <stdio.h>
#include <stdlib.h>

static void fill_ops(wk_ops *table) {
    ref_fill_ops(table);
    cuda_fill_kernels(table);
}

/* What an op leaves in the scratch memory is forgotten: no other op may count on it. Cases need
 * less than this much of it. */
#define FORGOTTEN_BYTES ((size_t)1 << 20)

static weft_status open_simt(wk_dev *dev) {
    void *memory = NULL, *scratch = NULL;
    WEFT_TRY(wk_host_alloc(dev->ctx, &memory, 1, sizeof(cuda_lane), "simt device"));
    if (posix_memalign(&scratch, 256, CUDA_SCRATCH_BYTES)) {
        wk_host_free(dev->ctx, memory);
        return WEFT_E_MEM;
    }
    simt_forget(scratch, FORGOTTEN_BYTES);
    cuda_lane *lane = memory;
    lane->sms = 4;
    lane->smem_max = 99 << 10; /* the least of the GPUs that we run on: sm_86 and sm_89 */
    simt_shared_limit(lane->smem_max);
    lane->scratch = scratch;
    lane->scratch_bytes = CUDA_SCRATCH_BYTES;
    dev->impl = lane;
    (void)snprintf(dev->note, sizeof dev->note, "CUDA kernels emulated on one core");
    return WEFT_OK;
}

static void close_simt(wk_dev *dev) {
    cuda_lane *lane = cuda_lane_of(dev);
    free(lane->scratch);
    wk_host_free(dev->ctx, lane);
}

/* A launch that would fail on a GPU has aborted by now. */
weft_status cuda_launched(wk_dev *dev, const char *op) {
    (void)op;
    simt_forget(cuda_lane_of(dev)->scratch, FORGOTTEN_BYTES);
    return WEFT_OK;
}

const wk_backend wk_backend_simt = {
    .abi = WK_ABI,
    .name = "simt",
    .open = open_simt,
    .close = close_simt,
    .alloc = ref_host_alloc,
    .release = ref_host_release,
    .upload = ref_host_upload,
    .download = ref_host_download,
    .sync = ref_host_sync,
    .fill_ops = fill_ops,
};
