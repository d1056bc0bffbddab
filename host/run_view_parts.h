/* Inside of run_view*.c: a folder's files line by line. */
#ifndef WH_RUN_VIEW_PARTS_H
#define WH_RUN_VIEW_PARTS_H

#include "host/run_view.h"
#include "host/table_lines.h"

weft_status wh_view_no_memory(const char *what, weft_error *err);
bool wh_view_is_file(const char *path);
/* Widens the span by a value that is finite. */
void wh_span_add(wh_span *span, double value);

typedef struct wh_view_lines { /* zero-initialise; close in any case */
    wh_lines in;
    char *path;
    bool open; /* false: there is no such file */
} wh_view_lines;

WEFT_NODISCARD weft_status wh_view_lines_open(wh_view_lines *l, const char *folder,
                                              const char *name, weft_error *err);
void wh_view_lines_close(wh_view_lines *l);
/* The next line that is whole; *text NULL at the end. */
WEFT_NODISCARD weft_status wh_view_lines_next(wh_view_lines *l, const char **text, size_t *bytes,
                                              weft_error *err);

/* Cells of a CSV file whose lines have no quotes. */
enum { WH_VIEW_CELL = 32 }; /* bytes, with the final NUL */

/* Where the n columns are, from the first line; false when one is missing. */
bool wh_view_find_columns(int *column, const char *const *name, int n, const char *text,
                          size_t bytes);
/* Their cells as text; false when one is missing or too long. */
bool wh_view_split(char (*cell)[WH_VIEW_CELL], const int *column, int n, const char *text,
                   size_t bytes);
/* NaN for "nan" and for an empty cell. */
double wh_view_real(const char *cell);

/* clients.csv; v->n_clients is known. WEFT_E_DATA: a line that cannot be read. */
WEFT_NODISCARD weft_status wh_view_read_clients(wh_run_view *v, weft_error *err);
/* checks.csv, where there is one. */
WEFT_NODISCARD weft_status wh_view_read_checks(wh_run_view *v, weft_error *err);

#endif
