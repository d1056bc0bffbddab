/* Softmax cross-entropy: a row at a time, exponentials in lanes; the loss is one logarithm a row.
 */
#include "kernels/cpu/vec_math.h"

#include <math.h>

/* Padding of -inf adds exp(-inf) = 0 to every sum. */
VEC_INLINE vf logits_at(const float *p, int64_t j, int64_t d) {
    return d - j >= VL ? vf_load(p + j) : vf_load_part(p + j, d - j, -__builtin_inff());
}

static void row(const wk_softmax_xent_args *a, int64_t i) {
    const int64_t c = a->logits.dim[1];
    const int32_t label = ((const int32_t *)a->label.data)[i];
    const float *z = cpu_row(a->logits, i);
    float *loss = (float *)a->loss.data + i,
          *dz = wk_given(a->dlogits) ? cpu_row(a->dlogits, i) : NULL;
    if (label < 0) {
        *loss = 0.0f;
        for (int64_t j = 0; dz && j < c; j++) dz[j] = 0.0f;
        return;
    }
    vf top = vf_set(-__builtin_inff());
    for (int64_t j = 0; j < c; j += VL) top = vf_max(logits_at(z, j, c), top);
    const float max = vf_max_lane(top);
    vf sum = {0};
    for (int64_t j = 0; j < c; j += VL) sum += vf_exp_negative(logits_at(z, j, c) - max);
    const float total = vf_sum(sum), weight = ((const float *)a->weight.data)[i];
    *loss = (float)(log((double)total) + (double)max - (double)z[label]);
    if (!dz) return;
    const float onehot = weight, scale = weight / total;
    for (int64_t j = 0; j < c; j += VL)
        vf_put(dz, j, c, vf_exp_negative(logits_at(z, j, c) - max) * scale);
    dz[label] -= onehot;
}

static weft_status softmax_xent(wk_dev *dev, const wk_softmax_xent_args *a) {
    const int64_t n = a->logits.dim[0];
    CPU_PARALLEL_ROWS(cpu_threads(dev, n * a->logits.dim[1] * 8))
    for (int64_t i = 0; i < n; i++) row(a, i);
    return WEFT_OK;
}

void WK_VEC(cpu_fill_loss)(wk_ops *table) {
    table->softmax_xent = softmax_xent;
}
