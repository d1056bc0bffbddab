#include "engine/slots.h"

#include "kernels/dev.h"

#include <string.h>

#define HISTORY_MAX 1024

weft_status we_slots_init(we_slots *s, wk_ctx *ctx, int32_t n, int64_t max_steps) {
    memset(s, 0, sizeof *s);
    s->ctx = ctx;
    s->n = n;
    s->banks = 1;
    s->history = max_steps < HISTORY_MAX ? max_steps : HISTORY_MAX;
    size_t k = (size_t)n;
    void *p = NULL;
    WEFT_TRY(wk_host_alloc(ctx, &p, k, sizeof *s->before, "slot histories"));
    s->before = p;
    WEFT_TRY(wk_host_alloc(ctx, &p, k, sizeof *s->step, "slot steps"));
    s->step = p;
    WEFT_TRY(wk_host_alloc(ctx, &p, k, sizeof *s->lr, "slot rates"));
    s->lr = p;
    WEFT_TRY(wk_host_alloc(ctx, &p, k, sizeof *s->dead, "slot flags"));
    s->dead = p;
    WEFT_TRY(wk_host_alloc(ctx, &p, k * (size_t)s->history, sizeof *s->losses, "step losses"));
    s->losses = p;
    return WEFT_OK;
}

void we_slots_fini(we_slots *s) {
    if (!s->ctx) return;
    wk_host_free(s->ctx, s->before);
    wk_host_free(s->ctx, s->step);
    wk_host_free(s->ctx, s->lr);
    wk_host_free(s->ctx, s->dead);
    wk_host_free(s->ctx, s->losses);
    memset(s, 0, sizeof *s);
}

weft_status we_slots_place(we_slots *s, const weft_config *cfg, wk_arena *run, int64_t p) {
    int64_t moments = (int64_t)s->banks * s->n;
    bool adam = cfg->client_optimizer == WE_CLIENT_ADAMW;
    WEFT_TRY(wk_arena_mat(run, &s->w, "client adapters", WK_F32, s->n, p));
    WEFT_TRY(wk_arena_mat(run, &s->g, "client gradients", WK_F32, s->n, p));
    if (adam || cfg->client_momentum > 0)
        WEFT_TRY(wk_arena_mat(run, &s->m, "first moments", WK_F32, moments, p));
    if (adam) WEFT_TRY(wk_arena_mat(run, &s->v, "second moments", WK_F32, moments, p));
    WEFT_TRY(wk_arena_vec(run, &s->state.step, "slot steps", WK_I32, s->n));
    WEFT_TRY(wk_arena_vec(run, &s->state.lr, "slot rates", WK_F32, s->n));
    WEFT_TRY(wk_arena_vec(run, &s->state.sqnorm, "slot norms", WK_F64, s->n));
    WEFT_TRY(wk_arena_vec(run, &s->state.dead, "slot flags", WK_I32, s->n));
    return wk_arena_mat(run, &s->loss, "step losses", WK_F64, s->history, s->n);
}

static weft_status zero(wk_dev *dev, wk_tensor t) {
    wk_fill_args a = {.y = t};
    return wk_given(t) ? wk_fill(dev, &a) : WEFT_OK;
}

wk_tensor we_slots_moment(const we_slots *s, wk_tensor t, int32_t n) {
    return wk_given(t) ? wk_rows(t, (int64_t)s->bank * s->n, n) : t;
}

/* Runs of slots without a past, each with one call. */
static weft_status zero_moment(const we_slots *s, wk_dev *dev, wk_tensor t, int32_t n) {
    wk_tensor bank = we_slots_moment(s, t, n);
    for (int32_t from = 0, to; wk_given(t) && from < n; from = to + 1) {
        for (to = from; to < n && s->before[to] == 0;) to++;
        if (to > from) WEFT_TRY(zero(dev, wk_rows(bank, from, to - from)));
    }
    return WEFT_OK;
}

weft_status we_slots_begin(we_slots *s, wk_dev *dev, int32_t n, wk_tensor x) {
    for (int32_t k = 0; k < n; k++) {
        wk_copy_args a = {.y = wk_rows(s->w, k, 1), .x = x};
        WEFT_TRY(wk_copy(dev, &a));
    }
    WEFT_TRY(zero_moment(s, dev, s->m, n));
    WEFT_TRY(zero_moment(s, dev, s->v, n));
    WEFT_TRY(zero(dev, s->state.dead));
    return zero(dev, s->loss);
}

int32_t we_slots_step_number(const we_slots *s, int32_t slot, int64_t t) {
    const int64_t number = s->before[slot] + t + 1;
    return number < INT32_MAX ? (int32_t)number : INT32_MAX; /* both corrections are 1 by then */
}

wk_slot_state we_slots_state(const we_slots *s, int32_t n) {
    wk_slot_state state = s->state;
    state.step.dim[0] = state.lr.dim[0] = state.sqnorm.dim[0] = state.dead.dim[0] = n;
    return state;
}

weft_status we_slots_step(we_slots *s, wk_dev *dev, const weft_config *cfg, int32_t n,
                          wk_tensor anchor) {
    wk_slot_state state = we_slots_state(s, n);
    wk_range(dev, "clip and optimizer");
    WEFT_TRY(wk_upload(dev, state.step, s->step));
    WEFT_TRY(wk_upload(dev, state.lr, s->lr));
    wk_tensor w = wk_rows(s->w, 0, n), g = wk_rows(s->g, 0, n);
    wk_tensor m = we_slots_moment(s, s->m, n);
    wk_grad_norm_args norm = {
        .g = g, .w = w, .anchor = anchor, .slots = state, .prox_mu = (float)cfg->client_prox_mu};
    WEFT_TRY(wk_grad_norm(dev, &norm));
    if (cfg->client_optimizer == WE_CLIENT_SGD) {
        wk_sgd_step_args sgd = {.w = w,
                                .g = g,
                                .m = m,
                                .slots = state,
                                .momentum = (float)cfg->client_momentum,
                                .weight_decay = (float)cfg->client_weight_decay,
                                .clip = (float)cfg->client_max_grad_norm,
                                .nesterov = cfg->client_nesterov};
        return wk_sgd_step(dev, &sgd);
    }
    wk_adamw_step_args adamw = {.w = w,
                                .g = g,
                                .m = m,
                                .v = we_slots_moment(s, s->v, n),
                                .slots = state,
                                .beta1 = (float)cfg->client_beta1,
                                .beta2 = (float)cfg->client_beta2,
                                .eps = (float)cfg->client_epsilon,
                                .weight_decay = (float)cfg->client_weight_decay,
                                .clip = (float)cfg->client_max_grad_norm};
    return wk_adamw_step(dev, &adamw);
}
