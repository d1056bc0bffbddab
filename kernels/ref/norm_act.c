/* Layer normalisation and activations, rows in parallel. */
#include "kernels/ref/ref.h"

/* Element j of z in row i, rounded as z is stored (to float32 when it is not) before its statistics
 * are taken, so that the backward sees the same numbers. */
static double residual_sum(const wk_layernorm_fwd_args *a, int64_t i, int64_t j) {
    double sum = ref_get(ref_hidden_at(a->x, i, j), 0);
    if (wk_given(a->residual)) sum += ref_get(ref_hidden_at(a->residual, i, j), 0);
    const bool half = wk_given(a->z) && a->z.dtype == WK_BF16;
    return half ? (double)wk_bf16_to_f32(ref_f64_to_bf16(sum)) : (double)(float)sum;
}

weft_status ref_layernorm_fwd(wk_dev *dev, const wk_layernorm_fwd_args *a) {
    const int64_t width = a->x.dim[1];
    const float *weight = a->weight.data, *bias = a->bias.data;
    WK_PARALLEL_FOR(dev)
    for (int64_t i = 0; i < a->x.dim[0]; i++) {
        const ref_hidden y = ref_hidden_at(a->y, i, 0);
        double sum = 0, squares = 0;
        for (int64_t j = 0; j < width; j++) sum += residual_sum(a, i, j);
        const double mean = sum / (double)width;
        for (int64_t j = 0; j < width; j++) {
            const double d = residual_sum(a, i, j) - mean;
            squares += d * d;
        }
        const double rstd = 1.0 / sqrt(squares / (double)width + (double)a->eps);
        for (int64_t j = 0; j < width; j++) {
            const double z = residual_sum(a, i, j);
            if (wk_given(a->z)) ref_put(ref_hidden_at(a->z, i, 0), j, z); /* may be x */
            ref_put(y, j, (z - mean) * rstd * (double)weight[j] + (double)bias[j]);
        }
        if (wk_given(a->mean)) ((float *)a->mean.data)[i] = (float)mean;
        if (wk_given(a->rstd)) ((float *)a->rstd.data)[i] = (float)rstd;
    }
    return WEFT_OK;
}

weft_status ref_layernorm_bwd(wk_dev *dev, const wk_layernorm_bwd_args *a) {
    const int64_t width = a->dy.dim[1];
    const float *weight = a->weight.data;
    WK_PARALLEL_FOR(dev)
    for (int64_t i = 0; i < a->dy.dim[0]; i++) {
        const ref_hidden dy = ref_hidden_at(a->dy, i, 0), z = ref_hidden_at(a->z, i, 0);
        const ref_hidden dz = ref_hidden_at(a->dz, i, 0);
        const double mean = (double)((const float *)a->mean.data)[i];
        const double rstd = (double)((const float *)a->rstd.data)[i];
        double mean_g = 0, mean_gx = 0;
        for (int64_t j = 0; j < width; j++) {
            double g = ref_get(dy, j) * (double)weight[j];
            mean_g += g;
            mean_gx += g * (ref_get(z, j) - mean) * rstd;
        }
        mean_g /= (double)width;
        mean_gx /= (double)width;
        for (int64_t j = 0; j < width; j++) {
            double g = ref_get(dy, j) * (double)weight[j];
            ref_put(dz, j, rstd * (g - mean_g - (ref_get(z, j) - mean) * rstd * mean_gx));
        }
    }
    return WEFT_OK;
}

#define SQRT_1_2       0.70710678118654752440 /* sqrt(1/2) */
#define SQRT_2_OVER_PI 0.79788456080286535588
#define INV_SQRT_2PI   0.39894228040143267794

static double tanh_argument(double x) {
    return SQRT_2_OVER_PI * (x + 0.044715 * x * x * x);
}

static double act(wk_act kind, double x) {
    switch (kind) {
    case WK_ACT_GELU:
        return 0.5 * x * (1.0 + erf(x * SQRT_1_2));
    case WK_ACT_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(tanh_argument(x)));
    case WK_ACT_RELU:
        return x < 0 ? 0.0 : x; /* keeps NaN */
    case WK_ACT_TANH:
        return tanh(x);
    }
    return x;
}

static double act_derivative(wk_act kind, double x) {
    switch (kind) {
    case WK_ACT_GELU:
        return 0.5 * (1.0 + erf(x * SQRT_1_2)) + x * INV_SQRT_2PI * exp(-0.5 * x * x);
    case WK_ACT_GELU_TANH: {
        double t = tanh(tanh_argument(x));
        return 0.5 * (1.0 + t) +
               0.5 * x * (1.0 - t * t) * SQRT_2_OVER_PI * (1.0 + 3.0 * 0.044715 * x * x);
    }
    case WK_ACT_RELU:
        return x > 0 ? 1.0 : 0.0;
    case WK_ACT_TANH: {
        double t = tanh(x);
        return 1.0 - t * t;
    }
    }
    return 1.0;
}

weft_status ref_act_fwd(wk_dev *dev, const wk_act_fwd_args *a) {
    WK_PARALLEL_FOR(dev)
    for (int64_t i = 0; i < a->x.dim[0]; i++) {
        const ref_hidden x = ref_hidden_at(a->x, i, 0), y = ref_hidden_at(a->y, i, 0);
        for (int64_t j = 0; j < a->x.dim[1]; j++) ref_put(y, j, act(a->act, ref_get(x, j)));
    }
    return WEFT_OK;
}

weft_status ref_act_bwd(wk_dev *dev, const wk_act_bwd_args *a) {
    WK_PARALLEL_FOR(dev)
    for (int64_t i = 0; i < a->x.dim[0]; i++) {
        const ref_hidden x = ref_hidden_at(a->x, i, 0), dy = ref_hidden_at(a->dy, i, 0);
        const ref_hidden dx = ref_hidden_at(a->dx, i, 0);
        for (int64_t j = 0; j < a->x.dim[1]; j++)
            ref_put(dx, j, ref_get(dy, j) * act_derivative(a->act, ref_get(x, j)));
    }
    return WEFT_OK;
}
