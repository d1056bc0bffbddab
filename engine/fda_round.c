/* A round under FDA: what clients send at a check, the estimate, the verdict, the next theta. */
#include "engine/engine.h"
#include "engine/models/model.h"
#include "engine/random.h"
#include "engine/sketch.h"
#include "kernels/dev.h"
#include "kernels/exact_sum.h"

#include <math.h>
#include <string.h>

/* A client's number as it arrives at the server. */
static double sent(double value) {
    return (double)(float)value;
}

static wk_tensor global(const weft_engine *e) {
    return wk_vec(e->server.x.data, WK_F32, e->model.lora.size);
}

/* ---- the direction of the linear estimator ---- */

/* xi = (w_start - w_before) / |…|, before the first synchronisation a random one, the same
 * everywhere; times the weights of the groups, so that the product with u_k is the weighted one. */
static void make_direction(const we_fda *f, const we_lora *lora, bool is_first, float *xi) {
    wk_stream stream = wk_stream_at(wk_rng_key(f->cfg->run_seed, WK_RNG_DIRECTION, 0), 0, 0, 0);
    double sum = 0;
    for (int pass = 0; pass < 2; pass++) {
        const double scale = sum > 0 && isfinite(sum) ? 1 / sqrt(sum) : 0;
        for (int32_t i = 0; i < lora->n_views; i++) {
            const weft_view *v = &lora->view[i];
            const double weight = f->weight[we_view_group(v)];
            const int64_t n = v->ndim == 2 ? v->dim[0] * v->dim[1] : v->dim[0];
            for (float *x = xi + v->offset; x < xi + v->offset + n; x++) {
                if (pass == 1) {
                    *x = (float)(weight * (double)*x * scale);
                    continue;
                }
                *x = is_first ? (float)we_random_normal(&stream) : *x - f->previous[x - xi];
                sum += weight * (double)*x * (double)*x;
            }
        }
    }
}

weft_status we_fda_begin(weft_engine *e) {
    we_fda *f = &e->fda;
    if (!f->ctx) return WEFT_OK;
    f->n_checks = 0, f->not_finite = f->cut = false;
    if (!f->previous) return WEFT_OK;
    WEFT_TRY(wk_download(e->dev, f->current, e->server.x)); /* its gaps are zero */
    make_direction(f, &e->model.lora, e->rounds_done == 0, f->current);
    return wk_upload(e->dev, f->direction, f->current);
}

weft_status we_fda_remember(weft_engine *e) {
    if (!e->fda.previous) return WEFT_OK;
    return wk_download(e->dev, e->fda.current, e->server.x);
}

void we_fda_commit(weft_engine *e, const weft_round_report *r) {
    we_fda *f = &e->fda;
    if (!f->ctx) return;
    f->theta = f->cfg->fda_rule == WE_RULE_ADAPTIVE ? r->theta_next : 0;
    float *swap = f->previous;
    f->previous = f->current, f->current = swap;
}

/* ---- what clients send ---- */

weft_status we_sqdist(weft_engine *e, int32_t n, wk_tensor point) {
    wk_tensor out = wk_rows(e->server.sqdist, 0, n);
    wk_range_sqdist_args a = {
        .out = out, .w = wk_rows(e->slots.w, 0, n), .center = point, .off = e->server.range};
    WEFT_TRY(wk_range_sqdist(e->dev, &a));
    return wk_download(e->dev, e->sqdist, out);
}

static void sum_groups(const weft_engine *e, int32_t k, double group[WEFT_GROUPS]) {
    const we_lora *lora = &e->model.lora;
    for (int g = 0; g < WEFT_GROUPS; g++) group[g] = 0;
    for (int32_t i = 0; i < lora->n_views; i++)
        group[we_view_group(&lora->view[i])] += e->sqdist[(int64_t)k * lora->n_views + i];
}

static double weighted(const we_fda *f, const double group[WEFT_GROUPS]) {
    double sum = 0;
    for (int g = 0; g < WEFT_GROUPS; g++) sum += f->weight[g] * group[g];
    return sum;
}

