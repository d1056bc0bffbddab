#include "engine/lbfgs.h"

#include <math.h>
#include <string.h>

#define PAIRS      10
#define LINE_STEPS 40

typedef struct state {
    int64_t n;
    double *x, *g, *trial, *trial_g, *direction;
    double *step[PAIRS], *change[PAIRS]; /* of x and g, a ring */
    double rho[PAIRS];                   /* 1 / <step, change> */
    int32_t held, newest;
} state;

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static double largest(const double *g, int64_t n) {
    double top = 0;
    for (int64_t i = 0; i < n; i++) top = fmax(top, fabs(g[i]));
    return top;
}

static void add_scaled(double *y, double a, const double *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}

/* direction = -H g by the two-loop recursion. */
static void set_direction(state *s) {
    double a[PAIRS], *q = s->direction;
    for (int64_t i = 0; i < s->n; i++) q[i] = -s->g[i];
    for (int32_t j = 0; j < s->held; j++) {
        int32_t k = (s->newest - j + PAIRS) % PAIRS;
        a[k] = s->rho[k] * dot(s->step[k], q, s->n);
        add_scaled(q, -a[k], s->change[k], s->n);
    }
    int32_t last = s->newest;
    double scale = s->held ? 1 / (s->rho[last] * dot(s->change[last], s->change[last], s->n))
                           : 1 / fmax(1, sqrt(dot(s->g, s->g, s->n)));
    for (int64_t i = 0; i < s->n; i++) q[i] *= scale;
    for (int32_t j = s->held; j-- > 0;) {
        int32_t k = (s->newest - j + PAIRS) % PAIRS;
        add_scaled(q, a[k] - s->rho[k] * dot(s->change[k], q, s->n), s->step[k], s->n);
    }
}

/* Moves x along the direction; false when no lower point was found. */
static bool search_line(state *s, we_objective f, void *ud, double *value) {
    const double enough = 1e-4, flat = 0.9;
    double slope = dot(s->g, s->direction, s->n), low = 0, high = HUGE_VAL, t = 1;
    if (!(slope < 0)) return false;
    for (int i = 0; i < LINE_STEPS; i++) {
        for (int64_t j = 0; j < s->n; j++) s->trial[j] = s->x[j] + t * s->direction[j];
        double there = f(ud, s->trial, s->trial_g);
        bool lower = there <= *value + enough * t * slope;
        if (lower && dot(s->trial_g, s->direction, s->n) >= flat * slope) {
            *value = there;
            return true;
        }
        if (lower)
            low = t;
        else
            high = t;
        t = isfinite(high) ? 0.5 * (low + high) : 2 * low;
    }
    return false;
}

/* Remembers the move from x to trial and makes it. */
static void accept(state *s) {
    int32_t k = (s->newest + 1) % PAIRS;
    for (int64_t i = 0; i < s->n; i++) {
        s->step[k][i] = s->trial[i] - s->x[i];
        s->change[k][i] = s->trial_g[i] - s->g[i];
    }
    double curvature = dot(s->step[k], s->change[k], s->n);
    if (curvature > 0) {
        s->rho[k] = 1 / curvature;
        s->newest = k;
        if (s->held < PAIRS) s->held++;
    }
    memcpy(s->x, s->trial, (size_t)s->n * sizeof *s->x);
    memcpy(s->g, s->trial_g, (size_t)s->n * sizeof *s->g);
}

weft_status we_lbfgs(wk_ctx *ctx, double *x, int64_t n, we_objective f, void *ud,
                     const we_lbfgs_options *options, double *value) {
    void *memory = NULL;
    WEFT_TRY(
        wk_host_alloc(ctx, &memory, (size_t)n, (4 + 2 * PAIRS) * sizeof(double), "the minimiser"));
    state s = {.n = n, .x = x, .g = memory};
    s.trial = s.g + n, s.trial_g = s.trial + n, s.direction = s.trial_g + n;
    for (int i = 0; i < PAIRS; i++) {
        s.step[i] = s.direction + (1 + 2 * i) * n;
        s.change[i] = s.step[i] + n;
    }
    weft_status st = WEFT_OK;
    double now = f(ud, s.x, s.g);
    if (!isfinite(now))
        st = WEFT_FAIL(&ctx->err, WEFT_E_DATA, "the minimiser starts at a value of %g", now);
    for (int32_t i = 0; st == WEFT_OK && i < options->max_iterations; i++) {
        if (largest(s.g, n) <= options->tolerance) break;
        if (options->tick && !options->tick(options->tick_ud, i, options->max_iterations)) {
            st = WEFT_FAIL(&ctx->err, WEFT_E_STOPPED, "stopped on request");
            break;
        }
        set_direction(&s);
        if (!search_line(&s, f, ud, &now)) break;
        accept(&s);
    }
    if (value && st == WEFT_OK) *value = now;
    wk_host_free(ctx, memory);
    return st;
}
