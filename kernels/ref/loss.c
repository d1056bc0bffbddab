/* Losses per row and their sums per client. */
#include "kernels/ref/ref.h"

weft_status ref_softmax_xent(wk_dev *dev, const wk_softmax_xent_args *a) {
    const int64_t classes = a->logits.dim[1];
    WK_PARALLEL_FOR(dev)
    for (int64_t i = 0; i < a->logits.dim[0]; i++) {
        const float *logits = ref_row(a->logits, i);
        const int32_t label = ref_i32(a->label)[i];
        const double weight = (double)((const float *)a->weight.data)[i];
        float *loss = &((float *)a->loss.data)[i];
        float *dlogits = wk_given(a->dlogits) ? ref_row(a->dlogits, i) : NULL;
        if (label < 0) {
            *loss = 0;
            for (int64_t c = 0; dlogits && c < classes; c++) dlogits[c] = 0;
            continue;
        }
        double top = -HUGE_VAL, sum = 0;
        for (int64_t c = 0; c < classes; c++) top = fmax(top, (double)logits[c]);
        for (int64_t c = 0; c < classes; c++) sum += exp((double)logits[c] - top);
        const double lse = top + log(sum);
        *loss = (float)(lse - (double)logits[label]);
        for (int64_t c = 0; dlogits && c < classes; c++)
            dlogits[c] = (float)(weight * (exp((double)logits[c] - lse) - (c == label)));
    }
    return WEFT_OK;
}

weft_status ref_mse(wk_dev *dev, const wk_mse_args *a) {
    const int64_t width = a->pred.dim[1];
    WK_PARALLEL_FOR(dev)
    for (int64_t i = 0; i < a->pred.dim[0]; i++) {
        const float *pred = ref_row(a->pred, i), *target = ref_row(a->target, i);
        float *dpred = wk_given(a->dpred) ? ref_row(a->dpred, i) : NULL;
        const double weight = (double)((const float *)a->weight.data)[i];
        double sum = 0;
        for (int64_t c = 0; c < width; c++) {
            const double d = (double)pred[c] - (double)target[c];
            sum += d * d;
            if (dpred) dpred[c] = (float)(weight * 2.0 / (double)width * d);
        }
        ((float *)a->loss.data)[i] = (float)(sum / (double)width);
    }
    return WEFT_OK;
}

weft_status ref_seg_sum(wk_dev *dev, const wk_seg_sum_args *a) {
    const int32_t *off = ref_i32(a->segs.off), *slot = ref_i32(a->segs.slot);
    const float *x = a->x.data, *weight = a->weight.data;
    double *out = a->out.data;
    WK_PARALLEL_FOR(dev)
    for (int64_t s = 0; s < a->segs.slot.dim[0]; s++) {
        double sum = 0;
        for (int64_t i = off[s]; i < off[s + 1]; i++) sum += (double)weight[i] * (double)x[i];
        out[slot[s]] += sum;
    }
    return WEFT_OK;
}
