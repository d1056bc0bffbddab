/* Gradient norms, drift and local optimizers: one slot is one row, slots in parallel. */
#include "kernels/ref/ref.h"

weft_status ref_grad_norm(wk_dev *dev, const wk_grad_norm_args *a) {
    const float *anchor = a->anchor.data;
    WK_PARALLEL_FOR(dev)
    for (int64_t k = 0; k < a->g.dim[0]; k++) {
        if (!ref_slot_active(&a->slots, k)) continue;
        float *g = ref_row(a->g, k);
        double sum = 0;
        for (int64_t j = 0; j < a->g.dim[1]; j++) {
            if (a->prox_mu > 0) {
                double drift = (double)ref_row(a->w, k)[j] - (double)anchor[j];
                g[j] = (float)((double)g[j] + (double)a->prox_mu * drift);
            }
            sum += (double)g[j] * (double)g[j];
        }
        ((double *)a->slots.sqnorm.data)[k] = sum;
        if (!isfinite(sum)) ((int32_t *)a->slots.dead.data)[k] = 1;
    }
    return WEFT_OK;
}

/* Factor that brings slot k's gradient down to norm `clip`. */
static double clip_factor(const wk_slot_state *slots, int64_t k, float clip) {
    if (!(clip > 0)) return 1.0;
    return fmin(1.0, (double)clip / (sqrt(((const double *)slots->sqnorm.data)[k]) + 1e-6));
}

#define DRIFT_CHUNK 4096 /* numbers whose squares are added before they join the sum */
#define SKETCH_ROWS 8    /* at most, see wk_check_drift */

static double drift_squares(const float *w, const float *anchor, int64_t n) {
    double total = 0;
    for (int64_t first = 0; first < n; first += DRIFT_CHUNK) {
        double sum = 0;
        for (int64_t i = first; i < n && i < first + DRIFT_CHUNK; i++) {
            const double delta = (double)w[i] - (double)anchor[i];
            sum += delta * delta;
        }
        total += sum;
    }
    return total;
}

/* The sketch of slot k, summed in double and rounded on store. */
static void drift_sketch(const wk_drift_operands *d, const float *w, int64_t k) {
    const float *anchor = d->anchor.data;
    const uint8_t *sign = d->sign.data;
    const int64_t rows = d->sketch.dim[1], n = d->anchor.dim[0];
    double bucket[SKETCH_ROWS][WK_SKETCH_WIDTH] = {{0}};
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *rot = wk_row_ptr(d->rot, i / WK_SKETCH_WIDTH);
        const double delta = (double)w[i] - (double)anchor[i];
        for (int64_t j = 0; j < rows; j++)
            bucket[j][(i % WK_SKETCH_WIDTH) ^ rot[j]] += sign[i] >> j & 1 ? -delta : delta;
    }
    float *sketch = ref_row(d->sketch, k);
    for (int64_t j = 0; j < rows; j++)
        for (int64_t b = 0; b < WK_SKETCH_WIDTH; b++)
            sketch[j * WK_SKETCH_WIDTH + b] = (float)bucket[j][b];
}

weft_status ref_drift(wk_dev *dev, const wk_drift_args *a) {
    WK_PARALLEL_FOR(dev)
    for (int64_t k = 0; k < a->w.dim[0]; k++) {
        if (!ref_slot_active(&a->slots, k)) continue;
        const float *w = ref_row(a->w, k);
        ((double *)a->drift.sqnorm.data)[k] = drift_squares(w, a->drift.anchor.data, a->w.dim[1]);
        if (wk_given(a->drift.sketch)) drift_sketch(&a->drift, w, k);
    }
    return WEFT_OK;
}

weft_status ref_adamw_step(wk_dev *dev, const wk_adamw_step_args *a) {
    const double b1 = (double)a->beta1, b2 = (double)a->beta2, eps = (double)a->eps;
    WK_PARALLEL_FOR(dev)
    for (int64_t k = 0; k < a->w.dim[0]; k++) {
        if (!ref_slot_active(&a->slots, k)) continue;
        const double step = (double)ref_i32(a->slots.step)[k];
        const double lr = (double)((const float *)a->slots.lr.data)[k];
        const double clip = clip_factor(&a->slots, k, a->clip);
        const double step_size = lr / (1.0 - pow(b1, step));
        const double root_correction = sqrt(1.0 - pow(b2, step));
        float *w = ref_row(a->w, k), *m = ref_row(a->m, k), *v = ref_row(a->v, k);
        const float *gradient = ref_row(a->g, k);
        for (int64_t j = 0; j < a->w.dim[1]; j++) {
            const double g = clip * (double)gradient[j];
            const double m_new = b1 * (double)m[j] + (1.0 - b1) * g;
            const double v_new = b2 * (double)v[j] + (1.0 - b2) * g * g;
            const double decayed = (double)w[j] * (1.0 - lr * (double)a->weight_decay);
            m[j] = (float)m_new;
            v[j] = (float)v_new;
            w[j] = (float)(decayed - step_size * m_new / (sqrt(v_new) / root_correction + eps));
        }
    }
    if (!wk_given(a->drift.anchor)) return WEFT_OK;
    return ref_drift(dev, &(wk_drift_args){a->w, a->slots, a->drift});
}

weft_status ref_sgd_step(wk_dev *dev, const wk_sgd_step_args *a) {
    const double momentum = (double)a->momentum;
    WK_PARALLEL_FOR(dev)
    for (int64_t k = 0; k < a->w.dim[0]; k++) {
        if (!ref_slot_active(&a->slots, k)) continue;
        const bool first = ref_i32(a->slots.step)[k] == 1;
        const double lr = (double)((const float *)a->slots.lr.data)[k];
        const double clip = clip_factor(&a->slots, k, a->clip);
        float *w = ref_row(a->w, k), *m = momentum > 0 ? ref_row(a->m, k) : NULL;
        const float *gradient = ref_row(a->g, k);
        for (int64_t j = 0; j < a->w.dim[1]; j++) {
            const double g = clip * (double)gradient[j] + (double)a->weight_decay * (double)w[j];
            double direction = g;
            if (m) {
                const double buf = first ? g : momentum * (double)m[j] + g;
                m[j] = (float)buf;
                direction = a->nesterov ? g + momentum * buf : buf;
            }
            w[j] = (float)((double)w[j] - lr * direction);
        }
    }
    return WEFT_OK;
}
