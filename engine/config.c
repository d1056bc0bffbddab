/* The option table and the access to options by name. */
#include "engine/config.h"

#include "engine/config_parse.h"
#include "engine/parse.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* ---- table ---- */

/* Rows as declared; a section is a row without a key. */
static const we_option_row declared[] = {
#define SECTION(name, heading) {.option = {.section = #name, .title = (heading)}},
#define ROW(k, f, kind_, choices_, aliases_, help_, ...)                                           \
    {.option = {.key = (k),                                                                        \
                .kind = (kind_),                                                                   \
                .choices = (choices_),                                                             \
                .aliases = (aliases_),                                                             \
                .help = (help_)},                                                                  \
     .index = WE_OPTION_##f,                                                                       \
     .offset = offsetof(weft_config, f),                                                           \
     .set_offset = offsetof(weft_config, set.f),                                                   \
     __VA_ARGS__},
#define I(k, f, def, lo, hi, aliases, help)                                                        \
    ROW(k, f, WEFT_OPTION_INT, NULL, aliases, help, .int_min = (lo), .int_max = (hi))
#define U(k, f, def, lo, hi, aliases, help)                                                        \
    ROW(k, f, WEFT_OPTION_UINT, NULL, aliases, help, .uint_min = (lo), .uint_max = (hi))
#define F(k, f, def, lo, hi, aliases, help)                                                        \
    ROW(k, f, WEFT_OPTION_REAL, NULL, aliases, help, .real_min = (lo), .real_max = (hi))
#define B(k, f, def, aliases, help) ROW(k, f, WEFT_OPTION_BOOL, NULL, aliases, help, .int_max = 1)
#define S(k, f, def, aliases, help) ROW(k, f, WEFT_OPTION_TEXT, NULL, aliases, help, .int_max = 0)
#define E(k, f, def, type, choices, aliases, help)                                                 \
    ROW(k, f, WEFT_OPTION_ENUM, choices, aliases, help, .int_max = 0)
#include "engine/config.def"
#undef ROW
};

static const weft_config defaults = {
#define SECTION(name, title)
#define I(key, field, def, ...) .field = (def),
#define U(key, field, def, ...) .field = (def),
#define F(key, field, def, ...) .field = (def),
#define B(key, field, def, ...) .field = (def),
#define S(key, field, def, ...) .field = (def),
#define E(key, field, def, ...) .field = (def),
#include "engine/config.def"
};

/* Enums are read and written as int. */
#define SECTION(name, title)
#define I(...)
#define U(...)
#define F(...)
#define B(...)
#define S(...)
#define E(key, field, def, type, ...) _Static_assert(sizeof(type) == sizeof(int), key);
#include "engine/config.def"

/* What cannot be written in a constant initialiser: the section of a row, the default as text. */
static we_option_row table[WE_OPTION_COUNT];
static char preset_text[WE_OPTION_COUNT][WE_VALUE_TEXT];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static const void *field_of(const weft_config *config, const we_option_row *row) {
    return (const char *)config + row->offset;
}

static void copy_choice(char out[WE_VALUE_TEXT], const char *choices, int value) {
    for (; value > 0 && choices; value--) {
        choices = strchr(choices, '|');
        if (choices) choices++;
    }
    size_t n = choices ? strcspn(choices, "|") : 0;
    if (n >= WE_VALUE_TEXT) n = WE_VALUE_TEXT - 1;
    memcpy(out, choices ? choices : "", n);
    out[n] = '\0';
}

/* The canonical text of anything but a string. */
static void value_text(char out[WE_VALUE_TEXT], const weft_config *config,
                       const we_option_row *row) {
    const void *field = field_of(config, row);
    switch (row->option.kind) {
    case WEFT_OPTION_INT:
        snprintf(out, WE_VALUE_TEXT, "%" PRId64, *(const int64_t *)field);
        break;
    case WEFT_OPTION_UINT:
        snprintf(out, WE_VALUE_TEXT, "%" PRIu64, *(const uint64_t *)field);
        break;
    case WEFT_OPTION_REAL:
        we_format_f64(out, *(const double *)field);
        break;
    case WEFT_OPTION_BOOL:
        snprintf(out, WE_VALUE_TEXT, "%s", *(const bool *)field ? "true" : "false");
        break;
    case WEFT_OPTION_ENUM: {
        int value = 0;
        memcpy(&value, field, sizeof value);
        copy_choice(out, row->option.choices, value);
        break;
    }
    case WEFT_OPTION_TEXT:
        out[0] = '\0';
        break;
    }
}

