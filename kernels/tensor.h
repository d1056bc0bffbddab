/* Element types and tensor views. A view owns nothing: an arena or the caller owns the bytes.
 *
 * A tensor is row-major. Its first dimension may be strided: element (i, j, …) lies at
 * data + i*ld + offset(j, …) elements, the rest being contiguous. So a column slice of a matrix, or
 * one matrix inside every row of a stacked (K, P) buffer, is a view. */
#ifndef WK_TENSOR_H
#define WK_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum wk_dtype {
    WK_F32 = 0,
    WK_F64 = 1,
    WK_BF16 = 2,
    WK_F16 = 3,
    WK_I32 = 4,
    WK_U8 = 5,
    WK_I64 = 6,
} wk_dtype;

static inline size_t wk_dtype_size(wk_dtype t) {
    switch (t) {
    case WK_F64:
    case WK_I64:
        return 8;
    case WK_F32:
    case WK_I32:
        return 4;
    case WK_BF16:
    case WK_F16:
        return 2;
    case WK_U8:
        return 1;
    }
    return 0;
}

static inline const char *wk_dtype_name(wk_dtype t) {
    switch (t) {
    case WK_F32:
        return "float32";
    case WK_F64:
        return "float64";
    case WK_BF16:
        return "bfloat16";
    case WK_F16:
        return "float16";
    case WK_I32:
        return "int32";
    case WK_U8:
        return "uint8";
    case WK_I64:
        return "int64";
    }
    return "unknown";
}

/* bf16 is the upper half of a float; rounding is to nearest even, NaN stays NaN. */
static inline float wk_bf16_to_f32(uint16_t h) {
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint16_t wk_f32_to_bf16(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

static inline float wk_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exp = (h >> 10) & 31u, man = h & 0x3ffu, u;
    if (exp == 31u) {
        u = sign | 0x7f800000u | (man << 13);
    } else if (exp) {
        u = sign | ((exp + 112u) << 23) | (man << 13);
    } else { /* zero or subnormal: man * 2^-24, exact in float */
        float f = (float)man * (1.0f / 16777216.0f);
        memcpy(&u, &f, sizeof u);
        u |= sign;
    }
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

#define WK_MAX_DIMS 4

/* ndim 0 means "not given" (optional operands). */
typedef struct wk_tensor {
    void *data;
    int64_t dim[WK_MAX_DIMS];
    int64_t ld; /* elements from one index of dim[0] to the next */
    int32_t ndim;
    wk_dtype dtype;
} wk_tensor;

static inline bool wk_given(wk_tensor t) {
    return t.ndim != 0;
}

/* Elements of the view (strides do not count). */
static inline int64_t wk_numel(wk_tensor t) {
    int64_t n = t.ndim ? 1 : 0;
    for (int32_t i = 0; i < t.ndim; i++) n *= t.dim[i];
    return n;
}

/* Elements of one index of dim[0]. */
static inline int64_t wk_row_numel(wk_tensor t) {
    int64_t n = t.ndim ? 1 : 0;
    for (int32_t i = 1; i < t.ndim; i++) n *= t.dim[i];
    return n;
}

static inline wk_tensor wk_vec(void *data, wk_dtype dtype, int64_t n) {
    wk_tensor t;
    memset(&t, 0, sizeof t);
    t.data = data, t.dtype = dtype, t.ndim = 1, t.dim[0] = n, t.ld = 1;
    return t;
}

static inline wk_tensor wk_mat(void *data, wk_dtype dtype, int64_t rows, int64_t cols) {
    wk_tensor t;
    memset(&t, 0, sizeof t);
    t.data = data, t.dtype = dtype, t.ndim = 2, t.dim[0] = rows, t.dim[1] = cols, t.ld = cols;
    return t;
}

/* Address of index i of dim[0]; only arithmetic, so it is fine on a dry device. */
static inline void *wk_row_ptr(wk_tensor t, int64_t i) {
    return (void *)((uintptr_t)t.data + (uintptr_t)(i * t.ld) * wk_dtype_size(t.dtype));
}

/* Rows [first, first+count). */
static inline wk_tensor wk_rows(wk_tensor t, int64_t first, int64_t count) {
    t.data = wk_row_ptr(t, first);
    t.dim[0] = count;
    return t;
}

/* Columns [first, first+count) of a matrix. */
static inline wk_tensor wk_cols(wk_tensor t, int64_t first, int64_t count) {
    t.data = (void *)((uintptr_t)t.data + (uintptr_t)first * wk_dtype_size(t.dtype));
    t.dim[1] = count;
    return t;
}

#endif
