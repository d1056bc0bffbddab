/* Opening an engine: describe (names, shapes, limits), measure, take memory, load weights. The same
 * placing code runs twice, first with arenas that only count, so that every byte is known before
 * any is taken. */
#include "engine/engine.h"
#include "kernels/dev.h"

#include <string.h>

#define SLOTS_AUTO 64

static void hook_log(void *ud, wk_log_level level, const char *module, const char *text) {
    weft_engine *e = ud;
    if (e->hooks.log) e->hooks.log(e->hooks.ud, (weft_log_level)level, module, text);
}

static void *hook_alloc(void *ud, size_t bytes) {
    weft_engine *e = ud;
    return e->hooks.alloc(e->hooks.ud, bytes);
}

static void hook_release(void *ud, void *ptr) {
    weft_engine *e = ud;
    e->hooks.release(e->hooks.ud, ptr);
}

static weft_status check_options(weft_engine *e, const weft_engine_options *o) {
    if (o->size != sizeof *o)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_ARG,
                         "weft_engine_options.size is %zu, this library has %zu", o->size,
                         sizeof *o);
    if (!o->hooks.alloc != !o->hooks.release)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_ARG,
                         "hooks.alloc and hooks.release belong together: give both or neither");
    if (!o->hooks.store_write != !o->hooks.store_read)
        return WEFT_FAIL(
            &e->ctx.err, WEFT_E_ARG,
            "hooks.store_write and hooks.store_read belong together: give both or neither");
    if (!o->config || !o->model.meta || (!o->train && !o->test))
        return WEFT_FAIL(&e->ctx.err, WEFT_E_ARG,
                         "config, model and rows are needed to open an engine");
    if (!o->config->finished)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_ARG,
                         "call weft_config_finish after the last weft_config_set");
    if (o->train && !o->partition)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_ARG, "training rows need a partition");
    if (o->train) WEFT_TRY(weft_partition_check(o->partition, o->train, &e->ctx.err));
    if (o->train && o->test && o->train->num_labels != o->test->num_labels)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_DATA, "training rows have %d labels, test rows %d",
                         o->train->num_labels, o->test->num_labels);
    return WEFT_OK;
}