/* Norms and sketches in one pass. */
static weft_status sketch_blocks(weft_engine *e, const we_visit *visits, int32_t n) {
    we_fda *f = &e->fda;
    wk_slot_state state = we_slots_state(&e->slots, n);
    for (int32_t k = 0; k < n; k++) e->slots.step[k] = visits[k].dead ? 0 : 1;
    WEFT_TRY(wk_upload(e->dev, state.step, e->slots.step));
    wk_drift_args a = {.w = wk_rows(e->slots.w, 0, n),
                       .slots = state,
                       .drift = {.anchor = global(e),
                                 .sqnorm = wk_rows(f->number, 0, n),
                                 .sketch = wk_rows(f->sketch, 0, n),
                                 .sign = f->sign,
                                 .rot = f->rot}};
    WEFT_TRY(wk_drift(e->dev, &a));
    WEFT_TRY(wk_download(e->dev, f->numbers, a.drift.sqnorm));
    for (int32_t k = 0; k < n; k++) f->own[k].norm = f->numbers[k];
    return wk_download(e->dev, f->sketches, a.drift.sketch);
}

/* |u_k|^2 of every client here, and its sketch where that comes with it. */
static weft_status measure_norms(weft_engine *e, const we_visit *visits, int32_t n) {
    we_fda *f = &e->fda;
    if (wk_given(f->sign)) return sketch_blocks(e, visits, n);
    WEFT_TRY(we_sqdist(e, n, global(e)));
    for (int32_t k = 0; k < n; k++) {
        double group[WEFT_GROUPS];
        sum_groups(e, k, group);
        f->own[k].norm = weighted(f, group);
    }
    return WEFT_OK;
}

/* A client whose update cannot be added up is out; its slot must not spoil the sums. */
static weft_status drop_lost(weft_engine *e, we_visit *visits, int32_t n) {
    for (int32_t k = 0; k < n; k++) {
        if (visits[k].dead || we_is_usable(e->fda.own[k].norm, 1)) continue;
        visits[k].dead = true;
        wk_copy_args a = {.y = wk_rows(e->slots.w, k, 1), .x = e->server.x};
        WEFT_TRY(wk_copy(e->dev, &a));
    }
    return WEFT_OK;
}

/* <xi, u_k> of every client here. */
static weft_status measure_directions(weft_engine *e, int32_t n) {
    we_fda *f = &e->fda;
    wk_project_args a = {.out = wk_rows(f->number, 0, n),
                         .w = wk_rows(e->slots.w, 0, n),
                         .anchor = global(e),
                         .dir = f->direction};
    WEFT_TRY(wk_project(e->dev, &a));
    WEFT_TRY(wk_download(e->dev, f->numbers, a.out));
    for (int32_t k = 0; k < n; k++) f->own[k].number = f->numbers[k];
    return WEFT_OK;
}

/* By tables, where drift did not make it. */
static weft_status measure_sketches(weft_engine *e, int32_t n) {
    we_fda *f = &e->fda;
    wk_table_sketch_args a = {.sketch = wk_rows(f->sketch, 0, n),
                              .w = wk_rows(e->slots.w, 0, n),
                              .anchor = global(e),
                              .scale = f->scale,
                              .entry = f->entry,
                              .start = f->start,
                              .bucket = f->bucket};
    WEFT_TRY(wk_table_sketch(e->dev, &a));
    return wk_download(e->dev, f->sketches, a.sketch);
}

/* What the clients here have to tell. */
static weft_status measure(weft_engine *e, we_visit *visits, int32_t n) {
    we_fda *f = &e->fda;
    if (n == 0) return WEFT_OK;
    WEFT_TRY(measure_norms(e, visits, n));
    WEFT_TRY(drop_lost(e, visits, n));
    if (f->cfg->fda_estimator == WE_ESTIMATOR_LINEAR) WEFT_TRY(measure_directions(e, n));
    if (wk_given(f->entry)) WEFT_TRY(measure_sketches(e, n));
    for (int32_t k = 0; k < n; k++) {
        const we_visit *v = &visits[k];
        f->own[k].weight = v->dead ? 0 : we_visit_weight(e->cfg, v);
        f->own[k].done = v->done;
        f->own[k].at_end = v->dead || v->done == v->steps;
        f->own[k].cut = v->cut;
    }
    return WEFT_OK;
}

