/* LayerNorm: one row at a time, mean and variance in two passes over lanes of float. */
#include "kernels/cpu/vec.h"

static void row_fwd(const wk_layernorm_fwd_args *a, int64_t i) {
    const int64_t d = a->x.dim[1];
    const float *x = cpu_row(a->x, i), *z = x;
    const float *residual = wk_given(a->residual) ? cpu_row(a->residual, i) : NULL;
    float *y = cpu_row(a->y, i), *kept = wk_given(a->z) ? cpu_row(a->z, i) : NULL;
    if (residual || kept) { /* without a place for z, y holds it until the last pass */
        float *to = kept ? kept : y;
        for (int64_t j = 0; j < d; j += VL) {
            vf v = vf_at(x, j, d);
            if (residual) v += vf_at(residual, j, d);
            vf_put(to, j, d, v);
        }
        z = to;
    }
    vf s = {0}, q = {0};
    for (int64_t j = 0; j < d; j += VL) s += vf_at(z, j, d);
    const float mean = vf_sum(s) / (float)d;
    for (int64_t j = 0; j < d; j += VL) {
        vf c = vf_at(z, j, d) - mean;
        if (d - j < VL) {
            float lane[VL];
            vf_store(lane, c);
            c = vf_load_part(lane, d - j, 0.0f);
        }
        q += c * c;
    }
    const float rstd = 1.0f / __builtin_sqrtf(vf_sum(q) / (float)d + a->eps);
    const float *weight = a->weight.data, *bias = a->bias.data;
    for (int64_t j = 0; j < d; j += VL)
        vf_put(y, j, d, (vf_at(z, j, d) - mean) * rstd * vf_at(weight, j, d) + vf_at(bias, j, d));
    if (wk_given(a->mean)) ((float *)a->mean.data)[i] = mean;
    if (wk_given(a->rstd)) ((float *)a->rstd.data)[i] = rstd;
}

static weft_status layernorm_fwd(wk_dev *dev, const wk_layernorm_fwd_args *a) {
    const int64_t n = a->x.dim[0];
    CPU_PARALLEL_ROWS(cpu_threads(dev, n * a->x.dim[1]))
    for (int64_t i = 0; i < n; i++) row_fwd(a, i);
    return WEFT_OK;
}

static void row_bwd(const wk_layernorm_bwd_args *a, int64_t i) {
    const int64_t d = a->z.dim[1];
    const float *z = cpu_row(a->z, i), *dy = cpu_row(a->dy, i), *weight = a->weight.data;
    const float mean = ((const float *)a->mean.data)[i], rstd = ((const float *)a->rstd.data)[i];
    float *dz = cpu_row(a->dz, i);
    vf sum_g = {0}, sum_gx = {0};
    for (int64_t j = 0; j < d; j += VL) { /* g is zero in the padding */
        vf g = vf_at(dy, j, d) * vf_at(weight, j, d);
        sum_g += g;
        sum_gx += g * ((vf_at(z, j, d) - mean) * rstd);
    }
    const float mean_g = vf_sum(sum_g) / (float)d, mean_gx = vf_sum(sum_gx) / (float)d;
    for (int64_t j = 0; j < d; j += VL) {
        vf g = vf_at(dy, j, d) * vf_at(weight, j, d);
        vf xhat = (vf_at(z, j, d) - mean) * rstd;
        vf_put(dz, j, d, (g - mean_g - xhat * mean_gx) * rstd);
    }
}

static weft_status layernorm_bwd(wk_dev *dev, const wk_layernorm_bwd_args *a) {
    const int64_t n = a->z.dim[0];
    CPU_PARALLEL_ROWS(cpu_threads(dev, n * a->z.dim[1]))
    for (int64_t i = 0; i < n; i++) row_bwd(a, i);
    return WEFT_OK;
}

void WK_VEC(cpu_fill_norm)(wk_ops *table) {
    table->layernorm_fwd = layernorm_fwd;
    table->layernorm_bwd = layernorm_bwd;
}
