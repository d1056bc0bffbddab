/* The frozen linear layer, computed from the plain copy of W: weight_pack has nothing to do. */
#include "kernels/ref/ref.h"

size_t ref_weight_pack_bytes(wk_dev *dev, int64_t o, int64_t d, bool dx) {
    (void)dev, (void)o, (void)d, (void)dx;
    return 0;
}

weft_status ref_weight_pack(wk_dev *dev, const wk_weight_pack_args *a) {
    (void)dev, (void)a;
    return WEFT_OK;
}

weft_status ref_linear_fwd(wk_dev *dev, const wk_linear_fwd_args *a) {
    const float *bias = a->bias.data;
    WK_PARALLEL_FOR(dev)
    for (int64_t t = 0; t < a->x.dim[0]; t++) {
        const float *x = ref_row(a->x, t);
        const float *residual = wk_given(a->residual) ? ref_row(a->residual, t) : NULL;
        float *y = ref_row(a->y, t);
        for (int64_t o = 0; o < a->w->o; o++) {
            const float *w = ref_row(a->w->w, o);
            double sum = 0;
            for (int64_t j = 0; j < a->w->d; j++) sum += (double)w[j] * (double)x[j];
            if (bias) sum += (double)bias[o];
            if (residual) sum += (double)residual[o];
            y[o] = (float)sum;
        }
    }
    return WEFT_OK;
}

weft_status ref_linear_dx(wk_dev *dev, const wk_linear_dx_args *a) {
    WK_PARALLEL_FOR(dev)
    for (int64_t t = 0; t < a->dy.dim[0]; t++) {
        const float *dy = ref_row(a->dy, t);
        float *dx = ref_row(a->dx, t);
        for (int64_t j = 0; j < a->w->d; j++) {
            double sum = a->accumulate ? (double)dx[j] : 0.0;
            for (int64_t o = 0; o < a->w->o; o++)
                sum += (double)dy[o] * (double)ref_row(a->w->w, o)[j];
            dx[j] = (float)sum;
        }
    }
    return WEFT_OK;
}
