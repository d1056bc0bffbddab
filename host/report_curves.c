#include "host/chart.h"
#include "host/report_page.h"

#include <math.h>
#include <stdio.h>

const char *wh_report_metric(const wh_run_view *v) {
    return v->is_regression ? "Pearson's r" : "accuracy";
}

static void add_level(wh_chart *chart, const char *name, double y) {
    if (isfinite(y)) chart->level[chart->n_levels++] = (wh_chart_level){name, y};
}

static void add_quality(wh_text *to, const wh_run_view *v, wh_chart_x x) {
    char title[96];
    static const char *const OVER[] = {"by round", "by bytes on the wire", "by training time",
                                       "by local steps"};
    (void)snprintf(title, sizeof title, "Test %s %s", wh_report_metric(v), OVER[x]);
    wh_chart chart = {.title = title, .x = x, .n_lines = 1};
    chart.line[0] = (wh_chart_line){wh_report_metric(v), v->metric, 0};
    add_level(&chart, "linear probe", wh_run_view_baseline(v, "linear_probe", v->metric_name));
    add_level(&chart, v->is_regression ? "training mean" : "majority class",
              wh_run_view_baseline(v, "majority", v->metric_name));
    wh_chart_add(to, &chart);
}

/* A threshold that is out of reach would leave the rest flat on the ground. */
static bool is_in_reach(const wh_run_view *v) {
    double low = HUGE_VAL, high = 0.0;
    for (int i = 0; i < v->theta->n; i++)
        if (isfinite(v->theta->bin[i].low.y)) low = fmin(low, v->theta->bin[i].low.y);
    for (int i = 0; i < v->estimate->n; i++)
        if (isfinite(v->estimate->bin[i].high.y)) high = fmax(high, v->estimate->bin[i].high.y);
    return fabs(low) < 20.0 * high;
}

static void add_spread(wh_text *to, const wh_run_view *v, bool every_check) {
    wh_chart spread = {.title = every_check ? "Variance between the clients at every check"
                                            : "Variance between the clients when a round ends",
                       .x = every_check ? WH_X_STEPS : WH_X_ROUND,
                       .y_unit = WH_UNIT_REAL,
                       .from_zero = true,
                       .n_lines = 2};
    spread.line[0] = (wh_chart_line){"exact", every_check ? v->check_variance : v->variance, 0};
    spread.line[1] = (wh_chart_line){"estimate", every_check ? v->check_estimate : v->estimate, 1};
    if (is_in_reach(v))
        spread.line[spread.n_lines++] =
            (wh_chart_line){"theta", every_check ? v->check_theta : v->theta, 2};
    wh_chart_add(to, &spread);
}

/* Of runs whose clients synchronise when the variance between them says so. */
static void add_checks(wh_text *to, const wh_run_view *v, bool evaluated) {
    add_spread(to, v, false);
    if (v->check_estimate->n_points > v->estimate->n_points) add_spread(to, v, true);
    wh_chart checks = {.title = "Checks of the variance in a round",
                       .y_unit = WH_UNIT_WHOLE,
                       .from_zero = true,
                       .n_lines = 1};
    checks.line[0] = (wh_chart_line){"checks", v->checks, 0};
    wh_chart_add(to, &checks);
    if (evaluated) add_quality(to, v, WH_X_STEPS);
}

void wh_report_curves(wh_text *to, const wh_run_view *v) {
    wh_text_add(to, "<h2>Curves</h2>\n<div class=\"charts\">\n");
    bool evaluated = v->metric->n_points > 0, band = v->client_loss->n_points > 0;
    if (evaluated) add_quality(to, v, WH_X_ROUND);
    wh_chart loss = {.title = band ? "Loss by round; the band spans the clients of a round"
                                   : "Loss by round",
                     .n_lines = 1,
                     .band = band ? v->client_loss : NULL};
    loss.line[0] = (wh_chart_line){"training", v->loss, 0};
    if (evaluated) loss.line[loss.n_lines++] = (wh_chart_line){"test", v->eval_loss, 1};
    wh_chart_add(to, &loss);
    if (evaluated) add_quality(to, v, WH_X_BYTES);
    if (evaluated) add_quality(to, v, WH_X_SECONDS);
    if (v->n_checks > 0) add_checks(to, v, evaluated);
    wh_chart speed = {.title = "Tokens a second by round",
                      .y_unit = WH_UNIT_COUNT,
                      .from_zero = true,
                      .n_lines = 1};
    speed.line[0] = (wh_chart_line){"tokens a second", v->tokens_per_s, 0};
    wh_chart_add(to, &speed);
    if (v->mean_norm->n_points > 0) {
        wh_chart norm = {.title = "Norm of the clients' updates: mean and range of a round",
                         .n_lines = 1,
                         .from_zero = true,
                         .band = v->update_norm};
        norm.line[0] = (wh_chart_line){"mean", v->mean_norm, 0};
        wh_chart_add(to, &norm);
    }
    wh_text_add(to, "</div>\n");
}