/* ---- estimates ---- */

/* The weights of the means: as the aggregation's, of those that answer. */
static void share_out(weft_engine *e, we_visit *visits, int32_t n, weft_check *c) {
    we_fda *f = &e->fda;
    double sum = 0;
    for (int32_t i = 0; i < e->cohort_size; i++) {
        const we_fda_note *note = &f->notes[i];
        sum += note->weight;
        c->clients += note->weight > 0;
        c->steps = note->done > c->steps ? note->done : c->steps;
        f->cut = f->cut || note->cut;
    }
    for (int32_t i = 0; i < e->cohort_size; i++)
        f->shares[i] = c->clients > 0 ? f->notes[i].weight / sum : 0;
    for (int32_t k = 0; k < n; k++) {
        f->own_shares[k] = f->shares[e->ranks.own_at[k]];
        visits[k].checks += !visits[k].dead;
    }
}

/* (mean <xi, u_k>)^2, a lower bound of |mean u|^2 by Cauchy and Schwarz. */
static double along_direction(const weft_engine *e) {
    const we_fda *f = &e->fda;
    double mean = 0;
    for (int32_t i = 0; i < e->cohort_size; i++)
        if (f->shares[i] > 0) mean += f->shares[i] * sent(f->notes[i].number);
    return mean * mean;
}

static weft_status by_sketch(weft_engine *e, int32_t n, double *sqnorm) {
    we_fda *f = &e->fda;
    const int64_t size = wk_row_numel(f->sketch);
    memset(f->words, 0, WK_SUM_WORDS * (size_t)size * sizeof *f->words);
    for (int32_t k = 0; k < n; k++)
        for (int64_t i = 0; i < size && f->own_shares[k] > 0; i++)
            wk_sum_add(&f->words[i], &f->words[size + i],
                       f->own_shares[k] * (double)f->sketches[k * size + i]);
    WEFT_TRY(we_ranks_sum(e, f->words, WK_SUM_WORDS * size));
    for (int64_t i = 0; i < size; i++)
        f->mean_sketch[i] = wk_sum_value(f->words[i], f->words[size + i]);
    *sqnorm =
        we_sketch_sqnorm(f->mean_sketch, (int)f->cfg->fda_sketch_depth, f->cfg->fda_sketch_width) /
        (1 + f->cfg->fda_epsilon);
    return WEFT_OK;
}

/* How far the clients here are from the mean, by group. */
static weft_status distances(weft_engine *e, int32_t n) {
    if (n == 0) return WEFT_OK;
    WEFT_TRY(we_sqdist(e, n, e->server.mean));
    for (int32_t k = 0; k < n; k++) sum_groups(e, k, e->fda.own_groups + k * WEFT_GROUPS);
    return WEFT_OK;
}

/* mean |u_k - mean u|^2: nothing cancels when clients agree. */
static weft_status exact_variance(weft_engine *e, int32_t n, weft_check *c) {
    we_fda *f = &e->fda;
    wk_fill_args zero = {.y = e->server.acc};
    wk_sum_read_args mean = {.y = e->server.mean, .acc = e->server.acc, .base = global(e)};
    WEFT_TRY(wk_fill(e->dev, &zero));
    if (n > 0) WEFT_TRY(we_add_updates(e, n, f->own_shares));
    WEFT_TRY(we_ranks_sum_tensor(e, e->server.acc));
    WEFT_TRY(wk_sum_read(e->dev, &mean));
    WEFT_TRY(distances(e, n));
    WEFT_TRY(we_ranks_gather(e, f->own_groups, WEFT_GROUPS * sizeof(double), f->groups));
    memset(c->group, 0, sizeof c->group);
    for (int32_t i = 0; i < e->cohort_size; i++)
        for (int g = 0; g < WEFT_GROUPS && f->shares[i] > 0; g++)
            c->group[g] += f->shares[i] * f->groups[i * WEFT_GROUPS + g];
    c->variance = weighted(f, c->group);
    return WEFT_OK;
}

