/* weft plan: memory, work and traffic of a job, without training. */
#include "host/cmd_plan.h"

#include "host/job.h"
#include "host/output.h"
#include "host/plan_memory.h"
#include "host/plan_report.h"
#include "host/verbs.h"

weft_status wh_plan_run(const wh_cli *cli, weft_error *err) {
    wh_job job;
    WEFT_TRY(wh_job_open(&job, cli->n_words ? cli->word[0] : NULL, cli,
                         WH_JOB_MODEL | WH_JOB_TRAIN | WH_JOB_TEST, err));
    weft_engine_options options = wh_job_engine_options(&job);
    static weft_plan plan;
    weft_status st = weft_plan_build(&plan, &options, err);
    if (st == WEFT_OK) {
        wh_plan_add_host(&plan, &job);
        wh_progress_end(&job.progress);
        if (cli->json) {
            st = wh_output_json(wh_plan_json(&plan, job.config), err);
        } else {
            wh_text text = {0};
            wh_plan_text(&text, &plan, job.config);
            st = wh_output_text(&text, err);
        }
    }
    wh_job_close(&job);
    return st;
}

const wh_verb wh_verb_plan = {
    .name = "plan",
    .words = "[job.yaml]",
    .summary = "say what a job would take: memory by item, work, bytes on the wire",
    .details =
        "Checks the job, tokenises its rows, splits them over the clients and runs the real\n"
        "training code on shapes alone. No weights are read, nothing is trained or written.\n"
        "Bytes per round are exact for a fixed cohort size; tokens and steps are the mean\n"
        "over cohorts.",
    .example = "weft plan job.yaml lora.r=16\n"
               "weft plan job.yaml --format json",
    .min_words = 0,
    .max_words = 1,
    .flags = WH_FLAG_SET | WH_FLAG_FORMAT | WH_FLAG_QUIET | WH_FLAG_NO_PROGRESS,
    .run = wh_plan_run,
};
