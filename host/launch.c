#include "host/launch.h"

#include "host/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Below the ports that systems hand out by themselves. A job's own are derived from its name, so
 * two jobs on one host may meet: hence several. */
enum { FIRST_PORT = 15000, PORT_SPAN = 16000, PORTS = 8, HIGHEST_PORT = 65535 };

const char *wh_launcher_name(wh_launcher by) {
    static const char *const NAME[] = {"no launcher", "torchrun", "srun", "mpirun",
                                       "a PMI launcher"};
    return NAME[by];
}

typedef struct reader {
    wh_getenv get;
    void *ud;
    weft_error *err;
} reader;

static const char *text(const reader *r, const char *name) {
    const char *value = r->get(r->ud, name);
    return value && value[0] ? value : NULL;
}

static bool has(const reader *r, const char *name) {
    return text(r, name) != NULL;
}

/* A whole number from min to max; `preset` when the variable is not set. */
static weft_status number(const reader *r, const char *name, int64_t preset, int64_t min,
                          int64_t max, int64_t *out) {
    const char *value = text(r, name);
    *out = preset;
    if (!value || (wh_parse_int64(value, out) == WH_NUMBER_OK && *out >= min && *out <= max))
        return WEFT_OK;
    return WEFT_FAIL(r->err, WEFT_E_CONFIG,
                     "the environment says %s=%.40s, where a number from %lld to %lld is expected",
                     name, value, (long long)min, (long long)max);
}

/* rank, size, and place on the host, by the names of a launcher; the last two may be NULL. */
static weft_status numbers(const reader *r, wh_launch *out, const char *rank, const char *size,
                           const char *local_rank, const char *local_size) {
    int64_t n;
    WEFT_TRY(number(r, size, 1, 1, WEFT_MAX_RANKS, &n));
    out->size = (int32_t)n;
    WEFT_TRY(number(r, rank, 0, 0, n - 1, &n));
    out->rank = (int32_t)n;
    if (local_rank) WEFT_TRY(number(r, local_rank, -1, 0, out->size - 1, &n));
    if (local_rank) out->local_rank = (int32_t)n;
    if (local_size) WEFT_TRY(number(r, local_size, 0, 1, out->size, &n));
    if (local_size) out->local_size = (int32_t)n;
    return WEFT_OK;
}

/* ---- where rank 0 is ---- */

static weft_status set_host(const reader *r, wh_launch *out, const char *host, const char *what) {
    const int n = snprintf(out->host, sizeof out->host, "%s", host);
    if (n > 0 && (size_t)n < sizeof out->host) return WEFT_OK;
    return WEFT_FAIL(r->err, WEFT_E_CONFIG, "%s is too long for the name of a host: %.80s...", what,
                     host);
}

/* MASTER_ADDR and MASTER_PORT, which people may also set to help another launcher. */
static weft_status master(const reader *r, wh_launch *out) {
    int64_t port;
    const char *host = text(r, "MASTER_ADDR");
    WEFT_TRY(number(r, "MASTER_PORT", 0, 1, HIGHEST_PORT, &port));
    if (host) WEFT_TRY(set_host(r, out, host, "MASTER_ADDR"));
    if (port) out->port = (int)port, out->n_ports = 1;
    return WEFT_OK;
}

/* The same ports on all ranks, others for other jobs: FNV-1a of the job's name. */
static void derive_ports(wh_launch *out) {
    uint32_t hash = 2166136261u;
    if (out->port) return;
    for (const char *c = out->job; *c; c++) hash = (hash ^ (unsigned char)*c) * 16777619u;
    out->port = FIRST_PORT + (int)(hash % PORT_SPAN);
    out->n_ports = PORTS;
}

bool wh_first_host(char *out, size_t n, const char *list) {
    size_t used = 0;
    bool in_brackets = false, skips = false;
    for (const char *c = list; *c; c++) {
        if (*c == '[') {
            in_brackets = true, skips = false;
        } else if (*c == ']') {
            in_brackets = skips = false;
        } else if (*c == ',' && !in_brackets) {
            break;
        } else if (in_brackets && (*c == ',' || *c == '-')) {
            skips = true;
        } else if (!skips) {
            if (used + 1 >= n) return false;
            out[used++] = *c;
        }
    }
    if (n > 0) out[used] = '\0';
    return used > 0 && !in_brackets;
}

/* ---- launchers ---- */

void wh_launch_name_job(wh_launch *out, const char *run_id) {
    (void)snprintf(out->job, sizeof out->job, "torchrun %.80s port %d", run_id, out->port);
}

