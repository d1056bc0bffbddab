#include "host/compare_table.h"

#include "host/json_util.h"
#include "host/report.h"
#include "host/text_table.h"
#include "host/units.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_SUMMARY = 1 << 20 };

/* A run folder, or the path of a summary.json. *out is *owned*. */
static weft_status load(json_t **out, const char *word, weft_error *err) {
    struct stat info;
    bool folder = stat(word, &info) == 0 && S_ISDIR(info.st_mode);
    if (!folder) return wh_json_load(out, word, MAX_SUMMARY, err);
    char *path = wh_path_join(word, "summary.json");
    if (!path) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while reading %s", word);
    weft_status st = stat(path, &info) != 0
                         ? WEFT_FAIL(err, WEFT_E_DATA,
                                     "%s has no summary.json: not a run, or one that has not ended "
                                     "(weft report shows what there is of it)",
                                     word)
                         : wh_json_load(out, path, MAX_SUMMARY, err);
    free(path);
    return st;
}

weft_status wh_compare_load(json_t **out, const char *word, weft_error *err) {
    WEFT_TRY(load(out, word, err));
    if (json_is_object(*out) && json_object_get(*out, "rounds_done")) return WEFT_OK;
    json_decref(*out);
    *out = NULL;
    return WEFT_FAIL(err, WEFT_E_DATA, "%s: not the summary of a training run", word);
}

const char *wh_compare_text(const json_t *run, const char *key) {
    const char *text = json_string_value(json_object_get(run, key));
    return text ? text : "-";
}

/* The main metric, whatever the task; false when the run has no such part. */
static bool main_metric(const json_t *run, const char *part, double *metric, double *loss) {
    const json_t *m = json_object_get(run, part);
    if (!json_is_object(m)) return false;
    bool regression = json_object_get(m, "pearson") != NULL;
    *metric = wh_json_number_or_nan(m, wh_metrics_main_name(regression));
    *loss = wh_json_number_or_nan(m, "loss");
    return true;
}

/* A whole number; runs of an older version do not tell all. */
static void count_cell(wh_text_table *t, const json_t *run, const char *key) {
    char text[32] = "-";
    const double value = wh_json_number_or_nan(run, key);
    if (fabs(value) < 1e18) (void)wh_units_grouped(text, sizeof text, (int64_t)value);
    wh_text_table_cell(t, "%s", text);
}

static void metric_cells(wh_text_table *t, double metric, double loss) {
    char text[32];
    wh_text_table_cell(t, "%s", wh_units_metric(text, sizeof text, metric));
    wh_text_table_cell(t, "%s", wh_units_metric(text, sizeof text, loss));
}

static const char *const COUNTS[] = {"local_steps", "barriers", "bytes_up", "bytes_down"};

/* What the columns are; without any evaluation, training losses stand where metrics would. */
typedef struct columns {
    bool regression, evaluated;
    const wh_compare_points *points; /* NULL: runs of any kind */
} columns;

/* Columns that say which run it is. */
static int naming_columns(const columns *c) {
    return c->points ? 1 + c->points->n_keys : 3;
}

/* A baseline is a property of model and data: shown once, from the first run that has it. */
static void baseline_row(wh_text_table *t, json_t *const *runs, int n, const columns *c,
                         const char *part, const char *name) {
    double metric, loss;
    for (int i = 0; i < n; i++) {
        if (!main_metric(runs[i], part, &metric, &loss)) continue;
        wh_text_table_cell(t, "%s", name);
        for (int k = 0; k < naming_columns(c); k++) wh_text_table_cell(t, "-");
        metric_cells(t, metric, loss);
        for (int k = 0; k < 5; k++) wh_text_table_cell(t, "-");
        return;
    }
}

/* "12", or "3/12" of a run that was stopped. */
static void rounds_cell(wh_text_table *t, const json_t *run) {
    double done = wh_json_number_or_nan(run, "rounds_done"),
           planned = wh_json_number_or_nan(run, "num_rounds");
    const int64_t steps = wh_json_whole_or_zero(run, "total_steps");
    const bool by_steps = steps > 0 && wh_json_whole_or_zero(run, "local_steps") >= steps;
    if (isfinite(planned) && done != planned && !by_steps) {
        wh_text_table_cell(t, "%.0f/%.0f", done, planned);
    } else {
        wh_text_table_cell(t, "%.0f", done);
    }
}

