/* Inside of the table: what its readers share. Included by table*.c only. */
#ifndef WH_TABLE_PARTS_H
#define WH_TABLE_PARTS_H

#include "host/grow.h"
#include "host/input.h"
#include "host/table.h"
#include "host/table_lines.h"

/* What a column is used for. */
typedef enum wh_role {
    WH_ROLE_TEXT = 0,
    WH_ROLE_PAIR = 1,
    WH_ROLE_LABEL = 2,
    WH_ROLE_CLIENT = 3,
    WH_ROLES = 4,
} wh_role;

typedef struct wh_field {
    const char *data;
    size_t length;
} wh_field;

typedef struct wh_row {
    size_t offset; /* into bytes: the fields back to back, a NUL behind each */
    uint32_t length[WH_ROLES];
    int64_t line;
} wh_row;

struct wh_table {
    char *path;
    const char *column[WH_ROLES]; /* NULL: not used; borrowed, valid while reading */
    int64_t max_rows;
    bool skip_bad_rows;
    char *bytes;
    size_t bytes_used, bytes_room;
    wh_row *row;
    int64_t n_rows;
    size_t row_room;
    int64_t n_skipped;
    char first_skipped[sizeof((weft_error *)0)->text];
};

bool wh_table_full(const wh_table *table);
/* Appends a row; field[role] counts where column[role] is set. */
WEFT_NODISCARD weft_status wh_table_add(wh_table *table, int64_t line,
                                        const wh_field field[WH_ROLES], weft_error *err);
/* A bad row: WEFT_E_DATA with "path:line: …", or WEFT_OK when bad rows are skipped (and then
 * counted). */
WEFT_NODISCARD weft_status wh_table_bad_row(wh_table *table, int64_t line, weft_error *err,
                                            const char *format, ...) WEFT_PRINTF(4, 5);
/* "no column "x"; there are: a, b (did you mean "a"?)" into out. */
void wh_missing_column(char *out, size_t size, const char *column, const char *const *have,
                       size_t n);

WEFT_NODISCARD weft_status wh_table_read_jsonl(wh_table *table, wh_lines *lines, weft_error *err);
/* separator ',' (with quoting) or '\t' (without). */
WEFT_NODISCARD weft_status wh_table_read_csv(wh_table *table, wh_lines *lines, char separator,
                                             weft_error *err);

#endif
