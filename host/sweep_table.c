/* The table of a sweep's runs. */
#include "host/sweep_points.h"

#include "host/compare_table.h"
#include "host/output.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Runs that have a summary, and the cells that name them. */
typedef struct found {
    json_t **run;
    char **label; /* tasks */
    char **value; /* (n, n_keys) */
    int n;
    wh_text missing; /* tasks of the others, the first of them */
    int64_t n_missing;
} found;

static weft_status no_memory(weft_error *err) {
    return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while collecting runs");
}

static void found_free(found *f, int n_keys) {
    for (int i = 0; i < f->n; i++) {
        json_decref(f->run[i]);
        free(f->label[i]);
        for (int k = 0; k < n_keys; k++) free(f->value[i * n_keys + k]);
    }
    free(f->run);
    free(f->label);
    free(f->value);
    wh_text_free(&f->missing);
}

static char *number_text(int64_t value) {
    wh_text text = {0};
    wh_text_addf(&text, "%" PRId64, value);
    return wh_text_take(&text);
}

/* The value that a point has of each swept option, set by it or by the job. */
static weft_status fill_values(char **value, const wh_sweep_job *job, int64_t index,
                               weft_error *err) {
    weft_config *config = NULL;
    bool complete = true;
    WEFT_TRY(wh_sweep_config(&config, job, index, err));
    for (int k = 0; k < job->sweep.n_keys; k++) {
        const char *text = weft_config_text(config, job->sweep.key[k]->key);
        value[k] = strdup(text[0] ? text : "-");
        complete = complete && value[k];
    }
    weft_config_free(config);
    return complete ? WEFT_OK : no_memory(err);
}

json_t *wh_sweep_point_json(const wh_sweep_job *job, int64_t index) {
    const wh_sweep_set *set[WH_SWEEP_MAX_KEYS];
    const int n = wh_sweep_point(&job->sweep, index, set);
    json_t *o = json_object();
    for (int i = 0; i < n; i++)
        if (json_object_set_new(o, set[i]->option->key, json_string(set[i]->value)) != 0) {
            json_decref(o);
            return NULL;
        }
    return o;
}

static void note_missing(found *f, int64_t index) {
    enum { SHOWN = 20 };
    if (f->n_missing < SHOWN)
        wh_text_addf(&f->missing, "%s%" PRId64, f->n_missing ? ", " : "", index);
    else if (f->n_missing == SHOWN)
        wh_text_add(&f->missing, ", ...");
    f->n_missing++;
}

/* A summary appears whole or not at all. One that cannot be read counts as missing: its run may
 * just be replaced. */
static weft_status find(found *f, const wh_sweep_job *job, weft_error *err) {
    const int n_keys = job->sweep.n_keys;
    const size_t n = (size_t)job->sweep.n_points;
    f->run = calloc(n, sizeof *f->run);
    f->label = calloc(n, sizeof *f->label);
    f->value = calloc(n * (size_t)n_keys + 1, sizeof *f->value);
    if (!f->run || !f->label || !f->value) return no_memory(err);
    for (int64_t i = 0; i < job->sweep.n_points; i++) {
        weft_error local = {0};
        char *folder = wh_sweep_folder(job, i);
        if (!folder) return no_memory(err);
        const weft_status st = wh_compare_load(&f->run[f->n], folder, &local);
        free(folder);
        if (st == WEFT_E_MEM) return no_memory(err);
        if (st != WEFT_OK) {
            note_missing(f, i);
            continue;
        }
        json_t *run = f->run[f->n], *task = json_integer(i), *point = wh_sweep_point_json(job, i);
        const int k = f->n++;
        const bool told = json_object_set_new(run, "task", task) == 0;
        if (json_object_set_new(run, "point", point) != 0 || !told) return no_memory(err);
        f->label[k] = number_text(i);
        if (!f->label[k]) return no_memory(err);
        WEFT_TRY(fill_values(&f->value[k * n_keys], job, i, err));
    }
    return WEFT_OK;
}

static weft_status print_text(const found *f, const wh_sweep_job *job, weft_error *err) {
    const char *key[WH_SWEEP_MAX_KEYS];
    for (int k = 0; k < job->sweep.n_keys; k++) key[k] = job->sweep.key[k]->key;
    const wh_compare_points points = {.head = "task",
                                      .n_keys = job->sweep.n_keys,
                                      .key = key,
                                      .label = (const char *const *)f->label,
                                      .value = (const char *const *)f->value};
    wh_text text = {0};
    weft_status st = f->n > 0 ? wh_compare_table(&text, f->run, f->n, &points, err) : WEFT_OK;
    if (st != WEFT_OK) {
        wh_text_free(&text);
        return st;
    }
    if (f->n_missing > 0)
        wh_text_addf(&text, "%d of %" PRId64 " points in %s; without a summary: task %s\n", f->n,
                     job->sweep.n_points, job->folder, f->missing.data ? f->missing.data : "");
    return wh_output_text(&text, err);
}

static weft_status print_json(const found *f, weft_error *err) {
    json_t *list = json_array();
    for (int i = 0; i < f->n; i++) {
        if (json_array_append(list, f->run[i]) != 0) {
            json_decref(list);
            return no_memory(err);
        }
    }
    return wh_output_json(list, err);
}

weft_status wh_sweep_collect(const wh_sweep_job *job, weft_error *err) {
    found f = {0};
    weft_status st = find(&f, job, err);
    if (st == WEFT_OK) st = job->cli->json ? print_json(&f, err) : print_text(&f, job, err);
    found_free(&f, job->sweep.n_keys);
    return st;
}
