/* A job: everything that a configuration names, opened in order and closed together. Shared by the
 * commands that work on a job file (train, eval, plan, bench, partition). */
#ifndef WEFT_HOST_JOB_H
#define WEFT_HOST_JOB_H

#include "host/cli.h"
#include "host/dataset.h"
#include "host/model_folder.h"
#include "host/plugin.h"
#include "host/progress.h"
#include "host/ranks.h"
#include "host/state_file.h"

/* What a command needs of a job. */
typedef enum wh_job_need {
    WH_JOB_MODEL = 1 << 0,   /* config.json and tokenizer */
    WH_JOB_WEIGHTS = 1 << 1, /* and the tensors */
    WH_JOB_TRAIN = 1 << 2,   /* training rows and their partition */
    WH_JOB_TEST = 1 << 3,    /* test rows, where data.test is set */
} wh_job_need;

typedef struct wh_job {
    weft_config *config;
    wh_model_folder *model;
    wh_tokenizer *tokenizer;
    wh_labels *labels;
    wh_dataset train, test;
    bool has_train, has_test;
    weft_partition *partition;
    bool partition_is_loaded; /* from partition.file: its owner frees it */
    wh_log log;
    wh_progress progress;
    wh_state_file state; /* of clients, when memory does not hold it */
    double loop_started; /* wh_clock() at the start of the rounds; 0: not in them */
    int64_t first_round; /* of this process */
    int64_t first_steps; /* local steps before it */
    double rows_seconds, partition_seconds; /* it took to open them */
    bool has_looked;                        /* for the plugin */
    wh_ranks *ranks; /* that work on it together; borrowed, NULL: this process alone */
    wh_plugin plugin;
} wh_job;

/* Read the configuration from `path` (NULL: none) and cli, then open what `needs` asks for. On
 * failure everything is closed again. */
WEFT_NODISCARD weft_status wh_job_open(wh_job *job, const char *path, const wh_cli *cli,
                                       unsigned needs, weft_error *err);
void wh_job_close(wh_job *job);

/* Options for weft_engine_open and weft_plan_build; borrows everything from the job. The tick hook
 * feeds the progress line and stops on a signal, to any rank; the store is job->state. Looks for a
 * GPU where run.device lets one be used, so call it once the job is known to be good. */
weft_engine_options wh_job_engine_options(wh_job *job);

/* Of several GPUs that a rank sees it takes that of its number on the host, unless run.device names
 * one. */
WEFT_NODISCARD weft_status wh_job_choose_device(wh_job *job, weft_error *err);

/* One line for the log: which device computes, in which dtype, and why. */
void wh_job_tell_device(wh_job *job, const weft_engine_info *info);

/* Whether rounds look at the variance between their clients (fl.sync). */
bool wh_job_has_checks(const wh_job *job);
/* The clients that a round samples from. */
int32_t wh_job_clients(const wh_job *job);
/* Short name of the data for run names and tables: the training file without folder and suffix. */
void wh_job_dataset_name(char *out, size_t n, const wh_job *job);

/* A PEFT folder into the engine's global adapter. */
WEFT_NODISCARD weft_status wh_job_import_adapter(const wh_job *job, weft_engine *engine,
                                                 const char *folder, weft_error *err);
/* The engine's global adapter as a PEFT folder; `card` is Markdown for its README, may be NULL. */
WEFT_NODISCARD weft_status wh_job_export_adapter(const wh_job *job, weft_engine *engine,
                                                 const char *folder, const char *card,
                                                 weft_error *err);

#endif
