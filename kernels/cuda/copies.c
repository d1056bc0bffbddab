/* Moving bytes between host and device: uploads through staging, downloads, and copies beside the
 * ops from and to pinned memory. */
#include "kernels/cuda/impl.h"

#include <string.h>

/* ---- staging ---- */

static weft_status event_new(wk_dev *dev, cudaEvent_t *out) {
    return cuda_try(dev, cudaEventCreateWithFlags(out, cudaEventDisableTiming), "cudaEventCreate");
}

weft_status cuda_staging_open(wk_dev *dev, unsigned char *landing) {
    cuda_staging *s = &cuda_impl_of(dev)->staging;
    s->landing = landing;
    s->small_ring.slots = CUDA_SMALL_SLOTS;
    s->large_ring.slots = CUDA_LARGE_SLOTS;
    for (uint32_t i = 0; i < CUDA_SMALL_SLOTS; i++) WEFT_TRY(event_new(dev, &s->small_done[i]));
    for (uint32_t i = 0; i < CUDA_LARGE_SLOTS; i++) {
        WEFT_TRY(event_new(dev, &s->large_arrived[i]));
        WEFT_TRY(event_new(dev, &s->large_done[i]));
    }
    void *memory = NULL;
    WEFT_TRY(cuda_try(
        dev, cudaHostAlloc(&memory, CUDA_SMALL_SLOTS * CUDA_SMALL_BYTES, cudaHostAllocPortable),
        "pinned memory for uploads"));
    s->small = memory;
    WEFT_TRY(cuda_try(
        dev, cudaHostAlloc(&memory, CUDA_LARGE_SLOTS * CUDA_LARGE_BYTES, cudaHostAllocPortable),
        "pinned memory for uploads"));
    s->large = memory;
    return WEFT_OK;
}

static void event_drop(cudaEvent_t e) {
    if (e) (void)cudaEventDestroy(e);
}

void cuda_staging_close(cuda_staging *s) {
    for (uint32_t i = 0; i < CUDA_SMALL_SLOTS; i++) event_drop(s->small_done[i]);
    for (uint32_t i = 0; i < CUDA_LARGE_SLOTS; i++) {
        event_drop(s->large_arrived[i]);
        event_drop(s->large_done[i]);
    }
    if (s->small) (void)cudaFreeHost(s->small);
    if (s->large) (void)cudaFreeHost(s->large);
}

/* ---- upload and download ---- */

/* Up to CUDA_SMALL_BYTES: the copy waits its turn among the ops. */
static weft_status upload_small(wk_dev *dev, void *dst, const void *src, size_t bytes) {
    cuda_impl *impl = cuda_impl_of(dev);
    cuda_staging *s = &impl->staging;
    bool wait = false;
    const uint32_t i = cuda_ring_take(&s->small_ring, &wait);
    if (wait) WEFT_TRY(cuda_try(dev, cudaEventSynchronize(s->small_done[i]), "upload"));
    unsigned char *slot = s->small + i * CUDA_SMALL_BYTES;
    memcpy(slot, src, bytes);
    WEFT_TRY(cuda_try(dev, cudaMemcpyAsync(dst, slot, bytes, cudaMemcpyHostToDevice, impl->stream),
                      "upload"));
    return cuda_try(dev, cudaEventRecord(s->small_done[i], impl->stream), "upload");
}

/* Up to CUDA_LARGE_BYTES: over the bus on `feed`, beside the ops; to its place among them. The
 * host's wait for large_done frees both the pinned slot and the landing slot. */
static weft_status upload_large(wk_dev *dev, void *dst, const void *src, size_t bytes) {
    cuda_impl *impl = cuda_impl_of(dev);
    cuda_staging *s = &impl->staging;
    bool wait = false;
    const uint32_t i = cuda_ring_take(&s->large_ring, &wait);
    if (wait) WEFT_TRY(cuda_try(dev, cudaEventSynchronize(s->large_done[i]), "upload"));
    unsigned char *slot = s->large + i * CUDA_LARGE_BYTES;
    unsigned char *landing = s->landing + i * CUDA_LARGE_BYTES;
    memcpy(slot, src, bytes);
    WEFT_TRY(cuda_try(
        dev, cudaMemcpyAsync(landing, slot, bytes, cudaMemcpyHostToDevice, impl->feed), "upload"));
    WEFT_TRY(cuda_try(dev, cudaEventRecord(s->large_arrived[i], impl->feed), "upload"));
    WEFT_TRY(cuda_try(dev, cudaStreamWaitEvent(impl->stream, s->large_arrived[i], 0), "upload"));
    WEFT_TRY(cuda_try(dev,
                      cudaMemcpyAsync(dst, landing, bytes, cudaMemcpyDeviceToDevice, impl->stream),
                      "upload"));
    return cuda_try(dev, cudaEventRecord(s->large_done[i], impl->stream), "upload");
}