static void build_table(void) {
    const char *section = "", *title = "";
    size_t n = 0;
    for (size_t i = 0; i < sizeof declared / sizeof *declared; i++) {
        if (!declared[i].option.key) {
            section = declared[i].option.section, title = declared[i].option.title;
            continue;
        }
        we_option_row *row = &table[n++];
        *row = declared[i];
        weft_option *option = &row->option;
        option->section = section, option->title = title;
        value_text(preset_text[row->index], &defaults, row);
        option->preset = preset_text[row->index];
        switch (option->kind) {
        case WEFT_OPTION_INT:
            option->min = (double)row->int_min, option->max = (double)row->int_max;
            break;
        case WEFT_OPTION_UINT:
            option->min = (double)row->uint_min, option->max = (double)row->uint_max;
            break;
        case WEFT_OPTION_REAL:
            option->min = row->real_min, option->max = row->real_max;
            break;
        case WEFT_OPTION_TEXT:
            memcpy(&option->preset, field_of(&defaults, row), sizeof option->preset);
            break;
        case WEFT_OPTION_BOOL:
        case WEFT_OPTION_ENUM:
            break;
        }
    }
}

static const we_option_row *row_at(size_t index) {
    (void)pthread_once(&table_once, build_table);
    return index < WE_OPTION_COUNT ? &table[index] : NULL;
}

size_t weft_option_count(void) {
    return WE_OPTION_COUNT;
}

const weft_option *weft_option_at(size_t index) {
    const we_option_row *row = row_at(index);
    return row ? &row->option : NULL;
}

/* Distances to all options cost far more than a look-up, so they are taken for a key that is
 * none. */
static const char *nearest_key(const char *key) {
    const char *best = "";
    size_t best_distance = SIZE_MAX;
    for (size_t i = 0; i < WE_OPTION_COUNT; i++) {
        size_t distance = we_option_distance(&row_at(i)->option, key);
        if (distance < best_distance) best = row_at(i)->option.key, best_distance = distance;
    }
    return best;
}

static const we_option_row *row_find(const char *key, const char **nearest) {
    for (size_t i = 0; i < WE_OPTION_COUNT; i++) {
        const we_option_row *row = row_at(i);
        if (!we_option_is_named(&row->option, key)) continue;
        if (nearest) *nearest = row->option.key;
        return row;
    }
    if (nearest) *nearest = nearest_key(key);
    return NULL;
}

const weft_option *weft_option_find(const char *key, const char **nearest) {
    const we_option_row *row = key ? row_find(key, nearest) : NULL;
    return row ? &row->option : NULL;
}

/* ---- a configuration ---- */

weft_status weft_config_new(weft_config **out, weft_error *err) {
    wk_ctx ctx;
    wk_ctx_init(&ctx, NULL);
    void *memory = NULL;
    if (wk_host_alloc(&ctx, &memory, 1, sizeof(weft_config), "the configuration") != WEFT_OK) {
        if (err) *err = ctx.err;
        return ctx.err.status;
    }
    weft_config *config = memory;
    *config = defaults;
    config->ctx = ctx;
    for (size_t i = 0; i < WE_OPTION_COUNT; i++) value_text(config->text[i], config, row_at(i));
    *out = config;
    return WEFT_OK;
}

void weft_config_free(weft_config *config) {
    if (!config) return;
    for (size_t i = 0; i < WE_OPTION_COUNT; i++) wk_host_free(&config->ctx, config->string[i]);
    wk_ctx ctx = config->ctx;
    wk_host_free(&ctx, config);
}

