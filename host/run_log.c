#include "host/run_log.h"

#include "host/atomic_file.h"
#include "host/json_util.h"
#include "host/run_lines.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { METRICS, ROUNDS, CLIENTS, CHECKS, TIMING, EVENTS, LOG, N_FILES };

static const char *const file_names[N_FILES] = {"metrics.jsonl", "rounds.csv",   "clients.csv",
                                                "checks.csv",    "timing.jsonl", "events.jsonl",
                                                "log.txt"};

struct wh_run_log {
    wh_append_file *file[N_FILES];
    wh_run_log_options options;
    wh_text line;
};

static bool is_kept(const wh_run_log *log, int which) {
    return which != CHECKS || log->options.has_checks;
}

/* ---- metrics as columns: one list for tables and objects ---- */

typedef struct metric_column {
    const char *name;
    size_t offset; /* of a double in weft_metrics */
    bool regression, two_classes;
} metric_column;

static const metric_column metric_columns[] = {
    {"accuracy", offsetof(weft_metrics, accuracy), false, false},
    {"f1_macro", offsetof(weft_metrics, f1_macro), false, false},
    {"f1_binary", offsetof(weft_metrics, f1_binary), false, true},
    {"matthews", offsetof(weft_metrics, matthews), false, false},
    {"pearson", offsetof(weft_metrics, pearson), true, false},
    {"spearman", offsetof(weft_metrics, spearman), true, false},
    {"mse", offsetof(weft_metrics, mse), true, false},
};
enum { N_METRICS = sizeof metric_columns / sizeof *metric_columns };

static bool applies(const metric_column *column, bool is_regression, bool binary_f1) {
    return column->regression == is_regression && (!column->two_classes || binary_f1);
}

static double metric_value(const weft_metrics *m, const metric_column *column) {
    double value;
    memcpy(&value, (const char *)m + column->offset, sizeof value);
    return value;
}

/* ---- composing a line ---- */

static void eval_header(wh_text *t, const wh_run_log_options *o) {
    wh_text_add(t, ",eval_n,eval_loss");
    for (size_t i = 0; i < N_METRICS; i++)
        if (applies(&metric_columns[i], o->is_regression, o->binary_f1))
            wh_text_addf(t, ",eval_%s", metric_columns[i].name);
}

/* Empty cells when there was no evaluation. */
static void eval_cells(wh_text *t, const wh_run_log_options *o, const weft_metrics *m) {
    bool given = m && m->n > 0;
    wh_text_add(t, ",");
    if (given) wh_text_addf(t, "%" PRId64, m->n);
    wh_text_add(t, ",");
    if (given) wh_text_add_real(t, m->loss);
    for (size_t i = 0; i < N_METRICS; i++) {
        if (!applies(&metric_columns[i], o->is_regression, o->binary_f1)) continue;
        wh_text_add(t, ",");
        if (given) wh_text_add_real(t, metric_value(m, &metric_columns[i]));
    }
}

static weft_status put(wh_run_log *log, int which, weft_error *err) {
    WEFT_TRY(wh_text_check(&log->line, file_names[which], err));
    weft_status st = wh_append_line(log->file[which], log->line.data, err);
    wh_text_clear(&log->line);
    return st;
}

/* ---- opening and closing ---- */

static weft_status write_headers(wh_run_log *log, weft_error *err) {
    wh_round_column c[WH_ROUND_COLUMNS];
    wh_round_columns(c, &(weft_round_report){0});
    wh_round_names(&log->line, c, 0, WH_ROUND_BASE);
    eval_header(&log->line, &log->options);
    wh_round_names(&log->line, c, WH_ROUND_BASE, WH_ROUND_COLUMNS);
    WEFT_TRY(put(log, ROUNDS, err));
    wh_text_add(&log->line,
                "round,client,rows,steps,examples,tokens,weight,loss,last_loss,update_norm,"
                "skipped,wire_down_bytes,wire_up_bytes");
    if (log->options.evaluates_clients) eval_header(&log->line, &log->options);
    WEFT_TRY(put(log, CLIENTS, err));
    if (log->options.has_checks) {
        wh_check_names(&log->line);
        WEFT_TRY(put(log, CHECKS, err));
    }
    return wh_run_log_flush(log, false, err);
}

/* The files that tell of rounds come before those that are history. */
enum { N_CUT = EVENTS };

static weft_status cut_files(wh_run_log *log, const json_t *cut, weft_error *err) {
    int64_t length[N_CUT] = {0};
    for (int i = 0; i < N_CUT; i++)
        if (is_kept(log, i) &&
            wh_json_int(cut, "files", file_names[i], 0, INT64_MAX, &length[i], err) != WEFT_OK)
            return WEFT_FAIL(err, WEFT_E_RESUME, "the checkpoint does not say how long %s was",
                             file_names[i]);
    for (int i = 0; i < N_CUT; i++) /* all or none */
        if (is_kept(log, i) && length[i] > wh_append_offset(log->file[i]))
            return wh_append_cut(log->file[i], length[i], err);
    for (int i = 0; i < N_CUT; i++)
        if (is_kept(log, i)) WEFT_TRY(wh_append_cut(log->file[i], length[i], err));
    return WEFT_OK;
}

