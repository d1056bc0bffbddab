/* What the task gives without adapters: the most frequent class, and a linear probe on the frozen
 * base. Both see all training rows in one place, so they are a bar, not a federated method. */
#include "engine/engine.h"
#include "engine/logreg.h"
#include "kernels/dev.h"

#include <string.h>

/* Outputs that say the same for every test row: the class most frequent in training, or the mean.
 */
static void constant_outputs(const weft_rows *train, int64_t n, int32_t c, double *counts,
                             float *out) {
    memset(out, 0, (size_t)(n * c) * sizeof *out);
    memset(counts, 0, (size_t)c * sizeof *counts);
    if (train->target) {
        double sum = 0;
        for (int64_t i = 0; i < train->n_rows; i++) sum += (double)train->target[i];
        for (int64_t i = 0; i < n; i++) out[i] = (float)(sum / (double)train->n_rows);
        return;
    }
    int32_t best = 0;
    for (int64_t i = 0; i < train->n_rows; i++) counts[train->label[i]]++;
    for (int32_t k = 1; k < c; k++)
        if (counts[k] > counts[best]) best = k;
    for (int64_t i = 0; i < n; i++) out[i * c + best] = 1.0f;
}

static weft_status keep_features(void *ud, weft_engine *e, int64_t first, int64_t count) {
    float *x = ud;
    return wk_download(e->dev, x + first * e->model.hp.d, wk_rows(e->acts.pooled, 0, count));
}

static bool probe_tick(void *ud, int64_t done, int64_t total) {
    weft_engine *e = ud;
    return we_tick(e, WEFT_PHASE_PROBE, done, total) == WEFT_OK;
}

typedef struct work {
    float *x_train, *x_test, *outputs;
    double *counts;
    we_probe_model model;
} work;

static weft_status take(weft_engine *e, work *w) {
    size_t d = (size_t)e->model.hp.d, c = (size_t)e->model.num_labels;
    size_t n = (size_t)e->train->n_rows, m = (size_t)e->test->n_rows;
    void *p = NULL;
    WEFT_TRY(wk_host_alloc(&e->ctx, &p, n * d, sizeof(float), "training features"));
    w->x_train = p;
    WEFT_TRY(wk_host_alloc(&e->ctx, &p, m * d, sizeof(float), "test features"));
    w->x_test = p;
    WEFT_TRY(wk_host_alloc(&e->ctx, &p, m * c, sizeof(float), "probe outputs"));
    w->outputs = p;
    WEFT_TRY(wk_host_alloc(&e->ctx, &p, c, sizeof(double), "class counts"));
    w->counts = p;
    return we_probe_init(&w->model, &e->ctx, e->model.num_labels, e->model.hp.d);
}

static weft_status run(weft_engine *e, work *w, weft_baselines *out) {
    const weft_rows *train = e->train, *test = e->test;
    int32_t c = e->model.num_labels, d = e->model.hp.d;
    constant_outputs(train, test->n_rows, c, w->counts, w->outputs);
    WEFT_TRY(we_score(e, test, NULL, test->n_rows, w->outputs, &out->majority));

    WEFT_TRY(we_forward_rows(e, train, NULL, 0, train->n_rows, NULL, WEFT_PHASE_PROBE,
                             keep_features, w->x_train));
    WEFT_TRY(we_forward_rows(e, test, NULL, 0, test->n_rows, NULL, WEFT_PHASE_PROBE, keep_features,
                             w->x_test));
    we_features data = {.x = w->x_train,
                        .n = train->n_rows,
                        .d = d,
                        .label = train->label,
                        .target = train->target,
                        .outputs = c};
    we_probe_options options = {
        .standardise = true, .threads = e->dev->threads, .tick = probe_tick, .tick_ud = e};
    WEFT_TRY(we_probe_fit(&w->model, &data, e->cfg->run_seed, &options, &out->probe_c));
    for (int64_t i = 0; i < test->n_rows; i++)
        we_probe_apply(&w->model, w->x_test + i * d, w->outputs + i * c);
    return we_score(e, test, NULL, test->n_rows, w->outputs, &out->probe);
}

weft_status weft_engine_baselines(weft_engine *e, weft_baselines *out, weft_error *err) {
    weft_status st = WEFT_OK;
    work w = {0};
    weft_baselines result = {0};
    if (!e->train || !e->test) {
        st = WEFT_FAIL(&e->ctx.err, WEFT_E_CONFIG,
                       "baselines need training and test rows; set data.train and data.test");
        goto out;
    }
    WEFT_TRY_GOTO(st, take(e, &w), out);
    WEFT_TRY_GOTO(st, run(e, &w, &result), out);
    *out = result;
out:
    wk_host_free(&e->ctx, w.x_train);
    wk_host_free(&e->ctx, w.x_test);
    wk_host_free(&e->ctx, w.outputs);
    wk_host_free(&e->ctx, w.counts);
    we_probe_free(&w.model);
    if (st != WEFT_OK && err) *err = e->ctx.err;
    return st;
}
