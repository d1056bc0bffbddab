#include "host/job.h"

#include "host/config_load.h"
#include "host/config_yaml.h"
#include "host/interrupt.h"
#include "host/partition_file.h"
#include "host/peft_folder.h"
#include "host/units.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- opening ---- */

static weft_status open_model(wh_job *job, bool weights, weft_error *err) {
    const char *path = weft_config_text(job->config, "model.path");
    if (!path[0]) {
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "model.path is not set: give a folder with config.json and safetensors");
    }
    WEFT_TRY(wh_model_folder_open(&job->model, path, weights, err));
    return wh_tokenizer_open(&job->tokenizer, wh_model_folder_path(job->model), err);
}

static void describe_rows(wh_job *job, const char *key, const wh_dataset *data) {
    char tokens[32];
    double n = (double)data->rows.offset[data->rows.n_rows];
    wh_log_info(&job->log,
                "%s: %" PRId64 " rows, %s tokens; %" PRId64 " rows reach the limit of %" PRId64,
                weft_config_text(job->config, key), data->rows.n_rows,
                wh_units_count(tokens, sizeof tokens, n), data->n_full,
                weft_config_int(job->config, "data.max_length"));
    if (data->n_skipped > 0) {
        wh_log_warn(&job->log, "%s: skipped %" PRId64 " malformed rows, the first: %s",
                    weft_config_text(job->config, key), data->n_skipped, data->first_skipped);
    }
}

static void tell_labels(wh_job *job) {
    if (!job->labels) return;
    char text[200] = "";
    size_t used = 0;
    for (int32_t i = 0; i < wh_labels_count(job->labels) && used < sizeof text; i++) {
        int n = snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? ", " : "",
                         wh_labels_name(job->labels, i));
        if (n > 0) used += (size_t)n;
    }
    wh_log_info(&job->log, "classes: %d (%s%s)", wh_labels_count(job->labels), text,
                used >= sizeof text ? " ..." : "");
    if (wh_labels_note(job->labels)[0]) {
        wh_log_warn(&job->log, "%s", wh_labels_note(job->labels));
    }
}

/* The classes belong to the resolved configuration, so that test rows alone can be evaluated later.
 * Names that a comma list of a job file cannot carry are left to the training rows. */
static weft_status keep_labels(wh_job *job, weft_error *err) {
    if (!job->labels || weft_config_text(job->config, "data.labels")[0]) return WEFT_OK;
    wh_text list = {0};
    bool plain = true;
    for (int32_t i = 0; i < wh_labels_count(job->labels); i++) {
        const char *name = wh_labels_name(job->labels, i);
        size_t n = strlen(name);
        plain = plain && n > 0 && !strchr(name, ',') && name[0] != ' ' && name[n - 1] != ' ';
        wh_text_addf(&list, "%s%s", i > 0 ? "," : "", name);
    }
    weft_status st = wh_text_check(&list, "the class names", err);
    plain = plain && list.len < WH_YAML_MAX_VALUE; /* else the job file could not be read again */
    if (st == WEFT_OK && plain)
        st = weft_config_set(job->config, "data.labels", list.data, NULL, err);
    if (st == WEFT_OK) st = weft_config_finish(job->config, err);
    wh_text_free(&list);
    return st;
}

static int tokenizer_threads(const weft_config *config) {
    int64_t threads = weft_config_int(config, "run.threads");
    if (threads == 0) threads = sysconf(_SC_NPROCESSORS_ONLN);
    return threads < 1 ? 1 : threads > 64 ? 64 : (int)threads;
}

/* Training rows also decide the label vocabulary, so they come first. */
static weft_status open_rows(wh_job *job, unsigned needs, weft_error *err) {
    int threads = tokenizer_threads(job->config);
    const char *test = weft_config_text(job->config, "data.test");
    bool want_test = (needs & WH_JOB_TEST) && test[0];
    bool regression = strcmp(weft_config_text(job->config, "data.task"), "regression") == 0;
    bool knows_labels = regression || weft_config_text(job->config, "data.labels")[0];
    bool train = (needs & WH_JOB_TRAIN) || (want_test && !knows_labels);
    if (train) {
        if (!weft_config_text(job->config, "data.train")[0]) {
            return WEFT_FAIL(err, WEFT_E_CONFIG,
                             "data.train is not set: give a .jsonl, .csv or .tsv file");
        }
        WEFT_TRY(wh_dataset_load(&job->train, job->config, WEFT_SPLIT_TRAIN, job->tokenizer,
                                 &job->labels, threads, err));
        job->has_train = true;
        describe_rows(job, "data.train", &job->train);
        tell_labels(job);
        WEFT_TRY(keep_labels(job, err));
    }
    if (!want_test) return WEFT_OK;
    WEFT_TRY(wh_dataset_load(&job->test, job->config, WEFT_SPLIT_TEST, job->tokenizer, &job->labels,
                             threads, err));
    job->has_test = true;
    describe_rows(job, "data.test", &job->test);
    return WEFT_OK;
}

