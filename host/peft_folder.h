/* Adapters as PEFT's save_pretrained writes them: adapter_config.json, adapter_model.safetensors
 * with keys "base_model.model.<module>.lora_A.weight" (r, in), "….lora_B.weight" (out, r) and
 * "base_model.model.<module>.weight" for modules_to_save; and a model card, README.md.
 * Checked against files of peft 0.21. Works on views and a flat vector, so it needs no engine. */
#ifndef WH_PEFT_FOLDER_H
#define WH_PEFT_FOLDER_H

#include "engine/weft.h"

#include <stdbool.h>
#include <stdint.h>

/* What adapter_config.json says; strings are the caller's. */
typedef struct wh_peft_info {
    const char *base_model; /* base_model_name_or_path */
    const char *task_type;  /* "SEQ_CLS" */
    int32_t r;              /* 0: only modules_to_save (PEFT itself cannot load such a folder) */
    double alpha, dropout;
    bool use_rslora;
    const char
        *target_modules; /* comma separated, for messages; files list the full module names */
    const char *modules_to_save; /* comma separated */
    const char *card;            /* Markdown about this training, put into README.md; may be NULL */
} wh_peft_info;

/* Writes the folder, creating it when needed. adapter_config.json goes last, so a folder that has
 * it is complete; after a failure the files written so far are removed again. flat: the adapter,
 * views[i] at flat + views[i].offset, float32. WEFT_E_OUTPUT. */
WEFT_NODISCARD weft_status wh_peft_export(const char *folder, const wh_peft_info *info,
                                          const weft_view *views, int32_t n_views,
                                          const float *flat, weft_error *err);

/* Reads a folder into flat (gaps between views stay untouched; nothing is written on failure). Also
 * understands keys with an adapter name in them ("lora_A.default.weight",
 * "modules_to_save.default."). F16, BF16 and F64 are converted. WEFT_E_DATA: r, alpha or the scale
 * differ from `expected`, a view is missing, double or of another shape, a tensor or a setting is
 * not understood: always by name. */
WEFT_NODISCARD weft_status wh_peft_import(const char *folder, const wh_peft_info *expected,
                                          const weft_view *views, int32_t n_views, float *flat,
                                          weft_error *err);

#endif
