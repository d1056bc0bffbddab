/* Opening and closing devices, by name or from a plugin's backend, and moving bytes to and from
 * them. */
#define _GNU_SOURCE /* sched_getaffinity */

#include "kernels/dev.h"

#include "kernels/arena.h"
#include "kernels/backends.h"
#include "kernels/profile.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

static const wk_backend *const built_in[] = {&wk_backend_ref, &wk_backend_cpu, &wk_backend_dry};

/* Cores that this process may use; affinity first, since containers and batch systems set it. */
static int usable_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

static weft_status check_table(wk_dev *dev) {
    const char *missing = dev->ops.weight_pack_bytes ? NULL : "weight_pack_bytes";
#define X(op)                                                                                      \
    if (!dev->ops.op) missing = #op;
    WK_OPS(X)
#undef X
    if (!missing) return WEFT_OK;
    return WEFT_FAIL(&dev->ctx->err, WEFT_E_UNSUPPORTED, "backend %s has no op %s",
                     dev->backend->name, missing);
}

weft_status wk_dev_open_backend(wk_dev **out, wk_ctx *ctx, const wk_backend *backend,
                                const wk_dev_options *options) {
    *out = NULL;
    if (backend->abi != WK_ABI)
        return WEFT_FAIL(&ctx->err, WEFT_E_UNSUPPORTED,
                         "the backend was built for interface %u, this program has %u; install "
                         "both from one build",
                         (unsigned)backend->abi, WK_ABI);
    if (options->threads < 0)
        return WEFT_FAIL(&ctx->err, WEFT_E_CONFIG,
                         "threads is %d; give 0 (all cores) or a positive number",
                         options->threads);
    if (options->hidden != WK_F32 && options->hidden != WK_BF16)
        return WEFT_FAIL(&ctx->err, WEFT_E_CONFIG, "hidden states are float32 or bfloat16, not %s",
                         wk_dtype_name(options->hidden));
    void *memory = NULL;
    WEFT_TRY(wk_host_alloc(ctx, &memory, 1, sizeof(wk_dev), "device"));
    wk_dev *dev = memory;
    dev->ctx = ctx;
    dev->backend = backend;
    dev->options = *options;
    dev->hidden = options->hidden;
    dev->threads = options->threads ? options->threads : usable_cores();
    dev->options.threads = dev->threads;
    dev->next_fake = WK_ARENA_ALIGN;
    backend->fill_ops(&dev->ops);
    weft_status st = backend->open(dev);
    if (st == WEFT_OK) {
        st = check_table(dev);
        if (st != WEFT_OK) backend->close(dev);
    }
    if (st != WEFT_OK) {
        wk_host_free(ctx, dev);
        return st;
    }
    *out = dev;
    return WEFT_OK;
}

weft_status wk_dev_open(wk_dev **out, wk_ctx *ctx, const wk_dev_options *options) {
    *out = NULL;
    const char *name = options->backend ? options->backend : "";
    for (size_t i = 0; i < sizeof built_in / sizeof *built_in; i++)
        if (strcmp(name, built_in[i]->name) == 0)
            return wk_dev_open_backend(out, ctx, built_in[i], options);
    return WEFT_FAIL(&ctx->err, WEFT_E_CONFIG, "unknown backend \"%s\"; known: ref, cpu, dry",
                     name);
}

void wk_dev_close(wk_dev *dev) {
    if (!dev) return;
    dev->backend->close(dev);
    wk_host_free(dev->ctx, dev);
}

uintptr_t wk_dev_fake(wk_dev *dev, size_t bytes) {
    uintptr_t at = dev->next_fake;
    /* One unit more than asked for, so that neighbours never touch. */
    dev->next_fake += (bytes / WK_ARENA_ALIGN + 2) * WK_ARENA_ALIGN;
    return at;
}

static weft_status check_contiguous(wk_dev *dev, const char *what, wk_tensor t) {
    if (t.ndim == 0 || t.dim[0] <= 1 || t.ld == wk_row_numel(t)) return WEFT_OK;
    return WEFT_FAIL(&dev->ctx->err, WEFT_E_SHAPE,
                     "%s: rows are %lld apart but hold %lld elements; copy the view first", what,
                     (long long)t.ld, (long long)wk_row_numel(t));
}

static size_t tensor_bytes(wk_tensor t) {
    return (size_t)wk_numel(t) * wk_dtype_size(t.dtype);
}

weft_status wk_upload(wk_dev *dev, wk_tensor dst, const void *src) {
    WEFT_TRY(check_contiguous(dev, "upload", dst));
    return dev->backend->upload(dev, dst.data, src, tensor_bytes(dst));
}

weft_status wk_download(wk_dev *dev, void *dst, wk_tensor src) {
    WEFT_TRY(check_contiguous(dev, "download", src));
    return dev->backend->download(dev, dst, src.data, tensor_bytes(src));
}

