/* The cuda device: choosing a card, its streams and memory, opening and closing. */
#include "kernels/cuda/impl.h"

#include "kernels/arena.h"

#include <stdio.h>

#define OLDEST_MAJOR 8 /* Ampere: bfloat16 tensor cores, cp.async */

/* ---- opening ---- */

static weft_status find_card(wk_dev *dev, struct cudaDeviceProp *card) {
    weft_error *err = &dev->ctx->err;
    const int ordinal = dev->options.ordinal;
    int count = 0;
    const cudaError_t e = cudaGetDeviceCount(&count);
    if (e != cudaSuccess) {
        (void)cudaGetLastError();
        return WEFT_FAIL(err, WEFT_E_DEVICE, "no CUDA device: %s (%s)", cudaGetErrorName(e),
                         cudaGetErrorString(e));
    }
    if (ordinal < 0 || ordinal >= count)
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "there is no CUDA device %d: %d %s visible, counted from 0 "
                         "(CUDA_VISIBLE_DEVICES chooses which)",
                         ordinal, count, count == 1 ? "is" : "are");
    WEFT_TRY(cuda_try(dev, cudaSetDevice(ordinal), "cudaSetDevice"));
    WEFT_TRY(cuda_try(dev, cudaGetDeviceProperties(card, ordinal), "cudaGetDeviceProperties"));
    if (card->major >= OLDEST_MAJOR) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_UNSUPPORTED,
                     "CUDA device %d, %s, has compute capability %d.%d; Weft needs %d.0 or newer",
                     ordinal, card->name, card->major, card->minor, OLDEST_MAJOR);
}

static weft_status open_streams(wk_dev *dev) {
    cuda_impl *impl = cuda_impl_of(dev);
    cudaStream_t *const streams[] = {&impl->stream, &impl->feed, &impl->cp_in, &impl->cp_out};
    cudaEvent_t *const events[] = {&impl->lane_mark, &impl->in_done, &impl->out_done};
    for (int i = 0; i < 4; i++)
        WEFT_TRY(cuda_try(dev, cudaStreamCreateWithFlags(streams[i], cudaStreamNonBlocking),
                          "cudaStreamCreate"));
    for (int i = 0; i < 3; i++)
        WEFT_TRY(cuda_try(dev, cudaEventCreateWithFlags(events[i], cudaEventDisableTiming),
                          "cudaEventCreate"));
    impl->lane.stream = impl->stream;
    return WEFT_OK;
}

/* WEFT_E_MEM with both numbers when the card is full. */
static weft_status device_memory(wk_dev *dev, void **out, size_t bytes, const char *what) {
    const cudaError_t e = cudaMalloc(out, bytes ? bytes : 1);
    if (e != cudaErrorMemoryAllocation) return cuda_try(dev, e, what);
    size_t left = 0, all = 0;
    (void)cudaGetLastError();
    (void)cudaMemGetInfo(&left, &all);
    return WEFT_FAIL(&dev->ctx->err, WEFT_E_MEM,
                     "no memory on the GPU for %s: %zu bytes wanted, %zu of %zu are free", what,
                     bytes, left, all);
}

/* The backend's own memory, in one piece, all parts 256-byte aligned. */
static weft_status open_memory(wk_dev *dev) {
    cuda_impl *impl = cuda_impl_of(dev);
    const size_t landing = CUDA_LARGE_SLOTS * CUDA_LARGE_BYTES;
    const size_t bytes = CUDA_WORKSPACE_BYTES + CUDA_SCRATCH_BYTES + landing;
    void *block = NULL;
    WEFT_TRY(device_memory(dev, &block, bytes, "workspace"));
    impl->block = block;
    impl->block_bytes = bytes;
    dev->held += bytes;
    impl->workspace = impl->block;
    impl->lane.scratch = impl->block + CUDA_WORKSPACE_BYTES;
    impl->lane.scratch_bytes = CUDA_SCRATCH_BYTES;
    return cuda_staging_open(dev, impl->lane.scratch + CUDA_SCRATCH_BYTES);
}

static void write_note(wk_dev *dev, const struct cudaDeviceProp *card) {
    int driver = 0, runtime = 0;
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    (void)snprintf(dev->note, sizeof dev->note,
                   "%.48s, %d SMs, %.1f GiB, driver %d.%d, runtime %d.%d, %s, %s", card->name,
                   card->multiProcessorCount, (double)card->totalGlobalMem / (1 << 30),
                   driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10,
                   wk_dtype_name(dev->hidden),
                   dev->options.placement ? "bits free of placement" : "bits repeat per run");
}

