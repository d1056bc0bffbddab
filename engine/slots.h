/* K resident client slots: stacked master adapters, gradients and optimizer moments, all (K, P),
 * plus the small per-slot numbers that the optimizer ops read. A client occupies a slot for one
 * visit. The moments may have a second bank, in which the pager exchanges state (pager.h). */
#ifndef WE_SLOTS_H
#define WE_SLOTS_H

#include "engine/config.h"
#include "kernels/arena.h"

typedef struct we_slots {
    wk_ctx *ctx;
    int32_t n;
    int64_t history;     /* steps whose losses are kept before they are read */
    int32_t banks, bank; /* of the moments: 1, or 2 if set so before placing; the wave's */
    wk_tensor w, g;      /* (K, P) f32 */
    wk_tensor m, v;      /* (banks * K, P) f32, as the client optimizer needs */
    wk_slot_state state;
    wk_tensor loss;  /* (history, K) f64: sum of weighted row losses of each step */
    int64_t *before; /* (K) steps of the client before this visit; 0: it starts with no state */
    int32_t *step;   /* host copies: (K), (K), (history, K) */
    float *lr;
    int32_t *dead;
    double *losses;
} we_slots;

/* P floats per row. `max_steps`: the longest visit of the run. */
WEFT_NODISCARD weft_status we_slots_init(we_slots *s, wk_ctx *ctx, int32_t n, int64_t max_steps);
void we_slots_fini(we_slots *s);
WEFT_NODISCARD weft_status we_slots_place(we_slots *s, const weft_config *cfg, wk_arena *run,
                                          int64_t p);
/* The moments of slots [0, n) in the bank that the wave uses; not given when t is not. */
wk_tensor we_slots_moment(const we_slots *s, wk_tensor t, int32_t n);

/* Start a visit in slots [0, n): the global adapter x (1, P); empty optimizer state where s->before
 * is 0, elsewhere that which is in the bank. */
WEFT_NODISCARD weft_status we_slots_begin(we_slots *s, wk_dev *dev, int32_t n, wk_tensor x);
/* The number of step t of the visit in a slot, counted from 1 and over visits. */
int32_t we_slots_step_number(const we_slots *s, int32_t slot, int64_t t);
/* The numbers of slots [0, n). */
wk_slot_state we_slots_state(const we_slots *s, int32_t n);
/* One optimizer step of all slots whose host step count is > 0, from their gradients. anchor (P) is
 * the global adapter for FedProx. */
WEFT_NODISCARD weft_status we_slots_step(we_slots *s, wk_dev *dev, const weft_config *cfg,
                                         int32_t n, wk_tensor anchor);

#endif
