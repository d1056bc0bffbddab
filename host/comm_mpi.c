#define _GNU_SOURCE /* pipe2 */

#include "host/comm_mpi.h"

#include "host/exit_code.h"
#include "host/net.h"
#include "host/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct wh_mpi {
    const wh_mpi_table *table;
    weft_comm comm;
    wh_watch *watch;
    double timeout, end; /* for the start; when it is over */
    char name[340];
    char address[WH_FIRST_ADDRESSES][64]; /* of rank 0 */
};

/* ---- start and end ---- */

/* MPI's start and end block until all ranks have come, and there is no watch yet, or no more. */
typedef struct guard {
    pthread_t thread;
    int pipe[2]; /* closed at one end when they have */
    double timeout;
    int32_t rank;
    const char *what;
} guard;

static void *run_guard(void *ud) {
    const guard *g = ud;
    struct pollfd set = {.fd = g->pipe[0], .events = POLLIN};
    const double end = wh_clock() + g->timeout;
    for (double left = g->timeout; left > 0.0; left = end - wh_clock())
        if (poll(&set, 1, (int)(left * 1e3) + 1) > 0) return NULL;
    weft_error err = {0};
    char line[600];
    const weft_status st =
        WEFT_FAIL(&err, WEFT_E_COMM, "rank %d: not all ranks have %s within %.0f s", g->rank,
                  g->what, g->timeout);
    wh_exit_line(line, sizeof line, st, &err);
    fputs(line, stderr);
    _exit(wh_exit_code(st, 0, false));
}

static bool start_guard(guard *g) {
    sigset_t all, before;
    if (pipe2(g->pipe, O_CLOEXEC) != 0) return false;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool fine = pthread_create(&g->thread, NULL, run_guard, g) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (fine) return true;
    for (int i = 0; i < 2; i++) (void)close(g->pipe[i]);
    return false;
}

static void end_guard(guard *g) {
    (void)close(g->pipe[1]);
    (void)pthread_join(g->thread, NULL);
    (void)close(g->pipe[0]);
}

weft_status wh_mpi_open(wh_mpi **out, const wh_mpi_plugin *plugin, const wh_launch *launch,
                        double timeout, char *why, size_t n, weft_error *err) {
    char text[WH_MPI_WHY] = "";
    int32_t rank = -1, size = -1;
    guard g = {.timeout = timeout,
               .rank = launch->rank,
               .what = "started MPI, for which each needs libweft_mpi.so,"};
    *out = NULL;
    (void)snprintf(why, n, "%s", plugin->note);
    if (!plugin->table) return WEFT_OK;
    wh_mpi *m = calloc(1, sizeof *m);
    if (!m || !start_guard(&g)) {
        free(m);
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory or threads for MPI");
    }
    *m = (wh_mpi){.table = plugin->table, .timeout = timeout, .end = wh_clock() + timeout};
    const wh_mpi_end end = m->table->start(&rank, &size, text);
    end_guard(&g);
    if (end == WH_MPI_OK && rank == launch->rank && size == launch->size) {
        (void)snprintf(m->name, sizeof m->name, "mpi (%s)", plugin->note);
        *out = m;
        return WEFT_OK;
    }
    if (end != WH_MPI_OK) {
        (void)snprintf(why, n, "%.100s does not start: %.150s", plugin->note, text);
    } else {
        (void)snprintf(why, n,
                       "%.100s says rank %d of %d, %s says %d of %d: the launcher is not of this "
                       "MPI",
                       plugin->note, rank, size, wh_launcher_name(launch->by), launch->rank,
                       launch->size);
        m->table->finish();
    }
    free(m);
    return WEFT_OK;
}

/* ---- where rank 0 is ---- */

typedef struct rendezvous {
    int32_t port; /* 0: rank 0 cannot listen, `text` says why */
    int32_t n;
    char address[WH_FIRST_ADDRESSES][64];
    char text[256]; /* rank 0's host */
} rendezvous;

