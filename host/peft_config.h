/* adapter_config.json of a PEFT adapter: writing it, and checking one that was read. For
 * peft_folder.c. */
#ifndef WH_PEFT_CONFIG_H
#define WH_PEFT_CONFIG_H

#include "host/json_util.h"
#include "host/peft_folder.h"

/* The settings as a JSON object with sorted keys, *own*ed; NULL when memory is out. target_modules
 * are the full names of the modules with a lora_A view, sorted, which PEFT matches exactly. */
json_t *wh_peft_config_new(const wh_peft_info *info, const weft_view *views, int32_t n_views);

/* WEFT_E_DATA unless the folder's settings can be carried out with `expected`. `path` opens
 * messages. */
WEFT_NODISCARD weft_status wh_peft_config_check(const json_t *config, const char *path,
                                                const wh_peft_info *expected, weft_error *err);

#endif
