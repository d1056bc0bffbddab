/* Linear models on dense features: the probe that shows what a frozen encoder knows without
 * adapters. Sums run in double, over fixed chunks of rows that are added in order: the result does
 * not depend on the number of threads. */
#ifndef WE_LOGREG_H
#define WE_LOGREG_H

#include "engine/weft.h"
#include "kernels/base.h"

/* Rows to learn from; all borrowed. */
typedef struct we_features {
    const float *x;     /* (rows, d) */
    const int32_t *row; /* (n) which of them; NULL: the first n */
    int64_t n;          /* >= 1 */
    int32_t d;
    const int32_t *label; /* by row of x, in [0, outputs); NULL: regression */
    const float *target;  /* by row of x */
    int32_t outputs;      /* classes; 1 for regression */
} we_features;

/* y = W x + b: logits of classes, or the value. */
typedef struct we_probe_model {
    wk_ctx *ctx;
    int32_t outputs, d;
    double *w; /* (outputs, d) */
    double *b; /* (outputs) */
} we_probe_model;

typedef struct we_probe_options {
    double c;         /* inverse strength of the penalty, > 0 */
    bool standardise; /* penalise the weights of features scaled to mean 0 and variance 1 */
    int threads;      /* <= 1: this one */
    /* May be NULL: (done, total) optimizer iterations; false stops with WEFT_E_STOPPED. */
    bool (*tick)(void *ud, int64_t done, int64_t total);
    void *tick_ud;
} we_probe_options;

/* Zeros. The model owns its numbers: we_probe_free. */
WEFT_NODISCARD weft_status we_probe_init(we_probe_model *model, wk_ctx *ctx, int32_t outputs,
                                         int32_t d);
void we_probe_free(we_probe_model *model); /* fine on a zeroed one */
/* x (d) → y (outputs) */
void we_probe_apply(const we_probe_model *model, const float *x, float *y);

/* Minimises  mean of -log softmax(W x + b)[label] + |W|^2 / (2 c n),  the intercept free: the
 * objective of sklearn.linear_model.LogisticRegression(C=c) divided by c n. As there, two classes
 * have one weight vector (row 0 of W stays 0). Starts from the model as it is; *objective may be
 * NULL. WEFT_E_DATA: features that are not finite. */
WEFT_NODISCARD weft_status we_logreg_fit(we_probe_model *model, const we_features *data,
                                         const we_probe_options *options, double *objective);

/* Minimises  sum of (w x + b - target)^2 + |w|^2 / c:  sklearn.linear_model.Ridge(alpha=1/c). By
 * normal equations and Cholesky; scratch of d^2 doubles. Errors as above. */
WEFT_NODISCARD weft_status we_ridge_fit(we_probe_model *model, const we_features *data,
                                        const we_probe_options *options, double *objective);

/* Chooses c from the powers of ten between 1e-4 and 100 by the loss on a held-out fifth of the rows
 * (drawn from `seed`), then fits all rows with it: logistic for labels, ridge for targets. Fewer
 * than ten rows: c = 1. options->c is not read. *c may be NULL. */
WEFT_NODISCARD weft_status we_probe_fit(we_probe_model *model, const we_features *data,
                                        uint64_t seed, const we_probe_options *options, double *c);

/* ---- shared by the fits ---- */

/* Mean and 1/deviation of each feature (population; 1 for a constant one), or 0 and 1 when not
 * standardising. mean, inverse (d). WEFT_E_DATA names a row whose features are not finite. */
WEFT_NODISCARD weft_status we_feature_scale(wk_ctx *ctx, const we_features *data, bool standardise,
                                            double *mean, double *inverse);

static inline int64_t we_feature_index(const we_features *data, int64_t i) {
    return data->row ? data->row[i] : i;
}
static inline const float *we_feature_row(const we_features *data, int64_t i) {
    return data->x + we_feature_index(data, i) * data->d;
}

#endif
