#include "host/chart.h"

#include "host/chart_parts.h"
#include "host/html.h"
#include "host/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* User units; a figure is shown at about this width, so a font of 12 is read as 12 pixels. */
enum { WIDTH = 480, HEIGHT = 270, LEFT = 52, TOP = 12, BOTTOM = 40 };
enum { COLORS = 6, MAX_NAME = 20, DIRECT_LINES = 8, MARKED_POINTS = 40, HOVER_POINTS = 400 };

typedef struct frame {
    wh_scale x, y;
    double left, right, top, bottom; /* of the plot */
} frame;

static double x_of(wh_chart_x kind, const wh_point *p) {
    const double x[] = {p->round, p->bytes, p->seconds, p->steps};
    return x[kind];
}

static double place_x(const frame *f, double x) {
    return f->left + (x - f->x.lo) / (f->x.hi - f->x.lo) * (f->right - f->left);
}

static double place_y(const frame *f, double y) {
    return f->bottom - (y - f->y.lo) / (f->y.hi - f->y.lo) * (f->bottom - f->top);
}

/* Classes of a line: its colour, and dashes once the colours are used up. */
static void look(char out[16], int color) {
    static const char *const DASH[] = {"", " d", " dd"};
    (void)snprintf(out, 16, "c%d%s", color % COLORS, DASH[color / COLORS % 3]);
}

/* ---- ranges ---- */

typedef struct range {
    double lo, hi;
} range;

static void widen(range *r, double value) {
    if (!isfinite(value)) return;
    if (!(r->lo <= value)) r->lo = value; /* also when it is NaN still */
    if (!(r->hi >= value)) r->hi = value;
}

static bool is_drawn(wh_chart_x kind, const wh_point *p) {
    return isfinite(p->y) && isfinite(x_of(kind, p));
}

/* Widens both by a curve; true when it has something to show. */
static bool measure(range *x, range *y, const wh_chart *chart, const wh_curve *curve,
                    wh_point *point) {
    bool any = false;
    int n = wh_curve_points(curve, point);
    for (int i = 0; i < n; i++) {
        if (!is_drawn(chart->x, &point[i])) continue;
        widen(x, x_of(chart->x, &point[i]));
        widen(y, point[i].y);
        any = true;
    }
    return any;
}

static void measure_band(range *x, range *y, const wh_chart *chart) {
    for (int i = 0; i < chart->band->n; i++) {
        const wh_point *end[] = {&chart->band->bin[i].low, &chart->band->bin[i].high};
        for (int k = 0; k < 2; k++) {
            if (!is_drawn(chart->x, end[k])) continue;
            widen(x, x_of(chart->x, end[k]));
            widen(y, end[k]->y);
        }
    }
}

/* ---- drawing ---- */

static void add_axes(wh_text *to, const wh_chart *chart, const frame *f) {
    static const char *const X_TITLE[] = {"round", "bytes on the wire, up and down",
                                          "training time", "local steps of a client"};
    char label[64];
    for (double v = wh_scale_first(&f->y); v <= f->y.hi + 1e-9 * f->y.step; v += f->y.step) {
        double y = place_y(f, v);
        wh_svg_line(to, "g", f->left, y, f->right, y);
        wh_svg_text(to, "t", f->left - 6, y + 4, "end",
                    wh_scale_label(label, sizeof label, &f->y, v), 16);
    }
    wh_svg_line(to, "g", f->left, f->bottom, f->right, f->bottom);
    for (double v = wh_scale_first(&f->x); v <= f->x.hi + 1e-9 * f->x.step; v += f->x.step) {
        double x = place_x(f, v);
        wh_svg_line(to, "g", x, f->bottom, x, f->bottom + 4);
        wh_svg_text(to, "t", x, f->bottom + 17, "middle",
                    wh_scale_label(label, sizeof label, &f->x, v), 16);
    }
    const char *unit = f->x.unit, *open = unit[0] ? " (" : "", *close = unit[0] ? ")" : "";
    (void)snprintf(label, sizeof label, "%s%s%s%s", X_TITLE[chart->x], open, unit, close);
    wh_svg_text(to, "t", (f->left + f->right) / 2, f->bottom + 34, "middle", label, 60);
    if (f->y.unit[0]) wh_svg_text(to, "t", f->left - 6, f->top - 2, "end", f->y.unit, 16);
}

