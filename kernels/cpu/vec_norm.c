/* LayerNorm: one row at a time, mean and variance in two passes over lanes of float. */
#include "kernels/cpu/vec.h"

/* z where it is kept, otherwise formed from x again in every pass. */
typedef struct source {
    hid x, residual;
    bool add;
} source;

VEC_INLINE vf source_at(source s, int64_t j, int64_t d) {
    const vf x = hid_at(s.x, j, d);
    return s.add ? x + hid_at(s.residual, j, d) : x;
}

/* Statistics are those of z as it is stored. */
VEC_INLINE void row_fwd(const wk_layernorm_fwd_args *a, int64_t i, bool x_half, bool y_half) {
    const int64_t d = a->x.dim[1];
    source z = {.x = hid_row(a->x, i, 0, x_half), .add = wk_given(a->residual)};
    if (z.add) z.residual = hid_row(a->residual, i, 0, x_half);
    if (wk_given(a->z) && (z.add || a->z.data != a->x.data)) {
        const hid kept = hid_row(a->z, i, 0, x_half);
        for (int64_t j = 0; j < d; j += VL) hid_put(kept, j, d, source_at(z, j, d));
        z = (source){.x = kept};
    }
    vf s = {0}, q = {0};
    for (int64_t j = 0; j < d; j += VL) s += source_at(z, j, d);
    const float mean = vf_sum(s) / (float)d;
    for (int64_t j = 0; j < d; j += VL) {
        vf c = source_at(z, j, d) - mean;
        if (d - j < VL) {
            float lane[VL];
            vf_store(lane, c);
            c = vf_load_part(lane, d - j, 0.0f);
        }
        q += c * c;
    }
    const float rstd = 1.0f / __builtin_sqrtf(vf_sum(q) / (float)d + a->eps);
    const float *weight = a->weight.data, *bias = a->bias.data;
    const hid y = hid_row(a->y, i, 0, y_half);
    for (int64_t j = 0; j < d; j += VL)
        hid_put(y, j, d,
                (source_at(z, j, d) - mean) * rstd * vf_at(weight, j, d) + vf_at(bias, j, d));
    if (wk_given(a->mean)) ((float *)a->mean.data)[i] = mean;
    if (wk_given(a->rstd)) ((float *)a->rstd.data)[i] = rstd;
}

static weft_status layernorm_fwd(wk_dev *dev, const wk_layernorm_fwd_args *a) {
    const int64_t n = a->x.dim[0];
    const bool x_half = is_half(a->x), y_half = is_half(a->y);
    CPU_PARALLEL_ROWS(cpu_threads(dev, n * a->x.dim[1]))
    for (int64_t i = 0; i < n; i++) HALF_2(row_fwd, x_half, y_half, a, i);
    return WEFT_OK;
}

VEC_INLINE void row_bwd(const wk_layernorm_bwd_args *a, int64_t i, bool dz_half, bool dy_half,
                        bool z_half) {
    const int64_t d = a->z.dim[1];
    const hid z = hid_row(a->z, i, 0, z_half), dy = hid_row(a->dy, i, 0, dy_half),
              dz = hid_row(a->dz, i, 0, dz_half);
    const float *weight = a->weight.data;
    const float mean = ((const float *)a->mean.data)[i], rstd = ((const float *)a->rstd.data)[i];
    vf sum_g = {0}, sum_gx = {0};
    for (int64_t j = 0; j < d; j += VL) { /* g is zero in the padding */
        vf g = hid_at(dy, j, d) * vf_at(weight, j, d);
        sum_g += g;
        sum_gx += g * ((hid_at(z, j, d) - mean) * rstd);
    }
    const float mean_g = vf_sum(sum_g) / (float)d, mean_gx = vf_sum(sum_gx) / (float)d;
    for (int64_t j = 0; j < d; j += VL) { /* a single g less its mean is zero */
        vf g = vf_rounded(hid_at(dy, j, d) * vf_at(weight, j, d));
        vf xhat = (hid_at(z, j, d) - mean) * rstd;
        hid_put(dz, j, d, (g - mean_g - xhat * mean_gx) * rstd);
    }
}

static weft_status layernorm_bwd(wk_dev *dev, const wk_layernorm_bwd_args *a) {
    const int64_t n = a->z.dim[0];
    const bool dz_half = is_half(a->dz), dy_half = is_half(a->dy), z_half = is_half(a->z);
    CPU_PARALLEL_ROWS(cpu_threads(dev, n * a->z.dim[1]))
    for (int64_t i = 0; i < n; i++) HALF_3(row_bwd, dz_half, dy_half, z_half, a, i);
    return WEFT_OK;
}

void WK_VEC(cpu_fill_norm)(wk_ops *table) {
    table->layernorm_fwd = layernorm_fwd;
    table->layernorm_bwd = layernorm_bwd;
}