static weft_status open_partition(wh_job *job, weft_error *err) {
    const char *path = weft_config_text(job->config, "partition.file");
    if (path[0]) {
        WEFT_TRY(wh_partition_load(&job->partition, path, &job->train.rows, err));
        job->partition_is_loaded = true;
    } else {
        WEFT_TRY(weft_partition_build(&job->partition, job->config, &job->train.rows, err));
    }
    int64_t cohort = weft_config_int(job->config, "fl.clients_per_round");
    if (cohort > job->partition->n_clients) {
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "fl.clients_per_round=%" PRId64 " is more than the %d clients of the "
                         "partition: lower it",
                         cohort, job->partition->n_clients);
    }
    return WEFT_OK;
}

/* The section `sweep` belongs to weft sweep, whose runs set swept options on the command line. */
static void tell_sweep(wh_job *job, const wh_sweep *sweep, const char *path, const wh_cli *cli) {
    for (int i = 0; i < cli->n_sets; i++) {
        const weft_option *option = weft_option_find(cli->set[i].key, NULL);
        for (int k = 0; k < sweep->n_keys; k++)
            if (sweep->key[k] == option) return;
    }
    wh_log_warn(&job->log,
                "%s holds a sweep of %" PRId64 " points: here the settings outside of it count; "
                "weft sweep runs them",
                path, sweep->n_points);
}

static weft_status load_config(wh_job *job, const char *path, const wh_cli *cli, weft_error *err) {
    wh_sweep sweep = {0};
    const weft_status st = wh_config_load_sweep(&job->config, &sweep, path, cli, err);
    if (st == WEFT_OK && sweep.n_points > 0) tell_sweep(job, &sweep, path, cli);
    wh_sweep_free(&sweep);
    return st;
}

static weft_status open_all(wh_job *job, const char *path, const wh_cli *cli, unsigned needs,
                            weft_error *err) {
    WEFT_TRY(load_config(job, path, cli, err));
    if (needs & (WH_JOB_MODEL | WH_JOB_WEIGHTS | WH_JOB_TRAIN | WH_JOB_TEST)) {
        WEFT_TRY(open_model(job, needs & WH_JOB_WEIGHTS, err));
    }
    const double start = wh_clock();
    if (needs & (WH_JOB_TRAIN | WH_JOB_TEST)) WEFT_TRY(open_rows(job, needs, err));
    const double read = wh_clock();
    if (needs & WH_JOB_TRAIN) WEFT_TRY(open_partition(job, err));
    job->rows_seconds = read - start, job->partition_seconds = wh_clock() - read;
    return WEFT_OK;
}

weft_status wh_job_open(wh_job *job, const char *path, const wh_cli *cli, unsigned needs,
                        weft_error *err) {
    memset(job, 0, sizeof *job);
    wh_log_init(&job->log, cli->quiet);
    wh_progress_init(&job->progress, &job->log, cli->quiet || cli->no_progress);
    weft_status st = open_all(job, path, cli, needs, err);
    if (st != WEFT_OK) wh_job_close(job);
    return st;
}

void wh_job_close(wh_job *job) {
    wh_progress_end(&job->progress);
    if (job->partition_is_loaded) {
        wh_partition_free(job->partition);
    } else {
        weft_partition_free(job->partition);
    }
    wh_dataset_free(&job->train);
    wh_dataset_free(&job->test);
    wh_labels_free(job->labels);
    wh_tokenizer_close(job->tokenizer);
    wh_model_folder_close(job->model);
    weft_config_free(job->config);
    wh_log_fini(&job->log);
    wh_state_file_close(&job->state);
    memset(job, 0, sizeof *job);
}

