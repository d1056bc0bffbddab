/* Inside of the charts: what their files share. Included by chart*.c only. */
#ifndef WH_CHART_PARTS_H
#define WH_CHART_PARTS_H

#include "host/chart.h"

/* A coordinate: two decimals at most, whatever the locale. */
void wh_svg_number(wh_text *to, double value);
/* "<line …>" of class `class`. */
void wh_svg_line(wh_text *to, const char *class, double x1, double y1, double x2, double y2);
/* "<text …>", its text escaped and cut after max_chars. anchor: "start", "middle", "end". */
void wh_svg_text(wh_text *to, const char *class, double x, double y, const char *anchor,
                 const char *text, int max_chars);
/* "<rect …" without its end, so that attributes and a title can follow. */
void wh_svg_rect(wh_text *to, const char *class, double x, double y, double w, double h);

/* Estimated width of a character and of a text of the charts' font, in user units. */
#define WH_SVG_CHAR 6.4
double wh_svg_width(const char *text, int max_chars);

#endif
