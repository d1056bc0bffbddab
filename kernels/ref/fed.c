/* Adding up client updates, and the server optimizers. All arithmetic is double. */
#include "kernels/ref/ref.h"

weft_status ref_update_add(wk_dev *dev, const wk_update_add_args *a) {
    double *acc = a->acc.data;
    const float *w = a->w.data, *anchor = a->anchor.data;
    WK_PARALLEL_FOR(dev)
    for (int64_t j = 0; j < a->acc.dim[0]; j++)
        acc[j] += a->weight * ((double)w[j] - (double)anchor[j]);
    if (!wk_given(a->sqnorm)) return WEFT_OK;
    double sum = 0.0;
    for (int64_t j = 0; j < a->acc.dim[0]; j++) {
        const double d = (double)w[j] - (double)anchor[j];
        sum += d * d;
    }
    *(double *)a->sqnorm.data = sum;
    return WEFT_OK;
}

static double second_moment(const wk_server_step_args *a, double v, double d2) {
    if (a->kind == WK_SERVER_ADAGRAD) return v + d2;
    if (a->kind == WK_SERVER_ADAM) return a->beta2 * v + (1.0 - a->beta2) * d2;
    const double sign = v > d2 ? 1.0 : v < d2 ? -1.0 : 0.0; /* Yogi */
    return v - (1.0 - a->beta2) * d2 * sign;
}

weft_status ref_server_step(wk_dev *dev, const wk_server_step_args *a) {
    float *x = a->x.data;
    const double *delta = a->delta.data;
    double *m = wk_given(a->m) ? a->m.data : NULL, *v = a->v.data;
    const bool correct =
        a->bias_correction && (a->kind == WK_SERVER_ADAM || a->kind == WK_SERVER_YOGI);
    const double m_scale = correct ? 1.0 / (1.0 - pow(a->beta1, (double)a->step)) : 1.0;
    const double v_scale = correct ? 1.0 / (1.0 - pow(a->beta2, (double)a->step)) : 1.0;
    WK_PARALLEL_FOR(dev)
    for (int64_t j = 0; j < a->x.dim[0]; j++) {
        const double old = (double)x[j], mean = a->delta_scale * delta[j];
        if (a->kind == WK_SERVER_AVG) {
            x[j] = (float)(old + a->lr * mean);
        } else if (a->kind == WK_SERVER_AVGM) {
            m[j] = a->beta1 * m[j] + mean;
            x[j] = (float)(old + a->lr * m[j]);
        } else {
            const double first = m ? a->beta1 * m[j] + (1.0 - a->beta1) * mean : mean;
            if (m) m[j] = first;
            v[j] = second_moment(a, v[j], mean * mean);
            x[j] = (float)(old * (1.0 - a->lr * a->weight_decay) +
                           a->lr * first * m_scale / (sqrt(v[j] * v_scale) + a->tau));
        }
    }
    return WEFT_OK;
}
