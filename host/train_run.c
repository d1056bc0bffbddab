#include "host/train_run.h"

#include "host/checkpoint.h"
#include "host/config_write.h"
#include "host/interrupt.h"
#include "host/json_util.h"
#include "host/partition_note.h"
#include "host/train_note.h"
#include "host/train_resume.h"
#include "host/units.h"

#include <inttypes.h>
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
    return st;
}

static weft_status place_state(wh_train_run *run, weft_error *err) {
    char *path = wh_run_folder_file(run->folder, "client_state.bin");
    weft_status st = path ? wh_state_file_set(&run->job->state, path, err)
                          : fail_memory("placing client_state.bin", err);
    free(path);
    return st;
}

static void fill_summary(wh_train_run *run) {
    const wh_job *job = run->job;
    wh_summary *s = &run->summary;
    s->name = run->name;
    s->folder = wh_run_folder_path(run->folder);
    s->model = wh_model_folder_id(job->model);
    s->architecture = run->info.architecture;
    s->backend = run->info.backend;
    s->backend_note = run->info.backend_note;
    s->dtype = run->info.hidden_dtype;
    s->device_reason = run->info.device_reason;
    s->strategy = weft_config_text(job->config, "fl.strategy");
    s->partition = weft_config_text(job->config, "partition.kind");
    s->seed = (uint64_t)weft_config_int(job->config, "run.seed");
    s->num_clients = wh_job_clients(job);
    s->clients_per_round = (int32_t)weft_config_int(job->config, "fl.clients_per_round");
    s->rounds_planned = weft_config_int(job->config, "fl.num_rounds");
    s->train_rows = job->train.rows.n_rows;
    s->test_rows = job->has_test ? job->test.rows.n_rows : 0;
    s->base_parameters = run->info.base_parameters;
    s->adapter_numel = run->info.adapter_numel;
    s->binary_f1 = job->train.label && run->info.num_labels == 2;
}

static void describe(wh_train_run *run) {
    const weft_engine_info *i = &run->info;
    wh_log *log = &run->job->log;
    char a[32], b[32];
    wh_log_info(log, "model: %s, %s parameters, frozen", i->architecture,
                wh_units_count(a, sizeof a, (double)i->base_parameters));
    wh_job_tell_device(run->job, i);
    wh_log_info(log, "adapter: r=%d on %s, and %s: %s numbers, %s per client and direction",
                i->lora_r, i->target_modules, i->modules_to_save,
                wh_units_grouped(a, sizeof a, i->adapter_numel),
                wh_units_wire(b, sizeof b, 4.0 * (double)i->adapter_numel));
    wh_log_info(log, "clients: %d, %d in each round, %d trained at once", run->summary.num_clients,
                run->summary.clients_per_round, i->slots);
    wh_log_info(log, "run folder: %s", run->summary.folder);
}

/* ---- a folder to write into ---- */

static weft_status open_log(wh_train_run *run, const json_t *cut, weft_error *err) {
    wh_run_log_options log = {
        .is_regression = run->job->train.target != NULL,
        .binary_f1 = run->summary.binary_f1,
        .evaluates_clients = weft_config_int(run->job->config, "eval.clients_every") > 0,
        .cut = cut,
    };
    return wh_run_log_open(&run->log, run->folder, &log, err);
}

static weft_status start_new(wh_train_run *run, bool overwrite, weft_error *err) {
    const weft_config *c = run->job->config;
    WEFT_TRY(wh_run_folder_create(&run->folder, weft_config_text(c, "run.output_dir"), run->name,
                                  overwrite || weft_config_bool(c, "run.overwrite"), err));
    WEFT_TRY(write_inputs(run, err));
    WEFT_TRY(write_partition(run, err));
    WEFT_TRY(place_state(run, err));
    fill_summary(run);
    WEFT_TRY(open_log(run, NULL, err));
    return wh_run_log_event(run->log, "start", NULL, err);
}