/* ---- for the engine ---- */

/* Rounds of this process to the end of the run, after `done` of them: where local steps may end it
 * earlier, as many as these take at their mean length so far; NaN before there is one. */
static double all_rounds(const wh_job *job, int64_t done) {
    const wh_progress_state *s = &job->progress.state;
    const double most = (double)(s->num_rounds - job->first_round + 1);
    if (s->total_steps == 0) return most;
    const double steps = (double)(s->steps - job->first_steps);
    if (done <= 0 || !(steps > 0.0)) return (double)NAN;
    return fmin(most, (double)(s->total_steps - job->first_steps) / steps * (double)done);
}

/* Time to the end of the run, counting the share of the round that is done. */
static void estimate(wh_job *job, weft_phase phase) {
    wh_progress_state *s = &job->progress.state;
    if (job->loop_started <= 0.0) return;
    const bool in_round = phase == WEFT_PHASE_TRAIN;
    double part = !in_round ? 1.0 : s->total > 0 ? (double)s->done / (double)s->total : 0.0;
    double rounds = (double)(s->round - job->first_round) + part;
    double all = all_rounds(job, s->round - job->first_round + !in_round);
    /* The first instants of a run say nothing about its length. */
    if (isnan(all) || (rounds * 200.0 < all && rounds < 0.5)) return;
    s->seconds_left = wh_progress_left(wh_clock() - job->loop_started, rounds, all);
}

static bool on_tick(void *ud, weft_phase phase, int64_t done, int64_t total) {
    wh_job *job = ud;
    static const char *const LABEL[] = {"training", "evaluating", "linear probe"};
    char where[64];
    job->progress.state.label = LABEL[phase];
    job->progress.state.done = done;
    job->progress.state.total = total;
    estimate(job, phase);
    wh_progress_tick(&job->progress);
    (void)snprintf(where, sizeof where, "round %" PRId64 ", %s", job->progress.state.round,
                   LABEL[phase]);
    return wh_ranks_go_on(job->ranks, wh_interrupt_signal(), where);
}

static void on_log(void *ud, weft_log_level level, const char *module, const char *text) {
    wh_job *job = ud;
    wh_log_hook(&job->log, level, module, text);
}

static weft_status on_store_write(void *ud, int64_t record, const void *data, size_t bytes,
                                  weft_error *err) {
    wh_job *job = ud;
    return wh_state_file_write(&job->state, record, data, bytes, err);
}

static weft_status on_store_read(void *ud, int64_t record, void *data, size_t bytes,
                                 weft_error *err) {
    wh_job *job = ud;
    return wh_state_file_read(&job->state, record, data, bytes, err);
}

/* The driver is asked only when its answer can matter: that takes a fraction of a second where
 * there is one. */
static const wh_plugin *find_plugin(wh_job *job) {
    const char *device = weft_config_text(job->config, "run.device");
    if (strcmp(device, "auto") != 0 && strncmp(device, "cuda", 4) != 0) return NULL;
    if (!job->has_looked) wh_plugin_open(&job->plugin, NULL, NULL);
    job->has_looked = true;
    return &job->plugin;
}

weft_status wh_job_choose_device(wh_job *job, weft_error *err) {
    char device[32];
    const wh_plugin *plugin = job->ranks ? find_plugin(job) : NULL;
    if (!plugin || !plugin->backend || plugin->devices < 2 ||
        strchr(weft_config_text(job->config, "run.device"), ':'))
        return WEFT_OK;
    (void)snprintf(device, sizeof device, "cuda:%d", wh_ranks_local(job->ranks) % plugin->devices);
    WEFT_TRY(weft_config_set(job->config, "run.device", device, NULL, err));
    return weft_config_finish(job->config, err);
}

weft_engine_options wh_job_engine_options(wh_job *job) {
    weft_engine_options options = WEFT_ENGINE_OPTIONS_INIT;
    options.config = job->config;
    options.model = wh_model_folder_source(job->model);
    options.train = job->has_train && job->partition ? &job->train.rows : NULL;
    options.test = job->has_test ? &job->test.rows : NULL;
    options.partition = job->partition;
    const wh_plugin *plugin = find_plugin(job);
    options.comm = wh_ranks_comm(job->ranks);
    if (plugin) options.backend = plugin->backend, options.backend_note = plugin->note;
    options.hooks.ud = job;
    options.hooks.log = on_log;
    options.hooks.tick = on_tick;
    options.hooks.store_write = on_store_write;
    options.hooks.store_read = on_store_read;
    return options;
}

