#include "host/table_parts.h"

#include "host/names.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const role_name[WH_ROLES] = {"text", "text pair", "label", "client"};

/* ---- storing rows ---- */

bool wh_table_full(const wh_table *table) {
    return table->max_rows > 0 && table->n_rows >= table->max_rows;
}

weft_status wh_table_bad_row(wh_table *table, int64_t line, weft_error *err, const char *format,
                             ...) {
    char what[sizeof err->text];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    for (char *c = what; *c; c++) /* a message is one printable line, whatever the file holds */
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    weft_error local;
    weft_status st = WEFT_FAIL(table->skip_bad_rows ? &local : err, WEFT_E_DATA, "%s:%lld: %s",
                               table->path, (long long)line, what);
    if (!table->skip_bad_rows) return st;
    if (table->n_skipped++ == 0) memcpy(table->first_skipped, local.text, sizeof local.text);
    return WEFT_OK;
}

void wh_missing_column(char *out, size_t size, const char *column, const char *const *have,
                       size_t n) {
    char list[256];
    const char *nearest = wh_nearest(column, have, n);
    (void)snprintf(out, size, "no column \"%s\"; there are: %s%s%s%s", column,
                   wh_join_names(list, sizeof list, have, n), nearest ? " (did you mean \"" : "",
                   nearest ? nearest : "", nearest ? "\"?)" : "");
}

weft_status wh_table_add(wh_table *table, int64_t line, const wh_field field[WH_ROLES],
                         weft_error *err) {
    size_t bytes = 0;
    for (int role = 0; role < WH_ROLES; role++) {
        if (!table->column[role]) continue;
        bytes += field[role].length + 1;
        if (role < WH_ROLE_LABEL) continue; /* texts may be empty and may hold NUL; names may not */
        if (field[role].length == 0)
            return wh_table_bad_row(table, line, err, "the %s (column \"%s\") is empty",
                                    role_name[role], table->column[role]);
        if (memchr(field[role].data, '\0', field[role].length))
            return wh_table_bad_row(table, line, err, "the %s (column \"%s\") holds a NUL byte",
                                    role_name[role], table->column[role]);
    }
    void *store = table->bytes, *rows = table->row;
    bool fits = wh_grow(&store, &table->bytes_room, table->bytes_used + bytes, 1);
    table->bytes = store;
    fits = fits && wh_grow(&rows, &table->row_room, (size_t)table->n_rows + 1, sizeof(wh_row));
    table->row = rows;
    if (!fits)
        return WEFT_FAIL(err, WEFT_E_MEM, "%s:%lld: out of memory after %lld rows and %zu bytes",
                         table->path, (long long)line, (long long)table->n_rows, table->bytes_used);
    wh_row row = {.offset = table->bytes_used, .line = line};
    for (int role = 0; role < WH_ROLES; role++) {
        if (!table->column[role]) continue;
        char *to = table->bytes + table->bytes_used;
        if (field[role].length) memcpy(to, field[role].data, field[role].length);
        to[field[role].length] = '\0';
        row.length[role] = (uint32_t)field[role].length; /* at most WH_TABLE_MAX_ROW */
        table->bytes_used += field[role].length + 1;
    }
    table->row[table->n_rows++] = row;
    return WEFT_OK;
}

/* ---- opening ---- */

static weft_status pick_format(wh_table_format *out, const wh_table_options *options,
                               weft_error *err) {
    static const struct {
        const char *extension;
        wh_table_format format;
    } known[] = {{".jsonl", WH_TABLE_JSONL},
                 {".ndjson", WH_TABLE_JSONL},
                 {".json", WH_TABLE_JSONL},
                 {".csv", WH_TABLE_CSV},
                 {".tsv", WH_TABLE_TSV}};
    *out = options->format;
    if (options->format != WH_TABLE_AUTO) return WEFT_OK;
    const char *slash = strrchr(options->path, '/');
    const char *dot = strrchr(slash ? slash : options->path, '.');
    for (size_t i = 0; dot && i < sizeof known / sizeof *known; i++)
        if (strcasecmp(dot, known[i].extension) == 0) {
            *out = known[i].format;
            return WEFT_OK;
        }
    return WEFT_FAIL(err, WEFT_E_CONFIG,
                     "%s: the extension says no known format: .jsonl, .csv and .tsv are, or set "
                     "data.format",
                     options->path);
}

