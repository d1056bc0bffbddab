/* weft bench: how fast a job's rounds are, and how much of what the device can do that is. */
#include "host/bench_report.h"
#include "host/interrupt.h"
#include "host/job.h"
#include "host/output.h"
#include "host/verbs.h"

#include <inttypes.h>

/* The plan first: it says whether the job can be timed before weights are read. */
static weft_status measure(wh_job *job, wh_bench_result *r, weft_engine **engine, weft_error *err) {
    weft_engine_options options = wh_job_engine_options(job);
    options.hooks.store_write = NULL, options.hooks.store_read = NULL; /* no file is written */
    WEFT_TRY(weft_plan_build(&r->plan, &options, err));
    if (r->plan.profile_steps < WEFT_BENCH_MIN_STEPS) {
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "a round of this job has %" PRId64 " optimizer step%s, a median needs %d: "
                         "set client.local_steps, to 12 for example",
                         r->plan.profile_steps, r->plan.profile_steps == 1 ? "" : "s",
                         WEFT_BENCH_MIN_STEPS);
    }
    WEFT_TRY(weft_engine_open(engine, &options, err));
    r->model = wh_model_folder_id(job->model);
    r->clients = (int32_t)weft_config_int(job->config, "fl.clients_per_round");
    weft_engine_info_get(*engine, &r->info);
    return weft_engine_bench(*engine, &r->plan, &r->bench, err);
}

static weft_status print(const wh_cli *cli, const wh_bench_result *r, weft_error *err) {
    if (cli->json) return wh_output_json(wh_bench_json(r), err);
    wh_text text = {0};
    wh_bench_text(&text, r);
    return wh_output_text(&text, err);
}

static weft_status run(const wh_cli *cli, weft_error *err) {
    wh_job job;
    weft_engine *engine = NULL;
    static wh_bench_result result; /* large for a stack frame */
    WEFT_TRY(wh_job_open(&job, cli->n_words ? cli->word[0] : NULL, cli,
                         WH_JOB_WEIGHTS | WH_JOB_TRAIN, err));
    wh_interrupt_install();
    weft_status st = measure(&job, &result, &engine, err);
    wh_progress_end(&job.progress);
    if (st == WEFT_OK) st = print(cli, &result, err);
    weft_engine_close(engine);
    wh_job_close(&job);
    return st;
}

const wh_verb wh_verb_bench = {
    .name = "bench",
    .words = "[job.yaml]",
    .summary = "time a job's rounds, by phase and against the device's limits",
    .details =
        "Opens the job as train does and runs its first round four times: to warm up, timed,\n"
        "and twice to see where the time goes. Nothing is written. The ceilings, a large\n"
        "product and a large copy, are measured by the same command, and what a round costs\n"
        "is counted as in weft plan.\n"
        "achieved is the work that was done over the time; frozen-MFU the work that the job\n"
        "needs whoever does it (4 FLOPs per frozen weight and token, 6 per LoRA weight,\n"
        "attention, head). A phase's floor is its FLOPs or its bytes at the ceiling; reached\n"
        "is the floor's share of its time. waiting is the device without work.\n"
        "A round must have at least 4 optimizer steps, else there is no median: set\n"
        "client.local_steps. More steps give steadier figures.",
    .example = "weft bench job.yaml client.local_steps=12\n"
               "weft bench job.yaml client.local_steps=12 run.device=cuda --format json",
    .min_words = 0,
    .max_words = 1,
    .flags = WH_FLAG_SET | WH_FLAG_FORMAT | WH_FLAG_QUIET | WH_FLAG_NO_PROGRESS,
    .run = run,
};
