/* A round: sample the cohort, train it in waves of K slots from the global adapter, fold the
 * updates back. The server's arithmetic is FedOpt's (Reddi et al. 2021): delta = weighted mean of
 * (end - start), then one step of the server optimizer. The sum is exact (kernels/exact_sum.h), so
 * that neither slots nor waves change a bit. */
#include "engine/engine.h"
#include "kernels/dev.h"

#include <math.h>
#include <string.h>

/* Batches in an epoch of a client with n rows, in this round. */
static int64_t epoch_of(const weft_engine *e, int64_t n_rows) {
    return e->cfg->client_epoch_length == WE_EPOCH_OWN ? we_own_epoch(e->cfg, n_rows)
                                                       : e->round_epoch;
}

static int64_t rows_of(const weft_engine *e, int32_t client) {
    return e->partition->offset[client + 1] - e->partition->offset[client];
}

void we_round_tie_epochs(weft_engine *e) {
    const bool longest = e->cfg->client_epoch_length == WE_EPOCH_LONGEST;
    for (int32_t i = 0; i < e->cohort_size; i++) {
        const int64_t own = we_own_epoch(e->cfg, rows_of(e, e->cohort[i]));
        if (i == 0 || (longest ? own > e->round_epoch : own < e->round_epoch)) e->round_epoch = own;
    }
}

int64_t we_round_steps(const weft_engine *e, int64_t n_rows) {
    const weft_config *cfg = e->cfg;
    const int64_t epoch = epoch_of(e, n_rows), left = cfg->fl_total_steps - e->local_steps_total;
    if (we_engine_rehearses(e) && cfg->fl_sync != WE_SYNC_FIXED)
        return we_visit_interval(cfg, epoch) * we_fda_usual_checks(cfg);
    const int64_t steps = we_visit_steps(cfg, epoch);
    return cfg->fl_total_steps > 0 && steps > left && !we_engine_rehearses(e) ? left : steps;
}

static void visit_init(weft_engine *e, we_visit *v, int32_t client) {
    int32_t *order = v->order;
    memset(v, 0, sizeof *v);
    v->client = client;
    v->rows = e->partition->row + e->partition->offset[client];
    v->n_rows = rows_of(e, client);
    v->steps = we_round_steps(e, v->n_rows);
    if (e->visit_share > 0) v->steps = (int64_t)ceil((double)v->steps * e->visit_share);
    v->order = order;
    v->epoch = -1;
}

/* ---- the wave's updates ---- */

/* Updates that are not finite, or far too large, are thrown away, like those of clients whose
 * gradient was not. */
static weft_status measure_updates(weft_engine *e, we_visit *visits, int32_t n) {
    const int32_t views = e->model.lora.n_views;
    WEFT_TRY(we_sqdist(e, n, wk_vec(e->server.x.data, WK_F32, e->model.lora.size)));
    for (int32_t k = 0; k < n; k++) {
        double *norm = &e->sqdist[(int64_t)k * views];
        for (int32_t i = 1; i < views; i++) norm[0] += norm[i];
        const double weight = we_visit_weight(e->cfg, &visits[k]);
        visits[k].dead = visits[k].dead || !we_is_usable(norm[0], weight);
    }
    return WEFT_OK;
}

weft_status we_add_updates(weft_engine *e, int32_t n, const double *weights) {
    wk_update_add_args a = {.acc = e->server.acc,
                            .w = wk_rows(e->slots.w, 0, n),
                            .anchor = wk_vec(e->server.x.data, WK_F32, e->model.lora.size),
                            .weight = wk_rows(e->server.weight, 0, n)};
    WEFT_TRY(wk_upload(e->dev, a.weight, weights));
    return wk_update_add(e->dev, &a);
}

/* Of a wave that begins with the first-th client dealt to this rank. */
static weft_status add_updates(weft_engine *e, we_visit *visits, int32_t n, int32_t first) {
    WEFT_TRY(measure_updates(e, visits, n));
    for (int32_t k = 0; k < n; k++) {
        const we_visit *v = &visits[k];
        weft_client_report *out = &e->own_reports[first + k];
        memset(out, 0, sizeof *out); /* padding too, for it travels */
        e->weights[k] = v->dead ? 0.0 : we_visit_weight(e->cfg, v);
        out->client = v->client;
        out->rows = v->n_rows;
        out->steps = v->done;
        out->examples = v->examples;
        out->tokens = v->tokens;
        out->weight = e->weights[k];
        out->loss = v->loss_sum / (double)v->done;
        out->last_loss = v->last_loss;
        out->checks = v->checks;
        out->skipped = v->dead;
        if (!v->dead) out->update_norm = sqrt(e->sqdist[(int64_t)k * e->model.lora.n_views]);
    }
    return we_add_updates(e, n, e->weights);
}

