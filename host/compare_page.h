/* Several runs on one page: quality by rounds, bytes and time. */
#ifndef WH_COMPARE_PAGE_H
#define WH_COMPARE_PAGE_H

#include "host/chart.h"
#include "host/run_view.h"

/* n in 1 … WH_CHART_LINES. Runs without evaluations are compared by their training loss when no run
 * has one, and are in the table alone otherwise. label: (n) names for the legend. */
void wh_compare_page(wh_text *to, wh_run_view *const *view, const char *const *label, int n);

#endif