void wh_job_tell_device(wh_job *job, const weft_engine_info *info) {
    wh_log_info(&job->log, "device: %s (%s), %s, %d thread%s; %s", info->backend,
                info->backend_note, info->hidden_dtype, info->threads,
                info->threads == 1 ? "" : "s", info->device_reason);
}

bool wh_job_has_checks(const wh_job *job) {
    return strcmp(weft_config_text(job->config, "fl.sync"), "fixed") != 0;
}

int32_t wh_job_clients(const wh_job *job) {
    return job->partition ? job->partition->n_clients
                          : (int32_t)weft_config_int(job->config, "fl.num_clients");
}

void wh_job_dataset_name(char *out, size_t n, const wh_job *job) {
    const char *path = weft_config_text(job->config, "data.train");
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    size_t length = dot && dot > base ? (size_t)(dot - base) : strlen(base);
    /* "sst2/train.csv" is better called by its folder. */
    bool generic = length == 5 && strncmp(base, "train", 5) == 0 && slash && slash > path;
    if (generic) {
        const char *folder = slash;
        while (folder > path && folder[-1] != '/') folder--;
        length = (size_t)(slash - folder);
        base = folder;
    }
    (void)snprintf(out, n, "%.*s", (int)(length < 200 ? length : 200), base);
}

/* ---- adapters ---- */

/* Views and a zeroed flat adapter, both *owned* by the caller. */
static weft_status adapter_buffers(const weft_engine *engine, const weft_engine_info *info,
                                   weft_view **views, float **flat, weft_error *err) {
    *views = calloc((size_t)info->n_views + 1, sizeof **views);
    *flat = calloc((size_t)info->adapter_size + 1, sizeof **flat);
    if (!*views || !*flat) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the adapter");
    for (int32_t i = 0; i < info->n_views; i++) {
        const weft_view *view = weft_engine_view(engine, i);
        if (!view) return WEFT_FAIL(err, WEFT_E_ARG, "adapter view %d is missing", i);
        (*views)[i] = *view;
    }
    return WEFT_OK;
}

static wh_peft_info peft_info(const wh_job *job, const weft_engine_info *info, const char *card) {
    return (wh_peft_info){.base_model = wh_model_folder_id(job->model),
                          .task_type = "SEQ_CLS",
                          .r = info->lora_r,
                          .alpha = info->lora_alpha,
                          .dropout = weft_config_real(job->config, "lora.dropout"),
                          .use_rslora = weft_config_bool(job->config, "lora.use_rslora"),
                          .target_modules = info->target_modules,
                          .modules_to_save = info->modules_to_save,
                          .card = card};
}

weft_status wh_job_import_adapter(const wh_job *job, weft_engine *engine, const char *folder,
                                  weft_error *err) {
    weft_engine_info info;
    weft_engine_info_get(engine, &info);
    wh_peft_info expected = peft_info(job, &info, NULL);
    weft_view *views = NULL;
    float *flat = NULL;
    weft_status st;
    WEFT_TRY_GOTO(st, adapter_buffers(engine, &info, &views, &flat, err), out);
    WEFT_TRY_GOTO(st, wh_peft_import(folder, &expected, views, info.n_views, flat, err), out);
    st = weft_engine_adapter_write(engine, flat, err);
out:
    free(views);
    free(flat);
    return st;
}

weft_status wh_job_export_adapter(const wh_job *job, weft_engine *engine, const char *folder,
                                  const char *card, weft_error *err) {
    weft_engine_info info;
    weft_engine_info_get(engine, &info);
    wh_peft_info peft = peft_info(job, &info, card);
    weft_view *views = NULL;
    float *flat = NULL;
    weft_status st;
    WEFT_TRY_GOTO(st, adapter_buffers(engine, &info, &views, &flat, err), out);
    WEFT_TRY_GOTO(st, weft_engine_adapter_read(engine, flat, err), out);
    st = wh_peft_export(folder, &peft, views, info.n_views, flat, err);
out:
    free(views);
    free(flat);
    return st;
}
