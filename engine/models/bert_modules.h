/* What BERT's encoder calls its modules; RoBERTa calls them the same. Members of a we_arch
 * initialiser. */
#ifndef WE_MODELS_BERT_MODULES_H
#define WE_MODELS_BERT_MODULES_H

#include "engine/models/arch.h"

#define WE_BERT_MODULES                                                                            \
    .word = "embeddings.word_embeddings", .pos = "embeddings.position_embeddings",                 \
    .type = "embeddings.token_type_embeddings", .embed_norm = "embeddings.LayerNorm",              \
    .layer = {.q = "encoder.layer.%d.attention.self.query",                                        \
              .k = "encoder.layer.%d.attention.self.key",                                          \
              .v = "encoder.layer.%d.attention.self.value",                                        \
              .o = "encoder.layer.%d.attention.output.dense",                                      \
              .norm1 = "encoder.layer.%d.attention.output.LayerNorm",                              \
              .up = "encoder.layer.%d.intermediate.dense",                                         \
              .down = "encoder.layer.%d.output.dense",                                             \
              .norm2 = "encoder.layer.%d.output.LayerNorm"}

#endif
