#include "host/train_note.h"

#include "host/json_util.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- structs of numbers, as tables ---- */

typedef enum kind { WHOLE, WHOLE32, REAL, FLAG } kind;

typedef struct field {
    const char *name;
    size_t offset;
    kind kind;
} field;

#define FIELD(type, member, kind)                                                                  \
    { #member, offsetof(type, member), kind }
/* A weft_wire, sums and kinds. */
#define WIRE(type, member)                                                                         \
    FIELD(type, member.down, WHOLE), FIELD(type, member.up, WHOLE),                                \
        FIELD(type, member.model_down, WHOLE), FIELD(type, member.model_up, WHOLE),                \
        FIELD(type, member.state_down, WHOLE), FIELD(type, member.state_up, WHOLE),                \
        FIELD(type, member.verdict_down, WHOLE), FIELD(type, member.once_down, WHOLE)
#define COUNT(table) (sizeof(table) / sizeof *(table))

static const field metrics_fields[] = {
    FIELD(weft_metrics, n, WHOLE),        FIELD(weft_metrics, loss, REAL),
    FIELD(weft_metrics, accuracy, REAL),  FIELD(weft_metrics, f1_macro, REAL),
    FIELD(weft_metrics, f1_binary, REAL), FIELD(weft_metrics, matthews, REAL),
    FIELD(weft_metrics, pearson, REAL),   FIELD(weft_metrics, spearman, REAL),
    FIELD(weft_metrics, mse, REAL),       FIELD(weft_metrics, is_regression, FLAG),
};
static const field summary_fields[] = {
    FIELD(wh_summary, rounds_done, WHOLE),
    FIELD(wh_summary, steps, WHOLE),
    FIELD(wh_summary, examples, WHOLE),
    FIELD(wh_summary, tokens, WHOLE),
    WIRE(wh_summary, wire),
    FIELD(wh_summary, local_steps, WHOLE),
    FIELD(wh_summary, barriers, WHOLE),
    FIELD(wh_summary, checks, WHOLE),
    FIELD(wh_summary, metrics_round, WHOLE),
    FIELD(wh_summary, seconds_train, REAL),
    FIELD(wh_summary, seconds_total, REAL),
    FIELD(wh_summary, train_loss, REAL),
};
static const field round_fields[] = {
    FIELD(weft_round_report, round, WHOLE),
    FIELD(weft_round_report, n_skipped, WHOLE32),
    FIELD(weft_round_report, loss, REAL),
    FIELD(weft_round_report, learning_rate, REAL),
    FIELD(weft_round_report, steps, WHOLE),
    FIELD(weft_round_report, examples, WHOLE),
    FIELD(weft_round_report, tokens, WHOLE),
    FIELD(weft_round_report, packs, WHOLE),
    WIRE(weft_round_report, wire),
    WIRE(weft_round_report, wire_total),
    FIELD(weft_round_report, local_steps, WHOLE),
    FIELD(weft_round_report, local_steps_total, WHOLE),
    FIELD(weft_round_report, barriers, WHOLE),
    FIELD(weft_round_report, theta, REAL),
    FIELD(weft_round_report, theta_next, REAL),
    FIELD(weft_round_report, kept_theta, FLAG),
};
static const field client_fields[] = {
    FIELD(weft_client_report, client, WHOLE32),   FIELD(weft_client_report, rows, WHOLE),
    FIELD(weft_client_report, steps, WHOLE),      FIELD(weft_client_report, examples, WHOLE),
    FIELD(weft_client_report, tokens, WHOLE),     FIELD(weft_client_report, weight, REAL),
    FIELD(weft_client_report, loss, REAL),        FIELD(weft_client_report, last_loss, REAL),
    FIELD(weft_client_report, update_norm, REAL), FIELD(weft_client_report, skipped, FLAG),
    FIELD(weft_client_report, checks, WHOLE32),   WIRE(weft_client_report, wire),
};
static const field check_fields[] = {
    FIELD(weft_check, steps, WHOLE),
    FIELD(weft_check, estimate, REAL),
    FIELD(weft_check, variance, REAL),
    FIELD(weft_check, group[WEFT_GROUP_A], REAL),
    FIELD(weft_check, group[WEFT_GROUP_B], REAL),
    FIELD(weft_check, group[WEFT_GROUP_SAVED], REAL),
    FIELD(weft_check, mean_sqnorm, REAL),
    FIELD(weft_check, theta, REAL),
    FIELD(weft_check, clients, WHOLE32),
    FIELD(weft_check, synchronise, FLAG),
};

static json_t *value_of(const field *f, const void *from) {
    const char *at = (const char *)from + f->offset;
    int64_t whole;
    int32_t small;
    double real;
    switch (f->kind) {
    case WHOLE:
        memcpy(&whole, at, sizeof whole);
        return json_integer((json_int_t)whole);
    case WHOLE32:
        memcpy(&small, at, sizeof small);
        return json_integer(small);
    case REAL: /* a real that is not finite becomes null, and null NaN */
        memcpy(&real, at, sizeof real);
        return wh_json_real(real);
    case FLAG:
        return json_boolean(*(const bool *)at);
    }
    return NULL;
}

static json_t *to_json(const field *fields, size_t n, const void *from) {
    json_t *o = json_object();
    for (size_t i = 0; i < n; i++) o = wh_json_with(o, fields[i].name, value_of(&fields[i], from));
    return o;
}

static weft_status read_field(const field *f, const json_t *object, const char *where, void *to,
                              weft_error *err) {
    char *at = (char *)to + f->offset;
    int64_t whole = 0;
    double real = (double)NAN;
    bool flag = false;
    switch (f->kind) {
    case WHOLE: /* counts, all of them */
        WEFT_TRY(wh_json_int(object, where, f->name, 0, INT64_MAX, &whole, err));
        memcpy(at, &whole, sizeof whole);
        break;
    case WHOLE32:
        WEFT_TRY(wh_json_int(object, where, f->name, 0, INT32_MAX, &whole, err));
        memcpy(at, &(int32_t){(int32_t)whole}, sizeof(int32_t));
        break;
    case REAL:
        if (wh_json_has(object, f->name))
            WEFT_TRY(wh_json_number(object, where, f->name, &real, err));
        memcpy(at, &real, sizeof real);
        break;
    case FLAG:
        WEFT_TRY(wh_json_bool(object, where, f->name, &flag, err));
        memcpy(at, &flag, sizeof flag);
        break;
    }
    return WEFT_OK;
}

static weft_status from_json(const field *fields, size_t n, const json_t *object, const char *where,
                             void *to, weft_error *err) {
    for (size_t i = 0; i < n; i++) WEFT_TRY(read_field(&fields[i], object, where, to, err));
    return WEFT_OK;
}

static json_t *metrics_json(const weft_metrics *m) {
    return to_json(metrics_fields, COUNT(metrics_fields), m);
}

static weft_status read_metrics(const json_t *parent, const char *where, const char *key,
                                weft_metrics *out, weft_error *err) {
    json_t *o = NULL;
    WEFT_TRY(wh_json_child(parent, where, key, JSON_OBJECT, &o, err));
    return from_json(metrics_fields, COUNT(metrics_fields), o, where, out, err);
}

/* ---- writing ---- */

static json_t *config_json(const weft_config *config) {
    json_t *o = json_object();
    for (size_t i = 0; i < weft_option_count(); i++) {
        const char *key = weft_option_at(i)->key;
        o = wh_json_with(o, key, json_string(weft_config_text(config, key)));
    }
    return o;
}

static json_t *summary_json(const wh_train_run *run) {
    wh_summary s = run->summary;
    s.seconds_total = wh_train_run_seconds(run);
    json_t *o = to_json(summary_fields, COUNT(summary_fields), &s);
    if (s.has_metrics) o = wh_json_with(o, "metrics", metrics_json(&s.metrics));
    if (s.has_baselines) {
        o = wh_json_with(o, "majority", metrics_json(&s.baselines.majority));
        o = wh_json_with(o, "probe", metrics_json(&s.baselines.probe));
        o = wh_json_with(o, "probe_c", wh_json_real(s.baselines.probe_c));
    }
    return o;
}

/* An array with one more value; as wh_json_with. */
static json_t *with(json_t *array, json_t *value) {
    if (array && json_array_append_new(array, value) == 0) return array;
    if (!array) json_decref(value);
    json_decref(array);
    return NULL;
}

static json_t *pending_json(const wh_train_run *run) {
    const weft_round_report *r = &run->pending;
    if (!run->is_pending) return json_null();
    json_t *clients = json_array(), *checks = json_array();
    for (int32_t i = 0; i < r->n_clients; i++)
        clients = with(clients, to_json(client_fields, COUNT(client_fields), &r->clients[i]));
    for (int32_t i = 0; i < r->n_checks; i++)
        checks = with(checks, to_json(check_fields, COUNT(check_fields), &r->checks[i]));
    json_t *o = to_json(round_fields, COUNT(round_fields), r);
    o = wh_json_with(o, "seconds", wh_json_real(run->pending_seconds));
    o = wh_json_with(o, "cpu_seconds", wh_json_real(run->pending_cpu_seconds));
    o = wh_json_with(o, "clients", clients);
    return wh_json_with(o, "checks", checks);
}

json_t *wh_train_note(const wh_train_run *run, const json_t *files) {
    json_t *o = wh_json_with(json_object(), "backend", json_string(run->info.backend));
    o = wh_json_with(o, "backend_note", json_string(run->info.backend_note));
    o = wh_json_with(o, "dtype", json_string(run->info.hidden_dtype));
    o = wh_json_with(o, "config", config_json(run->job->config));
    o = wh_json_with(o, "files", json_deep_copy(files));
    o = wh_json_with(o, "summary", summary_json(run));
    return wh_json_with(o, "pending", pending_json(run));
}

/* ---- checking ---- */

bool wh_option_is_conduct(const weft_option *option) {
    static const char *const sections[] = {"engine", "checkpoint", "log"};
    static const char *const keys[] = {"run.name",    "run.output_dir", "run.overwrite",
                                       "run.threads", "run.check",      "run.comm_timeout",
                                       "run.sums"};
    for (size_t i = 0; i < COUNT(sections); i++)
        if (strcmp(option->section, sections[i]) == 0) return true;
    for (size_t i = 0; i < COUNT(keys); i++)
        if (strcmp(option->key, keys[i]) == 0) return true;
    return false;
}

/* Beside those: where and in what the run computes, which the engine's state tells, and where files
 * lie. */
static bool may_differ(const weft_config *config, const weft_option *option) {
    static const char *const keys[] = {"run.device", "run.dtype", "model.path",  "lora.init_from",
                                       "data.train", "data.test", "data.format", "partition.file"};
    if (wh_option_is_conduct(option)) return true;
    for (size_t i = 0; i < COUNT(keys); i++)
        if (strcmp(option->key, keys[i]) == 0) return true;
    if (strcmp(option->key, "fl.num_rounds") != 0) return false;
    return strcmp(weft_config_text(config, "client.lr_scheduler"), "constant") == 0 &&
           weft_config_real(config, "client.warmup_ratio") == 0.0;
}

static weft_status check_config(const wh_train_run *run, const json_t *was, const char *where,
                                weft_error *err) {
    const weft_config *config = run->job->config;
    for (size_t i = 0; i < weft_option_count(); i++) {
        const weft_option *option = weft_option_at(i);
        const char *now = weft_config_text(config, option->key), *then = option->preset;
        if (may_differ(config, option)) continue;
        if (wh_json_has(was, option->key)) /* else: it is younger than the checkpoint */
            WEFT_TRY(wh_json_string(was, where, option->key, &then, err));
        if (strcmp(now, then) != 0)
            return WEFT_FAIL(err, WEFT_E_RESUME,
                             "%s was made with %s=%.80s, now it is %.80s: set it back, or start a "
                             "new run under another run.name",
                             where, option->key, then, now);
    }
    return WEFT_OK;
}

weft_status wh_train_note_check(const wh_train_run *run, const json_t *note, const char *where,
                                weft_error *err) {
    const char *dtype = NULL, *backend = NULL, *backend_note = NULL;
    json_t *config = NULL;
    const weft_engine_info *info = &run->info;
    WEFT_TRY(wh_json_string(note, where, "dtype", &dtype, err));
    WEFT_TRY(wh_json_string(note, where, "backend", &backend, err));
    WEFT_TRY(wh_json_string(note, where, "backend_note", &backend_note, err));
    WEFT_TRY(wh_json_child(note, where, "config", JSON_OBJECT, &config, err));
    WEFT_TRY(check_config(run, config, where, err));
    if (strcmp(dtype, info->hidden_dtype) != 0)
        return WEFT_FAIL(err, WEFT_E_RESUME,
                         "%s was computed in %.32s, this run computes in %s: set run.dtype=%s",
                         where, dtype, info->hidden_dtype,
                         strcmp(dtype, "bfloat16") == 0 ? "bf16" : "f32");
    if (strcmp(backend, info->backend) != 0 || strcmp(backend_note, info->backend_note) != 0)
        wh_log_warn(&run->job->log,
                    "the checkpoint was computed on %.40s (%.120s), this is %s (%s): what follows "
                    "may differ in the last bits",
                    backend, backend_note, info->backend, info->backend_note);
    return WEFT_OK;
}

/* ---- reading ---- */

static weft_status read_clients(wh_train_run *run, const json_t *o, const char *where,
                                weft_error *err) {
    json_t *clients = NULL;
    WEFT_TRY(wh_json_child(o, where, "clients", JSON_ARRAY, &clients, err));
    const size_t n = json_array_size(clients);
    if (n != (size_t)run->summary.clients_per_round)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: pending.clients has %zu entries, expected %d",
                         where, n, run->summary.clients_per_round);
    free(run->pending_clients);
    run->pending_clients = calloc(n, sizeof *run->pending_clients);
    if (!run->pending_clients) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for a checkpoint");
    for (size_t i = 0; i < n; i++) {
        weft_client_report *c = &run->pending_clients[i];
        const json_t *from = json_array_get(clients, i);
        WEFT_TRY(from_json(client_fields, COUNT(client_fields), from, where, c, err));
        if (c->client < 0 || c->client >= run->job->partition->n_clients)
            return WEFT_FAIL(err, WEFT_E_DATA, "%s: pending.clients[%zu].client is %d", where, i,
                             c->client);
    }
    run->pending.n_clients = (int32_t)n, run->pending.clients = run->pending_clients;
    return WEFT_OK;
}

