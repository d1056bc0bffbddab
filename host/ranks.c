#include "host/ranks.h"

#include "host/comm_mpi.h"
#include "host/comm_tcp.h"
#include "host/local_ranks.h"
#include "host/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct wh_ranks {
    wh_launch launch;
    wh_local_ranks local;
    wh_watch *watch;
    wh_mpi *mpi;              /* NULL: tcp */
    wh_tcp *tcp;              /* NULL: mpi */
    const weft_comm *carrier; /* of one of them */
    weft_comm comm;           /* it, and counts */
    wh_exchanges counts;
    char no_mpi[320]; /* why not, where one would expect it; else "" */
    char text[640];
    char phase[96]; /* as last told */
};

/* ---- exchanges, counted ---- */

static void count(wh_ranks *r, double start, size_t bytes) {
    r->counts.seconds += wh_clock() - start;
    r->counts.bytes += (int64_t)bytes;
    r->counts.n++;
}

static weft_status allgather(void *ud, const void *in, size_t bytes, void *out, weft_error *err) {
    wh_ranks *r = ud;
    const double start = wh_clock();
    const weft_status st = r->carrier->allgather(r->carrier->ud, in, bytes, out, err);
    count(r, start, bytes);
    return st;
}

static weft_status sum(void *ud, int64_t *words, int64_t n, weft_error *err) {
    wh_ranks *r = ud;
    const double start = wh_clock();
    const weft_status st = r->carrier->sum(r->carrier->ud, words, n, err);
    count(r, start, (size_t)n * sizeof *words);
    return st;
}

/* ---- opening and closing ---- */

static weft_status fit_wanted(const wh_ranks_options *o, weft_error *err) {
    const wh_launch *l = &o->launch;
    if (o->wanted == 0 || l->size == o->wanted || (l->size == 1 && l->by == WH_LAUNCH_NONE) ||
        (l->by == WH_LAUNCH_SLURM && l->size == 1))
        return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_CONFIG,
                     "--ranks %d, but this is rank %d of %d started by %s: leave --ranks out",
                     o->wanted, l->rank, l->size, wh_launcher_name(l->by));
}

static void describe(wh_ranks *r, const char *by) {
    int32_t hosts = 0;
    for (int32_t i = 0; i < r->launch.size; i++) {
        bool is_new = true;
        for (int32_t k = 0; k < i && is_new; k++)
            is_new =
                strcmp(wh_watch_member(r->watch, i)->host, wh_watch_member(r->watch, k)->host) != 0;
        hosts += is_new;
    }
    (void)snprintf(r->text, sizeof r->text, "%d ranks on %d host%s, %s%s%s%s, started by %s",
                   r->launch.size, hosts, hosts == 1 ? "" : "s", r->comm.name,
                   r->no_mpi[0] ? " (no mpi: " : "", r->no_mpi, r->no_mpi[0] ? ")" : "", by);
}

/* Other launchers do not bring MPI's own connections along. */
static weft_status start_mpi(wh_ranks *r, wh_watch_options *watch, weft_error *err) {
    wh_mpi_plugin plugin;
    if (r->launch.by != WH_LAUNCH_OPENMPI && r->launch.by != WH_LAUNCH_PMI) return WEFT_OK;
    wh_mpi_plugin_open(&plugin, NULL);
    WEFT_TRY(wh_mpi_open(&r->mpi, &plugin, &r->launch, watch->start_timeout, r->no_mpi,
                         sizeof r->no_mpi, err));
    if (!r->mpi) return WEFT_OK;
    r->no_mpi[0] = '\0';
    return wh_mpi_meet(r->mpi, &r->launch, watch, err);
}

