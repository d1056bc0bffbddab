#include "host/html.h"

#include "host/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- the page ---- */

/* Series colours are told apart by people who see few colours too (after Okabe and Ito); those past
 * the sixth repeat them with dashes. */
static const char STYLE[] =
    ":root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#5b6470;--line:#d9dde2;"
    "--soft:#f4f6f8;--s0:#0072b2;--s1:#d55e00;--s2:#00855f;--s3:#b0578f;--s4:#a87400;--s5:#2b8fc9;"
    "--heat:#0072b2;--bad:#b3261e}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e6e8ea;--dim:#9aa4ae;"
    "--line:#343a41;--soft:#1d2126;--s0:#56a9e8;--s1:#f08a4b;--s2:#3cc79a;--s3:#e39cc8;"
    "--s4:#e8b84a;--s5:#8ed0f5;--heat:#6cb8f0;--bad:#ff8a80}}\n"
    "body{margin:0 auto;padding:1.5rem 1rem 3rem;max-width:62rem;background:var(--bg);"
    "color:var(--fg);font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',"
    "sans-serif}\n"
    "h1{font-size:1.6rem;line-height:1.2;margin:0 0 .3rem;overflow-wrap:anywhere}\n"
    "h2{font-size:1.1rem;margin:2.2rem 0 .6rem;padding-top:.6rem;border-top:1px solid "
    "var(--line)}\n"
    "p{margin:.3rem 0 .6rem;max-width:46rem}\n"
    ".verdict{font-size:1.05rem}.bad{color:var(--bad)}.dim,figcaption{color:var(--dim)}\n"
    ".dim,figcaption,td small{font-size:.85rem}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(6.6rem,1fr));gap:.5rem;"
    "margin:1rem 0}\n"
    ".tiles div{background:var(--soft);border-radius:6px;padding:.5rem .6rem}\n"
    ".tiles b{display:block;font-size:1.25rem;font-weight:600;font-variant-numeric:tabular-nums}\n"
    ".tiles span{font-size:.8rem;color:var(--dim);display:block;line-height:1.35}\n"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,25rem),1fr));"
    "gap:1.2rem 1.5rem}\n"
    "figure{margin:0;min-width:0}figure h3{font-size:.9rem;margin:0 0 .2rem;font-weight:600}\n"
    "svg{display:block;width:100%;height:auto;overflow:visible;font:12px system-ui,-apple-system,"
    "'Segoe UI',Roboto,sans-serif}\n"
    "svg text{fill:var(--dim)}svg .g{stroke:var(--line);stroke-width:1}\n"
    "svg .l{fill:none;stroke:var(--c);stroke-width:1.8;stroke-linejoin:round}\n"
    "svg .thin{stroke-width:1}svg .d{stroke-dasharray:6 3}svg .dd{stroke-dasharray:2 3}svg "
    ".band{fill:var(--c);"
    "opacity:.16}\n"
    "svg .ref{stroke:var(--dim);stroke-width:1.2;stroke-dasharray:5 4}\n"
    "svg .p{fill:var(--c)}svg .h{fill:var(--c);opacity:0}svg .h:hover{opacity:1}\n"
    "svg .n{fill:var(--c);font-weight:600}svg .bar{fill:var(--c)}svg .cell{fill:var(--heat)}\n"
    "svg .bar:hover,svg .cell:hover{stroke:var(--fg);stroke-width:1}\n"
    "svg .empty{fill:var(--soft)}\n"
    ".c0{--c:var(--s0)}.c1{--c:var(--s1)}.c2{--c:var(--s2)}.c3{--c:var(--s3)}.c4{--c:var(--s4)}"
    ".c5{--c:var(--s5)}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:.15rem .9rem;font-size:.85rem;margin:.6rem 0;"
    "padding:0;list-style:none;overflow-wrap:anywhere}\n"
    ".legend svg{display:inline;width:26px;height:10px;vertical-align:middle;margin-right:.35rem}\n"
    ".scroll{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums;"
    "margin:.4rem 0}\n"
    "th,td{padding:.2rem .9rem .2rem 0;text-align:right;border-bottom:1px solid "
    "var(--line);vertical-align:top}\n"
    "th{font-weight:600}th:first-child,td:first-child,.left td,.left th{text-align:left}\n"
    ".left td+td{overflow-wrap:anywhere}td+td,.left td:first-child{white-space:nowrap}\n"
    ".left td+td{white-space:normal}\n"
    "details{margin:.6rem 0}summary{cursor:pointer;color:var(--dim)}\n"
    "pre{background:var(--soft);border-radius:6px;padding:.6rem .8rem;overflow-x:auto;"
    "font-size:.8rem;white-space:pre-wrap;overflow-wrap:anywhere}\n"
    "@media print{:root{--bg:#fff;--fg:#000}body{max-width:none}figure,table{break-inside:avoid}}"
    "\n";