static weft_status open_parts(wk_dev *dev) {
    cuda_impl *impl = cuda_impl_of(dev);
    struct cudaDeviceProp card;
    WEFT_TRY(find_card(dev, &card));
    impl->ordinal = dev->options.ordinal;
    impl->lane.sms = card.multiProcessorCount;
    impl->lane.smem_max = card.sharedMemPerBlockOptin;
    WEFT_TRY(open_streams(dev));
    WEFT_TRY(open_memory(dev));
    WEFT_TRY(cuda_letters_open(dev));
    WEFT_TRY(cuda_gemm_open(dev));
    WEFT_TRY(cuda_lru_open(&impl->graphs, dev->ctx, CUDA_GRAPHS));
    write_note(dev, &card);
    return WEFT_OK;
}

/* ---- closing ---- */

/* Also of a device that opened in part or has failed: then CUDA refuses to free some of it, which
 * the end of the process does. */
static void close_cuda(wk_dev *dev) {
    cuda_impl *impl = cuda_impl_of(dev);
    cudaStream_t const streams[] = {impl->stream, impl->feed, impl->cp_in, impl->cp_out};
    cudaEvent_t const events[] = {impl->lane_mark, impl->in_done, impl->out_done};
    (void)cudaSetDevice(impl->ordinal);
    for (int i = 0; i < 4; i++)
        if (streams[i]) (void)cudaStreamSynchronize(streams[i]);
    if (impl->comm) cuda_comm_calls.close(dev);
    if (impl->in_range) cuda_range(dev, NULL);
    cuda_stamps_close(dev);
    cuda_replay_close(dev);
    cuda_gemm_close(dev);
    cuda_letters_close(&impl->letters);
    cuda_staging_close(&impl->staging);
    if (impl->block) (void)cudaFree(impl->block);
    dev->held -= impl->block_bytes;
    for (int i = 0; i < 3; i++)
        if (events[i]) (void)cudaEventDestroy(events[i]);
    for (int i = 0; i < 4; i++)
        if (streams[i]) (void)cudaStreamDestroy(streams[i]);
    (void)cudaGetLastError();
    wk_host_free(dev->ctx, impl);
    dev->impl = NULL;
}

static weft_status open_cuda(wk_dev *dev) {
    void *memory = NULL;
    WEFT_TRY(wk_host_alloc(dev->ctx, &memory, 1, sizeof(cuda_impl), "cuda device"));
    dev->impl = memory;
    const weft_status st = open_parts(dev);
    if (st != WEFT_OK) close_cuda(dev);
    return st;
}

/* ---- memory ---- */

static weft_status alloc_cuda(wk_dev *dev, uintptr_t *out, size_t bytes) {
    void *memory = NULL;
    *out = 0;
    WEFT_TRY(cuda_ready_outside(dev, "alloc"));
    WEFT_TRY(device_memory(dev, &memory, bytes, "an allocation"));
    *out = (uintptr_t)memory;
    return WEFT_OK;
}

static void release_cuda(wk_dev *dev, uintptr_t ptr) {
    (void)cudaSetDevice(cuda_impl_of(dev)->ordinal);
    if (ptr) (void)cudaFree((void *)ptr);
}

static weft_status sync_cuda(wk_dev *dev) {
    cuda_impl *impl = cuda_impl_of(dev);
    cudaStream_t const streams[] = {impl->stream, impl->feed, impl->cp_in, impl->cp_out};
    WEFT_TRY(cuda_ready_outside(dev, "sync"));
    for (int i = 0; i < 4; i++) WEFT_TRY(cuda_try(dev, cudaStreamSynchronize(streams[i]), "sync"));
    return WEFT_OK;
}

static void fill_ops(wk_ops *table) {
    cuda_fill_kernels(table);
    cuda_fill_gemm(table);
}

const wk_backend wk_backend_cuda = {
    .abi = WK_ABI,
    .name = "cuda",
    .traits = WK_TRAIT_PREFERS_BF16,
    .open = open_cuda,
    .close = close_cuda,
    .alloc = alloc_cuda,
    .release = release_cuda,
    .upload = cuda_upload,
    .download = cuda_download,
    .sync = sync_cuda,
    .fill_ops = fill_ops,
    .replay = cuda_replay,
    .post = cuda_post,
    .collect = cuda_collect,
    .pinned_alloc = cuda_pinned_alloc,
    .pinned_release = cuda_pinned_release,
    .send = cuda_send,
    .fetch = cuda_fetch,
    .meet = cuda_meet,
    .range = cuda_range,
    .stamp = cuda_stamp,
    .between = cuda_between,
    .comm = &cuda_comm_calls,
};
