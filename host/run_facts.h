/* What a run knows before its first round and its report shows, written at once so that a run that
 * dies has it too: plan.json (as `weft plan --format json`), partition_summary.json, and the
 * baselines as an event. */
#ifndef WH_RUN_FACTS_H
#define WH_RUN_FACTS_H

#include "host/job.h"
#include "host/run_log.h"

/* plan.json and partition_summary.json of an open job with training rows. */
WEFT_NODISCARD weft_status wh_run_facts_write(const wh_run_folder *run, const wh_job *job,
                                              const weft_plan *plan, weft_error *err);
/* {"event": "baselines", "majority": {…}, "linear_probe": {…}} */
WEFT_NODISCARD weft_status wh_run_facts_baselines(wh_run_log *log, const weft_baselines *baselines,
                                                  bool binary_f1, weft_error *err);

#endif