static weft_status server_step(weft_engine *e, double weight_sum) {
    static const wk_server_kind kinds[] = {
        [WE_STRATEGY_FEDAVG] = WK_SERVER_AVG,         [WE_STRATEGY_FEDAVGM] = WK_SERVER_AVGM,
        [WE_STRATEGY_FEDADAGRAD] = WK_SERVER_ADAGRAD, [WE_STRATEGY_FEDADAM] = WK_SERVER_ADAM,
        [WE_STRATEGY_FEDYOGI] = WK_SERVER_YOGI,       [WE_STRATEGY_FEDPROX] = WK_SERVER_AVG,
    };
    const weft_config *cfg = e->cfg;
    wk_server_kind kind = kinds[cfg->fl_strategy];
    double beta1 = kind == WK_SERVER_AVGM      ? cfg->server_momentum
                   : kind == WK_SERVER_ADAGRAD ? 0.0
                                               : cfg->server_beta1;
    wk_sum_read_args sum = {.y = e->server.mean, .acc = e->server.acc};
    WEFT_TRY(wk_sum_read(e->dev, &sum));
    wk_server_step_args a = {.x = wk_vec(e->server.x.data, WK_F32, e->model.lora.size),
                             .delta = e->server.mean,
                             .m = e->server.m,
                             .v = e->server.v,
                             .kind = kind,
                             .step = e->rounds_done + 1,
                             .delta_scale = 1.0 / weight_sum,
                             .lr = cfg->server_learning_rate,
                             .beta1 = beta1,
                             .beta2 = cfg->server_beta2,
                             .tau = cfg->server_tau,
                             .weight_decay = cfg->server_weight_decay,
                             .bias_correction = cfg->server_bias_correction};
    return wk_server_step(e->dev, &a);
}

static void summarise(weft_engine *e, weft_round_report *r, double weight_sum) {
    for (int32_t i = 0; i < r->n_clients; i++) {
        weft_client_report *c = &e->reports[i];
        c->weight /= weight_sum;
        r->steps += c->steps;
        if (c->steps > r->local_steps) r->local_steps = c->steps;
        r->examples += c->examples;
        r->tokens += c->tokens;
        if (c->skipped)
            r->n_skipped++;
        else
            r->loss += c->weight * c->loss;
    }
}

/* Clients of the wave that starts at `first` of those dealt to this rank. */
static int32_t wave_size(const weft_engine *e, int32_t first) {
    int32_t left = e->ranks.n_own - first;
    return left < e->slots.n ? left : e->slots.n;
}

/* Trains until the clients are to synchronise: all their steps, or as long as they agree. */
static weft_status train_wave(weft_engine *e, we_visit *visits, int32_t n, weft_round_report *r,
                              int64_t *done, int64_t total) {
    bool goes_on = true;
    if (n > 0) WEFT_TRY(we_wave_begin(e, visits, n));
    while (goes_on) {
        for (int32_t k = 0; k < n; k++) {
            we_visit *v = &visits[k];
            const int64_t interval = we_visit_interval(e->cfg, epoch_of(e, v->n_rows));
            if (v->dead) continue;
            v->until = v->done + interval < v->steps ? v->done + interval : v->steps;
            v->cut = v->until - v->done < interval;
        }
        if (n > 0)
            WEFT_TRY(we_wave_run(e, visits, n, r->round, r->learning_rate, &r->packs, done, total));
        goes_on = false;
        if (e->fda.ctx) {
            WEFT_TRY(we_fda_check(e, visits, n));
            goes_on = !e->fda.checks[e->fda.n_checks - 1].synchronise;
        }
    }
    return WEFT_OK;
}

/* One wave of this rank's clients; under FDA all of them, of whom there may be none. */
static weft_status run_wave(weft_engine *e, int32_t first, int32_t n, weft_round_report *r,
                            int64_t *done, int64_t total) {
    const int32_t *own = e->ranks.own;
    for (int32_t k = 0; k < n; k++) visit_init(e, &e->visits[k], own[first + k]);
    WEFT_TRY(we_pager_wave(&e->pager, own + first, n, own + first + n, wave_size(e, first + n)));
    WEFT_TRY(train_wave(e, e->visits, n, r, done, total));
    wk_fill_args zero = {.y = e->server.acc}; /* a check may have left something there */
    if (first == 0) WEFT_TRY(wk_fill(e->dev, &zero));
    if (n > 0) WEFT_TRY(add_updates(e, e->visits, n, first));
    for (int32_t k = 0; k < n; k++)
        we_pager_trained(&e->pager, k, e->slots.before[k] + e->visits[k].done, e->visits[k].dead);
    return we_pager_wave_end(&e->pager);
}

