/* Small device functions that all kernels share: conversions, vector access, reductions in a fixed
 * order; and for launchers the choice of a template by dtype and alignment. */
#ifndef CUDA_DEVICE_CUH
#define CUDA_DEVICE_CUH

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/port.h"

#define WARP 32
#define FULL 0xffffffffu

/* ---- device ---- */

WK_DEVICE float to_float(float x) {
    return x;
}
WK_DEVICE float to_float(bf16 x) {
    return __bfloat162float(x);
}
WK_DEVICE float to_float(f16 x) {
    return __half2float(x);
}
WK_DEVICE void set(float &y, float x) {
    y = x;
}
WK_DEVICE void set(bf16 &y, float x) {
    y = __float2bfloat16(x);
}

/* N consecutive elements as floats; the address is a multiple of N elements when N > 1. */
template <class T, int N> struct alignas(sizeof(T) * N) packed {
    T v[N];
};
template <int N, class T> WK_DEVICE void load(float (&out)[N], const T *p) {
    packed<T, N> x = *reinterpret_cast<const packed<T, N> *>(p);
#pragma unroll
    for (int i = 0; i < N; i++) out[i] = to_float(x.v[i]);
}
template <int N, class T> WK_DEVICE void store(T *p, const float (&in)[N]) {
    packed<T, N> x;
#pragma unroll
    for (int i = 0; i < N; i++) set(x.v[i], in[i]);
    *reinterpret_cast<packed<T, N> *>(p) = x;
}

/* Sum or maximum over the warp, the same bits in every lane. */
template <class T> WK_DEVICE T warp_sum(T x) {
#pragma unroll
    for (int d = WARP / 2; d > 0; d /= 2) x += __shfl_xor_sync(FULL, x, d);
    return x;
}
WK_DEVICE float warp_max(float x) {
#pragma unroll
    for (int d = WARP / 2; d > 0; d /= 2) x = fmaxf(x, __shfl_xor_sync(FULL, x, d));
    return x;
}

/* ---- launchers ---- */

/* Elements of a vector access to operands of two types: 16 bytes of bfloat16 when both are, else 16
 * of float, or 8 of the bfloat16 beside it. */
template <class A, class B> struct width_of {
    static const int n = sizeof(A) == 2 && sizeof(B) == 2 ? 8 : 4;
};

static inline int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* Every row starts at a multiple of `n` elements, n a power of two, and holds a multiple of n. */
static inline bool can_vector(wk_tensor t, int64_t n) {
    const uintptr_t bytes = (uintptr_t)n * wk_dtype_size(t.dtype);
    return !wk_given(t) || ((uintptr_t)t.data % bytes == 0 && wk_row_numel(t) % n == 0 &&
                            (t.dim[0] <= 1 || t.ld % n == 0));
}

/* Runs the statement with T standing for float or bf16, as the dtype says. */
#define WITH_DTYPE(dt, T, ...)                                                                     \
    do {                                                                                           \
        if ((dt) == WK_BF16) {                                                                     \
            using T = bf16;                                                                        \
            __VA_ARGS__;                                                                           \
        } else {                                                                                   \
            using T = float;                                                                       \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
    } while (0)

/* Launch on the device's lane; smem in bytes. */
#define LAUNCH(dev, kernel, grid, block, smem, ...)                                                \
    do {                                                                                           \
        (dev)->launches++;                                                                         \
        WK_LAUNCH(kernel, grid, block, smem, cuda_lane_of(dev)->stream, __VA_ARGS__);              \
    } while (0)

#endif
