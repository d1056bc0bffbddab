/* Ridge regression by normal equations on centred (and scaled) features, so that the intercept is
 * free. */
#include "engine/logreg.h"

#include <math.h>

/* Lower Cholesky factor of a (d, d), in place; false when a is not positive definite. */
static bool factorise(double *a, int32_t d) {
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j <= i; j++) {
            double sum = a[i * d + j];
            for (int64_t k = 0; k < j; k++) sum -= a[i * d + k] * a[j * d + k];
            if (i == j && !(sum > 0)) return false;
            a[i * d + j] = i == j ? sqrt(sum) : sum / a[j * d + j];
        }
    return true;
}

/* b becomes the solution of L L^T x = b. */
static void solve(const double *l, double *b, int32_t d) {
    for (int64_t i = 0; i < d; i++) {
        for (int64_t k = 0; k < i; k++) b[i] -= l[i * d + k] * b[k];
        b[i] /= l[i * d + i];
    }
    for (int64_t i = d; i-- > 0;) {
        for (int64_t k = i + 1; k < d; k++) b[i] -= l[k * d + i] * b[k];
        b[i] /= l[i * d + i];
    }
}

typedef struct normal {
    double *gram;                 /* (d, d), lower part */
    double *w;                    /* (d) moments with the target, then weights of scaled features */
    double *center;               /* (d) mean of the features */
    double *mean, *inverse, *row; /* (d) */
    double target;                /* its mean */
} normal;

static void accumulate(normal *m, const we_features *data) {
    int64_t d = data->d;
    for (int64_t i = 0; i < data->n; i++) {
        m->target += (double)data->target[we_feature_index(data, i)];
        const float *x = we_feature_row(data, i);
        for (int64_t j = 0; j < d; j++) m->center[j] += (double)x[j];
    }
    m->target /= (double)data->n;
    for (int64_t j = 0; j < d; j++) m->center[j] /= (double)data->n;
    for (int64_t i = 0; i < data->n; i++) {
        const float *x = we_feature_row(data, i);
        double y = (double)data->target[we_feature_index(data, i)] - m->target;
        for (int64_t j = 0; j < d; j++) m->row[j] = ((double)x[j] - m->center[j]) * m->inverse[j];
        for (int64_t j = 0; j < d; j++) {
            m->w[j] += m->row[j] * y;
            for (int64_t k = 0; k <= j; k++) m->gram[j * d + k] += m->row[j] * m->row[k];
        }
    }
}

weft_status we_ridge_fit(we_probe_model *model, const we_features *data,
                         const we_probe_options *options, double *objective) {
    wk_ctx *ctx = model->ctx;
    size_t d = (size_t)data->d;
    void *memory = NULL;
    WEFT_TRY(wk_host_alloc(ctx, &memory, d * d + 5 * d, sizeof(double), "the linear probe"));
    normal m = {.gram = memory};
    m.w = m.gram + d * d, m.center = m.w + d, m.mean = m.center + d, m.inverse = m.mean + d;
    m.row = m.inverse + d;
    weft_status st = WEFT_OK;
    WEFT_TRY_GOTO(st, we_feature_scale(ctx, data, options->standardise, m.mean, m.inverse), out);
    accumulate(&m, data);
    for (size_t j = 0; j < d; j++) m.gram[j * d + j] += 1 / options->c;
    if (!factorise(m.gram, data->d)) {
        st = WEFT_FAIL(&ctx->err, WEFT_E_DATA,
                       "ridge regression: the features are too large for a penalty of %g",
                       1 / options->c);
        goto out;
    }
    solve(m.gram, m.w, data->d);
    double squares = 0, errors = 0;
    model->b[0] = m.target;
    for (size_t j = 0; j < d; j++) {
        squares += m.w[j] * m.w[j];
        model->w[j] = m.w[j] * m.inverse[j];
        model->b[0] -= model->w[j] * m.center[j];
    }
    for (int64_t i = 0; objective && i < data->n; i++) {
        const float *x = we_feature_row(data, i);
        double e = model->b[0] - (double)data->target[we_feature_index(data, i)];
        for (size_t j = 0; j < d; j++) e += model->w[j] * (double)x[j];
        errors += e * e;
    }
    if (objective) *objective = errors + squares / options->c;
out:
    wk_host_free(ctx, memory);
    return st;
}