weft_status cuda_upload(wk_dev *dev, void *dst, const void *src, size_t bytes) {
    WEFT_TRY(cuda_ready_outside(dev, "upload"));
    if (bytes > 0 && bytes <= CUDA_SMALL_BYTES) return upload_small(dev, dst, src, bytes);
    for (size_t at = 0; at < bytes; at += CUDA_LARGE_BYTES) {
        const size_t n = bytes - at < CUDA_LARGE_BYTES ? bytes - at : CUDA_LARGE_BYTES;
        WEFT_TRY(upload_large(dev, (unsigned char *)dst + at, (const unsigned char *)src + at, n));
    }
    return WEFT_OK;
}

weft_status cuda_download(wk_dev *dev, void *dst, const void *src, size_t bytes) {
    WEFT_TRY(cuda_ready_outside(dev, "download"));
    cudaStream_t stream = cuda_impl_of(dev)->stream;
    if (bytes)
        WEFT_TRY(cuda_try(dev, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToHost, stream),
                          "download"));
    return cuda_try(dev, cudaStreamSynchronize(stream), "download");
}

/* ---- pinned memory and copies beside the ops ---- */

weft_status cuda_pinned_alloc(wk_dev *dev, void **out, size_t bytes) {
    *out = NULL;
    WEFT_TRY(cuda_ready_outside(dev, "pinned memory"));
    const cudaError_t e = cudaHostAlloc(out, bytes ? bytes : 1, cudaHostAllocPortable);
    if (e != cudaErrorMemoryAllocation) return cuda_try(dev, e, "pinned memory");
    (void)cudaGetLastError();
    return WEFT_FAIL(&dev->ctx->err, WEFT_E_MEM, "no pinned host memory (%zu bytes)", bytes);
}

void cuda_pinned_release(wk_dev *dev, void *ptr) {
    (void)dev;
    (void)cudaFreeHost(ptr);
}

/* Both begin where the lane stands now. */
static weft_status copy_beside(wk_dev *dev, void *dst, const void *src, size_t bytes,
                               enum cudaMemcpyKind kind, cudaStream_t stream, const char *what) {
    cuda_impl *impl = cuda_impl_of(dev);
    WEFT_TRY(cuda_try(dev, cudaEventRecord(impl->lane_mark, impl->stream), what));
    WEFT_TRY(cuda_try(dev, cudaStreamWaitEvent(stream, impl->lane_mark, 0), what));
    return cuda_try(dev, cudaMemcpyAsync(dst, src, bytes, kind, stream), what);
}

weft_status cuda_send(wk_dev *dev, void *dst, const void *pinned, size_t bytes) {
    cuda_impl *impl = cuda_impl_of(dev);
    WEFT_TRY(cuda_ready_outside(dev, "send"));
    if (!bytes) return WEFT_OK;
    if (impl->out_pending) { /* what is fetched may be where this goes, or be what goes */
        WEFT_TRY(cuda_try(dev, cudaEventRecord(impl->out_done, impl->cp_out), "send"));
        WEFT_TRY(cuda_try(dev, cudaStreamWaitEvent(impl->cp_in, impl->out_done, 0), "send"));
    }
    impl->in_pending = true;
    return copy_beside(dev, dst, pinned, bytes, cudaMemcpyHostToDevice, impl->cp_in, "send");
}

weft_status cuda_fetch(wk_dev *dev, void *pinned, const void *src, size_t bytes) {
    cuda_impl *impl = cuda_impl_of(dev);
    WEFT_TRY(cuda_ready_outside(dev, "fetch"));
    if (!bytes) return WEFT_OK;
    impl->out_pending = true;
    return copy_beside(dev, pinned, src, bytes, cudaMemcpyDeviceToHost, impl->cp_out, "fetch");
}

/* The lane goes on once the copies of that stream are done. */
static weft_status join(wk_dev *dev, bool *pending, cudaStream_t stream, cudaEvent_t done) {
    if (!*pending) return WEFT_OK;
    *pending = false;
    WEFT_TRY(cuda_try(dev, cudaEventRecord(done, stream), "meet"));
    return cuda_try(dev, cudaStreamWaitEvent(cuda_impl_of(dev)->stream, done, 0), "meet");
}

weft_status cuda_meet(wk_dev *dev) {
    cuda_impl *impl = cuda_impl_of(dev);
    WEFT_TRY(cuda_ready_outside(dev, "meet"));
    WEFT_TRY(join(dev, &impl->in_pending, impl->cp_in, impl->in_done));
    return join(dev, &impl->out_pending, impl->cp_out, impl->out_done);
}
