/* A pretrained model as Hugging Face lays it out: config.json and weights, one model.safetensors or
 * shards listed in model.safetensors.index.json; or a folder of the hub's cache
 * (…/models--org--name), which leads to a snapshot. */
#ifndef WH_MODEL_FOLDER_H
#define WH_MODEL_FOLDER_H

#include "engine/weft.h"

#include <stdbool.h>

typedef struct wh_model_folder wh_model_folder;

/* Reads config.json and, when asked for, opens every weight file; no tensor is read yet.
 * WEFT_E_DATA says what is missing and where. */
WEFT_NODISCARD weft_status wh_model_folder_open(wh_model_folder **out, const char *path,
                                                bool with_weights, weft_error *err);
void wh_model_folder_close(wh_model_folder *model);

/* The folder that holds config.json: the path given, or the snapshot it led to. */
const char *wh_model_folder_path(const wh_model_folder *model);
/* What to call the model in an adapter's base_model_name_or_path: "org/name" for a folder of the
 * hub's cache, else the path given. */
const char *wh_model_folder_id(const wh_model_folder *model);
/* The last part of the id, for names of runs. */
const char *wh_model_folder_short_name(const wh_model_folder *model);

/* A flattened key of config.json ("num_hidden_layers", "id2label.0"), as weft_model_source.meta. */
const char *wh_model_folder_meta(const wh_model_folder *model, const char *key);
/* Path of another file of the folder ("tokenizer.json"), *own*ed (free); NULL when it is not there.
 */
char *wh_model_folder_file(const wh_model_folder *model, const char *name);

/* For weft_engine_options.model; valid while the folder is open. tensor is NULL without weights. */
weft_model_source wh_model_folder_source(wh_model_folder *model);

/* Every tensor name, for messages and `weft inspect`; NULL past the end. */
const char *wh_model_folder_tensor_name(const wh_model_folder *model, size_t index);

#endif
