/* Job files: one YAML mapping → weft_config_set(dotted key, text, "file:line:column").
 *
 * Types and bounds are the option table's business; this reader only knows nesting. What YAML
 * allows and a job file does not need is refused by name and line: anchors, aliases, tags, several
 * documents, keys given twice (also under an alias or in dotted form), lists where an option takes
 * one value. */
#ifndef WEFT_HOST_CONFIG_YAML_H
#define WEFT_HOST_CONFIG_YAML_H

#include "engine/weft.h"

#define WH_YAML_MAX_BYTES (1 << 20)
#define WH_YAML_MAX_DEPTH 8
#define WH_YAML_MAX_VALUE 16384 /* bytes of one value, with its NUL */

/* Set every option of the file. WEFT_E_CONFIG for everything wrong with it, its absence included.
 */
WEFT_NODISCARD weft_status wh_config_yaml_read(weft_config *config, const char *path,
                                               weft_error *err);

/* The same from memory; `name` stands for the file in messages. */
WEFT_NODISCARD weft_status wh_config_yaml_parse(weft_config *config, const char *text, size_t n,
                                                const char *name, weft_error *err);

/* True for options whose value is a comma list, so that a YAML list may be given. */
bool wh_config_is_list(const char *key);

#endif
