/* The section `sweep` of a job file: `grid`, a mapping of options to lists of values, and `list`, a
 * list of mappings of options to one value each. Keys nest or are dotted, as elsewhere. */
#include "host/config_yaml_parts.h"

#include <string.h>

/* A sweep's complaint with its place before it. */
static weft_status placed(wh_yaml_reader *r, yaml_mark_t mark, weft_status st,
                          const weft_error *local, weft_error *err) {
    if (st == WEFT_E_CONFIG) return WH_YAML_FAIL(r, mark, err, "%s", local->text);
    if (st != WEFT_OK && err) *err = *local;
    return st;
}

/* r->value as the option's value in the choice being built. */
static weft_status add_value(wh_yaml_reader *r, const char *key, yaml_mark_t mark,
                             weft_error *err) {
    weft_error local = {0};
    if (!r->scratch) WEFT_TRY(weft_config_new(&r->scratch, err));
    WEFT_TRY(wh_yaml_set(r, r->scratch, key, mark, err));
    const weft_option *option = weft_option_find(key, NULL);
    const weft_status st =
        wh_sweep_add_set(r->sweep, option, weft_config_text(r->scratch, option->key), &local);
    return placed(r, mark, st, &local, err);
}

/* One value of an option: a scalar, or a list where the option takes comma lists. Its first event
 * was read. */
static weft_status read_one(wh_yaml_reader *r, const char *key, yaml_event_type_t type,
                            yaml_mark_t mark, weft_error *err) {
    if (type == YAML_SEQUENCE_START_EVENT) WEFT_TRY(wh_yaml_list(r, key, mark, err));
    if (type == YAML_MAPPING_START_EVENT)
        return WH_YAML_FAIL(r, mark, err, "%s: a mapping where a value should stand", r->path);
    return add_value(r, key, mark, err);
}

static weft_status begin_choice(wh_yaml_reader *r, yaml_mark_t mark, weft_error *err) {
    weft_error local = {0};
    return placed(r, mark, wh_sweep_add_choice(r->sweep, &local), &local, err);
}

static weft_status end_choice(wh_yaml_reader *r, yaml_mark_t mark, weft_error *err) {
    weft_error local = {0};
    return placed(r, mark, wh_sweep_end_choice(r->sweep, &local), &local, err);
}

/* ---- grid ---- */

static weft_status read_axis(wh_yaml_reader *r, const char *key, yaml_mark_t start,
                             weft_error *err) {
    WEFT_TRY(wh_sweep_add_axis(r->sweep, false, err));
    for (bool empty = true;; empty = false) {
        yaml_event_type_t type;
        yaml_mark_t mark;
        WEFT_TRY(wh_yaml_begin(r, &type, &mark, err));
        if (type == YAML_SEQUENCE_END_EVENT) {
            return empty ? WH_YAML_FAIL(r, start, err, "%s: the list of values is empty", r->path)
                         : WEFT_OK;
        }
        WEFT_TRY(begin_choice(r, mark, err));
        WEFT_TRY(read_one(r, key, type, mark, err));
        WEFT_TRY(end_choice(r, mark, err));
    }
}

/* A section of the grid or an option with its values; r->path is "sweep.grid." and its name. */
static weft_status read_grid(wh_yaml_reader *r, yaml_mark_t place, int depth, weft_error *err) {
    const char *key = r->path + strlen("sweep.grid.");
    yaml_event_type_t type;
    yaml_mark_t mark;
    WEFT_TRY(wh_yaml_begin(r, &type, &mark, err));
    WEFT_TRY(wh_yaml_note_key(r, true, place, err));
    if (type == YAML_MAPPING_START_EVENT)
        return wh_yaml_mapping(r, mark, depth + 1, read_grid, err);
    if (type == YAML_SEQUENCE_START_EVENT) return read_axis(r, key, mark, err);
    return WH_YAML_FAIL(r, mark, err, "%s takes a list of values, such as [%.40s]", r->path,
                        r->value[0] ? r->value : "1, 2");
}

/* ---- list ---- */

/* A section of an entry or an option with its value; r->path is "sweep.list." and its name. */
static weft_status read_entry(wh_yaml_reader *r, yaml_mark_t place, int depth, weft_error *err) {
    const char *key = r->path + strlen("sweep.list.");
    yaml_event_type_t type;
    yaml_mark_t mark;
    (void)place;
    WEFT_TRY(wh_yaml_begin(r, &type, &mark, err));
    if (type == YAML_MAPPING_START_EVENT)
        return wh_yaml_mapping(r, mark, depth + 1, read_entry, err);
    return read_one(r, key, type, mark, err);
}

static weft_status read_list(wh_yaml_reader *r, yaml_mark_t start, int depth, weft_error *err) {
    WEFT_TRY(wh_sweep_add_axis(r->sweep, true, err));
    for (bool empty = true;; empty = false) {
        yaml_event_type_t type;
        yaml_mark_t mark;
        WEFT_TRY(wh_yaml_begin(r, &type, &mark, err));
        if (type == YAML_SEQUENCE_END_EVENT) {
            return empty ? WH_YAML_FAIL(r, start, err, "%s", "sweep.list is empty") : WEFT_OK;
        }
        if (type != YAML_MAPPING_START_EVENT)
            return WH_YAML_FAIL(r, mark, err, "%s",
                                "an entry of sweep.list is a mapping of options, such as "
                                "{lora.r: 8, lora.alpha: 16}");
        WEFT_TRY(begin_choice(r, mark, err));
        WEFT_TRY(wh_yaml_mapping(r, mark, depth + 1, read_entry, err));
        WEFT_TRY(end_choice(r, mark, err));
    }
}

/* ---- the section ---- */

weft_status wh_sweep_yaml_value(wh_yaml_reader *r, yaml_mark_t key, int depth, weft_error *err) {
    const char *part = r->path + strlen("sweep");
    yaml_event_type_t type;
    yaml_mark_t mark;
    if (!r->has_sweep) r->sweep_mark = key;
    r->has_sweep = true;
    if (strncmp(part, ".grid.", 6) == 0) return read_grid(r, key, depth, err);
    const bool whole = part[0] == '\0', grid = strcmp(part, ".grid") == 0;
    if (!whole && !grid && strcmp(part, ".list") != 0)
        return WH_YAML_FAIL(r, key, err,
                            "unknown key '%s': a sweep holds grid (options with lists of values) "
                            "and list (mappings of options)",
                            r->path);
    WEFT_TRY(wh_yaml_begin(r, &type, &mark, err));
    WEFT_TRY(wh_yaml_note_key(r, true, key, err));
    if (whole || grid) {
        if (type != YAML_MAPPING_START_EVENT)
            return WH_YAML_FAIL(r, mark, err, "%s takes a mapping, such as %s", r->path,
                                whole ? "{grid: {lora.r: [4, 8]}}" : "{lora.r: [4, 8]}");
        return wh_yaml_mapping(r, mark, depth + 1, grid ? read_grid : wh_sweep_yaml_value, err);
    }
    if (type != YAML_SEQUENCE_START_EVENT)
        return WH_YAML_FAIL(r, mark, err, "%s",
                            "sweep.list takes a list of mappings, such as [{lora.r: 4}]");
    return read_list(r, mark, depth, err);
}

weft_status wh_sweep_yaml_end(wh_yaml_reader *r, weft_error *err) {
    weft_error local = {0};
    return placed(r, r->sweep_mark, wh_sweep_finish(r->sweep, &local), &local, err);
}
