/* Architectures: what a model family calls its tensors and how its head is built. One file per
 * family fills a we_arch; encoder.c computes all of them. */
#ifndef WE_MODELS_ARCH_H
#define WE_MODELS_ARCH_H

#include "engine/weft.h"
#include "kernels/base.h"
#include "kernels/ops.h"

typedef struct we_hparams {
    int32_t layers, d, heads, ffn, vocab, max_pos, type_vocab;
    int32_t pos_offset; /* position id of the first token */
    int32_t pad_id; /* a token with this id takes position pad_id and does not count; -1: none */
    float norm_eps;
    wk_act act;
    float init_range; /* standard deviation of fresh weights */
} we_hparams;

/* Names are HF module paths; %d is the layer. Tensors are "<module>.weight" and "<module>.bias". */
typedef struct we_arch {
    const char *name;   /* config.json model_type */
    const char *prefix; /* of the base inside a ForSequenceClassification model, "bert." */
    const char *word, *pos, *type; /* embeddings; type NULL: none */
    const char *embed_norm;
    struct {
        const char *q, *k, *v, *o, *norm1, *up, *down, *norm2;
    } layer;
    /* logits = out · act(hidden · h[first token]); full paths, since heads lie beside the base too.
     */
    struct {
        const char *hidden, *out;
        wk_act act;
    } head;
    /* PEFT's choices, comma separated suffixes: LoRA, and what SEQ_CLS saves whole. */
    const char *default_targets, *default_saved;
    weft_status (*hparams)(wk_ctx *ctx, const weft_model_source *source, we_hparams *out);
} we_arch;

extern const we_arch we_arch_bert, we_arch_roberta, we_arch_distilbert;

/* By config.json's model_type. WEFT_E_DATA names an unknown one and lists the known. */
WEFT_NODISCARD weft_status we_arch_find(wk_ctx *ctx, const weft_model_source *source,
                                        const we_arch **out);

/* Checked readers of config.json keys; a missing key without a fallback is WEFT_E_DATA. */
WEFT_NODISCARD weft_status we_meta_int(wk_ctx *ctx, const weft_model_source *source,
                                       const char *key, int64_t min, int64_t max, int32_t *out);
WEFT_NODISCARD weft_status we_meta_real(wk_ctx *ctx, const weft_model_source *source,
                                        const char *key, double fallback, float *out);
WEFT_NODISCARD weft_status we_meta_act(wk_ctx *ctx, const weft_model_source *source,
                                       const char *key, wk_act *out);
bool we_meta_is(const weft_model_source *source, const char *key, const char *value);

#endif
