/* tb/events.out.tfevents.weft of a run: scalars of every round for TensorBoard. Its name is always
 * the same, and it only grows by whole records, so that a resumed run goes on in it. The times in
 * it are clock readings: it is not among the files that two runs of one job share. */
#ifndef WH_TB_LOG_H
#define WH_TB_LOG_H

#include "host/atomic_file.h"
#include "host/run_log.h"

#define WH_TB_FILE "tb/events.out.tfevents.weft" /* in the run folder */

typedef struct wh_tb_log wh_tb_log;

/* Opens the file for appending; a new one gets its opening record. WEFT_E_OUTPUT. */
WEFT_NODISCARD weft_status wh_tb_open(wh_tb_log **out, const wh_run_folder *run, weft_error *err);
/* A finished round, step = round: train/loss, train/lr, train/skipped; eval/… when `eval` is not
 * NULL; fda/estimate, variance, theta, checks where there are checks; wire/ bytes so far; speed/….
 * Collected until the file is flushed. */
WEFT_NODISCARD weft_status wh_tb_round(wh_tb_log *log, const weft_round_report *report,
                                       const weft_metrics *eval, bool binary_f1,
                                       const wh_round_timing *timing, weft_error *err);
/* To flush, sync or ask for its offset. */
wh_append_file *wh_tb_file(wh_tb_log *log);
/* Flushes and closes. NULL is fine. */
WEFT_NODISCARD weft_status wh_tb_close(wh_tb_log *log, weft_error *err);

#endif
