/* What exchanges between ranks cost, apart from training: as many processes of this program on this
 * host as `weft train --ranks N` would start, with the same greeting, cores and connections.
 *
 *   bench_ranks --ranks N [--most BYTES] [--samples N]
 *
 * One line of JSON: seconds of the greeting, of a meeting (an allgather of 304 bytes) and of sums
 * of 10^3 to 10^8 bytes, each the best and the median of samples; their floors, from the time of
 * one message between two processes and from the memory's copy rate. Every sum is checked once. */
#define _GNU_SOURCE /* sched_setaffinity */
#include "bench/bench_floor.h"
#include "host/ranks.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MEETING = 304, MESSAGES = 400, MOST_SAMPLES = 1000 };

static const long SIZE[] = {1000, 10000, 100000, 1000000, 10000000, 100000000};
#define SIZES (int)(sizeof SIZE / sizeof *SIZE)

typedef struct options {
    long ranks, most, samples;
} options;

static int die(const char *what, const char *text) {
    (void)fprintf(stderr, "bench_ranks: %s: %s\n", what, text);
    return 1;
}

static bool read_options(options *o, int argc, char **argv) {
    *o = (options){.ranks = 0, .most = 100000000, .samples = 21};
    for (int i = 1; i < argc; i += 2) {
        char *end = NULL;
        const long value = i + 1 < argc ? strtol(argv[i + 1], &end, 10) : 0;
        if (!end || *end || value < 1) return false;
        if (strcmp(argv[i], "--ranks") == 0 && value > 1 && value <= WEFT_MAX_RANKS)
            o->ranks = value;
        else if (strcmp(argv[i], "--most") == 0)
            o->most = value;
        else if (strcmp(argv[i], "--samples") == 0 && value <= MOST_SAMPLES)
            o->samples = value;
        else
            return false;
    }
    return o->ranks > 0;
}

/* ---- floors ---- */

typedef struct floors {
    int cores;                         /* of all ranks */
    double message, message_same_core; /* seconds of one, between two cores and on one */
    double copy[SIZES];                /* bytes a second, by size of the vector */
} floors;

static int count_cores(void) {
    cpu_set_t all;
    return sched_getaffinity(0, sizeof all, &all) == 0 ? CPU_COUNT(&all) : 1;
}

/* The n-th core that this process may use, and no other from now on. */
static void pin(int n) {
    cpu_set_t all, one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof all, &all) != 0) return;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && n-- == 0) CPU_SET(cpu, &one);
    if (CPU_COUNT(&one) == 1 && sched_setaffinity(0, sizeof one, &one) != 0) return;
}

static bool pass(int fd, char *block, bool sends) {
    for (size_t at = 0; at < MEETING;) {
        const ssize_t n =
            sends ? send(fd, block + at, MEETING - at, 0) : recv(fd, block + at, MEETING - at, 0);
        if (n <= 0) return false;
        at += (size_t)n;
    }
    return true;
}

/* Messages to and fro. Seconds of one, the best of many batches. */
static double bounce(int fd, bool first) {
    char block[MEETING] = {0};
    double best = 1e9;
    for (int batch = 0; batch < 60; batch++) {
        const double start = bench_now();
        for (int i = 0; i < MESSAGES; i++)
            if (!pass(fd, block, first) || !pass(fd, block, !first)) return -1;
        const double one = (bench_now() - start) / (2 * MESSAGES);
        if (one < best) best = one;
    }
    return best;
}

/* Two connected sockets on the loopback; false: the system would not. */
static bool connect_two(int fd[2]) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof at;
    const int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    fd[0] = socket(AF_INET, SOCK_STREAM, 0), fd[1] = -1;
    if (bind(listener, (struct sockaddr *)&at, n) == 0 && listen(listener, 1) == 0 &&
        getsockname(listener, (struct sockaddr *)&at, &n) == 0 &&
        connect(fd[0], (struct sockaddr *)&at, n) == 0)
        fd[1] = accept(listener, NULL, NULL);
    for (int i = 0; i < 2; i++) (void)setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)close(listener);
    return fd[1] >= 0;
}

/* Two processes that do nothing but wait for each other, on two cores or on one. */
static double time_message(int other_core) {
    int fd[2];
    double seconds = -1;
    if (!connect_two(fd)) return -1;
    const pid_t pid = fork();
    if (pid == 0) {
        pin(other_core);
        _exit(bounce(fd[1], false) < 0);
    }
    cpu_set_t before;
    if (pid > 0 && sched_getaffinity(0, sizeof before, &before) == 0) {
        pin(0);
        seconds = bounce(fd[0], true);
        (void)waitpid(pid, NULL, 0);
        if (sched_setaffinity(0, sizeof before, &before) != 0) seconds = -1;
    }
    (void)close(fd[0]);
    (void)close(fd[1]);
    return seconds;
}

static int depth(int32_t ranks) {
    int d = 0;
    while (1 << d < ranks) d++;
    return d;
}

/* Bytes that a sum must read and write in this host's memory: around a ring every rank sends
 * 2 (n-1)/n of the vector, which is read once and written once (the sockets' own buffers are small
 * and stay in a cache), and adds (n-1)/n of it, which is read twice and written once. */
static double sum_traffic(int32_t ranks, double bytes) {
    return (2 * 2 + 3) * (double)(ranks - 1) * bytes;
}

/* What one rank knows is nowhere else than in 2^k others after k messages. */
static double meeting_floor(const floors *f, int32_t ranks) {
    const double message = f->message < f->message_same_core ? f->message : f->message_same_core;
    return depth(ranks) * message;
}