static weft_status go_on(wh_train_run *run, const char *path, int64_t round, weft_error *err) {
    json_t *files = NULL;
    WEFT_TRY(wh_run_folder_open(&run->folder, path, err));
    WEFT_TRY(place_state(run, err));
    fill_summary(run);
    WEFT_TRY(wh_train_resume(run, round, &files, err));
    run->seconds_before = run->summary.seconds_total;
    weft_status st = open_log(run, files, err);
    json_decref(files);
    WEFT_TRY(st);
    WEFT_TRY(write_inputs(run, err));
    wh_log_info(&run->job->log, "resumed after round %" PRId64 " of %" PRId64 "%s",
                run->summary.rounds_done, run->summary.rounds_planned,
                run->is_pending ? ", which is still to be evaluated" : "");
    json_t *fields = json_pack("{s:I}", "round", (json_int_t)run->summary.rounds_done);
    st = wh_run_log_event(run->log, "resume", fields, err);
    json_decref(fields);
    return st;
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
    bool possible = false;
    char *path = wh_path_join(folder[0] ? folder : ".", run->name);
    weft_status st = path ? wh_resume_is_possible(&possible, path, err)
                          : fail_memory("looking for a run to go on with", err);
    if (st == WEFT_OK && possible) st = go_on(run, path, -1, err);
    free(path);
    if (st != WEFT_OK || possible) return st;
    WEFT_TRY(start_adapter(run, err));
    return start_new(run, true, err);
}

weft_status wh_train_run_open(wh_train_run *run, wh_job *job, const wh_cli *cli,
                              const wh_resume *resume, weft_error *err) {
    memset(run, 0, sizeof *run);
    run->job = job;
    run->cli = cli;
    run->started = wh_clock();
    weft_engine_options options = wh_job_engine_options(job);
    WEFT_TRY(weft_engine_open(&run->engine, &options, err));
    weft_engine_info_get(run->engine, &run->info);
    int64_t cohort = weft_config_int(job->config, "fl.clients_per_round");
    run->client_eval = calloc((size_t)cohort, sizeof *run->client_eval);
    if (!run->client_eval) return fail_memory("opening the run", err);

    WEFT_TRY(choose_name(run, err));
    if (resume && resume->run) {
        WEFT_TRY(go_on(run, resume->run, resume->round, err));
    } else if (cli->resume) {
        WEFT_TRY(start_or_go_on(run, err));
    } else {
        WEFT_TRY(start_adapter(run, err));
        WEFT_TRY(start_new(run, false, err));
    }
    wh_log_attach(&job->log, run->log);
    describe(run);
    return WEFT_OK;
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
    if (run->job) wh_state_file_close(&run->job->state);
    wh_run_folder_close(run->folder);
    weft_engine_close(run->engine);
    json_decref(run->files);
    free(run->pending_clients);
    free(run->client_eval);
    free(run->name);
    memset(run, 0, sizeof *run);
}

/* ---- rounds ---- */

/* Every n-th round, and the last one. */
static bool is_due(int64_t round, int64_t every, int64_t last) {
    return round == last || (every > 0 && round % every == 0);
}

static weft_status evaluate(wh_train_run *run, int64_t round, weft_error *err) {
    weft_eval_options options = {.split = WEFT_SPLIT_TEST};
    weft_metrics metrics;
    WEFT_TRY(weft_engine_eval(run->engine, &options, &metrics, err));
    run->summary.metrics = metrics;
    run->summary.has_metrics = true;
    run->summary.metrics_round = round;
    run->job->progress.state.metric = wh_metrics_main(&metrics);
    run->job->progress.state.metric_name = metrics.is_regression ? "r" : "acc";
    return WEFT_OK;
}

/* The global adapter on the own rows of each client of the cohort. */
static weft_status evaluate_clients(wh_train_run *run, const weft_round_report *report,
                                    weft_error *err) {
    const weft_partition *p = run->job->partition;
    for (int32_t i = 0; i < report->n_clients; i++) {
        int32_t c = report->clients[i].client;
        weft_eval_options options = {.split = WEFT_SPLIT_TRAIN,
                                     .rows = p->row + p->offset[c],
                                     .n_rows = p->offset[c + 1] - p->offset[c]};
        WEFT_TRY(weft_engine_eval(run->engine, &options, &run->client_eval[i], err));
    }
    return WEFT_OK;
}

static void count_round(wh_train_run *run, const weft_round_report *report, double seconds) {
    wh_summary *s = &run->summary;
    s->rounds_done = report->round;
    s->steps += report->steps;
    s->examples += report->examples;
    s->tokens += report->tokens;
    s->wire = report->wire_total;
    s->seconds_train += seconds;
    wh_progress_state *p = &run->job->progress.state;
    p->loss = report->loss;
    if (seconds > 0.0) {
        p->client_updates_per_s = (double)report->n_clients / seconds;
        p->tokens_per_s = (double)report->tokens / seconds;
    }
    p->wire_up = (double)report->wire_total.up;
    p->wire_down = (double)report->wire_total.down;
}

