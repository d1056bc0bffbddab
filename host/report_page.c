#include "host/report_page.h"

#include "host/atomic_file.h"
#include "host/chart.h"
#include "host/html.h"
#include "host/json_util.h"
#include "host/partition_summary.h"
#include "host/units.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *config_text(const wh_run_view *v, const char *key) {
    return v->config ? weft_config_text(v->config, key) : "";
}

/* "3 of 12 rounds"; how many were planned is not always known. */
static const char *rounds_text(char *out, size_t n, const wh_run_view *v) {
    char done[32], planned[32];
    wh_units_grouped(done, sizeof done, v->rounds);
    wh_units_grouped(planned, sizeof planned, wh_run_view_planned(v));
    if (wh_run_view_planned(v) > 0) {
        (void)snprintf(out, n, "%s of %s rounds", done, planned);
    } else {
        (void)snprintf(out, n, "%s round%s", done, v->rounds == 1 ? "" : "s");
    }
    return out;
}

/* With one client nothing is federated: the rows lie in one place. */
static const char *method(const wh_run_view *v) {
    return v->n_clients == 1 ? "Pooled LoRA" : "Federated LoRA";
}

/* ---- the top ---- */

static void add_outcome(wh_text *to, const wh_run_view *v) {
    double ours = v->metric->last.y;
    if (v->rounds == 0) {
        wh_text_add(to, "No round is complete.");
    } else if (v->metric->n_points == 0) {
        char rounds[80];
        wh_html_textf(to, "%s trained for %s; it was not evaluated on test rows.", method(v),
                      rounds_text(rounds, sizeof rounds, v));
    } else {
        char rows[32], value[32], gap[32], round[32];
        double probe = wh_run_view_baseline(v, "linear_probe", v->metric_name);
        wh_html_textf(
            to, "%s: %s %s on %s test rows after round %s", method(v), wh_report_metric(v),
            wh_units_metric(value, sizeof value, ours),
            wh_units_grouped(rows, sizeof rows, wh_json_whole_or_zero(v->last_eval, "eval_n")),
            wh_units_grouped(round, sizeof round, (int64_t)v->metric->last.round));
        if (isfinite(probe) && isfinite(ours))
            wh_html_textf(to, ", %s %s the linear probe",
                          wh_html_number(gap, sizeof gap, fabs(ours - probe), 4),
                          ours >= probe ? "above" : "below");
        wh_text_add(to, ".");
    }
}

/* What did not go as planned; nothing for a run that ended. */
static void add_end(wh_text *to, const wh_run_view *v) {
    char rounds[80];
    int64_t signal = wh_json_whole_or_zero(v->summary, "stopped_by_signal");
    rounds_text(rounds, sizeof rounds, v);
    if (v->failure) {
        const char *message = json_string_value(json_object_get(v->failure, "message"));
        wh_html_textf(to, "The run failed after %s: ", rounds);
        wh_html_text_cut(to, message ? message : "no message", 400);
    } else if (!v->has_ended) {
        wh_html_textf(to,
                      "The run has not ended: what is recorded are %s. It still goes on, or it was "
                      "killed.",
                      rounds);
    } else if (signal > 0) {
        wh_html_textf(to, "The run was stopped by signal %" PRId64 " after %s.", signal, rounds);
    }
}

static void add_tile(wh_text *to, const char *value, const char *what) {
    wh_text_add(to, "<div><b>");
    wh_html_text_cut(to, value, 24);
    wh_text_add(to, "</b><span>");
    wh_html_text_cut(to, what, 80);
    wh_text_add(to, "</span></div>\n");
}