void wh_html_open(wh_text *to, const char *title) {
    wh_text_add(to, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                    "style-src 'unsafe-inline'\">\n"
                    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                    "<title>");
    wh_html_text_cut(to, title, 120);
    wh_text_add(to, "</title>\n<style>\n");
    wh_text_add(to, STYLE);
    wh_text_add(to, "</style>\n</head>\n<body>\n");
}

void wh_html_close(wh_text *to) {
    wh_text_addf(to, "<p class=\"dim\">Written by Weft %s.</p>\n</body>\n</html>\n", WEFT_VERSION);
}

/* ---- text ---- */

static void add_escaped(wh_text *to, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '&') {
            wh_text_add(to, "&amp;");
        } else if (c == '<') {
            wh_text_add(to, "&lt;");
        } else if (c == '>') {
            wh_text_add(to, "&gt;");
        } else if (c == '"') {
            wh_text_add(to, "&quot;");
        } else if (c == '\'') {
            wh_text_add(to, "&#39;");
        } else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) {
            wh_text_add(to, "\xef\xbf\xbd");
        } else {
            wh_text_add_n(to, &s[i], 1);
        }
    }
}

/* Bytes of the first max_chars characters of valid UTF-8. */
static size_t bytes_of(const char *s, size_t n, int max_chars) {
    size_t at = 0, size = 0;
    for (int chars = 0; at < n && chars < max_chars; chars++, at += size)
        (void)wh_utf8_get(s + at, &size);
    return at;
}

void wh_html_text_cut(wh_text *to, const char *s, int max_chars) {
    wh_bytes valid = {0};
    if (wh_utf8_repair(&valid, s, strlen(s), NULL) != WEFT_OK) {
        to->failed = true;
    } else if (valid.len > 0) {
        size_t keep = bytes_of(valid.data, valid.len, max_chars);
        bool cut = keep < valid.len;
        if (cut) keep = bytes_of(valid.data, valid.len, max_chars - 1);
        add_escaped(to, valid.data, keep);
        if (cut) wh_text_add(to, "…");
    }
    wh_bytes_free(&valid);
}

void wh_html_text(wh_text *to, const char *s) {
    wh_html_text_cut(to, s, INT32_MAX);
}

void wh_html_textf(wh_text *to, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0) {
        to->failed = true;
    } else {
        wh_html_text(to, text);
    }
}

/* ---- numbers and rows ---- */

const char *wh_html_number(char *out, size_t n, double value, int decimals) {
    static const long long POWER[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
    if (!isfinite(value) || fabs(value) > 1e15) {
        (void)snprintf(out, n, "-");
        return out;
    }
    if (decimals > 6) decimals = 6;
    while (decimals > 0 && fabs(value) * (double)POWER[decimals] > 9e15) decimals--;
    long long scaled = llround(value * (double)POWER[decimals]);
    while (decimals > 0 && scaled % 10 == 0) scaled /= 10, decimals--;
    const char *sign = scaled < 0 ? "-" : "";
    if (scaled < 0) scaled = -scaled;
    if (decimals > 0) {
        (void)snprintf(out, n, "%s%lld.%0*lld", sign, scaled / POWER[decimals], decimals,
                       scaled % POWER[decimals]);
    } else {
        (void)snprintf(out, n, "%s%lld", sign, scaled);
    }
    return out;
}

void wh_html_row(wh_text *to, const char *name, const char *const *cell, int n_cells) {
    wh_text_add(to, "<tr><td>");
    wh_html_text(to, name);
    for (int i = 0; i < n_cells; i++) {
        wh_text_add(to, "</td><td>");
        wh_html_text(to, cell[i]);
    }
    wh_text_add(to, "</td></tr>\n");
}
