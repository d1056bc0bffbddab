/* Aligned text tables for a terminal: columns as wide as their widest cell, left or right aligned,
 * two spaces between. Widths count UTF-8 characters. */
#ifndef WEFT_HOST_TEXT_TABLE_H
#define WEFT_HOST_TEXT_TABLE_H

#include "host/text.h"

#define WH_TEXT_TABLE_COLUMNS 80

typedef struct wh_text_table {
    int n_columns;
    const char *align; /* one letter a column: 'l' or 'r' */
    char **cell;       /* row-major */
    int n_cells, capacity;
    bool failed;
} wh_text_table;

/* `align` has one letter a column and outlives the table. */
void wh_text_table_init(wh_text_table *t, const char *align);
void wh_text_table_fini(wh_text_table *t);
/* The next cell, left to right; a row ends by itself. */
void wh_text_table_cell(wh_text_table *t, const char *format, ...) WEFT_PRINTF(2, 3);
/* All rows, each line opened by `indent`. A table whose cells did not fit in memory fails `to`. */
void wh_text_table_add(wh_text *to, const wh_text_table *t, const char *indent);

#endif
