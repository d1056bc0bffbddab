#include "host/json_util.h"

#include "host/atomic_file.h"
#include "host/input.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

static weft_status read_whole(wh_input *in, char **text, size_t *bytes, const char *path,
                              size_t max_bytes, weft_error *err) {
    if (!in->regular) return WEFT_FAIL(err, WEFT_E_DATA, "%s is not a regular file", path);
    if ((uint64_t)in->size > max_bytes)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s has %" PRId64 " bytes, more than the %zu allowed here", path, in->size,
                         max_bytes);
    char *data = malloc((size_t)in->size + 1);
    if (!data)
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the %" PRId64 " bytes of %s", in->size,
                         path);
    ptrdiff_t got = wh_input_read(in, data, (size_t)in->size);
    if (got < 0) {
        free(data);
        return WEFT_FAIL(err, WEFT_E_DATA, "cannot read %s: %s", path, in->why);
    }
    data[got] = '\0';
    *text = data;
    *bytes = (size_t)got;
    return WEFT_OK;
}

weft_status wh_file_read(char **text, size_t *bytes, const char *path, size_t max_bytes,
                         weft_error *err) {
    wh_input in;
    if (!wh_input_open(&in, path))
        return WEFT_FAIL(err, WEFT_E_DATA, "cannot open %s: %s", path, in.why);
    weft_status st = read_whole(&in, text, bytes, path, max_bytes, err);
    wh_input_close(&in);
    return st;
}

/* jansson recurses once per level; our bound comes first and says where. */
static weft_status check_depth(const char *text, size_t bytes, const char *where, weft_error *err) {
    int depth = 0, line = 1, column = 0;
    bool quoted = false;
    for (size_t i = 0; i < bytes; i++, column++) {
        char c = text[i];
        if (c == '\n') line++, column = -1;
        if (quoted) {
            if (c == '\\') i++, column++;
            if (c == '"') quoted = false;
            continue;
        }
        if (c == '"') quoted = true;
        if (c == '}' || c == ']') depth--;
        if ((c == '{' || c == '[') && ++depth > WH_JSON_MAX_DEPTH)
            return WEFT_FAIL(err, WEFT_E_DATA, "%s:%d:%d: nested deeper than %d levels", where,
                             line, column + 1, WH_JSON_MAX_DEPTH);
    }
    return WEFT_OK;
}

static weft_status parse(json_t **out, const char *text, size_t bytes, const char *where,
                         size_t flags, weft_error *err) {
    WEFT_TRY(check_depth(text, bytes, where, err));
    json_error_t e;
    bool memory_out;
    json_t *root = wh_json_decode(text, bytes, flags, &e, &memory_out);
    if (!root && !memory_out && json_error_code(&e) == json_error_numeric_overflow)
        root = wh_json_decode(text, bytes, flags | JSON_DECODE_INT_AS_REAL, &e, &memory_out);
    if (memory_out) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while reading %s", where);
    if (!root)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s:%d:%d: not valid JSON: %s", where,
                         e.line > 0 ? e.line : 1, e.column > 0 ? e.column : 1, e.text);
    *out = root;
    return WEFT_OK;
}

weft_status wh_json_parse(json_t **out, const char *text, size_t bytes, const char *where,
                          weft_error *err) {
    return parse(out, text, bytes, where, JSON_REJECT_DUPLICATES, err);
}

static weft_status load(json_t **out, const char *path, size_t max_bytes, size_t flags,
                        weft_error *err) {
    char *text = NULL;
    size_t bytes = 0;
    WEFT_TRY(wh_file_read(&text, &bytes, path, max_bytes, err));
    weft_status st = parse(out, text, bytes, path, flags, err);
    free(text);
    return st;
}

weft_status wh_json_load(json_t **out, const char *path, size_t max_bytes, weft_error *err) {
    return load(out, path, max_bytes, JSON_REJECT_DUPLICATES, err);
}

weft_status wh_json_load_lenient(json_t **out, const char *path, size_t max_bytes,
                                 weft_error *err) {
    return load(out, path, max_bytes, JSON_ALLOW_NUL, err);
}

/* ---- typed getters ---- */

bool wh_json_has(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return value && !json_is_null(value);
}

static weft_status wrong(const json_t *value, const char *where, const char *key,
                         const char *wanted, weft_error *err) {
    char found[64];
    if (!value) return WEFT_FAIL(err, WEFT_E_DATA, "%s: %s is missing", where, key);
    return WEFT_FAIL(err, WEFT_E_DATA, "%s: %s must be %s, not %s", where, key, wanted,
                     wh_json_brief(found, sizeof found, value));
}

bool wh_json_whole(const json_t *value, int64_t *out) {
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    double real = json_real_value(value);
    if (!json_is_real(value) || real > floor(real) || fabs(real) >= 9007199254740992.0)
        return false;
    *out = (int64_t)real;
    return true;
}

weft_status wh_json_int(const json_t *object, const char *where, const char *key, int64_t min,
                        int64_t max, int64_t *out, weft_error *err) {
    const json_t *value = json_object_get(object, key);
    int64_t n = 0;
    if (wh_json_whole(value, &n) && n >= min && n <= max) {
        *out = n;
        return WEFT_OK;
    }
    char wanted[96];
    (void)snprintf(wanted, sizeof wanted, "an integer from %" PRId64 " to %" PRId64, min, max);
    return wrong(value, where, key, wanted, err);
}

