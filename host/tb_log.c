#include "host/tb_log.h"

#include "host/folder.h"
#include "host/tb_event.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

struct wh_tb_log {
    wh_append_file *file;
    wh_text record;
};

enum { MAX_SCALARS = 24, MAX_TAG = 48 };

typedef struct scalars {
    size_t n;
    wh_tb_scalar scalar[MAX_SCALARS];
    char tag[MAX_SCALARS][MAX_TAG];
} scalars;

static void add(scalars *s, const char *group, const char *name, double value) {
    if (s->n == MAX_SCALARS) return;
    (void)snprintf(s->tag[s->n], MAX_TAG, "%s/%s", group, name);
    s->scalar[s->n] = (wh_tb_scalar){s->tag[s->n], value};
    s->n++;
}

static double now(void) {
    struct timespec t = {0};
    if (clock_gettime(CLOCK_REALTIME, &t) != 0) return 0.0;
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static weft_status put(wh_tb_log *log, weft_error *err) {
    WEFT_TRY(wh_text_check(&log->record, WH_TB_FILE, err));
    weft_status st = wh_append_bytes(log->file, log->record.data, log->record.len, err);
    wh_text_clear(&log->record);
    return st;
}

weft_status wh_tb_open(wh_tb_log **out, const wh_run_folder *run, weft_error *err) {
    wh_tb_log *log = calloc(1, sizeof *log);
    char *folder = wh_run_folder_file(run, "tb"), *path = wh_run_folder_file(run, WH_TB_FILE);
    weft_status st = log && folder && path
                         ? WEFT_OK
                         : WEFT_FAIL(err, WEFT_E_MEM, "out of memory while opening %s", WH_TB_FILE);
    if (st == WEFT_OK) st = wh_folder_make(folder, err);
    if (st == WEFT_OK) st = wh_append_open(&log->file, path, err);
    if (st == WEFT_OK && wh_append_offset(log->file) == 0) {
        wh_tb_add_version(&log->record, now());
        st = put(log, err);
    }
    free(folder);
    free(path);
    if (st == WEFT_OK) {
        *out = log;
        return WEFT_OK;
    }
    weft_status ignored = wh_tb_close(log, NULL);
    (void)ignored; /* the first failure is the one to report */
    return st;
}

static weft_status add_eval(scalars *s, const weft_metrics *eval, bool binary_f1, weft_error *err) {
    json_t *metrics = wh_metrics_json(eval, binary_f1), *value;
    if (!metrics) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for %s", WH_TB_FILE);
    const char *name;
    json_object_foreach(metrics, name, value) {
        if (json_is_real(value)) add(s, "eval", name, json_real_value(value)); /* not the count */
    }
    json_decref(metrics);
    return WEFT_OK;
}

/* Of the round's last check; what is not finite has no place on a chart. */
static void add_fda(scalars *s, const weft_round_report *r) {
    if (r->n_checks == 0) return;
    const weft_check *last = &r->checks[r->n_checks - 1];
    if (isfinite(last->estimate)) add(s, "fda", "estimate", last->estimate);
    if (isfinite(last->variance)) add(s, "fda", "variance", last->variance);
    if (isfinite(r->theta)) add(s, "fda", "theta", r->theta);
    add(s, "fda", "checks", r->n_checks);
}

weft_status wh_tb_round(wh_tb_log *log, const weft_round_report *report, const weft_metrics *eval,
                        bool binary_f1, const wh_round_timing *timing, weft_error *err) {
    scalars s = {0};
    add(&s, "train", "loss", report->loss);
    add(&s, "train", "lr", report->learning_rate);
    add(&s, "train", "skipped_clients", report->n_skipped);
    if (eval) WEFT_TRY(add_eval(&s, eval, binary_f1, err));
    add_fda(&s, report);
    add(&s, "wire", "up_bytes", (double)report->wire_total.up);
    add(&s, "wire", "down_bytes", (double)report->wire_total.down);
    if (timing->train_seconds > 0.0) {
        add(&s, "speed", "tokens_per_s", (double)timing->tokens / timing->train_seconds);
        add(&s, "speed", "client_updates_per_s", (double)timing->clients / timing->train_seconds);
    }
    add(&s, "speed", "round_seconds", timing->train_seconds);
    add(&s, "memory", "peak_rss_bytes", (double)timing->peak_rss_bytes);
    wh_tb_add_scalars(&log->record, now(), report->round, s.scalar, s.n);
    return put(log, err);
}

wh_append_file *wh_tb_file(wh_tb_log *log) {
    return log->file;
}

weft_status wh_tb_close(wh_tb_log *log, weft_error *err) {
    if (!log) return WEFT_OK;
    weft_status st = wh_append_close(log->file, err);
    wh_text_free(&log->record);
    free(log);
    return st;
}
