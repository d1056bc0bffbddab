/* Activations and their derivatives (ops.h), on vf_normal_at and vf_tanh. */
#include "kernels/cpu/vec_math.h"

/* tanh form: 0.5 x (1 + tanh(c (x + 0.044715 x^3))), c = sqrt(2 / pi). Hendrycks and Gimpel 2016.
 */
#define GELU_C     0.797884561f
#define GELU_CUBIC 0.044715f

VEC_INLINE vf act(vf x, wk_act kind) {
    switch (kind) {
    case WK_ACT_GELU:
        return x * vf_normal_at(x).cdf;
    case WK_ACT_GELU_TANH:
        return x * 0.5f * (1.0f + vf_tanh(x * GELU_C * (1.0f + GELU_CUBIC * (x * x))));
    case WK_ACT_RELU:
        return vf_select(x < 0.0f, vf_set(0.0f), x); /* NaN passes */
    case WK_ACT_TANH:
        return vf_tanh(x);
    }
    return x;
}

VEC_INLINE vf act_slope(vf x, wk_act kind) {
    switch (kind) {
    case WK_ACT_GELU: { /* cdf(x) + x pdf(x) */
        const vf_normal n = vf_normal_at(x);
        return n.cdf + x * (n.bell * 0.398942280f);
    }
    case WK_ACT_GELU_TANH: {
        vf z = x * x, t = vf_tanh(x * GELU_C * (1.0f + GELU_CUBIC * z));
        return 0.5f * (1.0f + t) +
               0.5f * x * (1.0f - t * t) * (GELU_C * (1.0f + 3.0f * GELU_CUBIC * z));
    }
    case WK_ACT_RELU:
        return vf_select(x > 0.0f, vf_set(1.0f), vf_set(0.0f));
    case WK_ACT_TANH: {
        vf t = vf_tanh(x);
        return 1.0f - t * t;
    }
    }
    return x;
}

/* The kind is a constant in each instance, so no loop has a branch on it. */
VEC_INLINE void some_fwd(hid y, hid x, int64_t d, wk_act kind) {
    for (int64_t j = 0; j < d; j += VL) hid_put(y, j, d, act(hid_at(x, j, d), kind));
}

VEC_INLINE void some_bwd(hid dx, hid dy, hid x, int64_t d, wk_act kind) {
    for (int64_t j = 0; j < d; j += VL)
        hid_put(dx, j, d, hid_at(dy, j, d) * act_slope(hid_at(x, j, d), kind));
}

VEC_INLINE void row_fwd(const wk_act_fwd_args *a, int64_t i, bool half) {
    const int64_t d = wk_row_numel(a->x);
    const hid y = hid_row(a->y, i, 0, half), x = hid_row(a->x, i, 0, half);
    switch (a->act) {
    case WK_ACT_GELU:
        some_fwd(y, x, d, WK_ACT_GELU);
        break;
    case WK_ACT_GELU_TANH:
        some_fwd(y, x, d, WK_ACT_GELU_TANH);
        break;
    case WK_ACT_RELU:
        some_fwd(y, x, d, WK_ACT_RELU);
        break;
    case WK_ACT_TANH:
        some_fwd(y, x, d, WK_ACT_TANH);
        break;
    }
}

VEC_INLINE void row_bwd(const wk_act_bwd_args *a, int64_t i, bool half) {
    const int64_t d = wk_row_numel(a->x);
    const hid dx = hid_row(a->dx, i, 0, half), dy = hid_row(a->dy, i, 0, half),
              x = hid_row(a->x, i, 0, half);
    switch (a->act) {
    case WK_ACT_GELU:
        some_bwd(dx, dy, x, d, WK_ACT_GELU);
        break;
    case WK_ACT_GELU_TANH:
        some_bwd(dx, dy, x, d, WK_ACT_GELU_TANH);
        break;
    case WK_ACT_RELU:
        some_bwd(dx, dy, x, d, WK_ACT_RELU);
        break;
    case WK_ACT_TANH:
        some_bwd(dx, dy, x, d, WK_ACT_TANH);
        break;
    }
}

static weft_status act_fwd(wk_dev *dev, const wk_act_fwd_args *a) {
    const int64_t n = a->x.dim[0];
    const bool half = is_half(a->x);
    CPU_PARALLEL_ROWS(cpu_threads(dev, n * wk_row_numel(a->x) * 8))
    for (int64_t i = 0; i < n; i++) HALF_1(row_fwd, half, a, i);
    return WEFT_OK;
}

static weft_status act_bwd(wk_dev *dev, const wk_act_bwd_args *a) {
    const int64_t n = a->x.dim[0];
    const bool half = is_half(a->x);
    CPU_PARALLEL_ROWS(cpu_threads(dev, n * wk_row_numel(a->x) * 8))
    for (int64_t i = 0; i < n; i++) HALF_1(row_bwd, half, a, i);
    return WEFT_OK;
}

void WK_VEC(cpu_fill_act)(wk_ops *table) {
    table->act_fwd = act_fwd;
    table->act_bwd = act_bwd;
}
