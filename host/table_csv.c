/* CSV (RFC 4180) and TSV with a header row. */
#include "host/table_parts.h"

#include <stdlib.h>
#include <string.h>

/* One record, decoded. Kept from record to record, so that its memory is taken once. */
typedef struct record {
    char *bytes; /* fields back to back, a NUL behind each */
    size_t used, room;
    size_t *end; /* offset of each field's NUL */
    size_t n_fields, end_room;
    int64_t line;      /* at which it begins */
    const char *fault; /* a bad row: what is wrong; NULL when fine */
    bool at_end;       /* there was none */
} record;

static bool add_byte_room(record *r, size_t more) {
    void *bytes = r->bytes;
    bool fits = wh_grow(&bytes, &r->room, r->used + more, 1);
    r->bytes = bytes;
    return fits;
}

static bool end_field(record *r) {
    void *end = r->end;
    bool fits = wh_grow(&end, &r->end_room, r->n_fields + 1, sizeof *r->end);
    r->end = end;
    if (!fits || !add_byte_room(r, 1)) return false;
    r->end[r->n_fields++] = r->used;
    r->bytes[r->used++] = '\0';
    return true;
}

static wh_field field_at(const record *r, size_t index) {
    size_t start = index ? r->end[index - 1] + 1 : 0;
    return (wh_field){r->bytes + start, r->end[index] - start};
}

typedef enum quoting { PLAIN = 0, QUOTED = 1, CLOSED = 2 } quoting;

/* Decodes one line of a record. `state` says where in a field it starts and ends; after a line that
 * ends QUOTED the record goes on. False: out of memory. */
static bool decode_line(record *r, const char *line, size_t length, char separator,
                        quoting *state) {
    const char quote = separator == '\t' ? '\0' : '"'; /* TSV knows no quotes */
    bool at_field_start = *state == PLAIN;
    if (!add_byte_room(r, length + 1)) return false;
    for (size_t i = 0; i < length; i++) {
        char c = line[i];
        if (*state == QUOTED) {
            if (c != '"')
                r->bytes[r->used++] = c;
            else if (i + 1 < length && line[i + 1] == '"')
                r->bytes[r->used++] = line[i++];
            else
                *state = CLOSED;
        } else if (c == separator) {
            /* end_field takes a byte that stands for this separator: room is never short */
            if (!end_field(r)) return false;
            *state = PLAIN;
            at_field_start = true;
        } else if (at_field_start && quote && c == quote) {
            *state = QUOTED;
            at_field_start = false;
        } else if (c == '\r' && i + 1 == length) {
            break;
        } else if (*state == CLOSED) {
            r->fault = "text after a closing quote (a quote inside a field is written twice)";
            return true;
        } else {
            r->bytes[r->used++] = c;
            at_field_start = false;
        }
    }
    return true;
}

static weft_status next_record(record *r, wh_lines *lines, char separator, weft_error *err) {
    quoting state = PLAIN;
    size_t bytes = 0;
    r->used = r->n_fields = 0;
    r->line = 0;
    r->fault = NULL;
    r->at_end = false;
    for (;;) {
        const char *line = NULL;
        size_t length = 0;
        WEFT_TRY(wh_lines_next(lines, &line, &length, err));
        if (!line && state == QUOTED)
            return WEFT_FAIL(
                err, WEFT_E_DATA,
                "%s:%lld: a quote in this row is never closed up to the end of the file",
                lines->path, (long long)r->line);
        if (!line) {
            r->at_end = true;
            return WEFT_OK;
        }
        if (r->line == 0 && (length == 0 || (length == 1 && line[0] == '\r'))) continue; /* blank */
        if (r->line == 0) r->line = lines->line;
        bytes += length + 1;
        if (bytes > (size_t)WH_TABLE_MAX_ROW + 1)
            return WEFT_FAIL(err, WEFT_E_DATA,
                             "%s:%lld: the row is longer than %d MiB: is a quote left open?",
                             lines->path, (long long)r->line, WH_TABLE_MAX_ROW >> 20);
        bool fits = decode_line(r, line, length, separator, &state);
        if (fits && r->fault) return WEFT_OK;
        if (fits && state == QUOTED)
            fits = add_byte_room(r, 1) && (r->bytes[r->used++] = '\n');
        else if (fits)
            fits = end_field(r);
        if (!fits)
            return WEFT_FAIL(err, WEFT_E_MEM, "%s:%lld: out of memory for a row of %zu bytes",
                             lines->path, (long long)r->line, bytes);
        if (state != QUOTED) return WEFT_OK;
    }
}

/* Where each used column stands in the header. */
static weft_status find_columns(size_t index[WH_ROLES], const wh_table *table, const record *header,
                                weft_error *err) {
    weft_status st = WEFT_OK;
    const char **have = calloc(header->n_fields, sizeof *have);
    if (!have) return WEFT_FAIL(err, WEFT_E_MEM, "%s: out of memory", table->path);
    for (size_t i = 0; i < header->n_fields; i++) have[i] = field_at(header, i).data;
    for (int role = 0; role < WH_ROLES && st == WEFT_OK; role++) {
        const char *column = table->column[role];
        size_t found = 0;
        for (size_t i = 0; column && i < header->n_fields; i++)
            if (strcmp(have[i], column) == 0 && found++ == 0) index[role] = i;
        if (column && found == 0) {
            char what[sizeof err->text];
            wh_missing_column(what, sizeof what, column, have, header->n_fields);
            st = WEFT_FAIL(err, WEFT_E_DATA, "%s:%lld: %s", table->path, (long long)header->line,
                           what);
        } else if (found > 1) {
            st =
                WEFT_FAIL(err, WEFT_E_DATA, "%s:%lld: column \"%s\" stands %zu times in the header",
                          table->path, (long long)header->line, column, found);
        }
    }
    free(have);
    return st;
}

static weft_status read_records(wh_table *table, wh_lines *lines, char separator, record *r,
                                weft_error *err) {
    size_t index[WH_ROLES] = {0};
    WEFT_TRY(next_record(r, lines, separator, err));
    if (r->at_end) return WEFT_OK;
    if (r->fault)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s:%lld: header: %s", table->path, (long long)r->line,
                         r->fault);
    WEFT_TRY(find_columns(index, table, r, err));
    size_t n_columns = r->n_fields;
    while (!wh_table_full(table)) {
        WEFT_TRY(next_record(r, lines, separator, err));
        if (r->at_end) break;
        if (r->fault) {
            WEFT_TRY(wh_table_bad_row(table, r->line, err, "%s", r->fault));
            continue;
        }
        if (r->n_fields != n_columns) {
            WEFT_TRY(wh_table_bad_row(table, r->line, err, "%zu fields, the header has %zu",
                                      r->n_fields, n_columns));
            continue;
        }
        wh_field field[WH_ROLES] = {{NULL, 0}};
        for (int role = 0; role < WH_ROLES; role++)
            if (table->column[role]) field[role] = field_at(r, index[role]);
        WEFT_TRY(wh_table_add(table, r->line, field, err));
    }
    return WEFT_OK;
}

weft_status wh_table_read_csv(wh_table *table, wh_lines *lines, char separator, weft_error *err) {
    record r = {0};
    weft_status st = read_records(table, lines, separator, &r, err);
    free(r.bytes);
    free(r.end);
    return st;
}
