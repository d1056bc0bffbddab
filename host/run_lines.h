/* Lines of the files that tell of rounds, composed: keys of an object, cells of a table, and which
 * there are. One list of a round's columns makes metrics.jsonl and rounds.csv. */
#ifndef WH_RUN_LINES_H
#define WH_RUN_LINES_H

#include "engine/weft.h"
#include "host/text.h"

/* "name": value, after the '{' or another key. Reals that are not finite become null. */
void wh_line_key(wh_text *line, const char *name);
void wh_line_key_int(wh_text *line, const char *name, int64_t value);
void wh_line_key_real(wh_text *line, const char *name, double value);

/* A cell; the first of a line is a whole number. The last writes nothing into the cell for a value
 * that is not finite, the one before "nan" or "inf". */
void wh_line_cell_int(wh_text *line, int64_t value);
void wh_line_cell_real(wh_text *line, double value);
void wh_line_cell_given(wh_text *line, double value);

/* ---- rounds ---- */

typedef enum wh_column_kind {
    WH_COLUMN_WHOLE = 0,
    WH_COLUMN_REAL = 1,
    WH_COLUMN_GIVEN = 2, /* a real that need not be there */
} wh_column_kind;

typedef struct wh_round_column {
    const char *name;
    wh_column_kind kind;
    int64_t whole;
    double real;
} wh_round_column;

/* Columns from WH_ROUND_BASE on stand after those of the evaluation. All are always there. */
enum { WH_ROUND_BASE = 12, WH_ROUND_COLUMNS = 27 };

void wh_round_columns(wh_round_column out[WH_ROUND_COLUMNS], const weft_round_report *report);
/* Those in [from, to): as keys, as cells, as names of cells. */
void wh_round_keys(wh_text *line, const wh_round_column *column, int from, int to);
void wh_round_cells(wh_text *line, const wh_round_column *column, int from, int to);
void wh_round_names(wh_text *line, const wh_round_column *column, int from, int to);

/* ---- checks.csv ---- */

void wh_check_names(wh_text *line);
/* The index-th check of a round, from 0. */
void wh_check_cells(wh_text *line, int64_t round, int32_t index, const weft_check *check);

#endif
