#include "host/report.h"

#include "host/json_util.h"
#include "host/run_log.h"
#include "host/text_table.h"
#include "host/units.h"
#include "host/wire_kinds.h"

#include <inttypes.h>
#include <math.h>

double wh_metrics_main(const weft_metrics *m) {
    return m->is_regression ? m->pearson : m->accuracy;
}

const char *wh_metrics_main_name(bool is_regression) {
    return is_regression ? "pearson" : "accuracy";
}

static json_t *integer(uint64_t value) {
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

/* JSON integers end at 2^63 - 1 here; a larger seed is written as text, never as another number. */
static json_t *seed(uint64_t value) {
    if (value <= INT64_MAX) return json_integer((json_int_t)value);
    return json_sprintf("%" PRIu64, value);
}

json_t *wh_summary_json(const wh_summary *s) {
    json_t *o = wh_json_with(json_object(), "name", json_string(s->name));
    o = wh_json_with(o, "folder", json_string(s->folder));
    o = wh_json_with(o, "weft_version", json_string(WEFT_VERSION));
    o = wh_json_with(o, "model", json_string(s->model));
    o = wh_json_with(o, "architecture", json_string(s->architecture));
    o = wh_json_with(o, "backend", json_string(s->backend));
    o = wh_json_with(o, "backend_note", json_string(s->backend_note));
    o = wh_json_with(o, "dtype", json_string(s->dtype));
    o = wh_json_with(o, "device_reason", json_string(s->device_reason));
    if (s->ranks && s->ranks[0]) o = wh_json_with(o, "ranks", json_string(s->ranks));
    o = wh_json_with(o, "strategy", json_string(s->strategy));
    o = wh_json_with(o, "partition", json_string(s->partition));
    o = wh_json_with(o, "seed", seed(s->seed));
    o = wh_json_with(o, "num_clients", json_integer(s->num_clients));
    o = wh_json_with(o, "clients_per_round", json_integer(s->clients_per_round));
    o = wh_json_with(o, "num_rounds", json_integer(s->rounds_planned));
    o = wh_json_with(o, "total_steps", json_integer(s->total_steps));
    o = wh_json_with(o, "rounds_done", json_integer(s->rounds_done));
    o = wh_json_with(o, "stopped_by_signal", s->signal ? json_integer(s->signal) : json_null());
    o = wh_json_with(o, "train_rows", json_integer(s->train_rows));
    o = wh_json_with(o, "test_rows", json_integer(s->test_rows));
    o = wh_json_with(o, "base_parameters", json_integer(s->base_parameters));
    o = wh_json_with(o, "adapter_parameters", json_integer(s->adapter_numel));
    o = wh_json_with(o, "steps", json_integer(s->steps));
    o = wh_json_with(o, "local_steps", json_integer(s->local_steps));
    o = wh_json_with(o, "barriers", json_integer(s->barriers));
    o = wh_json_with(o, "checks", json_integer(s->checks));
    o = wh_json_with(o, "examples", json_integer(s->examples));
    o = wh_json_with(o, "tokens", json_integer(s->tokens));
    o = wh_json_with(o, "train_loss",
                     s->rounds_done > 0 ? wh_json_real(s->train_loss) : json_null());
    o = wh_json_with(o, "bytes_up", integer(s->wire.up));
    o = wh_json_with(o, "bytes_down", integer(s->wire.down));
    o = wh_json_with(o, "bytes_by_kind", wh_wire_json(&s->wire));
    o = wh_json_with(o, "seconds_train", wh_json_real(s->seconds_train));
    o = wh_json_with(o, "seconds_total", wh_json_real(s->seconds_total));
    if (s->has_metrics) {
        o = wh_json_with(o, "federated", wh_metrics_json(&s->metrics, s->binary_f1));
        o = wh_json_with(o, "federated_round", json_integer(s->metrics_round));
    }
    if (s->has_baselines) {
        o = wh_json_with(o, "majority", wh_metrics_json(&s->baselines.majority, s->binary_f1));
        o = wh_json_with(o, "linear_probe", wh_metrics_json(&s->baselines.probe, s->binary_f1));
        o = wh_json_with(o, "linear_probe_c", wh_json_real(s->baselines.probe_c));
    }
    return o;
}

/* ---- for people ---- */

static void metrics_head(wh_text_table *t, bool is_regression) {
    static const char *const CLASSES[] = {"accuracy", "F1 macro", "Matthews"};
    static const char *const REGRESSION[] = {"Pearson", "Spearman", "MSE"};
    wh_text_table_cell(t, "%s", "");
    for (int i = 0; i < 3; i++)
        wh_text_table_cell(t, "%s", (is_regression ? REGRESSION : CLASSES)[i]);
    wh_text_table_cell(t, "loss");
}

static void metrics_row(wh_text_table *t, const char *name, const weft_metrics *m) {
    char text[32];
    double value[4] = {m->accuracy, m->f1_macro, m->matthews, m->loss};
    if (m->is_regression) value[0] = m->pearson, value[1] = m->spearman, value[2] = m->mse;
    wh_text_table_cell(t, "%s", name);
    for (int i = 0; i < 4; i++) {
        wh_text_table_cell(t, "%s", wh_units_metric(text, sizeof text, value[i]));
    }
}

/* With a single client nothing is federated: the rows lie in one place. */
static const char *method(const wh_summary *s) {
    return s->num_clients == 1 ? "pooled LoRA" : "federated LoRA";
}

static void verdict(wh_text *to, const wh_summary *s) {
    double ours = wh_metrics_main(&s->metrics), probe = wh_metrics_main(&s->baselines.probe);
    if (!isfinite(ours) || !isfinite(probe)) return;
    wh_text_addf(to, "  %s is %.4f %s the linear probe in %s\n", method(s), fabs(ours - probe),
                 ours >= probe ? "above" : "BELOW", wh_metrics_main_name(s->metrics.is_regression));
}

static void add_pair(wh_text_table *t, const char *name, const char *value) {
    wh_text_table_cell(t, "%s", name);
    wh_text_table_cell(t, "%s", value);
}

static void bytes_pair(wh_text_table *t, const char *name, uint64_t bytes) {
    char line[96], a[32], b[32];
    (void)snprintf(line, sizeof line, "%s bytes (%s)",
                   wh_units_grouped(a, sizeof a, (int64_t)bytes),
                   wh_units_wire(b, sizeof b, (double)bytes));
    add_pair(t, name, line);
}

/* One direction of the ledger, its kinds too where there is more than models. */
static void sent(wh_text_table *t, const wh_summary *s, bool up) {
    bytes_pair(t, up ? "sent up" : "sent down", up ? s->wire.up : s->wire.down);
    for (int i = 0; i < WH_WIRE_KINDS && wh_wire_has_more(&s->wire); i++) {
        char name[32];
        const uint64_t bytes = wh_wire_bytes(&s->wire, i);
        (void)snprintf(name, sizeof name, "  %s", wh_wire_kinds[i].title);
        if (wh_wire_kinds[i].is_up == up && bytes > 0) bytes_pair(t, name, bytes);
    }
}

static void local_work(wh_text_table *t, const wh_summary *s) {
    char line[160], checks[48] = "", a[32], b[32], c[32];
    if (s->checks > 0)
        (void)snprintf(checks, sizeof checks, ", %s check%s of the variance",
                       wh_units_grouped(c, sizeof c, s->checks), s->checks == 1 ? "" : "s");
    (void)snprintf(line, sizeof line, "%s, of each round's busiest client%s, %s barrier%s",
                   wh_units_grouped(a, sizeof a, s->local_steps), checks,
                   wh_units_grouped(b, sizeof b, s->barriers), s->barriers == 1 ? "" : "s");
    add_pair(t, "local steps", line);
}

/* "3 of 12", or what ended it before. */
static const char *rounds_text(char *out, size_t n, const wh_summary *s) {
    if (s->total_steps > 0 && s->local_steps >= s->total_steps) {
        (void)snprintf(out, n, "%" PRId64 ", until %" PRId64 " local steps", s->rounds_done,
                       s->total_steps);
    } else {
        (void)snprintf(out, n, "%" PRId64 " of %" PRId64, s->rounds_done, s->rounds_planned);
    }
    return out;
}

static void facts(wh_text *to, const wh_summary *s) {
    wh_text_table t;
    wh_text_table_init(&t, "ll");
    char line[256], a[32], b[32];
    char rounds[80];
    (void)snprintf(line, sizeof line, "%s, %d of %d clients each, %s",
                   rounds_text(rounds, sizeof rounds, s), s->clients_per_round, s->num_clients,
                   s->strategy);
    add_pair(&t, "rounds", line);
    local_work(&t, s);
    (void)snprintf(line, sizeof line, "%s of %s parameters",
                   wh_units_grouped(a, sizeof a, s->adapter_numel),
                   wh_units_grouped(b, sizeof b, s->base_parameters + s->adapter_numel));
    add_pair(&t, "trained", line);
    sent(&t, s, true);
    sent(&t, s, false);
    double rate = s->seconds_train > 0.0 ? (double)s->tokens / s->seconds_train : (double)NAN;
    (void)snprintf(line, sizeof line, "%s training, %s tok/s",
                   wh_units_seconds(a, sizeof a, s->seconds_train),
                   wh_units_count(b, sizeof b, rate));
    add_pair(&t, "time", line);
    (void)snprintf(line, sizeof line, "%s, %s", s->backend, s->dtype);
    add_pair(&t, "device", line);
    if (s->ranks && s->ranks[0]) add_pair(&t, "ranks", s->ranks);
    add_pair(&t, "run folder", s->folder);
    wh_text_table_add(to, &t, "  ");
    wh_text_table_fini(&t);
}

void wh_summary_text(wh_text *to, const wh_summary *s) {
    wh_text_addf(to, "%s\n", s->name);
    if (s->has_metrics || s->has_baselines) {
        const weft_metrics *any = s->has_metrics ? &s->metrics : &s->baselines.majority;
        wh_text_table t;
        wh_text_table_init(&t, "lrrrr");
        metrics_head(&t, any->is_regression);
        if (s->has_baselines) {
            metrics_row(&t, any->is_regression ? "training mean" : "majority class",
                        &s->baselines.majority);
            metrics_row(&t, "linear probe", &s->baselines.probe);
        }
        if (s->has_metrics) metrics_row(&t, method(s), &s->metrics);
        wh_text_addf(to, "\n");
        wh_text_table_add(to, &t, "  ");
        wh_text_table_fini(&t);
        if (s->has_metrics && s->has_baselines) verdict(to, s);
        wh_text_addf(to, "  on %" PRId64 " test rows, after round %" PRId64 "\n", any->n,
                     s->has_metrics ? s->metrics_round : s->rounds_done);
    }
    wh_text_addf(to, "\n");
    facts(to, s);
    if (s->signal) wh_text_addf(to, "\n  stopped by signal %d before the last round\n", s->signal);
}

void wh_metrics_text(wh_text *to, const weft_metrics *m, bool binary_f1) {
    wh_text_table t;
    char text[32];
    wh_text_table_init(&t, "lr");
    wh_text_table_cell(&t, "rows");
    wh_text_table_cell(&t, "%" PRId64, m->n);
    const char *name[5] = {"loss", "accuracy", "F1 macro", "F1 (class 1)", "Matthews"};
    double value[5] = {m->loss, m->accuracy, m->f1_macro, m->f1_binary, m->matthews};
    if (!binary_f1 && !m->is_regression) name[3] = NULL;
    if (m->is_regression) {
        name[1] = "Pearson", name[2] = "Spearman", name[3] = "MSE", name[4] = NULL;
        value[1] = m->pearson, value[2] = m->spearman, value[3] = m->mse;
    }
    for (int i = 0; i < 5; i++) {
        if (!name[i] || !isfinite(value[i])) continue;
        wh_text_table_cell(&t, "%s", name[i]);
        wh_text_table_cell(&t, "%s", wh_units_metric(text, sizeof text, value[i]));
    }
    wh_text_table_add(to, &t, "");
    wh_text_table_fini(&t);
}
