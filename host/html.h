/* Pages that stand alone: no script, no file and no address besides themselves, and a policy in
 * their head that keeps the browser from fetching any. Light or dark as the reader's system is. */
#ifndef WH_HTML_H
#define WH_HTML_H

#include "host/text.h"

/* Everything up to the page's content, and what closes it. */
void wh_html_open(wh_text *to, const char *title);
void wh_html_close(wh_text *to);

/* Text from anywhere: what means something in HTML is escaped, control characters and invalid UTF-8
 * become U+FFFD. The second cuts after max_chars characters, with "…". */
void wh_html_text(wh_text *to, const char *s);
void wh_html_text_cut(wh_text *to, const char *s, int max_chars);
/* printf, then wh_html_text. At most 511 bytes. */
void wh_html_textf(wh_text *to, const char *format, ...) WEFT_PRINTF(2, 3);

/* A number with so many decimals and without trailing zeros, at most 6 decimals, whatever the
 * locale: for coordinates and for ticks. Returns out. "-" when it is not finite or beyond 10^15. */
const char *wh_html_number(char *out, size_t n, double value, int decimals);

/* <tr> of a table for people: a name, and cells. */
void wh_html_row(wh_text *to, const char *name, const char *const *cell, int n_cells);

#endif
