#include "host/compare_page.h"

#include "host/html.h"
#include "host/units.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

typedef struct runs {
    wh_run_view *const *view;
    const char *const *label;
    int n;
    const wh_run_view *evaluated; /* the first with evaluations; NULL: none */
} runs;

static const char *metric_label(const runs *r) {
    return r->evaluated->is_regression ? "Pearson's r" : "accuracy";
}

/* A baseline is a property of model and data: from the first run that has it. */
static void add_level(wh_chart *chart, const runs *r, const char *part, const char *name) {
    for (int i = 0; i < r->n; i++) {
        double y = wh_run_view_baseline(r->view[i], part, r->view[i]->metric_name);
        if (!isfinite(y)) continue;
        chart->level[chart->n_levels++] = (wh_chart_level){name, y};
        return;
    }
}

static void add_chart(wh_text *to, const runs *r, const char *what, wh_chart_x x,
                      size_t curve_offset, wh_unit unit, bool levels) {
    static const char *const OVER[] = {"by round", "by bytes on the wire", "by training time",
                                       "by local steps"};
    char title[96];
    (void)snprintf(title, sizeof title, "%s %s", what, OVER[x]);
    wh_chart chart = {.title = title, .x = x, .y_unit = unit, .from_zero = unit == WH_UNIT_COUNT};
    for (int i = 0; i < r->n; i++) {
        const char *base = (const char *)r->view[i] + curve_offset;
        const wh_curve *curve = *(wh_curve *const *)(const void *)base;
        chart.line[chart.n_lines++] = (wh_chart_line){r->label[i], curve, i};
    }
    if (levels) {
        add_level(&chart, r, "linear_probe", "linear probe");
        add_level(&chart, r, "majority",
                  r->evaluated->is_regression ? "training mean" : "majority class");
    }
    wh_chart_add(to, &chart);
}

static void add_charts(wh_text *to, const runs *r) {
    char what[64];
    wh_text_add(to, "<div class=\"charts\">\n");
    if (r->evaluated) {
        (void)snprintf(what, sizeof what, "Test %s", metric_label(r));
        for (int x = 0; x < 4; x++)
            add_chart(to, r, what, (wh_chart_x)x, offsetof(wh_run_view, metric), WH_UNIT_PLAIN,
                      true);
        add_chart(to, r, "Test loss", WH_X_ROUND, offsetof(wh_run_view, eval_loss), WH_UNIT_PLAIN,
                  false);
        add_chart(to, r, "Training loss", WH_X_ROUND, offsetof(wh_run_view, loss), WH_UNIT_PLAIN,
                  false);
    } else {
        for (int x = 0; x < 4; x++)
            add_chart(to, r, "Training loss", (wh_chart_x)x, offsetof(wh_run_view, loss),
                      WH_UNIT_PLAIN, false);
    }
    add_chart(to, r, "Tokens a second", WH_X_ROUND, offsetof(wh_run_view, tokens_per_s),
              WH_UNIT_COUNT, false);
    wh_text_add(to, "</div>\n");
}

static void add_row(wh_text *to, const wh_run_view *v, const char *label, bool metric) {
    char cell[9][40];
    const char *list[9];
    int n = 0, size = sizeof cell[0];
    for (int i = 0; i < 9; i++) list[i] = cell[i];
    int64_t planned = wh_run_view_planned(v);
    if (v->rounds == planned || planned == 0) {
        (void)snprintf(cell[n++], (size_t)size, "%" PRId64, v->rounds);
    } else {
        (void)snprintf(cell[n++], (size_t)size, "%" PRId64 " of %" PRId64, v->rounds, planned);
    }
    bool evaluated = v->metric->n_points > 0;
    if (metric) {
        (void)wh_units_metric(cell[n++], (size_t)size, evaluated ? v->metric->last.y : (double)NAN);
        (void)wh_units_metric(cell[n++], (size_t)size,
                              evaluated ? v->eval_loss->last.y : (double)NAN);
    }
    (void)wh_units_metric(cell[n++], (size_t)size,
                          v->loss->n_points ? v->loss->last.y : (double)NAN);
    if (v->local_steps > 0) { /* of runs that tell */
        (void)wh_units_grouped(cell[n++], (size_t)size, v->local_steps);
        (void)wh_units_grouped(cell[n++], (size_t)size, v->barriers);
    } else {
        for (int i = 0; i < 2; i++) (void)snprintf(cell[n++], (size_t)size, "-");
    }
    (void)wh_units_wire(cell[n++], (size_t)size, v->bytes_down);
    (void)wh_units_wire(cell[n++], (size_t)size, v->bytes_up);
    (void)wh_units_seconds(cell[n++], (size_t)size, v->seconds);
    wh_html_row(to, label, list, n);
}

static void add_table(wh_text *to, const runs *r) {
    wh_text_add(to, "<h2>At the end</h2>\n<div class=\"scroll\"><table>\n<tr><th>run</th><th>rounds"
                    "</th>");
    if (r->evaluated) wh_text_addf(to, "<th>%s</th><th>test loss</th>", metric_label(r));
    wh_text_add(to, "<th>training loss</th><th>local steps</th><th>barriers</th><th>bytes "
                    "down</th><th>bytes up</th><th>training time"
                    "</th></tr>\n");
    for (int i = 0; i < r->n; i++) add_row(to, r->view[i], r->label[i], r->evaluated != NULL);
    wh_text_add(to, "</table></div>\n");
}

void wh_compare_page(wh_text *to, wh_run_view *const *view, const char *const *label, int n) {
    runs r = {.view = view, .label = label, .n = n < WH_CHART_LINES ? n : WH_CHART_LINES};
    for (int i = 0; i < r.n && !r.evaluated; i++)
        if (view[i]->metric->n_points > 0) r.evaluated = view[i];
    char title[64];
    (void)snprintf(title, sizeof title, "%d run%s compared", r.n, r.n == 1 ? "" : "s");
    wh_html_open(to, title);
    wh_text_addf(to, "<h1>%s</h1>\n<ul class=\"legend\">\n", title);
    for (int i = 0; i < r.n; i++) {
        wh_chart_line line = {label[i], NULL, i};
        wh_chart_add_legend(to, &line);
    }
    wh_text_add(to, "</ul>\n");
    if (!r.evaluated)
        wh_text_add(to, "<p>No run was evaluated on test rows: training losses are compared, which "
                        "say little about quality.</p>\n");
    add_charts(to, &r);
    add_table(to, &r);
    wh_html_close(to);
}
