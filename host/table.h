/* Rows of a data file: a text or a pair of texts, a label and a client name, from JSON Lines, CSV
 * or TSV.
 *
 * JSON Lines: one object per line, UTF-8. CSV: RFC 4180 with a header row; quotes, quoted newlines,
 * CRLF; a quote inside an unquoted field is an ordinary character. TSV: a header row, fields
 * separated by tabs, no quoting (the form of GLUE). A byte order mark and blank lines are skipped.
 * Texts keep their bytes, also invalid UTF-8 in CSV and TSV (JSON with invalid UTF-8 is not JSON)
 * and NUL; the tokenizer decides what they mean.
 *
 * The whole file is read at once: a row takes 32 bytes, its texts, label and client name, and one
 * byte for each of these. */
#ifndef WH_TABLE_H
#define WH_TABLE_H

#include "engine/weft.h"

typedef enum wh_table_format {
    WH_TABLE_AUTO = 0, /* by extension: .jsonl .ndjson .json, .csv, .tsv */
    WH_TABLE_JSONL = 1,
    WH_TABLE_CSV = 2,
    WH_TABLE_TSV = 3,
} wh_table_format;

typedef struct wh_table_options {
    const char *path;
    wh_table_format format;
    const char *text_column;      /* required */
    const char *text_pair_column; /* NULL or "": none; the same for the next two */
    const char *label_column;
    const char *client_column;
    int64_t max_rows;   /* stop after so many; 0: all */
    bool skip_bad_rows; /* drop and count them instead of failing */
} wh_table_options;

typedef struct wh_table wh_table;

enum { WH_TABLE_MAX_ROW = 16 << 20 }; /* bytes of one row of the file */

/* Reads the file. *Own*ed by the caller: wh_table_close.
 * WEFT_E_DATA with "path:line: …" for the first bad row (not JSON, wrong type, ragged, empty label
 * …), or with "path: …" for the file: missing, unreadable, a row over 16 MiB, an open quote at the
 * end, a missing column (with those that exist and the nearest), no rows. The file's faults are
 * never skipped. WEFT_E_CONFIG: unknown extension, no text column given. WEFT_E_MEM. */
WEFT_NODISCARD weft_status wh_table_open(wh_table **out, const wh_table_options *options,
                                         weft_error *err);
void wh_table_close(wh_table *table);

const char *wh_table_path(const wh_table *table);
int64_t wh_table_rows(const wh_table *table);
/* Memory that the rows fill. */
int64_t wh_table_bytes(const wh_table *table);
/* Rows dropped as bad, and the message of the first ("" when there is none). */
int64_t wh_table_skipped(const wh_table *table);
const char *wh_table_first_skipped(const wh_table *table);

/* Of row 0 … rows-1. NUL-terminated; *length (may be NULL) is the number of bytes, for texts may
 * contain NUL. NULL (length 0) when the column was not asked for. */
const char *wh_table_text(const wh_table *table, int64_t row, size_t *length);
const char *wh_table_text_pair(const wh_table *table, int64_t row, size_t *length);
/* Never empty. JSON numbers and booleans as text: 3, -0.5, true. */
const char *wh_table_label(const wh_table *table, int64_t row);
const char *wh_table_client(const wh_table *table, int64_t row);
/* 1-based line of the file at which the row begins. */
int64_t wh_table_line(const wh_table *table, int64_t row);

#endif