static void tell_round(wh_train_run *run, const weft_round_report *report, bool evaluated) {
    wh_log *log = &run->job->log;
    if (report->n_skipped > 0) {
        wh_log_warn(log,
                    "round %" PRId64 ": %d of %d clients skipped, their gradient was not finite",
                    report->round, report->n_skipped, report->n_clients);
    }
    if (!evaluated) return;
    const weft_metrics *m = &run->summary.metrics;
    wh_log_info(log, "round %*" PRId64 "  train loss %.4f  test loss %.4f  %s %.4f",
                run->summary.rounds_planned > 99 ? 4 : 2, report->round, report->loss, m->loss,
                wh_metrics_main_name(m->is_regression), wh_metrics_main(m));
}

/* The evaluations of a round that was trained, and its lines in the run folder. A signal during
 * them leaves it pending. */
static weft_status record_round(wh_train_run *run, const weft_round_report *report, double seconds,
                                weft_error *err) {
    const weft_config *c = run->job->config;
    const int64_t last = run->summary.rounds_planned, round = report->round;
    const double trained = wh_clock();
    json_decref(run->files);
    run->files = wh_run_log_offsets(run->log);
    if (!run->files) return fail_memory("opening the run", err);
    bool due = run->job->has_test && is_due(round, weft_config_int(c, "eval.every"), last);
    int64_t every = weft_config_int(c, "eval.clients_every");
    bool clients_due = every > 0 && is_due(round, every, last);
    weft_status st = due ? evaluate(run, round, err) : WEFT_OK;
    bool evaluated = due && st == WEFT_OK;
    if (st == WEFT_OK && clients_due) st = evaluate_clients(run, report, err);
    if (st != WEFT_OK && st != WEFT_E_STOPPED) return st;
    bool clients_evaluated = clients_due && st == WEFT_OK;

    WEFT_TRY(wh_run_log_round(run->log, report, evaluated ? &run->summary.metrics : NULL,
                              clients_evaluated ? run->client_eval : NULL, err));
    wh_round_timing timing = {.round = round,
                              .tokens = report->tokens,
                              .clients = report->n_clients,
                              .packs = report->packs,
                              .train_seconds = seconds,
                              .eval_seconds = wh_clock() - trained,
                              .peak_rss_bytes = wh_peak_rss_bytes(),
                              .swap = report->swap};
    WEFT_TRY(wh_run_log_timing(run->log, &timing, err));
    tell_round(run, report, evaluated);
    WEFT_TRY(wh_run_log_flush(run->log, false, err));
    run->is_pending = st != WEFT_OK;
    if (run->is_pending) run->pending = *report, run->pending_seconds = seconds;
    return st;
}

static weft_status one_round(wh_train_run *run, int64_t round, weft_error *err) {
    weft_round_report report;
    double start = wh_clock();
    run->job->progress.state.round = round;
    WEFT_TRY(weft_engine_round(run->engine, &report, err));
    double seconds = wh_clock() - start;
    count_round(run, &report, seconds);
    return record_round(run, &report, seconds, err);
}

/* ---- checkpoints ---- */

/* A line about the adapter for its model card. */
static void describe_adapter(char *out, size_t n, const wh_train_run *run) {
    const wh_summary *s = &run->summary;
    char metric[96] = "";
    if (s->has_metrics) {
        (void)snprintf(metric, sizeof metric, ", %s %.4f on %" PRId64 " test rows",
                       wh_metrics_main_name(s->metrics.is_regression), wh_metrics_main(&s->metrics),
                       s->metrics.n);
    }
    (void)snprintf(out, n,
                   "Trained by federated LoRA with Weft %s: %s, %" PRId64
                   " rounds, %d of %d clients a round, seed %" PRIu64 "%s.\n",
                   WEFT_VERSION, s->strategy, s->rounds_done, s->clients_per_round, s->num_clients,
                   s->seed, metric);
}

static weft_status save_checkpoint(wh_train_run *run, weft_error *err) {
    char card[1024];
    const weft_config *c = run->job->config;
    WEFT_TRY(wh_run_log_flush(run->log, true, err)); /* what it counts on is on the disk */
    json_t *files = run->is_pending ? json_incref(run->files) : wh_run_log_offsets(run->log);
    json_t *note = files ? wh_train_note(run, files) : NULL;
    json_decref(files);
    if (!note) return fail_memory("writing a checkpoint", err);
    describe_adapter(card, sizeof card, run);
    weft_status st =
        wh_checkpoint_save(wh_run_folder_path(run->folder), run->job, run->engine, note, card,
                           weft_config_int(c, "checkpoint.save_total_limit"), err);
    json_decref(note);
    return st;
}

