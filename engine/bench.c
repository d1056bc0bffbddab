/* A whole benchmark of a job, and the figures that follow from what was timed and what the plan
 * counted. For `weft bench` and bench/. */
#include "engine/engine.h"
#include "kernels/dev.h"
#include "kernels/profile.h"

#include <stdlib.h>
#include <string.h>

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* From the ends of steps to the median and the 95th percentile of the time between them. */
static void summarise_steps(weft_bench *out, we_step_clock *clock) {
    int64_t n = clock->n - 1;
    out->step_median = out->step_p95 = out->seconds / out->steps;
    if (n < 1) return;
    for (int64_t i = 0; i < n; i++) clock->end[i] = clock->end[i + 1] - clock->end[i];
    qsort(clock->end, (size_t)n, sizeof *clock->end, by_size);
    out->step_median = clock->end[n / 2];
    out->step_p95 = clock->end[n * 95 / 100];
}

static double ratio(double a, double b) {
    return b > 0 ? a / b : 0;
}

static const weft_phase_cost *find(const weft_profile *p, const char *name) {
    static const weft_phase_cost none = {.name = ""};
    for (int32_t i = 0; i < p->n; i++)
        if (strcmp(p->phase[i].name, name) == 0) return &p->phase[i];
    return &none;
}

/* Seconds from the device, FLOPs and bytes from the plan, both of the same round. */
static void join_phases(weft_bench *out, const weft_profile *timed, const weft_profile *counted) {
    out->n_phases = timed->n;
    for (int32_t i = 0; i < timed->n; i++) {
        const weft_phase_cost *t = &timed->phase[i], *c = find(counted, t->name);
        const double by_flops = c->flops / out->ceilings.flops;
        const double by_bytes = c->bytes / out->ceilings.bytes;
        const double floor = by_flops > by_bytes ? by_flops : by_bytes;
        out->phase[i] = (weft_bench_phase){.name = t->name,
                                           .seconds = t->seconds / out->steps,
                                           .share = ratio(t->seconds, timed->total.seconds),
                                           .flops = c->flops / out->steps,
                                           .bytes = c->bytes / out->steps,
                                           .flops_per_second = ratio(c->flops, t->seconds),
                                           .bytes_per_second = ratio(c->bytes, t->seconds),
                                           .floor_seconds = floor / out->steps,
                                           .floor_share = ratio(floor, t->seconds),
                                           .launches = (double)t->launches / out->steps};
    }
}

static void derive(weft_bench *out, const weft_plan *plan) {
    out->tokens_per_second = out->tokens / out->seconds;
    out->client_steps_per_second = out->client_steps / out->seconds;
    out->flops_per_second = plan->profile.total.flops / out->seconds;
    out->flops_share = out->flops_per_second / out->ceilings.flops;
    out->model_flops_per_second = plan->model_flops / out->seconds;
    out->frozen_mfu = out->model_flops_per_second / out->ceilings.flops;
}

/* While e->clock is set a round does not count, so it is round 1 every time: the cohort, the rows
 * and their order are those of the plan. */
static weft_status first_round(weft_engine *e, bool profiled, bool replays, weft_profile *profile,
                               weft_round_report *r) {
    e->work = (we_work){0};
    e->clock->n = 0;
    return profiled ? we_profile_round(e, replays, profile, r) : weft_engine_round(e, r, NULL);
}

static weft_status check_usable(weft_engine *e, const weft_plan *plan) {
    if (e->ranks.comm)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_ARG, "a benchmark is of one engine, not of ranks");
    if (e->rounds_done > 0)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_ARG,
                         "a benchmark needs an engine without rounds, %lld were run",
                         (long long)e->rounds_done);
    if (plan->profile_steps < WEFT_BENCH_MIN_STEPS)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_ARG,
                         "a benchmark needs rounds of %d optimizer steps, this job has %lld",
                         WEFT_BENCH_MIN_STEPS, (long long)plan->profile_steps);
    return WEFT_OK;
}

static weft_status run_bench(weft_engine *e, const weft_plan *plan, weft_bench *out,
                             weft_profile *phases) {
    weft_round_report r;
    WEFT_TRY(first_round(e, false, false, NULL, &r));
    const bool other_tokens = !plan->profile_is_sampled && r.tokens != plan->profile_tokens;
    if (other_tokens || e->work.steps != plan->profile_steps)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_ARG,
                         "the plan is of another job: it counts %lld tokens in %lld steps, the "
                         "round has %lld in %lld",
                         (long long)plan->profile_tokens, (long long)plan->profile_steps,
                         (long long)r.tokens, (long long)e->work.steps);
    WEFT_TRY(e->dev->backend->sync(e->dev));
    const double start = wk_clock();
    WEFT_TRY(first_round(e, false, false, NULL, &r));
    out->seconds = wk_clock() - start;
    out->tokens = (double)r.tokens;
    out->client_steps = (double)r.steps;
    out->steps = (double)e->work.steps;
    out->loss = r.loss;
    out->swap = r.swap;
    out->packs = r.packs;
    summarise_steps(out, e->clock);
    WEFT_TRY(first_round(e, true, true, &out->passes, &r));
    out->waiting_share = ratio(find(&out->passes, "other")->seconds, out->passes.total.seconds);
    WEFT_TRY(first_round(e, true, false, phases, &r));
    out->launches_per_step = (double)phases->total.launches / out->steps;
    WEFT_TRY(weft_engine_ceilings(e, &out->ceilings, NULL));
    join_phases(out, phases, &plan->profile);
    derive(out, plan);
    return WEFT_OK;
}

weft_status weft_engine_bench(weft_engine *e, const weft_plan *plan, weft_bench *out,
                              weft_error *err) {
    we_step_clock clock = {0};
    weft_bench bench = {.device_bytes = (int64_t)e->dev->held};
    weft_profile phases;
    void *memory = NULL;
    weft_status st = check_usable(e, plan);
    if (st == WEFT_OK)
        st =
            wk_host_alloc(&e->ctx, &memory, WE_STEP_CLOCK_MAX, sizeof *clock.end, "times of steps");
    if (st == WEFT_OK) {
        clock.end = memory;
        e->clock = &clock;
        st = run_bench(e, plan, &bench, &phases);
        e->clock = NULL;
        e->rounds_done = 1; /* the adapter is not what it was */
        wk_host_free(&e->ctx, memory);
    }
    if (st == WEFT_OK) *out = bench;
    if (st != WEFT_OK && err) *err = e->ctx.err;
    return st;
}
