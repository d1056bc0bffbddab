/* Job files: one YAML mapping → weft_config_set(dotted key, text, "file:line:column").
 *
 * Types and bounds are the option table's business; this reader only knows nesting. What YAML
 * allows and a job file does not need is refused by name and line: anchors, aliases, tags, several
 * documents, keys given twice (also under an alias or in dotted form), lists where an option takes
 * one value. */
#ifndef WEFT_HOST_CONFIG_YAML_H
#define WEFT_HOST_CONFIG_YAML_H

#include "host/sweep.h"

#define WH_YAML_MAX_BYTES (1 << 20)
#define WH_YAML_MAX_DEPTH 8
#define WH_YAML_MAX_VALUE 16384 /* bytes of one value, with its NUL */

/* Set every option of the file; what its section `sweep` lists is checked and goes into *sweep
 * (zero-initialised by the caller, who frees it after a failure too; NULL: nobody wants it).
 * WEFT_E_CONFIG for everything wrong with the file, its absence included. */
WEFT_NODISCARD weft_status wh_config_yaml_read(weft_config *config, wh_sweep *sweep,
                                               const char *path, weft_error *err);

/* The same from memory; `name` stands for the file in messages. */
WEFT_NODISCARD weft_status wh_config_yaml_parse(weft_config *config, wh_sweep *sweep,
                                                const char *text, size_t n, const char *name,
                                                weft_error *err);

/* True for options whose value is a comma list, so that a YAML list may be given. */
bool wh_config_is_list(const char *key);

#endif
