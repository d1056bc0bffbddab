/* weft train: federate a job and leave a run folder. */
#include "host/cmd_plan.h"
#include "host/config_load.h"
#include "host/interrupt.h"
#include "host/output.h"
#include "host/train_resume.h"
#include "host/verbs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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
                     " rounds; weft train --resume %.300s goes on",
                     wh_interrupt_signal(), run->summary.rounds_done, run->summary.rounds_planned,
                     run->summary.folder);
}

static weft_status run_job(const wh_cli *cli, const char *path, const wh_resume *resume,
                           weft_error *err) {
    wh_job job;
    WEFT_TRY(wh_job_open(&job, path, cli, WH_JOB_WEIGHTS | WH_JOB_TRAIN | WH_JOB_TEST, err));
    wh_interrupt_install();
    wh_train_run run_state;
    weft_error local = {0};
    weft_status st = wh_train_run_open(&run_state, &job, cli, resume, &local);
    if (st == WEFT_OK) st = train(&run_state, &local);
    wh_progress_end(&job.progress);
    if (st != WEFT_OK && st != WEFT_E_STOPPED) wh_train_run_failed(&run_state, st, local.text);
    wh_train_run_close(&run_state);
    wh_job_close(&job);
    if (st != WEFT_OK && err) *err = local;
    return st;
}

/* With --resume auto a restart finds its folder by name, so the name must not hold the time. */
static weft_status check_named(const char *path, const wh_cli *cli, weft_error *err) {
    weft_config *config = NULL;
    WEFT_TRY(wh_config_load(&config, path, cli, err));
    const bool named = weft_config_text(config, "run.name")[0] != '\0';
    weft_config_free(config);
    if (named) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_CONFIG,
                     "--resume auto needs run.name: without it every run makes a new folder");
}

static weft_status run(const wh_cli *cli, weft_error *err) {
    if (cli->dry_run) return wh_plan_run(cli, err);
    const char *path = cli->n_words ? cli->word[0] : NULL;
    wh_resume resume = {0};
    char *own = NULL;
    weft_status st = WEFT_OK;
    if (cli->resume && strcmp(cli->resume, "auto") == 0) {
        st = check_named(path, cli, err);
    } else if (cli->resume) {
        st = wh_resume_locate(&resume, cli->resume, err);
        if (st == WEFT_OK && !path && !(path = own = wh_resume_config(&resume)))
            st = WEFT_FAIL(err, WEFT_E_MEM, "out of memory while resuming");
    }
    if (st == WEFT_OK) st = run_job(cli, path, &resume, err);
    free(own);
    wh_resume_free(&resume);
    return st;
}

const wh_verb wh_verb_train = {
    .name = "train",
    .words = "[job.yaml]",
    .summary = "train a LoRA adapter by federated learning",
    .details =
        "Reads the job, splits its rows over simulated clients, trains round by round, and\n"
        "writes a run folder: config.resolved.yaml, command.txt, env.json, partition.json,\n"
        "metrics.jsonl, rounds.csv, clients.csv, timing.jsonl, events.jsonl, log.txt,\n"
        "summary.json, adapter/ in the layout of PEFT, and checkpoints/ every\n"
        "checkpoint.save_every rounds.\n"
        "Prints a summary table, with the majority class and a linear probe beside the result\n"
        "when eval.baselines is on.\n"
        "Ctrl-C, SIGTERM and SIGUSR1 stop at the next step, save a checkpoint and exit with 75.\n"
        "--resume goes on from the newest checkpoint, after kill -9 too, and ends with the bytes\n"
        "of a run that was never interrupted: auto takes the folder of run.name and begins when\n"
        "there is none, so that a batch job can simply be started again; a path is a run folder\n"
        "or a checkpoint in one, and then job.yaml may be left out.",
    .example = "weft train job.yaml\n"
               "weft train job.yaml fl.strategy=fedadam fl.num_rounds=50 run.name=adam\n"
               "weft train job.yaml run.name=adam --resume auto\n"
               "weft train --resume runs/adam fl.num_rounds=100\n"
               "weft train job.yaml --dry-run",
    .min_words = 0,
    .max_words = 1,
    .flags = WH_FLAG_SET | WH_FLAG_DRY_RUN | WH_FLAG_FORMAT | WH_FLAG_QUIET | WH_FLAG_NO_PROGRESS |
             WH_FLAG_RESUME,
    .goes_on = true,
    .run = run,
};
