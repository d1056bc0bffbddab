/* A device: memory, an op table and counters. Everything above is written against this handle. */
#ifndef WK_DEV_H
#define WK_DEV_H

#include "kernels/base.h"
#include "kernels/ops.h"
#include "kernels/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Memory and lifetime of a backend; the op table is separate (ops.h). Plugins export one of these.
 * A device is opened by fill_ops on its own copy of the table, then open, which sets note and impl
 * and may still change dev->ops (for the instruction set it finds, say). When open fails, close is
 * not called. */
typedef struct wk_backend {
    const char *name; /* "ref", "cpu", "dry", "cuda" */
    weft_status (*open)(wk_dev *dev);
    void (*close)(wk_dev *dev);
    weft_status (*alloc)(wk_dev *dev, uintptr_t *out, size_t bytes);
    void (*release)(wk_dev *dev, uintptr_t ptr);
    weft_status (*upload)(wk_dev *dev, void *dst, const void *src, size_t bytes);   /* from host */
    weft_status (*download)(wk_dev *dev, void *dst, const void *src, size_t bytes); /* to host */
    weft_status (*sync)(wk_dev *dev);
    void (*fill_ops)(wk_ops *table);
} wk_backend;

typedef struct wk_counters {
    double flops; /* multiply and add count as two */
    double bytes; /* floor: each operand once */
    uint64_t ops; /* op calls */
} wk_counters;

struct wk_dev {
    wk_ctx *ctx;
    const wk_backend *backend;
    wk_ops ops;
    int threads;
    bool dry;            /* addresses may not be read */
    size_t held;         /* bytes that arenas have taken from the backend now */
    void *impl;          /* the backend's own */
    char note[160];      /* what the backend chose: instruction set, GEMM implementation */
    wk_counters count;   /* kept by the dry backend */
    uintptr_t next_fake; /* see wk_dev_fake */
};

typedef struct wk_dev_options {
    const char *backend; /* "ref", "cpu" or "dry" */
    int threads;         /* 0: all cores of the process's affinity mask */
} wk_dev_options;

/* Opens a built-in backend. WEFT_E_CONFIG names an unknown one. */
WEFT_NODISCARD weft_status wk_dev_open(wk_dev **out, wk_ctx *ctx, const wk_dev_options *options);
/* Opens a backend that a plugin brought. WEFT_E_UNSUPPORTED when its table misses an op. */
WEFT_NODISCARD weft_status wk_dev_open_backend(wk_dev **out, wk_ctx *ctx, const wk_backend *backend,
                                               int threads);
void wk_dev_close(wk_dev *dev); /* NULL is fine */

/* `bytes` of address space with no memory behind it, 256-byte aligned and apart from every other
 * range of this device: for dry allocations and arenas that measure. */
uintptr_t wk_dev_fake(wk_dev *dev, size_t bytes);

/* Makes a dry device answer wk_weight_pack_bytes as `target` does, so that a plan counts the packed
 * weights of the device that will run. `target` must stay open as long as `dry` asks; NULL: no
 * packing. */
void wk_dev_dry_plan_for(wk_dev *dry, wk_dev *target);

/* Host to device and back; contiguous bytes, WEFT_E_SHAPE when the tensor is a strided view. On a
 * dry device nothing moves: download zero-fills. */
WEFT_NODISCARD weft_status wk_upload(wk_dev *dev, wk_tensor dst, const void *src);
WEFT_NODISCARD weft_status wk_download(wk_dev *dev, void *dst, wk_tensor src);

#ifdef __cplusplus
}
#endif
#endif