static weft_status read_checks(wh_train_run *run, const json_t *o, const char *where,
                               weft_error *err) {
    json_t *checks = NULL;
    WEFT_TRY(wh_json_child(o, where, "checks", JSON_ARRAY, &checks, err));
    const size_t n = json_array_size(checks);
    if ((n > 0) != wh_job_has_checks(run->job) || n > INT32_MAX)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: pending.checks has %zu entries, but fl.sync is %s",
                         where, n, weft_config_text(run->job->config, "fl.sync"));
    free(run->pending_checks);
    run->pending_checks = calloc(n + 1, sizeof *run->pending_checks); /* none is fine */
    if (!run->pending_checks) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for a checkpoint");
    for (size_t i = 0; i < n; i++)
        WEFT_TRY(from_json(check_fields, COUNT(check_fields), json_array_get(checks, i), where,
                           &run->pending_checks[i], err));
    run->pending.n_checks = (int32_t)n, run->pending.checks = run->pending_checks;
    return WEFT_OK;
}

static weft_status read_pending(wh_train_run *run, const json_t *o, const char *where,
                                weft_error *err) {
    WEFT_TRY(from_json(round_fields, COUNT(round_fields), o, where, &run->pending, err));
    if (run->pending.round != run->summary.rounds_done)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: pending.round is %" PRId64 ", expected %" PRId64
                         ", the last that summary counts",
                         where, run->pending.round, run->summary.rounds_done);
    WEFT_TRY(wh_json_number(o, where, "seconds", &run->pending_seconds, err));
    WEFT_TRY(wh_json_number(o, where, "cpu_seconds", &run->pending_cpu_seconds, err));
    WEFT_TRY(read_clients(run, o, where, err));
    WEFT_TRY(read_checks(run, o, where, err));
    run->is_pending = true;
    return WEFT_OK;
}

