#include "engine/client.h"

#include "engine/engine.h"
#include "engine/random.h"
#include "kernels/profile.h"
#include "kernels/rng.h"

#include <math.h>
#include <string.h>

#define STEPS_AHEAD 3

static const wk_tensor no_words = {0};

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

double we_visit_weight(const weft_config *cfg, const we_visit *v) {
    return cfg->fl_weighting == WE_WEIGHTING_UNIFORM ? 1.0 : (double)v->n_rows;
}

int64_t we_own_epoch(const weft_config *cfg, int64_t n_rows) {
    return ceil_div(n_rows, cfg->client_batch_size);
}

int64_t we_visit_interval(const weft_config *cfg, int64_t epoch) {
    const bool checks = cfg->fl_sync != WE_SYNC_FIXED;
    if (checks && cfg->fda_check_every > 0) return cfg->fda_check_every;
    if (cfg->client_local_steps > 0) return cfg->client_local_steps;
    return checks ? epoch : cfg->client_local_epochs * epoch;
}

int64_t we_visit_steps(const weft_config *cfg, int64_t epoch) {
    const bool checks = cfg->fl_sync != WE_SYNC_FIXED;
    return we_visit_interval(cfg, epoch) * (checks ? cfg->fda_max_checks : 1);
}

/* By the client's own stream: a pure function of (seed, round, client, epoch). */
static void shuffle(const weft_config *cfg, we_visit *v, int64_t epoch, int64_t round) {
    wk_stream s = wk_stream_at(wk_rng_key(cfg->run_seed, WK_RNG_SHUFFLE, 0), (uint32_t)epoch,
                               (uint32_t)round, (uint32_t)v->client);
    memcpy(v->order, v->rows, (size_t)v->n_rows * sizeof *v->order);
    we_random_shuffle(&s, v->order, v->n_rows);
    v->epoch = epoch;
}

/* The rows of a client's step: epochs follow each other, the last batch of one may be short. */
typedef struct batch_rows {
    const int32_t *row;
    int64_t n;
} batch_rows;

static batch_rows step_rows(const weft_config *cfg, we_visit *v, int64_t step, int64_t round) {
    int64_t size = cfg->client_batch_size, per_epoch = ceil_div(v->n_rows, size);
    int64_t epoch = step / per_epoch, from = step % per_epoch * size;
    if (v->epoch != epoch) shuffle(cfg, v, epoch, round);
    int64_t left = v->n_rows - from;
    return (batch_rows){v->order + from, left < size ? left : size};
}

static int64_t row_tokens(const weft_rows *rows, int64_t i) {
    return rows->offset[i + 1] - rows->offset[i];
}

/* Forward, loss and backward of what the pack holds, gradients and losses added up per slot. */
static weft_status run_pack(weft_engine *e, int32_t n, wk_tensor loss_row) {
    we_adapters adapters = {wk_rows(e->slots.w, 0, n), wk_rows(e->slots.g, 0, n)};
    WEFT_TRY(we_engine_pass(e, &adapters, true));
    wk_seg_sum_args sum = {
        .out = loss_row, .x = e->acts.loss, .weight = e->batch.weight, .segs = e->batch.row_segs};
    WEFT_TRY(wk_seg_sum(e->dev, &sum));
    we_pack_clear(&e->pack);
    return WEFT_OK;
}

/* The step after `t` more of every client that still has one: micro-batches in turn, so that each
 * slot comes once a pack. */
static weft_status run_step(weft_engine *e, we_visit *visits, int32_t n, int64_t t, int64_t round,
                            int64_t *packs, wk_tensor loss_row) {
    const weft_config *cfg = e->cfg;
    int64_t micro =
        cfg->client_micro_batch_size > 0 ? cfg->client_micro_batch_size : cfg->client_batch_size;
    int64_t turns = ceil_div(cfg->client_batch_size, micro);
    we_pack_clear(&e->pack);
    for (int64_t turn = 0; turn < turns; turn++) {
        for (int32_t k = 0; k < n; k++) {
            we_visit *v = &visits[k];
            const int64_t step = v->done + t;
            if (step >= v->until) continue;
            batch_rows batch = step_rows(cfg, v, step, round);
            int64_t from = turn * micro, count = batch.n - from < micro ? batch.n - from : micro;
            if (count <= 0) continue;
            int64_t tokens = 0;
            for (int64_t i = 0; i < count; i++) {
                const int64_t length = row_tokens(e->train, batch.row[from + i]);
                tokens += length;
                e->work.pairs += (double)length * (double)length;
            }
            if (!we_pack_fits(&e->pack, count, tokens)) {
                WEFT_TRY(run_pack(e, n, loss_row));
                ++*packs;
            }
            we_pack_segment(&e->pack, k, (uint32_t)(step * turns + turn), (uint32_t)round,
                            (uint32_t)v->client);
            for (int64_t i = 0; i < count; i++)
                we_pack_row(&e->pack, e->train, batch.row[from + i], (float)(1.0 / (double)batch.n),
                            we_engine_positions(e));
            v->examples += count;
            v->tokens += tokens;
            e->work.rows += (double)count;
            e->work.tokens += (double)tokens;
        }
        /* A slot may stand in a pack only once, so the next turn needs a new one. */
        if (e->pack.n_segments > 0) {
            WEFT_TRY(run_pack(e, n, loss_row));
            ++*packs;
        }
    }
    return WEFT_OK;
}