/* A port of MASTER_PORT is one that a firewall lets through. */
static int listen_first(const wh_launch *launch, rendezvous *at) {
    const bool is_alone = launch->local_size == launch->size; /* on one host */
    int port = launch->n_ports == 1 ? launch->port : 0;
    const int listener = wh_net_listen(is_alone ? "127.0.0.1" : NULL, &port);
    if (listener < 0) {
        (void)snprintf(at->text, sizeof at->text, "rank 0 cannot listen at port %d: %s", port,
                       strerror(errno));
        return -1;
    }
    at->port = port;
    if (is_alone) {
        (void)snprintf(at->text, sizeof at->text, "127.0.0.1");
        return listener;
    }
    (void)gethostname(at->text, WH_HOST_NAME - 1);
    /* What a person says first, a name last: it may be resolved to anything. */
    if (launch->host[0])
        (void)snprintf(at->address[at->n++], sizeof at->address[0], "%.63s", launch->host);
    at->n += wh_net_own_addresses(&at->address[at->n], WH_FIRST_ADDRESSES - 1 - at->n);
    (void)snprintf(at->address[at->n++], sizeof at->address[0], "%.63s", at->text);
    return listener;
}

static bool is_late(void *ud) {
    const wh_mpi *m = ud;
    return wh_clock() > m->end;
}

weft_status wh_mpi_meet(wh_mpi *m, wh_launch *launch, wh_watch_options *watch, weft_error *err) {
    char why[WH_MPI_WHY] = "nothing came from rank 0 in time";
    const wh_mpi_wait wait = {is_late, m, why};
    rendezvous at = {0};
    int listener = launch->rank == 0 ? listen_first(launch, &at) : -1;
    if (m->table->share(&at, sizeof at, &wait) != WH_MPI_OK) {
        wh_net_close(&listener);
        return WEFT_FAIL(err, WEFT_E_COMM, "rank %d: MPI fails at the start: %s", launch->rank,
                         why);
    }
    if (at.port == 0) return WEFT_FAIL(err, WEFT_E_COMM, "%s", at.text);
    (void)snprintf(launch->host, sizeof launch->host, "%s", at.text);
    launch->port = at.port, launch->n_ports = 1;
    memcpy(m->address, at.address, sizeof m->address);
    watch->listener = listener;
    watch->address = (const char(*)[64])m->address;
    watch->n_addresses = at.n;
    return WEFT_OK;
}

/* ---- exchanges ---- */

static bool is_over(void *ud) {
    const wh_mpi *m = ud;
    return wh_watch_verdict(m->watch, NULL) != WEFT_OK;
}

/* A failure inside MPI mostly means that a rank died, and the watch will know which. */
static weft_status judge(wh_mpi *m, wh_mpi_end end, const char *why, weft_error *err) {
    if (end == WH_MPI_OK) return WEFT_OK;
    weft_error verdict = {0};
    const weft_status st = wh_watch_await(m->watch, &verdict);
    if (st == WEFT_OK)
        return WEFT_FAIL(err, WEFT_E_COMM, "rank %d: MPI fails: %s", m->comm.rank, why);
    if (err) *err = verdict;
    return st;
}

static weft_status allgather(void *ud, const void *in, size_t bytes, void *out, weft_error *err) {
    wh_mpi *m = ud;
    char why[WH_MPI_WHY] = "";
    const wh_mpi_wait wait = {is_over, m, why};
    return judge(m, m->table->allgather(in, bytes, out, 0, &wait), why, err);
}

static weft_status sum(void *ud, int64_t *words, int64_t n, weft_error *err) {
    wh_mpi *m = ud;
    char why[WH_MPI_WHY] = "";
    const wh_mpi_wait wait = {is_over, m, why};
    return judge(m, m->table->sum(words, n, 0, &wait), why, err);
}

const weft_comm *wh_mpi_comm(wh_mpi *m, wh_watch *watch, const wh_launch *launch) {
    m->watch = watch;
    m->comm = (weft_comm){.rank = launch->rank,
                          .size = launch->size,
                          .name = m->name,
                          .ud = m,
                          .allgather = allgather,
                          .sum = sum,
                          .on_devices = true}; /* an exchange waits as long as the ranks live */
    return &m->comm;
}

/* Everything is written by now; a rank that was stopped on its last metres must not keep us. */
void wh_mpi_close(wh_mpi *m, bool well) {
    if (m && well) {
        guard g = {.timeout = m->timeout, .rank = m->comm.rank, .what = "come to the end of MPI"};
        const bool is_guarded = start_guard(&g);
        m->table->finish();
        if (is_guarded) end_guard(&g);
    }
    free(m);
}
