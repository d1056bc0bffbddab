/* RoBERTa (Liu et al. 2019), as transformers' RobertaForSequenceClassification. BERT's encoder with
 * positions that start after the padding index, and a head of two trained layers. */
#include "engine/models/bert_modules.h"

static weft_status hparams(wk_ctx *ctx, const weft_model_source *source, we_hparams *out) {
    we_hparams h = {0};
    WEFT_TRY(we_arch_bert.hparams(ctx, source, &h));
    WEFT_TRY(we_meta_int(ctx, source, "pad_token_id", 0, h.vocab - 1, &h.pad_id));
    h.pos_offset = h.pad_id + 1;
    *out = h;
    return WEFT_OK;
}

const we_arch we_arch_roberta = {
    .name = "roberta",
    .prefix = "roberta.",
    WE_BERT_MODULES,
    .head = {.hidden = "classifier.dense", .out = "classifier.out_proj", .act = WK_ACT_TANH},
    .default_targets = "query,value",
    .default_saved = "classifier",
    .hparams = hparams,
};
