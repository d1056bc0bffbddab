/* A synthetic job as an engine wants it: configuration, rows, partition and plan, opened. */
#ifndef WEFT_BENCH_SYNTHETIC_JOB_H
#define WEFT_BENCH_SYNTHETIC_JOB_H

#include "bench/synthetic.h"

typedef struct synthetic_job {
    weft_config *config;
    weft_rows rows;
    weft_partition *partition;
    weft_plan plan;
    weft_engine *engine;
} synthetic_job;

/* Clients of `shape`, whose rows are their own (partition.kind natural), on a model that must
 * outlive the job. `pairs` are (key, value) options, ended by NULL: run, client, engine and the
 * like; LoRA rank 8 and what belongs to the rows are set here. Plans and opens. False with one line
 * in *err; close it in either case. */
bool synthetic_job_open(synthetic_job *job, synthetic_model *model, const synthetic_rows *shape,
                        const char *const pairs[][2], weft_error *err);
void synthetic_job_close(synthetic_job *job);

#endif