static weft_status save_when_due(wh_train_run *run, int64_t round, weft_error *err) {
    const int64_t every = weft_config_int(run->job->config, "checkpoint.save_every");
    if (every == 0 || !is_due(round, every, run->summary.rounds_planned)) return WEFT_OK;
    return save_checkpoint(run, err);
}

static weft_status baselines(wh_train_run *run, weft_error *err) {
    WEFT_TRY(weft_engine_baselines(run->engine, &run->summary.baselines, err));
    run->summary.has_baselines = true;
    const weft_metrics *majority = &run->summary.baselines.majority;
    wh_log_info(&run->job->log, "baselines: %s %s %.4f, linear probe %.4f",
                majority->is_regression ? "training mean" : "majority class",
                wh_metrics_main_name(majority->is_regression), wh_metrics_main(majority),
                wh_metrics_main(&run->summary.baselines.probe));
    return WEFT_OK;
}

weft_status wh_train_run_rounds(wh_train_run *run, weft_error *err) {
    wh_job *job = run->job;
    WEFT_TRY(wh_run_log_flush(run->log, false, err)); /* a reader need not wait for a round */
    if (weft_config_bool(job->config, "eval.baselines") && !run->summary.has_baselines) {
        if (job->has_test) {
            WEFT_TRY(baselines(run, err));
        } else {
            wh_log_warn(&job->log, "eval.baselines needs data.test: no baselines");
        }
    }
    job->progress.state.num_rounds = run->summary.rounds_planned;
    job->first_round = run->summary.rounds_done + 1;
    job->loop_started = wh_clock();
    weft_status st = WEFT_OK;
    if (run->is_pending) {
        job->progress.state.round = run->pending.round;
        st = record_round(run, &run->pending, run->pending_seconds, err);
        if (st == WEFT_OK) st = save_when_due(run, run->pending.round, err);
    }
    for (int64_t round = run->summary.rounds_done + 1;
         st == WEFT_OK && round <= run->summary.rounds_planned; round++) {
        st = one_round(run, round, err);
        if (st == WEFT_OK) st = save_when_due(run, round, err);
        /* A signal between two ticks is a request to stop too; after the last round it is moot. */
        if (st == WEFT_OK && wh_interrupt_signal() && round < run->summary.rounds_planned) {
            st = WEFT_FAIL(err, WEFT_E_STOPPED, "stopped by a signal");
        }
    }
    job->loop_started = 0.0;
    wh_progress_end(&job->progress);
    return st;
}

/* ---- the end ---- */

static weft_status export_adapter(wh_train_run *run, weft_error *err) {
    char card[1024];
    describe_adapter(card, sizeof card, run);
    char *path = wh_run_folder_file(run->folder, "adapter");
    if (!path) return fail_memory("writing the adapter", err);
    weft_status st = wh_job_export_adapter(run->job, run->engine, path, card, err);
    free(path);
    return st;
}

weft_status wh_train_run_finish(wh_train_run *run, int signal, weft_error *err) {
    wh_summary *s = &run->summary;
    s->signal = signal;
    s->seconds_total = wh_train_run_seconds(run);
    if (signal) WEFT_TRY(save_checkpoint(run, err));
    if (s->rounds_done > 0) WEFT_TRY(export_adapter(run, err));
    json_t *json = wh_summary_json(s);
    weft_status st = json ? wh_run_folder_write_json(run->folder, "summary.json", json, err)
                          : fail_memory("writing summary.json", err);
    json_decref(json);
    WEFT_TRY(st);
    WEFT_TRY(wh_run_log_event(run->log, signal ? "stopped" : "end", NULL, err));
    return wh_run_log_flush(run->log, true, err);
}

void wh_train_run_failed(wh_train_run *run, weft_status status, const char *text) {
    if (!run->log) return;
    json_t *fields = json_pack("{s:s, s:s}", "status", weft_status_str(status), "message", text);
    /* Best effort: the failure itself is what the program reports. */
    if (wh_run_log_line(run->log, WEFT_LOG_ERROR, "weft", text, NULL) == WEFT_OK &&
        wh_run_log_event(run->log, "failed", fields, NULL) == WEFT_OK) {
        if (wh_run_log_flush(run->log, true, NULL) != WEFT_OK) run->job->log.run = NULL;
    }
    json_decref(fields);
}
