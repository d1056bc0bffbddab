/* How much a job asks for, apart from how it is computed: the numerator of a model FLOPs
 * utilisation (MFU; Chowdhery et al. 2022, PaLM, appendix B) for a frozen base with adapters.
 *
 * - Forward: 2 P per token; 4 d per pair of tokens that see each other, in each layer.
 * - Backward: 2 P per token, for dx only, as a frozen weight has no gradient; 8 d per pair. In the
 *   layers from the lowest adapted one up: nothing below asks for a gradient.
 * - LoRA: 6 r (in + out) per token of each adapted linear, for forward, dx, and dA with dB.
 * - Head, per sequence and number: 2 forward, 2 for a weight that is trained, 2 for the dx of a
 *   layer that something below needs.
 *
 * with P the numbers of the linears of the layers in question and d the width. It is the 4 P +
 * 6 P_lora + attention + head of published accounts, and a multiply with its add counts as two.
 * Embeddings, norms, activations and optimizers are left out, as they always are there.
 *
 * weft_plan.profile counts what the engine does instead. That is more where the backward of
 * attention computes the scores again (14 d per pair in all, not 12) and where norms and the rest
 * count; less where the engine skips what nobody reads: after attention in the last layer it
 * computes only the rows that the head reads, and in the lowest adapted layer it forms no dx of
 * query, key and value. */
#ifndef WE_WORK_H
#define WE_WORK_H

#include <stdint.h>

struct we_model;

typedef struct we_work {
    double tokens, rows;
    double pairs;  /* sum of squared lengths: every token of a sequence sees every other */
    int64_t steps; /* optimizer steps, each of all clients of a wave */
} we_work;

/* FLOPs that training so much asks for. */
double we_model_flops(const struct we_model *m, const we_work *work);

#endif