static double sum_floor(const floors *f, int32_t ranks, long bytes, int size) {
    const double memory = sum_traffic(ranks, (double)bytes) / f->copy[size];
    return memory > meeting_floor(f, ranks) ? memory : meeting_floor(f, ranks);
}

/* ---- what is timed ---- */

typedef struct bed {
    const weft_comm *comm;
    int64_t *words;
    weft_error err;
} bed;

static weft_status exchange(bed *b, int64_t n) {
    char all[WEFT_MAX_RANKS * MEETING];
    char own[MEETING] = {0};
    if (n > 0) return b->comm->sum(b->comm->ud, b->words, n, &b->err);
    return b->comm->allgather(b->comm->ud, own, sizeof own, all, &b->err);
}

static weft_status check_sum(bed *b, int64_t n) {
    const int64_t size = b->comm->size;
    for (int64_t i = 0; i < n; i++) b->words[i] = b->comm->rank + i;
    WEFT_TRY(exchange(b, n));
    for (int64_t i = 0; i < n; i++)
        if (b->words[i] != size * (size - 1) / 2 + size * i)
            return WEFT_FAIL(&b->err, WEFT_E_ARG, "word %lld of %lld is wrong", (long long)i,
                             (long long)n);
    return WEFT_OK;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Each sample is a batch of calls, since rank 0 leaves a call before the others. */
static weft_status time_exchange(bed *b, int64_t n, int32_t calls, long samples, double *best,
                                 double *median) {
    double seconds[MOST_SAMPLES];
    if (n > 0) WEFT_TRY(check_sum(b, n));
    for (long s = 0; s < samples; s++) {
        WEFT_TRY(exchange(b, 0)); /* all begin together */
        const double start = bench_now();
        for (int32_t i = 0; i < calls; i++) WEFT_TRY(exchange(b, n));
        seconds[s] = (bench_now() - start) / calls;
    }
    qsort(seconds, (size_t)samples, sizeof *seconds, by_size);
    *best = seconds[0], *median = seconds[samples / 2];
    return WEFT_OK;
}

static void print_meeting(const bed *b, const floors *f, double opened, double best,
                          double median) {
    printf("{\"ranks\": %d, \"cores\": %d, \"open_seconds\": %.6g, \"message_seconds\": %.6g, "
           "\"message_same_core_seconds\": %.6g, \"copy_bytes_per_s\": %.6g, \"meeting\": "
           "{\"bytes\": %d, \"best_seconds\": %.6g, \"median_seconds\": %.6g, "
           "\"floor_seconds\": %.6g}, \"sums\": [",
           b->comm->size, f->cores, opened, f->message, f->message_same_core, f->copy[SIZES - 1],
           MEETING, best, median, meeting_floor(f, b->comm->size));
}

static weft_status time_all(bed *b, const options *o, const floors *f, double opened) {
    const bool tells = b->comm->rank == 0;
    double best, median;
    WEFT_TRY(time_exchange(b, 0, 100, o->samples, &best, &median));
    if (tells) print_meeting(b, f, opened, best, median);
    for (int i = 0; i < SIZES && SIZE[i] <= o->most; i++) {
        const int32_t calls = SIZE[i] < 100000 ? 50 : SIZE[i] < 10000000 ? 5 : 1;
        WEFT_TRY(
            time_exchange(b, SIZE[i] / (long)sizeof *b->words, calls, o->samples, &best, &median));
        if (!tells) continue;
        printf("%s{\"bytes\": %ld, \"best_seconds\": %.6g, \"median_seconds\": %.6g, "
               "\"floor_seconds\": %.6g}",
               i > 0 ? ", " : "", SIZE[i], best, median, sum_floor(f, b->comm->size, SIZE[i], i));
    }
    if (tells) printf("]}\n");
    return WEFT_OK;
}

static const char *environment(void *ud, const char *name) {
    (void)ud;
    return getenv(name);
}

int main(int argc, char **argv) {
    options o;
    bed b = {0};
    floors f = {.cores = count_cores()};
    wh_ranks *ranks = NULL;
    if (!read_options(&o, argc, argv))
        return die("usage", "bench_ranks --ranks N [--most BYTES] [--samples N]");
    wh_ranks_options how = {.wanted = (int32_t)o.ranks, .argv = argv, .timeout = 60};
    weft_status st = wh_launch_find(&how.launch, environment, NULL, &b.err);
    if (st == WEFT_OK && how.launch.by == WH_LAUNCH_NONE) {
        f.message = time_message(1), f.message_same_core = time_message(0);
        for (int i = 0; i < SIZES; i++) f.copy[i] = bench_copy_rate(f.cores, (size_t)SIZE[i]);
    }
    const double start = bench_now();
    if (st == WEFT_OK) st = wh_ranks_open(&ranks, &how, &b.err);
    const double opened = bench_now() - start;
    if (st == WEFT_OK) st = wh_ranks_share_cores(ranks, true, &b.err);
    b.comm = wh_ranks_comm(ranks);
    b.words = malloc((size_t)o.most + sizeof *b.words);
    if (st == WEFT_OK && !b.words) st = WEFT_FAIL(&b.err, WEFT_E_MEM, "out of memory");
    if (st == WEFT_OK) st = time_all(&b, &o, &f, opened);
    weft_error late = {0};
    const weft_status closed = wh_ranks_close(ranks, st, b.err.text, &late);
    free(b.words);
    if (st != WEFT_OK) return die("exchange", b.err.text);
    return closed == WEFT_OK ? 0 : die("end", late.text);
}
