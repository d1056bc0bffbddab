/* The frozen base on a device, and where adapters attach to it. Read-only after load; shared by
 * every client. What one forward and backward need beside it (acts.h) belongs to the caller. */
#ifndef WE_MODELS_MODEL_H
#define WE_MODELS_MODEL_H

#include "engine/lora.h"
#include "engine/models/arch.h"
#include "kernels/arena.h"

#define WE_MODULE_NAME 96

/* One nn.Linear of the HF model. */
typedef struct we_linear {
    char module[WE_MODULE_NAME]; /* HF path */
    int64_t out, in;
    int64_t col;   /* its outputs are columns [col, col+out) of its group */
    uint32_t site; /* index of the linear in the model: names its random streams */
    int64_t a, b; /* offsets of lora_A (r, in) and lora_B (out, r) in an adapter; -1: not adapted */
} we_linear;

/* Linears that read the same input, as one fused frozen weight: query, key and value; or just one.
 */
typedef struct we_group {
    wk_weight weight; /* (out, in) */
    wk_tensor bias;   /* (out) */
    bool keeps_plain; /* weight.w stays after loading */
    int64_t out, in;
    int32_t n;
    we_linear part[3];
} we_group;

typedef struct we_norm {
    wk_tensor weight, bias; /* (D) */
} we_norm;

typedef struct we_layer {
    we_group qkv, o, up, down;
    we_norm norm1, norm2;
} we_layer;

/* A head layer is frozen (a group, perhaps with LoRA) or trained whole, per client. */
typedef struct we_head_layer {
    we_group frozen;
    bool is_trained;
    int64_t weight, bias; /* offsets of (out, in) and (out) in an adapter when trained */
} we_head_layer;

typedef struct we_model {
    wk_ctx *ctx;
    wk_dev *dev;
    const we_arch *arch;
    we_hparams hp;
    int32_t num_labels;
    wk_tensor word, pos, type; /* (V, D), (max_pos, D), (n, D) */
    we_norm embed_norm;
    we_layer *layer; /* (layers) */
    we_head_layer hidden, out;
    we_lora lora;
    int32_t lowest;          /* lowest adapted layer: backward stops there; `layers` when none is */
    int64_t base_parameters; /* frozen numbers */
    uint64_t fingerprint;    /* of the weights that were loaded */
    /* Tests look inside through this: called with "embeddings" (layer -1), "layer", "hidden",
     * "logits". */
    void (*watch)(void *ud, const char *name, int32_t layer, wk_tensor t);
    void *watch_ud;
} we_model;

/* Names, shapes and the adapter layout from config.json and lora.*; no device memory. */
WEFT_NODISCARD weft_status we_model_describe(we_model *m, wk_ctx *ctx, const weft_config *config,
                                             const weft_model_source *source, int32_t num_labels);
void we_model_fini(we_model *m);

/* Take memory for all weights; `train`: also for the backward of those it visits. Plain copies that
 * the backend replaces by its packed ones lie in `staging`, one upon the other: that arena holds
 * them during we_model_load only, and what is placed in it meanwhile is overwritten. */
WEFT_NODISCARD weft_status we_model_place(we_model *m, wk_arena *base, wk_arena *staging,
                                          bool train);
/* Read, check (shape, finite) and upload every weight; missing head layers are drawn from (seed). A
 * trained head's start goes into `flat` (lora.size floats), which the caller has prepared with
 * we_lora_init. */
WEFT_NODISCARD weft_status we_model_load(we_model *m, const weft_model_source *source,
                                         uint64_t seed, float *flat);

/* "<prefix><pattern with its %d as layer>" into a buffer of WE_MODULE_NAME bytes; returns it. */
const char *we_module_path(char *buffer, const char *prefix, const char *pattern, int32_t layer);

/* All linears in order of site: the layers', then the head's hidden one if it is frozen. */
int32_t we_model_linear_count(const we_model *m);
we_linear *we_model_linear(we_model *m, int32_t index);

#endif
