#include "engine/metrics.h"

#include "engine/order.h"

#include <math.h>

int32_t we_argmax(const float *x, int32_t n) {
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* ---- classification ---- */

typedef struct class_count {
    int64_t hit, said, is; /* predicted rightly; predicted; labelled */
} class_count;

static double cross_entropy(const float *logit, int32_t n, int32_t label) {
    double top = (double)logit[we_argmax(logit, n)], sum = 0;
    for (int32_t i = 0; i < n; i++) sum += exp((double)logit[i] - top);
    return log(sum) + top - (double)logit[label];
}

static double f1_of(class_count c) {
    int64_t both = c.said + c.is;
    return both > 0 ? 2.0 * (double)c.hit / (double)both : 0.0;
}

/* Covariance of prediction and label as indicator vectors, over the root of their variances. */
static double matthews_of(const class_count *c, int32_t classes, double n, double hits) {
    double said_is = 0, said_said = 0, is_is = 0;
    for (int32_t k = 0; k < classes; k++) {
        said_is += (double)c[k].said * (double)c[k].is;
        said_said += (double)c[k].said * (double)c[k].said;
        is_is += (double)c[k].is * (double)c[k].is;
    }
    double spread = (n * n - said_said) * (n * n - is_is);
    return spread > 0 ? (hits * n - said_is) / sqrt(spread) : 0.0;
}

static weft_status score_classes(wk_ctx *ctx, const weft_rows *data, const int32_t *rows, int64_t n,
                                 const float *outputs, int32_t classes, weft_metrics *m) {
    void *memory = NULL;
    WEFT_TRY(wk_host_alloc(ctx, &memory, (size_t)classes, sizeof(class_count), "class counts"));
    class_count *count = memory;
    double loss = 0, f1 = 0;
    int64_t hits = 0, seen = 0;
    for (int64_t i = 0; i < n; i++) {
        const float *logit = outputs + i * classes;
        int32_t label = data->label[rows ? rows[i] : i], said = we_argmax(logit, classes);
        loss += cross_entropy(logit, classes, label);
        count[said].said++;
        count[label].is++;
        if (said == label) count[label].hit++, hits++;
    }
    for (int32_t k = 0; k < classes; k++) {
        if (count[k].said + count[k].is == 0) continue;
        f1 += f1_of(count[k]);
        seen++;
    }
    m->loss = loss / (double)n;
    m->accuracy = (double)hits / (double)n;
    m->f1_macro = f1 / (double)seen;
    m->f1_binary = classes == 2 ? f1_of(count[1]) : 0.0;
    m->matthews = matthews_of(count, classes, (double)n, (double)hits);
    wk_host_free(ctx, memory);
    return WEFT_OK;
}

/* ---- regression ---- */

static double correlation(const double *x, const double *y, int64_t n) {
    double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;
    for (int64_t i = 0; i < n; i++) mean_x += x[i], mean_y += y[i];
    mean_x /= (double)n, mean_y /= (double)n;
    for (int64_t i = 0; i < n; i++) {
        double dx = x[i] - mean_x, dy = y[i] - mean_y;
        xx += dx * dx, yy += dy * dy, xy += dx * dy;
    }
    if (!(xx > 0 && yy > 0)) return 0.0;
    return fmax(-1.0, fmin(1.0, xy / (sqrt(xx) * sqrt(yy))));
}

/* Ranks from 1; ties share their mean. */
static void ranks_of(double *rank, const float *x, int64_t n, int32_t *order) {
    we_order_f32(order, x, n);
    for (int64_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && x[order[end]] == x[order[i]];) end++;
        for (int64_t j = i; j < end; j++) rank[order[j]] = 0.5 * (double)(i + 1 + end);
    }
}

typedef struct regression {
    double *x, *y;    /* (n) values, then ranks */
    float *said, *is; /* (n) */
    int32_t *order;   /* (n) */
} regression;

static weft_status score_values(wk_ctx *ctx, const weft_rows *data, const int32_t *rows, int64_t n,
                                const float *outputs, int32_t width, weft_metrics *m) {
    void *memory = NULL;
    const size_t each = 2 * sizeof(double) + 2 * sizeof(float) + sizeof(int32_t);
    WEFT_TRY(wk_host_alloc(ctx, &memory, (size_t)n, each, "scores"));
    regression r = {.x = memory};
    r.y = r.x + n;
    r.said = (float *)(void *)(r.y + n);
    r.is = r.said + n;
    r.order = (int32_t *)(void *)(r.is + n);
    double squares = 0;
    for (int64_t i = 0; i < n; i++) {
        r.said[i] = outputs[i * width];
        r.is[i] = data->target[rows ? rows[i] : i];
        r.x[i] = (double)r.said[i], r.y[i] = (double)r.is[i];
        squares += (r.x[i] - r.y[i]) * (r.x[i] - r.y[i]);
    }
    m->loss = m->mse = squares / (double)n;
    m->pearson = correlation(r.x, r.y, n);
    ranks_of(r.x, r.said, n, r.order);
    ranks_of(r.y, r.is, n, r.order);
    m->spearman = correlation(r.x, r.y, n);
    wk_host_free(ctx, memory);
    return WEFT_OK;
}

weft_status we_metrics_compute(wk_ctx *ctx, const weft_rows *data, const int32_t *rows, int64_t n,
                               const float *outputs, int32_t num_labels, weft_metrics *out) {
    weft_metrics m = {.n = n, .is_regression = data->label == NULL};
    if (n > 0 && m.is_regression)
        WEFT_TRY(score_values(ctx, data, rows, n, outputs, num_labels, &m));
    else if (n > 0)
        WEFT_TRY(score_classes(ctx, data, rows, n, outputs, num_labels, &m));
    *out = m;
    return WEFT_OK;
}
