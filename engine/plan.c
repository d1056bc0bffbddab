/* What a run would take: the real opening and the real first round, or the beginnings of its visits
 * when they are long, on the dry backend. Ops only count FLOPs there, arenas only count bytes, so a
 * plan takes milliseconds and cannot disagree with the code. */
#include "engine/engine.h"
#include "kernels/dev.h"

#include <string.h>

static void add_item(weft_plan *plan, const char *name, uint64_t bytes) {
    if (bytes == 0 || plan->n_items == WEFT_PLAN_ITEMS) return;
    plan->item[plan->n_items++] = (weft_plan_item){name, bytes};
    plan->bytes_total += bytes;
}

static uint64_t tensor_bytes(wk_tensor t) {
    return (uint64_t)wk_numel(t) * wk_dtype_size(t.dtype);
}

static uint64_t rows_bytes(const weft_rows *rows) {
    if (!rows) return 0;
    uint64_t n = (uint64_t)rows->n_rows, tokens = (uint64_t)rows->offset[rows->n_rows];
    return tokens * (4u + (rows->type ? 1u : 0u)) + n * (8u + 4u + (rows->client ? 4u : 0u));
}

/* The items partition what the arenas hold, so the total is exact. */
static void list_items(weft_plan *plan, const weft_engine *e) {
    uint64_t slots = tensor_bytes(e->slots.w) + tensor_bytes(e->slots.g);
    uint64_t moments = tensor_bytes(e->slots.m) + tensor_bytes(e->slots.v);
    uint64_t batch = 4u * (uint64_t)we_pack_words(e->limits);
    uint64_t host = batch + (uint64_t)e->slots.history * (uint64_t)e->slots.n * sizeof(double);
    add_item(plan, "base weights, as the backend keeps them", e->base.peak);
    add_item(plan, "global adapter and server state", e->run.peak - slots - moments);
    add_item(plan, "client adapters and gradients", slots);
    uint64_t bank = e->pager.banks == 2 ? moments / 2 : moments;
    add_item(plan, "client optimizer state", bank);
    add_item(plan, "client optimizer state, second bank", moments - bank);
    add_item(plan, "activations and their gradients", e->step.peak - batch);
    add_item(plan, "batch", batch);
    add_item(plan, "host: pack and losses", host);
    add_item(plan, "host: variance between clients", we_fda_host_bytes(&e->fda));
    add_item(plan, "host: client state pool", we_pager_host_bytes(&e->pager));
    add_item(plan, "host: exchange between ranks", we_ranks_host_bytes(&e->ranks));
    add_item(plan, "host: tokenised rows", rows_bytes(e->train) + rows_bytes(e->test));
    if (e->partition)
        add_item(plan, "host: partition",
                 (uint64_t)e->partition->offset[e->partition->n_clients] * 4u +
                     (uint64_t)e->partition->n_clients * 8u);
}

/* Means over cohorts: every client is equally likely to be drawn. Epochs that are tied to one
 * client's are taken to be as long as in round 1. */
static void expect_round(weft_plan *plan, const weft_engine *e) {
    const weft_partition *part = e->partition;
    for (int32_t c = 0; c < part->n_clients; c++) {
        int64_t n = part->offset[c + 1] - part->offset[c], size = e->cfg->client_batch_size;
        int64_t steps = we_round_steps(e, n), per_epoch = (n + size - 1) / size;
        int64_t rest = steps % per_epoch * size, held = 0;
        double examples = (double)(steps / per_epoch) * (double)n + (double)(rest < n ? rest : n);
        for (int64_t i = part->offset[c]; i < part->offset[c + 1]; i++)
            held += e->train->offset[part->row[i] + 1] - e->train->offset[part->row[i]];
        plan->steps += (double)steps;
        plan->examples += examples;
        plan->tokens += examples * (double)held / (double)n;
    }
    double share = (double)e->cohort_size / (double)part->n_clients;
    plan->steps *= share;
    plan->examples *= share;
    plan->tokens *= share;
}

/* ---- round 1 ---- */

/* Long visits repeat themselves: so many steps of all clients together say what they cost. */
#define STEPS_ENOUGH 1024

