#include "host/html.h"
#include "host/report_page.h"
#include "host/units.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- ledger ---- */

/* "1,000 (1.00 kB)", or a span of both. */
static void bytes_text(char *out, size_t n, double lo, double hi) {
    char a[32], b[32], unit[32];
    if (!isfinite(lo) || !isfinite(hi)) {
        (void)snprintf(out, n, "-");
    } else if (lo == hi) {
        (void)snprintf(out, n, "%s (%s)", wh_units_grouped(a, sizeof a, (int64_t)lo),
                       wh_units_wire(unit, sizeof unit, lo));
    } else {
        (void)snprintf(out, n, "%s to %s", wh_units_grouped(a, sizeof a, (int64_t)lo),
                       wh_units_grouped(b, sizeof b, (int64_t)hi));
    }
}

static void ledger_row(wh_text *to, const char *name, wh_span down, wh_span up) {
    char a[96], b[96];
    bytes_text(a, sizeof a, down.lo, down.hi);
    bytes_text(b, sizeof b, up.lo, up.hi);
    const char *cell[] = {a, b};
    wh_html_row(to, name, cell, 2);
}

static void client_spans(const wh_run_view *v, wh_span *down, wh_span *up) {
    *down = *up = (wh_span){HUGE_VAL, -HUGE_VAL};
    for (int32_t c = 0; c < v->n_clients; c++) {
        down->lo = fmin(down->lo, (double)v->client[c].down);
        down->hi = fmax(down->hi, (double)v->client[c].down);
        up->lo = fmin(up->lo, (double)v->client[c].up);
        up->hi = fmax(up->hi, (double)v->client[c].up);
    }
}

/* What the sum consists of, where clients send more than models. A kind that goes both ways is one
 * row. */
static void add_kinds(wh_text *to, const wh_run_view *v) {
    const bool more = v->bytes[0] + v->bytes[1] < v->bytes_down + v->bytes_up;
    for (int i = 0; i < WH_WIRE_KINDS && more; i++) {
        const wh_wire_kind *kind = &wh_wire_kinds[i];
        if (kind->is_up) continue;
        const bool both = i + 1 < WH_WIRE_KINDS && wh_wire_kinds[i + 1].is_up;
        const double down = v->bytes[i], up = both ? v->bytes[i + 1] : 0.0;
        char name[64];
        (void)snprintf(name, sizeof name, "of these, %s", kind->title);
        ledger_row(to, name, (wh_span){down, down}, (wh_span){up, up});
    }
}

void wh_report_ledger(wh_text *to, const wh_run_view *v) {
    if (v->rounds == 0) return;
    wh_text_add(to, "<h2>Bytes on the wire</h2>\n<p>What a deployment of this run would send, "
                    "counted to the byte; nothing of it was sent here.</p>\n<div "
                    "class=\"scroll\"><table>\n<tr><th></th><th>down, to "
                    "clients</th><th>up, to the server</th></tr>\n");
    if (v->client && isfinite(v->visit_down.lo))
        ledger_row(to, "a client in a round", v->visit_down, v->visit_up);
    ledger_row(to, "a round", v->round_down, v->round_up);
    if (v->client && v->n_clients > 0) {
        wh_span down, up;
        client_spans(v, &down, &up);
        ledger_row(to, "a client over the run", down, up);
    }
    wh_span down = {v->bytes_down, v->bytes_down}, up = {v->bytes_up, v->bytes_up};
    char name[64];
    (void)snprintf(name, sizeof name, "%" PRId64 " round%s", v->rounds, v->rounds == 1 ? "" : "s");
    ledger_row(to, name, down, up);
    add_kinds(to, v);
    wh_text_add(to, "</table></div>\n");
}

/* ---- memory ---- */

static void measured_row(wh_text *to, const char *name, int64_t bytes, double total) {
    char text[32], share[32] = "";
    if (bytes <= 0) return;
    if (total > 0.0) (void)snprintf(share, sizeof share, "%.1f %%", 100.0 * (double)bytes / total);
    const char *cell[] = {wh_units_memory(text, sizeof text, (double)bytes), share};
    wh_html_row(to, name, cell, 2);
}

