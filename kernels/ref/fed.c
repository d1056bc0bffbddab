/* Adding up and ranking client updates, noise, and the server optimizers. All arithmetic is
 * double. */
#include "kernels/exact_sum.h"
#include "kernels/ref/ref.h"
#include "kernels/rng.h"

weft_status ref_update_add(wk_dev *dev, const wk_update_add_args *a) {
    int64_t *high = wk_row_ptr(a->acc, 0), *low = wk_row_ptr(a->acc, 1);
    const float *anchor = a->anchor.data;
    const double *weight = a->weight.data;
    WK_PARALLEL_FOR(dev)
    for (int64_t j = 0; j < a->w.dim[1]; j++)
        for (int64_t k = 0; k < a->w.dim[0]; k++) {
            const double term = weight[k] * ((double)ref_row(a->w, k)[j] - (double)anchor[j]);
            if (weight[k] < 0 || weight[k] > 0) wk_sum_add(&high[j], &low[j], term);
        }
    return WEFT_OK;
}

weft_status ref_sum_read(wk_dev *dev, const wk_sum_read_args *a) {
    const int64_t *high = wk_row_ptr(a->acc, 0), *low = wk_row_ptr(a->acc, 1);
    const float *base = a->base.data;
    double *y = a->y.data;
    WK_PARALLEL_FOR(dev)
    for (int64_t j = 0; j < a->y.dim[0]; j++) {
        const double sum = wk_sum_value(high[j], low[j]);
        y[j] = base ? (double)base[j] + sum : sum;
    }
    return WEFT_OK;
}

weft_status ref_weighted_sum(wk_dev *dev, const wk_weighted_sum_args *a) {
    const double *weight = a->weight.data;
    double *y = a->y.data;
    WK_PARALLEL_FOR(dev)
    for (int64_t p = 0; p < a->y.dim[0]; p++) {
        double sum = 0;
        for (int64_t n = 0; n < a->x.dim[0]; n++) sum += weight[n] * (double)ref_row(a->x, n)[p];
        y[p] = sum;
    }
    return WEFT_OK;
}

/* a comes strictly behind b. */
static bool ranks_above(float a, float b) {
    return a > b || (isnan(a) && !isnan(b));
}

/* Merges [first, middle) and [middle, end) of `from`, both in order; of equals the earlier first.
 */
static void merge(float *to, const float *from, int64_t first, int64_t middle, int64_t end) {
    int64_t left = first, right = middle;
    for (int64_t i = first; i < end; i++) {
        const bool take_right =
            left == middle || (right < end && ranks_above(from[left], from[right]));
        to[i] = take_right ? from[right++] : from[left++];
    }
}

/* Sorts n values by merging ever longer runs back and forth between the two buffers; returns the
 * one that holds the result. */
static const float *rank_values(float *values, float *spare, int64_t n) {
    for (int64_t run = 1; run < n; run *= 2) {
        for (int64_t first = 0; first < n; first += 2 * run) {
            const int64_t middle = first + run < n ? first + run : n;
            merge(spare, values, first, middle, middle + run < n ? middle + run : n);
        }
        float *swap = values;
        values = spare, spare = swap;
    }
    return values;
}

weft_status ref_order_stat(wk_dev *dev, const wk_order_stat_args *a) {
    const int64_t count = a->x.dim[0];
    WK_PARALLEL_FOR(dev)
    for (int64_t p = 0; p < a->y.dim[0]; p++) {
        float buffer[2][WK_MAX_RANKED];
        for (int64_t n = 0; n < count; n++) buffer[0][n] = ref_row(a->x, n)[p];
        const float *ranked = rank_values(buffer[0], buffer[1], count);
        double sum = 0;
        for (int64_t rank = a->lo; rank < a->hi; rank++) sum += (double)ranked[rank];
        ((float *)a->y.data)[p] = (float)(sum / (double)(a->hi - a->lo));
    }
    return WEFT_OK;
}

/* The middle of the word's interval of (0, 1): never 0, whose logarithm is not finite. */
static double open_unit(uint32_t word) {
    return ((double)word + 0.5) / 4294967296.0;
}

weft_status ref_noise(wk_dev *dev, const wk_noise_args *a) {
    float *y = a->y.data;
    const int64_t size = a->y.dim[0];
    WK_PARALLEL_FOR(dev)
    for (int64_t block = 0; block < (size + 3) / 4; block++) {
        const wk_philox four = wk_philox4(a->key, (uint32_t)block, a->step, a->round, a->client);
        for (int64_t i = 4 * block; i < size && i < 4 * block + 4; i++) {
            const int64_t pair = i % 4 / 2 * 2;
            const double radius = sqrt(-2.0 * log(open_unit(four.v[pair])));
            const double angle = 6.283185307179586476925 * open_unit(four.v[pair + 1]);
            const double normal = radius * (i % 2 ? cos(angle) : sin(angle));
            y[i] = (float)((double)y[i] + (double)a->sigma * normal);
        }
    }
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
