#include "host/comm_tcp.h"

#include "host/net.h"
#include "host/progress.h"
#include "host/rank_meet.h"
#include "host/ring.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Up to so many bytes a sum takes the tree, whose time is in its steps; above, the ring. */
#define TREE_BYTES (64u << 10)
/* So much a connection takes whether or not the other side reads: far less than its buffers. */
#define MESSAGE_BYTES (16u << 10)

struct wh_tcp {
    weft_comm comm;
    wh_watch *watch;
    int *fd; /* (size), -1: not a neighbour */
    uint32_t turn;
    int64_t *scratch; /* grows with the largest sum */
    int64_t scratch_words;
};

/* Before every block of an allgather: two ranks that are not in the same call must not take each
 * other's bytes for theirs. */
typedef struct header {
    uint32_t turn, zero;
    uint64_t bytes;
} header;

/* ---- failures ---- */

/* A broken connection means that a rank died, and the watch will know which. */
static weft_status broken(wh_tcp *t, wh_net_end end, int32_t peer, weft_error *err) {
    weft_error verdict = {0};
    const weft_status st = wh_watch_await(t->watch, &verdict);
    if (st != WEFT_OK) {
        if (err) *err = verdict;
        return st;
    }
    return WEFT_FAIL(err, WEFT_E_COMM, "rank %d cannot exchange with rank %d (%.63s): %s",
                     t->comm.rank, peer, wh_watch_member(t->watch, peer)->host, wh_net_text(end));
}

static wh_patience for_ever(const wh_tcp *t) {
    return (wh_patience){(double)INFINITY, wh_watch_wake(t->watch)};
}

static weft_status send_to(wh_tcp *t, int32_t to, const void *data, size_t bytes, weft_error *err) {
    const wh_net_end end = wh_net_send(t->fd[to], data, bytes, for_ever(t));
    return end == WH_NET_OK ? WEFT_OK : broken(t, end, to, err);
}

static weft_status receive_from(wh_tcp *t, int32_t from, void *data, size_t bytes,
                                weft_error *err) {
    const wh_net_end end = wh_net_receive(t->fd[from], data, bytes, for_ever(t));
    return end == WH_NET_OK ? WEFT_OK : broken(t, end, from, err);
}

static weft_status send_block(wh_tcp *t, int32_t to, const void *data, size_t bytes,
                              weft_error *err) {
    const header h = {t->turn, 0, bytes};
    WEFT_TRY(send_to(t, to, &h, sizeof h, err));
    return send_to(t, to, data, bytes, err);
}

static weft_status receive_header(wh_tcp *t, int32_t from, size_t bytes, weft_error *err) {
    header h;
    WEFT_TRY(receive_from(t, from, &h, sizeof h, err));
    if (h.turn == t->turn && h.bytes == bytes) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_COMM,
                     "rank %d exchanges %llu bytes in its turn %u, rank %d expects %zu in turn %u: "
                     "they do not do the same work",
                     from, (unsigned long long)h.bytes, h.turn, t->comm.rank, bytes, t->turn);
}

static weft_status receive_block(wh_tcp *t, int32_t from, void *data, size_t bytes,
                                 weft_error *err) {
    WEFT_TRY(receive_header(t, from, bytes, err));
    return receive_from(t, from, data, bytes, err);
}

static weft_status take_scratch(wh_tcp *t, int64_t words, weft_error *err) {
    if (words <= t->scratch_words) return WEFT_OK;
    int64_t *larger = realloc(t->scratch, (size_t)words * sizeof *larger);
    if (!larger)
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for an exchange of %lld bytes over ranks",
                         (long long)words * (long long)sizeof *larger);
    t->scratch = larger, t->scratch_words = words;
    return WEFT_OK;
}

/* Both at once, since two that only send may wait for each other for ever. */
static weft_status exchange(wh_tcp *t, int32_t to, const void *out, size_t n_out, int32_t from,
                            void *in, size_t n_in, weft_error *err) {
    int failed = -1;
    const wh_net_end end =
        wh_net_exchange(t->fd[to], out, n_out, t->fd[from], in, n_in, for_ever(t), &failed);
    if (end == WH_NET_OK) return WEFT_OK;
    return broken(t, end, failed == t->fd[to] ? to : from, err);
}

/* ---- allgather (Bruck et al. 1997): blocks double at every step, and every rank works ---- */

/* Blocks of the same size to one rank and from another. Small ones go with their header in one
 * message, which a connection always holds; before large ones the headers are exchanged. */