json_t *wh_run_log_offsets(const wh_run_log *log) {
    json_t *o = json_object();
    for (int i = 0; i < N_CUT; i++)
        if (is_kept(log, i))
            o = wh_json_with(o, file_names[i], json_integer(wh_append_offset(log->file[i])));
    return o;
}

weft_status wh_run_log_open(wh_run_log **out, const wh_run_folder *run,
                            const wh_run_log_options *options, weft_error *err) {
    wh_run_log *log = calloc(1, sizeof *log);
    if (!log) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while opening the run's files");
    log->options = *options;
    weft_status st = WEFT_OK;
    for (int i = 0; i < N_FILES && st == WEFT_OK; i++) {
        if (!is_kept(log, i)) continue;
        char *path = wh_run_folder_file(run, file_names[i]);
        st = path ? wh_append_open(&log->file[i], path, err)
                  : WEFT_FAIL(err, WEFT_E_MEM, "out of memory while opening %s", file_names[i]);
        free(path);
    }
    log->options.cut = NULL;
    if (st == WEFT_OK)
        st = options->cut ? cut_files(log, options->cut, err) : write_headers(log, err);
    if (st != WEFT_OK) {
        weft_status ignored = wh_run_log_close(log, NULL);
        (void)ignored; /* the first failure is the one to report */
        return st;
    }
    *out = log;
    return WEFT_OK;
}

weft_status wh_run_log_close(wh_run_log *log, weft_error *err) {
    if (!log) return WEFT_OK;
    weft_status first = WEFT_OK;
    for (int i = 0; i < N_FILES; i++) {
        weft_status st = wh_append_close(log->file[i], first == WEFT_OK ? err : NULL);
        if (first == WEFT_OK) first = st;
    }
    wh_text_free(&log->line);
    free(log);
    return first;
}

weft_status wh_run_log_flush(wh_run_log *log, bool sync, weft_error *err) {
    for (int i = 0; i < N_FILES; i++)
        if (is_kept(log, i))
            WEFT_TRY(sync ? wh_append_sync(log->file[i], err) : wh_append_flush(log->file[i], err));
    return WEFT_OK;
}

/* ---- rounds ---- */

static weft_status put_metrics(wh_run_log *log, const weft_round_report *r,
                               const weft_metrics *eval, weft_error *err) {
    wh_text *t = &log->line;
    wh_text_add(t, "{");
    wh_round_column c[WH_ROUND_COLUMNS];
    wh_round_columns(c, r);
    wh_round_keys(t, c, 0, WH_ROUND_BASE);
    if (eval && eval->n > 0) {
        wh_line_key_int(t, "eval_n", eval->n);
        wh_line_key_real(t, "eval_loss", eval->loss);
        for (size_t i = 0; i < N_METRICS; i++) {
            if (!applies(&metric_columns[i], log->options.is_regression, log->options.binary_f1))
                continue;
            char name[32];
            (void)snprintf(name, sizeof name, "eval_%s", metric_columns[i].name);
            wh_line_key_real(t, name, metric_value(eval, &metric_columns[i]));
        }
    }
    wh_round_keys(t, c, WH_ROUND_BASE, WH_ROUND_COLUMNS);
    wh_text_add(t, "}");
    return put(log, METRICS, err);
}

static weft_status put_round(wh_run_log *log, const weft_round_report *r, const weft_metrics *eval,
                             weft_error *err) {
    wh_text *t = &log->line;
    wh_round_column c[WH_ROUND_COLUMNS];
    wh_round_columns(c, r);
    wh_round_cells(t, c, 0, WH_ROUND_BASE);
    eval_cells(t, &log->options, eval);
    wh_round_cells(t, c, WH_ROUND_BASE, WH_ROUND_COLUMNS);
    return put(log, ROUNDS, err);
}

static weft_status put_client(wh_run_log *log, int64_t round, const weft_client_report *c,
                              const weft_metrics *eval, weft_error *err) {
    wh_text *t = &log->line;
    wh_line_cell_int(t, round);
    wh_line_cell_int(t, c->client);
    wh_line_cell_int(t, c->rows);
    wh_line_cell_int(t, c->steps);
    wh_line_cell_int(t, c->examples);
    wh_line_cell_int(t, c->tokens);
    wh_line_cell_real(t, c->weight);
    wh_line_cell_real(t, c->loss);
    wh_line_cell_real(t, c->last_loss);
    wh_line_cell_real(t, c->update_norm);
    wh_line_cell_int(t, c->skipped);
    wh_line_cell_int(t, (int64_t)c->wire.down);
    wh_line_cell_int(t, (int64_t)c->wire.up);
    if (log->options.evaluates_clients) eval_cells(t, &log->options, eval);
    return put(log, CLIENTS, err);
}

