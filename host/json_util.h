/* JSON in and out on top of jansson: bounded loading with errors that say where, typed getters that
 * name the key, and one way of writing that gives the same bytes for the same values on every
 * machine. */
#ifndef WH_JSON_UTIL_H
#define WH_JSON_UTIL_H

#include "engine/weft.h"
#include "host/text.h"

#include <jansson.h>

enum { WH_JSON_MAX_DEPTH = 64 };

/* Parses an object or array. Repeated keys, nesting deeper than WH_JSON_MAX_DEPTH, and text after
 * the end are refused. WEFT_E_DATA: "where:line:column: reason". *out is *own*ed (json_decref).
 * Integers beyond 64 bits (tokenizer_config.json has 1e30 written out) are read as reals. */
WEFT_NODISCARD weft_status wh_json_parse(json_t **out, const char *text, size_t bytes,
                                         const char *where, weft_error *err);

/* json_loadb that can tell lack of memory from a bad text: NULL with *memory_out, or with *error.
 */
json_t *wh_json_decode(const char *text, size_t bytes, size_t flags, json_error_t *error,
                       bool *memory_out);

/* The same from a file of at most max_bytes. WEFT_E_DATA also when it cannot be read. */
WEFT_NODISCARD weft_status wh_json_load(json_t **out, const char *path, size_t max_bytes,
                                        weft_error *err);

/* The same for tokenizer files, as HF reads them: of a repeated key the last value counts, and
 * strings may hold NUL. */
WEFT_NODISCARD weft_status wh_json_load_lenient(json_t **out, const char *path, size_t max_bytes,
                                                weft_error *err);

/* Reads a whole file, at most max_bytes. *text is *own*ed (free), NUL-terminated, bytes without the
 * NUL. WEFT_E_DATA: missing, unreadable, not a regular file, larger,
 * cut while it was read. */
WEFT_NODISCARD weft_status wh_file_read(char **text, size_t *bytes, const char *path,
                                        size_t max_bytes, weft_error *err);

/* ---- typed getters ----
 * `where` opens the message, usually the path. A missing key, null, or another type is WEFT_E_DATA
 * and the message shows the value found. For optional keys ask wh_json_has first: null counts as
 * absent. */
bool wh_json_has(const json_t *object, const char *key);
/* An integer, or a real without fraction below 2^53 (8.0; or any integer of a file that also holds
 * one beyond 64 bits). */
bool wh_json_whole(const json_t *value, int64_t *out);
WEFT_NODISCARD weft_status wh_json_int(const json_t *object, const char *where, const char *key,
                                       int64_t min, int64_t max, int64_t *out, weft_error *err);
WEFT_NODISCARD weft_status wh_json_number(const json_t *object, const char *where, const char *key,
                                          double *out, weft_error *err);
WEFT_NODISCARD weft_status wh_json_bool(const json_t *object, const char *where, const char *key,
                                        bool *out, weft_error *err);
/* *out lives as long as the object. */
WEFT_NODISCARD weft_status wh_json_string(const json_t *object, const char *where, const char *key,
                                          const char **out, weft_error *err);
WEFT_NODISCARD weft_status wh_json_child(const json_t *object, const char *where, const char *key,
                                         json_type type, json_t **out, weft_error *err);

/* For files that are only shown: NaN, and 0, when the object (or NULL) has no such number. */
double wh_json_number_or_nan(const json_t *object, const char *key);
int64_t wh_json_whole_or_zero(const json_t *object, const char *key);

/* ---- writing ---- */

/* The object with one more member, for building one in a row of calls: jansson's setters fail on
 * NULL, and on a NULL object, so the first failure frees everything and the result is NULL. Takes
 * both references. */
json_t *wh_json_with(json_t *object, const char *key, json_t *value);
/* A real, or null when it is not finite (JSON has no NaN). NULL when memory is out. */
json_t *wh_json_real(double value);
/* Appends the JSON text of a value. indent 0: one line, "key": value with ", " between, as Python's
 * json.dumps; else that many spaces per level, as json.dumps(indent=). Keys stay in insertion
 * order; reals as wh_real_text. */
void wh_json_add(wh_text *text, const json_t *value, int indent);
/* Appends a quoted JSON string. */
void wh_json_add_string(wh_text *text, const char *s);
/* A value as short text for a message: cut after a few dozen characters. Returns out. */
const char *wh_json_brief(char *out, size_t size, const json_t *value);
/* Writes a value with indent 2 and a final newline, atomically. WEFT_E_ARG for a NULL value
 * (jansson's way of saying that memory was out while it was built). */
WEFT_NODISCARD weft_status wh_json_save(const char *path, const json_t *value, weft_error *err);

#endif