/* ---- a device that works beside the host ---- */

weft_status wk_replay(wk_dev *dev, const void *key, size_t bytes, wk_body body, void *ud) {
    const bool ranges = dev->profile && !dev->profile->replays;
    if (!dev->backend->replay || ranges) return body(ud);
    if (!dev->profile) return dev->backend->replay(dev, key, bytes, body, ud);
    wk_range(dev, WK_REPLAY_RANGE);
    const weft_status st = dev->backend->replay(dev, key, bytes, body, ud);
    wk_range(dev, NULL);
    return st;
}

weft_status wk_post(wk_dev *dev, wk_tensor src, uint64_t *ticket) {
    const size_t bytes = tensor_bytes(src);
    if (bytes > WK_LETTER_BYTES)
        return WEFT_FAIL(&dev->ctx->err, WEFT_E_ARG, "post: %zu bytes, a letter holds %d", bytes,
                         WK_LETTER_BYTES);
    WEFT_TRY(check_contiguous(dev, "post", src));
    if (dev->backend->post) return dev->backend->post(dev, src, ticket);
    *ticket = dev->letters++;
    if (!bytes) return WEFT_OK;
    return dev->backend->download(dev, dev->letter[*ticket % WK_LETTERS], src.data, bytes);
}

weft_status wk_collect(wk_dev *dev, uint64_t ticket, void *dst, size_t bytes) {
    if (dev->backend->collect) return dev->backend->collect(dev, ticket, dst, bytes);
    if (bytes) memcpy(dst, dev->letter[ticket % WK_LETTERS], bytes);
    return WEFT_OK;
}

weft_status wk_pinned_alloc(wk_dev *dev, void **out, size_t bytes, const char *what) {
    if (!dev->backend->pinned_alloc) return wk_host_alloc(dev->ctx, out, bytes, 1, what);
    weft_status st = dev->backend->pinned_alloc(dev, out, bytes);
    if (st != WEFT_E_MEM) return st;
    return WEFT_FAIL(&dev->ctx->err, st, "no pinned host memory for %s (%zu bytes)", what, bytes);
}

void wk_pinned_free(wk_dev *dev, void *ptr) {
    if (!ptr) return;
    if (dev->backend->pinned_release)
        dev->backend->pinned_release(dev, ptr);
    else
        wk_host_free(dev->ctx, ptr);
}

weft_status wk_send(wk_dev *dev, wk_tensor dst, const void *pinned) {
    WEFT_TRY(check_contiguous(dev, "send", dst));
    return (dev->backend->send ? dev->backend->send : dev->backend->upload)(dev, dst.data, pinned,
                                                                            tensor_bytes(dst));
}

weft_status wk_fetch(wk_dev *dev, void *pinned, wk_tensor src) {
    WEFT_TRY(check_contiguous(dev, "fetch", src));
    return (dev->backend->fetch ? dev->backend->fetch
                                : dev->backend->download)(dev, pinned, src.data, tensor_bytes(src));
}

weft_status wk_meet(wk_dev *dev) {
    return dev->backend->meet ? dev->backend->meet(dev) : WEFT_OK;
}

void wk_range(wk_dev *dev, const char *name) {
    if (dev->backend->range) dev->backend->range(dev, name);
    if (dev->profile) wk_profile_range(dev, name);
}

/* ---- a device among those of other ranks ---- */

weft_status wk_comm_find(wk_dev *dev, wk_comm_offer *out) {
    memset(out, 0, sizeof *out); /* it travels as bytes */
    if (dev->backend->comm) return dev->backend->comm->find(dev, out);
    return WEFT_FAIL(&dev->ctx->err, WEFT_E_UNSUPPORTED, "%s computes in host memory",
                     dev->backend->name);
}

weft_status wk_comm_id(wk_dev *dev, unsigned char id[WK_COMM_ID]) {
    return dev->backend->comm->id(dev, id);
}

weft_status wk_comm_open(wk_dev *dev, int rank, int size, const unsigned char id[WK_COMM_ID],
                         double seconds) {
    return dev->backend->comm->open(dev, rank, size, id, seconds);
}

weft_status wk_comm_sum(wk_dev *dev, wk_tensor t) {
    WEFT_TRY(check_contiguous(dev, "sum over ranks", t));
    if (t.dtype != WK_I64)
        return WEFT_FAIL(&dev->ctx->err, WEFT_E_SHAPE,
                         "sum over ranks: %s, but only sums of int64 have no order",
                         wk_dtype_name(t.dtype));
    return dev->backend->comm->sum(dev, t.data, wk_numel(t));
}

void wk_comm_close(wk_dev *dev) {
    if (dev->backend->comm && dev->backend->comm->close) dev->backend->comm->close(dev);
}
