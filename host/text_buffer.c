#include "host/text_buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static bool reserve(wh_text_buffer *b, size_t more) {
    if (b->failed) return false;
    if (more <= b->capacity - b->n) return true;
    size_t capacity = b->capacity ? b->capacity : 256;
    while (capacity - b->n < more) capacity *= 2;
    char *grown = realloc(b->text, capacity);
    if (!grown) {
        b->failed = true;
        return false;
    }
    b->text = grown;
    b->capacity = capacity;
    return true;
}

void wh_text_add(wh_text_buffer *b, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) b->failed = true;
    if (n >= 0 && reserve(b, (size_t)n + 1)) {
        (void)vsnprintf(b->text + b->n, (size_t)n + 1, format, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

weft_status wh_text_take(wh_text_buffer *b, char **out, weft_error *err) {
    if (!b->failed && !b->text) wh_text_add(b, "%s", "");
    if (b->failed) {
        free(b->text);
        *b = (wh_text_buffer){0};
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while writing text");
    }
    *out = b->text;
    *b = (wh_text_buffer){0};
    return WEFT_OK;
}
