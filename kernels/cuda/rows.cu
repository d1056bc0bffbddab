/* Rows of memory: filling, copying, adding, gathering, scattering, pooling. All are bound by
 * memory; the floor of each is at its kernel. */
#include "kernels/cuda/map.cuh"

#include <math.h>

/* ---- fill: writes an element once ---- */

template <class T> struct fill_f {
    T *y;
    int64_t ld;
    T value;
    template <int N> __device__ __forceinline__ void at(int64_t row, int64_t j) const {
        packed<T, N> v;
#pragma unroll
        for (int i = 0; i < N; i++) v.v[i] = value;
        *reinterpret_cast<packed<T, N> *>(y + row * ld + j) = v;
    }
};

template <class T> static void fill(wk_dev *dev, wk_tensor y, T value) {
    const int n = 16 / (int)sizeof(T);
    y = is_contiguous(y) ? as_one_row(y) : as_matrix(y);
    MAP(dev, rows_aligned(y, n), n, y.dim[0], y.dim[1], (fill_f<T>{(T *)y.data, y.ld, value}));
}

static weft_status cuda_fill(wk_dev *dev, const wk_fill_args *a) {
    switch (a->y.dtype) {
    case WK_F32:
        fill(dev, a->y, (float)a->value);
        break;
    case WK_F64:
        fill(dev, a->y, a->value);
        break;
    case WK_BF16:
        fill(dev, a->y, wk_f32_to_bf16((float)a->value));
        break;
    case WK_I32:
        fill(dev, a->y, (int32_t)a->value);
        break;
    case WK_U8:
        fill(dev, a->y, (uint8_t)a->value);
        break;
    case WK_I64:
        fill(dev, a->y, (int64_t)a->value);
        break;
    case WK_F16: /* a source only, see wk_check_fill */
        break;
    }
    return cuda_launched(dev, "fill");
}

/* ---- copy: reads and writes an element once ---- */

template <class Y, class X> struct copy_f {
    Y *y;
    const X *x;
    int64_t ldy, ldx;
    template <int N> __device__ __forceinline__ void at(int64_t row, int64_t j) const {
        move<N>(y + row * ldy + j, x + row * ldx + j);
    }
};

template <class Y, class X> static void copy(wk_dev *dev, wk_tensor y, wk_tensor x) {
    const int n = sizeof(Y) == sizeof(X) ? 16 / (int)sizeof(Y) : 4;
    MAP(dev, rows_aligned(y, n) && rows_aligned(x, n), n, y.dim[0], y.dim[1],
        (copy_f<Y, X>{(Y *)y.data, (const X *)x.data, y.ld, x.ld}));
}

static weft_status cuda_copy(wk_dev *dev, const wk_copy_args *a) {
    const bool whole = is_contiguous(a->y) && is_contiguous(a->x);
    const wk_tensor y = whole ? as_one_row(a->y) : as_matrix(a->y);
    const wk_tensor x = whole ? as_one_row(a->x) : as_matrix(a->x);
    if (y.dtype == x.dtype) {
        const size_t size = wk_dtype_size(y.dtype);
        if (size == 8) copy<uint64_t, uint64_t>(dev, y, x);
        if (size == 4) copy<uint32_t, uint32_t>(dev, y, x);
        if (size == 2) copy<uint16_t, uint16_t>(dev, y, x);
        if (size == 1) copy<uint8_t, uint8_t>(dev, y, x);
    } else if (x.dtype == WK_F32) {
        copy<bf16, float>(dev, y, x);
    } else if (x.dtype == WK_BF16) {
        copy<float, bf16>(dev, y, x);
    } else {
        WITH_DTYPE(y.dtype, Y, copy<Y, f16>(dev, y, x));
    }
    return cuda_launched(dev, "copy");
}

/* ---- axpy: 12 bytes an element ---- */

struct axpy_f {
    float *y;
    const float *x;
    int64_t ldy, ldx;
    float alpha;
    template <int N> __device__ __forceinline__ void at(int64_t row, int64_t j) const {
        float u[N], v[N];
        load<N>(u, x + row * ldx + j);
        load<N>(v, y + row * ldy + j);
#pragma unroll
        for (int i = 0; i < N; i++) v[i] = fmaf(alpha, u[i], v[i]);
        store<N>(y + row * ldy + j, v);
    }
};

static weft_status cuda_axpy(wk_dev *dev, const wk_axpy_args *a) {
    const bool whole = is_contiguous(a->y) && is_contiguous(a->x);
    const wk_tensor y = whole ? as_one_row(a->y) : as_matrix(a->y);
    const wk_tensor x = whole ? as_one_row(a->x) : as_matrix(a->x);
    MAP(dev, rows_aligned(y, 4) && rows_aligned(x, 4), 4, y.dim[0], y.dim[1],
        (axpy_f{(float *)y.data, (const float *)x.data, y.ld, x.ld, a->alpha}));
    return cuda_launched(dev, "axpy");
}

/* ---- gather and scatter: read and write an element of the moved rows once ---- */

