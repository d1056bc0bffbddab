#include "host/run_facts.h"

#include "host/json_util.h"
#include "host/partition_summary.h"
#include "host/plan_report.h"

/* Takes the value over. */
static weft_status write_json(const wh_run_folder *run, const char *name, json_t *value,
                              weft_error *err) {
    weft_status st = value ? wh_run_folder_write_json(run, name, value, err)
                           : WEFT_FAIL(err, WEFT_E_MEM, "out of memory while writing %s", name);
    json_decref(value);
    return st;
}

static const char *label_name(const void *ud, int32_t label) {
    const wh_labels *labels = ud;
    return labels ? wh_labels_name(labels, label) : NULL;
}

weft_status wh_run_facts_write(const wh_run_folder *run, const wh_job *job, const weft_plan *plan,
                               weft_error *err) {
    WEFT_TRY(write_json(run, "plan.json", wh_plan_json(plan, job->config), err));
    json_t *summary = NULL;
    WEFT_TRY(wh_partition_summary(&summary, job->partition, &job->train.rows, label_name,
                                  job->labels, err));
    return write_json(run, "partition_summary.json", summary, err);
}

weft_status wh_run_facts_baselines(wh_run_log *log, const weft_baselines *baselines, bool binary_f1,
                                   weft_error *err) {
    json_t *fields =
        wh_json_with(json_object(), "majority", wh_metrics_json(&baselines->majority, binary_f1));
    fields = wh_json_with(fields, "linear_probe", wh_metrics_json(&baselines->probe, binary_f1));
    if (!fields) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the baselines");
    weft_status st = wh_run_log_event(log, "baselines", fields, err);
    json_decref(fields);
    return st;
}
