/* weft train: federate a job and leave a run folder. */
#define _XOPEN_SOURCE 700 /* nanosleep */
#include "host/cmd_plan.h"
#include "host/config_load.h"
#include "host/interrupt.h"
#include "host/output.h"
#include "host/train_ranks.h"
#include "host/train_resume.h"
#include "host/verbs.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static weft_status print_summary(const wh_cli *cli, const wh_summary *summary, weft_error *err) {
    if (cli->json) return wh_output_json(wh_summary_json(summary), err);
    wh_text text = {0};
    wh_summary_text(&text, summary);
    return wh_output_text(&text, err);
}

/* The signal that stopped this rank or another. */
static int stop_signal(wh_ranks *ranks) {
    const struct timespec pause = {0, 10000000};
    int signal = wh_interrupt_signal();
    /* That a rank stops may be known before why. */
    for (int i = 0; !signal && ranks && i < 100; i++) {
        signal = wh_ranks_signal(ranks);
        if (!signal) (void)nanosleep(&pause, NULL);
    }
    return signal ? signal : SIGTERM;
}

static weft_status train(wh_train_run *run, weft_error *err) {
    wh_ranks *ranks = run->job->ranks;
    weft_status st = wh_train_run_rounds(run, err);
    st = wh_ranks_verdict(ranks, st, err);
    bool stopped = st == WEFT_E_STOPPED;
    if (st != WEFT_OK && !stopped) return st;
    const int signal = stopped ? stop_signal(ranks) : 0;
    WEFT_TRY(wh_train_run_finish(run, signal, err));
    if (wh_ranks_is_first(ranks)) WEFT_TRY(print_summary(run->cli, &run->summary, err));
    if (!stopped) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_STOPPED,
                     "stopped by signal %d after %" PRId64 " of %" PRId64
                     " rounds; weft train --resume %.300s goes on",
                     signal, run->summary.rounds_done, run->summary.rounds_planned,
                     run->summary.folder);
}

/* Ranks other than 0 have nothing to tell but their own failures. */
static weft_status run_job(const wh_cli *cli, const char *path, const wh_resume *resume,
                           wh_ranks *ranks, weft_error *err) {
    static wh_cli quiet; /* large */
    wh_job job;
    if (!wh_ranks_is_first(ranks)) {
        quiet = *cli;
        quiet.quiet = quiet.no_progress = true;
        cli = &quiet;
    }
    const weft_status own =
        wh_job_open(&job, path, cli, WH_JOB_WEIGHTS | WH_JOB_TRAIN | WH_JOB_TEST, err);
    const weft_status opened = wh_ranks_agree(ranks, own, err);
    if (own == WEFT_OK && opened != WEFT_OK) wh_job_close(&job);
    WEFT_TRY(opened);
    job.ranks = ranks;
    wh_interrupt_install();
    wh_train_run run_state;
    weft_error local = {0};
    weft_status st = wh_train_run_open(&run_state, &job, cli, resume, &local);
    if (st == WEFT_OK) st = train(&run_state, &local);
    st = wh_ranks_verdict(ranks, st, &local);
    wh_progress_end(&job.progress);
    if (st != WEFT_OK && st != WEFT_E_STOPPED) wh_train_run_failed(&run_state, st, local.text);
    wh_train_run_close(&run_state);
    wh_job_close(&job);
    if (st != WEFT_OK && err) *err = local;
    return st;
}

static weft_status prepare_ranks(wh_ranks *ranks, const weft_config *config, weft_error *err) {
    WEFT_TRY(wh_ranks_check_config(ranks, config, err));
    return wh_ranks_share_cores(ranks, weft_config_int(config, "run.threads") == 0, err);
}