static weft_status connect_all(wh_ranks *r, const wh_ranks_options *o, weft_error *err) {
    enum { START_FACTOR = 5 }; /* hosts of a job may come up minutes apart */
    const bool own = r->local.n > 0;
    wh_watch_options watch = {.launch = &r->launch,
                              .timeout = o->timeout,
                              .start_timeout = START_FACTOR * o->timeout,
                              .listener = own ? r->local.listener : -1,
                              .can_come = own ? wh_local_ranks_live : NULL,
                              .ud = &r->local};
    r->local.listener = -1; /* the watch's now */
    WEFT_TRY(start_mpi(r, &watch, err));
    if (r->launch.host[0] == '\0')
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "%s started %d ranks on several hosts and does not tell where rank 0 is: "
                         "set MASTER_ADDR to its host; MPI could tell, but %.300s",
                         wh_launcher_name(r->launch.by), r->launch.size, r->no_mpi);
    WEFT_TRY(wh_watch_open(&r->watch, &watch, err));
    if (r->mpi) {
        r->carrier = wh_mpi_comm(r->mpi, r->watch, &r->launch);
    } else {
        WEFT_TRY(wh_tcp_open(&r->tcp, r->watch, &r->launch, watch.start_timeout, err));
        r->carrier = wh_tcp_comm(r->tcp);
    }
    r->comm = *r->carrier;
    r->comm.ud = r, r->comm.allgather = allgather, r->comm.sum = sum;
    describe(r, own ? "rank 0" : wh_launcher_name(r->launch.by));
    return WEFT_OK;
}

weft_status wh_ranks_open(wh_ranks **out, const wh_ranks_options *o, weft_error *err) {
    *out = NULL;
    WEFT_TRY(fit_wanted(o, err));
    if (o->launch.size == 1 && o->wanted <= 1) return WEFT_OK;
    wh_ranks *r = calloc(1, sizeof *r);
    if (!r) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for ranks");
    r->launch = o->launch;
    r->local.listener = -1;
    weft_status st = WEFT_OK;
    if (o->launch.size == 1)
        st = wh_local_ranks_start(&r->local, &r->launch, o->wanted, o->argv, err);
    if (st == WEFT_OK) st = connect_all(r, o, err);
    if (st == WEFT_OK) {
        *out = r;
        return WEFT_OK;
    }
    weft_error late = {0};
    const bool told = err && wh_ranks_is_told(r, err);
    const weft_status closed = wh_ranks_close(r, st, err ? err->text : "", &late);
    (void)closed; /* nobody ends well */
    if (told) err->text[0] = '\0';
    return st;
}

weft_status wh_ranks_close(wh_ranks *r, weft_status status, const char *text, weft_error *err) {
    weft_status late = WEFT_OK;
    if (!r) return WEFT_OK;
    const bool is_lost = r->watch && wh_watch_verdict(r->watch, NULL) != WEFT_OK;
    if (r->watch) late = wh_watch_close(r->watch, status, text, err);
    wh_tcp_close(r->tcp);
    wh_mpi_close(r->mpi, r->watch && !is_lost && late == WEFT_OK &&
                             (status == WEFT_OK || status == WEFT_E_STOPPED));
    wh_local_ranks_end(&r->local);
    free(r);
    return late;
}

/* ---- questions ---- */

const weft_comm *wh_ranks_comm(const wh_ranks *r) {
    return r ? &r->comm : NULL;
}

wh_exchanges wh_ranks_exchanges(const wh_ranks *r) {
    return r ? r->counts : (wh_exchanges){0};
}

bool wh_ranks_is_first(const wh_ranks *r) {
    return !r || r->launch.rank == 0;
}

int32_t wh_ranks_rank(const wh_ranks *r) {
    return r ? r->launch.rank : 0;
}

int32_t wh_ranks_size(const wh_ranks *r) {
    return r ? r->launch.size : 1;
}

const char *wh_ranks_text(const wh_ranks *r) {
    return r ? r->text : "";
}

int32_t wh_ranks_local(const wh_ranks *r) {
    int32_t before = 0;
    if (!r) return 0;
    for (int32_t i = 0; i < r->launch.rank; i++)
        before += strcmp(wh_watch_member(r->watch, i)->host,
                         wh_watch_member(r->watch, r->launch.rank)->host) == 0;
    return r->launch.local_rank >= 0 ? r->launch.local_rank : before;
}

