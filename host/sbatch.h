/* Batch scripts for Slurm: what a job asks of a cluster, and the file that sbatch takes. */
#ifndef WEFT_HOST_SBATCH_H
#define WEFT_HOST_SBATCH_H

#include "host/cli.h"
#include "host/text.h"

typedef struct wh_sbatch { /* free with wh_sbatch_free; words are borrowed from the command line */
    char *run_name;        /* of the run folder, which a restart finds by it */
    char *name;            /* of the Slurm job: run_name or --name in plain letters */
    const char *job;       /* the job file */
    const char *weft;      /* the program on the nodes */
    const char *time, *mem, *partition, *account; /* NULL: the cluster decides */
    const wh_cli_set *set;                        /* options for the program */
    int n_sets;
    int64_t nodes, gpus, cpus; /* gpus of each node (0: the CPU computes), cpus of each task */
    int64_t signal_seconds;
    int64_t array, array_most; /* tasks of the array, 0: none; at a time, 0: all */
} wh_sbatch;

/* Reads the flags of `cli`, whose first word is the job file. `config` is that job; `program` is
 * for when --weft is absent. All are borrowed and must outlive *out. WEFT_E_CONFIG: a flag that
 * sbatch would refuse, or that does not fit the others or the job. */
WEFT_NODISCARD weft_status wh_sbatch_read(wh_sbatch *out, const wh_cli *cli,
                                          const weft_config *config, const char *program,
                                          weft_error *err);
void wh_sbatch_free(wh_sbatch *sbatch);

/* Appends the script. The same flags give the same bytes. */
void wh_sbatch_write(wh_text *text, const wh_sbatch *sbatch);

/* Seconds of a time limit as Slurm reads it: "90" (minutes), "M:S", "H:M:S", "D-H", "D-H:M",
 * "D-H:M:S". -1: it is none. */
int64_t wh_sbatch_seconds(const char *limit);

#endif
