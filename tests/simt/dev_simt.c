#include "tests/simt/dev_simt.h"

#include "kernels/cuda/cuda.h"
#include "kernels/ref/host_memory.h"
#include "kernels/ref/ref.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEN_MAX  256
#define KEY_BYTES 128

typedef struct simt_impl {
    cuda_lane lane; /* first: see cuda_lane_of */
    struct {
        unsigned char key[KEY_BYTES];
        size_t bytes;
        uint64_t trace;
    } seen[SEEN_MAX];
    int n_seen;
} simt_impl;

/* Products are no launches here, but they are part of what a graph would hold. */
static weft_status linear_fwd(wk_dev *dev, const wk_linear_fwd_args *a) {
    const void *const where[] = {a->y.data, a->x.data, a->bias.data, a->residual.data,
                                 a->w->w.data};
    simt_trace_add(where, sizeof where);
    simt_trace_add(a->y.dim, sizeof a->y.dim);
    return ref_linear_fwd(dev, a);
}

static weft_status linear_dx(wk_dev *dev, const wk_linear_dx_args *a) {
    const void *const where[] = {a->dx.data, a->dy.data, a->w->w.data};
    simt_trace_add(where, sizeof where);
    simt_trace_add(a->dx.dim, sizeof a->dx.dim);
    return ref_linear_dx(dev, a);
}

static void fill_ops(wk_ops *table) {
    ref_fill_ops(table);
    cuda_fill_kernels(table);
    table->linear_fwd = linear_fwd;
    table->linear_dx = linear_dx;
}

/* Nothing is recorded, but what would go wrong with a CUDA graph is an error: work that is not the
 * same every time that its key comes. */
static weft_status replay(wk_dev *dev, const void *key, size_t bytes, wk_body body, void *ud) {
    simt_impl *impl = dev->impl;
    int i = 0;
    (void)simt_trace();
    WEFT_TRY(body(ud));
    const uint64_t trace = simt_trace();
    while (i < impl->n_seen &&
           (impl->seen[i].bytes != bytes || memcmp(impl->seen[i].key, key, bytes) != 0))
        i++;
    if (i < impl->n_seen && impl->seen[i].trace != trace)
        return WEFT_FAIL(&dev->ctx->err, WEFT_E_DEVICE,
                         "replay: the work of a key is not what it was before");
    if (i < impl->n_seen || i == SEEN_MAX || bytes > KEY_BYTES) return WEFT_OK;
    memcpy(impl->seen[i].key, key, bytes);
    impl->seen[i].bytes = bytes, impl->seen[i].trace = trace;
    impl->n_seen++;
    return WEFT_OK;
}

/* What an op leaves in the scratch memory is forgotten: no other op may count on it. Cases need
 * less than this much of it. */
#define FORGOTTEN_BYTES ((size_t)1 << 20)

static weft_status open_simt(wk_dev *dev) {
    void *memory = NULL, *scratch = NULL;
    WEFT_TRY(wk_host_alloc(dev->ctx, &memory, 1, sizeof(simt_impl), "simt device"));
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
    .replay = replay,
};