weft_status wh_run_log_round(wh_run_log *log, const weft_round_report *report,
                             const weft_metrics *eval, const weft_metrics *client_eval,
                             weft_error *err) {
    WEFT_TRY(put_metrics(log, report, eval, err));
    WEFT_TRY(put_round(log, report, eval, err));
    for (int32_t i = 0; i < report->n_clients; i++)
        WEFT_TRY(put_client(log, report->round, &report->clients[i],
                            client_eval ? &client_eval[i] : NULL, err));
    for (int32_t i = 0; log->options.has_checks && i < report->n_checks; i++) {
        wh_check_cells(&log->line, report->round, i, &report->checks[i]);
        WEFT_TRY(put(log, CHECKS, err));
    }
    return WEFT_OK;
}

/* ---- the rest ---- */

weft_status wh_run_log_timing(wh_run_log *log, const wh_round_timing *timing, weft_error *err) {
    wh_text *t = &log->line;
    double s = timing->train_seconds;
    wh_text_add(t, "{");
    wh_line_key_int(t, "round", timing->round);
    wh_line_key_real(t, "seconds", s);
    wh_line_key_real(t, "cpu_seconds", timing->cpu_seconds);
    wh_line_key_real(t, "eval_seconds", timing->eval_seconds);
    wh_line_key_real(t, "tokens_per_s", s > 0 ? (double)timing->tokens / s : (double)NAN);
    wh_line_key_real(t, "client_updates_per_s", s > 0 ? (double)timing->clients / s : (double)NAN);
    wh_line_key_int(t, "anonymous_bytes", timing->anonymous_bytes);
    wh_line_key_int(t, "peak_anonymous_bytes", timing->peak_anonymous_bytes);
    wh_line_key_int(t, "peak_rss_bytes", timing->peak_rss_bytes);
    wh_line_key_int(t, "packs", timing->packs);
    const weft_swap *swap = &timing->swap;
    if (swap->record_bytes) {
        wh_line_key_int(t, "state_in_bytes", (int64_t)(swap->in * swap->record_bytes));
        wh_line_key_int(t, "state_out_bytes", (int64_t)(swap->out * swap->record_bytes));
        wh_line_key_int(t, "state_stayed", (int64_t)swap->stayed);
        wh_line_key_int(t, "state_read_bytes", (int64_t)(swap->read * swap->record_bytes));
        wh_line_key_int(t, "state_written_bytes", (int64_t)(swap->written * swap->record_bytes));
    }
    if (timing->exchanges.n) {
        wh_line_key_int(t, "exchanges", timing->exchanges.n);
        wh_line_key_real(t, "exchange_seconds", timing->exchanges.seconds);
        wh_line_key_int(t, "exchange_bytes", timing->exchanges.bytes);
    }
    wh_text_add(t, "}");
    return put(log, TIMING, err);
}

static void utc_now(char out[32]) {
    time_t now = time(NULL);
    struct tm utc = {0};
    if (!gmtime_r(&now, &utc) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) out[0] = '\0';
}

weft_status wh_run_log_event(wh_run_log *log, const char *kind, const json_t *fields,
                             weft_error *err) {
    char now[32];
    utc_now(now);
    json_t *event = json_pack("{s:s, s:s}", "time", now, "event", kind);
    if (event && fields && json_object_update(event, (json_t *)(uintptr_t)fields) != 0) {
        json_decref(event);
        event = NULL;
    }
    if (!event) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the event %s", kind);
    wh_json_add(&log->line, event, 0);
    json_decref(event);
    return put(log, EVENTS, err);
}

weft_status wh_run_log_line(wh_run_log *log, weft_log_level level, const char *module,
                            const char *text, weft_error *err) {
    static const char *const names[] = {"error", "warn", "info", "debug"};
    char now[32];
    utc_now(now);
    wh_text_addf(&log->line, "%s %s %s: ", now, names[(unsigned)level < 4 ? level : 3], module);
    for (; *text; text++) wh_text_add_n(&log->line, *text == '\n' || *text == '\r' ? " " : text, 1);
    return put(log, LOG, err);
}

json_t *wh_metrics_json(const weft_metrics *m, bool binary_f1) {
    json_t *object = json_pack("{s:I, s:o}", "n", (json_int_t)m->n, "loss", wh_json_real(m->loss));
    for (size_t i = 0; object && i < N_METRICS; i++) {
        const metric_column *column = &metric_columns[i];
        if (!applies(column, m->is_regression, binary_f1)) continue;
        if (json_object_set_new(object, column->name, wh_json_real(metric_value(m, column))) != 0) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}
