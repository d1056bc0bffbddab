/* Opening and closing a training run: the engine, and a run folder that is new or gone on with. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "host/train_run.h"

#include "host/config_write.h"
#include "host/json_util.h"
#include "host/memory.h"
#include "host/partition_note.h"
#include "host/plan_memory.h"
#include "host/run_facts.h"
#include "host/train_resume.h"
#include "host/units.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- opening ---- */

static weft_status fail_memory(const char *doing, weft_error *err) {
    return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while %s", doing);
}

/* run.name, or one made of what the run is. */
static weft_status choose_name(wh_train_run *run, weft_error *err) {
    const weft_config *c = run->job->config;
    const char *given = weft_config_text(c, "run.name");
    if (given[0]) {
        run->name = strdup(given);
    } else {
        char dataset[64];
        wh_job_dataset_name(dataset, sizeof dataset, run->job);
        int64_t batch = weft_config_int(c, "client.batch_size");
        int64_t micro = weft_config_int(c, "client.micro_batch_size");
        int64_t steps = weft_config_int(c, "client.local_steps");
        wh_run_title title = {
            .model = wh_model_folder_short_name(run->job->model),
            .dataset = dataset,
            .strategy = weft_config_text(c, "fl.strategy"),
            .n_clients = wh_job_clients(run->job),
            .cohort = (int32_t)weft_config_int(c, "fl.clients_per_round"),
            .local_steps = steps,
            .local_epochs = steps > 0 ? 0 : weft_config_int(c, "client.local_epochs"),
            .batch_size = (int32_t)batch,
            .accumulation = micro > 0 ? (int32_t)((batch + micro - 1) / micro) : 1,
            .max_length = (int32_t)weft_config_int(c, "data.max_length"),
            .r = (int32_t)weft_config_int(c, "lora.r"),
            .alpha = weft_config_real(c, "lora.alpha"),
        };
        run->name = wh_run_name(&title, time(NULL));
    }
    return run->name ? WEFT_OK : fail_memory("naming the run", err);
}

static weft_status write_inputs(wh_train_run *run, weft_error *err) {
    wh_text text = {0};
    wh_config_write(&text, run->job->config, false);
    weft_status st = wh_text_check(&text, "config.resolved.yaml", err);
    if (st == WEFT_OK)
        st = wh_run_folder_write(run->folder, "config.resolved.yaml", text.data, err);
    wh_text_free(&text);
    WEFT_TRY(st);
    WEFT_TRY(wh_run_folder_write_command(run->folder, run->cli->argc, run->cli->argv, err));
    return wh_run_folder_write_env(run->folder, &run->info, err);
}

static weft_status write_partition(wh_train_run *run, weft_error *err) {
    const wh_job *job = run->job;
    char *path = wh_run_folder_file(run->folder, "partition.json");
    if (!path) return fail_memory("writing partition.json", err);
    wh_partition_note note = wh_partition_note_of(job->config);
    weft_status st = wh_partition_save(path, job->partition, &job->train.rows, &note, err);
    free(path);
    WEFT_TRY(st);
    return wh_run_facts_write(run->folder, job, &run->plan, err);
}

/* Beside that of rank 0 those of the others, which a killed run leaves to the next to remove. */
static weft_status place_state(wh_train_run *run, const char *folder, weft_error *err) {
    char name[48] = "client_state.bin";
    const int32_t rank = wh_ranks_rank(run->job->ranks);
    if (rank > 0) (void)snprintf(name, sizeof name, "client_state.bin.tmp-rank%d", rank);
    char *path = wh_path_join(folder, name);
    weft_status st = path ? wh_state_file_set(&run->job->state, path, err)
                          : fail_memory("placing client_state.bin", err);
    free(path);
    return st;
}