static void run_row(wh_text_table *t, const json_t *run, int i, const columns *c) {
    const wh_compare_points *points = c->points;
    char text[32];
    double metric = (double)NAN, loss = (double)NAN;
    (void)main_metric(run, "federated", &metric, &loss);
    if (points) {
        wh_text_table_cell(t, "%s", points->label[i]);
        for (int k = 0; k < points->n_keys; k++)
            wh_text_table_cell(t, "%s", points->value[i * points->n_keys + k]);
    } else {
        wh_text_table_cell(t, "%s", wh_compare_text(run, "name"));
        wh_text_table_cell(t, "%s", wh_compare_text(run, "strategy"));
        wh_text_table_cell(t, "%.0f/%.0f", wh_json_number_or_nan(run, "clients_per_round"),
                           wh_json_number_or_nan(run, "num_clients"));
    }
    rounds_cell(t, run);
    if (c->evaluated) {
        metric_cells(t, metric, loss);
    } else {
        wh_text_table_cell(
            t, "%s", wh_units_metric(text, sizeof text, wh_json_number_or_nan(run, "train_loss")));
    }
    for (int k = 0; k < 4; k++) count_cell(t, run, COUNTS[k]);
    wh_text_table_cell(
        t, "%s", wh_units_seconds(text, sizeof text, wh_json_number_or_nan(run, "seconds_train")));
}

/* Any part that has metrics tells the task; runs of both kinds do not compare. */
static weft_status choose_columns(columns *c, json_t *const *runs, int n, weft_error *err) {
    static const char *const PARTS[] = {"federated", "majority", "linear_probe"};
    bool classification = false;
    *c = (columns){0};
    for (int i = 0; i < 3 * n; i++) {
        const json_t *m = json_object_get(runs[i / 3], PARTS[i % 3]);
        if (!json_is_object(m)) continue;
        c->evaluated = true;
        bool regression = json_object_get(m, "pearson") != NULL;
        c->regression |= regression;
        classification |= !regression;
    }
    if (!c->regression || !classification) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_DATA,
                     "the runs do not compare: some are classification, some regression");
}

weft_status wh_compare_check(json_t *const *runs, int n, weft_error *err) {
    columns c;
    return choose_columns(&c, runs, n, err);
}

static void head_row(wh_text_table *t, const columns *c) {
    static const char *const RUNS[] = {"run", "strategy", "clients"};
    static const char *const REST[] = {"local steps", "barriers", "bytes up", "bytes down",
                                       "training"};
    if (c->points) {
        wh_text_table_cell(t, "%s", c->points->head);
        for (int k = 0; k < c->points->n_keys; k++) wh_text_table_cell(t, "%s", c->points->key[k]);
    } else {
        for (int i = 0; i < 3; i++) wh_text_table_cell(t, "%s", RUNS[i]);
    }
    wh_text_table_cell(t, "rounds");
    if (c->evaluated) wh_text_table_cell(t, "%s", wh_metrics_main_name(c->regression));
    wh_text_table_cell(t, c->evaluated ? "loss" : "train loss");
    for (int i = 0; i < 5; i++) wh_text_table_cell(t, "%s", REST[i]);
}

weft_status wh_compare_table(wh_text *out, json_t *const *runs, int n,
                             const wh_compare_points *points, weft_error *err) {
    columns c;
    WEFT_TRY(choose_columns(&c, runs, n, err));
    c.points = points;
    wh_text_table t;
    char align[WH_TEXT_TABLE_COLUMNS + 1] = "ll";
    memset(align + 2, 'r', WH_TEXT_TABLE_COLUMNS - 2);
    if (points) memset(align, 'r', 2);
    align[naming_columns(&c) + (c.evaluated ? 8 : 7)] = '\0';
    wh_text_table_init(&t, align);
    head_row(&t, &c);
    if (c.evaluated) {
        baseline_row(&t, runs, n, &c, "majority",
                     c.regression ? "(training mean)" : "(majority class)");
        baseline_row(&t, runs, n, &c, "linear_probe", "(linear probe)");
    }
    for (int i = 0; i < n; i++) run_row(&t, runs[i], i, &c);
    wh_text_table_add(out, &t, "");
    wh_text_table_fini(&t);
    if (!c.evaluated && n > 0) wh_text_add(out, "No run was evaluated on test rows.\n");
    return wh_text_check(out, "the table", err);
}
