/* Measuring: a round with its time by phase, or on a dry device its FLOPs and bytes, and what the
 * device can do at best. */
#include "engine/engine.h"
#include "kernels/dev.h"
#include "kernels/profile.h"

#include <string.h>

static void take_profile(weft_profile *out, const wk_profile *p) {
    memset(out, 0, sizeof *out);
    out->n = p->n;
    for (int i = 0; i < p->n; i++) {
        const wk_phase *from = &p->phase[i];
        out->phase[i] = (weft_phase_cost){.name = from->name,
                                          .seconds = from->seconds,
                                          .flops = from->flops,
                                          .bytes = from->bytes,
                                          .ops = from->ops,
                                          .launches = from->launches};
        out->total.seconds += from->seconds;
        out->total.flops += from->flops;
        out->total.bytes += from->bytes;
        out->total.ops += from->ops;
        out->total.launches += from->launches;
    }
    out->total.name = "total";
}

weft_status we_profile_round(weft_engine *e, bool replays, weft_profile *out,
                             weft_round_report *report) {
    void *memory = NULL;
    WEFT_TRY(wk_host_alloc(&e->ctx, &memory, 1, sizeof(wk_profile), "profile"));
    wk_profile *p = memory;
    weft_status st = wk_profile_begin(e->dev, p, replays);
    if (st == WEFT_OK) {
        st = weft_engine_round(e, report, NULL);
        const weft_status end = wk_profile_end(e->dev);
        if (st == WEFT_OK) st = end;
    }
    if (st == WEFT_OK) take_profile(out, p);
    wk_host_free(&e->ctx, p);
    return st;
}

/* ---- ceilings ---- */

#define REPEATS 10
/* A product is large enough once it takes so long or is so wide; then it fills the device, and the
 * copy misses its caches. */
#define SIDE_FROM      256
#define SECONDS_ENOUGH 0.02
#define SIDE_HOST      2048
#define SIDE_DEVICE    8192

typedef struct trial {
    wk_dev *dev;
    wk_linear_fwd_args product;
    wk_copy_args copy;
} trial;

static weft_status run_product(trial *t) {
    return wk_linear_fwd(t->dev, &t->product);
}
static weft_status run_copy(trial *t) {
    return wk_copy(t->dev, &t->copy);
}

/* The best of REPEATS, after one for warming up. */
static weft_status best_of(trial *t, weft_status (*run)(trial *t), double *seconds) {
    wk_profile p;
    *seconds = 0;
    for (int i = 0; i <= REPEATS; i++) {
        WEFT_TRY(wk_profile_begin(t->dev, &p, false));
        weft_status st = run(t);
        const weft_status end = wk_profile_end(t->dev);
        if (st == WEFT_OK) st = end;
        WEFT_TRY(st);
        if (i > 0 && (*seconds <= 0 || p.phase[0].seconds < *seconds))
            *seconds = p.phase[0].seconds;
    }
    return WEFT_OK;
}

/* Random numbers: a product of zeros can run faster than real data will. */
static weft_status fill_random(weft_engine *e, wk_tensor t, uint32_t site) {
    const int64_t n = wk_numel(t), chunk = 1 << 16;
    void *memory = NULL;
    WEFT_TRY(wk_host_alloc(&e->ctx, &memory, (size_t)chunk, sizeof(float), "random numbers"));
    we_normal_init(1, site, 1.0f, memory, chunk);
    if (t.dtype == WK_BF16) we_round_to_bf16(memory, chunk);
    weft_status st = WEFT_OK;
    for (int64_t i = 0; i < n && st == WEFT_OK; i += chunk) {
        wk_tensor part = wk_vec(t.data, t.dtype, n);
        st = wk_upload(e->dev, wk_rows(part, i, n - i < chunk ? n - i : chunk), memory);
    }
    wk_host_free(&e->ctx, memory);
    return st;
}

static weft_status measure(weft_engine *e, wk_arena *a, int64_t side, weft_ceilings *out,
                           double *seconds) {
    wk_dev *dev = e->dev;
    wk_weight w = {.o = side, .d = side};
    trial t = {.dev = dev, .product = {.w = &w}};
    double copy = 0;
    WEFT_TRY(wk_arena_mat(a, &t.product.x, "ceiling", dev->hidden, side, side));
    WEFT_TRY(wk_arena_mat(a, &t.product.y, "ceiling", dev->hidden, side, side));
    WEFT_TRY(wk_arena_mat(a, &w.w, "ceiling", dev->hidden, side, side));
    const size_t packed = wk_weight_pack_bytes(dev, side, side, dev->hidden, false);
    if (packed) WEFT_TRY(wk_arena_vec(a, &w.fwd, "ceiling", WK_U8, (int64_t)packed));
    WEFT_TRY(wk_arena_mat(a, &t.copy.x, "ceiling", WK_F32, 4 * side, side));
    WEFT_TRY(wk_arena_mat(a, &t.copy.y, "ceiling", WK_F32, 4 * side, side));
    if (a->measure) return WEFT_OK;
    WEFT_TRY(fill_random(e, t.product.x, 1));
    WEFT_TRY(fill_random(e, w.w, 2));
    WEFT_TRY(fill_random(e, t.copy.x, 3));
    wk_weight_pack_args pack = {.weight = &w};
    WEFT_TRY(wk_weight_pack(dev, &pack));
    WEFT_TRY(best_of(&t, run_product, seconds));
    WEFT_TRY(best_of(&t, run_copy, &copy));
    const double n = (double)side;
    *out = (weft_ceilings){.flops = 2 * n * n * n / *seconds,
                           .bytes = 2 * 4 * n * n * sizeof(float) / copy};
    return WEFT_OK;
}

static weft_status measure_at(weft_engine *e, int64_t side, weft_ceilings *out, double *seconds) {
    wk_arena a;
    wk_arena_open_measure(&a, e->dev, "ceilings");
    WEFT_TRY(measure(e, &a, side, out, seconds));
    const size_t bytes = a.peak;
    WEFT_TRY(wk_arena_open(&a, e->dev, "ceilings", bytes));
    const weft_status st = measure(e, &a, side, out, seconds);
    wk_arena_close(&a);
    return st;
}

weft_status weft_engine_ceilings(weft_engine *e, weft_ceilings *out, weft_error *err) {
    const int64_t widest = e->dev->backend->replay ? SIDE_DEVICE : SIDE_HOST;
    weft_ceilings ceilings = {0};
    double seconds = 0;
    weft_status st = WEFT_OK;
    for (int64_t side = SIDE_FROM; st == WEFT_OK && side <= widest && seconds < SECONDS_ENOUGH;
         side *= 2)
        st = measure_at(e, side, &ceilings, &seconds);
    if (st == WEFT_OK) *out = ceilings;
    if (st != WEFT_OK && err) *err = e->ctx.err;
    return st;
}
