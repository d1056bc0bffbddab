/* Results on stdout: one text, or one JSON value with a final newline. Both calls take over what
 * they are given, so that it can be built inside the call; a value that could not be built is
 * WEFT_E_MEM. */
#ifndef WEFT_HOST_OUTPUT_H
#define WEFT_HOST_OUTPUT_H

#include "host/text.h"

#include <jansson.h>

WEFT_NODISCARD weft_status wh_output_text(wh_text *text, weft_error *err);
WEFT_NODISCARD weft_status wh_output_json(json_t *value, weft_error *err);

#endif
