/* Between the files that read job files: config_yaml.c has the YAML and the options, sweep_yaml.c
 * the section `sweep`. */
#ifndef WEFT_HOST_CONFIG_YAML_PARTS_H
#define WEFT_HOST_CONFIG_YAML_PARTS_H

#include "host/config_yaml.h"

#include <yaml.h>

enum { WH_YAML_MAX_KEY = 160, WH_YAML_MAX_KEYS = 1024, WH_YAML_MAX_WHERE = 320 };

typedef struct wh_yaml_key {
    char path[WH_YAML_MAX_KEY]; /* canonical */
    size_t line;
} wh_yaml_key;

typedef struct wh_yaml_reader {
    weft_config *config;
    const char *name; /* of the file */
    yaml_parser_t parser;
    wh_yaml_key *seen;
    int n_seen;
    char path[WH_YAML_MAX_KEY]; /* dotted path of what is being read */
    char value[WH_YAML_MAX_VALUE];
    wh_sweep *sweep; /* never NULL */
    bool has_sweep;
    yaml_mark_t sweep_mark; /* of the section */
    weft_config *scratch;   /* checks the sweep's values; NULL before the first */
} wh_yaml_reader;

/* Fails with file:line:column of a mark. */
#define WH_YAML_FAIL(r, mark, err, format, ...)                                                    \
    WEFT_FAIL((err), WEFT_E_CONFIG, "%s:%zu:%zu: " format, (r)->name, (mark).line + 1,             \
              (mark).column + 1, __VA_ARGS__)

/* Reads the value of the key r->path, which stands at `key` in a mapping of that depth. */
typedef weft_status wh_yaml_value(wh_yaml_reader *r, yaml_mark_t key, int depth, weft_error *err);

/* The next event's type and place; the text of a scalar in r->value, which is empty otherwise. */
WEFT_NODISCARD weft_status wh_yaml_begin(wh_yaml_reader *r, yaml_event_type_t *type,
                                         yaml_mark_t *mark, weft_error *err);
/* Key and value pairs up to the end of the mapping whose start event was read at `start`; each key
 * is appended to r->path while its value is read. */
WEFT_NODISCARD weft_status wh_yaml_mapping(wh_yaml_reader *r, yaml_mark_t start, int depth,
                                           wh_yaml_value *value, weft_error *err);
/* [a, b] -> "a,b" in r->value, for options that take comma lists. The start event was read. */
WEFT_NODISCARD weft_status wh_yaml_list(wh_yaml_reader *r, const char *key, yaml_mark_t mark,
                                        weft_error *err);
/* Remember the key r->path; a second time is an error. Options count under their first name;
 * "model" is a section as well as another name of model.path, so the caller says which one is
 * meant. */
WEFT_NODISCARD weft_status wh_yaml_note_key(wh_yaml_reader *r, bool section, yaml_mark_t mark,
                                            weft_error *err);
/* r->value into the option `key` of a configuration. */
WEFT_NODISCARD weft_status wh_yaml_set(wh_yaml_reader *r, weft_config *config, const char *key,
                                       yaml_mark_t mark, weft_error *err);

/* The wh_yaml_value of the section `sweep` and of dotted keys that open with it; and what can be
 * checked only when all of it is read. */
WEFT_NODISCARD weft_status wh_sweep_yaml_value(wh_yaml_reader *r, yaml_mark_t key, int depth,
                                               weft_error *err);
WEFT_NODISCARD weft_status wh_sweep_yaml_end(wh_yaml_reader *r, weft_error *err);

#endif
