/* BERT (Devlin et al. 2019), as transformers' BertForSequenceClassification; MiniLM is a BERT too.
 */
#include "engine/models/bert_modules.h"

static weft_status hparams(wk_ctx *ctx, const weft_model_source *source, we_hparams *out) {
    we_hparams h = {.pos_offset = 0, .pad_id = -1};
    WEFT_TRY(we_meta_int(ctx, source, "num_hidden_layers", 1, 1024, &h.layers));
    WEFT_TRY(we_meta_int(ctx, source, "hidden_size", 1, 1 << 16, &h.d));
    WEFT_TRY(we_meta_int(ctx, source, "num_attention_heads", 1, 1 << 12, &h.heads));
    WEFT_TRY(we_meta_int(ctx, source, "intermediate_size", 1, 1 << 18, &h.ffn));
    WEFT_TRY(we_meta_int(ctx, source, "vocab_size", 1, 1 << 24, &h.vocab));
    WEFT_TRY(we_meta_int(ctx, source, "max_position_embeddings", 1, 1 << 20, &h.max_pos));
    WEFT_TRY(we_meta_int(ctx, source, "type_vocab_size", 1, 1 << 16, &h.type_vocab));
    WEFT_TRY(we_meta_real(ctx, source, "layer_norm_eps", 1e-12, &h.norm_eps));
    WEFT_TRY(we_meta_real(ctx, source, "initializer_range", 0.02, &h.init_range));
    WEFT_TRY(we_meta_act(ctx, source, "hidden_act", &h.act));
    const char *positions = source->meta(source->ud, "position_embedding_type");
    if (positions && !we_meta_is(source, "position_embedding_type", "absolute"))
        return WEFT_FAIL(&ctx->err, WEFT_E_DATA,
                         "%s: position_embedding_type %s is not supported, only absolute",
                         source->name, positions);
    *out = h;
    return WEFT_OK;
}

const we_arch we_arch_bert = {
    .name = "bert",
    .prefix = "bert.",
    WE_BERT_MODULES,
    .head = {.hidden = "bert.pooler.dense", .out = "classifier", .act = WK_ACT_TANH},
    .default_targets = "query,value",
    .default_saved = "classifier",
    .hparams = hparams,
};
