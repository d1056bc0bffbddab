/* One training run: engine, run folder and the loop over rounds. cmd_train.c is its command. */
#ifndef WEFT_HOST_TRAIN_RUN_H
#define WEFT_HOST_TRAIN_RUN_H

#include "host/job.h"
#include "host/report.h"
#include "host/run_log.h"

typedef struct wh_train_run {
    wh_job *job;
    const wh_cli *cli;
    weft_engine *engine;
    weft_engine_info info;
    wh_run_folder *folder;
    wh_run_log *log;
    char *name;
    weft_metrics *client_eval;            /* (cohort) */
    wh_summary summary;                   /* grows with the run */
    double started;                       /* wh_clock() */
    double engine_seconds, files_seconds; /* to open the engine; for what is written once */
} wh_train_run;

/* Load the model, then make the run folder and what is written once: nothing is left behind when
 * the job itself is at fault. Close with wh_train_run_close in any case. */
WEFT_NODISCARD weft_status wh_train_run_open(wh_train_run *run, wh_job *job, const wh_cli *cli,
                                             weft_error *err);
/* Baselines, rounds, evaluation; run->summary holds what was reached. WEFT_E_STOPPED after a
 * signal: the run can still be finished. */
WEFT_NODISCARD weft_status wh_train_run_rounds(wh_train_run *run, weft_error *err);
/* The adapter of the last complete round and summary.json. */
WEFT_NODISCARD weft_status wh_train_run_finish(wh_train_run *run, int signal, weft_error *err);
/* Note a failure in events.jsonl and log.txt. */
void wh_train_run_failed(wh_train_run *run, weft_status status, const char *text);
void wh_train_run_close(wh_train_run *run);

#endif
