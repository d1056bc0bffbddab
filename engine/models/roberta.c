/* RoBERTa (Liu et al. 2019), as transformers' RobertaForSequenceClassification. BERT's encoder with
 * positions that start after the padding index, and a head of two trained layers. */
#include "engine/models/arch.h"

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
    .word = "embeddings.word_embeddings",
    .pos = "embeddings.position_embeddings",
    .type = "embeddings.token_type_embeddings",
    .embed_norm = "embeddings.LayerNorm",
    .layer = {.q = "encoder.layer.%d.attention.self.query",
              .k = "encoder.layer.%d.attention.self.key",
              .v = "encoder.layer.%d.attention.self.value",
              .o = "encoder.layer.%d.attention.output.dense",
              .norm1 = "encoder.layer.%d.attention.output.LayerNorm",
              .up = "encoder.layer.%d.intermediate.dense",
              .down = "encoder.layer.%d.output.dense",
              .norm2 = "encoder.layer.%d.output.LayerNorm"},
    .head = {.hidden = "classifier.dense", .out = "classifier.out_proj", .act = WK_ACT_TANH},
    .default_targets = "query,value",
    .default_saved = "classifier",
    .hparams = hparams,
};
