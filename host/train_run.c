#include "host/train_run.h"

#include "host/checkpoint.h"
#include "host/interrupt.h"
#include "host/json_util.h"
#include "host/memory.h"
#include "host/report_page.h"
#include "host/run_facts.h"
#include "host/train_note.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static weft_status fail_memory(const char *doing, weft_error *err) {
    return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while %s", doing);
}

/* ---- rounds ---- */

/* After every n-th round, and after the last one. Which one that is shows once it is over. */
static bool is_due(const wh_train_run *run, int64_t round, int64_t every) {
    return weft_engine_is_done(run->engine) || (every > 0 && round % every == 0);
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
    s->train_loss = report->loss;
    s->wire = report->wire_total;
    s->local_steps = report->local_steps_total;
    s->barriers += report->barriers;
    s->checks += report->n_checks;
    s->seconds_train += seconds;
    wh_progress_state *p = &run->job->progress.state;
    p->loss = report->loss;
    p->steps = report->local_steps_total;
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
                    "round %" PRId64
                    ": %d of %d clients skipped, their gradient or update was not finite",
                    report->round, report->n_skipped, report->n_clients);
    }
    const int32_t checks = report->n_checks;
    if (checks > 0 && !isfinite(report->checks[checks - 1].estimate)) {
        wh_log_warn(log,
                    "round %" PRId64 ": the variance between the clients is not finite, so they "
                    "synchronised and theta stays",
                    report->round);
    }
    if (!evaluated) return;
    const weft_metrics *m = &run->summary.metrics;
    char looks[32] = "";
    if (checks > 0)
        (void)snprintf(looks, sizeof looks, "  %d check%s", checks, checks == 1 ? "" : "s");
    wh_log_info(log, "round %*" PRId64 "%s  train loss %.4f  test loss %.4f  %s %.4f",
                run->summary.rounds_planned > 99 ? 4 : 2, report->round, looks, report->loss,
                m->loss, wh_metrics_main_name(m->is_regression), wh_metrics_main(m));
}

/* How long the files that tell of rounds are; NULL: out of memory. */
static json_t *offsets(const wh_train_run *run) {
    json_t *o = wh_run_log_offsets(run->log);
    if (!run->tb) return o;
    return wh_json_with(o, WH_TB_FILE, json_integer(wh_append_offset(wh_tb_file(run->tb))));
}

/* The evaluations of a round that was trained, and its lines in the run folder. A signal during
 * them leaves it pending. */
static weft_status record_round(wh_train_run *run, const weft_round_report *report, double seconds,
                                double cpu_seconds, weft_error *err) {
    const weft_config *c = run->job->config;
    const int64_t round = report->round;
    const double trained = wh_clock();
    json_decref(run->files);
    run->files = run->folder ? offsets(run) : NULL;
    if (run->folder && !run->files) return fail_memory("recording a round", err);
    bool due = run->job->has_test && is_due(run, round, weft_config_int(c, "eval.every"));
    int64_t every = weft_config_int(c, "eval.clients_every");
    bool clients_due = every > 0 && is_due(run, round, every);
    weft_status st = due ? evaluate(run, round, err) : WEFT_OK;
    bool evaluated = due && st == WEFT_OK;
    if (st == WEFT_OK && clients_due) st = evaluate_clients(run, report, err);
    if (st != WEFT_OK && st != WEFT_E_STOPPED) return st;
    bool clients_evaluated = clients_due && st == WEFT_OK;
    wh_memory_note();
    if (!run->folder) return st;

    WEFT_TRY(wh_run_log_round(run->log, report, evaluated ? &run->summary.metrics : NULL,
                              clients_evaluated ? run->client_eval : NULL, err));
    wh_round_timing timing = {.round = round,
                              .tokens = report->tokens,
                              .clients = report->n_clients,
                              .packs = report->packs,
                              .train_seconds = seconds,
                              .cpu_seconds = cpu_seconds,
                              .eval_seconds = wh_clock() - trained,
                              .anonymous_bytes = wh_memory_anonymous(),
                              .peak_anonymous_bytes = wh_memory_peak(),
                              .peak_rss_bytes = wh_memory_peak_resident(),
                              .swap = report->swap};
    WEFT_TRY(wh_run_log_timing(run->log, &timing, err));
    if (run->tb) {
        WEFT_TRY(wh_tb_round(run->tb, report, evaluated ? &run->summary.metrics : NULL,
                             run->summary.binary_f1, &timing, err));
        WEFT_TRY(wh_append_flush(wh_tb_file(run->tb), err));
    }
    tell_round(run, report, evaluated);
    WEFT_TRY(wh_run_log_flush(run->log, false, err));
    run->is_pending = st != WEFT_OK;
    if (run->is_pending) {
        run->pending = *report;
        run->pending_seconds = seconds, run->pending_cpu_seconds = cpu_seconds;
    }
    return st;
}