static weft_status torchrun(const reader *r, wh_launch *out) {
    const char *job = text(r, "TORCHELASTIC_RUN_ID"),
               *store = text(r, "TORCHELASTIC_USE_AGENT_STORE");
    WEFT_TRY(numbers(r, out, "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"));
    WEFT_TRY(master(r, out));
    if (out->size == 1) return WEFT_OK;
    if (!out->host[0] || !out->port)
        return WEFT_FAIL(r->err, WEFT_E_CONFIG,
                         "RANK=%d and WORLD_SIZE=%d are set, but not %s: rank 0 cannot be found",
                         out->rank, out->size, out->host[0] ? "MASTER_PORT" : "MASTER_ADDR");
    /* There torchrun itself listens. */
    if (store && strcmp(store, "True") == 0) out->port += out->port < HIGHEST_PORT ? 1 : -1;
    wh_launch_name_job(out, job ? job : "");
    return WEFT_OK;
}

/* The variables of the step: those of the job stand in the batch script too, where nothing started
 * the other tasks. */
static weft_status slurm(const reader *r, wh_launch *out) {
    int64_t nodes, tasks;
    const char *list = text(r, "SLURM_STEP_NODELIST"), *job = text(r, "SLURM_JOB_ID"),
               *step = text(r, "SLURM_STEP_ID");
    WEFT_TRY(number(r, "SLURM_NTASKS", 0, 0, INT32_MAX, &tasks));
    out->n_tasks = (int32_t)tasks;
    if (!step) return WEFT_OK;
    WEFT_TRY(numbers(r, out, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", NULL));
    WEFT_TRY(number(r, "SLURM_STEP_NUM_NODES", 0, 1, INT32_MAX, &nodes));
    if (out->size == 1) return WEFT_OK;
    WEFT_TRY(master(r, out));
    if (nodes == 1) out->local_size = out->size;
    if (!out->host[0]) {
        if (nodes == 1)
            WEFT_TRY(set_host(r, out, "127.0.0.1", "this host"));
        else if (!list || !wh_first_host(out->host, sizeof out->host, list))
            return WEFT_FAIL(r->err, WEFT_E_CONFIG,
                             "SLURM_STEP_NODELIST=%.80s tells no host for rank 0: set MASTER_ADDR",
                             list ? list : "");
    }
    (void)snprintf(out->job, sizeof out->job, "slurm %.40s.%.40s restart %.10s", job ? job : "",
                   step, text(r, "SLURM_RESTART_COUNT") ? text(r, "SLURM_RESTART_COUNT") : "0");
    derive_ports(out);
    return WEFT_OK;
}

/* Open MPI does not tell where rank 0 is, unless all are here; nor does PMI. The MPI plugin finds
 * out by MPI itself, and MASTER_ADDR helps where there is none. */
static weft_status mpi(const reader *r, wh_launch *out) {
    const char *job = text(r, "PMIX_NAMESPACE");
    if (!job) job = text(r, "OMPI_MCA_ess_base_jobid");
    if (!job) job = text(r, "PMI_JOBID");
    if (out->by == WH_LAUNCH_OPENMPI)
        WEFT_TRY(numbers(r, out, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
                         "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"));
    else
        WEFT_TRY(numbers(r, out, "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"));
    if (out->size == 1) return WEFT_OK;
    WEFT_TRY(master(r, out));
    if (!out->host[0] && out->local_size == out->size)
        WEFT_TRY(set_host(r, out, "127.0.0.1", "this host"));
    (void)snprintf(out->job, sizeof out->job, "mpi %.100s", job ? job : "");
    derive_ports(out);
    return WEFT_OK;
}

weft_status wh_launch_find(wh_launch *out, wh_getenv get, void *ud, weft_error *err) {
    const reader r = {get, ud, err};
    *out = (wh_launch){.by = WH_LAUNCH_NONE, .size = 1, .local_rank = -1};
    /* RANK alone may be anybody's, and some containers say that they are one of one. */
    const char *world = text(&r, "WORLD_SIZE");
    if (has(&r, "RANK") && world && strcmp(world, "1") != 0) {
        out->by = WH_LAUNCH_TORCHRUN;
        return torchrun(&r, out);
    }
    /* Before Slurm: mpirun in a Slurm job starts its daemons with srun, whose variables stay. */
    if (has(&r, "OMPI_COMM_WORLD_SIZE")) {
        out->by = WH_LAUNCH_OPENMPI;
        return mpi(&r, out);
    }
    /* Likewise Hydra (MPICH, Intel MPI), which tells of the host what Slurm's own PMI does not. */
    if (has(&r, "PMI_RANK") && has(&r, "PMI_SIZE") && has(&r, "MPI_LOCALNRANKS")) {
        out->by = WH_LAUNCH_PMI;
        return mpi(&r, out);
    }
    if (has(&r, "SLURM_PROCID")) {
        out->by = WH_LAUNCH_SLURM;
        return slurm(&r, out);
    }
    if (has(&r, "PMI_RANK") && has(&r, "PMI_SIZE")) {
        out->by = WH_LAUNCH_PMI;
        return mpi(&r, out);
    }
    return WEFT_OK;
}

static const char *environment(void *ud, const char *name) {
    (void)ud;
    return getenv(name);
}

weft_status wh_launch_own(wh_launch *out, weft_error *err) {
    return wh_launch_find(out, environment, NULL, err);
}