static weft_status run_ranks(const wh_cli *cli, const char *path, const wh_resume *resume,
                             const weft_config *config, weft_error *err) {
    wh_ranks *ranks = NULL;
    weft_error late = {0};
    WEFT_TRY(wh_train_ranks_open(&ranks, cli, config, err));
    weft_status st = prepare_ranks(ranks, config, err);
    if (st == WEFT_OK) st = run_job(cli, path, resume, ranks, err);
    const bool told =
        st != WEFT_OK && err &&
        (wh_ranks_is_told(ranks, err) || (st == WEFT_E_STOPPED && !wh_ranks_is_first(ranks)));
    const bool first = wh_ranks_is_first(ranks);
    const weft_status closed = wh_ranks_close(ranks, st, err ? err->text : "", &late);
    if (told) err->text[0] = '\0';
    /* Who stopped well has not, if rank 0 could not save. */
    if (closed == WEFT_OK || (st != WEFT_OK && st != WEFT_E_STOPPED)) return st;
    if (err) *err = late;
    if (err && !first && !wh_ranks_lost_first(&late)) err->text[0] = '\0'; /* rank 0 tells */
    return closed;
}

/* With --resume auto a restart finds its folder by name, so the name must not hold the time. */
static weft_status check_named(const weft_config *config, weft_error *err) {
    if (weft_config_text(config, "run.name")[0] != '\0') return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_CONFIG,
                     "--resume auto needs run.name: without it every run makes a new folder");
}

static weft_status run(const wh_cli *cli, weft_error *err) {
    if (cli->dry_run) return wh_plan_run(cli, err);
    const char *path = cli->n_words ? cli->word[0] : NULL;
    const bool automatic = cli->resume && strcmp(cli->resume, "auto") == 0;
    weft_config *config = NULL;
    wh_resume resume = {0};
    char *own = NULL;
    weft_status st = WEFT_OK;
    if (cli->resume && !automatic) {
        st = wh_resume_locate(&resume, cli->resume, err);
        if (st == WEFT_OK && !path && !(path = own = wh_resume_config(&resume)))
            st = WEFT_FAIL(err, WEFT_E_MEM, "out of memory while resuming");
    }
    if (st == WEFT_OK) st = wh_config_load(&config, path, cli, err);
    if (st == WEFT_OK && automatic) st = check_named(config, err);
    if (st == WEFT_OK) st = run_ranks(cli, path, &resume, config, err);
    weft_config_free(config);
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
        "writes a run folder: report.html to look at, tb/ for TensorBoard, adapter/ in the layout\n"
        "of PEFT, and config.resolved.yaml, command.txt, env.json, plan.json, partition.json,\n"
        "partition_summary.json, metrics.jsonl, rounds.csv, clients.csv, timing.jsonl,\n"
        "events.jsonl, log.txt, summary.json, and checkpoints/ every\n"
        "checkpoint.save_every rounds.\n"
        "Prints a summary table, with the majority class and a linear probe beside the result\n"
        "when eval.baselines is on.\n"
        "Ctrl-C, SIGTERM and SIGUSR1 stop at the next step, save a checkpoint and exit with 75.\n"
        "--resume goes on from the newest checkpoint, after kill -9 too, and ends with the bytes\n"
        "of a run that was never interrupted: auto takes the folder of run.name and begins when\n"
        "there is none, so that a batch job can simply be started again; a path is a run folder\n"
        "or a checkpoint in one, and then job.yaml may be left out.\n"
        "Several processes train together, on one host or many, when srun, mpirun or torchrun\n"
        "start them, when --ranks asks for them, or when this host shows several GPUs: the\n"
        "clients of a round are dealt out, and the files are those of one process, byte for byte.\n"
        "A rank that dies, or is silent for run.comm_timeout, ends the job on all of them with 6.",
    .example = "weft train job.yaml\n"
               "weft train job.yaml fl.strategy=fedadam fl.num_rounds=50 run.name=adam\n"
               "weft train job.yaml run.name=adam --resume auto\n"
               "weft train --resume runs/adam fl.num_rounds=100\n"
               "weft train job.yaml --ranks 4\n"
               "srun --ntasks=16 weft train job.yaml\n"
               "weft train job.yaml --dry-run",
    .min_words = 0,
    .max_words = 1,
    .flags = WH_FLAG_SET | WH_FLAG_DRY_RUN | WH_FLAG_FORMAT | WH_FLAG_QUIET | WH_FLAG_NO_PROGRESS |
             WH_FLAG_RESUME | WH_FLAG_RANKS,
    .goes_on = true,
    .run = run,
};
