#include "engine/config_parse.h"

#include "engine/parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- names ---- */

#define NAME_MAX_COMPARED 63 /* longer names are compared by their beginning */

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t edit_distance(const char *a, size_t na, const char *b, size_t nb) {
    size_t row[NAME_MAX_COMPARED + 1];
    na = min_size(na, NAME_MAX_COMPARED), nb = min_size(nb, NAME_MAX_COMPARED);
    for (size_t j = 0; j <= nb; j++) row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t substituted = diagonal + (lower(a[i - 1]) != lower(b[j - 1]));
            diagonal = row[j];
            row[j] = min_size(substituted, 1 + min_size(row[j], row[j - 1]));
        }
    }
    return row[nb];
}

/* The next of the option's names: the key, then each alias. *cursor starts as NULL. */
static bool next_name(const weft_option *option, const char **cursor, const char **name,
                      size_t *length) {
    if (!*cursor) {
        *name = option->key, *length = strlen(option->key);
        *cursor = option->aliases;
        return true;
    }
    *name = *cursor + strspn(*cursor, " ");
    *length = strcspn(*name, " ");
    *cursor = *name + *length;
    return *length > 0;
}

bool we_option_is_named(const weft_option *option, const char *key) {
    const char *cursor = NULL, *name = NULL;
    size_t length = 0, key_length = strlen(key);
    while (next_name(option, &cursor, &name, &length))
        if (length == key_length && memcmp(name, key, length) == 0) return true;
    return false;
}

size_t we_option_distance(const weft_option *option, const char *key) {
    const char *cursor = NULL, *name = NULL;
    size_t length = 0, key_length = strlen(key), best = SIZE_MAX;
    const char *dot = strchr(key, '.');
    size_t section = strlen(option->section), skip = dot ? (size_t)(dot - key) + 1 : 0;
    bool same_section = skip == section + 1 && memcmp(key, option->section, section) == 0;
    while (next_name(option, &cursor, &name, &length)) {
        best = min_size(best, edit_distance(key, key_length, name, length));
        const char *leaf_dot = memchr(name, '.', length);
        size_t leaf = leaf_dot ? (size_t)(leaf_dot - name) + 1 : 0;
        size_t d = edit_distance(key + skip, key_length - skip, name + leaf, length - leaf);
        best = min_size(best, d + (same_section ? 0 : 2));
    }
    return best;
}

/* ---- messages ---- */

#define SHOWN 80 /* bytes of a user's text in a message */

/* A user's text fit for one line: control characters replaced, cut at a character with "...". */
static const char *shown(char out[SHOWN + 4], const char *text) {
    size_t n = strlen(text), end = n;
    if (n > SHOWN) {
        end = SHOWN;
        while (end > 0 && ((unsigned char)text[end] & 0xc0u) == 0x80u) end--;
    }
    for (size_t i = 0; i < end; i++) {
        unsigned char c = (unsigned char)text[i];
        out[i] = c < 0x20 || c == 0x7f ? '?' : text[i];
    }
    memcpy(out + end, n > end ? "..." : "", n > end ? 4 : 1);
    return out;
}

/* "job.yaml:12:5: client.lr: " */
typedef struct prefix {
    char text[256];
} prefix;

static prefix make_prefix(const char *where, const char *key) {
    prefix p;
    char short_key[SHOWN + 4];
    (void)snprintf(p.text, sizeof p.text, "%s%s%s: ", where ? where : "", where ? ": " : "",
                   shown(short_key, key));
    return p;
}

weft_status we_option_unknown(const char *key, const char *nearest, const char *where,
                              weft_error *err) {
    char short_key[SHOWN + 4];
    return WEFT_FAIL(err, WEFT_E_CONFIG, "%s%sunknown option '%s'; did you mean %s?",
                     where ? where : "", where ? ": " : "", shown(short_key, key), nearest);
}

/* ---- values ---- */

static weft_status parse_int(const we_option_row *row, const char *value, const char *at,
                             int64_t *field, weft_error *err) {
    char text[SHOWN + 4];
    int64_t x = 0;
    we_parse st = we_parse_i64(value, &x);
    if (st == WE_PARSE_MALFORMED)
        return WEFT_FAIL(err, WEFT_E_CONFIG, "%s'%s' is not a whole number", at,
                         shown(text, value));
    if (st == WE_PARSE_RANGE || x < row->int_min || x > row->int_max)
        return WEFT_FAIL(err, WEFT_E_CONFIG, "%s%s is outside [%" PRId64 ", %" PRId64 "]", at,
                         shown(text, value), row->int_min, row->int_max);
    *field = x;
    return WEFT_OK;
}

