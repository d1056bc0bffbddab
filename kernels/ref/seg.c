/* What is each client's own: linear layers over segments, and LoRA dropout. */
#include "kernels/ref/ref.h"
#include "kernels/rng.h"

weft_status ref_seg_linear_fwd(wk_dev *dev, const wk_seg_linear_fwd_args *a) {
    const int32_t *off = ref_i32(a->segs.off), *slot = ref_i32(a->segs.slot);
    const int64_t out = a->m.dim[1], in = a->m.dim[2];
    WK_PARALLEL_FOR(dev)
    for (int64_t s = 0; s < a->segs.slot.dim[0]; s++) {
        const float *m = ref_row(a->m, slot[s]);
        const float *bias = wk_given(a->bias) ? ref_row(a->bias, slot[s]) : NULL;
        for (int64_t t = off[s]; t < off[s + 1]; t++) {
            const ref_hidden x = ref_hidden_at(a->x, t, 0), y = ref_hidden_at(a->y, t, 0);
            for (int64_t o = 0; o < out; o++) {
                double sum = 0;
                for (int64_t j = 0; j < in; j++) sum += (double)m[o * in + j] * ref_get(x, j);
                sum *= (double)a->alpha;
                if (bias) sum += (double)bias[o];
                ref_put(y, o, a->accumulate ? ref_get(y, o) + sum : sum);
            }
        }
    }
    return WEFT_OK;
}

weft_status ref_seg_linear_dx(wk_dev *dev, const wk_seg_linear_dx_args *a) {
    const int32_t *off = ref_i32(a->segs.off), *slot = ref_i32(a->segs.slot);
    const int64_t out = a->m.dim[1], in = a->m.dim[2];
    WK_PARALLEL_FOR(dev)
    for (int64_t s = 0; s < a->segs.slot.dim[0]; s++) {
        const float *m = ref_row(a->m, slot[s]);
        for (int64_t t = off[s]; t < off[s + 1]; t++) {
            const ref_hidden dy = ref_hidden_at(a->dy, t, 0), dx = ref_hidden_at(a->dx, t, 0);
            for (int64_t j = 0; j < in; j++) {
                double sum = 0;
                for (int64_t o = 0; o < out; o++) sum += ref_get(dy, o) * (double)m[o * in + j];
                sum *= (double)a->alpha;
                ref_put(dx, j, a->accumulate ? ref_get(dx, j) + sum : sum);
            }
        }
    }
    return WEFT_OK;
}

weft_status ref_seg_linear_dw(wk_dev *dev, const wk_seg_linear_dw_args *a) {
    const int32_t *off = ref_i32(a->segs.off), *slot = ref_i32(a->segs.slot);
    const int64_t out = a->dm.dim[1], in = a->dm.dim[2];
    WK_PARALLEL_FOR(dev)
    for (int64_t s = 0; s < a->segs.slot.dim[0]; s++) {
        float *dm = ref_row(a->dm, slot[s]);
        float *dbias = wk_given(a->dbias) ? ref_row(a->dbias, slot[s]) : NULL;
        for (int64_t o = 0; o < out; o++) {
            double sum_dy = 0;
            for (int64_t t = off[s]; t < off[s + 1]; t++)
                sum_dy += ref_get(ref_hidden_at(a->dy, t, o), 0);
            if (dbias) dbias[o] = (float)((double)dbias[o] + sum_dy);
            for (int64_t j = 0; j < in; j++) {
                double sum = 0;
                for (int64_t t = off[s]; t < off[s + 1]; t++)
                    sum += ref_get(ref_hidden_at(a->dy, t, o), 0) *
                           ref_get(ref_hidden_at(a->x, t, j), 0);
                float *d = &dm[o * in + j];
                *d = (float)((double)*d + (double)a->alpha * sum);
            }
        }
    }
    return WEFT_OK;
}

/* Rows [from, to) as they are: what dropout does outside the segments. */
static void copy_rows(const wk_dropout_args *a, int64_t from, int64_t to) {
    if (a->accumulate) return;
    for (int64_t t = from; t < to; t++) {
        const ref_hidden x = ref_hidden_at(a->x, t, 0), y = ref_hidden_at(a->y, t, 0);
        for (int64_t j = 0; j < a->x.dim[1]; j++) ref_put(y, j, ref_get(x, j));
    }
}

weft_status ref_dropout(wk_dev *dev, const wk_dropout_args *a) {
    const int32_t *off = ref_i32(a->segs.off);
    const int64_t segments = a->segs.slot.dim[0], width = a->x.dim[1];
    const double p = (double)a->p;
    copy_rows(a, 0, off[0]);
    copy_rows(a, off[segments], a->x.dim[0]);
    WK_PARALLEL_FOR(dev)
    for (int64_t s = 0; s < segments; s++) {
        const int32_t *at = wk_row_ptr(a->rng, s);
        for (int64_t t = off[s]; t < off[s + 1]; t++) {
            const ref_hidden x = ref_hidden_at(a->x, t, 0), y = ref_hidden_at(a->y, t, 0);
            for (int64_t j = 0; j < width; j++) {
                uint32_t u = wk_rng_u32(a->key, (uint32_t)((t - off[s]) * width + j),
                                        (uint32_t)at[0], (uint32_t)at[1], (uint32_t)at[2]);
                double kept = (double)u / 4294967296.0 >= p ? ref_get(x, j) / (1.0 - p) : 0.0;
                ref_put(y, j, a->accumulate ? ref_get(y, j) + kept : kept);
            }
        }
    }
    return WEFT_OK;
}
