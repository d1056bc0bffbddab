/* weft compare: several finished runs side by side, from their summary.json; drawn from their
 * metrics. */
#include "host/atomic_file.h"
#include "host/compare_page.h"
#include "host/json_util.h"
#include "host/output.h"
#include "host/report.h"
#include "host/text_table.h"
#include "host/units.h"
#include "host/verbs.h"

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

static const char *text_of(const json_t *run, const char *key) {
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
} columns;

/* A baseline is a property of model and data: shown once, from the first run that has it. */
static void baseline_row(wh_text_table *t, json_t *const *runs, int n, const char *part,
                         const char *name) {
    double metric, loss;
    for (int i = 0; i < n; i++) {
        if (!main_metric(runs[i], part, &metric, &loss)) continue;
        wh_text_table_cell(t, "%s", name);
        for (int c = 0; c < 3; c++) wh_text_table_cell(t, "-");
        metric_cells(t, metric, loss);
        for (int c = 0; c < 5; c++) wh_text_table_cell(t, "-");
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

static void run_row(wh_text_table *t, const json_t *run, const columns *c) {
    char text[32];
    double metric = (double)NAN, loss = (double)NAN;
    (void)main_metric(run, "federated", &metric, &loss);
    wh_text_table_cell(t, "%s", text_of(run, "name"));
    wh_text_table_cell(t, "%s", text_of(run, "strategy"));
    wh_text_table_cell(t, "%.0f/%.0f", wh_json_number_or_nan(run, "clients_per_round"),
                       wh_json_number_or_nan(run, "num_clients"));
    rounds_cell(t, run);
    if (c->evaluated) {
        metric_cells(t, metric, loss);
    } else {
        wh_text_table_cell(
            t, "%s", wh_units_metric(text, sizeof text, wh_json_number_or_nan(run, "train_loss")));
    }
    for (int i = 0; i < 4; i++) count_cell(t, run, COUNTS[i]);
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

static weft_status print_table(json_t *const *runs, int n, weft_error *err) {
    columns c;
    WEFT_TRY(choose_columns(&c, runs, n, err));
    wh_text_table t;
    wh_text text = {0};
    wh_text_table_init(&t, c.evaluated ? "llrrrrrrrrr" : "llrrrrrrrr");
    static const char *const HEAD[] = {"run", "strategy", "clients", "rounds"};
    for (int i = 0; i < 4; i++) wh_text_table_cell(&t, "%s", HEAD[i]);
    if (c.evaluated) wh_text_table_cell(&t, "%s", wh_metrics_main_name(c.regression));
    wh_text_table_cell(&t, c.evaluated ? "loss" : "train loss");
    static const char *const REST[] = {"local steps", "barriers", "bytes up", "bytes down",
                                       "training"};
    for (int i = 0; i < 5; i++) wh_text_table_cell(&t, "%s", REST[i]);
    if (c.evaluated) {
        baseline_row(&t, runs, n, "majority",
                     c.regression ? "(training mean)" : "(majority class)");
        baseline_row(&t, runs, n, "linear_probe", "(linear probe)");
    }
    for (int i = 0; i < n; i++) run_row(&t, runs[i], &c);
    wh_text_table_add(&text, &t, "");
    wh_text_table_fini(&t);
    if (!c.evaluated) wh_text_add(&text, "No run was evaluated on test rows.\n");
    return wh_output_text(&text, err);
}

static weft_status print_json(json_t *const *runs, int n, weft_error *err) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        if (json_array_append(list, runs[i]) != 0) {
            json_decref(list);
            list = NULL;
            break;
        }
    }
    return wh_output_json(list, err);
}

/* ---- the page ---- */

/* A run's name; its path when another run has that name too. */
static void choose_labels(const char **label, json_t *const *runs, const char *const *word, int n) {
    for (int i = 0; i < n; i++) {
        label[i] = text_of(runs[i], "name");
        for (int k = 0; k < n; k++)
            if (k != i && strcmp(text_of(runs[k], "name"), label[i]) == 0) {
                label[i] = word[i];
                break;
            }
    }
}

static weft_status draw(const wh_cli *cli, json_t *const *runs, int n, weft_error *err) {
    wh_run_view *view[WH_CLI_MAX_WORDS] = {NULL};
    const char *label[WH_CLI_MAX_WORDS];
    wh_text page = {0};
    weft_status st = WEFT_OK;
    for (int i = 0; i < n && st == WEFT_OK; i++)
        st = wh_run_view_read(&view[i], cli->word[i], false, err);
    if (st == WEFT_OK) {
        choose_labels(label, runs, cli->word, n);
        wh_compare_page(&page, view, label, n);
        st = wh_text_check(&page, cli->plot, err);
    }
    if (st == WEFT_OK) st = wh_file_write(cli->plot, page.data, page.len, err);
    for (int i = 0; i < n; i++) wh_run_view_free(view[i]);
    wh_text_free(&page);
    return st;
}

static weft_status run(const wh_cli *cli, weft_error *err) {
    json_t *runs[WH_CLI_MAX_WORDS] = {NULL};
    weft_status st = WEFT_OK;
    columns c;
    int n = 0;
    for (; n < cli->n_words; n++) {
        WEFT_TRY_GOTO(st, load(&runs[n], cli->word[n], err), out);
        if (!json_is_object(runs[n]) || !json_object_get(runs[n], "rounds_done")) {
            json_decref(runs[n]);
            st = WEFT_FAIL(err, WEFT_E_DATA, "%s: not the summary of a training run", cli->word[n]);
            goto out;
        }
    }
    if (cli->plot) {
        WEFT_TRY_GOTO(st, choose_columns(&c, runs, n, err), out);
        WEFT_TRY_GOTO(st, draw(cli, runs, n, err), out);
    }
    st = cli->json ? print_json(runs, n, err) : print_table(runs, n, err);
out:
    for (int i = 0; i < n; i++) json_decref(runs[i]);
    return st;
}

const wh_verb wh_verb_compare = {
    .name = "compare",
    .words = "RUN ...",
    .summary = "put several finished runs side by side",
    .details =
        "Reads summary.json of each run folder and prints one row per run: strategy, clients\n"
        "per round, rounds, the main metric on the test rows, local steps (of the client with\n"
        "the most, over the rounds), times that all clients wait for each other, bytes on the\n"
        "wire, training time; the baselines of the first run that has them on top. --plot\n"
        "draws quality by rounds, bytes, time and local steps, as one file that opens without\n"
        "a network.",
    .example = "weft compare runs/iid runs/dirichlet runs/pooled\n"
               "weft compare runs/* --plot compare.html",
    .min_words = 1,
    .max_words = WH_CLI_MAX_WORDS,
    .flags = WH_FLAG_FORMAT | WH_FLAG_PLOT,
    .run = run,
};
