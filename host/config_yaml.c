#include "host/config_yaml.h"

#include "host/config_yaml_parts.h"
#include "host/input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool wh_config_is_list(const char *key) {
    static const char *const LISTS[] = {"lora.target_modules", "lora.modules_to_save",
                                        "data.labels"};
    for (size_t i = 0; i < sizeof LISTS / sizeof LISTS[0]; i++) {
        if (strcmp(LISTS[i], key) == 0) return true;
    }
    return false;
}

/* Next event; libyaml's own complaints (tabs, indentation, quotes, encoding) with their place. */
static weft_status next(wh_yaml_reader *r, yaml_event_t *event, weft_error *err) {
    if (yaml_parser_parse(&r->parser, event)) return WEFT_OK;
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR) {
        return WEFT_FAIL(err, WEFT_E_MEM, "%s: out of memory while reading YAML", r->name);
    }
    const char *problem = p->problem ? p->problem : "not YAML";
    if (p->error == YAML_READER_ERROR) {
        return WEFT_FAIL(err, WEFT_E_CONFIG, "%s: byte %zu: %s", r->name, p->problem_offset,
                         problem);
    }
    return WH_YAML_FAIL(r, p->problem_mark, err, "%s%s%s", problem, p->context ? " " : "",
                        p->context ? p->context : "");
}

/* Refuse what a job file does not use. */
static weft_status refuse_extras(wh_yaml_reader *r, const yaml_event_t *event, weft_error *err) {
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_ALIAS_EVENT) {
        return WH_YAML_FAIL(r, event->start_mark, err,
                            "alias *%.40s is not supported; repeat the value",
                            (const char *)event->data.alias.anchor);
    }
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor, tag = event->data.scalar.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor, tag = event->data.mapping_start.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor, tag = event->data.sequence_start.tag;
    }
    if (anchor) {
        return WH_YAML_FAIL(r, event->start_mark, err, "anchor &%.40s is not supported; remove it",
                            (const char *)anchor);
    }
    if (tag) {
        return WH_YAML_FAIL(r, event->start_mark, err, "tag %.60s is not supported; remove it",
                            (const char *)tag);
    }
    return WEFT_OK;
}

/* True for the name of a section, "lora". */
static bool is_section(const char *name) {
    for (size_t i = 0; i < weft_option_count(); i++) {
        if (strcmp(weft_option_at(i)->section, name) == 0) return true;
    }
    return false;
}

weft_status wh_yaml_note_key(wh_yaml_reader *r, bool section, yaml_mark_t mark, weft_error *err) {
    const weft_option *option = section ? NULL : weft_option_find(r->path, NULL);
    const char *canonical = option ? option->key : r->path;
    for (int i = 0; i < r->n_seen; i++) {
        if (strcmp(r->seen[i].path, canonical) == 0) {
            return WH_YAML_FAIL(r, mark, err, "%s is given twice, first on line %zu", canonical,
                                r->seen[i].line);
        }
    }
    if (r->n_seen == WH_YAML_MAX_KEYS) {
        return WH_YAML_FAIL(r, mark, err, "more than %d keys", (int)WH_YAML_MAX_KEYS);
    }
    wh_yaml_key *seen = &r->seen[r->n_seen++];
    (void)snprintf(seen->path, sizeof seen->path, "%s", canonical);
    seen->line = mark.line + 1;
    return WEFT_OK;
}

/* Text of a scalar into r->value at offset *used. A plain null is the empty text. */
static weft_status append_scalar(wh_yaml_reader *r, const yaml_event_t *event, size_t *used,
                                 weft_error *err) {
    const char *text = (const char *)event->data.scalar.value;
    size_t n = event->data.scalar.length;
    if (memchr(text, 0, n)) {
        return WH_YAML_FAIL(r, event->start_mark, err, "%s: the value holds a zero byte", r->path);
    }
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
        (strcmp(text, "null") == 0 || strcmp(text, "~") == 0 || strcmp(text, "Null") == 0 ||
         strcmp(text, "NULL") == 0)) {
        n = 0;
    }
    if (n >= WH_YAML_MAX_VALUE - *used) {
        return WH_YAML_FAIL(r, event->start_mark, err, "%s: the value is longer than %d bytes",
                            r->path, WH_YAML_MAX_VALUE - 1);
    }
    memcpy(r->value + *used, text, n);
    *used += n;
    r->value[*used] = '\0';
    return WEFT_OK;
}

weft_status wh_yaml_set(wh_yaml_reader *r, weft_config *config, const char *key, yaml_mark_t mark,
                        weft_error *err) {
    char where[WH_YAML_MAX_WHERE];
    (void)snprintf(where, sizeof where, "%.256s:%zu:%zu", r->name, mark.line + 1, mark.column + 1);
    return weft_config_set(config, key, r->value, where, err);
}

