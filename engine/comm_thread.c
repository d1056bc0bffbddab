/* Ranks that are threads of one process: how tests run many ranks on one machine. Memory is shared,
 * so an exchange is a barrier, a look at what the others have, and a barrier. */
#include "engine/weft.h"

#include "kernels/base.h"

#include <pthread.h>
#include <string.h>

typedef struct member {
    weft_comm comm;
    weft_comm_threads *all;
    const void *in; /* of the exchange under way */
    int64_t *words;
} member;

struct weft_comm_threads {
    int32_t n, waiting;
    uint64_t turn; /* barriers passed */
    pthread_mutex_t lock;
    pthread_cond_t passed;
    member rank[WEFT_MAX_RANKS];
};

static void barrier(weft_comm_threads *t) {
    (void)pthread_mutex_lock(&t->lock);
    const uint64_t turn = t->turn;
    if (++t->waiting == t->n) {
        t->waiting = 0;
        t->turn++;
        (void)pthread_cond_broadcast(&t->passed);
    }
    while (turn == t->turn) (void)pthread_cond_wait(&t->passed, &t->lock);
    (void)pthread_mutex_unlock(&t->lock);
}

static weft_status allgather(void *ud, const void *in, size_t bytes, void *out, weft_error *err) {
    member *m = ud;
    (void)err;
    m->in = in;
    barrier(m->all);
    for (int32_t r = 0; r < m->all->n; r++)
        memmove((unsigned char *)out + (size_t)r * bytes, m->all->rank[r].in, bytes);
    barrier(m->all);
    return WEFT_OK;
}

/* Each rank adds up its share of the words, in place, and then copies the others'. */
static weft_status sum(void *ud, int64_t *words, int64_t n, weft_error *err) {
    member *m = ud;
    weft_comm_threads *t = m->all;
    const int64_t share = (n + t->n - 1) / t->n;
    (void)err;
    m->words = words;
    barrier(t);
    for (int32_t r = 0; r < t->n; r++) {
        if (r == m->comm.rank) continue;
        for (int64_t i = m->comm.rank * share; i < (m->comm.rank + 1) * share && i < n; i++)
            words[i] = (int64_t)((uint64_t)words[i] + (uint64_t)t->rank[r].words[i]);
    }
    barrier(t);
    for (int32_t r = 0; r < t->n; r++) {
        const int64_t first = r * share, end = first + share < n ? first + share : n;
        if (r != m->comm.rank && first < end)
            memcpy(words + first, t->rank[r].words + first, (size_t)(end - first) * sizeof *words);
    }
    barrier(t);
    return WEFT_OK;
}

weft_status weft_comm_threads_open(weft_comm_threads **out, int32_t n, weft_error *err) {
    wk_ctx ctx;
    void *memory = NULL;
    wk_ctx_init(&ctx, NULL);
    if (n < 1 || n > WEFT_MAX_RANKS)
        return WEFT_FAIL(err, WEFT_E_ARG, "%d ranks: 1 to %d are possible", n, WEFT_MAX_RANKS);
    const weft_status st = wk_host_alloc(&ctx, &memory, 1, sizeof **out, "ranks");
    if (st != WEFT_OK) {
        if (err) *err = ctx.err;
        return st;
    }
    weft_comm_threads *t = memory;
    memset(t, 0, sizeof *t);
    t->n = n;
    if (pthread_mutex_init(&t->lock, NULL) != 0 || pthread_cond_init(&t->passed, NULL) != 0) {
        wk_host_free(&ctx, memory);
        return WEFT_FAIL(err, WEFT_E_MEM, "no mutex for %d ranks", n);
    }
    for (int32_t r = 0; r < n; r++) {
        t->rank[r].all = t;
        t->rank[r].comm = (weft_comm){.rank = r,
                                      .size = n,
                                      .name = "threads",
                                      .ud = &t->rank[r],
                                      .allgather = allgather,
                                      .sum = sum};
    }
    *out = t;
    return WEFT_OK;
}

const weft_comm *weft_comm_threads_rank(const weft_comm_threads *threads, int32_t rank) {
    return rank >= 0 && rank < threads->n ? &threads->rank[rank].comm : NULL;
}

void weft_comm_threads_close(weft_comm_threads *threads) {
    wk_ctx ctx;
    wk_ctx_init(&ctx, NULL);
    if (!threads) return;
    (void)pthread_mutex_destroy(&threads->lock);
    (void)pthread_cond_destroy(&threads->passed);
    wk_host_free(&ctx, threads);
}