static weft_status run_cohort(weft_engine *e, weft_round_report *r) {
    int64_t total = 0, done = 0;
    const int32_t n_own = e->ranks.n_own;
    for (int32_t i = 0; i < n_own; i++) total += we_round_steps(e, rows_of(e, e->ranks.own[i]));
    WEFT_TRY(we_fda_begin(e));
    WEFT_TRY(we_pager_begin(&e->pager));
    for (int32_t first = 0, n; first == 0 || first < n_own; first += n) {
        n = wave_size(e, first);
        WEFT_TRY(run_wave(e, first, n, r, &done, total));
        if (n == 0) break;
    }
    WEFT_TRY(we_ranks_gather(e, e->own_reports, sizeof *e->reports, e->reports));
    WEFT_TRY(we_ranks_sum_tensor(e, e->server.acc));
    WEFT_TRY(we_ranks_sum(e, &r->packs, 1));
    we_fda_end(e, r);
    return we_pager_round_end(&e->pager);
}

/* What the pager moved since the last report. */
static weft_swap swapped(weft_engine *e) {
    weft_swap now = we_pager_swap(&e->pager), was = e->swap_told;
    e->swap_told = now;
    now.in -= was.in, now.out -= was.out, now.stayed -= was.stayed;
    now.read -= was.read, now.written -= was.written;
    return now;
}

weft_status weft_engine_round(weft_engine *e, weft_round_report *report, weft_error *err) {
    weft_round_report r = {
        .round = e->rounds_done + 1, .n_clients = e->cohort_size, .clients = e->reports};
    double weight_sum = 0;
    weft_status st = WEFT_OK;
    e->ranks.parted = false;
    if (e->slots.n == 0) {
        st = WEFT_FAIL(&e->ctx.err, WEFT_E_ARG, "this engine was opened for evaluation only");
        goto out;
    }
    if (weft_engine_is_done(e) && e->cfg->fl_total_steps > 0 && !we_engine_rehearses(e)) {
        st =
            WEFT_FAIL(&e->ctx.err, WEFT_E_ARG, "the run is over: %lld of %lld local steps are done",
                      (long long)e->local_steps_total, (long long)e->cfg->fl_total_steps);
        goto out;
    }
    we_cohort_sample(e->cfg, e->partition->n_clients, r.round, e->cohort);
    we_round_tie_epochs(e);
    we_ranks_deal(e);
    r.learning_rate = we_schedule_rate(e->cfg, r.round);
    WEFT_TRY_GOTO(st, run_cohort(e, &r), out);
    for (int32_t i = 0; i < r.n_clients; i++) weight_sum += e->reports[i].weight;
    if (weight_sum == 0) {
        st = WEFT_FAIL(&e->ctx.err, WEFT_E_DIVERGED,
                       "round %lld: the gradients of all %d clients are not finite; lower "
                       "client.learning_rate (%g) or set client.max_grad_norm",
                       (long long)r.round, r.n_clients, r.learning_rate);
        goto out;
    }
    WEFT_TRY_GOTO(st, we_fda_remember(e), out);
    WEFT_TRY_GOTO(st, we_ranks_meet(e, WEFT_OK), out); /* the round counts for all or for none */
    WEFT_TRY_GOTO(st, server_step(e, weight_sum), out);
    summarise(e, &r, weight_sum);
    if (!e->clock) { /* a benchmark repeats its round */
        e->rounds_done++;
        e->local_steps_total += r.local_steps;
        we_fda_commit(e, &r);
    }
    r.local_steps_total = e->local_steps_total;
    we_count_wire(e, &r);
    if (e->pager.is_open) { /* the first wave of the next round may be on its way already */
        we_cohort_sample(e->cfg, e->partition->n_clients, e->rounds_done + 1, e->next_cohort);
        int32_t n = 0; /* that train here */
        for (int32_t i = 0; i < e->cohort_size; i++)
            if (we_ranks_is_home(&e->ranks, e->next_cohort[i]))
                e->next_cohort[n++] = e->next_cohort[i];
        we_pager_commit(&e->pager, e->next_cohort, n < e->slots.n ? n : e->slots.n);
    }
    r.swap = swapped(e);
    *report = r;
out:
    if (st != WEFT_OK) st = we_ranks_meet(e, st);
    if (st != WEFT_OK && err) *err = e->ctx.err;
    return st;
}