static void fill_summary(wh_train_run *run) {
    const wh_job *job = run->job;
    wh_summary *s = &run->summary;
    s->name = run->name;
    s->folder = run->folder ? wh_run_folder_path(run->folder) : "";
    s->model = wh_model_folder_id(job->model);
    s->architecture = run->info.architecture;
    s->backend = run->info.backend;
    s->backend_note = run->info.backend_note;
    s->dtype = run->info.hidden_dtype;
    s->device_reason = run->info.device_reason;
    s->ranks = wh_ranks_text(job->ranks);
    s->strategy = weft_config_text(job->config, "fl.strategy");
    s->partition = weft_config_text(job->config, "partition.kind");
    s->seed = (uint64_t)weft_config_int(job->config, "run.seed");
    s->num_clients = wh_job_clients(job);
    s->clients_per_round = (int32_t)weft_config_int(job->config, "fl.clients_per_round");
    s->rounds_planned = weft_config_int(job->config, "fl.num_rounds");
    s->total_steps = weft_config_int(job->config, "fl.total_steps");
    s->train_rows = job->train.rows.n_rows;
    s->test_rows = job->has_test ? job->test.rows.n_rows : 0;
    s->base_parameters = run->info.base_parameters;
    s->adapter_numel = run->info.adapter_numel;
    s->binary_f1 = job->train.label && run->info.num_labels == 2;
}

/* When rounds end, where the variance between their clients decides. */
static void describe_checks(const wh_train_run *run) {
    const weft_config *c = run->job->config;
    const int64_t own = weft_config_int(c, "fda.check_every");
    const int64_t steps = own > 0 ? own : weft_config_int(c, "client.local_steps");
    char interval[48] = "epoch";
    if (steps == 1) (void)snprintf(interval, sizeof interval, "step");
    if (steps > 1) (void)snprintf(interval, sizeof interval, "%" PRId64 " steps", steps);
    if (wh_job_has_checks(run->job))
        wh_log_info(&run->job->log,
                    "synchronisation: %s, the variance checked every %s, at most %s times a round, "
                    "estimator %s, rule %s",
                    weft_config_text(c, "fl.sync"), interval, weft_config_text(c, "fda.max_checks"),
                    weft_config_text(c, "fda.estimator"), weft_config_text(c, "fda.rule"));
}

static void describe(wh_train_run *run) {
    const weft_engine_info *i = &run->info;
    wh_log *log = &run->job->log;
    char a[32], b[32];
    wh_log_info(log, "model: %s, %s parameters, frozen", i->architecture,
                wh_units_count(a, sizeof a, (double)i->base_parameters));
    wh_job_tell_device(run->job, i);
    if (run->job->ranks) wh_log_info(log, "ranks: %s", wh_ranks_text(run->job->ranks));
    wh_log_info(log, "adapter: r=%d on %s, and %s: %s numbers, %s per client and direction",
                i->lora_r, i->target_modules, i->modules_to_save,
                wh_units_grouped(a, sizeof a, i->adapter_numel),
                wh_units_wire(b, sizeof b, 4.0 * (double)i->adapter_numel));
    wh_log_info(log, "clients: %d, %d in each round, %d trained at once", run->summary.num_clients,
                run->summary.clients_per_round, i->slots);
    describe_checks(run);
    wh_log_info(log, "run folder: %s", run->summary.folder);
}

/* ---- a folder to write into ---- */

/* The event file is one of those that tell of rounds; its checkpoint may be older than the option.
 */
static weft_status open_tensorboard(wh_train_run *run, const json_t *cut, weft_error *err) {
    int64_t length = 0;
    if (!weft_config_bool(run->job->config, "log.tensorboard")) return WEFT_OK;
    WEFT_TRY(wh_tb_open(&run->tb, run->folder, err));
    if (!cut || !wh_json_has(cut, WH_TB_FILE)) return WEFT_OK;
    WEFT_TRY(wh_json_int(cut, "files", WH_TB_FILE, 0, INT64_MAX, &length, err));
    WEFT_TRY(wh_append_flush(wh_tb_file(run->tb), err));
    return wh_append_cut(wh_tb_file(run->tb), length, err);
}

static weft_status open_log(wh_train_run *run, const json_t *cut, weft_error *err) {
    wh_run_log_options log = {
        .is_regression = run->job->train.target != NULL,
        .binary_f1 = run->summary.binary_f1,
        .evaluates_clients = weft_config_int(run->job->config, "eval.clients_every") > 0,
        .has_checks = wh_job_has_checks(run->job),
        .cut = cut,
    };
    WEFT_TRY(wh_run_log_open(&run->log, run->folder, &log, err));
    return open_tensorboard(run, cut, err);
}

