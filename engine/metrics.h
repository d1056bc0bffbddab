/* Scores of model outputs, as scikit-learn and scipy define them. */
#ifndef WE_METRICS_H
#define WE_METRICS_H

#include "engine/weft.h"
#include "kernels/base.h"

/* The first largest of x (n). */
int32_t we_argmax(const float *x, int32_t n);

/* Scores of outputs (n, num_labels) against rows[i] of `data` (i itself when rows is NULL), in
 * double.
 *
 * Classification (data->label), the prediction being the first largest output:
 *   loss        mean of -log softmax(outputs)[label]
 *   accuracy    accuracy_score
 *   f1_macro    f1_score(average="macro", zero_division=0), over classes seen on either side
 *   f1_binary   f1_score(zero_division=0) of class 1, for two classes; else 0
 *   matthews    matthews_corrcoef (Gorodkin 2004 for many classes); 0 where it is undefined
 *
 * Regression (data->target), the prediction being the first output:
 *   loss, mse   mean_squared_error
 *   pearson     scipy.stats.pearsonr; 0 where it is undefined, i.e. when one side is constant
 *   spearman    scipy.stats.spearmanr (mean ranks for ties); 0 as well
 *
 * n = 0 gives zeros. WEFT_E_MEM; scratch of 24 bytes a class or 28 bytes a row comes from ctx. */
WEFT_NODISCARD weft_status we_metrics_compute(wk_ctx *ctx, const weft_rows *data,
                                              const int32_t *rows, int64_t n, const float *outputs,
                                              int32_t num_labels, weft_metrics *out);

#endif