static weft_status estimate(weft_engine *e, int32_t n, weft_check *c) {
    we_fda *f = &e->fda;
    double sqnorm = 0; /* of the mean update, at least */
    c->mean_sqnorm = 0;
    for (int32_t i = 0; i < e->cohort_size; i++)
        if (f->shares[i] > 0) c->mean_sqnorm += f->shares[i] * sent(f->notes[i].norm);
    if (f->cfg->fda_estimator == WE_ESTIMATOR_LINEAR) sqnorm = along_direction(e);
    if (f->cfg->fda_estimator == WE_ESTIMATOR_SKETCH) WEFT_TRY(by_sketch(e, n, &sqnorm));
    if (f->cfg->fda_estimator == WE_ESTIMATOR_EXACT) {
        WEFT_TRY(exact_variance(e, n, c));
        c->estimate = c->variance;
    } else {
        c->estimate = c->mean_sqnorm - sqnorm;
    }
    return WEFT_OK;
}

/* ---- verdict and theta ---- */

/* NaN where none is used. */
static double threshold(const weft_engine *e) {
    const weft_config *cfg = e->cfg;
    if (cfg->fda_rule == WE_RULE_FIXED) return cfg->fda_theta;
    return cfg->fda_rule == WE_RULE_ADAPTIVE && e->rounds_done > 0 ? e->fda.theta : (double)NAN;
}

static bool is_over(const weft_engine *e, const weft_check *c, bool is_last) {
    const we_theta_rule rule = e->cfg->fda_rule;
    if (is_last || we_engine_rehearses(e)) return is_last;
    if (c->clients == 0 || !isfinite(c->estimate)) return true;
    if (rule != WE_RULE_FIXED && e->rounds_done == 0) return true;
    if (rule == WE_RULE_ALWAYS) return e->fda.n_checks + 1 >= e->cfg->fda_target;
    return c->estimate > c->theta;
}

/* No client has steps left. */
static bool all_at_end(const weft_engine *e) {
    bool is_last = true;
    for (int32_t i = 0; i < e->cohort_size; i++) is_last = is_last && e->fda.notes[i].at_end;
    return is_last;
}

weft_status we_fda_check(weft_engine *e, we_visit *visits, int32_t n) {
    we_fda *f = &e->fda;
    weft_check c = {.estimate = (double)NAN,
                    .variance = (double)NAN,
                    .group = {(double)NAN, (double)NAN, (double)NAN},
                    .mean_sqnorm = (double)NAN,
                    .theta = threshold(e)};
    wk_range(e->dev, "variance");
    WEFT_TRY(measure(e, visits, n));
    WEFT_TRY(we_ranks_gather(e, f->own, sizeof *f->own, f->notes));
    share_out(e, visits, n, &c);
    if (c.clients > 0) WEFT_TRY(estimate(e, n, &c));
    if (!isfinite(c.estimate)) f->not_finite = true;
    c.synchronise = is_over(e, &c, all_at_end(e));
    const bool wanted = c.synchronise || f->cfg->fda_variance == WE_VARIANCE_CHECKS;
    if (c.clients > 0 && wanted && f->cfg->fda_estimator != WE_ESTIMATOR_EXACT)
        WEFT_TRY(exact_variance(e, n, &c));
    wk_range(e->dev, NULL);
    f->checks[f->n_checks++] = c;
    return WEFT_OK;
}

void we_fda_end(const weft_engine *e, weft_round_report *r) {
    const we_fda *f = &e->fda;
    if (!f->ctx) return;
    const weft_check *last = &f->checks[f->n_checks - 1];
    const bool by_estimate = f->cfg->fda_theta_from == WE_THETA_FROM_ESTIMATE;
    const double variance = by_estimate ? last->estimate : last->variance;
    r->checks = f->checks, r->n_checks = f->n_checks;
    r->theta = r->theta_next = threshold(e);
    if (f->cfg->fda_rule != WE_RULE_ADAPTIVE) return;
    r->kept_theta = f->not_finite || !isfinite(variance) || f->cut;
    r->theta_next =
        r->kept_theta ? f->theta : we_theta_next(f->cfg->fda_target, f->n_checks, variance);
}