static weft_status start_new(wh_train_run *run, bool overwrite, weft_error *err) {
    const weft_config *c = run->job->config;
    WEFT_TRY(wh_run_folder_create(&run->folder, weft_config_text(c, "run.output_dir"), run->name,
                                  overwrite || weft_config_bool(c, "run.overwrite"), err));
    WEFT_TRY(write_inputs(run, err));
    WEFT_TRY(write_partition(run, err));
    WEFT_TRY(place_state(run, wh_run_folder_path(run->folder), err));
    fill_summary(run);
    return open_log(run, NULL, err);
}

static weft_status go_on(wh_train_run *run, const char *path, int64_t round, weft_error *err) {
    json_t *files = NULL;
    WEFT_TRY(wh_run_folder_open(&run->folder, path, err));
    WEFT_TRY(place_state(run, wh_run_folder_path(run->folder), err));
    fill_summary(run);
    weft_status st = wh_train_resume(run, wh_run_folder_path(run->folder), round, &files, err);
    run->seconds_before = run->summary.seconds_total;
    if (st == WEFT_OK) st = open_log(run, files, err);
    json_decref(files);
    WEFT_TRY(st);
    WEFT_TRY(write_inputs(run, err));
    wh_log_info(&run->job->log, "resumed after round %" PRId64 " of %" PRId64 "%s",
                run->summary.rounds_done, run->summary.rounds_planned,
                run->is_pending ? ", which is still to be evaluated" : "");
    run->is_resumed = true;
    return WEFT_OK;
}

static weft_status start_adapter(wh_train_run *run, weft_error *err) {
    const char *from = weft_config_text(run->job->config, "lora.init_from");
    return from[0] ? wh_job_import_adapter(run->job, run->engine, from, err) : WEFT_OK;
}

/* --resume auto: a restart of the same command goes on where there is something to go on from, and
 * else begins. */
static weft_status start_or_go_on(wh_train_run *run, weft_error *err) {
    const weft_config *c = run->job->config;
    const char *folder = weft_config_text(c, "run.output_dir");
    bool possible = false, ended = false;
    char *path = wh_path_join(folder[0] ? folder : ".", run->name);
    weft_status st = path ? wh_resume_is_possible(&possible, &ended, path, err)
                          : fail_memory("looking for a run to go on with", err);
    if (st == WEFT_OK && possible) st = go_on(run, path, -1, err);
    /* What a killed run left is begun anew; what one has finished is not thrown away. */
    if (st == WEFT_OK && ended && !possible && !weft_config_bool(c, "run.overwrite"))
        st = WEFT_FAIL(err, WEFT_E_OUTPUT,
                       "the run in %s has ended and left no checkpoint to go on from: give another "
                       "run.name or set run.overwrite=true",
                       path);
    free(path);
    if (st != WEFT_OK || possible) return st;
    WEFT_TRY(start_adapter(run, err));
    return start_new(run, true, err);
}

/* ---- ranks ---- */

static weft_status begin(wh_train_run *run, const wh_resume *resume, weft_error *err) {
    WEFT_TRY(choose_name(run, err));
    if (resume && resume->run) return go_on(run, resume->run, resume->round, err);
    if (run->cli->resume) return start_or_go_on(run, err);
    WEFT_TRY(start_adapter(run, err));
    return start_new(run, false, err);
}

/* What rank 0 found out, for the others. */
typedef struct beginning {
    int64_t round; /* to go on after; -1: a new run */
    char folder[PATH_MAX];
} beginning;

static weft_status tell_beginning(const wh_train_run *run, beginning *b, weft_error *err) {
    *b = (beginning){.round = run->is_resumed ? run->summary.rounds_done : -1};
    if (realpath(wh_run_folder_path(run->folder), b->folder)) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_OUTPUT, "cannot find %s: %s", wh_run_folder_path(run->folder),
                     strerror(errno));
}

/* Another rank: it writes nothing, and its engine must come to the same state. */
static weft_status follow(wh_train_run *run, const beginning *b, weft_error *err) {
    json_t *files = NULL;
    run->name = strdup("");
    if (!run->name) return fail_memory("opening the run", err);
    fill_summary(run);
    WEFT_TRY(place_state(run, b->folder, err));
    if (b->round < 0) return start_adapter(run, err);
    const weft_status st = wh_train_resume(run, b->folder, b->round, &files, err);
    json_decref(files);
    return st;
}