static weft_status read_summary(wh_summary *s, const json_t *o, const char *where,
                                weft_error *err) {
    WEFT_TRY(from_json(summary_fields, COUNT(summary_fields), o, where, s, err));
    s->has_metrics = wh_json_has(o, "metrics");
    if (s->has_metrics) WEFT_TRY(read_metrics(o, where, "metrics", &s->metrics, err));
    s->has_baselines = wh_json_has(o, "majority");
    if (!s->has_baselines) return WEFT_OK;
    WEFT_TRY(read_metrics(o, where, "majority", &s->baselines.majority, err));
    WEFT_TRY(read_metrics(o, where, "probe", &s->baselines.probe, err));
    return wh_json_number(o, where, "probe_c", &s->baselines.probe_c, err);
}

weft_status wh_train_note_read(wh_train_run *run, const json_t *note, const char *where,
                               weft_error *err) {
    json_t *summary = NULL, *pending = NULL;
    WEFT_TRY(wh_json_child(note, where, "summary", JSON_OBJECT, &summary, err));
    WEFT_TRY(read_summary(&run->summary, summary, where, err));
    run->is_pending = false;
    if (!wh_json_has(note, "pending")) return WEFT_OK;
    WEFT_TRY(wh_json_child(note, where, "pending", JSON_OBJECT, &pending, err));
    return read_pending(run, pending, where, err);
}