static weft_status put_string(weft_config *config, const we_option_row *row, const char *value) {
    void *copy = NULL;
    size_t bytes = strlen(value) + 1;
    WEFT_TRY(wk_host_alloc(&config->ctx, &copy, bytes, 1, row->option.key));
    memcpy(copy, value, bytes);
    wk_host_free(&config->ctx, config->string[row->index]);
    config->string[row->index] = copy;
    memcpy((char *)config + row->offset, &config->string[row->index], sizeof(char *));
    return WEFT_OK;
}

weft_status weft_config_set(weft_config *config, const char *key, const char *value,
                            const char *where, weft_error *err) {
    if (!config || !key || !value)
        return WEFT_FAIL(err, WEFT_E_ARG, "weft_config_set: config, key and value are needed");
    const char *nearest = "";
    const we_option_row *row = row_find(key, &nearest);
    if (!row) return we_option_unknown(key, nearest, where, err);
    if (row->option.kind == WEFT_OPTION_TEXT) {
        if (put_string(config, row, value) != WEFT_OK) {
            if (err) *err = config->ctx.err;
            return config->ctx.err.status;
        }
    } else {
        WEFT_TRY(we_option_parse(row, key, value, where, (char *)config + row->offset, err));
        value_text(config->text[row->index], config, row);
    }
    *(bool *)((char *)config + row->set_offset) = true;
    config->finished = false;
    return WEFT_OK;
}

void we_config_put_int(weft_config *config, int option, int64_t value) {
    const we_option_row *row = row_at((size_t)option);
    *(int64_t *)((char *)config + row->offset) = value;
    value_text(config->text[option], config, row);
}

void we_config_put_real(weft_config *config, int option, double value) {
    const we_option_row *row = row_at((size_t)option);
    *(double *)((char *)config + row->offset) = value;
    value_text(config->text[option], config, row);
}

void we_config_put_bool(weft_config *config, int option, bool value) {
    const we_option_row *row = row_at((size_t)option);
    *(bool *)((char *)config + row->offset) = value;
    value_text(config->text[option], config, row);
}

void we_config_put_choice(weft_config *config, int option, int value) {
    const we_option_row *row = row_at((size_t)option);
    memcpy((char *)config + row->offset, &value, sizeof value);
    value_text(config->text[option], config, row);
}

/* ---- reading by name ---- */

bool weft_config_is_set(const weft_config *config, const char *key) {
    const we_option_row *row = row_find(key, NULL);
    return row && *(const bool *)((const char *)config + row->set_offset);
}

const char *weft_config_text(const weft_config *config, const char *key) {
    const we_option_row *row = row_find(key, NULL);
    if (!row) return "";
    if (row->option.kind != WEFT_OPTION_TEXT) return config->text[row->index];
    const char *text = NULL;
    memcpy(&text, field_of(config, row), sizeof text);
    return text;
}

/* Integers are the exact value (a uint64 above 2^63 - 1 wraps: read it as text), a real is cut. */
int64_t weft_config_int(const weft_config *config, const char *key) {
    const we_option_row *row = row_find(key, NULL);
    if (!row) return 0;
    const void *field = field_of(config, row);
    int value = 0;
    switch (row->option.kind) {
    case WEFT_OPTION_INT:
        return *(const int64_t *)field;
    case WEFT_OPTION_UINT:
        return (int64_t) * (const uint64_t *)field;
    case WEFT_OPTION_BOOL:
        return *(const bool *)field;
    case WEFT_OPTION_ENUM:
        memcpy(&value, field, sizeof value);
        return value;
    case WEFT_OPTION_REAL:
        return (int64_t) * (const double *)field;
    case WEFT_OPTION_TEXT:
        break;
    }
    return 0;
}

double weft_config_real(const weft_config *config, const char *key) {
    const we_option_row *row = row_find(key, NULL);
    if (!row) return 0;
    const void *field = field_of(config, row);
    if (row->option.kind == WEFT_OPTION_REAL) return *(const double *)field;
    if (row->option.kind == WEFT_OPTION_UINT) return (double)*(const uint64_t *)field;
    return (double)weft_config_int(config, key);
}

bool weft_config_bool(const weft_config *config, const char *key) {
    return weft_config_int(config, key) != 0;
}