/* Bring the losses of steps [first, end) home and add them up in order. */
static weft_status read_losses(weft_engine *e, we_visit *visits, int32_t n, int64_t first,
                               int64_t end) {
    we_slots *s = &e->slots;
    WEFT_TRY(wk_download(e->dev, s->losses, wk_rows(s->loss, 0, end - first)));
    wk_fill_args zero = {.y = s->loss};
    WEFT_TRY(wk_fill(e->dev, &zero));
    for (int32_t k = 0; k < n; k++)
        for (int64_t t = first; t < end && visits[k].done + t < visits[k].until; t++) {
            visits[k].last_loss = s->losses[(t - first) * s->n + k];
            visits[k].loss_sum += visits[k].last_loss;
        }
    return WEFT_OK;
}

/* Waits for the end of a step. */
static weft_status step_done(weft_engine *e, uint64_t letter) {
    WEFT_TRY(wk_collect(e->dev, letter, NULL, 0));
    we_step_clock *c = e->clock;
    if (c && c->n < WE_STEP_CLOCK_MAX) c->end[c->n++] = wk_clock();
    return WEFT_OK;
}

weft_status we_wave_begin(weft_engine *e, const we_visit *visits, int32_t n) {
    for (int32_t k = 0; k < n; k++)
        e->slots.before[k] = we_pager_steps(&e->pager, visits[k].client);
    return we_slots_begin(&e->slots, e->dev, n, e->server.x);
}

weft_status we_wave_run(weft_engine *e, we_visit *visits, int32_t n, int64_t round, double lr,
                        int64_t *packs, int64_t *done, int64_t total) {
    we_slots *s = &e->slots;
    int64_t steps = 0, read = 0;
    uint64_t letter[STEPS_AHEAD] = {0};
    const int64_t ahead = e->dev->backend->post ? STEPS_AHEAD : 1; /* host devices work at once */
    for (int32_t k = 0; k < n; k++) {
        const int64_t left = visits[k].until - visits[k].done;
        steps = left > steps ? left : steps;
    }
    wk_tensor anchor = wk_vec(e->server.x.data, WK_F32, e->model.lora.size);
    for (int64_t t = 0; t < steps; t++) {
        wk_fill_args zero = {.y = wk_rows(s->g, 0, n)};
        WEFT_TRY(wk_fill(e->dev, &zero));
        wk_tensor loss_row = wk_vec(wk_row_ptr(s->loss, t - read), WK_F64, s->n);
        loss_row.dim[0] = n;
        WEFT_TRY(run_step(e, visits, n, t, round, packs, loss_row));
        for (int32_t k = 0; k < n; k++) {
            const int64_t step = visits[k].done + t;
            bool steps_now = step < visits[k].until;
            s->step[k] = steps_now ? we_slots_step_number(s, k, step) : 0;
            s->lr[k] = (float)lr;
            *done += steps_now;
        }
        WEFT_TRY(we_slots_step(s, e->dev, e->cfg, n, anchor));
        e->work.steps++;
        WEFT_TRY(we_pager_pump(&e->pager, steps - t));
        /* A few steps may be under way on the device while the host packs the next one, so that it
         * never waits for work, nor progress and signals for it. */
        WEFT_TRY(wk_post(e->dev, no_words, &letter[t % ahead]));
        if (t + 1 >= ahead) WEFT_TRY(step_done(e, letter[(t + 1) % ahead]));
        if (t + 1 - read == s->history || t + 1 == steps) {
            WEFT_TRY(read_losses(e, visits, n, read, t + 1));
            read = t + 1;
        }
        WEFT_TRY(we_tick(e, WEFT_PHASE_TRAIN, *done, total));
    }
    for (int64_t t = steps < ahead ? 0 : steps - ahead + 1; t < steps; t++)
        WEFT_TRY(step_done(e, letter[t % ahead]));
    WEFT_TRY(wk_download(e->dev, s->dead, s->state.dead));
    for (int32_t k = 0; k < n; k++) {
        we_visit *v = &visits[k];
        v->done = v->until;
        v->dead = v->dead || s->dead[k] != 0 || !isfinite(v->loss_sum);
    }
    return WEFT_OK;
}