/* Host arrays of a training engine. */
static weft_status take_host_arrays(weft_engine *e, const weft_comm *comm) {
    const weft_partition *part = e->partition;
    int64_t largest = 0;
    for (int32_t c = 0; c < part->n_clients; c++) {
        int64_t n = part->offset[c + 1] - part->offset[c];
        largest = n > largest ? n : largest;
    }
    const weft_config *cfg = e->cfg;
    const int64_t max_steps = we_visit_interval(cfg, we_own_epoch(cfg, largest));
    if (cfg->fl_clients_per_round > part->n_clients)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_CONFIG,
                         "fl.clients_per_round is %lld, but there are %d clients",
                         (long long)cfg->fl_clients_per_round, part->n_clients);
    int64_t cohort = cfg->fl_clients_per_round,
            slots = cfg->engine_slots > 0 ? cfg->engine_slots : SLOTS_AUTO;
    e->cohort_size = (int32_t)cohort;
    const size_t sizes[] = {sizeof(weft_client_report), sizeof(we_fda_note)};
    const bool keeps = cfg->client_optimizer_state == WE_STATE_KEEP;
    WEFT_TRY(we_ranks_describe(&e->ranks, &e->ctx, comm, e->cohort_size,
                               keeps ? part->n_clients : 0,
                               sizes[0] > sizes[1] ? sizes[0] : sizes[1], e->model.lora.size));
    if (cfg->fl_sync != WE_SYNC_FIXED) slots = e->ranks.cap; /* they go on together */
    int32_t k = (int32_t)(slots < e->ranks.cap ? slots : e->ranks.cap);
    WEFT_TRY(we_slots_init(&e->slots, &e->ctx, k, max_steps));
    const we_pager_load load = {.clients = part->n_clients,
                                .own = we_ranks_homes(&e->ranks, part->n_clients),
                                .cohort = e->ranks.cap,
                                .slots = k,
                                .adapter = e->model.lora.size};
    WEFT_TRY(we_pager_describe(&e->pager, &e->ctx, cfg, &e->hooks, &load));
    if (e->pager.banks) e->slots.banks = e->pager.banks;
    WEFT_TRY(we_fda_describe(&e->fda, &e->ctx, cfg, &e->model, k, e->cohort_size, part->n_clients));
    void *p = NULL;
    WEFT_TRY(wk_host_alloc(&e->ctx, &p, (size_t)k * (size_t)e->model.lora.n_views,
                           sizeof *e->sqdist, "norms of updates"));
    e->sqdist = p;
    WEFT_TRY(wk_host_alloc(&e->ctx, &p, (size_t)k, sizeof *e->weights, "weights of updates"));
    e->weights = p;
    WEFT_TRY(wk_host_alloc(&e->ctx, &p, (size_t)cohort, sizeof *e->cohort, "cohort"));
    e->cohort = p;
    WEFT_TRY(wk_host_alloc(&e->ctx, &p, (size_t)cohort, sizeof *e->cohort, "cohort"));
    e->next_cohort = p;
    WEFT_TRY(wk_host_alloc(&e->ctx, &p, (size_t)cohort, sizeof *e->reports, "client reports"));
    e->reports = p;
    WEFT_TRY(
        wk_host_alloc(&e->ctx, &p, (size_t)e->ranks.cap, sizeof *e->reports, "client reports"));
    e->own_reports = p;
    WEFT_TRY(wk_host_alloc(&e->ctx, &p, (size_t)k, sizeof *e->visits, "client visits"));
    e->visits = p;
    for (int32_t i = 0; i < k; i++) {
        WEFT_TRY(wk_host_alloc(&e->ctx, &p, (size_t)largest, sizeof(int32_t), "row order"));
        e->visits[i].order = p;
    }
    return WEFT_OK;
}

weft_status we_engine_describe(weft_engine *e, const weft_engine_options *o) {
    bool own = o->hooks.alloc && o->hooks.release;
    const wk_hooks hooks = {.ud = e,
                            .alloc = own ? hook_alloc : NULL,
                            .release = own ? hook_release : NULL,
                            .log = hook_log};
    memset(e, 0, sizeof *e);
    e->hooks = o->hooks;
    wk_ctx_init(&e->ctx, &hooks);
    WEFT_TRY(check_options(e, o));
    e->cfg = o->config;
    e->train = o->train, e->test = o->test, e->partition = o->partition;
    e->backend = o->backend, e->backend_note = o->backend_note;
    int32_t labels = (o->train ? o->train : o->test)->num_labels;
    WEFT_TRY(we_model_describe(&e->model, &e->ctx, o->config, &o->model, labels));
    if (o->train)
        WEFT_TRY(take_host_arrays(e, o->comm));
    else
        WEFT_TRY(we_ranks_describe(&e->ranks, &e->ctx, o->comm, 0, 0, 0, 0));
    WEFT_TRY(we_plan_limits(e));
    return we_pack_init(&e->pack, &e->ctx, e->limits);
}