void wh_report_memory(wh_text *to, const wh_run_view *v) {
    const json_t *items = json_object_get(v->plan, "memory_bytes"), *value;
    if (!json_is_object(items)) return;
    const json_t *total_json = json_object_get(v->plan, "memory_bytes_total");
    double total = json_number_value(total_json);
    char bytes[32], share[32];
    wh_text_add(to, "<h2>Memory</h2>\n<table>\n<tr><th>item, as weft plan lists "
                    "it</th><th></th><th>of all</th></tr>\n");
    const char *name;
    int n = 0;
    json_object_foreach((json_t *)(uintptr_t)items, name, value) {
        if (n++ == WEFT_PLAN_ITEMS) break;
        double x = json_number_value(value);
        const char *cell[] = {wh_units_memory(bytes, sizeof bytes, x), share};
        (void)snprintf(share, sizeof share, "%.1f %%", total > 0.0 ? 100.0 * x / total : 0.0);
        wh_html_row(to, name, cell, 2);
    }
    const char *sum[] = {wh_units_memory(bytes, sizeof bytes, total), ""};
    wh_html_row(to, "in all", sum, 2);
    measured_row(to, "measured: anonymous memory, its peak", v->anon_rss, total);
    measured_row(to, "measured: resident set, its peak", v->peak_rss, total);
    wh_text_add(to, "</table>\n<p class=\"dim\">The resident set also holds pages of files: the "
                    "program, its libraries, and what was read of the model. ");
    const char *backend = json_string_value(json_object_get(v->plan, "backend"));
    if (backend && strcmp(backend, "cuda") == 0)
        wh_text_add(to, "Planned items without &quot;host&quot; are memory of the device, which "
                        "these measurements do not see.");
    wh_text_add(to, "</p>\n");
}

/* ---- how it was made ---- */

/* Options whose value is not the default. */
static void add_options(wh_text *to, const weft_config *config) {
    weft_config *preset = NULL;
    if (weft_config_new(&preset, NULL) != WEFT_OK) {
        to->failed = true;
        return;
    }
    wh_text_add(to, "<table class=\"left\">\n");
    for (size_t i = 0; i < weft_option_count(); i++) {
        const weft_option *option = weft_option_at(i);
        const char *value = weft_config_text(config, option->key);
        if (strcmp(value, weft_config_text(preset, option->key)) == 0) continue;
        wh_text_add(to, "<tr><td>");
        wh_html_text(to, option->key);
        wh_text_add(to, "</td><td>");
        wh_html_text_cut(to, value, 400);
        wh_text_add(to, "</td></tr>\n");
    }
    wh_text_add(to, "</table>\n");
    weft_config_free(preset);
}

static void add_value(wh_text *to, const json_t *value) {
    if (json_is_string(value)) {
        wh_html_text_cut(to, json_string_value(value), 400);
    } else if (json_is_integer(value)) {
        wh_html_textf(to, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        char text[WH_NUMBER_TEXT];
        wh_html_text(to, wh_real_text(text, json_real_value(value)));
    } else if (json_is_boolean(value)) {
        wh_text_add(to, json_is_true(value) ? "yes" : "no");
    } else {
        wh_text_add(to, "-");
    }
}

/* Values of an object and of the objects in it. */
static void add_object(wh_text *to, const json_t *object, const char *prefix, int depth) {
    enum { MAX_ROWS = 60, MAX_DEPTH = 2 };
    const char *key;
    const json_t *value;
    int n = 0;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        if (n++ == MAX_ROWS) break;
        if (json_is_object(value) && depth < MAX_DEPTH) {
            add_object(to, value, key, depth + 1);
            continue;
        }
        if (json_is_null(value)) continue;
        wh_text_add(to, "<tr><td>");
        if (prefix[0]) wh_html_textf(to, "%.60s, ", prefix);
        wh_html_text_cut(to, key, 80);
        wh_text_add(to, "</td><td>");
        add_value(to, value);
        wh_text_add(to, "</td></tr>\n");
    }
}

void wh_report_setup(wh_text *to, const wh_run_view *v) {
    if (v->config) {
        wh_text_add(to, "<h2>Configuration</h2>\n<p class=\"dim\">Options that are not at their "
                        "defaults.</p>\n");
        add_options(to, v->config);
    } else if (v->config_text) {
        wh_text_add(to, "<h2>Configuration</h2>\n");
    }
    if (v->config_text) {
        wh_text_add(to, "<details><summary>config.resolved.yaml, every option</summary><pre>");
        wh_html_text_cut(to, v->config_text, 100000);
        wh_text_add(to, "</pre></details>\n");
    }
    if (!v->env && !v->command) return;
    wh_text_add(to, "<h2>Machine and command</h2>\n");
    if (v->command) {
        wh_text_add(to, "<pre>");
        wh_html_text_cut(to, v->command, 20000);
        wh_text_add(to, "</pre>\n");
    }
    if (v->env) {
        wh_text_add(to, "<table class=\"left\">\n");
        add_object(to, v->env, "", 0);
        wh_text_add(to, "</table>\n");
    }
}
