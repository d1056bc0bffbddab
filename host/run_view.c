#include "host/run_view_parts.h"

#include "host/config_yaml.h"
#include "host/json_util.h"
#include "host/report.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_JSON = 4 << 20, MAX_TEXT = 1 << 20 };

/* ---- whole files ---- */

/* *out stays NULL when the file is not there. */
static weft_status load_json(json_t **out, const char *folder, const char *name, weft_error *err) {
    char *path = wh_path_join(folder, name);
    if (!path) return wh_view_no_memory(name, err);
    weft_status st = wh_view_is_file(path) ? wh_json_load(out, path, MAX_JSON, err) : WEFT_OK;
    if (st == WEFT_OK && *out && !json_is_object(*out))
        st = WEFT_FAIL(err, WEFT_E_DATA, "%s must hold a JSON object", path);
    free(path);
    return st;
}

static weft_status load_text(char **out, const char *folder, const char *name, weft_error *err) {
    char *path = wh_path_join(folder, name);
    if (!path) return wh_view_no_memory(name, err);
    size_t bytes;
    weft_status st =
        wh_view_is_file(path) ? wh_file_read(out, &bytes, path, MAX_TEXT, err) : WEFT_OK;
    free(path);
    return st;
}

/* An option that this version does not know makes the configuration unreadable, not the run. */
static weft_status load_config(wh_run_view *v, weft_error *err) {
    WEFT_TRY(load_text(&v->config_text, v->folder, "config.resolved.yaml", err));
    if (!v->config_text) return WEFT_OK;
    WEFT_TRY(weft_config_new(&v->config, err));
    if (wh_config_yaml_parse(v->config, NULL, v->config_text, strlen(v->config_text),
                             "config.resolved.yaml", NULL) != WEFT_OK) {
        weft_config_free(v->config);
        v->config = NULL;
    }
    return WEFT_OK;
}

/* ---- lines ---- */

/* The next line as an object, *own*ed; NULL at the end. */
static weft_status objects_next(wh_view_lines *l, json_t **out, weft_error *err) {
    const char *text;
    size_t bytes;
    *out = NULL;
    WEFT_TRY(wh_view_lines_next(l, &text, &bytes, err));
    if (!text) return WEFT_OK;
    char where[300];
    (void)snprintf(where, sizeof where, "%.250s, line %lld", l->path, (long long)l->in.line);
    WEFT_TRY(wh_json_parse(out, text, bytes, where, err));
    if (json_is_object(*out)) return WEFT_OK;
    json_decref(*out);
    *out = NULL;
    return WEFT_FAIL(err, WEFT_E_DATA, "%s: not an object", where);
}

/* ---- events ---- */

static bool is_one_of(const char *kind, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(kind, list[i]) == 0) return true;
    return false;
}

/* Takes the event over. */
static void take_event(wh_run_view *v, json_t *event) {
    static const char *const BEGINS[] = {"start", "resume"}, *const ENDS[] = {"end", "stopped"};
    const char *kind = json_string_value(json_object_get(event, "event"));
    if (!kind) kind = "";
    bool begins = is_one_of(kind, BEGINS, 2), failed = strcmp(kind, "failed") == 0;
    if (begins) {
        json_decref(v->failure);
        v->failure = NULL;
        v->has_ended = false;
    }
    if (failed || is_one_of(kind, ENDS, 2)) v->has_ended = true;
    json_t **keep = failed ? &v->failure : strcmp(kind, "baselines") == 0 ? &v->baselines : &event;
    if (keep != &event) {
        json_decref(*keep);
        *keep = event;
    } else {
        json_decref(event);
    }
}

static weft_status read_events(wh_run_view *v, weft_error *err) {
    wh_view_lines l = {0};
    json_t *event = NULL;
    v->has_ended = v->summary != NULL; /* where no event says otherwise */
    weft_status st = wh_view_lines_open(&l, v->folder, "events.jsonl", err);
    while (st == WEFT_OK && (st = objects_next(&l, &event, err)) == WEFT_OK && event)
        take_event(v, event);
    wh_view_lines_close(&l);
    return st;
}