static weft_status read_rows(wh_table *table, wh_table_format format, weft_error *err) {
    wh_lines lines = {0};
    weft_status st = wh_lines_open(&lines, table->path, err);
    if (st == WEFT_OK) {
        if (format == WH_TABLE_JSONL)
            st = wh_table_read_jsonl(table, &lines, err);
        else
            st = wh_table_read_csv(table, &lines, format == WH_TABLE_CSV ? ',' : '\t', err);
    }
    if (st == WEFT_OK && lines.line == 0)
        st = WEFT_FAIL(err, WEFT_E_DATA, "%s: the file is empty", table->path);
    wh_lines_close(&lines);
    WEFT_TRY(st);
    if (table->n_rows > 0) return WEFT_OK;
    if (table->n_skipped > 0)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: all %lld rows are bad; the first: %s", table->path,
                         (long long)table->n_skipped, table->first_skipped);
    return WEFT_FAIL(err, WEFT_E_DATA, "%s: the file has no rows", table->path);
}

static const char *or_null(const char *name) {
    return name && *name ? name : NULL;
}

weft_status wh_table_open(wh_table **out, const wh_table_options *options, weft_error *err) {
    wh_table_format format = WH_TABLE_AUTO;
    if (!or_null(options->path)) return WEFT_FAIL(err, WEFT_E_CONFIG, "no data file is given");
    if (!or_null(options->text_column))
        return WEFT_FAIL(err, WEFT_E_CONFIG, "%s: no text column is given (data.text_column)",
                         options->path);
    WEFT_TRY(pick_format(&format, options, err));
    wh_table *table = calloc(1, sizeof *table);
    size_t size = strlen(options->path) + 1;
    if (table) table->path = malloc(size);
    if (!table || !table->path) {
        free(table);
        return WEFT_FAIL(err, WEFT_E_MEM, "%s: out of memory", options->path);
    }
    memcpy(table->path, options->path, size);
    table->column[WH_ROLE_TEXT] = options->text_column;
    table->column[WH_ROLE_PAIR] = or_null(options->text_pair_column);
    table->column[WH_ROLE_LABEL] = or_null(options->label_column);
    table->column[WH_ROLE_CLIENT] = or_null(options->client_column);
    table->max_rows = options->max_rows;
    table->skip_bad_rows = options->skip_bad_rows;
    weft_status st = read_rows(table, format, err);
    if (st != WEFT_OK) {
        wh_table_close(table);
        return st;
    }
    *out = table;
    return WEFT_OK;
}

void wh_table_close(wh_table *table) {
    if (!table) return;
    free(table->path);
    free(table->bytes);
    free(table->row);
    free(table);
}

/* ---- getters ---- */

const char *wh_table_path(const wh_table *table) {
    return table->path;
}

int64_t wh_table_rows(const wh_table *table) {
    return table->n_rows;
}

int64_t wh_table_bytes(const wh_table *table) {
    return (int64_t)(table->bytes_used + (size_t)table->n_rows * sizeof *table->row);
}

int64_t wh_table_skipped(const wh_table *table) {
    return table->n_skipped;
}

const char *wh_table_first_skipped(const wh_table *table) {
    return table->first_skipped;
}

int64_t wh_table_line(const wh_table *table, int64_t row) {
    return table->row[row].line;
}

static const char *field_of(const wh_table *table, int64_t row, wh_role role, size_t *length) {
    const wh_row *at = &table->row[row];
    if (length) *length = at->length[role];
    /* The names are borrowed from the options and may be gone by now: only whether they were set is
     * asked. */
    if (!table->column[role]) return NULL;
    size_t offset = at->offset;
    for (int before = 0; before < (int)role; before++)
        if (table->column[before]) offset += (size_t)at->length[before] + 1;
    return table->bytes + offset;
}

const char *wh_table_text(const wh_table *table, int64_t row, size_t *length) {
    return field_of(table, row, WH_ROLE_TEXT, length);
}

const char *wh_table_text_pair(const wh_table *table, int64_t row, size_t *length) {
    return field_of(table, row, WH_ROLE_PAIR, length);
}

const char *wh_table_label(const wh_table *table, int64_t row) {
    return field_of(table, row, WH_ROLE_LABEL, NULL);
}

const char *wh_table_client(const wh_table *table, int64_t row) {
    return field_of(table, row, WH_ROLE_CLIENT, NULL);
}
