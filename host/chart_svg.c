#include "host/chart_parts.h"
#include "host/html.h"

void wh_svg_number(wh_text *to, double value) {
    char text[32];
    wh_text_add(to, wh_html_number(text, sizeof text, value, 2));
}

static void attribute(wh_text *to, const char *name, double value) {
    wh_text_addf(to, " %s=\"", name);
    wh_svg_number(to, value);
    wh_text_add(to, "\"");
}

void wh_svg_line(wh_text *to, const char *class, double x1, double y1, double x2, double y2) {
    wh_text_addf(to, "<line class=\"%s\"", class);
    attribute(to, "x1", x1);
    attribute(to, "y1", y1);
    attribute(to, "x2", x2);
    attribute(to, "y2", y2);
    wh_text_add(to, "/>\n");
}

void wh_svg_text(wh_text *to, const char *class, double x, double y, const char *anchor,
                 const char *text, int max_chars) {
    wh_text_addf(to, "<text class=\"%s\" text-anchor=\"%s\"", class, anchor);
    attribute(to, "x", x);
    attribute(to, "y", y);
    wh_text_add(to, ">");
    wh_html_text_cut(to, text, max_chars);
    wh_text_add(to, "</text>\n");
}

void wh_svg_rect(wh_text *to, const char *class, double x, double y, double w, double h) {
    wh_text_addf(to, "<rect class=\"%s\"", class);
    attribute(to, "x", x);
    attribute(to, "y", y);
    attribute(to, "width", w);
    attribute(to, "height", h);
}

double wh_svg_width(const char *text, int max_chars) {
    int n = 0;
    for (; *text && n < max_chars; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
    return WH_SVG_CHAR * n;
}