static weft_status place_server(weft_engine *e) {
    we_server *s = &e->server;
    int64_t p = e->model.lora.size;
    WEFT_TRY(wk_arena_mat(&e->run, &s->x, "global adapter", WK_F32, 1, p));
    if (e->slots.n == 0) return WEFT_OK;
    we_strategy_kind kind = e->cfg->fl_strategy;
    bool plain = kind == WE_STRATEGY_FEDAVG || kind == WE_STRATEGY_FEDPROX;
    bool has_v = !plain && kind != WE_STRATEGY_FEDAVGM;
    WEFT_TRY(wk_arena_mat(&e->run, &s->acc, "sum of updates", WK_I64, WK_SUM_WORDS, p));
    WEFT_TRY(wk_arena_vec(&e->run, &s->mean, "mean update", WK_F64, p));
    WEFT_TRY(wk_arena_vec(&e->run, &s->weight, "weights of updates", WK_F64, e->slots.n));
    const int32_t views = e->model.lora.n_views;
    WEFT_TRY(wk_arena_vec(&e->run, &s->range, "views of the adapter", WK_I32, views + 1));
    WEFT_TRY(wk_arena_mat(&e->run, &s->sqdist, "update norms", WK_F64, e->slots.n, views));
    bool has_m = !plain && kind != WE_STRATEGY_FEDADAGRAD; /* it runs without momentum */
    if (has_m) WEFT_TRY(wk_arena_vec(&e->run, &s->m, "server momentum", WK_F64, p));
    if (has_v) WEFT_TRY(wk_arena_vec(&e->run, &s->v, "server second moment", WK_F64, p));
    return WEFT_OK;
}

weft_status we_engine_place(weft_engine *e) {
    bool train = e->slots.n > 0;
    /* Weights are staged where the activations will lie. */
    WEFT_TRY(we_model_place(&e->model, &e->base, &e->step, train));
    WEFT_TRY(place_server(e));
    if (train) WEFT_TRY(we_slots_place(&e->slots, e->cfg, &e->run, e->model.lora.size));
    if (train) WEFT_TRY(we_fda_place(&e->fda, &e->run, e->slots.n));
    WEFT_TRY(we_batch_place(&e->batch, &e->step, e->limits));
    we_acts_fini(&e->acts);
    return we_acts_place(&e->acts, &e->model, &e->step, e->limits, train);
}

/* Writes what is there already to every page of host memory: a system that hands out pages at first
 * touch has then given all, so that memory does not grow later, nor run out in the middle, and the
 * first steps take no faults. */
static void touch(const weft_engine *e, const wk_arena *a) {
    enum { PAGE = 4096 };
    if (e->dev->backend->post) return; /* memory of a device of its own */
    volatile uint8_t *byte = (volatile uint8_t *)a->base;
    for (size_t i = 0; i < a->capacity; i += PAGE) byte[i] = byte[i];
}

static weft_status take_memory(weft_engine *e) {
    wk_arena_open_measure(&e->base, e->dev, "base");
    wk_arena_open_measure(&e->run, e->dev, "run");
    wk_arena_open_measure(&e->step, e->dev, "step");
    WEFT_TRY(we_engine_place(e));
    size_t base = e->base.peak, run = e->run.peak, step = e->step.peak;
    WEFT_TRY(wk_arena_open(&e->base, e->dev, "base", base));
    WEFT_TRY(wk_arena_open(&e->run, e->dev, "run", run));
    WEFT_TRY(wk_arena_open(&e->step, e->dev, "step", step));
    return we_engine_place(e);
}

static weft_status fill_tensor(wk_dev *dev, wk_tensor t, double value) {
    wk_fill_args a = {.y = t, .value = value};
    return wk_given(t) ? wk_fill(dev, &a) : WEFT_OK;
}

static weft_status load_ranges(weft_engine *e) {
    const we_lora *lora = &e->model.lora;
    void *memory = NULL;
    if (e->slots.n == 0) return WEFT_OK;
    WEFT_TRY(wk_host_alloc(&e->ctx, &memory, (size_t)lora->n_views + 1, sizeof(int32_t),
                           "views of the adapter"));
    int32_t *begin = memory;
    for (int32_t i = 0; i < lora->n_views; i++) begin[i] = (int32_t)lora->view[i].offset;
    begin[lora->n_views] = (int32_t)lora->size; /* gaps are zero, so they may belong to any */
    const weft_status st = wk_upload(e->dev, e->server.range, begin);
    wk_host_free(&e->ctx, memory);
    return st;
}

