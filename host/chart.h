/* Charts as SVG inside a page of html.h: curves over rounds, bytes or time with their scales and
 * labels, and the picture of the clients. Complete without a script; what the pointer rests on says
 * its exact value (SVG titles). */
#ifndef WH_CHART_H
#define WH_CHART_H

#include "host/curve.h"
#include "host/text.h"

/* ---- scales ---- */

typedef enum wh_unit {
    WH_UNIT_PLAIN = 0,   /* as it is */
    WH_UNIT_WHOLE = 1,   /* whole numbers: rounds, rows */
    WH_UNIT_COUNT = 2,   /* in thousands, millions, … when large */
    WH_UNIT_BYTES = 3,   /* decimal: kB, MB, … */
    WH_UNIT_SECONDS = 4, /* seconds, minutes or hours */
    WH_UNIT_REAL = 5,    /* of any size: in powers of ten when small or large */
} wh_unit;

/* lo…hi with ticks at multiples of step; shown as value/divisor `unit`. */
typedef struct wh_scale {
    double lo, hi, step, divisor;
    const char *unit; /* "MB"; "" for none */
    int decimals;     /* of a tick's label */
} wh_scale;

/* A scale that holds lo…hi with at most max_ticks ticks, and a little room unless it starts at 0.
 * Values that are not finite or all equal are fine. */
wh_scale wh_scale_make(double lo, double hi, wh_unit unit, int max_ticks);
/* The first tick, and a tick's label: "0.8", "1,200". Returns out. */
double wh_scale_first(const wh_scale *scale);
const char *wh_scale_label(char *out, size_t n, const wh_scale *scale, double value);

/* ---- curves ---- */

typedef enum wh_chart_x {
    WH_X_ROUND = 0,
    WH_X_BYTES = 1,
    WH_X_SECONDS = 2,
    WH_X_STEPS = 3,
} wh_chart_x;

typedef struct wh_chart_line {
    const char *name;
    const wh_curve *curve;
    int color; /* 0 …: colour, then dashes; the same number is the same look on every chart */
} wh_chart_line;

typedef struct wh_chart_level { /* a horizontal line to compare with */
    const char *name;
    double y;
} wh_chart_level;

enum { WH_CHART_LINES = 64, WH_CHART_LEVELS = 4 };

typedef struct wh_chart {
    const char *title;
    wh_chart_x x;
    wh_unit y_unit;
    bool from_zero;
    int n_lines, n_levels;
    wh_chart_line line[WH_CHART_LINES];
    wh_chart_level level[WH_CHART_LEVELS];
    const wh_curve *band; /* smallest to largest value of each round, in colour 0; NULL: none */
} wh_chart;

/* A <figure>. Lines without a finite point are left out; without any the figure says so. Lines are
 * named at their ends where there are few and no name is long; give a legend where that may fail.
 */
void wh_chart_add(wh_text *to, const wh_chart *chart);
/* A list item of a legend: a piece of the line and its name. */
void wh_chart_add_legend(wh_text *to, const wh_chart_line *line);

/* ---- clients ---- */

typedef struct wh_client_column {
    int32_t client;
    int64_t rows;
    const int64_t *label_rows; /* (n_labels); NULL for regression */
    int64_t visits;            /* rounds it was trained in */
} wh_client_column;

typedef struct wh_client_chart {
    int n_clients, n_labels;
    const wh_client_column *client; /* (n_clients) in the order of the picture */
    const char *const *label;       /* (n_labels) */
    bool has_visits;
    const char *order; /* title of the common axis */
} wh_client_chart;

/* Rows of each client as bars, below them its label shares as a heat map, below it the rounds in
 * which it was trained; all three over one axis. */
void wh_chart_add_clients(wh_text *to, const wh_client_chart *chart);

#endif
