/* Activations, bound by memory: the floor of act_fwd is a read and a write of an element, of
 * act_bwd two reads and a write. Both GELUs take one exponential and one reciprocal an element,
 * function and slope alike, since erff, expf and tanhf would cost more than the bytes in bfloat16.
 */
#include "kernels/cuda/map.cuh"

#include <math.h>

#define SQRT_2_OVER_PI 0.79788456080286536f
#define INV_SQRT_2PI   0.39894228040143268f
#define GELU_CUBE      0.044715f

/* For elements of type T: the fast exponential is off by 2 ulp and by x 2^-24, far below the
 * rounding of a bfloat16. */
template <class T> WK_DEVICE float exponential(float x) {
    return sizeof(T) == 2 ? __expf(x) : expf(x);
}

/* The normal distribution's cdf and density without its 1/sqrt(2 pi). Abramowitz, Stegun 1964,
 * 7.1.26, off by 1.5e-7 at most; in float, cdf and x * cdf stay as close to the truth as with erff,
 * and closer far below 0, where 1 + erf cancels. */
template <class T> WK_DEVICE float normal_cdf(float x, float *density) {
    const float t = __fdividef(1.0f, fmaf(0.23164189f, fabsf(x), 1.0f)); /* 0.3275911 / sqrt(2) */
    float poly = fmaf(1.061405429f, t, -1.453152027f);
    poly = fmaf(poly, t, 1.421413741f);
    poly = fmaf(poly, t, -0.284496736f);
    poly = fmaf(poly, t, 0.254829592f) * t;
    *density = exponential<T>(-0.5f * x * x);
    const float tail = 0.5f * poly * *density;
    return x < 0.0f ? tail : 1.0f - tail;
}

/* s = (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)) of the tanh form, u = sqrt(2/pi) (x + 0.044715 x^3),
 * and 2 du/dx. s is 0 or 1 long before the bound on x, which keeps squares finite. */
template <class T> WK_DEVICE float gelu_gate(float x, float *two_du) {
    const float c = fminf(fmaxf(x, -64.0f), 64.0f);
    *two_du = 2.0f * SQRT_2_OVER_PI * fmaf(3.0f * GELU_CUBE * c, c, 1.0f);
    const float two_u = 2.0f * SQRT_2_OVER_PI * c * fmaf(GELU_CUBE * c, c, 1.0f);
    return __fdividef(1.0f, 1.0f + exponential<T>(-two_u));
}

template <class T> WK_DEVICE float act(wk_act kind, float x) {
    float unused;
    switch (kind) {
    case WK_ACT_GELU:
        return x * normal_cdf<T>(x, &unused);
    case WK_ACT_GELU_TANH:
        return x * gelu_gate<T>(x, &unused);
    case WK_ACT_RELU:
        return x < 0.0f ? 0.0f : x; /* keeps NaN */
    case WK_ACT_TANH:
        return tanhf(x);
    }
    return x;
}

template <class T> WK_DEVICE float act_slope(wk_act kind, float x) {
    float density, two_du;
    switch (kind) {
    case WK_ACT_GELU: {
        const float cdf = normal_cdf<T>(x, &density);
        return fmaf(x * INV_SQRT_2PI, density, cdf);
    }
    case WK_ACT_GELU_TANH: {
        const float s = gelu_gate<T>(x, &two_du);
        return fmaf(x * (s * (1.0f - s)), two_du, s);
    }
    case WK_ACT_RELU:
        return x > 0.0f ? 1.0f : 0.0f;
    case WK_ACT_TANH: {
        const float t = tanhf(x);
        return fmaf(-t, t, 1.0f);
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
        for (int i = 0; i < N; i++) v[i] = act<T>(kind, v[i]);
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
        for (int i = 0; i < N; i++) g[i] *= act_slope<T>(kind, v[i]);
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