/* Weights into the base, the first global adapter into x, the server's moments to their start. */
static weft_status load(weft_engine *e, const weft_model_source *source) {
    const we_lora *lora = &e->model.lora;
    void *flat = NULL;
    WEFT_TRY(wk_host_alloc(&e->ctx, &flat, (size_t)lora->size, sizeof(float), "global adapter"));
    we_lora_init(&e->model, e->cfg->run_seed, flat);
    weft_status st = we_model_load(&e->model, source, e->cfg->run_seed, flat);
    if (st == WEFT_OK) st = wk_upload(e->dev, e->server.x, flat);
    wk_host_free(&e->ctx, flat);
    WEFT_TRY(st);
    WEFT_TRY(load_ranges(e));
    WEFT_TRY(we_fda_load(&e->fda, e->dev, &e->model));
    WEFT_TRY(fill_tensor(e->dev, e->server.m, 0));
    WEFT_TRY(fill_tensor(e->dev, e->server.v, e->cfg->server_initial_v));
    WEFT_TRY(fill_tensor(e->dev, e->slots.w, 0));
    return fill_tensor(e->dev, e->slots.g, 0);
}

static void fini(weft_engine *e) {
    we_pager_close(&e->pager);
    wk_arena_close(&e->step);
    wk_arena_close(&e->run);
    wk_arena_close(&e->base);
    we_acts_fini(&e->acts);
    we_pack_fini(&e->pack);
    for (int32_t i = 0; e->visits && i < e->slots.n; i++) wk_host_free(&e->ctx, e->visits[i].order);
    wk_host_free(&e->ctx, e->visits);
    wk_host_free(&e->ctx, e->sqdist);
    wk_host_free(&e->ctx, e->weights);
    we_fda_fini(&e->fda);
    we_ranks_fini(&e->ranks, &e->ctx);
    wk_host_free(&e->ctx, e->reports);
    wk_host_free(&e->ctx, e->own_reports);
    wk_host_free(&e->ctx, e->next_cohort);
    wk_host_free(&e->ctx, e->cohort);
    we_slots_fini(&e->slots);
    we_model_fini(&e->model);
    wk_dev_close(e->dev);
}

weft_status we_engine_new(weft_engine **out, const weft_engine_options *options, weft_error *err) {
    wk_ctx ctx; /* for the engine itself; later failures are in its own */
    const wk_hooks hooks = {
        .ud = options->hooks.ud, .alloc = options->hooks.alloc, .release = options->hooks.release};
    wk_ctx_init(&ctx, &hooks);
    void *memory = NULL;
    weft_status st = wk_host_alloc(&ctx, &memory, 1, sizeof(weft_engine), "engine");
    if (st != WEFT_OK && err) *err = ctx.err;
    if (st == WEFT_OK) *out = memory;
    return st;
}

weft_status weft_engine_open(weft_engine **out, const weft_engine_options *options,
                             weft_error *err) {
    weft_engine *e = NULL;
    weft_status st = we_engine_new(&e, options, err);
    if (st != WEFT_OK) return st;
    WEFT_TRY_GOTO(st, we_engine_describe(e, options), out);
    WEFT_TRY_GOTO(st, we_engine_open_device(e, &e->dev), out);
    WEFT_TRY_GOTO(st, take_memory(e), out);
    WEFT_TRY_GOTO(st, we_pager_open(&e->pager, e->dev, &e->hooks, &e->slots), out);
    WEFT_TRY_GOTO(st, load(e, &options->model), out);
    touch(e, &e->base), touch(e, &e->run), touch(e, &e->step); /* after what loading took */
    *out = e;
out:
    if (st != WEFT_OK) {
        if (err) *err = e->ctx.err;
        weft_engine_close(e);
    }
    return st;
}

void weft_engine_close(weft_engine *e) {
    if (!e) return;
    wk_hooks hooks = {.ud = e->hooks.ud, .alloc = e->hooks.alloc, .release = e->hooks.release};
    wk_ctx ctx;
    fini(e);
    wk_ctx_init(&ctx, &hooks);
    wk_host_free(&ctx, e);
}
