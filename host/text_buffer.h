/* A growing text for output that is made in memory and then written at once. An allocation that
 * fails is remembered and reported by the one call at the end. */
#ifndef WEFT_HOST_TEXT_BUFFER_H
#define WEFT_HOST_TEXT_BUFFER_H

#include "engine/weft.h"

typedef struct wh_text_buffer {
    char *text; /* zero-terminated once anything was added */
    size_t n, capacity;
    bool failed;
} wh_text_buffer; /* zero-initialise */

void wh_text_add(wh_text_buffer *b, const char *format, ...) WEFT_PRINTF(2, 3);
/* Hand the text over (*owned*: free()), or fail with WEFT_E_MEM. The buffer is empty afterwards. */
WEFT_NODISCARD weft_status wh_text_take(wh_text_buffer *b, char **out, weft_error *err);

#endif
