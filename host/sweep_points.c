#include "host/sweep_points.h"

#include "host/config_load.h"
#include "host/config_yaml.h"
#include "host/json_util.h"
#include "host/train_note.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { OWN_SETS = 2, MAX_SUMMARY = 1 << 20 }; /* run.output_dir and run.name */

static weft_status no_memory(weft_error *err) {
    return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the sweep");
}

/* ---- one point's configuration ---- */

/* The sweep's own arguments and what the point sets. */
static const wh_cli *point_cli(const wh_sweep_job *job, int64_t index) {
    const wh_sweep_set *set[WH_SWEEP_MAX_KEYS];
    const int n = wh_sweep_point(&job->sweep, index, set);
    wh_cli *cli = job->one_cli;
    cli->n_sets = job->cli->n_sets;
    for (int i = 0; i < n; i++) {
        wh_cli_set *to = &cli->set[cli->n_sets++]; /* room: wh_sweep_job_open looks */
        (void)snprintf(to->key, sizeof to->key, "%s", set[i]->option->key);
        to->value = set[i]->value;
    }
    return cli;
}

weft_status wh_sweep_config(weft_config **out, const wh_sweep_job *job, int64_t index,
                            weft_error *err) {
    return wh_config_load(out, job->path, point_cli(job, index), err);
}

/* ---- opening ---- */

/* "job" of some/job.yaml. */
static void add_stem(wh_text *to, const char *path) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    wh_text_add_n(to, base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

static weft_status choose_folder(wh_sweep_job *job, const weft_config *config, weft_error *err) {
    const char *name = weft_config_text(config, "run.name");
    const char *output = weft_config_text(config, "run.output_dir");
    wh_text text = {0};
    if (name[0]) wh_text_add(&text, name);
    if (!name[0]) add_stem(&text, job->path);
    char *own = wh_text_take(&text);
    if (!own) return no_memory(err);
    const bool plain = *own && !strchr(own, '/') && strcmp(own, ".") != 0 && strcmp(own, "..") != 0;
    if (plain) job->folder = wh_path_join(output[0] ? output : ".", own);
    free(own);
    if (!plain)
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "run.name must be a plain name: it names the folder of the sweep");
    if (!job->folder) return no_memory(err);
    if (!wh_folder_has(job->folder, "config.resolved.yaml")) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_OUTPUT,
                     "%s is the folder of a run: give the sweep another run.name", job->folder);
}

/* What is swept is not fixed as well, and all of it fits a command. */
static weft_status check_arguments(const wh_sweep_job *job, weft_error *err) {
    const wh_cli *cli = job->cli;
    for (int i = 0; i < cli->n_sets; i++) {
        const weft_option *option = weft_option_find(cli->set[i].key, NULL);
        for (int k = 0; k < job->sweep.n_keys; k++)
            if (job->sweep.key[k] == option)
                return WEFT_FAIL(err, WEFT_E_CONFIG,
                                 "%s is one of the options that %s sweeps: it cannot be set on the "
                                 "command line",
                                 option->key, job->path);
    }
    if (cli->n_sets + job->sweep.n_keys + OWN_SETS <= WH_CLI_MAX_SETS) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_CONFIG, "too many options on the command line");
}

static weft_status check_points(const wh_sweep_job *job, weft_error *err) {
    for (int64_t i = 0; i < job->sweep.n_points; i++) {
        weft_config *config = NULL;
        weft_error local = {0};
        const weft_status st = wh_sweep_config(&config, job, i, &local);
        weft_config_free(config);
        if (st == WEFT_OK) continue;
        wh_text words = {0};
        wh_sweep_words(&words, &job->sweep, i);
        (void)WEFT_FAIL(err, st, "point %" PRId64 " of %" PRId64 " (%.200s): %.250s", i + 1,
                        job->sweep.n_points, words.data ? words.data : "", local.text);
        wh_text_free(&words);
        return st;
    }
    return WEFT_OK;
}

weft_status wh_sweep_job_open(wh_sweep_job *job, const wh_cli *cli, weft_error *err) {
    weft_config *config = NULL;
    job->cli = cli;
    job->path = cli->word[0];
    job->one_cli = malloc(sizeof *job->one_cli);
    if (!job->one_cli) return no_memory(err);
    *job->one_cli = *cli;
    WEFT_TRY(wh_config_load_sweep(&config, &job->sweep, job->path, cli, err));
    weft_status st =
        job->sweep.n_points > 0
            ? check_arguments(job, err)
            : WEFT_FAIL(
                  err, WEFT_E_CONFIG,
                  "%s has no sweep: give it a section such as sweep: {grid: {lora.r: [4, 8]}}",
                  job->path);
    if (st == WEFT_OK) st = choose_folder(job, config, err);
    weft_config_free(config);
    return st == WEFT_OK ? check_points(job, err) : st;
}