/* Text of a point: its round, what it took, its value. */
static void add_title(wh_text *to, const wh_chart *chart, const wh_chart_line *line,
                      const wh_point *p) {
    char a[32], b[32];
    wh_text_add(to, "<title>");
    wh_html_text_cut(to, line->name, 60);
    wh_html_textf(to, ", round %s", wh_html_number(a, sizeof a, p->round, 0));
    if (chart->x == WH_X_BYTES) wh_html_textf(to, ", %s", wh_units_wire(a, sizeof a, p->bytes));
    if (chart->x == WH_X_SECONDS)
        wh_html_textf(to, ", %s", wh_units_seconds(a, sizeof a, p->seconds));
    if (chart->x == WH_X_STEPS)
        wh_html_textf(to, ", %s local steps", wh_html_number(a, sizeof a, p->steps, 0));
    int decimals = fabs(p->y) < 100.0 ? 4 : fabs(p->y) < 10000.0 ? 1 : 0;
    wh_html_textf(to, ": %s",
                  chart->y_unit == WH_UNIT_REAL ? wh_float_text(b, (float)p->y)
                                                : wh_html_number(b, sizeof b, p->y, decimals));
    wh_text_add(to, "</title>");
}

static void add_dot(wh_text *to, const char *class, double x, double y, double r) {
    wh_text_addf(to, "<circle class=\"%s\" cx=\"", class);
    wh_svg_number(to, x);
    wh_text_add(to, "\" cy=\"");
    wh_svg_number(to, y);
    wh_text_add(to, "\" r=\"");
    wh_svg_number(to, r);
    wh_text_add(to, "\">");
}

static void add_line(wh_text *to, const wh_chart *chart, const frame *f, const wh_chart_line *line,
                     wh_point *point) {
    char class[16];
    look(class, line->color);
    int n = wh_curve_points(line->curve, point);
    wh_text_addf(to, "<g class=\"%s\"><path class=\"l%s%s\" d=\"", class,
                 strchr(class, ' ') ? strchr(class, ' ') : "",
                 line->curve->per_bin > 1 ? " thin" : "");
    bool pen_down = false;
    for (int i = 0; i < n; i++) {
        bool drawn = is_drawn(chart->x, &point[i]);
        if (drawn) {
            wh_text_add(to, pen_down ? "L" : "M");
            wh_svg_number(to, place_x(f, x_of(chart->x, &point[i])));
            wh_text_add(to, " ");
            wh_svg_number(to, place_y(f, point[i].y));
        }
        pen_down = drawn;
    }
    wh_text_add(to, "\"/>\n");
    bool marked = n <= MARKED_POINTS;
    for (int i = 0; i < n && n <= HOVER_POINTS; i++) {
        if (!is_drawn(chart->x, &point[i])) continue;
        add_dot(to, marked ? "p" : "h", place_x(f, x_of(chart->x, &point[i])),
                place_y(f, point[i].y), marked ? 2.6 : 4);
        add_title(to, chart, line, &point[i]);
        wh_text_add(to, "</circle>\n");
    }
    wh_text_add(to, "</g>\n");
}

static void add_band(wh_text *to, const wh_chart *chart, const frame *f) {
    const wh_curve *band = chart->band;
    bool any = false;
    for (int side = 0; side < 2; side++) { /* along the top, back along the bottom */
        for (int k = 0; k < band->n; k++) {
            const wh_curve_bin *bin = &band->bin[side ? band->n - 1 - k : k];
            if (!is_drawn(chart->x, &bin->low) || !is_drawn(chart->x, &bin->high)) continue;
            const wh_point *p = side ? &bin->low : &bin->high;
            wh_text_add(to, any ? "L" : "<path class=\"band c0\" d=\"M");
            wh_svg_number(to, place_x(f, x_of(chart->x, p)));
            wh_text_add(to, " ");
            wh_svg_number(to, place_y(f, p->y));
            any = true;
        }
    }
    if (any) wh_text_add(to, "Z\"/>\n");
}

/* ---- labels at the right end, pushed apart ---- */

typedef struct end_label {
    double y;
    const char *text;
    int color; /* -1: a level */
} end_label;

static int by_y(const void *a, const void *b) {
    double x = ((const end_label *)a)->y, y = ((const end_label *)b)->y;
    return (x > y) - (x < y);
}

static void add_labels(wh_text *to, const frame *f, end_label *label, int n) {
    enum { APART = 14 };
    qsort(label, (size_t)n, sizeof *label, by_y);
    for (int i = 1; i < n; i++)
        if (label[i].y < label[i - 1].y + APART) label[i].y = label[i - 1].y + APART;
    double limit = f->bottom;
    for (int i = n - 1; i >= 0; i--, limit -= APART)
        if (label[i].y > limit) label[i].y = limit;
    for (int i = 0; i < n; i++) {
        char class[24] = "t";
        if (label[i].color >= 0)
            (void)snprintf(class, sizeof class, "n c%d", label[i].color % COLORS);
        wh_svg_text(to, class, f->right + 7, label[i].y + 4, "start", label[i].text, MAX_NAME);
    }
}

/* ---- the figure ---- */

