#include "host/chart_parts.h"
#include "host/html.h"
#include "host/units.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { WIDTH = 980, LEFT = 130, RIGHT = 12, BARS = 120, ROW = 17, GAP = 26, MAX_LABEL = 18 };

typedef struct columns {
    double width, gap; /* of a client's column; between two */
} columns;

static double x_of(const columns *c, int i) {
    return LEFT + c->width * i;
}

static void add_name(wh_text *to, const wh_client_column *c) {
    char rows[32];
    wh_html_textf(to, "client %" PRId32 ", %s row%s", c->client,
                  wh_units_grouped(rows, sizeof rows, c->rows), c->rows == 1 ? "" : "s");
}

/* Bars from `top` to `bottom` with their scale at the left; value(c) must not be negative. */
static void add_bars(wh_text *to, const wh_client_chart *chart, const columns *col, double top,
                     double bottom, bool visits) {
    double most = 0.0;
    for (int i = 0; i < chart->n_clients; i++) {
        const wh_client_column *c = &chart->client[i];
        most = fmax(most, (double)(visits ? c->visits : c->rows));
    }
    wh_scale y = wh_scale_make(0.0, most, WH_UNIT_WHOLE, visits ? 3 : 5);
    for (double v = 0.0; v <= y.hi; v += y.step) {
        char label[32];
        double at = bottom - v / y.hi * (bottom - top);
        wh_svg_line(to, "g", LEFT, at, WIDTH - RIGHT, at);
        wh_svg_text(to, "t", LEFT - 8, at + 4, "end", wh_scale_label(label, sizeof label, &y, v),
                    16);
    }
    for (int i = 0; i < chart->n_clients; i++) {
        const wh_client_column *c = &chart->client[i];
        double height = (double)(visits ? c->visits : c->rows) / y.hi * (bottom - top);
        if (height <= 0.0) continue;
        wh_svg_rect(to, visits ? "bar c2" : "bar c0", x_of(col, i) + col->gap / 2, bottom - height,
                    col->width - col->gap, height);
        wh_text_add(to, "><title>");
        add_name(to, c);
        if (visits)
            wh_html_textf(to, ", trained in %" PRId64 " round%s", c->visits,
                          c->visits == 1 ? "" : "s");
        wh_text_add(to, "</title></rect>\n");
    }
}

/* A cell is as opaque as the label's share of the client's rows. */
static void add_cells(wh_text *to, const wh_client_chart *chart, const columns *col, double top) {
    wh_svg_rect(to, "empty", LEFT, top, col->width * chart->n_clients, ROW * chart->n_labels);
    wh_text_add(to, "/>\n");
    for (int k = 0; k < chart->n_labels; k++) {
        double y = top + ROW * k;
        wh_svg_text(to, "t", LEFT - 8, y + 13, "end", chart->label[k], MAX_LABEL);
        for (int i = 0; i < chart->n_clients; i++) {
            const wh_client_column *c = &chart->client[i];
            if (!c->label_rows || c->label_rows[k] <= 0 || c->rows <= 0) continue;
            double share = (double)c->label_rows[k] / (double)c->rows;
            wh_svg_rect(to, "cell", x_of(col, i) + col->gap / 2, y + 0.5, col->width - col->gap,
                        ROW - 1);
            wh_text_add(to, " fill-opacity=\"");
            wh_svg_number(to, fmax(share, 0.01));
            wh_text_add(to, "\"><title>");
            add_name(to, c);
            wh_text_add(to, ": ");
            wh_html_text_cut(to, chart->label[k], 40);
            char n[32], percent[32];
            wh_html_textf(to, " %s, %s %%", wh_units_grouped(n, sizeof n, c->label_rows[k]),
                          wh_html_number(percent, sizeof percent, 100.0 * share, 1));
            wh_text_add(to, "</title></rect>\n");
        }
    }
}

/* What opacity means, at the right above the cells. */
static void add_key(wh_text *to, double y) {
    enum { STEPS = 5, CELL = 22 };
    double x = WIDTH - RIGHT - STEPS * CELL - 38;
    wh_svg_text(to, "t", x - 6, y + 10, "end", "share of the client's rows: 0", 40);
    for (int i = 0; i < STEPS; i++) {
        wh_svg_rect(to, "cell", x + i * CELL, y, CELL, 12);
        wh_text_add(to, " fill-opacity=\"");
        wh_svg_number(to, (double)i / (STEPS - 1));
        wh_text_add(to, "\"/>\n");
    }
    wh_svg_text(to, "t", x + STEPS * CELL + 5, y + 10, "start", "100 %", 8);
}

void wh_chart_add_clients(wh_text *to, const wh_client_chart *chart) {
    if (chart->n_clients < 1) return;
    columns col = {.width = (double)(WIDTH - LEFT - RIGHT) / chart->n_clients};
    if (col.width > 60.0) col.width = 60.0;
    col.gap = col.width > 8.0 ? 2.0 : col.width > 4.0 ? 0.6 : 0.0;
    double bars = 22, cells = bars + BARS + GAP + 4;
    double after = chart->n_labels > 0 ? cells + ROW * chart->n_labels : bars + BARS;
    double visits = after + GAP, end = chart->has_visits ? visits + BARS / 2.0 : after;
    wh_text_add(to, "<div class=\"scroll\"><svg style=\"min-width:36rem\" viewBox=\"0 0 ");
    wh_svg_number(to, WIDTH);
    wh_text_add(to, " ");
    wh_svg_number(to, end + 24);
    wh_text_add(to, "\" role=\"img\"><title>Clients: rows, labels, rounds</title>\n");
    wh_svg_text(to, "t", LEFT, 12, "start", "rows", 40);
    add_bars(to, chart, &col, bars, bars + BARS, false);
    if (chart->n_labels > 0) {
        wh_svg_text(to, "t", LEFT, cells - 8, "start", "labels", 40);
        add_key(to, cells - 17);
        add_cells(to, chart, &col, cells);
    }
    if (chart->has_visits) {
        wh_svg_text(to, "t", LEFT, visits - 5, "start", "rounds trained in", 40);
        add_bars(to, chart, &col, visits, end, true);
    }
    wh_svg_text(to, "t", LEFT + col.width * chart->n_clients / 2, end + 18, "middle", chart->order,
                120);
    wh_text_add(to, "</svg></div>\n");
}