template <class Y, class X> struct gather_f {
    Y *y;
    const X *x;
    const int32_t *idx;
    int64_t ldy, ldx;
    template <int N> __device__ __forceinline__ void at(int64_t row, int64_t j) const {
        const int64_t from = idx[row];
        if (from >= 0) {
            move<N>(y + row * ldy + j, x + from * ldx + j);
        } else {
            const float zero[N] = {};
            store<N>(y + row * ldy + j, zero);
        }
    }
};

template <class Y, class X> struct scatter_f {
    Y *y;
    const X *x;
    const int32_t *idx;
    int64_t ldy, ldx;
    template <int N> __device__ __forceinline__ void at(int64_t row, int64_t j) const {
        const int64_t to = idx[row];
        if (to >= 0) move<N>(y + to * ldy + j, x + row * ldx + j);
    }
};

/* F is gather_f or scatter_f. */
template <template <class, class> class F, class Y, class X>
static void move_rows(wk_dev *dev, wk_tensor y, wk_tensor x, wk_tensor idx) {
    const int n = width_of<Y, X>::n;
    MAP(dev, rows_aligned(y, n) && rows_aligned(x, n), n, idx.dim[0], y.dim[1],
        (F<Y, X>{(Y *)y.data, (const X *)x.data, (const int32_t *)idx.data, y.ld, x.ld}));
}

static weft_status cuda_gather_rows(wk_dev *dev, const wk_gather_rows_args *a) {
    WITH_DTYPE(a->y.dtype, Y,
               WITH_DTYPE(a->x.dtype, X, move_rows<gather_f, Y, X>(dev, a->y, a->x, a->idx)));
    return cuda_launched(dev, "gather_rows");
}

static weft_status cuda_scatter_rows(wk_dev *dev, const wk_scatter_rows_args *a) {
    WITH_DTYPE(a->y.dtype, Y,
               WITH_DTYPE(a->x.dtype, X, move_rows<scatter_f, Y, X>(dev, a->y, a->x, a->idx)));
    return cuda_launched(dev, "scatter_rows");
}

/* ---- mean_pool: reads an element of x once ----
 *
 * A block has 32 N columns of one sequence; its warps share the rows, warp w taking rows w, w + 8
 * and so on of the sequence, and their sums are added in order of w. */

#define POOL_WARPS 8

template <int N, class X>
__global__ void __launch_bounds__(POOL_WARPS *WARP)
    mean_pool_k(float *y, const X *x, const int32_t *off, int64_t width, int64_t ldy, int64_t ldx) {
    WK_SHARED(float, part, [POOL_WARPS][N][WARP]);
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int64_t q = blockIdx.x, j = (blockIdx.y * (int64_t)WARP + lane) * N;
    const int64_t begin = off[q], end = off[q + 1];
    float sum[N] = {}, mean[N];
    if (j < width) {
#pragma unroll 4
        for (int64_t t = begin + warp; t < end; t += POOL_WARPS) {
            float v[N];
            load<N>(v, x + t * ldx + j);
#pragma unroll
            for (int i = 0; i < N; i++) sum[i] += v[i];
        }
    }
#pragma unroll
    for (int i = 0; i < N; i++) part[warp][i][lane] = sum[i];
    __syncthreads();
    if (warp != 0 || j >= width) return;
    const float count = (float)(end - begin);
#pragma unroll
    for (int i = 0; i < N; i++) {
        float all = part[0][i][lane];
#pragma unroll
        for (int w = 1; w < POOL_WARPS; w++) all += part[w][i][lane];
        mean[i] = count > 0 ? all / count : 0.0f;
    }
    store<N>(y + q * ldy + j, mean);
}

template <int N, class X> static void mean_pool(wk_dev *dev, const wk_mean_pool_args *a) {
    const int64_t width = a->y.dim[1];
    if (a->y.dim[0] == 0 || width == 0) return;
    const dim3 grid((unsigned)a->y.dim[0], (unsigned)ceil_div(width, WARP * N));
    LAUNCH(dev, (mean_pool_k<N, X>), grid, POOL_WARPS * WARP, 0, (float *)a->y.data,
           (const X *)a->x.data, (const int32_t *)a->seq_off.data, width, a->y.ld, a->x.ld);
}

static weft_status cuda_mean_pool(wk_dev *dev, const wk_mean_pool_args *a) {
    WITH_DTYPE(a->x.dtype, X, {
        const int n = width_of<X, X>::n;
        if (can_vector(a->x, n) && can_vector(a->y, n))
            mean_pool<n, X>(dev, a);
        else
            mean_pool<1, X>(dev, a);
    });
    return cuda_launched(dev, "mean_pool");
}

void cuda_fill_rows(wk_ops *table) {
    table->fill = cuda_fill;
    table->copy = cuda_copy;
    table->axpy = cuda_axpy;
    table->gather_rows = cuda_gather_rows;
    table->scatter_rows = cuda_scatter_rows;
    table->mean_pool = cuda_mean_pool;
}