void wh_sweep_job_close(wh_sweep_job *job) {
    wh_sweep_free(&job->sweep);
    free(job->folder);
    free(job->one_cli);
    *job = (wh_sweep_job){0};
}

/* ---- one point ---- */

char *wh_sweep_folder(const wh_sweep_job *job, int64_t index) {
    wh_text name = {0};
    wh_sweep_name(&name, &job->sweep, index);
    char *path = name.failed ? NULL : wh_path_join(job->folder, name.data);
    wh_text_free(&name);
    return path;
}

/* "key=value"; NULL when memory is out. */
static char *assignment(const char *key, const char *value) {
    wh_text text = {0};
    wh_text_addf(&text, "%s=%s", key, value);
    return wh_text_take(&text);
}

char **wh_sweep_command(const wh_sweep_job *job, int64_t index) {
    /* weft train job.yaml --resume auto --quiet --no-progress --format json NULL */
    enum { OTHERS = 10 };
    const wh_cli *cli = point_cli(job, index);
    const size_t cap = OTHERS + OWN_SETS + (size_t)cli->n_sets;
    char **argv = calloc(cap, sizeof *argv);
    if (!argv) return NULL;
    size_t n = 0;
    wh_text path = {0}, name = {0};
    /* A name such as a=b.yaml would be taken for an option. */
    wh_text_addf(&path, "%s%s", strchr(job->path, '/') ? "" : "./", job->path);
    wh_sweep_name(&name, &job->sweep, index);
    argv[n++] = strdup(cli->argv[0]);
    argv[n++] = strdup("train");
    argv[n++] = wh_text_take(&path);
    for (int i = 0; i < cli->n_sets; i++)
        argv[n++] = assignment(cli->set[i].key, cli->set[i].value);
    argv[n++] = assignment("run.output_dir", job->folder);
    argv[n++] = assignment("run.name", name.data ? name.data : "");
    argv[n++] = strdup("--resume");
    argv[n++] = strdup("auto");
    if (cli->quiet) argv[n++] = strdup("--quiet");
    if (cli->no_progress) argv[n++] = strdup("--no-progress");
    if (cli->json && cli->task >= 0) { /* else nobody sees it */
        argv[n++] = strdup("--format");
        argv[n++] = strdup("json");
    }
    bool complete = !name.failed;
    for (size_t i = 0; i < n; i++) complete = complete && argv[i];
    wh_text_free(&name);
    if (complete) return argv;
    for (size_t i = 0; i < n; i++) free(argv[i]);
    free(argv);
    return NULL;
}

void wh_sweep_command_free(char **argv) {
    for (size_t i = 0; argv && argv[i]; i++) free(argv[i]);
    free(argv);
}

/* A run ended when its summary says that no signal stopped it. */
static bool says_ended(const char *folder) {
    json_t *summary = NULL;
    char *path = wh_path_join(folder, "summary.json");
    const bool read = path && wh_json_load(&summary, path, MAX_SUMMARY, NULL) == WEFT_OK;
    const bool ended = read && wh_json_has(summary, "rounds_done") &&
                       json_is_null(json_object_get(summary, "stopped_by_signal"));
    json_decref(summary);
    free(path);
    return ended;
}

/* Whether a run folder's configuration has the results of the one given. The classes that the run
 * found in its rows stand in the first alone; where they did not fit a list, in neither. */
static bool is_same_job(const char *folder, weft_config *config) {
    weft_config *old = NULL;
    char *path = wh_path_join(folder, "config.resolved.yaml");
    weft_status st = path ? weft_config_new(&old, NULL) : WEFT_E_MEM;
    if (st == WEFT_OK) st = wh_config_yaml_read(old, NULL, path, NULL);
    if (st == WEFT_OK && !weft_config_text(config, "data.labels")[0])
        st = weft_config_set(config, "data.labels", weft_config_text(old, "data.labels"), NULL,
                             NULL);
    bool same = st == WEFT_OK && weft_config_finish(old, NULL) == WEFT_OK &&
                weft_config_finish(config, NULL) == WEFT_OK;
    for (size_t i = 0; same && i < weft_option_count(); i++) {
        const weft_option *option = weft_option_at(i);
        same = wh_option_is_conduct(option) || strcmp(weft_config_text(old, option->key),
                                                      weft_config_text(config, option->key)) == 0;
    }
    weft_config_free(old);
    free(path);
    return same;
}

weft_status wh_sweep_has_ended(bool *out, const wh_sweep_job *job, int64_t index, weft_error *err) {
    weft_config *config = NULL;
    *out = false;
    char *folder = wh_sweep_folder(job, index);
    if (!folder) return no_memory(err);
    weft_status st = WEFT_OK;
    if (says_ended(folder)) {
        st = wh_sweep_config(&config, job, index, err);
        *out = st == WEFT_OK && is_same_job(folder, config);
        weft_config_free(config);
    }
    free(folder);
    return st;
}