static weft_status swap_blocks(wh_tcp *t, int32_t to, const void *out, int32_t from, void *in,
                               size_t bytes, weft_error *err) {
    const header own = {t->turn, 0, bytes};
    unsigned char message[sizeof own + MESSAGE_BYTES];
    const bool fits = bytes <= MESSAGE_BYTES;
    memcpy(message, &own, sizeof own);
    if (fits) memcpy(message + sizeof own, out, bytes);
    WEFT_TRY(send_to(t, to, message, sizeof own + (fits ? bytes : 0), err));
    WEFT_TRY(receive_header(t, from, bytes, err));
    if (fits) return receive_from(t, from, in, bytes, err);
    return exchange(t, to, out, bytes, from, in, bytes, err);
}

/* Place i of the scratch is the block of the i-th rank from this one on. */
static weft_status allgather(void *ud, const void *in, size_t bytes, void *out, weft_error *err) {
    wh_tcp *t = ud;
    const int32_t rank = t->comm.rank, size = t->comm.size;
    const size_t all = bytes * (size_t)size, before = bytes * (size_t)rank;
    t->turn++;
    WEFT_TRY(take_scratch(t, (int64_t)(all / sizeof *t->scratch + 1), err));
    unsigned char *block = (unsigned char *)t->scratch;
    memcpy(block, in, bytes);
    for (int32_t have = 1; have < size; have *= 2) {
        const int32_t n = have < size - have ? have : size - have;
        WEFT_TRY(swap_blocks(t, (rank + size - have) % size, block, (rank + have) % size,
                             block + (size_t)have * bytes, (size_t)n * bytes, err));
    }
    memcpy((unsigned char *)out + before, block, all - before);
    memcpy(out, block + (all - before), before);
    return WEFT_OK;
}

/* ---- sums ---- */

static void add(int64_t *to, const int64_t *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] = (int64_t)((uint64_t)to[i] + (uint64_t)from[i]);
}

/* From rank 0 down the tree, in which rank r is below the one without r's lowest bit. */
static weft_status broadcast(wh_tcp *t, void *data, size_t bytes, weft_error *err) {
    const int32_t rank = t->comm.rank, size = t->comm.size;
    int32_t bit = 1;
    while (bit < size && !(rank & bit)) bit *= 2;
    if (rank > 0) WEFT_TRY(receive_block(t, rank - bit, data, bytes, err));
    for (bit /= 2; bit > 0; bit /= 2)
        if (rank + bit < size) WEFT_TRY(send_block(t, rank + bit, data, bytes, err));
    return WEFT_OK;
}

static weft_status sum_by_tree(wh_tcp *t, int64_t *words, int64_t n, weft_error *err) {
    const int32_t rank = t->comm.rank, size = t->comm.size;
    const size_t bytes = (size_t)n * sizeof *words;
    WEFT_TRY(take_scratch(t, n, err));
    for (int32_t bit = 1; bit < size; bit *= 2) {
        if (rank & bit) {
            WEFT_TRY(send_block(t, rank - bit, words, bytes, err));
            break;
        }
        if (rank + bit >= size) continue;
        WEFT_TRY(receive_block(t, rank + bit, t->scratch, bytes, err));
        add(words, t->scratch, n);
    }
    return broadcast(t, words, bytes, err);
}

typedef struct ring {
    wh_tcp *t;
    weft_error *err;
} ring;

static int step(void *ud, const int64_t *out, int64_t n_out, int64_t *in, int64_t n_in) {
    const ring *r = ud;
    wh_tcp *t = r->t;
    const int32_t size = t->comm.size, next = (t->comm.rank + 1) % size,
                  before = (t->comm.rank + size - 1) % size;
    return (int)exchange(t, next, out, (size_t)n_out * sizeof *out, before, in,
                         (size_t)n_in * sizeof *in, r->err);
}

static weft_status sum_by_ring(wh_tcp *t, int64_t *words, int64_t n, weft_error *err) {
    ring r = {t, err};
    WEFT_TRY(take_scratch(t, wh_ring_scratch(n, t->comm.size), err));
    return (weft_status)wh_ring_sum(words, n, t->comm.rank, t->comm.size, t->scratch, step, &r);
}

static weft_status sum(void *ud, int64_t *words, int64_t n, weft_error *err) {
    wh_tcp *t = ud;
    t->turn++;
    if ((size_t)n * sizeof *words <= TREE_BYTES) return sum_by_tree(t, words, n, err);
    return sum_by_ring(t, words, n, err);
}

/* ---- connections ---- */