/* ---- rounds ---- */

/* Rounds of older runs tell nothing of this. */
static void add_checks(wh_run_view *v, const json_t *m, wh_point p) {
    static const char *const KEY[] = {"estimate", "variance", "theta", "checks"};
    wh_curve *const curve[] = {v->estimate, v->variance, v->theta, v->checks};
    const int64_t n = wh_json_whole_or_zero(m, "checks");
    for (int i = 0; i < WH_WIRE_KINDS; i++)
        v->bytes[i] += wh_json_number_or_nan(m, wh_wire_kinds[i].column);
    v->barriers += wh_json_whole_or_zero(m, "barriers");
    v->n_checks += n;
    for (int i = 0; i < 4 && n > 0; i++) {
        p.y = wh_json_number_or_nan(m, KEY[i]);
        wh_curve_add(curve[i], p);
    }
}

/* Every `every`-th evaluation; when the list is full, every second one goes. */
static void keep_eval(wh_run_view *v, json_t *line, int64_t seen, int64_t *every) {
    json_decref(v->last_eval);
    v->last_eval = json_incref(line);
    if (seen % *every != 0) return;
    if (v->n_evals == WH_VIEW_EVALS) {
        for (int i = 1; i < v->n_evals; i += 2) json_decref(v->eval[i]);
        v->n_evals /= 2;
        for (int i = 1; i < v->n_evals; i++) v->eval[i] = v->eval[2 * i];
        *every *= 2;
        if (seen % *every != 0) return;
    }
    v->eval[v->n_evals++] = json_incref(line);
}

static void add_round(wh_run_view *v, const json_t *m, const json_t *t) {
    v->rounds = wh_json_whole_or_zero(m, "round");
    v->bytes_down = wh_json_number_or_nan(m, "wire_down_total_bytes");
    v->bytes_up = wh_json_number_or_nan(m, "wire_up_total_bytes");
    wh_span_add(&v->round_down, wh_json_number_or_nan(m, "wire_down_bytes"));
    wh_span_add(&v->round_up, wh_json_number_or_nan(m, "wire_up_bytes"));
    v->tokens += wh_json_whole_or_zero(m, "tokens");
    v->skipped += wh_json_whole_or_zero(m, "skipped");
    v->updates += wh_json_whole_or_zero(m, "clients") - wh_json_whole_or_zero(m, "skipped");
    if (t && isfinite(wh_json_number_or_nan(t, "seconds")))
        v->seconds += wh_json_number_or_nan(t, "seconds");
    if (wh_json_whole_or_zero(t, "peak_rss_bytes") > v->peak_rss)
        v->peak_rss = wh_json_whole_or_zero(t, "peak_rss_bytes");
    if (wh_json_whole_or_zero(t, "peak_anonymous_bytes") > v->anon_rss)
        v->anon_rss = wh_json_whole_or_zero(t, "peak_anonymous_bytes");
    wh_point p = {.round = (double)v->rounds,
                  .bytes = v->bytes_down + v->bytes_up,
                  .seconds = t ? v->seconds : (double)NAN,
                  .steps = wh_json_number_or_nan(m, "local_steps_total"),
                  .y = wh_json_number_or_nan(m, "loss")};
    v->local_steps = wh_json_whole_or_zero(m, "local_steps_total");
    wh_curve_add(v->loss, p);
    add_checks(v, m, p);
    p.y = wh_json_number_or_nan(t, "tokens_per_s");
    wh_curve_add(v->tokens_per_s, p);
    if (!json_object_get(m, "eval_n")) return;
    v->is_regression = json_object_get(m, "eval_pearson") != NULL;
    v->metric_name = wh_metrics_main_name(v->is_regression);
    p.y = wh_json_number_or_nan(m, "eval_loss");
    wh_curve_add(v->eval_loss, p);
    p.y = wh_json_number_or_nan(m, v->is_regression ? "eval_pearson" : "eval_accuracy");
    wh_curve_add(v->metric, p);
}

