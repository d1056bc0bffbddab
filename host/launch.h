/* Who started this process, and as which of how many ranks: read from the variables that torchrun,
 * Open MPI's mpirun, srun and PMI launchers set, in this order. The environment comes in as a
 * function. */
#ifndef WEFT_HOST_LAUNCH_H
#define WEFT_HOST_LAUNCH_H

#include "engine/weft.h"

typedef enum wh_launcher {
    WH_LAUNCH_NONE, /* started by hand: alone, unless ranks are started here */
    WH_LAUNCH_TORCHRUN,
    WH_LAUNCH_SLURM,
    WH_LAUNCH_OPENMPI,
    WH_LAUNCH_PMI,
} wh_launcher;

typedef struct wh_launch {
    wh_launcher by;
    int32_t rank, size;
    int32_t local_rank; /* among those of its host; -1: not told */
    int32_t local_size; /* of its host; 0: not told */
    char host[256];     /* of rank 0; "": not told */
    int port;           /* at which rank 0 listens; 0: not told */
    int n_ports;        /* so many from there on may be tried */
    char job[128];      /* tells this job from others that use the same port */
    int32_t n_tasks;    /* of the whole Slurm job, of which this step has `size`; else 0 */
} wh_launch;

typedef const char *(*wh_getenv)(void *ud, const char *name);

/* Errors: WEFT_E_CONFIG, naming a variable that is missing or makes no sense. */
WEFT_NODISCARD weft_status wh_launch_find(wh_launch *out, wh_getenv get, void *ud, weft_error *err);
/* From the environment of this process. */
WEFT_NODISCARD weft_status wh_launch_own(wh_launch *out, weft_error *err);

/* The job's name where torchrun's variables tell of it (TORCHELASTIC_RUN_ID, MASTER_PORT). */
void wh_launch_name_job(wh_launch *out, const char *run_id);

const char *wh_launcher_name(wh_launcher by); /* "torchrun", … */

/* The first host of a Slurm node list: "gpu[03-05,9],login" gives gpu03. False when it does not
 * fit. */
bool wh_first_host(char *out, size_t n, const char *list);

#endif
