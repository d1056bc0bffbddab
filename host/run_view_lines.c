#include "host/run_view_parts.h"

#include "host/number.h"
#include "host/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
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

/* ---- CSV ---- */

/* The next cell of a line; false after the last one. *start is 0 for the first. */
static bool next_cell(const char **cell, size_t *n, size_t *start, const char *text, size_t bytes) {
    if (*start > bytes) return false;
    const char *comma = memchr(text + *start, ',', bytes - *start);
    *cell = text + *start;
    *n = comma ? (size_t)(comma - *cell) : bytes - *start;
    *start += *n + 1;
    return true;
}

bool wh_view_find_columns(int *column, const char *const *name, int n, const char *text,
                          size_t bytes) {
    const char *cell;
    size_t length, start = 0;
    for (int i = 0; i < n; i++) column[i] = -1;
    for (int at = 0; next_cell(&cell, &length, &start, text, bytes); at++)
        for (int i = 0; i < n; i++)
            if (strlen(name[i]) == length && memcmp(name[i], cell, length) == 0) column[i] = at;
    for (int i = 0; i < n; i++)
        if (column[i] < 0) return false;
    return true;
}

bool wh_view_split(char (*cell)[WH_VIEW_CELL], const int *column, int n, const char *text,
                   size_t bytes) {
    const char *from;
    size_t length, start = 0;
    int found = 0;
    for (int at = 0; next_cell(&from, &length, &start, text, bytes); at++)
        for (int i = 0; i < n; i++) {
            if (column[i] != at || length >= WH_VIEW_CELL) continue;
            memcpy(cell[i], from, length);
            cell[i][length] = '\0';
            found++;
        }
    return found == n;
}

double wh_view_real(const char *cell) {
    double value;
    return wh_parse_double(cell, &value) == WH_NUMBER_OK ? value : (double)NAN;
}