bool wh_ranks_lost_first(const weft_error *err) {
    return strncmp(err->text, "rank 0 (", 8) == 0 && strstr(err->text, ") was lost") != NULL;
}

bool wh_ranks_is_told(const wh_ranks *r, const weft_error *err) {
    int teller;
    if (wh_ranks_is_first(r)) return false;
    if (sscanf(err->text, "rank %d", &teller) != 1 || teller == r->launch.rank) return false;
    return !wh_ranks_lost_first(err);
}

/* ---- agreeing ---- */

typedef struct opinion {
    int32_t status;
    char text[300];
} opinion;

static int32_t who_failed(const opinion *all, int32_t n) {
    int32_t stopped = -1;
    for (int32_t i = 0; i < n; i++) {
        if (all[i].status == WEFT_OK) continue;
        if (all[i].status != WEFT_E_STOPPED) return i;
        if (stopped < 0) stopped = i;
    }
    return stopped;
}

/* Rank 0 has ended over the same already. */
static bool is_of_first(const weft_error *verdict, const char *text) {
    enum { COMPARED = 200 };
    return strncmp(verdict->text, "rank 0: ", 8) == 0 &&
           strncmp(verdict->text + 8, text, COMPARED) == 0;
}

weft_status wh_ranks_agree(wh_ranks *r, weft_status status, weft_error *err) {
    if (!r) return status;
    const weft_comm *comm = wh_ranks_comm(r);
    opinion own = {.status = (int32_t)status}, *all = malloc((size_t)comm->size * sizeof *all);
    if (!all) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for %d ranks", comm->size);
    if (status != WEFT_OK && err)
        (void)snprintf(own.text, sizeof own.text, "%.*s", (int)sizeof own.text - 1, err->text);
    weft_error local = {0};
    const weft_status st = comm->allgather(comm->ud, &own, sizeof own, all, &local);
    const int32_t who = st == WEFT_OK ? who_failed(all, comm->size) : -1;
    weft_status common = status;
    if (status == WEFT_OK && st != WEFT_OK) {
        if (err) *err = local;
        common = st;
    } else if (status == WEFT_OK && who >= 0) {
        all[who].text[sizeof all[who].text - 1] = '\0';
        common = WEFT_FAIL(err, (weft_status)all[who].status, "rank %d: %s", who, all[who].text);
    } else if (status != WEFT_OK && comm->rank > 0 &&
               (st == WEFT_OK ? strcmp(all[0].text, own.text) == 0
                              : is_of_first(&local, own.text))) {
        common = WEFT_FAIL(err, status, "rank 0: %s", own.text); /* it tells */
    }
    free(all);
    return common;
}

weft_status wh_ranks_share(wh_ranks *r, void *data, size_t bytes, weft_error *err) {
    if (!r) return WEFT_OK;
    const weft_comm *comm = wh_ranks_comm(r);
    void *all = malloc((size_t)comm->size * bytes + 1);
    if (!all) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for %d ranks", comm->size);
    const weft_status st = comm->allgather(comm->ud, data, bytes, all, err);
    if (st == WEFT_OK) memcpy(data, all, bytes);
    free(all);
    return st;
}

/* ---- while work goes on ---- */

bool wh_ranks_go_on(wh_ranks *r, int signal, const char *phase) {
    if (!r) return signal == 0;
    if (strcmp(phase, r->phase) != 0) {
        (void)snprintf(r->phase, sizeof r->phase, "%s", phase);
        wh_watch_phase(r->watch, phase);
    }
    if (signal) wh_watch_stop(r->watch, signal);
    return signal == 0 && wh_watch_signal(r->watch) == 0 &&
           wh_watch_verdict(r->watch, NULL) == WEFT_OK;
}

int wh_ranks_signal(const wh_ranks *r) {
    return r ? wh_watch_signal(r->watch) : 0;
}

weft_status wh_ranks_verdict(wh_ranks *r, weft_status status, weft_error *err) {
    weft_error verdict = {0};
    if (!r || wh_watch_verdict(r->watch, &verdict) == WEFT_OK) return status;
    if (err) *err = verdict;
    return verdict.status;
}