static weft_status begin_together(wh_train_run *run, const wh_resume *resume, weft_error *err) {
    wh_ranks *ranks = run->job->ranks;
    beginning b = {.round = -1};
    weft_status st = WEFT_OK;
    WEFT_TRY(wh_ranks_check_engine(ranks, run->engine, err));
    if (wh_ranks_is_first(ranks)) {
        st = begin(run, resume, err);
        if (st == WEFT_OK && ranks) st = tell_beginning(run, &b, err);
    }
    WEFT_TRY(wh_ranks_agree(ranks, st, err));
    WEFT_TRY(wh_ranks_share(ranks, &b, sizeof b, err));
    if (!wh_ranks_is_first(ranks)) st = follow(run, &b, err);
    WEFT_TRY(wh_ranks_agree(ranks, st, err));
    return wh_ranks_check_start(ranks, run->engine, err);
}

/* The event says what starting took, by part: rows and partition, opening the engine, and what is
 * written once. */
static weft_status log_start(wh_train_run *run, double opened, weft_error *err) {
    json_t *o = wh_json_with(json_object(), "round", json_integer(run->summary.rounds_done));
    o = wh_json_with(o, "rows_seconds", wh_json_real(run->job->rows_seconds));
    o = wh_json_with(o, "partition_seconds", wh_json_real(run->job->partition_seconds));
    o = wh_json_with(o, "engine_seconds", wh_json_real(opened - run->started));
    o = wh_json_with(o, "files_seconds", wh_json_real(wh_clock() - opened));
    if (run->job->ranks) o = wh_json_with(o, "ranks", json_string(wh_ranks_text(run->job->ranks)));
    if (!o) return fail_memory("writing events.jsonl", err);
    const weft_status st = wh_run_log_event(run->log, run->is_resumed ? "resume" : "start", o, err);
    json_decref(o);
    return st;
}

weft_status wh_train_run_open(wh_train_run *run, wh_job *job, const wh_cli *cli,
                              const wh_resume *resume, weft_error *err) {
    memset(run, 0, sizeof *run);
    run->job = job;
    run->cli = cli;
    run->started = wh_clock();
    WEFT_TRY(wh_job_choose_device(job, err));
    weft_engine_options options = wh_job_engine_options(job), quiet = options;
    quiet.hooks.log = NULL; /* the engine itself will say it all */
    WEFT_TRY(weft_plan_build(&run->plan, &quiet, err));
    wh_plan_add_host(&run->plan, job);
    WEFT_TRY(weft_engine_open(&run->engine, &options, err));
    wh_memory_note();
    const double opened = wh_clock();
    weft_engine_info_get(run->engine, &run->info);
    int64_t cohort = weft_config_int(job->config, "fl.clients_per_round");
    run->client_eval = calloc((size_t)cohort, sizeof *run->client_eval);
    if (!run->client_eval) return fail_memory("opening the run", err);
    WEFT_TRY(begin_together(run, resume, err));
    if (!run->folder) return WEFT_OK;
    wh_log_attach(&job->log, run->log);
    describe(run);
    return log_start(run, opened, err);
}

double wh_train_run_seconds(const wh_train_run *run) {
    return run->seconds_before + wh_clock() - run->started;
}

void wh_train_run_close(wh_train_run *run) {
    if (run->job) wh_log_attach(&run->job->log, NULL);
    weft_error late = {0}; /* everything that matters was flushed before */
    if (wh_run_log_close(run->log, &late) != WEFT_OK && run->job) {
        wh_log_warn(&run->job->log, "%s", late.text);
    }
    if (wh_tb_close(run->tb, &late) != WEFT_OK && run->job) {
        wh_log_warn(&run->job->log, "%s", late.text);
    }
    if (run->job) wh_state_file_close(&run->job->state);
    wh_run_folder_close(run->folder);
    weft_engine_close(run->engine);
    json_decref(run->files);
    free(run->pending_clients);
    free(run->pending_checks);
    free(run->client_eval);
    free(run->name);
    memset(run, 0, sizeof *run);
}