weft_status wh_yaml_list(wh_yaml_reader *r, const char *key, yaml_mark_t mark, weft_error *err) {
    const weft_option *option = weft_option_find(key, NULL);
    if (option && !wh_config_is_list(option->key)) {
        return WH_YAML_FAIL(r, mark, err, "%s takes one value, not a list", option->key);
    }
    size_t used = 0;
    r->value[0] = '\0';
    for (int n = 0;; n++) {
        yaml_event_t event;
        WEFT_TRY(next(r, &event, err));
        weft_status st = refuse_extras(r, &event, err);
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        if (st == WEFT_OK && !end) {
            size_t from = used + (n > 0);
            if (event.type != YAML_SCALAR_EVENT) {
                st = WH_YAML_FAIL(r, event.start_mark, err,
                                  "%s: a list here holds plain values only", r->path);
            } else if (from >= WH_YAML_MAX_VALUE) {
                st = WH_YAML_FAIL(r, event.start_mark, err, "%s: the list is too long", r->path);
            } else {
                if (n > 0) r->value[used] = ',';
                used = from;
                st = append_scalar(r, &event, &used, err);
                if (st == WEFT_OK && (used == from || strchr(r->value + from, ','))) {
                    st = WH_YAML_FAIL(r, event.start_mark, err,
                                      "%s: list items may not be empty or hold a comma", r->path);
                }
            }
        }
        yaml_event_delete(&event);
        if (st != WEFT_OK) return st;
        if (end) return WEFT_OK;
    }
}

weft_status wh_yaml_begin(wh_yaml_reader *r, yaml_event_type_t *type, yaml_mark_t *mark,
                          weft_error *err) {
    yaml_event_t event;
    size_t used = 0;
    WEFT_TRY(next(r, &event, err));
    *mark = event.start_mark;
    *type = event.type;
    r->value[0] = '\0';
    weft_status st = refuse_extras(r, &event, err);
    if (st == WEFT_OK && *type == YAML_SCALAR_EVENT) st = append_scalar(r, &event, &used, err);
    yaml_event_delete(&event);
    return st;
}

/* The value of the key r->path, which stands at `key`. */
static weft_status read_value(wh_yaml_reader *r, yaml_mark_t key, int depth, weft_error *err) {
    if (strncmp(r->path, "sweep", 5) == 0 && (r->path[5] == '\0' || r->path[5] == '.')) {
        return wh_sweep_yaml_value(r, key, depth, err);
    }
    yaml_event_type_t type;
    yaml_mark_t mark;
    WEFT_TRY(wh_yaml_begin(r, &type, &mark, err));

    /* `lora:` with every line below it commented out is an empty section. */
    bool empty = type == YAML_SCALAR_EVENT && r->value[0] == '\0';
    bool section = is_section(r->path) && (empty || type == YAML_MAPPING_START_EVENT);
    WEFT_TRY(wh_yaml_note_key(r, section, key, err));
    if (type == YAML_SEQUENCE_START_EVENT) WEFT_TRY(wh_yaml_list(r, r->path, mark, err));
    if (type != YAML_MAPPING_START_EVENT) {
        return section ? WEFT_OK : wh_yaml_set(r, r->config, r->path, mark, err);
    }
    const weft_option *option = section ? NULL : weft_option_find(r->path, NULL);
    if (option) return WH_YAML_FAIL(r, mark, err, "%s takes one value, not a mapping", option->key);
    return wh_yaml_mapping(r, mark, depth + 1, read_value, err);
}

weft_status wh_yaml_mapping(wh_yaml_reader *r, yaml_mark_t start, int depth, wh_yaml_value *value,
                            weft_error *err) {
    size_t base = strlen(r->path);
    if (depth > WH_YAML_MAX_DEPTH) {
        return WH_YAML_FAIL(r, start, err, "nested deeper than %d levels", WH_YAML_MAX_DEPTH);
    }
    for (;;) {
        yaml_event_t event;
        WEFT_TRY(next(r, &event, err));
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return WEFT_OK;
        }
        yaml_mark_t mark = event.start_mark;
        weft_status st = refuse_extras(r, &event, err);
        if (st == WEFT_OK && event.type != YAML_SCALAR_EVENT) {
            st = WH_YAML_FAIL(r, mark, err, "%s", "a key must be a plain name");
        }
        if (st == WEFT_OK) {
            const char *key = (const char *)event.data.scalar.value;
            size_t n = event.data.scalar.length;
            if (n == 0 || memchr(key, 0, n) || base + n + 2 > WH_YAML_MAX_KEY) {
                st = WH_YAML_FAIL(r, mark, err, "%s", "a key is empty or too long");
            } else {
                (void)snprintf(r->path + base, WH_YAML_MAX_KEY - base, "%s%s", base ? "." : "",
                               key);
            }
        }
        yaml_event_delete(&event);
        if (st == WEFT_OK) st = value(r, mark, depth, err);
        r->path[base] = '\0';
        if (st != WEFT_OK) return st;
    }
}

