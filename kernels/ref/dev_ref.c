/* The reference device, and the host memory that it shares with the cpu device. */
#include "kernels/arena.h"
#include "kernels/backends.h"
#include "kernels/ref/host_memory.h"
#include "kernels/ref/ref.h"

#include <stdio.h>
#include <string.h>

/* The hook's own pointer is kept in the word before the aligned block. */
weft_status ref_host_alloc(wk_dev *dev, uintptr_t *out, size_t bytes) {
    const size_t extra = WK_ARENA_ALIGN + sizeof(void *);
    const wk_hooks *hooks = &dev->ctx->hooks;
    void *raw = bytes > SIZE_MAX - extra ? NULL : hooks->alloc(hooks->ud, bytes + extra);
    if (!raw)
        return WEFT_FAIL(&dev->ctx->err, WEFT_E_MEM, "no memory on device %s (%zu bytes)",
                         dev->backend->name, bytes);
    uintptr_t at = (uintptr_t)raw + extra;
    at -= at % WK_ARENA_ALIGN;
    memcpy((char *)at - sizeof raw, &raw, sizeof raw);
    *out = at;
    return WEFT_OK;
}

void ref_host_release(wk_dev *dev, uintptr_t ptr) {
    if (!ptr) return;
    void *raw;
    memcpy(&raw, (const char *)ptr - sizeof raw, sizeof raw);
    dev->ctx->hooks.release(dev->ctx->hooks.ud, raw);
}

weft_status ref_host_upload(wk_dev *dev, void *dst, const void *src, size_t bytes) {
    (void)dev;
    if (bytes) memcpy(dst, src, bytes);
    return WEFT_OK;
}

weft_status ref_host_download(wk_dev *dev, void *dst, const void *src, size_t bytes) {
    return ref_host_upload(dev, dst, src, bytes);
}

weft_status ref_host_sync(wk_dev *dev) {
    (void)dev;
    return WEFT_OK;
}

static weft_status open_ref(wk_dev *dev) {
    (void)snprintf(dev->note, sizeof dev->note, "plain loops, double accumulation");
    return WEFT_OK;
}

static void close_ref(wk_dev *dev) {
    (void)dev;
}

const wk_backend wk_backend_ref = {
    .abi = WK_ABI,
    .name = "ref",
    .open = open_ref,
    .close = close_ref,
    .alloc = ref_host_alloc,
    .release = ref_host_release,
    .upload = ref_host_upload,
    .download = ref_host_download,
    .sync = ref_host_sync,
    .fill_ops = ref_fill_ops,
};