/* Both files have a line for each round; one that died may have one more in the first. */
static weft_status read_rounds(wh_run_view *v, weft_error *err) {
    wh_view_lines metrics = {0}, timing = {0};
    json_t *m = NULL, *t = NULL;
    int64_t n_evals = 0, every = 1;
    weft_status st = wh_view_lines_open(&metrics, v->folder, "metrics.jsonl", err);
    if (st == WEFT_OK) st = wh_view_lines_open(&timing, v->folder, "timing.jsonl", err);
    while (st == WEFT_OK && (st = objects_next(&metrics, &m, err)) == WEFT_OK && m) {
        while (st == WEFT_OK &&
               (!t || wh_json_whole_or_zero(t, "round") < wh_json_whole_or_zero(m, "round"))) {
            json_decref(t);
            st = objects_next(&timing, &t, err);
            if (!t) break;
        }
        if (st == WEFT_OK) {
            bool same = t && wh_json_whole_or_zero(t, "round") == wh_json_whole_or_zero(m, "round");
            add_round(v, m, same ? t : NULL);
            if (json_object_get(m, "eval_n")) keep_eval(v, m, n_evals++, &every);
        }
        json_decref(m);
    }
    json_decref(t);
    wh_view_lines_close(&metrics);
    wh_view_lines_close(&timing);
    return st;
}

/* ---- the whole ---- */

static int32_t count_clients(const wh_run_view *v) {
    int64_t n = wh_json_whole_or_zero(v->partition, "n_clients");
    if (n <= 0) n = wh_json_whole_or_zero(v->summary, "num_clients");
    return n > 0 && n <= INT32_MAX ? (int32_t)n : 0;
}

/* "runs/a/" and "runs/a/summary.json" are "runs/a". */
static weft_status set_folder(wh_run_view *v, const char *path, weft_error *err) {
    size_t n = strlen(path);
    static const char file[] = "summary.json";
    if (n >= sizeof file - 1 && strcmp(path + n - (sizeof file - 1), file) == 0 &&
        (n == sizeof file - 1 || path[n - sizeof file] == '/'))
        n -= sizeof file - 1;
    while (n > 1 && path[n - 1] == '/') n--;
    v->folder = n > 0 ? strndup(path, n) : strdup(".");
    if (!v->folder) return wh_view_no_memory(path, err);
    return WEFT_OK;
}

static weft_status set_name(wh_run_view *v, weft_error *err) {
    const char *name = json_string_value(json_object_get(v->summary, "name"));
    const char *slash = strrchr(v->folder, '/');
    v->name = strdup(name ? name : slash ? slash + 1 : v->folder);
    return v->name ? WEFT_OK : wh_view_no_memory(v->folder, err);
}

static weft_status check_folder(const char *folder, weft_error *err) {
    static const char *const ANY[] = {"metrics.jsonl", "summary.json"};
    for (int i = 0; i < 2; i++) {
        char *path = wh_path_join(folder, ANY[i]);
        if (!path) return wh_view_no_memory(folder, err);
        bool there = wh_view_is_file(path);
        free(path);
        if (there) return WEFT_OK;
    }
    return WEFT_FAIL(
        err, WEFT_E_DATA,
        "%s is not a run folder: there is neither metrics.jsonl nor summary.json in it", folder);
}