/* A power of two apart, forwards or backwards: so are neighbours in the ring and the tree too. */
static bool is_neighbour(int32_t a, int32_t b, int32_t size) {
    const int32_t step = a < b ? b - a : a - b, back = size - step;
    return (step & (step - 1)) == 0 || (back & (back - 1)) == 0;
}

static int connect_once(const char *host, int port, const wh_hello *hello, wh_patience patience,
                        char *why, size_t n) {
    int fd = wh_net_connect(host, port, patience, why, n);
    if (fd < 0) return -1;
    const wh_net_end end = wh_net_send(fd, hello, sizeof *hello, patience);
    if (end == WH_NET_OK) return fd;
    (void)snprintf(why, n, "%s", wh_net_text(end));
    wh_net_close(&fd);
    return -1;
}

/* Each calls those below it, whose listeners are open since the meeting. */
static weft_status call_lower(wh_tcp *t, const wh_launch *launch, wh_patience patience,
                              weft_error *err) {
    wh_hello hello;
    char why[200];
    wh_hello_fill(&hello, WH_HELLO_DATA, launch, 0);
    for (int32_t r = 0; r < launch->rank; r++) {
        const wh_member *m = wh_watch_member(t->watch, r);
        const char *host = m->address[0] ? m->address : launch->host;
        if (!is_neighbour(r, launch->rank, launch->size)) continue;
        t->fd[r] = connect_once(host, m->port, &hello, patience, why, sizeof why);
        if (t->fd[r] < 0)
            return WEFT_FAIL(err, WEFT_E_COMM,
                             "rank %d cannot connect to rank %d (%.63s) at %s port %d: %s",
                             launch->rank, r, m->host, host, m->port, why);
    }
    return WEFT_OK;
}

static weft_status take_higher(wh_tcp *t, const wh_launch *launch, wh_patience patience,
                               weft_error *err) {
    int32_t expected = 0;
    for (int32_t r = launch->rank + 1; r < launch->size; r++)
        expected += is_neighbour(launch->rank, r, launch->size);
    while (expected > 0) {
        wh_net_end end;
        wh_hello hello;
        char why[200];
        int fd = wh_net_accept(wh_watch_listener(t->watch), patience, NULL, &end);
        if (fd < 0)
            return WEFT_FAIL(err, WEFT_E_COMM, "rank %d waits for %d more ranks to connect: %s",
                             launch->rank, expected, wh_net_text(end));
        end = wh_net_receive(fd, &hello, sizeof hello, (wh_patience){wh_clock() + 5.0, -1});
        if (end == WH_NET_OK && wh_hello_is_ours(&hello, launch, why, sizeof why) &&
            hello.kind == WH_HELLO_DATA && hello.rank > launch->rank && t->fd[hello.rank] < 0) {
            t->fd[hello.rank] = fd;
            expected--;
        } else {
            wh_net_close(&fd); /* a stranger */
        }
    }
    return WEFT_OK;
}

weft_status wh_tcp_open(wh_tcp **out, wh_watch *watch, const wh_launch *launch, double timeout,
                        weft_error *err) {
    const wh_patience patience = {wh_clock() + timeout, wh_watch_wake(watch)};
    wh_tcp *t = calloc(1, sizeof *t);
    if (t) t->fd = malloc((size_t)launch->size * sizeof *t->fd);
    if (!t || !t->fd) {
        free(t);
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for %d ranks", launch->size);
    }
    t->watch = watch;
    t->comm = (weft_comm){.rank = launch->rank,
                          .size = launch->size,
                          .name = "tcp",
                          .ud = t,
                          .allgather = allgather,
                          .sum = sum,
                          .on_devices = true}; /* an exchange waits as long as the ranks live */
    for (int32_t r = 0; r < launch->size; r++) t->fd[r] = -1;
    weft_status st = call_lower(t, launch, patience, err);
    if (st == WEFT_OK) st = take_higher(t, launch, patience, err);
    weft_error verdict = {0};
    if (st == WEFT_E_COMM && wh_watch_await(watch, &verdict) != WEFT_OK) { /* which rank, and why */
        st = verdict.status;
        if (err) *err = verdict;
    }
    if (st == WEFT_OK)
        *out = t;
    else
        wh_tcp_close(t);
    return st;
}

const weft_comm *wh_tcp_comm(const wh_tcp *t) {
    return &t->comm;
}

void wh_tcp_close(wh_tcp *t) {
    if (!t) return;
    for (int32_t r = 0; r < t->comm.size; r++) wh_net_close(&t->fd[r]);
    free(t->fd);
    free(t->scratch);
    free(t);
}