static const wh_point *last_drawn(const wh_chart *chart, const wh_curve *curve, wh_point *point) {
    for (int i = wh_curve_points(curve, point) - 1; i >= 0; i--)
        if (is_drawn(chart->x, &point[i])) return &point[i];
    return NULL;
}

/* The plot alone; false when there is nothing to draw. `point` is scratch. */
static bool add_svg(wh_text *to, const wh_chart *chart, wh_point *point) {
    range x = {(double)NAN, (double)NAN}, y = x;
    bool shown[WH_CHART_LINES] = {false};
    int n_shown = 0;
    double margin = 10;
    bool all_fit = true; /* names cut short would often be the same */
    for (int i = 0; i < chart->n_lines; i++) {
        shown[i] = measure(&x, &y, chart, chart->line[i].curve, point);
        n_shown += shown[i];
        double width = shown[i] ? wh_svg_width(chart->line[i].name, MAX_NAME + 1) : 0;
        if (width > MAX_NAME * WH_SVG_CHAR) all_fit = false;
        margin = fmax(margin, 14 + 1.12 * width); /* bold */
    }
    if (n_shown == 0) return false;
    if (chart->band) measure_band(&x, &y, chart);
    bool direct = n_shown + chart->n_levels > 1 && n_shown <= DIRECT_LINES && all_fit;
    if (!direct) margin = 10;
    for (int i = 0; i < chart->n_levels; i++) {
        widen(&y, chart->level[i].y);
        margin = fmax(margin, 14 + wh_svg_width(chart->level[i].name, MAX_NAME));
    }
    if (chart->from_zero) widen(&y, 0.0);
    if (chart->x != WH_X_ROUND) widen(&x, 0.0);
    frame f = {.left = LEFT, .right = WIDTH - margin, .top = TOP, .bottom = HEIGHT - BOTTOM};
    static const wh_unit X_UNIT[] = {WH_UNIT_WHOLE, WH_UNIT_BYTES, WH_UNIT_SECONDS, WH_UNIT_COUNT};
    f.x = wh_scale_make(x.lo, x.hi, X_UNIT[chart->x], margin > 100 ? 5 : 7);
    f.y = wh_scale_make(y.lo, y.hi, chart->y_unit, 6);

    wh_text_addf(to, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n<title>", WIDTH, HEIGHT);
    wh_html_text_cut(to, chart->title, 120);
    wh_text_add(to, "</title>\n");
    add_axes(to, chart, &f);
    end_label label[DIRECT_LINES + WH_CHART_LEVELS];
    int n_labels = 0;
    for (int i = 0; i < chart->n_levels; i++) {
        if (!isfinite(chart->level[i].y)) continue;
        double at = place_y(&f, chart->level[i].y);
        wh_svg_line(to, "ref", f.left, at, f.right, at);
        label[n_labels++] = (end_label){at, chart->level[i].name, -1};
    }
    if (chart->band) add_band(to, chart, &f);
    for (int i = 0; i < chart->n_lines; i++) {
        if (!shown[i]) continue;
        add_line(to, chart, &f, &chart->line[i], point);
        const wh_point *end = last_drawn(chart, chart->line[i].curve, point);
        if (direct && end)
            label[n_labels++] =
                (end_label){place_y(&f, end->y), chart->line[i].name, chart->line[i].color};
    }
    add_labels(to, &f, label, n_labels);
    wh_text_add(to, "</svg>\n");
    return true;
}

void wh_chart_add(wh_text *to, const wh_chart *chart) {
    wh_point *point = calloc(WH_CURVE_POINTS, sizeof *point);
    if (!point) {
        to->failed = true;
        return;
    }
    wh_text_add(to, "<figure><h3>");
    wh_html_text(to, chart->title);
    wh_text_add(to, "</h3>\n");
    if (!add_svg(to, chart, point)) wh_text_add(to, "<p class=\"dim\">Nothing recorded.</p>\n");
    int64_t per_bin = 1;
    for (int i = 0; i < chart->n_lines; i++)
        if (chart->line[i].curve->per_bin > per_bin) per_bin = chart->line[i].curve->per_bin;
    if (per_bin > 1) {
        wh_text_add(to, "<figcaption>");
        wh_html_textf(to, "Of every %lld values the smallest and the largest are drawn.",
                      (long long)per_bin);
        wh_text_add(to, "</figcaption>");
    }
    wh_text_add(to, "</figure>\n");
    free(point);
}

void wh_chart_add_legend(wh_text *to, const wh_chart_line *line) {
    char class[16];
    look(class, line->color);
    wh_text_addf(to,
                 "<li><svg viewBox=\"0 0 26 10\" class=\"%s\"><path class=\"l%s\" d=\"M0 5H26\"/>"
                 "</svg>",
                 class, strchr(class, ' ') ? strchr(class, ' ') : "");
    wh_html_text_cut(to, line->name, 100);
    wh_text_add(to, "</li>\n");
}
