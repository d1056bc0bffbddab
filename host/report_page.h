/* report.html: a run as one page that needs nothing else. Its size is bounded by curves and lists
 * of fixed length, whatever the number of rounds, clients and labels; it says the same whenever it
 * is written from the same folder. */
#ifndef WH_REPORT_PAGE_H
#define WH_REPORT_PAGE_H

#include "host/run_view.h"
#include "host/text.h"

/* The whole page. */
void wh_report_page(wh_text *to, const wh_run_view *view);
/* Reads the folder and writes report.html into it, atomically. WEFT_E_DATA, WEFT_E_OUTPUT. */
WEFT_NODISCARD weft_status wh_report_write(const char *folder, weft_error *err);

/* "accuracy", "Pearson's r" */
const char *wh_report_metric(const wh_run_view *view);

/* Parts of the page (report_curves.c, report_tables.c). */
void wh_report_curves(wh_text *to, const wh_run_view *view);
void wh_report_ledger(wh_text *to, const wh_run_view *view);
void wh_report_memory(wh_text *to, const wh_run_view *view);
void wh_report_setup(wh_text *to, const wh_run_view *view);

#endif
