#include "host/run_view_parts.h"

#include "host/text.h"

#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

weft_status wh_view_no_memory(const char *what, weft_error *err) {
    return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while reading %s", what);
}

void wh_span_add(wh_span *span, double value) {
    if (!isfinite(value)) return;
    if (!(span->lo <= value)) span->lo = value;
    if (!(span->hi >= value)) span->hi = value;
}

bool wh_view_is_file(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

weft_status wh_view_lines_open(wh_view_lines *l, const char *folder, const char *name,
                               weft_error *err) {
    l->path = wh_path_join(folder, name);
    if (!l->path) return wh_view_no_memory(name, err);
    if (!wh_view_is_file(l->path)) return WEFT_OK;
    WEFT_TRY(wh_lines_open(&l->in, l->path, err));
    l->open = true;
    return WEFT_OK;
}

void wh_view_lines_close(wh_view_lines *l) {
    if (l->open) wh_lines_close(&l->in);
    free(l->path);
    *l = (wh_view_lines){0};
}

weft_status wh_view_lines_next(wh_view_lines *l, const char **text, size_t *bytes,
                               weft_error *err) {
    *text = NULL;
    if (!l->open) return WEFT_OK;
    WEFT_TRY(wh_lines_next(&l->in, text, bytes, err));
    if (*text && !wh_lines_is_whole(&l->in)) *text = NULL;
    return WEFT_OK;
}