static void add_tiles(wh_text *to, const wh_run_view *v) {
    char a[64], b[96];
    wh_text_add(to, "<div class=\"tiles\">\n");
    if (v->metric->n_points > 0) {
        add_tile(to, wh_units_metric(a, sizeof a, v->metric->last.y), wh_report_metric(v));
        add_tile(to, wh_units_metric(a, sizeof a, v->eval_loss->last.y), "test loss");
    }
    int64_t planned = wh_run_view_planned(v);
    wh_units_grouped(a, sizeof a, v->rounds);
    if (planned > 0 && planned != v->rounds) {
        (void)snprintf(b, sizeof b, "rounds of %" PRId64, planned);
    } else {
        (void)snprintf(b, sizeof b, "round%s", v->rounds == 1 ? "" : "s");
    }
    add_tile(to, a, b);
    if (v->n_clients > 0) {
        char cohort[64] = "clients";
        const char *each = config_text(v, "fl.clients_per_round");
        if (each[0]) (void)snprintf(cohort, sizeof cohort, "clients, %s in each round", each);
        add_tile(to, wh_units_grouped(a, sizeof a, v->n_clients), cohort);
    }
    if (v->local_steps > 0) {
        char barriers[32];
        (void)snprintf(b, sizeof b, "local steps, %s barrier%s",
                       wh_units_grouped(barriers, sizeof barriers, v->barriers),
                       v->barriers == 1 ? "" : "s");
        add_tile(to, wh_units_grouped(a, sizeof a, v->local_steps), b);
    }
    add_tile(to, wh_units_wire(a, sizeof a, v->bytes_up + v->bytes_down),
             "on the wire, up and down");
    double numel = wh_json_number_or_nan(v->plan, "adapter_parameters"),
           base = wh_json_number_or_nan(v->plan, "base_parameters");
    if (isfinite(numel) && isfinite(base)) {
        (void)snprintf(b, sizeof b, "trained, of %s parameters",
                       wh_units_count(a, sizeof a, base + numel));
        add_tile(to, wh_units_count(a, sizeof a, numel), b);
    }
    double rate = v->seconds > 0.0 ? (double)v->updates / v->seconds : (double)NAN;
    if (isfinite(rate)) {
        char tokens[32];
        (void)snprintf(b, sizeof b, "training time: %s client updates, %s tokens a second",
                       wh_html_number(a, sizeof a, rate,
                                      rate < 1.0     ? 3
                                      : rate < 100.0 ? 1
                                                     : 0),
                       wh_units_count(tokens, sizeof tokens, (double)v->tokens / v->seconds));
        add_tile(to, wh_units_seconds(a, sizeof a, v->seconds), b);
    }
    wh_text_add(to, "</div>\n");
}

/* ---- evaluations ---- */

enum { MAX_COLUMNS = 8 };

static void add_eval_row(wh_text *to, const json_t *eval, const char *const *key, int n) {
    char cell[MAX_COLUMNS][32], name[32];
    const char *list[MAX_COLUMNS];
    for (int i = 0; i < n; i++)
        list[i] = wh_units_metric(cell[i], sizeof cell[i], wh_json_number_or_nan(eval, key[i]));
    (void)snprintf(name, sizeof name, "%" PRId64, wh_json_whole_or_zero(eval, "round"));
    wh_html_row(to, name, list, n);
}

static void add_evaluations(wh_text *to, const wh_run_view *v) {
    static const char *const KEY[] = {"loss",          "eval_loss",      "eval_accuracy",
                                      "eval_f1_macro", "eval_f1_binary", "eval_matthews",
                                      "eval_pearson",  "eval_spearman"};
    static const char *const NAME[] = {"training loss", "test loss", "accuracy", "F1 macro",
                                       "F1 (class 1)",  "Matthews",  "Pearson",  "Spearman"};
    const char *key[MAX_COLUMNS];
    int n = 0;
    if (!v->last_eval) return;
    wh_text_add(to, "<details><summary>All evaluations as a table</summary>\n<div "
                    "class=\"scroll\"><table>\n<tr><th>round</th>");
    for (int i = 0; i < MAX_COLUMNS; i++) {
        if (!json_object_get(v->last_eval, KEY[i])) continue;
        key[n++] = KEY[i];
        wh_text_addf(to, "<th>%s</th>", NAME[i]);
    }
    wh_text_add(to, "</tr>\n");
    for (int i = 0; i < v->n_evals; i++) add_eval_row(to, v->eval[i], key, n);
    bool listed = v->n_evals > 0 && v->eval[v->n_evals - 1] == v->last_eval;
    if (!listed) add_eval_row(to, v->last_eval, key, n);
    wh_text_add(to, "</table></div>\n");
    if (v->metric->n_points > v->n_evals + !listed) {
        wh_html_textf(to, "%d of %" PRId64 " evaluations; metrics.jsonl has them all.",
                      v->n_evals + !listed, v->metric->n_points);
    }
    wh_text_add(to, "</details>\n");
}

