/* weft train: federate a job and leave a run folder. */
#include "host/cmd_plan.h"
#include "host/interrupt.h"
#include "host/output.h"
#include "host/train_run.h"
#include "host/verbs.h"

#include <inttypes.h>

static weft_status print_summary(const wh_cli *cli, const wh_summary *summary, weft_error *err) {
    if (cli->json) return wh_output_json(wh_summary_json(summary), err);
    wh_text text = {0};
    wh_summary_text(&text, summary);
    return wh_output_text(&text, err);
}

static weft_status train(wh_train_run *run, weft_error *err) {
    weft_status st = wh_train_run_rounds(run, err);
    bool stopped = st == WEFT_E_STOPPED;
    if (st != WEFT_OK && !stopped) return st;
    WEFT_TRY(wh_train_run_finish(run, stopped ? wh_interrupt_signal() : 0, err));
    WEFT_TRY(print_summary(run->cli, &run->summary, err));
    if (!stopped) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_STOPPED,
                     "stopped by signal %d after %" PRId64 " of %" PRId64
                     " rounds; what is complete is in %s",
                     wh_interrupt_signal(), run->summary.rounds_done, run->summary.rounds_planned,
                     run->summary.folder);
}

static weft_status run(const wh_cli *cli, weft_error *err) {
    if (cli->dry_run) return wh_plan_run(cli, err);
    wh_job job;
    WEFT_TRY(wh_job_open(&job, cli->n_words ? cli->word[0] : NULL, cli,
                         WH_JOB_WEIGHTS | WH_JOB_TRAIN | WH_JOB_TEST, err));
    wh_interrupt_install();
    wh_train_run run_state;
    weft_error local = {0};
    weft_status st = wh_train_run_open(&run_state, &job, cli, &local);
    if (st == WEFT_OK) st = train(&run_state, &local);
    wh_progress_end(&job.progress);
    if (st != WEFT_OK && st != WEFT_E_STOPPED) wh_train_run_failed(&run_state, st, local.text);
    wh_train_run_close(&run_state);
    wh_job_close(&job);
    if (st != WEFT_OK && err) *err = local;
    return st;
}

const wh_verb wh_verb_train = {
    .name = "train",
    .words = "[job.yaml]",
    .summary = "train a LoRA adapter by federated learning",
    .details =
        "Reads the job, splits its rows over simulated clients, trains round by round, and\n"
        "writes a run folder: report.html to look at, tb/ for TensorBoard, adapter/ in the layout\n"
        "of PEFT, and config.resolved.yaml, command.txt, env.json, memory.json, partition.json,\n"
        "partition_summary.json, metrics.jsonl, rounds.csv, clients.csv, timing.jsonl,\n"
        "events.jsonl, log.txt, summary.json.\n"
        "Prints a summary table, with the majority class and a linear probe beside the result\n"
        "when eval.baselines is on. Ctrl-C stops at the next step and keeps what is complete.",
    .example = "weft train job.yaml\n"
               "weft train job.yaml fl.strategy=fedadam fl.num_rounds=50 run.name=adam\n"
               "weft train job.yaml --dry-run",
    .min_words = 0,
    .max_words = 1,
    .flags = WH_FLAG_SET | WH_FLAG_DRY_RUN | WH_FLAG_FORMAT | WH_FLAG_QUIET | WH_FLAG_NO_PROGRESS,
    .run = run,
};
