/* The dry device: addresses without memory, ops that only count. Running the real code on it gives
 * the sizes, the FLOPs and the shape errors of a run in milliseconds. */
#include "kernels/backends.h"
#include "kernels/dry/cost.h"

#include <stdio.h>
#include <string.h>

static void count(wk_dev *dev, dry_cost cost) {
    dev->count.flops += cost.flops;
    dev->count.bytes += cost.bytes;
    dev->count.ops++;
}

#define X(op)                                                                                      \
    static weft_status dry_##op(wk_dev *dev, const wk_##op##_args *a) {                            \
        count(dev, dry_cost_##op(a));                                                              \
        return WEFT_OK;                                                                            \
    }
WK_OPS(X)
#undef X

/* impl is the device that a plan is made for, if any. */
static size_t dry_weight_pack_bytes(wk_dev *dev, int64_t o, int64_t d, wk_dtype dtype, bool dx) {
    return dev->impl ? wk_weight_pack_bytes(dev->impl, o, d, dtype, dx) : 0;
}

void wk_dev_dry_plan_for(wk_dev *dry, wk_dev *target) {
    dry->impl = target;
}

unsigned wk_dev_traits(const wk_dev *dev) {
    const wk_dev *target = dev->dry ? dev->impl : dev;
    return target ? target->backend->traits : 0;
}

static void fill_dry_ops(wk_ops *table) {
#define X(op) table->op = dry_##op;
    WK_OPS(X)
#undef X
    table->weight_pack_bytes = dry_weight_pack_bytes;
}

static weft_status open_dry(wk_dev *dev) {
    dev->dry = true;
    (void)snprintf(dev->note, sizeof dev->note, "counts bytes and FLOPs, computes nothing");
    return WEFT_OK;
}

static void close_dry(wk_dev *dev) {
    (void)dev;
}

static weft_status alloc_dry(wk_dev *dev, uintptr_t *out, size_t bytes) {
    *out = wk_dev_fake(dev, bytes);
    return WEFT_OK;
}

static void release_dry(wk_dev *dev, uintptr_t ptr) {
    (void)dev, (void)ptr;
}

static weft_status upload_dry(wk_dev *dev, void *dst, const void *src, size_t bytes) {
    (void)dev, (void)dst, (void)src, (void)bytes;
    return WEFT_OK;
}

static weft_status download_dry(wk_dev *dev, void *dst, const void *src, size_t bytes) {
    (void)dev, (void)src;
    if (bytes) memset(dst, 0, bytes);
    return WEFT_OK;
}

static weft_status sync_dry(wk_dev *dev) {
    (void)dev;
    return WEFT_OK;
}

const wk_backend wk_backend_dry = {
    .abi = WK_ABI,
    .name = "dry",
    .open = open_dry,
    .close = close_dry,
    .alloc = alloc_dry,
    .release = release_dry,
    .upload = upload_dry,
    .download = download_dry,
    .sync = sync_dry,
    .fill_ops = fill_dry_ops,
};
