/* Ranks as processes with the device: the bits of one rank, and sums between the devices where each
 * rank has one of its own. Every process opens its device itself: CUDA does not survive a fork.
 *
 *   test_ranks shared     two ranks on device 0, which must leave sums to the host
 *   test_ranks own N      N ranks, each with a device of its own, which must not
 *
 * Exit code 77: there are not so many devices, or no library that sums between them. */
#define _GNU_SOURCE /* MAP_ANONYMOUS */

#include "tests/device/device.h"
#include "tests/device/process_comm.h"
#include "tests/engine/packing_run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_NUMBERS (1 << 16) /* of the adapter */

/* What a rank brings back. */
typedef struct result {
    packing_outcome out;
    float adapter[MOST_NUMBERS];
} result;

static void run_rank(process_comm *all, int32_t rank, bool own, result *to) {
    static const char *const more[] = {"run.deterministic", "placement", "client.local_epochs",
                                       "1"};
    char number[12];
    (void)snprintf(number, sizeof number, "%d", own ? rank : 0);
    setenv("FAKE_CUDA_UNIT", number, 1);
    if (own) setenv("CUDA_VISIBLE_DEVICES", number, 1);
    alarm(540); /* a hang is a failure */
    const weft_comm comm = all ? process_comm_rank(all, rank) : (weft_comm){.rank = 0};
    const packing_setup setup = {.device = "cuda",
                                 .backend = device_under_test(),
                                 .slots = "17",
                                 .threads = "1",
                                 .pack_tokens = "300",
                                 .more = more,
                                 .n_more = 4,
                                 .comm = all ? &comm : NULL};
    if (!setup.backend) exit(77);
    to->out = packing_run(&setup);
    if (to->out.size > MOST_NUMBERS) exit(1);
    memcpy(to->adapter, to->out.adapter, (size_t)to->out.size * sizeof *to->adapter);
    free(to->out.adapter);
    exit(0);
}

/* 0, or the exit code of the first rank that failed, after which the others are ended. */
static int run_ranks(int32_t n, bool own, result *to) {
    process_comm *all = n > 1 ? process_comm_new(n) : NULL;
    pid_t pid[PROCESS_RANKS];
    int failed = n > 1 && !all;
    (void)fflush(stdout);
    for (int32_t r = 0; r < n; r++)
        if ((pid[r] = fork()) == 0) run_rank(all, r, own, &to[r]);
    for (int32_t left = n; left > 0; left--) {
        int how = 0;
        const pid_t who = waitpid(-1, &how, 0);
        for (int32_t r = 0; r < n; r++)
            if (pid[r] == who) pid[r] = 0;
        if (failed || (WIFEXITED(how) && WEXITSTATUS(how) == 0)) continue;
        failed = WIFEXITED(how) ? WEXITSTATUS(how) : 1;
        for (int32_t r = 0; r < n; r++)
            if (pid[r] > 0) (void)kill(pid[r], SIGKILL);
    }
    process_comm_free(all);
    for (int32_t r = 0; r < n; r++) to[r].out.adapter = to[r].adapter;
    return failed;
}

/* How they must have summed; 77 when there is no library to do it. */
static int check_sums(const char *sums, bool own) {
    static const char by_host[] = "through host memory (processes): ";
    const bool host = strncmp(sums, by_host, sizeof by_host - 1) == 0;
    if (host && strstr(sums, "NCCL") != NULL) { /* missing, too old, or left out of the build */
        printf("skipped: sums %s\n", sums);
        return 77;
    }
    const bool good = own ? strncmp(sums, "NCCL 2.", 7) == 0
                          : host && strstr(sums, "ranks 0 and 1 share a GPU") != NULL;
    printf("%s: %s\n", sums, good ? "ok" : "FAILED");
    return !good;
}

int main(int argc, char **argv) {
    const bool own = argc > 1 && strcmp(argv[1], "own") == 0;
    const int32_t n = argc > 2 ? atoi(argv[2]) : 2;
    result *r = mmap(NULL, (PROCESS_RANKS + 1) * sizeof *r, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r == MAP_FAILED || n < 1 || n > PROCESS_RANKS) return 1;
    int failed = run_ranks(1, false, &r[n]);
    if (!failed) failed = run_ranks(n, own, r);
    if (failed) return failed;
    failed = check_sums(r[0].out.sums, own);
    for (int32_t i = 0; i < n; i++) {
        char what[64];
        (void)snprintf(what, sizeof what, "rank %d of %d", i, n);
        const bool good =
            packing_same(what, &r[i].out, &r[n].out) && strcmp(r[i].out.sums, r[0].out.sums) == 0;
        printf("%s = one alone: %s\n", what, good ? "ok" : "FAILED");
        if (!good) failed = 1;
    }
    return failed;
}
