/* The option table and a configuration as text: the resolved job file of a run, and CONFIG.md. */
#ifndef WEFT_HOST_CONFIG_WRITE_H
#define WEFT_HOST_CONFIG_WRITE_H

#include "host/text.h"

/* Every option of `config` as a nested job file, in the order of the table; reading it back gives
 * the same configuration. `comments` adds the help of each option. */
void wh_config_write(wh_text *to, const weft_config *config, bool comments);

/* The reference page of all options, in Markdown. */
void wh_config_markdown(wh_text *to);

/* Keys, defaults, choices and help for a terminal. `prefix` ("" for all) selects by key.
 * WEFT_E_CONFIG: no key starts with it. */
WEFT_NODISCARD weft_status wh_config_list(wh_text *to, const char *prefix, weft_error *err);

/* The environment variable of an option: "lora.r" → "WEFT_LORA_R". */
void wh_config_env_name(char *out, size_t n, const weft_option *option);

#endif