static weft_status parse_uint(const we_option_row *row, const char *value, const char *at,
                              uint64_t *field, weft_error *err) {
    char text[SHOWN + 4];
    uint64_t x = 0;
    int64_t negative = 0;
    we_parse st = we_parse_u64(value, &x);
    if (st == WE_PARSE_MALFORMED && we_parse_i64(value, &negative) != WE_PARSE_MALFORMED)
        st = WE_PARSE_RANGE;
    if (st == WE_PARSE_MALFORMED)
        return WEFT_FAIL(err, WEFT_E_CONFIG, "%s'%s' is not a whole number", at,
                         shown(text, value));
    if (st == WE_PARSE_RANGE || x < row->uint_min || x > row->uint_max)
        return WEFT_FAIL(err, WEFT_E_CONFIG, "%s%s is outside [%" PRIu64 ", %" PRIu64 "]", at,
                         shown(text, value), row->uint_min, row->uint_max);
    *field = x;
    return WEFT_OK;
}

static weft_status parse_real(const we_option_row *row, const char *value, const char *at,
                              double *field, weft_error *err) {
    char text[SHOWN + 4], low[WE_F64_TEXT], high[WE_F64_TEXT];
    double x = 0;
    we_parse st = we_parse_f64(value, &x);
    if (st == WE_PARSE_MALFORMED)
        return WEFT_FAIL(err, WEFT_E_CONFIG, "%s'%s' is not a number (write it as 0.5 or 1e-3)", at,
                         shown(text, value));
    if (st == WE_PARSE_RANGE || x < row->real_min || x > row->real_max) {
        we_format_f64(low, row->real_min);
        we_format_f64(high, row->real_max);
        return WEFT_FAIL(err, WEFT_E_CONFIG, "%s%s is outside [%s, %s]", at, shown(text, value),
                         low, high);
    }
    *field = x;
    return WEFT_OK;
}

static bool same_word(const char *a, const char *b) {
    for (; *a && *b; a++, b++)
        if (lower(*a) != lower(*b)) return false;
    return *a == *b;
}

static weft_status parse_bool(const char *value, const char *at, bool *field, weft_error *err) {
    static const struct {
        const char *word;
        bool means;
    } foreign[] = {{"yes", true}, {"on", true},   {"y", true},  {"1", true},  {"true", true},
                   {"no", false}, {"off", false}, {"n", false}, {"0", false}, {"false", false}};
    char text[SHOWN + 4];
    if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0) {
        *field = value[0] == 't';
        return WEFT_OK;
    }
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (same_word(value, foreign[i].word))
            return WEFT_FAIL(err, WEFT_E_CONFIG, "%s'%s' is not a boolean here; write %s", at,
                             value, foreign[i].means ? "true" : "false");
    return WEFT_FAIL(err, WEFT_E_CONFIG, "%s'%s' is neither true nor false", at,
                     shown(text, value));
}

/* "a|b|c" as "a, b or c". */
static void list_choices(char *out, size_t size, const char *choices) {
    size_t n = 0;
    for (const char *at = choices; *at && n + 1 < size;) {
        size_t length = strcspn(at, "|");
        const char *rest = at + length;
        const char *separator = !*rest ? "" : (strchr(rest + 1, '|') ? ", " : " or ");
        int written = snprintf(out + n, size - n, "%.*s%s", (int)length, at, separator);
        if (written < 0) return;
        n += (size_t)written;
        at = *rest ? rest + 1 : rest;
    }
}

static weft_status parse_choice(const we_option_row *row, const char *value, const char *at,
                                int *field, weft_error *err) {
    size_t length = strlen(value);
    int index = 0;
    for (const char *c = row->option.choices;; c++, index++) {
        size_t n = strcspn(c, "|");
        if (n == length && memcmp(c, value, n) == 0) {
            *field = index;
            return WEFT_OK;
        }
        c += n;
        if (!*c) break;
    }
    char text[SHOWN + 4], choices[192];
    list_choices(choices, sizeof choices, row->option.choices);
    return WEFT_FAIL(err, WEFT_E_CONFIG, "%s'%s' is not one of %s", at, shown(text, value),
                     choices);
}

weft_status we_option_parse(const we_option_row *row, const char *key, const char *value,
                            const char *where, void *field, weft_error *err) {
    prefix at = make_prefix(where, key);
    switch (row->option.kind) {
    case WEFT_OPTION_INT:
        return parse_int(row, value, at.text, field, err);
    case WEFT_OPTION_UINT:
        return parse_uint(row, value, at.text, field, err);
    case WEFT_OPTION_REAL:
        return parse_real(row, value, at.text, field, err);
    case WEFT_OPTION_BOOL:
        return parse_bool(value, at.text, field, err);
    case WEFT_OPTION_ENUM:
        return parse_choice(row, value, at.text, field, err);
    case WEFT_OPTION_TEXT:
        break;
    }
    return WEFT_FAIL(err, WEFT_E_ARG, "%sa string is not parsed", at.text);
}
