#include "kernels/arena.h"

#include <string.h>

/* Address space of a measuring arena: more than any model needs, little of 64 bits. */
#define MEASURE_BYTES ((size_t)1 << 44)

weft_status wk_arena_open(wk_arena *a, wk_dev *dev, const char *name, size_t bytes) {
    memset(a, 0, sizeof *a);
    weft_status st = dev->backend->alloc(dev, &a->base, bytes);
    if (st == WEFT_E_MEM)
        return WEFT_FAIL(&dev->ctx->err, st, "no memory for arena %s (%zu bytes) on device %s",
                         name, bytes, dev->backend->name);
    if (st != WEFT_OK) return st;
    a->dev = dev, a->name = name, a->capacity = bytes;
    dev->held += bytes;
    return WEFT_OK;
}

void wk_arena_open_measure(wk_arena *a, wk_dev *dev, const char *name) {
    memset(a, 0, sizeof *a);
    a->dev = dev, a->name = name, a->capacity = MEASURE_BYTES, a->measure = true;
    a->base = wk_dev_fake(dev, MEASURE_BYTES);
}

void wk_arena_close(wk_arena *a) {
    if (a->dev && !a->measure) {
        a->dev->backend->release(a->dev, a->base);
        a->dev->held -= a->capacity;
    }
    memset(a, 0, sizeof *a);
}

/* Bytes of a contiguous tensor, rounded up to the alignment; false on a negative size or overflow.
 */
static bool padded_bytes(size_t *out, wk_dtype dtype, int32_t ndim, const int64_t *dim) {
    size_t bytes = wk_dtype_size(dtype);
    for (int32_t i = 0; i < ndim; i++) {
        if (dim[i] < 0) return false;
        if (__builtin_mul_overflow(bytes, (size_t)dim[i], &bytes)) return false;
    }
    if (bytes > SIZE_MAX - WK_ARENA_ALIGN) return false;
    *out = (bytes + WK_ARENA_ALIGN - 1) / WK_ARENA_ALIGN * WK_ARENA_ALIGN;
    return true;
}

weft_status wk_arena_tensor(wk_arena *a, wk_tensor *out, const char *what, wk_dtype dtype,
                            int32_t ndim, const int64_t *dim) {
    memset(out, 0, sizeof *out);
    weft_error *err = &a->dev->ctx->err;
    if (ndim < 1 || ndim > WK_MAX_DIMS)
        return WEFT_FAIL(err, WEFT_E_ARG, "arena %s: %s has %d dimensions, 1 to %d are possible",
                         a->name, what, (int)ndim, WK_MAX_DIMS);
    size_t bytes = 0;
    if (!padded_bytes(&bytes, dtype, ndim, dim))
        return WEFT_FAIL(err, WEFT_E_ARG, "arena %s: the size of %s is negative or overflows",
                         a->name, what);
    if (bytes > a->capacity - a->used)
        return WEFT_FAIL(err, WEFT_E_MEM,
                         "arena %s is full: %s needs %zu bytes, %zu of %zu are left", a->name, what,
                         bytes, a->capacity - a->used, a->capacity);
    out->data = (void *)(a->base + a->used);
    out->dtype = dtype, out->ndim = ndim, out->ld = 1;
    for (int32_t i = 0; i < ndim; i++) {
        out->dim[i] = dim[i];
        if (i) out->ld *= dim[i];
    }
    a->used += bytes;
    if (a->used > a->peak) a->peak = a->used;
    return WEFT_OK;
}

weft_status wk_arena_vec(wk_arena *a, wk_tensor *out, const char *what, wk_dtype dtype, int64_t n) {
    return wk_arena_tensor(a, out, what, dtype, 1, (const int64_t[]){n});
}

weft_status wk_arena_mat(wk_arena *a, wk_tensor *out, const char *what, wk_dtype dtype,
                         int64_t rows, int64_t cols) {
    return wk_arena_tensor(a, out, what, dtype, 2, (const int64_t[]){rows, cols});
}