/* ---- clients ---- */

static void say_partition(wh_text *to, const wh_run_view *v) {
    const json_t *p = v->partition;
    char a[32], b[32], c[32], d[32];
    wh_text_add(to, "<p>");
    const char *kind = config_text(v, "partition.kind");
    if (config_text(v, "partition.file")[0]) {
        wh_text_add(to, "Partition from a file: ");
    } else if (kind[0]) {
        wh_html_textf(to, "Partition %s", kind);
        if (strcmp(kind, "dirichlet") == 0 || strcmp(kind, "quantity") == 0)
            wh_html_textf(to, ", alpha %s", config_text(v, "partition.alpha"));
        wh_text_add(to, ": ");
    }
    wh_html_textf(to, "%s rows on %s client%s, %s to %s each",
                  wh_units_grouped(a, sizeof a, wh_json_whole_or_zero(p, "rows")),
                  wh_units_grouped(b, sizeof b, v->n_clients), v->n_clients == 1 ? "" : "s",
                  wh_units_grouped(c, sizeof c, wh_json_whole_or_zero(p, "rows_min")),
                  wh_units_grouped(d, sizeof d, wh_json_whole_or_zero(p, "rows_max")));
    wh_html_textf(to, " (median %s)",
                  wh_units_grouped(a, sizeof a, wh_json_whole_or_zero(p, "rows_median")));
    if (wh_json_whole_or_zero(p, "rows_unused") > 0)
        wh_html_textf(to, ", %s left out",
                      wh_units_grouped(a, sizeof a, wh_json_whole_or_zero(p, "rows_unused")));
    wh_text_add(to, ".");
    if (json_object_get(p, "label_skew"))
        wh_html_textf(to,
                      " A client knows %" PRId64 " to %" PRId64 " of %" PRId64
                      " labels, %s on average; label skew %s (mean total variation distance to "
                      "all rows; 0: no skew).",
                      wh_json_whole_or_zero(p, "classes_min"),
                      wh_json_whole_or_zero(p, "classes_max"), wh_json_whole_or_zero(p, "n_labels"),
                      wh_html_number(a, sizeof a, wh_json_number_or_nan(p, "classes_mean"), 1),
                      wh_html_number(b, sizeof b, wh_json_number_or_nan(p, "label_skew"), 3));
    wh_text_add(to, "</p>\n");
}

/* How often clients were trained. */
static void say_visits(wh_text *to, const wh_run_view *v) {
    if (!v->client || v->rounds == 0) return;
    uint32_t least = UINT32_MAX, most = 0;
    int32_t never = 0;
    for (int32_t c = 0; c < v->n_clients; c++) {
        uint32_t n = v->client[c].visits;
        if (n < least) least = n;
        if (n > most) most = n;
        never += n == 0;
    }
    char a[32];
    wh_text_add(to, "<p>");
    wh_html_textf(to, "A client was trained in %" PRIu32, least);
    if (most > least) wh_html_textf(to, " to %" PRIu32, most);
    wh_html_textf(to, " of %s round%s", wh_units_grouped(a, sizeof a, v->rounds),
                  v->rounds == 1 ? "" : "s");
    if (never > 0) wh_html_textf(to, "; %s never", wh_units_grouped(a, sizeof a, never));
    if (v->skipped > 0)
        wh_html_textf(to, "; %s update%s skipped because a number was not finite",
                      wh_units_grouped(a, sizeof a, v->skipped),
                      v->skipped == 1 ? " was" : "s were");
    wh_text_add(to, ".</p>\n");
}

typedef struct picture {
    wh_client_column client[WH_SHOWN_CLIENTS];
    int64_t label_rows[WH_SHOWN_CLIENTS][WH_SHOWN_LABELS];
    const char *label[WH_SHOWN_LABELS];
    wh_client_chart chart;
    char order[160];
} picture;