static weft_status one_round(wh_train_run *run, int64_t round, weft_error *err) {
    weft_round_report report;
    double start = wh_clock(), cpu_start = wh_cpu_clock();
    run->job->progress.state.round = round;
    WEFT_TRY(weft_engine_round(run->engine, &report, err));
    double seconds = wh_clock() - start, cpu_seconds = wh_cpu_clock() - cpu_start;
    wh_memory_note();
    count_round(run, &report, seconds);
    return record_round(run, &report, seconds, cpu_seconds, err);
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
    if (!run->folder) {
        const bool keeps = strcmp(weft_config_text(c, "client.optimizer_state"), "keep") == 0;
        return keeps ? wh_checkpoint_help(run->engine, err) : WEFT_OK;
    }
    WEFT_TRY(wh_run_log_flush(run->log, true, err)); /* what it counts on is on the disk */
    if (run->tb) WEFT_TRY(wh_append_sync(wh_tb_file(run->tb), err));
    json_t *files = run->is_pending ? json_incref(run->files) : offsets(run);
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
    if (every == 0 || !is_due(run, round, every)) return WEFT_OK;
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
    return wh_run_facts_baselines(run->log, &run->summary.baselines, run->summary.binary_f1, err);
}

static weft_status before_rounds(wh_train_run *run, weft_error *err) {
    WEFT_TRY(wh_run_log_flush(run->log, false, err)); /* a reader need not wait for a round */
    if (!weft_config_bool(run->job->config, "eval.baselines") || run->summary.has_baselines)
        return WEFT_OK;
    if (run->job->has_test) return baselines(run, err);
    wh_log_warn(&run->job->log, "eval.baselines needs data.test: no baselines");
    return WEFT_OK;
}

weft_status wh_train_run_rounds(wh_train_run *run, weft_error *err) {
    wh_job *job = run->job;
    weft_status st = run->folder ? before_rounds(run, err) : WEFT_OK;
    WEFT_TRY(wh_ranks_agree(job->ranks, st, err));
    job->progress.state.num_rounds = run->summary.rounds_planned;
    job->progress.state.total_steps = run->summary.total_steps;
    job->progress.state.steps = job->first_steps = run->summary.local_steps;
    job->first_round = run->summary.rounds_done + 1;
    job->loop_started = wh_clock();
    if (run->is_pending) {
        job->progress.state.round = run->pending.round;
        st = record_round(run, &run->pending, run->pending_seconds, run->pending_cpu_seconds, err);
        if (st == WEFT_OK) st = save_when_due(run, run->pending.round, err);
    }
    while (st == WEFT_OK && !weft_engine_is_done(run->engine)) {
        const int64_t round = run->summary.rounds_done + 1;
        st = one_round(run, round, err);
        if (st == WEFT_OK) st = save_when_due(run, round, err);
        /* A signal between two ticks is a request to stop too; after the last round it is moot.
         * Several ranks stop together, at the next tick. */
        if (st == WEFT_OK && !job->ranks && wh_interrupt_signal() &&
            !weft_engine_is_done(run->engine)) {
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
    if (!run->folder) return WEFT_OK;
    if (s->rounds_done > 0) WEFT_TRY(export_adapter(run, err));
    json_t *json = wh_summary_json(s);
    weft_status st = json ? wh_run_folder_write_json(run->folder, "summary.json", json, err)
                          : fail_memory("writing summary.json", err);
    json_decref(json);
    WEFT_TRY(st);
    WEFT_TRY(wh_run_log_event(run->log, signal ? "stopped" : "end", NULL, err));
    if (run->tb) WEFT_TRY(wh_append_sync(wh_tb_file(run->tb), err));
    WEFT_TRY(wh_run_log_flush(run->log, true, err));
    return wh_report_write(s->folder, err); /* reads what was just written */
}

void wh_train_run_failed(wh_train_run *run, weft_status status, const char *text) {
    if (!run->log) return;
    json_t *fields = json_pack("{s:s, s:s}", "status", weft_status_str(status), "message", text);
    /* Best effort: the failure itself is what the program reports. */
    if (wh_run_log_line(run->log, WEFT_LOG_ERROR, "weft", text, NULL) == WEFT_OK &&
        wh_run_log_event(run->log, "failed", fields, NULL) == WEFT_OK) {
        if (wh_run_log_flush(run->log, true, NULL) != WEFT_OK ||
            wh_report_write(wh_run_folder_path(run->folder), NULL) != WEFT_OK)
            run->job->log.run = NULL;
    }
    json_decref(fields);
}
