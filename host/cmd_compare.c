/* weft compare: several finished runs side by side, from their summary.json. */
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
    weft_status st = wh_json_load(out, path, MAX_SUMMARY, err);
    free(path);
    return st;
}

static const char *text_of(const json_t *run, const char *key) {
    const char *text = json_string_value(json_object_get(run, key));
    return text ? text : "-";
}

static double number_of(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

/* The main metric, whatever the task; false when the run has no such part. */
static bool main_metric(const json_t *run, const char *part, double *metric, double *loss) {
    const json_t *m = json_object_get(run, part);
    if (!json_is_object(m)) return false;
    bool regression = json_object_get(m, "pearson") != NULL;
    *metric = number_of(m, wh_metrics_main_name(regression));
    *loss = number_of(m, "loss");
    return true;
}

static void wire_cell(wh_text_table *t, double bytes) {
    char text[32];
    wh_text_table_cell(t, "%s", wh_units_grouped(text, sizeof text, (int64_t)bytes));
}

static void metric_cells(wh_text_table *t, double metric, double loss) {
    char text[32];
    wh_text_table_cell(t, "%s", wh_units_metric(text, sizeof text, metric));
    wh_text_table_cell(t, "%s", wh_units_metric(text, sizeof text, loss));
}

/* A baseline is a property of model and data: shown once, from the first run that has it. */
static void baseline_row(wh_text_table *t, json_t *const *runs, int n, const char *part,
                         const char *name) {
    double metric, loss;
    for (int i = 0; i < n; i++) {
        if (!main_metric(runs[i], part, &metric, &loss)) continue;
        wh_text_table_cell(t, "%s", name);
        for (int c = 0; c < 3; c++) wh_text_table_cell(t, "-");
        metric_cells(t, metric, loss);
        for (int c = 0; c < 3; c++) wh_text_table_cell(t, "-");
        return;
    }
}

static void run_row(wh_text_table *t, const json_t *run) {
    char text[32];
    double metric = (double)NAN, loss = (double)NAN;
    (void)main_metric(run, "federated", &metric, &loss);
    wh_text_table_cell(t, "%s", text_of(run, "name"));
    wh_text_table_cell(t, "%s", text_of(run, "strategy"));
    wh_text_table_cell(t, "%.0f/%.0f", number_of(run, "clients_per_round"),
                       number_of(run, "num_clients"));
    wh_text_table_cell(t, "%.0f", number_of(run, "rounds_done"));
    metric_cells(t, metric, loss);
    wire_cell(t, number_of(run, "bytes_up"));
    wire_cell(t, number_of(run, "bytes_down"));
    wh_text_table_cell(t, "%s",
                       wh_units_seconds(text, sizeof text, number_of(run, "seconds_train")));
}

static weft_status print_table(json_t *const *runs, int n, weft_error *err) {
    int n_regression = 0;
    for (int i = 0; i < n; i++) {
        const json_t *m = json_object_get(runs[i], "federated");
        n_regression += json_object_get(m, "pearson") != NULL;
    }
    if (n_regression != 0 && n_regression != n) {
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "the runs do not compare: some are classification, some regression");
    }
    wh_text_table t;
    wh_text text = {0};
    wh_text_table_init(&t, "llrrrrrrr");
    static const char *const HEAD[] = {"run", "strategy", "clients", "rounds"};
    for (int c = 0; c < 4; c++) wh_text_table_cell(&t, "%s", HEAD[c]);
    wh_text_table_cell(&t, "%s", wh_metrics_main_name(n_regression > 0));
    static const char *const REST[] = {"loss", "bytes up", "bytes down", "training"};
    for (int c = 0; c < 4; c++) wh_text_table_cell(&t, "%s", REST[c]);
    baseline_row(&t, runs, n, "majority", n_regression ? "(training mean)" : "(majority class)");
    baseline_row(&t, runs, n, "linear_probe", "(linear probe)");
    for (int i = 0; i < n; i++) run_row(&t, runs[i]);
    wh_text_table_add(&text, &t, "");
    wh_text_table_fini(&t);
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

static weft_status run(const wh_cli *cli, weft_error *err) {
    json_t *runs[WH_CLI_MAX_WORDS] = {NULL};
    weft_status st = WEFT_OK;
    int n = 0;
    for (; n < cli->n_words; n++) {
        WEFT_TRY_GOTO(st, load(&runs[n], cli->word[n], err), out);
        if (!json_is_object(runs[n]) || !json_object_get(runs[n], "rounds_done")) {
            json_decref(runs[n]);
            st = WEFT_FAIL(err, WEFT_E_DATA, "%s: not the summary of a training run", cli->word[n]);
            goto out;
        }
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
        "per round, rounds, the main metric on the test rows, bytes on the wire, training\n"
        "time; the baselines of the first run that has them on top.",
    .example = "weft compare runs/iid runs/dirichlet runs/pooled",
    .min_words = 1,
    .max_words = WH_CLI_MAX_WORDS,
    .flags = WH_FLAG_FORMAT,
    .run = run,
};
