/* A round: sample the cohort, train it in waves of K slots from the global adapter, fold the
 * updates back. The server's arithmetic is FedOpt's (Reddi et al. 2021): delta = weighted mean of
 * (end - start), then one step of the server optimizer. Updates are added in cohort order, in
 * double, so that neither slots nor waves change a bit. */
#include "engine/engine.h"
#include "kernels/dev.h"

#include <math.h>
#include <string.h>

static void visit_init(weft_engine *e, we_visit *v, int32_t client) {
    int64_t from = e->partition->offset[client];
    int32_t *order = v->order;
    memset(v, 0, sizeof *v);
    v->client = client;
    v->rows = e->partition->row + from;
    v->n_rows = e->partition->offset[client + 1] - from;
    v->steps = we_visit_steps(e->cfg, v->n_rows);
    if (e->visit_share > 0) v->steps = (int64_t)ceil((double)v->steps * e->visit_share);
    v->order = order;
    v->epoch = -1;
}

static double raw_weight(const weft_engine *e, const we_visit *v) {
    return e->cfg->fl_weighting == WE_WEIGHTING_UNIFORM ? 1.0 : (double)v->n_rows;
}

static weft_status add_updates(weft_engine *e, const we_visit *visits, int32_t n,
                               weft_client_report *out, double *weight_sum) {
    int64_t p = e->model.lora.size;
    for (int32_t k = 0; k < n; k++) {
        const we_visit *v = &visits[k];
        double weight = v->dead ? 0.0 : raw_weight(e, v);
        out[k] = (weft_client_report){.client = v->client,
                                      .rows = v->n_rows,
                                      .steps = v->steps,
                                      .examples = v->examples,
                                      .tokens = v->tokens,
                                      .weight = weight,
                                      .loss = v->loss_sum / (double)v->steps,
                                      .last_loss = v->last_loss,
                                      .skipped = v->dead};
        if (v->dead) continue;
        wk_update_add_args add = {.acc = e->server.acc,
                                  .w = wk_vec(wk_row_ptr(e->slots.w, k), WK_F32, p),
                                  .anchor = wk_vec(e->server.x.data, WK_F32, p),
                                  .sqnorm = wk_rows(e->server.norm, k, 1),
                                  .weight = weight};
        WEFT_TRY(wk_update_add(e->dev, &add));
        *weight_sum += weight;
    }
    WEFT_TRY(wk_download(e->dev, e->slots.losses, wk_rows(e->server.norm, 0, n)));
    for (int32_t k = 0; k < n; k++)
        if (!out[k].skipped) out[k].update_norm = sqrt(e->slots.losses[k]);
    return WEFT_OK;
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
    wk_server_step_args a = {.x = wk_vec(e->server.x.data, WK_F32, e->model.lora.size),
                             .delta = e->server.acc,
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
        r->examples += c->examples;
        r->tokens += c->tokens;
        if (c->skipped)
            r->n_skipped++;
        else
            r->loss += c->weight * c->loss;
    }
}

/* Every client receives the global adapter; those whose update is used send theirs. */
static void count_wire(weft_engine *e, weft_round_report *r) {
    const uint64_t adapter = (uint64_t)e->model.lora.numel * sizeof(float);
    for (int32_t i = 0; i < r->n_clients; i++) {
        weft_client_report *c = &e->reports[i];
        c->wire.down = adapter;
        c->wire.up = c->skipped ? 0 : adapter;
        r->wire.down += c->wire.down;
        r->wire.up += c->wire.up;
    }
    e->wire_total.down += r->wire.down;
    e->wire_total.up += r->wire.up;
    r->wire_total = e->wire_total;
}

/* Clients of the wave that starts at `first` of a cohort. */
static int32_t wave_size(const weft_engine *e, int32_t first) {
    int32_t left = e->cohort_size - first;
    return left < e->slots.n ? left : e->slots.n;
}

static weft_status run_cohort(weft_engine *e, weft_round_report *r, double *weight_sum) {
    int64_t total = 0, done = 0;
    for (int32_t i = 0; i < r->n_clients; i++) {
        int64_t *offset = e->partition->offset + e->cohort[i];
        total += we_visit_steps(e->cfg, offset[1] - offset[0]);
    }
    wk_fill_args zero = {.y = e->server.acc};
    WEFT_TRY(wk_fill(e->dev, &zero));
    WEFT_TRY(we_pager_begin(&e->pager));
    for (int32_t first = 0, n; first < r->n_clients; first += n) {
        n = wave_size(e, first);
        for (int32_t k = 0; k < n; k++) visit_init(e, &e->visits[k], e->cohort[first + k]);
        WEFT_TRY(we_pager_wave(&e->pager, e->cohort + first, n, e->cohort + first + n,
                               wave_size(e, first + n)));
        WEFT_TRY(we_wave_run(e, e->visits, n, r->round, r->learning_rate, &r->packs, &done, total));
        for (int32_t k = 0; k < n; k++)
            we_pager_trained(&e->pager, k, e->slots.before[k] + e->visits[k].steps,
                             e->visits[k].dead);
        WEFT_TRY(we_pager_wave_end(&e->pager));
        WEFT_TRY(add_updates(e, e->visits, n, e->reports + first, weight_sum));
    }
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
    if (e->slots.n == 0) {
        st = WEFT_FAIL(&e->ctx.err, WEFT_E_ARG, "this engine was opened for evaluation only");
        goto out;
    }
    we_cohort_sample(e->cfg, e->partition->n_clients, r.round, e->cohort);
    r.learning_rate = we_schedule_rate(e->cfg, r.round);
    WEFT_TRY_GOTO(st, run_cohort(e, &r, &weight_sum), out);
    if (weight_sum == 0) {
        st = WEFT_FAIL(&e->ctx.err, WEFT_E_DIVERGED,
                       "round %lld: the gradients of all %d clients are not finite; lower "
                       "client.learning_rate (%g) or set client.max_grad_norm",
                       (long long)r.round, r.n_clients, r.learning_rate);
        goto out;
    }
    WEFT_TRY_GOTO(st, server_step(e, weight_sum), out);
    if (!e->clock) e->rounds_done++; /* a benchmark repeats its round */
    if (e->pager.is_open) { /* the first wave of the next round may be on its way already */
        we_cohort_sample(e->cfg, e->partition->n_clients, e->rounds_done + 1, e->next_cohort);
        we_pager_commit(&e->pager, e->next_cohort, wave_size(e, 0));
    }
    r.swap = swapped(e);
    summarise(e, &r, weight_sum);
    count_wire(e, &r);
    *report = r;
out:
    if (st != WEFT_OK && err) *err = e->ctx.err;
    return st;
}