/* Reads up to and including the root of the first document; *is_empty when there is none. */
static weft_status read_root(wh_yaml_reader *r, bool *is_empty, weft_error *err) {
    *is_empty = false;
    for (;;) {
        yaml_event_t event;
        WEFT_TRY(next(r, &event, err));
        yaml_mark_t mark = event.start_mark;
        yaml_event_type_t type = event.type;
        weft_status st = refuse_extras(r, &event, err);
        bool blank = type == YAML_SCALAR_EVENT && event.data.scalar.length == 0;
        yaml_event_delete(&event);
        if (st != WEFT_OK) return st;
        if (type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_START_EVENT) continue;
        if (type == YAML_STREAM_END_EVENT || blank) {
            *is_empty = true;
            return WEFT_OK;
        }
        if (type == YAML_MAPPING_START_EVENT) return WEFT_OK;
        return WH_YAML_FAIL(r, mark, err, "%s",
                            "a job file is a mapping of options, such as lora: {r: 8}");
    }
}

/* After the first document nothing but the end may come. */
static weft_status read_end(wh_yaml_reader *r, weft_error *err) {
    for (;;) {
        yaml_event_t event;
        WEFT_TRY(next(r, &event, err));
        yaml_mark_t mark = event.start_mark;
        yaml_event_type_t type = event.type;
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT || type == YAML_NO_EVENT) return WEFT_OK;
        if (type != YAML_DOCUMENT_END_EVENT) {
            return WH_YAML_FAIL(r, mark, err, "%s",
                                "a second document starts here; a job file holds one");
        }
    }
}

weft_status wh_config_yaml_parse(weft_config *config, wh_sweep *sweep, const char *text, size_t n,
                                 const char *name, weft_error *err) {
    if (n > WH_YAML_MAX_BYTES) {
        return WEFT_FAIL(err, WEFT_E_CONFIG, "%s: %zu bytes; a job file has at most %d", name, n,
                         WH_YAML_MAX_BYTES);
    }
    weft_status st = WEFT_FAIL(err, WEFT_E_MEM, "%s: out of memory while reading YAML", name);
    wh_sweep checked = {0}; /* of callers that do not ask for it */
    wh_yaml_reader *r = calloc(1, sizeof *r);
    if (!r) return st;
    r->config = config;
    r->sweep = sweep ? sweep : &checked;
    r->name = name;
    r->seen = calloc(WH_YAML_MAX_KEYS, sizeof *r->seen);
    bool opened = r->seen && yaml_parser_initialize(&r->parser);
    if (!opened) goto out;
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, n);
    bool is_empty;
    yaml_mark_t start = {0};
    WEFT_TRY_GOTO(st, read_root(r, &is_empty, err), out);
    if (!is_empty) WEFT_TRY_GOTO(st, wh_yaml_mapping(r, start, 1, read_value, err), out);
    if (r->has_sweep) WEFT_TRY_GOTO(st, wh_sweep_yaml_end(r, err), out);
    st = read_end(r, err);
out:
    if (opened) yaml_parser_delete(&r->parser);
    weft_config_free(r->scratch);
    wh_sweep_free(&checked);
    free(r->seen);
    free(r);
    if (st == WEFT_OK && err) *err = (weft_error){0};
    return st;
}

weft_status wh_config_yaml_read(weft_config *config, wh_sweep *sweep, const char *path,
                                weft_error *err) {
    wh_input in;
    if (!wh_input_open(&in, path)) {
        return WEFT_FAIL(err, WEFT_E_CONFIG, "%s: cannot open the job file: %s", path, in.why);
    }
    weft_status st;
    char *text = malloc(WH_YAML_MAX_BYTES + 1);
    ptrdiff_t n = text ? wh_input_read(&in, text, WH_YAML_MAX_BYTES + 1) : 0;
    if (!text) {
        st = WEFT_FAIL(err, WEFT_E_MEM, "%s: out of memory", path);
    } else if (n < 0) {
        st = WEFT_FAIL(err, WEFT_E_CONFIG, "%s: cannot read the job file: %s", path, in.why);
    } else if (n > WH_YAML_MAX_BYTES) {
        st = WEFT_FAIL(err, WEFT_E_CONFIG, "%s: larger than %d bytes; is it a job file?", path,
                       WH_YAML_MAX_BYTES);
    } else {
        st = wh_config_yaml_parse(config, sweep, text, (size_t)n, path, err);
    }
    wh_input_close(&in);
    free(text);
    return st;
}
