/* The classification or regression head: logits = out · act(hidden · h[first token]). */
#ifndef WE_MODELS_HEAD_H
#define WE_MODELS_HEAD_H

#include "engine/models/encoder.h"

/* From acts.first to acts.logits. */
WEFT_NODISCARD weft_status we_head_forward(const we_pass *p);
/* Gradients of the head; when `below`, acts.dhead[1] becomes the gradient of acts.first. */
WEFT_NODISCARD weft_status we_head_backward(const we_pass *p, bool below);

/* Calls the model's watch function, if there is one. */
void we_watch(const we_pass *p, const char *name, int32_t layer, wk_tensor t);

#endif
