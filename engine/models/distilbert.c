/* DistilBERT (Sanh et al. 2019), as transformers' DistilBertForSequenceClassification: no token
 * types, its own key names, and a ReLU in the head. */
#include "engine/models/arch.h"

static weft_status hparams(wk_ctx *ctx, const weft_model_source *source, we_hparams *out) {
    we_hparams h = {.pos_offset = 0, .pad_id = -1, .norm_eps = 1e-12f};
    WEFT_TRY(we_meta_int(ctx, source, "n_layers", 1, 1024, &h.layers));
    WEFT_TRY(we_meta_int(ctx, source, "dim", 1, 1 << 16, &h.d));
    WEFT_TRY(we_meta_int(ctx, source, "n_heads", 1, 1 << 12, &h.heads));
    WEFT_TRY(we_meta_int(ctx, source, "hidden_dim", 1, 1 << 18, &h.ffn));
    WEFT_TRY(we_meta_int(ctx, source, "vocab_size", 1, 1 << 24, &h.vocab));
    WEFT_TRY(we_meta_int(ctx, source, "max_position_embeddings", 1, 1 << 20, &h.max_pos));
    WEFT_TRY(we_meta_real(ctx, source, "initializer_range", 0.02, &h.init_range));
    WEFT_TRY(we_meta_act(ctx, source, "activation", &h.act));
    *out = h;
    return WEFT_OK;
}

const we_arch we_arch_distilbert = {
    .name = "distilbert",
    .prefix = "distilbert.",
    .word = "embeddings.word_embeddings",
    .pos = "embeddings.position_embeddings",
    .embed_norm = "embeddings.LayerNorm",
    .layer = {.q = "transformer.layer.%d.attention.q_lin",
              .k = "transformer.layer.%d.attention.k_lin",
              .v = "transformer.layer.%d.attention.v_lin",
              .o = "transformer.layer.%d.attention.out_lin",
              .norm1 = "transformer.layer.%d.sa_layer_norm",
              .up = "transformer.layer.%d.ffn.lin1",
              .down = "transformer.layer.%d.ffn.lin2",
              .norm2 = "transformer.layer.%d.output_layer_norm"},
    .head = {.hidden = "pre_classifier", .out = "classifier", .act = WK_ACT_RELU},
    .default_targets = "q_lin,v_lin",
    .default_saved = "pre_classifier,classifier",
    .hparams = hparams,
};