/* Steps of round 1's cohort, and optimizer steps, each of all clients of a wave. */
static void count_steps(const weft_engine *e, double *client_steps, double *steps) {
    const weft_partition *part = e->partition;
    *client_steps = *steps = 0;
    for (int32_t first = 0; first < e->cohort_size; first += e->slots.n) {
        int64_t longest = 0;
        for (int32_t i = first; i < e->cohort_size && i < first + e->slots.n; i++) {
            const int32_t c = e->cohort[i];
            const int64_t n = we_round_steps(e, part->offset[c + 1] - part->offset[c]);
            *client_steps += (double)n;
            if (n > longest) longest = n;
        }
        *steps += (double)longest;
    }
}

static void scale(weft_plan *plan, double by) {
    for (int32_t i = 0; i <= plan->profile.n; i++) {
        weft_phase_cost *c = i < plan->profile.n ? &plan->profile.phase[i] : &plan->profile.total;
        c->flops *= by, c->bytes *= by;
        c->ops = (uint64_t)((double)c->ops * by),
        c->launches = (uint64_t)((double)c->launches * by);
    }
    plan->model_flops *= by;
    plan->profile_tokens = (int64_t)((double)plan->profile_tokens * by);
}

static weft_status plan_round(weft_plan *plan, weft_engine *e) {
    weft_round_report r = {0};
    double all, steps;
    we_cohort_sample(e->cfg, e->partition->n_clients, 1, e->cohort);
    we_round_tie_epochs(e);
    count_steps(e, &all, &steps);
    if (all > STEPS_ENOUGH) e->visit_share = STEPS_ENOUGH / all;
    WEFT_TRY(we_profile_round(e, false, &plan->profile, &r));
    /* Counted was what this rank was dealt; the plan is of the round. */
    const double own = e->work.tokens, share = own > 0 ? (double)r.tokens / own : 0;
    plan->profile_tokens = (int64_t)own;
    plan->profile_steps = (int64_t)steps;
    plan->model_flops = we_model_flops(&e->model, &e->work);
    plan->profile_is_sampled = (double)r.steps < all;
    const double by = plan->profile_is_sampled ? all / (double)r.steps : 1;
    if (by != 1 || share != 1) scale(plan, by * share);
    expect_round(plan, e);
    plan->packs = (double)r.packs * plan->tokens / (double)r.tokens;
    plan->flops = own > 0 ? e->dev->count.flops * plan->tokens / own : 0;
    plan->wire_down = (double)r.wire.down;
    plan->wire_up = (double)r.wire.up;
    return WEFT_OK;
}

static weft_status dry_run(weft_plan *plan, weft_engine *e) {
    wk_dev *target = NULL;
    weft_status st = we_engine_open_device(e, &target);
    if (st != WEFT_OK) goto out;
    plan->backend = target->backend->name;
    plan->hidden_dtype = wk_dtype_name(target->hidden);
    memcpy(plan->device_reason, e->device_reason, sizeof plan->device_reason);
    wk_dev_options dry = {.backend = "dry", .threads = 1, .hidden = target->hidden};
    WEFT_TRY_GOTO(st, wk_dev_open(&e->dev, &e->ctx, &dry), out);
    wk_dev_dry_plan_for(e->dev, target);
    wk_arena_open_measure(&e->base, e->dev, "base");
    wk_arena_open_measure(&e->run, e->dev, "run");
    wk_arena_open_measure(&e->step, e->dev, "step");
    WEFT_TRY_GOTO(st, we_engine_place(e), out);
    we_model_drop_staged(&e->model); /* activations lie there, and nothing is loaded here */
    list_items(plan, e);
    add_item(plan, "device workspace", target->held);
    if (e->slots.n > 0) st = plan_round(plan, e);
out:
    if (e->dev) wk_dev_dry_plan_for(e->dev, NULL);
    wk_dev_close(target);
    return st;
}

weft_status weft_plan_build(weft_plan *out, const weft_engine_options *options, weft_error *err) {
    weft_engine *e = NULL;
    weft_status st = we_engine_new(&e, options, err);
    if (st != WEFT_OK) return st;
    weft_plan plan = {0};
    WEFT_TRY_GOTO(st, we_engine_describe(e, options), out);
    plan.base_parameters = e->model.base_parameters;
    plan.adapter_numel = e->model.lora.numel;
    plan.slots = e->slots.n;
    plan.pack_tokens = e->limits.tokens;
    WEFT_TRY_GOTO(st, dry_run(&plan, e), out);
    *out = plan;
out:
    if (st != WEFT_OK && err) *err = e->ctx.err;
    weft_engine_close(e);
    return st;
}
