/* Ranks that a launcher put on one host without giving each cores of its own. */
#define _GNU_SOURCE /* sched_setaffinity */
#include "host/ranks.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct cores {
    char host[64];
    cpu_set_t set; /* this process may use */
} cores;

void wh_ranks_core_part(int all, int32_t i, int32_t n, int *first, int *end) {
    *first = (int)((int64_t)all * i / n), *end = (int)((int64_t)all * (i + 1) / n);
    if (*first == *end) *end = *first + 1;
}

static void keep_part(cpu_set_t *set, int32_t i, int32_t n) {
    int first, end, at = 0;
    wh_ranks_core_part(CPU_COUNT(set), i, n, &first, &end);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, set)) continue;
        if (at < first || at >= end) CPU_CLR(cpu, set);
        at++;
    }
}

weft_status wh_ranks_share_cores(wh_ranks *ranks, bool wants, weft_error *err) {
    const weft_comm *comm = wh_ranks_comm(ranks);
    cores own;
    int32_t before = 0, same = 0;
    if (!comm) return WEFT_OK;
    memset(&own, 0, sizeof own);
    (void)gethostname(own.host, sizeof own.host - 1);
    if (!wants || sched_getaffinity(0, sizeof own.set, &own.set) != 0) /* or they are very many */
        CPU_ZERO(&own.set);
    cores *all = calloc((size_t)comm->size, sizeof *all);
    if (!all) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for %d ranks", comm->size);
    const weft_status st = comm->allgather(comm->ud, &own, sizeof own, all, err);
    for (int32_t r = 0; st == WEFT_OK && r < comm->size; r++) {
        if (strcmp(all[r].host, own.host) != 0 || !CPU_EQUAL(&all[r].set, &own.set)) continue;
        before += r < comm->rank;
        same++;
    }
    free(all);
    if (st != WEFT_OK || same < 2 || CPU_COUNT(&own.set) == 0) return st;
    keep_part(&own.set, before, same);
    if (sched_setaffinity(0, sizeof own.set, &own.set) == 0) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_COMM, "cannot keep to a part of the cores: %s", strerror(errno));
}
