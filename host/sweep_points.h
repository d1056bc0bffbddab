/* The runs of a sweep: where they stand, what command makes one, which have ended, their table. */
#ifndef WEFT_HOST_SWEEP_POINTS_H
#define WEFT_HOST_SWEEP_POINTS_H

#include "host/cli.h"
#include "host/sweep.h"

#include <jansson.h>

typedef struct wh_sweep_job { /* zero-initialise; wh_sweep_job_close */
    const wh_cli *cli;
    const char *path; /* of the job file */
    wh_sweep sweep;
    char *folder;    /* that holds the run folders */
    wh_cli *one_cli; /* arguments of one point: large */
} wh_sweep_job;

/* Reads the job and checks the configuration of every point. WEFT_E_CONFIG: there is no sweep in
 * it, or a point's options do not fit together. Makes nothing. */
WEFT_NODISCARD weft_status wh_sweep_job_open(wh_sweep_job *job, const wh_cli *cli, weft_error *err);
void wh_sweep_job_close(wh_sweep_job *job);

/* The configuration of a point, but for the name and place of its folder. *Own*ed:
 * weft_config_free. */
WEFT_NODISCARD weft_status wh_sweep_config(weft_config **out, const wh_sweep_job *job,
                                           int64_t index, weft_error *err);

/* The run folder of a point, *own*ed (free); NULL when memory is out. */
char *wh_sweep_folder(const wh_sweep_job *job, int64_t index);

/* The NULL-terminated command that runs a point: weft train, its options, --resume auto. *Own*ed:
 * wh_sweep_command_free. NULL when memory is out. */
char **wh_sweep_command(const wh_sweep_job *job, int64_t index);
void wh_sweep_command_free(char **argv);

/* Whether the point's run has ended by itself, with the configuration that it would get now (but
 * for options that change no result). */
WEFT_NODISCARD weft_status wh_sweep_has_ended(bool *out, const wh_sweep_job *job, int64_t index,
                                              weft_error *err);

/* What the point sets: option -> text. *Own*ed; NULL when memory is out. */
json_t *wh_sweep_point_json(const wh_sweep_job *job, int64_t index);

/* The table of all runs that have a summary, or a JSON list of those summaries with "task" and
 * "point" in each, to stdout. Other processes may work in the folders. */
WEFT_NODISCARD weft_status wh_sweep_collect(const wh_sweep_job *job, weft_error *err);

#endif
