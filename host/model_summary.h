/* What a model folder holds, from names and shapes of its tensors alone: parameters, and the linear
 * layers of its blocks, one line for all layers. */
#ifndef WEFT_HOST_MODEL_SUMMARY_H
#define WEFT_HOST_MODEL_SUMMARY_H

#include "host/model_folder.h"
#include "host/text.h"

#include <jansson.h>

#define WH_MODEL_LINEARS 32

typedef struct wh_model_linear {
    char name[96]; /* the path after the layer's number: "attention.self.query" */
    int64_t out, in;
    int32_t count;
} wh_model_linear;

typedef struct wh_model_summary {
    const char *path, *model_type, *architecture; /* the folder's */
    int64_t n_tensors, parameters;
    int32_t n_linears;
    wh_model_linear linear[WH_MODEL_LINEARS];
} wh_model_summary;

/* *out is *owned* (wh_model_summary_free) and borrows from `folder`, which must have its weights
 * open. */
WEFT_NODISCARD weft_status wh_model_summary_build(wh_model_summary **out, wh_model_folder *folder,
                                                  weft_error *err);
void wh_model_summary_free(wh_model_summary *summary);

void wh_model_summary_text(wh_text *to, const wh_model_summary *summary);
json_t *wh_model_summary_json(const wh_model_summary *summary); /* *owned*; NULL: out of memory */

/* The path after the first all-digit part of a tensor name, without ".weight", into `out`; false
 * for names without one, and for anything but a weight. */
bool wh_model_block_part(char *out, size_t n, const char *tensor);

#endif
