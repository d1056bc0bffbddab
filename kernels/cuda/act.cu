/* Activations. The floor of act_fwd is a read and a write of an element, of act_bwd two reads and a
 * write. In bfloat16 the arithmetic of erf is close to that, so it is done once an element. */
#include "kernels/cuda/map.cuh"

#include <math.h>

#define SQRT_1_2       0.70710678118654752f /* sqrt(1/2) */
#define SQRT_2_OVER_PI 0.79788456080286536f
#define INV_SQRT_2PI   0.39894228040143268f
#define GELU_CUBE      0.044715f

WK_DEVICE float gelu_inner(float x) {
    return SQRT_2_OVER_PI * (x + GELU_CUBE * x * x * x);
}

WK_DEVICE float act(wk_act kind, float x) {
    switch (kind) {
    case WK_ACT_GELU:
        return 0.5f * x * (1.0f + erff(x * SQRT_1_2));
    case WK_ACT_GELU_TANH:
        return 0.5f * x * (1.0f + tanhf(gelu_inner(x)));
    case WK_ACT_RELU:
        return x < 0.0f ? 0.0f : x; /* keeps NaN */
    case WK_ACT_TANH:
        return tanhf(x);
    }
    return x;
}

WK_DEVICE float act_slope(wk_act kind, float x) {
    switch (kind) {
    case WK_ACT_GELU:
        return 0.5f * (1.0f + erff(x * SQRT_1_2)) + x * INV_SQRT_2PI * expf(-0.5f * x * x);
    case WK_ACT_GELU_TANH: {
        const float t = tanhf(gelu_inner(x));
        return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * SQRT_2_OVER_PI *
                                       (1.0f + 3.0f * GELU_CUBE * x * x);
    }
    case WK_ACT_RELU:
        return x > 0.0f ? 1.0f : 0.0f;
    case WK_ACT_TANH: {
        const float t = tanhf(x);
        return 1.0f - t * t;
    }
    }
    return 1.0f;
}

template <class T> struct act_fwd_f {
    T *y;
    const T *x;
    int64_t ldy, ldx;
    wk_act kind;
    template <int N> __device__ __forceinline__ void at(int64_t row, int64_t j) const {
        float v[N];
        load<N>(v, x + row * ldx + j);
#pragma unroll
        for (int i = 0; i < N; i++) v[i] = act(kind, v[i]);
        store<N>(y + row * ldy + j, v);
    }
};

template <class T> struct act_bwd_f {
    T *dx;
    const T *dy, *x;
    int64_t ld_dx, ld_dy, ldx;
    wk_act kind;
    template <int N> __device__ __forceinline__ void at(int64_t row, int64_t j) const {
        float v[N], g[N];
        load<N>(v, x + row * ldx + j);
        load<N>(g, dy + row * ld_dy + j);
#pragma unroll
        for (int i = 0; i < N; i++) g[i] *= act_slope(kind, v[i]);
        store<N>(dx + row * ld_dx + j, g);
    }
};

static weft_status cuda_act_fwd(wk_dev *dev, const wk_act_fwd_args *a) {
    const bool whole = is_contiguous(a->y) && is_contiguous(a->x);
    const wk_tensor y = whole ? as_one_row(a->y) : a->y, x = whole ? as_one_row(a->x) : a->x;
    WITH_DTYPE(x.dtype, T, {
        const int n = width_of<T, T>::n;
        MAP(dev, rows_aligned(y, n) && rows_aligned(x, n), n, y.dim[0], y.dim[1],
            (act_fwd_f<T>{(T *)y.data, (const T *)x.data, y.ld, x.ld, a->act}));
    });
    return cuda_launched(dev, "act_fwd");
}

static weft_status cuda_act_bwd(wk_dev *dev, const wk_act_bwd_args *a) {
    const bool whole = is_contiguous(a->dx) && is_contiguous(a->dy) && is_contiguous(a->x);
    const wk_tensor dx = whole ? as_one_row(a->dx) : a->dx, dy = whole ? as_one_row(a->dy) : a->dy;
    const wk_tensor x = whole ? as_one_row(a->x) : a->x;
    WITH_DTYPE(x.dtype, T, {
        const int n = width_of<T, T>::n;
        MAP(dev, rows_aligned(dx, n) && rows_aligned(dy, n) && rows_aligned(x, n), n, dx.dim[0],
            dx.dim[1],
            (act_bwd_f<T>{(T *)dx.data, (const T *)dy.data, (const T *)x.data, dx.ld, dy.ld, x.ld,
                          a->act}));
    });
    return cuda_launched(dev, "act_bwd");
}

void cuda_fill_act(wk_ops *table) {
    table->act_fwd = cuda_act_fwd;
    table->act_bwd = cuda_act_bwd;
}