/* Fills it from partition_summary.json, which may be anything by now. */
static void fill(picture *pic, const wh_run_view *v) {
    const json_t *clients = json_object_get(v->partition, "clients");
    const json_t *labels = json_object_get(v->partition, "labels");
    int n = (int)json_array_size(clients), n_labels = (int)json_array_size(labels);
    if (n > WH_SHOWN_CLIENTS) n = WH_SHOWN_CLIENTS;
    if (n_labels > WH_SHOWN_LABELS) n_labels = WH_SHOWN_LABELS;
    for (int k = 0; k < n_labels; k++) {
        pic->label[k] = json_string_value(json_array_get(labels, (size_t)k));
        if (!pic->label[k]) pic->label[k] = "?";
    }
    for (int i = 0; i < n; i++) {
        const json_t *from = json_array_get(clients, (size_t)i);
        const json_t *rows = json_object_get(from, "label_rows");
        int64_t id = wh_json_whole_or_zero(from, "client");
        wh_client_column *c = &pic->client[i];
        *c = (wh_client_column){.client = (int32_t)id, .rows = wh_json_whole_or_zero(from, "rows")};
        if (c->rows < 0) c->rows = 0;
        for (int k = 0; k < n_labels; k++) {
            int64_t count = json_integer_value(json_array_get(rows, (size_t)k));
            pic->label_rows[i][k] = count < 0 ? 0 : count > c->rows ? c->rows : count;
        }
        c->label_rows = pic->label_rows[i];
        if (v->client && id >= 0 && id < v->n_clients) c->visits = v->client[id].visits;
    }
    char all[32];
    wh_units_grouped(all, sizeof all, v->n_clients);
    if (n < v->n_clients) {
        (void)snprintf(pic->order, sizeof pic->order,
                       "%d of %s clients, at even distances in the order of their rows", n, all);
    } else {
        (void)snprintf(pic->order, sizeof pic->order, "%s client%s, by number of rows", all,
                       v->n_clients == 1 ? "" : "s");
    }
    pic->chart = (wh_client_chart){.n_clients = n,
                                   .n_labels = n_labels,
                                   .client = pic->client,
                                   .label = pic->label,
                                   .has_visits = v->client && v->rounds > 0,
                                   .order = pic->order};
}

static void add_clients(wh_text *to, const wh_run_view *v) {
    if (!v->partition) return;
    picture *pic = calloc(1, sizeof *pic);
    if (!pic) {
        to->failed = true;
        return;
    }
    wh_text_add(to, "<h2>Clients</h2>\n");
    say_partition(to, v);
    say_visits(to, v);
    fill(pic, v);
    wh_chart_add_clients(to, &pic->chart);
    free(pic);
}

/* ---- the page ---- */

void wh_report_page(wh_text *to, const wh_run_view *v) {
    wh_html_open(to, v->name);
    wh_text_add(to, "<h1>");
    wh_html_text_cut(to, v->name, 200);
    wh_text_add(to, "</h1>\n<p class=\"verdict\">");
    add_outcome(to, v);
    wh_text_add(to, "</p>\n");
    wh_text end = {0};
    add_end(&end, v);
    if (end.failed) to->failed = true;
    if (end.len > 0) wh_text_addf(to, "<p class=\"verdict bad\">%s</p>\n", end.data);
    wh_text_free(&end);
    add_tiles(to, v);
    if (v->rounds > 0) {
        wh_report_curves(to, v);
        add_evaluations(to, v);
    }
    add_clients(to, v);
    wh_report_ledger(to, v);
    wh_report_memory(to, v);
    wh_report_setup(to, v);
    wh_html_close(to);
}

weft_status wh_report_write(const char *folder, weft_error *err) {
    wh_run_view *view = NULL;
    wh_text page = {0};
    WEFT_TRY(wh_run_view_read(&view, folder, true, err));
    wh_report_page(&page, view);
    weft_status st = wh_text_check(&page, "report.html", err);
    char *path = wh_path_join(view->folder, "report.html");
    if (st == WEFT_OK && !path) st = WEFT_FAIL(err, WEFT_E_MEM, "out of memory for report.html");
    if (st == WEFT_OK) st = wh_file_write(path, page.data, page.len, err);
    free(path);
    wh_text_free(&page);
    wh_run_view_free(view);
    return st;
}
