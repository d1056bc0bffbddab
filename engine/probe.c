/* The linear probe: a linear model whose strength is chosen on rows it did not see. */
#include "engine/logreg.h"
#include "engine/metrics.h"
#include "engine/random.h"

#include <math.h>

static weft_status fit(we_probe_model *model, const we_features *data,
                       const we_probe_options *options) {
    return data->label ? we_logreg_fit(model, data, options, NULL)
                       : we_ridge_fit(model, data, options, NULL);
}

/* Mean loss on rows: cross-entropy or squared error. */
static double loss_on(const we_probe_model *model, const we_features *data, float *y) {
    double sum = 0;
    for (int64_t i = 0; i < data->n; i++) {
        int64_t row = we_feature_index(data, i);
        we_probe_apply(model, we_feature_row(data, i), y);
        if (data->label) {
            double top = (double)y[we_argmax(y, data->outputs)], total = 0;
            for (int32_t k = 0; k < data->outputs; k++) total += exp((double)y[k] - top);
            sum += log(total) + top - (double)y[data->label[row]];
        } else {
            double e = (double)y[0] - (double)data->target[row];
            sum += e * e;
        }
    }
    return sum / (double)data->n;
}

/* `shuffled` holds the rows in random order: the first fifth is held out. */
static weft_status choose(we_probe_model *model, const we_features *data, int32_t *shuffled,
                          we_probe_options *options, float *y, double *best) {
    static const double candidates[] = {1e-4, 1e-3, 0.01, 0.1, 1, 10, 100};
    we_features held = *data, used = *data;
    held.n = data->n / 5, held.row = shuffled;
    used.n = data->n - held.n, used.row = shuffled + held.n;
    double least = HUGE_VAL;
    *best = 1;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        options->c = candidates[i]; /* each fit starts where the stronger penalty ended */
        WEFT_TRY(fit(model, &used, options));
        double loss = loss_on(model, &held, y);
        if (loss < least) least = loss, *best = candidates[i];
    }
    return WEFT_OK;
}

weft_status we_probe_fit(we_probe_model *model, const we_features *data, uint64_t seed,
                         const we_probe_options *options, double *c) {
    wk_ctx *ctx = model->ctx;
    we_probe_options o = *options;
    void *rows = NULL, *y = NULL;
    weft_status st = WEFT_OK;
    double best = 1;
    WEFT_TRY_GOTO(st, wk_host_alloc(ctx, &rows, (size_t)data->n, sizeof(int32_t), "probe rows"),
                  out);
    WEFT_TRY_GOTO(st, wk_host_alloc(ctx, &y, (size_t)data->outputs, sizeof(float), "probe outputs"),
                  out);
    if (data->n >= 10) {
        int32_t *row = rows;
        for (int64_t i = 0; i < data->n; i++) row[i] = (int32_t)we_feature_index(data, i);
        wk_stream stream = wk_stream_at(wk_rng_key(seed, WK_RNG_PROBE, 0), 0, 0, 0);
        we_random_shuffle(&stream, row, data->n);
        WEFT_TRY_GOTO(st, choose(model, data, row, &o, y, &best), out);
    }
    o.c = best;
    WEFT_TRY_GOTO(st, fit(model, data, &o), out);
    if (c) *c = best;
out:
    wk_host_free(ctx, rows);
    wk_host_free(ctx, y);
    return st;
}
