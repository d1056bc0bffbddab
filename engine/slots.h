/* K resident client slots: stacked master adapters, gradients and optimizer moments, all (K, P),
 * plus the small per-slot numbers that the optimizer ops read. A client occupies a slot for one
 * visit. */
#ifndef WE_SLOTS_H
#define WE_SLOTS_H

#include "engine/config.h"
#include "kernels/arena.h"

typedef struct we_slots {
    wk_ctx *ctx;
    int32_t n;
    int64_t history;      /* steps whose losses are kept before they are read */
    wk_tensor w, g, m, v; /* (K, P) f32; m and v as the client optimizer needs */
    wk_slot_state state;
    wk_tensor loss; /* (history, K) f64: sum of weighted row losses of each step */
    int32_t *step;  /* host copies: (K), (K), (history, K) */
    float *lr;
    int32_t *dead;
    double *losses;
} we_slots;

/* P floats per row. `max_steps`: the longest visit of the run. */
WEFT_NODISCARD weft_status we_slots_init(we_slots *s, wk_ctx *ctx, int32_t n, int64_t max_steps);
void we_slots_fini(we_slots *s);
WEFT_NODISCARD weft_status we_slots_place(we_slots *s, const weft_config *cfg, wk_arena *run,
                                          int64_t p);

/* Start a visit in slots [0, n): the global adapter x (1, P), empty optimizer state. */
WEFT_NODISCARD weft_status we_slots_begin(we_slots *s, wk_dev *dev, int32_t n, wk_tensor x);
/* One optimizer step of all slots whose host step count is > 0, from their gradients. anchor (P) is
 * the global adapter for FedProx. */
WEFT_NODISCARD weft_status we_slots_step(we_slots *s, wk_dev *dev, const weft_config *cfg,
                                         int32_t n, wk_tensor anchor);

#endif
