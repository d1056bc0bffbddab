#define _GNU_SOURCE /* MAP_ANONYMOUS */

#include "tests/device/process_comm.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define CHUNK ((size_t)1 << 16) /* bytes that cross at once */

typedef struct member {
    process_comm *all;
    int32_t rank;
    atomic_ullong turn; /* steps done */
    int64_t words[CHUNK / sizeof(int64_t)];
} member;

struct process_comm {
    int32_t n;
    member rank[PROCESS_RANKS];
};

/* This rank has done its part; goes on when all have. */
static void step(member *m) {
    const unsigned long long mine = ++m->turn;
    for (int32_t r = 0; r < m->all->n; r++)
        while (m->all->rank[r].turn < mine)
            (void)nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

static weft_status allgather(void *ud, const void *in, size_t bytes, void *out, weft_error *err) {
    member *m = ud;
    (void)err;
    for (size_t at = 0; at < bytes; at += CHUNK) {
        const size_t n = bytes - at < CHUNK ? bytes - at : CHUNK;
        memcpy(m->words, (const unsigned char *)in + at, n);
        step(m);
        for (int32_t r = 0; r < m->all->n; r++)
            memcpy((unsigned char *)out + (size_t)r * bytes + at, m->all->rank[r].words, n);
        step(m);
    }
    return WEFT_OK;
}

static weft_status sum(void *ud, int64_t *words, int64_t n, weft_error *err) {
    member *m = ud;
    const int64_t most = CHUNK / sizeof *words;
    (void)err;
    for (int64_t at = 0; at < n; at += most) {
        const int64_t count = n - at < most ? n - at : most;
        memcpy(m->words, words + at, (size_t)count * sizeof *words);
        step(m);
        for (int64_t i = 0; i < count; i++) {
            uint64_t total = 0;
            for (int32_t r = 0; r < m->all->n; r++) total += (uint64_t)m->all->rank[r].words[i];
            words[at + i] = (int64_t)total;
        }
        step(m);
    }
    return WEFT_OK;
}

process_comm *process_comm_new(int32_t n) {
    process_comm *c =
        mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (c == MAP_FAILED) return NULL;
    c->n = n;
    for (int32_t r = 0; r < n; r++) c->rank[r].all = c, c->rank[r].rank = r;
    return c;
}

weft_comm process_comm_rank(process_comm *c, int32_t rank) {
    return (weft_comm){.rank = rank,
                       .size = c->n,
                       .name = "processes",
                       .ud = &c->rank[rank],
                       .allgather = allgather,
                       .sum = sum,
                       .on_devices = true};
}

void process_comm_free(process_comm *c) {
    if (c) (void)munmap(c, sizeof *c);
}
