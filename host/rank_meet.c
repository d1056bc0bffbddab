#include "host/rank_meet.h"

#include "host/progress.h"
#include "host/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const double HELLO_SECONDS = 5.0; /* for the first words of whoever connects */

void wh_hello_fill(wh_hello *out, wh_hello_kind kind, const wh_launch *launch, int port) {
    memset(out, 0, sizeof *out);
    (void)snprintf(out->magic, sizeof out->magic, "%s", WH_HELLO_MAGIC);
    (void)snprintf(out->job, sizeof out->job, "%s", launch->job);
    (void)gethostname(out->host, sizeof out->host - 1);
    out->kind = (int32_t)kind, out->rank = launch->rank, out->size = launch->size;
    out->port = port;
}

bool wh_hello_is_ours(const wh_hello *hello, const wh_launch *launch, char *why, size_t n) {
    if (memcmp(hello->magic, WH_HELLO_MAGIC, sizeof WH_HELLO_MAGIC) != 0)
        (void)snprintf(why, n, "it is not a rank of this version of Weft");
    else if (strncmp(hello->job, launch->job, sizeof hello->job) != 0)
        (void)snprintf(why, n, "it belongs to another job (%.100s)", hello->job);
    else if (hello->size != launch->size)
        (void)snprintf(why, n, "it counts %d ranks, this one %d", hello->size, launch->size);
    else if (hello->rank < 0 || hello->rank >= hello->size || hello->rank == launch->rank)
        (void)snprintf(why, n, "it calls itself rank %d", hello->rank);
    else
        return true;
    return false;
}

/* ---- rank 0 ---- */

