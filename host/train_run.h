/* One training run: engine, run folder and the loop over rounds. cmd_train.c is its command. */
#ifndef WEFT_HOST_TRAIN_RUN_H
#define WEFT_HOST_TRAIN_RUN_H

#include "host/job.h"
#include "host/report.h"
#include "host/run_log.h"
#include "host/tb_log.h"

struct wh_resume;

typedef struct wh_train_run {
    wh_job *job;
    const wh_cli *cli;
    weft_plan plan;
    weft_engine *engine;
    weft_engine_info info;
    wh_run_folder
        *folder;     /* NULL on ranks other than 0, which do the same work and write nothing */
    wh_run_log *log; /* likewise */
    wh_tb_log *tb;   /* NULL: log.tensorboard is off */
    char *name;
    weft_metrics *client_eval; /* (cohort) */
    wh_summary summary;        /* grows with the run */
    double started;            /* wh_clock() */
    bool is_resumed;           /* it goes on in an existing folder */
    double seconds_before;     /* of processes that this one goes on for */
    /* A round that is trained but was not evaluated when a signal came: its lines have no metrics
     * and are written again by whoever goes on, from where `files` says. */
    bool is_pending;
    weft_round_report pending;
    weft_client_report *pending_clients;         /* *own*ed, when they came from a checkpoint */
    weft_check *pending_checks;                  /* likewise */
    double pending_seconds, pending_cpu_seconds; /* its training took */
    json_t *files; /* wh_run_log_offsets before the lines of the last round */
} wh_train_run;

/* Load the model, then make the run folder and what is written once: nothing is left behind when
 * the job itself is at fault. With `resume`, and with --resume auto where there is a checkpoint, go
 * on in an existing folder from a checkpoint. Close with wh_train_run_close in any case. */
WEFT_NODISCARD weft_status wh_train_run_open(wh_train_run *run, wh_job *job, const wh_cli *cli,
                                             const struct wh_resume *resume, weft_error *err);
/* Baselines, rounds, evaluation, checkpoints; run->summary holds what was reached. WEFT_E_STOPPED
 * after a signal: the run can still be finished. */
WEFT_NODISCARD weft_status wh_train_run_rounds(wh_train_run *run, weft_error *err);
/* The adapter of the last complete round and summary.json; after a signal a checkpoint first. On
 * ranks other than 0 nothing is written. */
WEFT_NODISCARD weft_status wh_train_run_finish(wh_train_run *run, int signal, weft_error *err);
/* Note a failure in events.jsonl and log.txt. */
void wh_train_run_failed(wh_train_run *run, weft_status status, const char *text);
void wh_train_run_close(wh_train_run *run);

/* The time that this run has taken, all its processes together. */
double wh_train_run_seconds(const wh_train_run *run);

#endif
