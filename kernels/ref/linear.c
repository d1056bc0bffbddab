/* The frozen linear layer, computed from the plain copy of W: weight_pack has nothing to do. */
#include "kernels/ref/ref.h"

size_t ref_weight_pack_bytes(wk_dev *dev, int64_t o, int64_t d, wk_dtype dtype, bool dx) {
    (void)dev, (void)o, (void)d, (void)dtype, (void)dx;
    return 0;
}

weft_status ref_weight_pack(wk_dev *dev, const wk_weight_pack_args *a) {
    (void)dev, (void)a;
    return WEFT_OK;
}

weft_status ref_linear_fwd(wk_dev *dev, const wk_linear_fwd_args *a) {
    const bool biased = wk_given(a->bias), residual = wk_given(a->residual);
    const ref_hidden bias = ref_hidden_at(a->bias, 0, 0);
    WK_PARALLEL_FOR(dev)
    for (int64_t t = 0; t < a->x.dim[0]; t++) {
        const ref_hidden x = ref_hidden_at(a->x, t, 0), y = ref_hidden_at(a->y, t, 0);
        for (int64_t o = 0; o < a->w->o; o++) {
            const ref_hidden w = ref_hidden_at(a->w->w, o, 0);
            double sum = 0;
            for (int64_t j = 0; j < a->w->d; j++) sum += ref_get(w, j) * ref_get(x, j);
            if (biased) sum += ref_get(bias, o);
            if (residual) sum += ref_get(ref_hidden_at(a->residual, t, o), 0);
            ref_put(y, o, sum);
        }
    }
    return WEFT_OK;
}

weft_status ref_linear_dx(wk_dev *dev, const wk_linear_dx_args *a) {
    WK_PARALLEL_FOR(dev)
    for (int64_t t = 0; t < a->dy.dim[0]; t++) {
        const ref_hidden dy = ref_hidden_at(a->dy, t, 0), dx = ref_hidden_at(a->dx, t, 0);
        for (int64_t j = 0; j < a->w->d; j++) {
            double sum = a->accumulate ? ref_get(dx, j) : 0.0;
            for (int64_t o = 0; o < a->w->o; o++)
                sum += ref_get(dy, o) * ref_get(ref_hidden_at(a->w->w, o, j), 0);
            ref_put(dx, j, sum);
        }
    }
    return WEFT_OK;
}
