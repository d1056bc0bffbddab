#include "kernels/status.h"

#include <stdarg.h>
#include <stdio.h>

const char *weft_status_str(weft_status status) {
    switch (status) {
#define X(name, num, text)                                                                         \
    case WEFT_##name:                                                                              \
        return text;
        WEFT_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

weft_status weft_error_set(weft_error *err, const char *file, int line, weft_status status,
                           const char *format, ...) {
    if (!err) return status;
    err->status = status;
    err->file = file;
    err->line = line;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return status;
}
