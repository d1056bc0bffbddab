/* The encoder as two plain functions, forward and backward, over one pack of many clients.
 * Post-norm transformer of BERT, RoBERTa and DistilBERT (Vaswani et al. 2017; Devlin et al. 2019).
 */
#ifndef WE_MODELS_ENCODER_H
#define WE_MODELS_ENCODER_H

#include "engine/models/model.h"
#include "engine/pack.h"

/* Stacked adapters of the slots, (K, lora.size) each. `g` is not given when only evaluating. */
typedef struct we_adapters {
    wk_tensor w, g;
} we_adapters;

/* What one layer's forward leaves for its backward. Activations of width D or F are hidden states
 * (wk_dev.hidden); lse, means and what belongs to an adapter or the head is float32. */
typedef struct we_layer_acts {
    wk_tensor x;                /* (T, D) input */
    wk_tensor qkv;              /* (T, 3D) */
    wk_tensor o, lse;           /* (T, D) attention output, (T, H) */
    wk_tensor z1, mean1, rstd1; /* (T, D) norm input, (T), (T) */
    wk_tensor y1;               /* (T, D) norm output, input of the MLP */
    wk_tensor u, a;             /* (T, F) before and after the activation */
    wk_tensor z2, mean2, rstd2;
    wk_tensor s[6]; /* (T, R) lora_A x of q, k, v, o, up, down; only adapted ones */
} we_layer_acts;

/* Buffers of one pass, sized for the largest pack. Layers below model.lowest keep nothing and
 * share. */
typedef struct we_acts {
    we_layer_acts *layer; /* (layers) */
    wk_ctx *ctx;
    wk_tensor h;     /* (T, D) output of the last layer; not filled when only the head reads it */
    wk_tensor first; /* (Q, D) rows of it that the head reads, float32 as all of the head */
    wk_tensor o_first, x_first;   /* (Q, D) the same rows of the last layer's attention and input */
    wk_tensor hidden, hidden_act; /* (Q, D) */
    wk_tensor s_hidden;           /* (Q, R) */
    wk_tensor logits, loss;       /* (Q, C), (Q) */
    wk_tensor pooled;             /* (Q, D) mean-pooled h, for features */
    wk_tensor dropped;            /* bytes: input of an adapter after dropout */
    wk_tensor dh, dt, dwide, ds;  /* (T, D), (T, D), (T, max(3D, F)), (T, R) */
    wk_tensor dlogits, dhead[2];  /* (Q, C), (Q, D) */
    wk_tensor dh_first, do_first; /* (Q, D) gradients of x_first and o_first */
} we_acts;

/* `train` adds what backward needs. */
WEFT_NODISCARD weft_status we_acts_place(we_acts *acts, const we_model *m, wk_arena *arena,
                                         we_pack_limits limits, bool train);
void we_acts_fini(we_acts *acts);

/* One pass. All tensors are cut to the batch. `adapters` NULL: the bare base, without head. */
typedef struct we_pass {
    we_model *m;
    we_batch *batch;
    we_acts *acts;
    const we_adapters *adapters;
    uint64_t seed; /* of dropout */
    bool train;    /* dropout on, keep what backward needs */
} we_pass;

/* Cuts the buffers with a row per token or sequence to the batch. Forward does so too; a caller
 * that may find the pass recorded, and forward not called, does it itself. */
void we_encoder_cut(const we_pass *p);
/* With adapters: acts.logits. Without: acts.h. While the model is watched: both. */
WEFT_NODISCARD weft_status we_encoder_forward(const we_pass *p);
/* Mean of h over each sequence, in acts.pooled. */
WEFT_NODISCARD weft_status we_encoder_pool(const we_pass *p);
/* Losses in acts.loss (with label and target of the batch); in training also acts.dlogits. */
WEFT_NODISCARD weft_status we_encoder_loss(const we_pass *p);
/* From acts.dlogits, add every adapter gradient to adapters.g. */
WEFT_NODISCARD weft_status we_encoder_backward(const we_pass *p);

#endif