static bool is_loopback(const char *address) {
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

static weft_status listen_first(const wh_launch *launch, int *listener, weft_error *err) {
    const char *address = is_loopback(launch->host) ? launch->host : NULL;
    for (int i = 0; i < launch->n_ports; i++) {
        int port = launch->port + i;
        *listener = wh_net_listen(address, &port);
        if (*listener >= 0) return WEFT_OK;
    }
    return WEFT_FAIL(err, WEFT_E_COMM,
                     "rank 0 cannot listen at port %d: %s; set MASTER_PORT to a free one",
                     launch->port, strerror(errno));
}

static void name_missing(wh_text *text, const int *watch, int32_t size) {
    int32_t told = 0;
    for (int32_t r = 1; r < size && told < 9; r++) {
        if (watch[r] < 0) wh_text_addf(text, "%s%d", told++ ? ", " : "", r);
    }
    if (told == 9) wh_text_add(text, ", ...");
}

static int32_t count_here(const int *watch, int32_t size) {
    int32_t n = 1;
    for (int32_t r = 1; r < size; r++) n += watch[r] >= 0;
    return n;
}

/* A rank that waited too long for its answer, and comes again. */
static bool has_gone(int fd) {
    char c;
    if (fd < 0) return false;
    const ssize_t n = recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/* The first words of whoever connected, and an answer. A stranger is sent away. */
static bool welcome(const wh_watch_options *o, int fd, const char *address, wh_member *member,
                    int *watch) {
    const wh_patience soon = {wh_clock() + HELLO_SECONDS, -1};
    wh_frame answer = {.kind = WH_FRAME_FAIL, .status = WEFT_E_COMM};
    wh_hello hello;
    if (wh_net_receive(fd, &hello, sizeof hello, soon) != WH_NET_OK) return false;
    bool ours = wh_hello_is_ours(&hello, o->launch, answer.text, sizeof answer.text);
    if (ours && has_gone(watch[hello.rank])) wh_net_close(&watch[hello.rank]);
    if (ours && (hello.kind != WH_HELLO_WATCH || watch[hello.rank] >= 0)) {
        (void)snprintf(answer.text, sizeof answer.text, "rank %d is here already", hello.rank);
        ours = false;
    }
    if (ours) answer.kind = WH_FRAME_BEAT;
    if (wh_net_send(fd, &answer, sizeof answer, soon) != WH_NET_OK || !ours) return false;
    wh_member *m = &member[hello.rank];
    hello.host[sizeof hello.host - 1] = '\0';
    memcpy(m->host, hello.host, sizeof m->host);
    /* One on this host: the others reach it where they reach this one. */
    if (!is_loopback(address)) (void)snprintf(m->address, sizeof m->address, "%s", address);
    m->port = hello.port;
    watch[hello.rank] = fd;
    return true;
}

/* Waits for all others in steps, so that it can ask whether they can come at all. */
static weft_status gather(const wh_watch_options *o, int listener, wh_member *member, int *watch,
                          weft_error *err) {
    const double end = wh_clock() + o->start_timeout, step = 0.2;
    for (int32_t here = 1; here < o->launch->size;) {
        char address[64], why[200];
        wh_net_end how;
        const double now = wh_clock();
        const wh_patience soon = {fmin(now + step, end), -1};
        int fd = wh_net_accept(listener, soon, address, &how);
        if (fd >= 0 && !welcome(o, fd, address, member, watch)) wh_net_close(&fd);
        here = count_here(watch, o->launch->size);
        if (how == WH_NET_ERROR)
            return WEFT_FAIL(err, WEFT_E_COMM, "rank 0 cannot accept connections: %s",
                             strerror(errno));
        if (here < o->launch->size && o->can_come && !o->can_come(o->ud, why, sizeof why))
            return WEFT_FAIL(err, WEFT_E_COMM, "%s", why);
        if (here == o->launch->size || now < end) continue;
        wh_text missing = {0};
        name_missing(&missing, watch, o->launch->size);
        const weft_status st =
            WEFT_FAIL(err, WEFT_E_COMM,
                      "%d of %d ranks have come within %.0f s; missing: %s. They were not started, "
                      "or cannot reach %s",
                      here, o->launch->size, o->start_timeout, missing.data ? missing.data : "",
                      o->launch->host);
        wh_text_free(&missing);
        return st;
    }
    return WEFT_OK;
}

/* Everybody learns who is there, or why nothing comes of it. */
static weft_status tell_all(const wh_watch_options *o, const wh_member *member, const int *watch,
                            weft_status st, weft_error *err) {
    wh_frame frame = {.kind = st == WEFT_OK ? WH_FRAME_ALL : WH_FRAME_FAIL, .status = (int32_t)st};
    if (st != WEFT_OK)
        (void)snprintf(frame.text, sizeof frame.text, "rank 0: %.300s", err ? err->text : "");
    for (int32_t r = 1; r < o->launch->size; r++) {
        const wh_patience soon = {wh_clock() + HELLO_SECONDS, -1};
        if (watch[r] < 0) continue;
        wh_net_end end = wh_net_send(watch[r], &frame, sizeof frame, soon);
        if (end == WH_NET_OK && st == WEFT_OK)
            end = wh_net_send(watch[r], member, (size_t)o->launch->size * sizeof *member, soon);
        if (end != WH_NET_OK && st == WEFT_OK)
            return WEFT_FAIL(err, WEFT_E_COMM, "rank %d (%s) was lost at the start: %s", r,
                             member[r].host, wh_net_text(end));
    }
    return st;
}

weft_status wh_meet_as_first(const wh_watch_options *o, wh_member *member, int *watch,
                             int *listener, weft_error *err) {
    wh_hello own;
    weft_status st = WEFT_OK;
    wh_hello_fill(&own, WH_HELLO_WATCH, o->launch, 0);
    memcpy(member[0].host, own.host, sizeof own.host);
    *listener = o->listener;
    if (*listener < 0) st = listen_first(o->launch, listener, err);
    if (st == WEFT_OK) st = gather(o, *listener, member, watch, err);
    st = tell_all(o, member, watch, st, err);
    if (st == WEFT_OK) return st;
    for (int32_t r = 1; r < o->launch->size; r++) wh_net_close(&watch[r]);
    wh_net_close(listener);
    return st;
}

/* ---- the others ---- */

static void sleep_for(double seconds) {
    const struct timespec t = {(time_t)seconds, (long)((seconds - floor(seconds)) * 1e9)};
    (void)nanosleep(&t, NULL);
}

/* One attempt to reach rank 0 at one address and port. */
static int knock(const wh_watch_options *o, const char *host, int port, int own_port,
                 wh_patience soon, char *why, size_t n) {
    wh_hello hello;
    wh_frame answer;
    int fd = wh_net_connect(host, port, soon, why, n);
    if (fd < 0) return -1;
    wh_hello_fill(&hello, WH_HELLO_WATCH, o->launch, own_port);
    wh_net_end end = wh_net_send(fd, &hello, sizeof hello, soon);
    if (end == WH_NET_OK) end = wh_net_receive(fd, &answer, sizeof answer, soon);
    if (end == WH_NET_OK && answer.kind == WH_FRAME_BEAT) return fd;
    answer.text[sizeof answer.text - 1] = '\0';
    (void)snprintf(why, n, "it answers: %.150s", end == WH_NET_OK ? answer.text : wh_net_text(end));
    wh_net_close(&fd);
    return -1;
}

static weft_status find_first(const wh_watch_options *o, int own_port, int *fd, int *port,
                              weft_error *err) {
    const wh_launch *launch = o->launch;
    const double end = wh_clock() + o->start_timeout, most = 2.0 * HELLO_SECONDS;
    const int32_t n_hosts = o->n_addresses > 0 ? o->n_addresses : 1;
    /* Of many addresses some lead nowhere. */
    double try_for = n_hosts > 1 ? 1.0 : most;
    char why[200] = "", last[200];
    for (double pause = 0.02; wh_clock() < end; pause = fmin(pause * 1.5, 0.5)) {
        for (int32_t i = 0; i < launch->n_ports * n_hosts && wh_clock() < end; i++) {
            const char *host = o->n_addresses > 0 ? o->address[i % n_hosts] : launch->host;
            const wh_patience soon = {fmin(wh_clock() + try_for, end), -1};
            *port = launch->port + i / n_hosts;
            *fd = knock(o, host, *port, own_port, soon, last, sizeof last);
            if (*fd >= 0) return WEFT_OK;
            if (i == 0 || strncmp(last, "it answers", 10) == 0) memcpy(why, last, sizeof why);
        }
        try_for = fmin(2.0 * try_for, most);
        sleep_for(pause);
    }
    return WEFT_FAIL(err, WEFT_E_COMM,
                     "rank %d cannot reach rank 0 at %.100s port %d within %.0f s: %.200s",
                     launch->rank, launch->host, launch->port, o->start_timeout, why);
}

static weft_status hear_all(const wh_watch_options *o, int fd, wh_member *member, weft_error *err) {
    const wh_patience end = {wh_clock() + o->start_timeout + HELLO_SECONDS, -1};
    wh_frame frame;
    wh_net_end how = wh_net_receive(fd, &frame, sizeof frame, end);
    if (how == WH_NET_OK && frame.kind == WH_FRAME_ALL)
        how = wh_net_receive(fd, member, (size_t)o->launch->size * sizeof *member, end);
    if (how != WH_NET_OK)
        return WEFT_FAIL(err, WEFT_E_COMM, "rank 0 (%s) was lost at the start: %s", o->launch->host,
                         wh_net_text(how));
    frame.text[sizeof frame.text - 1] = '\0';
    if (frame.kind != WH_FRAME_ALL)
        return WEFT_FAIL(err, (weft_status)frame.status, "%s", frame.text);
    return WEFT_OK;
}

weft_status wh_meet_as_other(const wh_watch_options *o, wh_member *member, int *watch,
                             int *listener, weft_error *err) {
    int own_port = 0, port = 0;
    *listener = wh_net_listen(is_loopback(o->launch->host) ? o->launch->host : NULL, &own_port);
    if (*listener < 0)
        return WEFT_FAIL(err, WEFT_E_COMM, "rank %d cannot listen: %s", o->launch->rank,
                         strerror(errno));
    weft_status st = find_first(o, own_port, &watch[0], &port, err);
    if (st == WEFT_OK) st = hear_all(o, watch[0], member, err);
    member[0].port = port;
    if (st == WEFT_OK) return st;
    wh_net_close(&watch[0]);
    wh_net_close(listener);
    return st;
}
