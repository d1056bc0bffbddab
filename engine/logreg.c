#include "engine/logreg.h"

#include "engine/lbfgs.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define CHUNKS         16 /* fixed: sums are the same for any number of threads */
#define LANES          8
#define MAX_ITERATIONS 1000
#define TOLERANCE      1e-6

/* ---- the model ---- */

weft_status we_probe_init(we_probe_model *model, wk_ctx *ctx, int32_t outputs, int32_t d) {
    void *memory = NULL;
    size_t count = (size_t)outputs * ((size_t)d + 1);
    WEFT_TRY(wk_host_alloc(ctx, &memory, count, sizeof(double), "a linear model"));
    *model = (we_probe_model){.ctx = ctx, .outputs = outputs, .d = d, .w = memory};
    model->b = model->w + (size_t)outputs * (size_t)d;
    return WEFT_OK;
}

void we_probe_free(we_probe_model *model) {
    if (model->w) wk_host_free(model->ctx, model->w);
    *model = (we_probe_model){0};
}

/* Several sums at once, so that the compiler may use vectors without reordering any of them. */
static double dot(const float *x, const double *w, int32_t d) {
    double lane[LANES] = {0};
    int32_t j = 0;
    for (; j + LANES <= d; j += LANES)
        for (int32_t l = 0; l < LANES; l++) lane[l] += (double)x[j + l] * w[j + l];
    for (int32_t l = 0; j < d; j++, l++) lane[l] += (double)x[j] * w[j];
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

void we_probe_apply(const we_probe_model *model, const float *x, float *y) {
    for (int32_t k = 0; k < model->outputs; k++)
        y[k] = (float)(model->b[k] + dot(x, model->w + (int64_t)k * model->d, model->d));
}

weft_status we_feature_scale(wk_ctx *ctx, const we_features *data, bool standardise, double *mean,
                             double *inverse) {
    for (int32_t j = 0; j < data->d; j++) mean[j] = 0, inverse[j] = 0;
    for (int64_t i = 0; i < data->n; i++) {
        const float *x = we_feature_row(data, i);
        for (int32_t j = 0; j < data->d; j++) {
            if (!isfinite(x[j]))
                return WEFT_FAIL(&ctx->err, WEFT_E_DATA,
                                 "feature %d of row %" PRId64 " is not finite: the frozen model "
                                 "overflows on it",
                                 j, we_feature_index(data, i));
            mean[j] += (double)x[j];
        }
    }
    for (int32_t j = 0; j < data->d; j++) mean[j] /= (double)data->n;
    for (int64_t i = 0; i < data->n; i++) {
        const float *x = we_feature_row(data, i);
        for (int32_t j = 0; j < data->d; j++)
            inverse[j] += ((double)x[j] - mean[j]) * ((double)x[j] - mean[j]);
    }
    for (int32_t j = 0; j < data->d; j++) {
        double deviation = sqrt(inverse[j] / (double)data->n);
        inverse[j] = standardise && deviation > 0 ? 1 / deviation : 1;
        if (!standardise) mean[j] = 0;
    }
    return WEFT_OK;
}

/* ---- the objective ---- */

/* Parameters are `free` rows of d weights and an intercept, for the last `free` classes: all of
 * them, or class 1 of two. They act on scaled features (x - mean) * inverse, which are never
 * written down: w * inverse and b - <w * inverse, mean> act on x. */
typedef struct problem {
    const we_features *data;
    int32_t free;
    int threads;
    double penalty; /* 1 / (2 c n) */
    double *mean, *inverse;
    double *w;              /* (free, d + 1) acting on x */
    double *chunk_gradient; /* (CHUNKS, free, d + 1) */
    double *chunk_z;        /* (CHUNKS, free) */
    double chunk_loss[CHUNKS];
} problem;

static void unscale(const problem *p, const double *scaled, double *w) {
    int32_t d = p->data->d;
    for (int32_t k = 0; k < p->free; k++, scaled += d + 1, w += d + 1) {
        w[d] = scaled[d];
        for (int32_t j = 0; j < d; j++) {
            w[j] = scaled[j] * p->inverse[j];
            w[d] -= w[j] * p->mean[j];
        }
    }
}

/* z becomes softmax minus one-hot; returns the loss. With one free row the other logit is 0. */
static double softmax_loss(double *z, int32_t free, int32_t target) {
    double top = free == 1 ? fmax(0, z[0]) : z[0], sum = 0;
    for (int32_t k = 1; k < free; k++) top = fmax(top, z[k]);
    double hit = target >= 0 ? z[target] : 0;
    if (free == 1) sum = exp(-top);
    for (int32_t k = 0; k < free; k++) {
        z[k] = exp(z[k] - top);
        sum += z[k];
    }
    for (int32_t k = 0; k < free; k++) z[k] /= sum;
    if (target >= 0) z[target] -= 1;
    return log(sum) + top - hit;
}

static void run_chunk(problem *p, int32_t chunk) {
    const we_features *data = p->data;
    int32_t d = data->d, width = d + 1;
    double *gradient = p->chunk_gradient + (int64_t)chunk * p->free * width;
    double *z = p->chunk_z + (int64_t)chunk * p->free, loss = 0;
    memset(gradient, 0, sizeof *gradient * (size_t)p->free * (size_t)width);
    int64_t begin = data->n * chunk / CHUNKS, end = data->n * (chunk + 1) / CHUNKS;
    for (int64_t i = begin; i < end; i++) {
        const float *x = we_feature_row(data, i);
        int32_t label = data->label[we_feature_index(data, i)];
        for (int32_t k = 0; k < p->free; k++) {
            const double *w = p->w + (int64_t)k * width;
            z[k] = dot(x, w, d) + w[d];
        }
        loss += softmax_loss(z, p->free, p->free == 1 ? label - 1 : label);
        for (int32_t k = 0; k < p->free; k++) {
            double *g = gradient + (int64_t)k * width, r = z[k];
            for (int32_t j = 0; j < d; j++) g[j] += r * (double)x[j];
            g[d] += r;
        }
    }
    p->chunk_loss[chunk] = loss;
}

static double objective(void *ud, const double *scaled, double *gradient) {
    problem *p = ud;
    int32_t d = p->data->d, width = d + 1, chunk;
    int64_t size = (int64_t)p->free * width;
    unscale(p, scaled, p->w);
#ifdef _OPENMP
#    pragma omp parallel for num_threads(p->threads) schedule(dynamic, 1)
#endif
    for (chunk = 0; chunk < CHUNKS; chunk++) run_chunk(p, chunk);
    double loss = 0, squares = 0, share = 1 / (double)p->data->n;
    memset(gradient, 0, sizeof *gradient * (size_t)size);
    for (chunk = 0; chunk < CHUNKS; chunk++) {
        loss += p->chunk_loss[chunk];
        for (int64_t i = 0; i < size; i++) gradient[i] += p->chunk_gradient[chunk * size + i];
    }
    for (int32_t k = 0; k < p->free; k++) {
        double *g = gradient + (int64_t)k * width;
        const double *w = scaled + (int64_t)k * width;
        for (int32_t j = 0; j < d; j++) {
            g[j] = p->inverse[j] * (g[j] - p->mean[j] * g[d]) * share + 2 * p->penalty * w[j];
            squares += w[j] * w[j];
        }
        g[d] *= share;
    }
    return loss * share + p->penalty * squares;
}

/* ---- the fit ---- */

/* The inverse of unscale. */
static void load_start(const problem *p, const we_probe_model *model, double *scaled) {
    int32_t d = model->d, skip = model->outputs - p->free;
    for (int32_t k = 0; k < p->free; k++, scaled += d + 1) {
        const double *w = model->w + (int64_t)(k + skip) * d;
        scaled[d] = model->b[k + skip];
        for (int32_t j = 0; j < d; j++) {
            scaled[j] = w[j] / p->inverse[j];
            scaled[d] += w[j] * p->mean[j];
        }
    }
}

static void store_result(we_probe_model *model, const double *w, int32_t free) {
    int32_t d = model->d, skip = model->outputs - free;
    memset(model->w, 0, sizeof *model->w * (size_t)model->outputs * ((size_t)d + 1));
    for (int32_t k = 0; k < free; k++, w += d + 1) {
        memcpy(model->w + (int64_t)(k + skip) * d, w, sizeof *w * (size_t)d);
        model->b[k + skip] = w[d];
    }
}

weft_status we_logreg_fit(we_probe_model *model, const we_features *data,
                          const we_probe_options *options, double *value) {
    wk_ctx *ctx = model->ctx;
    problem p = {.data = data,
                 .free = data->outputs == 2 ? 1 : data->outputs,
                 .threads = options->threads > 1 ? options->threads : 1,
                 .penalty = 0.5 / (options->c * (double)data->n)};
    size_t d = (size_t)data->d, size = (size_t)p.free * (d + 1);
    void *memory = NULL;
    WEFT_TRY(wk_host_alloc(ctx, &memory, 2 * d + (2 + CHUNKS) * size + CHUNKS * (size_t)p.free,
                           sizeof(double), "the linear probe"));
    p.mean = memory, p.inverse = p.mean + d, p.w = p.inverse + d;
    double *scaled = p.w + size;
    p.chunk_gradient = scaled + size, p.chunk_z = p.chunk_gradient + CHUNKS * size;
    we_lbfgs_options lbfgs = {.max_iterations = MAX_ITERATIONS,
                              .tolerance = TOLERANCE,
                              .tick = options->tick,
                              .tick_ud = options->tick_ud};
    weft_status st = WEFT_OK;
    WEFT_TRY_GOTO(st, we_feature_scale(ctx, data, options->standardise, p.mean, p.inverse), out);
    load_start(&p, model, scaled);
    WEFT_TRY_GOTO(st, we_lbfgs(ctx, scaled, (int64_t)size, objective, &p, &lbfgs, value), out);
    unscale(&p, scaled, p.w);
    store_result(model, p.w, p.free);
out:
    wk_host_free(ctx, memory);
    return st;
}
