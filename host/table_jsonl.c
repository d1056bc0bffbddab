/* JSON Lines: one object per line, parsed by jansson. */
#include "host/table_parts.h"

#include "host/json_util.h"
#include "host/number.h"

#include <string.h>

enum { MAX_KEYS_SHOWN = 32 };

static const char *type_name(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "unknown";
}

/* The value of a column as text; numbers and booleans are written into `number`. NULL: what is
 * wanted instead. */
static const char *take_value(wh_field *out, const json_t *value, wh_role role,
                              char number[WH_NUMBER_TEXT]) {
    if (json_is_string(value)) {
        *out = (wh_field){json_string_value(value), json_string_length(value)};
        return NULL;
    }
    if (role != WH_ROLE_LABEL && role != WH_ROLE_CLIENT) return "a string";
    if (json_is_integer(value))
        (void)snprintf(number, WH_NUMBER_TEXT, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (role == WH_ROLE_CLIENT)
        return "a string or an integer";
    else if (json_is_real(value))
        (void)wh_format_double(number, json_real_value(value));
    else if (json_is_boolean(value))
        (void)snprintf(number, WH_NUMBER_TEXT, "%s", json_is_true(value) ? "true" : "false");
    else
        return "a string, a number or a boolean";
    *out = (wh_field){number, strlen(number)};
    return NULL;
}

static weft_status bad_missing(wh_table *table, int64_t line, json_t *object, const char *column,
                               weft_error *err) {
    const char *have[MAX_KEYS_SHOWN];
    size_t n = 0;
    char what[sizeof err->text];
    for (void *at = json_object_iter(object); at && n < MAX_KEYS_SHOWN;
         at = json_object_iter_next(object, at))
        have[n++] = json_object_iter_key(at);
    wh_missing_column(what, sizeof what, column, have, n);
    return wh_table_bad_row(table, line, err, "%s", what);
}

static weft_status add_object(wh_table *table, int64_t line, json_t *object, weft_error *err) {
    if (!json_is_object(object))
        return wh_table_bad_row(table, line, err, "%s, expected a JSON object", type_name(object));
    wh_field field[WH_ROLES] = {{NULL, 0}};
    char number[WH_ROLES][WH_NUMBER_TEXT];
    for (int role = 0; role < WH_ROLES; role++) {
        const char *column = table->column[role];
        if (!column) continue;
        const json_t *value = json_object_get(object, column);
        if (!value) return bad_missing(table, line, object, column, err);
        const char *wanted = take_value(&field[role], value, (wh_role)role, number[role]);
        if (wanted)
            return wh_table_bad_row(table, line, err, "column \"%s\" is %s, expected %s", column,
                                    type_name(value), wanted);
    }
    return wh_table_add(table, line, field, err);
}

static bool is_blank(const char *line, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') return false;
    return true;
}

weft_status wh_table_read_jsonl(wh_table *table, wh_lines *lines, weft_error *err) {
    while (!wh_table_full(table)) {
        const char *line = NULL;
        size_t length = 0;
        WEFT_TRY(wh_lines_next(lines, &line, &length, err));
        if (!line) break;
        if (is_blank(line, length)) continue;
        json_error_t fault;
        bool memory_out;
        json_t *object =
            wh_json_decode(line, length, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
                           &fault, &memory_out);
        if (memory_out)
            return WEFT_FAIL(err, WEFT_E_MEM, "%s:%lld: out of memory for a row of %zu bytes",
                             table->path, (long long)lines->line, length);
        if (lines->line == 1 && line[0] == '[') {
            json_decref(object);
            return WEFT_FAIL(
                err, WEFT_E_DATA,
                "%s:1: a JSON array; one object per line is read (jq -c '.[]' converts)",
                table->path);
        }
        weft_status st = object
                             ? add_object(table, lines->line, object, err)
                             : wh_table_bad_row(table, lines->line, err, "not JSON (column %d): %s",
                                                fault.column, fault.text);
        json_decref(object);
        WEFT_TRY(st);
    }
    return WEFT_OK;
}
