#define _GNU_SOURCE /* setenv */
#include "host/local_ranks.h"

#include "host/net.h"
#include "host/progress.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const double END_SECONDS = 5.0;

static bool set_number(const char *name, int value) {
    char text[16];
    (void)snprintf(text, sizeof text, "%d", value);
    return setenv(name, text, 1) == 0;
}

/* In the child. */
static void become(int32_t rank, const wh_launch *launch, const char *run_id, char *const *argv,
                   pid_t parent) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(128 + SIGKILL);
    if (set_number("RANK", rank) && set_number("WORLD_SIZE", launch->size) &&
        set_number("LOCAL_RANK", rank) && set_number("LOCAL_WORLD_SIZE", launch->size) &&
        set_number("MASTER_PORT", launch->port) && setenv("MASTER_ADDR", launch->host, 1) == 0 &&
        unsetenv("TORCHELASTIC_USE_AGENT_STORE") == 0 &&
        setenv("TORCHELASTIC_RUN_ID", run_id, 1) == 0) {
        (void)execv("/proc/self/exe", argv);
        (void)execvp(argv[0], argv); /* where there is no /proc */
    }
    _exit(127);
}

weft_status wh_local_ranks_start(wh_local_ranks *out, wh_launch *launch, int32_t size,
                                 char *const *argv, weft_error *err) {
    int port = 0;
    const pid_t parent = getpid();
    char run_id[64];
    (void)snprintf(run_id, sizeof run_id, "weft-%ld", (long)parent);
    *out = (wh_local_ranks){.listener = wh_net_listen("127.0.0.1", &port)};
    if (out->listener < 0)
        return WEFT_FAIL(err, WEFT_E_COMM, "no port for ranks on this host: %s", strerror(errno));
    out->pid = calloc((size_t)size, sizeof *out->pid);
    if (!out->pid) {
        wh_net_close(&out->listener);
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for %d ranks", size);
    }
    *launch = (wh_launch){.by = WH_LAUNCH_TORCHRUN,
                          .size = size,
                          .local_size = size,
                          .host = "127.0.0.1",
                          .port = port,
                          .n_ports = 1};
    wh_launch_name_job(launch, run_id);
    (void)fflush(NULL);
    for (int32_t r = 1; r < size; r++) {
        const pid_t pid = fork();
        if (pid == 0) become(r, launch, run_id, argv, parent);
        if (pid < 0) {
            const weft_status st = WEFT_FAIL(err, WEFT_E_MEM, "cannot start rank %d of %d: %s", r,
                                             size, strerror(errno));
            for (int32_t i = 0; i < out->n; i++) (void)kill(out->pid[i], SIGKILL);
            wh_local_ranks_end(out);
            return st;
        }
        out->pid[out->n++] = pid;
    }
    return WEFT_OK;
}

/* Whether it has ended; then *status is that of waitpid. */
static bool has_ended(wh_local_ranks *local, int32_t i, int *status) {
    if (local->pid[i] == 0) return false;
    const pid_t pid = waitpid(local->pid[i], status, WNOHANG);
    if (pid == 0) return false;
    if (pid < 0) *status = 0;
    local->pid[i] = 0;
    return true;
}

bool wh_local_ranks_live(void *ud, char *why, size_t n) {
    wh_local_ranks *local = ud;
    int status;
    for (int32_t i = 0; i < local->n; i++) {
        if (!has_ended(local, i, &status)) continue;
        if (WIFSIGNALED(status))
            (void)snprintf(why, n, "rank %d was killed by signal %d while it started", i + 1,
                           WTERMSIG(status));
        else
            (void)snprintf(why, n, "rank %d ended with exit code %d while it started", i + 1,
                           WEXITSTATUS(status));
        return false;
    }
    return true;
}

static bool all_ended(wh_local_ranks *local) {
    int status;
    bool all = true;
    for (int32_t i = 0; i < local->n; i++) {
        (void)has_ended(local, i, &status);
        all = all && local->pid[i] == 0;
    }
    return all;
}

void wh_local_ranks_end(wh_local_ranks *local) {
    const struct timespec pause = {0, 10000000};
    const double end = wh_clock() + END_SECONDS;
    while (!all_ended(local) && wh_clock() < end) (void)nanosleep(&pause, NULL);
    for (int32_t i = 0; i < local->n; i++) {
        if (local->pid[i] == 0) continue;
        (void)kill(local->pid[i], SIGKILL);
        (void)waitpid(local->pid[i], NULL, 0);
    }
    if (local->pid) wh_net_close(&local->listener);
    free(local->pid);
    *local = (wh_local_ranks){.listener = -1};
}