static weft_status new_curves(wh_run_view *v, weft_error *err) {
    wh_curve **curve[] = {&v->client_loss,    &v->update_norm,  &v->loss,      &v->eval_loss,
                          &v->metric,         &v->tokens_per_s, &v->mean_norm, &v->estimate,
                          &v->variance,       &v->theta,        &v->checks,    &v->check_estimate,
                          &v->check_variance, &v->check_theta};
    for (size_t i = 0; i < sizeof curve / sizeof *curve; i++) {
        *curve[i] = malloc(sizeof **curve[i]);
        if (!*curve[i]) return wh_view_no_memory(v->folder, err);
        wh_curve_init(*curve[i], i < 2 ? 2 : 1); /* the first two are bands */
    }
    return WEFT_OK;
}

static weft_status read_all(wh_run_view *v, const char *path, bool with_clients, weft_error *err) {
    v->round_down = v->round_up = v->visit_down = v->visit_up = (wh_span){(double)NAN, (double)NAN};
    v->metric_name = wh_metrics_main_name(false);
    WEFT_TRY(set_folder(v, path, err));
    WEFT_TRY(check_folder(v->folder, err));
    WEFT_TRY(new_curves(v, err));
    WEFT_TRY(load_json(&v->summary, v->folder, "summary.json", err));
    WEFT_TRY(load_json(&v->plan, v->folder, "plan.json", err));
    WEFT_TRY(load_json(&v->partition, v->folder, "partition_summary.json", err));
    WEFT_TRY(load_json(&v->env, v->folder, "env.json", err));
    WEFT_TRY(load_text(&v->command, v->folder, "command.txt", err));
    WEFT_TRY(load_config(v, err));
    WEFT_TRY(set_name(v, err));
    WEFT_TRY(read_events(v, err));
    WEFT_TRY(read_rounds(v, err));
    v->n_clients = count_clients(v);
    if (with_clients && v->n_clients > 0) WEFT_TRY(wh_view_read_clients(v, err));
    if (with_clients) WEFT_TRY(wh_view_read_checks(v, err));
    return WEFT_OK;
}

weft_status wh_run_view_read(wh_run_view **out, const char *path, bool with_clients,
                             weft_error *err) {
    wh_run_view *v = calloc(1, sizeof *v);
    if (!v) return wh_view_no_memory(path, err);
    weft_status st = read_all(v, path, with_clients, err);
    if (st != WEFT_OK) {
        wh_run_view_free(v);
        return st;
    }
    *out = v;
    return WEFT_OK;
}

void wh_run_view_free(wh_run_view *v) {
    if (!v) return;
    json_t *json[] = {v->summary,   v->plan,    v->partition, v->env,
                      v->baselines, v->failure, v->last_eval};
    for (size_t i = 0; i < sizeof json / sizeof *json; i++) json_decref(json[i]);
    for (int i = 0; i < v->n_evals; i++) json_decref(v->eval[i]);
    weft_config_free(v->config);
    free(v->folder);
    free(v->name);
    free(v->config_text);
    free(v->command);
    free(v->loss);
    free(v->eval_loss);
    free(v->metric);
    free(v->tokens_per_s);
    free(v->client_loss);
    free(v->update_norm);
    free(v->mean_norm);
    free(v->estimate);
    free(v->variance);
    free(v->theta);
    free(v->checks);
    free(v->check_estimate);
    free(v->check_variance);
    free(v->check_theta);
    free(v->client);
    free(v);
}

double wh_run_view_baseline(const wh_run_view *v, const char *part, const char *metric) {
    const json_t *from = json_object_get(v->summary, part);
    return wh_json_number_or_nan(from ? from : json_object_get(v->baselines, part), metric);
}

int64_t wh_run_view_planned(const wh_run_view *v) {
    /* The summary may be older than the configuration that the run goes on with. */
    const int64_t rounds = v->config ? weft_config_int(v->config, "fl.num_rounds")
                                     : wh_json_whole_or_zero(v->summary, "num_rounds");
    const int64_t steps = v->config ? weft_config_int(v->config, "fl.total_steps")
                                    : wh_json_whole_or_zero(v->summary, "total_steps");
    if (steps == 0 || v->rounds >= rounds) return rounds;
    return v->local_steps >= steps ? v->rounds : 0;
}