weft_status wh_json_number(const json_t *object, const char *where, const char *key, double *out,
                           weft_error *err) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) return wrong(value, where, key, "a number", err);
    *out = json_number_value(value);
    return WEFT_OK;
}

weft_status wh_json_bool(const json_t *object, const char *where, const char *key, bool *out,
                         weft_error *err) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_boolean(value)) return wrong(value, where, key, "true or false", err);
    *out = json_is_true(value);
    return WEFT_OK;
}

double wh_json_number_or_nan(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

int64_t wh_json_whole_or_zero(const json_t *object, const char *key) {
    return (int64_t)json_integer_value(json_object_get(object, key));
}

weft_status wh_json_string(const json_t *object, const char *where, const char *key,
                           const char **out, weft_error *err) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) return wrong(value, where, key, "a string", err);
    *out = json_string_value(value);
    return WEFT_OK;
}

weft_status wh_json_child(const json_t *object, const char *where, const char *key, json_type type,
                          json_t **out, weft_error *err) {
    json_t *value = json_object_get(object, key);
    if (!value || json_typeof(value) != type)
        return wrong(value, where, key, type == JSON_ARRAY ? "an array" : "an object", err);
    *out = value;
    return WEFT_OK;
}

/* ---- writing ---- */

json_t *wh_json_with(json_t *object, const char *key, json_t *value) {
    if (object && json_object_set_new(object, key, value) == 0) return object;
    if (!object) json_decref(value);
    json_decref(object);
    return NULL;
}

json_t *wh_json_real(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

void wh_json_add_string(wh_text *text, const char *s) {
    wh_text_add(text, "\"");
    for (const char *run = s;; s++) {
        unsigned char c = (unsigned char)*s;
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        wh_text_add_n(text, run, (size_t)(s - run));
        if (!c) break;
        if (c == '"' || c == '\\')
            wh_text_addf(text, "\\%c", c);
        else if (c == '\n')
            wh_text_add(text, "\\n");
        else
            wh_text_addf(text, "\\u%04x", c);
        run = s + 1;
    }
    wh_text_add(text, "\"");
}

static void new_line(wh_text *text, int indent, int level) {
    if (indent) wh_text_addf(text, "\n%*s", indent * level, "");
}

static void add_value(wh_text *text, const json_t *value, int indent, int level) {
    const char *comma = indent ? "," : ", ";
    switch (json_typeof(value)) {
    case JSON_OBJECT: {
        const char *key;
        json_t *child;
        size_t n = 0;
        json_t *object =
            json_incref((json_t *)(uintptr_t)value); /* the iterator wants it mutable */
        wh_text_add(text, "{");
        json_object_foreach(object, key, child) {
            if (n++) wh_text_add(text, comma);
            new_line(text, indent, level + 1);
            wh_json_add_string(text, key);
            wh_text_add(text, ": ");
            add_value(text, child, indent, level + 1);
        }
        if (n) new_line(text, indent, level);
        wh_text_add(text, "}");
        json_decref(object);
        break;
    }
    case JSON_ARRAY:
        wh_text_add(text, "[");
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (i) wh_text_add(text, comma);
            new_line(text, indent, level + 1);
            add_value(text, json_array_get(value, i), indent, level + 1);
        }
        if (json_array_size(value)) new_line(text, indent, level);
        wh_text_add(text, "]");
        break;
    case JSON_STRING:
        wh_json_add_string(text, json_string_value(value));
        break;
    case JSON_INTEGER:
        wh_text_addf(text, "%" PRId64, (int64_t)json_integer_value(value));
        break;
    case JSON_REAL:
        wh_text_add_real(text, json_real_value(value));
        break;
    case JSON_TRUE:
        wh_text_add(text, "true");
        break;
    case JSON_FALSE:
        wh_text_add(text, "false");
        break;
    case JSON_NULL:
        wh_text_add(text, "null");
        break;
    }
}

void wh_json_add(wh_text *text, const json_t *value, int indent) {
    if (value)
        add_value(text, value, indent, 0);
    else
        text->failed = true;
}

const char *wh_json_brief(char *out, size_t size, const json_t *value) {
    wh_text text = {0};
    wh_json_add(&text, value, 0);
    int n = text.failed || !text.data ? 0 : snprintf(out, size, "%s", text.data);
    if (n <= 0)
        (void)snprintf(out, size, "?");
    else if ((size_t)n >= size && size > 4) /* cut, and not inside a UTF-8 sequence */
        for (size_t at = size - 4;; at--)
            if (((unsigned char)out[at] & 0xc0u) != 0x80u || at == 0) {
                memcpy(out + at, "...", 4);
                break;
            }
    wh_text_free(&text);
    return out;
}

weft_status wh_json_save(const char *path, const json_t *value, weft_error *err) {
    if (!value) return WEFT_FAIL(err, WEFT_E_ARG, "no value to write to %s", path);
    wh_text text = {0};
    wh_json_add(&text, value, 2);
    wh_text_add(&text, "\n");
    weft_status st = wh_text_check(&text, path, err);
    if (st == WEFT_OK) st = wh_file_write(path, text.data, text.len, err);
    wh_text_free(&text);
    return st;
}
