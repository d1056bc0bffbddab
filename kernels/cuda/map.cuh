/* Elementwise kernels over matrices: one kernel that walks (row, columns), and structs that say
 * what happens there. Such a struct has `template <int N> void at(int64_t row, int64_t j) const`,
 * which treats columns j to j+N-1; the launcher chooses the widest N for which every row is
 * aligned. An element's bits may not depend on N, so what a compiler might contract is written as
 * fmaf.
 *
 * Everything here is bound by memory, so a thread moves 16 bytes of its widest operand at a time
 * and the grid covers the matrix once: 2048 threads of a multiprocessor then keep 32 KiB in flight.
 */
#ifndef CUDA_MAP_CUH
#define CUDA_MAP_CUH

#include "kernels/cuda/device.cuh"

#define MAP_THREADS 256

template <int N, class F>
__global__ void __launch_bounds__(MAP_THREADS) map_k(int64_t rows, int64_t width, F f) {
    const int64_t row = blockIdx.x * (int64_t)blockDim.y + threadIdx.y;
    if (row >= rows) return;
    int64_t j = (blockIdx.y * (int64_t)blockDim.x + threadIdx.x) * N;
#pragma unroll 1
    for (; j + N <= width; j += (int64_t)gridDim.y * blockDim.x * N) f.template at<N>(row, j);
    if (N > 1) /* the rest of the row, in the thread whose group it begins */
#pragma unroll 1
        for (; j < width; j++) f.template at<1>(row, j);
}

/* A block is as wide as a row needs, the rest of its threads taking further rows. Fewer than 2^31
 * rows. */
template <int N, class F> static void launch_map(wk_dev *dev, int64_t rows, int64_t width, F f) {
    if (rows == 0 || width == 0) return;
    const int64_t groups = ceil_div(width, N), passes = ceil_div(groups, MAP_THREADS);
    unsigned x = 1;
    if (groups < WARP)
        while (x < groups) x *= 2;
    else
        x = (unsigned)(ceil_div(ceil_div(groups, passes), WARP) * WARP);
    const unsigned y = MAP_THREADS / x;
    const int64_t down = ceil_div(rows, y), across = ceil_div(groups, x);
    const dim3 grid((unsigned)down, (unsigned)(across < 65535 ? across : 65535));
    LAUNCH(dev, (map_k<N, F>), grid, dim3(x, y), 0, rows, width, f);
}

/* N when all rows are aligned to N elements, else one at a time. */
#define MAP(dev, vector, N, rows, width, f)                                                        \
    do {                                                                                           \
        if (vector)                                                                                \
            launch_map<N>(dev, rows, width, f);                                                    \
        else                                                                                       \
            launch_map<1>(dev, rows, width, f);                                                    \
    } while (0)

/* Every row starts at a multiple of n elements; the last group of a row may be short. */
static inline bool rows_aligned(wk_tensor t, int64_t n) {
    const uintptr_t bytes = (uintptr_t)n * wk_dtype_size(t.dtype);
    return !wk_given(t) ||
           ((uintptr_t)t.data % bytes == 0 && (t.dim[0] <= 1 || t.ld % n == 0));
}

/* Any tensor as a matrix of its rows. */
static inline wk_tensor as_matrix(wk_tensor t) {
    wk_tensor m = wk_mat(t.data, t.dtype, t.dim[0], wk_row_numel(t));
    m.ld = t.ld;
    return m;
}

static inline bool is_contiguous(wk_tensor t) {
    return t.dim[0] <= 1 || t.ld == wk_row_numel(t);
}

/* Matrices without gaps are one long row. */
static inline wk_tensor as_one_row(wk_tensor t) {
    return wk_mat(t.data, t.dtype, 1, wk_numel(t));
}

/* y = x for N elements, converted when the types differ and bit for bit when they do not. */
template <int N, class Y, class X> WK_DEVICE void move(Y *y, const X *x) {
    float v[N];
    load<N>(v, x);
    store<N>(y, v);
}
template <int N, class T> WK_DEVICE void move(T *y, const T *x) {
    *reinterpret_cast<packed<T, N> *>(y) = *reinterpret_cast<const packed<T, N> *>(x);
}

#endif
