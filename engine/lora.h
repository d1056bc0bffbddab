/* The adapter: which linears are adapted, and how all trainable tensors of one client lie in ONE
 * flat float vector. Hu et al. 2021 (LoRA): W + scale * B A, scale = alpha/r; rsLoRA (Kalajdzievski
 * 2023): alpha/sqrt(r). */
#ifndef WE_LORA_H
#define WE_LORA_H

#include "engine/weft.h"
#include "kernels/base.h"
#include "kernels/tensor.h"

struct we_model;

typedef struct we_lora {
    int32_t r;
    double alpha;
    float scale, dropout;
    weft_view *view; /* (n_views) in flat order */
    int32_t n_views;
    int64_t size;  /* floats of a flat vector: views start at multiples of 16, gaps stay zero */
    int64_t numel; /* numbers that travel */
    char targets[512], saved[128]; /* what was chosen, comma separated */
} we_lora;

/* Choose linears by lora.target_modules and lora.modules_to_save and lay out the views.
 * WEFT_E_CONFIG: a name that matches nothing (the known ones are listed). */
WEFT_NODISCARD weft_status we_lora_describe(struct we_model *m, const weft_config *config);
void we_lora_fini(struct we_model *m);

weft_group we_view_group(const weft_view *view);
/* PEFT's start: A uniform in ±1/sqrt(in) (kaiming_uniform with a = sqrt(5)), B zero; the rest zero.
 * A pure function of (seed, view). */
void we_lora_init(const struct we_model *m, uint64_t seed, float *flat);

/* Normal numbers with the given deviation, for head layers that the checkpoint lacks. */
void we_normal_init(uint64_t seed, uint32_t site, float deviation, float *out, int64_t n);

/* n floats become n bfloat16 numbers, in place, at the start of the same memory. */
void we_round_to_bf16(float *values, int64_t n);

/* A view of every slot's copy of one tensor: (K, rows, cols) inside stacked (K, P). */
static inline wk_tensor we_slot_mat(wk_tensor stacked, int64_t offset, int64_t rows, int64_t cols) {
    wk_tensor t = wk_cols(stacked, offset, rows * cols);
    t.ndim = 3, t.dim[1] = rows, t.dim[2] = cols;
    return t;
}
static inline wk_tensor we_slot_vec(wk_tensor stacked, int64_t offset, int64_t n) {
    return wk_cols(stacked, offset, n);
}

#endif
