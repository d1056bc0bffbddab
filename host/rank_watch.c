#include "host/rank_watch.h"

#include "host/progress.h"
#include "host/rank_meet.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PHASE = 96 };
#define FIRST_PHASE "the start"

/* The other end of a connection: of all other ranks on rank 0, of rank 0 on the others. */
typedef struct peer {
    int fd;         /* -1: none any more */
    bool has_left;  /* it said goodbye, and only waits for rank 0's */
    double heard;   /* when it last said something */
    size_t n;       /* bytes of the frame that is coming in */
    wh_frame frame; /* it */
    char phase[PHASE];
} peer;

struct wh_watch {
    wh_launch launch;
    double timeout, beat;
    int listener;
    wh_member *member;  /* (size) */
    peer *peer;         /* (size) */
    struct pollfd *set; /* (size + 1) scratch of the thread */
    pthread_t thread;
    int wake;          /* readable once there is a verdict */
    int nudge;         /* something for the thread to do */
    atomic_int signal; /* that any rank caught; negative: own, not yet told */
    atomic_bool is_leaving, has_heard_bye;

    pthread_mutex_t lock; /* of what follows */
    char phase[PHASE];
    weft_error verdict;
    bool is_farewell_due;
    wh_frame farewell;
};

/* ---- verdict ---- */

static void judge(wh_watch *w, weft_status status, const char *text) {
    const uint64_t one = 1;
    (void)pthread_mutex_lock(&w->lock);
    if (w->verdict.status == WEFT_OK) {
        (void)WEFT_FAIL(&w->verdict, status, "%s", text);
        (void)!write(w->wake, &one, sizeof one);
    }
    (void)pthread_mutex_unlock(&w->lock);
}

weft_status wh_watch_verdict(wh_watch *w, weft_error *err) {
    (void)pthread_mutex_lock(&w->lock);
    const weft_status st = w->verdict.status;
    if (st != WEFT_OK && err) *err = w->verdict;
    (void)pthread_mutex_unlock(&w->lock);
    return st;
}

int wh_watch_wake(const wh_watch *w) {
    return w->wake;
}

weft_status wh_watch_await(wh_watch *w, weft_error *err) {
    /* A rank may be silent for the timeout before it counts as lost. */
    struct pollfd set = {.fd = w->wake, .events = POLLIN};
    (void)poll(&set, 1, (int)((w->timeout + 5.0) * 1e3));
    return wh_watch_verdict(w, err);
}

/* ---- frames ---- */

/* Small, so that they fit into what the system buffers; else the other end reads nothing for long
 * and will be found silent. */
static void send_frame(peer *p, const wh_frame *frame) {
    const wh_patience soon = {wh_clock() + 1.0, -1};
    if (p->fd >= 0) (void)wh_net_send(p->fd, frame, sizeof *frame, soon); /* reading finds out */
}

static void send_all(wh_watch *w, const wh_frame *frame, int32_t but) {
    for (int32_t r = 0; r < w->launch.size; r++)
        if (r != but) send_frame(&w->peer[r], frame);
}

static wh_frame make_frame(const wh_watch *w, wh_frame_kind kind, weft_status status,
                           const char *text) {
    wh_frame f;
    memset(&f, 0, sizeof f);
    f.kind = (int32_t)kind, f.rank = w->launch.rank, f.status = (int32_t)status;
    (void)snprintf(f.text, sizeof f.text, "%s", text);
    return f;
}

static bool is_first(const wh_watch *w) {
    return w->launch.rank == 0;
}

static void fail_all(wh_watch *w, weft_status status, const char *text, int32_t but) {
    const wh_frame f = make_frame(w, WH_FRAME_FAIL, status, text);
    if (!atomic_load(&w->has_heard_bye)) judge(w, status, text);
    if (is_first(w)) send_all(w, &f, but);
}

static void lose(wh_watch *w, int32_t rank, const char *how) {
    char text[340];
    peer *p = &w->peer[rank];
    wh_net_close(&p->fd);
    if (p->has_left || atomic_load(&w->has_heard_bye)) return;
    (void)snprintf(text, sizeof text, "rank %d (%.63s) was lost: %s; last seen in %s", rank,
                   w->member[rank].host, how, p->phase);
    fail_all(w, WEFT_E_COMM, text, rank);
}

static void leave(wh_watch *w, int32_t rank) {
    w->peer[rank].has_left = true;
    if (rank != 0) return; /* it waits for this one's goodbye, or failure */
    atomic_store(&w->has_heard_bye, true);
    wh_net_close(&w->peer[0].fd);
}

static void take_frame(wh_watch *w, int32_t rank, const wh_frame *f) {
    peer *p = &w->peer[rank];
    switch (f->kind) {
    case WH_FRAME_BEAT:
        memcpy(p->phase, f->text, sizeof p->phase - 1);
        return;
    case WH_FRAME_STOP:
        atomic_store(&w->signal, f->status);
        if (is_first(w)) send_all(w, f, rank);
        return;
    case WH_FRAME_FAIL:
        fail_all(w, (weft_status)f->status, f->text, rank);
        return;
    case WH_FRAME_BYE:
        leave(w, rank);
        return;
    default:
        lose(w, rank, "it says what no rank says");
    }
}

/* What has come over one connection. */
static void read_peer(wh_watch *w, int32_t rank) {
    peer *p = &w->peer[rank];
    while (p->fd >= 0) {
        const ssize_t n = read(p->fd, (char *)&p->frame + p->n, sizeof p->frame - p->n);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n <= 0) {
            lose(w, rank, "its connection closed, so it was killed, crashed, or its host failed");
            return;
        }
        p->heard = wh_clock();
        p->n += (size_t)n;
        if (p->n < sizeof p->frame) continue;
        p->n = 0;
        p->frame.text[sizeof p->frame.text - 1] = '\0';
        const wh_frame whole = p->frame;
        take_frame(w, rank, &whole);
    }
}

/* ---- the thread ---- */

/* Waits for something to read, until the next beat. */
static void listen_to_all(wh_watch *w, double until) {
    const int32_t size = w->launch.size;
    const double left = until - wh_clock();
    for (int32_t r = 0; r < size; r++)
        w->set[r] = (struct pollfd){.fd = w->peer[r].fd, .events = POLLIN};
    w->set[size] = (struct pollfd){.fd = w->nudge, .events = POLLIN};
    if (poll(w->set, (nfds_t)size + 1, left > 0.0 ? (int)ceil(left * 1e3) : 0) <= 0) return;
    for (int32_t r = 0; r < size; r++)
        if (w->set[r].revents && w->peer[r].fd >= 0) read_peer(w, r);
    uint64_t count;
    if (w->set[size].revents) (void)!read(w->nudge, &count, sizeof count);
}

static void say_own(wh_watch *w, double *next_beat) {
    int signal = atomic_load(&w->signal);
    if (signal < 0) { /* own */
        wh_frame f = make_frame(w, WH_FRAME_STOP, WEFT_OK, "");
        f.status = -signal;
        send_all(w, &f, -1);
        (void)atomic_compare_exchange_strong(&w->signal, &signal, -signal);
    }
    if (wh_clock() < *next_beat) return;
    *next_beat = wh_clock() + w->beat;
    (void)pthread_mutex_lock(&w->lock);
    const wh_frame f = make_frame(w, WH_FRAME_BEAT, WEFT_OK, w->phase);
    (void)pthread_mutex_unlock(&w->lock);
    send_all(w, &f, -1);
}

static void look_for_silent(wh_watch *w) {
    char how[96];
    for (int32_t r = 0; r < w->launch.size; r++) {
        const peer *p = &w->peer[r];
        if (p->fd < 0 || p->has_left || wh_clock() - p->heard <= w->timeout) continue;
        (void)snprintf(how, sizeof how,
                       "silent for %.0f s, so it was stopped or its network failed", w->timeout);
        lose(w, r, how);
    }
}

/* Rank 0 has ended well, and nobody watches the others for this one any more: what it still waits
 * for must be on its way. */
static void outlive_first(wh_watch *w, double *left_at) {
    if (is_first(w) || atomic_load(&w->is_leaving) || !atomic_load(&w->has_heard_bye)) return;
    if (*left_at == 0.0) *left_at = wh_clock();
    if (wh_clock() - *left_at > w->timeout)
        judge(w, WEFT_E_COMM, "rank 0 has ended, but not all of the last exchange has come");
}

static bool is_anyone_left(const wh_watch *w) {
    for (int32_t r = 0; r < w->launch.size; r++)
        if (w->peer[r].fd >= 0) return true;
    return false;
}

/* Says goodbye, then listens until the others have: what lies unread when a connection is closed
 * takes what was sent last with it. */
static void part(wh_watch *w) {
    (void)pthread_mutex_lock(&w->lock);
    const wh_frame f = w->farewell;
    (void)pthread_mutex_unlock(&w->lock);
    const wh_frame bye = make_frame(w, WH_FRAME_BYE, WEFT_OK, "");
    if (f.kind == WH_FRAME_FAIL) send_all(w, &f, -1);
    send_all(w, &bye, -1);
}

static void *run(void *ud) {
    wh_watch *w = ud;
    double next_beat = 0.0, left_at = 0.0, end = (double)INFINITY;
    bool has_parted = false;
    while (!has_parted || (is_anyone_left(w) && wh_clock() < end)) {
        if (atomic_load(&w->is_leaving) && !has_parted) {
            const bool waits = w->farewell.kind == WH_FRAME_BYE;
            part(w);
            has_parted = true;
            /* Who ends well waits for rank 0, which may still have much to write, and rank 0 for
             * those who only have to answer. */
            if (is_first(w) || !waits) end = wh_clock() + 5.0;
            if (is_first(w)) atomic_store(&w->has_heard_bye, true); /* its own: nobody is lost */
        }
        say_own(w, &next_beat);
        listen_to_all(w, next_beat);
        look_for_silent(w);
        outlive_first(w, &left_at);
        if (has_parted && !is_first(w) && wh_watch_verdict(w, NULL) != WEFT_OK) break;
    }
    return NULL;
}

/* ---- opening and closing ---- */

static void release(wh_watch *w) {
    for (int32_t r = 0; w->peer && r < w->launch.size; r++) wh_net_close(&w->peer[r].fd);
    wh_net_close(&w->listener);
    wh_net_close(&w->wake);
    wh_net_close(&w->nudge);
    free(w->member);
    free(w->peer);
    free(w->set);
    free(w);
}

static weft_status come_together(wh_watch *w, const wh_watch_options *o, weft_error *err) {
    const int32_t size = o->launch->size;
    int *watch = malloc((size_t)size * sizeof *watch);
    if (!watch) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for %d ranks", size);
    for (int32_t r = 0; r < size; r++) watch[r] = -1;
    const weft_status st = o->launch->rank == 0
                               ? wh_meet_as_first(o, w->member, watch, &w->listener, err)
                               : wh_meet_as_other(o, w->member, watch, &w->listener, err);
    for (int32_t r = 0; r < size; r++)
        w->peer[r] = (peer){.fd = watch[r], .heard = wh_clock(), .phase = FIRST_PHASE};
    free(watch);
    return st;
}

/* Signals are for the thread that trains. */
static int start_thread(wh_watch *w) {
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&w->thread, NULL, run, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

weft_status wh_watch_open(wh_watch **out, const wh_watch_options *o, weft_error *err) {
    const size_t size = (size_t)o->launch->size;
    wh_watch *w = calloc(1, sizeof *w);
    struct rlimit files; /* a connection to each */
    if (!w) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for %zu ranks", size);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    *w = (wh_watch){.launch = *o->launch,
                    .timeout = o->timeout,
                    .beat = fmin(0.5, o->timeout / 4.0),
                    .listener = -1,
                    .phase = FIRST_PHASE,
                    .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                    .nudge = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    w->member = calloc(size, sizeof *w->member);
    w->peer = calloc(size, sizeof *w->peer);
    w->set = calloc(size + 1, sizeof *w->set);
    weft_status st = WEFT_OK;
    if (!w->member || !w->peer || !w->set || w->wake < 0 || w->nudge < 0)
        st = WEFT_FAIL(err, WEFT_E_MEM, "out of memory or descriptors for %zu ranks", size);
    for (size_t r = 0; w->peer && r < size; r++) w->peer[r].fd = -1;
    if (st == WEFT_OK) st = come_together(w, o, err);
    if (st == WEFT_OK) {
        (void)pthread_mutex_init(&w->lock, NULL);
        if (start_thread(w) != 0) st = WEFT_FAIL(err, WEFT_E_MEM, "no thread for the ranks");
    }
    if (st == WEFT_OK)
        *out = w;
    else
        release(w);
    return st;
}

static void nudge(wh_watch *w) {
    const uint64_t one = 1;
    (void)!write(w->nudge, &one, sizeof one);
}

/* "rank 3: …": another rank's words. */
static bool is_passed_on(const char *text) {
    if (strncmp(text, "rank ", 5) != 0) return false;
    const char *at = text + 5 + strspn(text + 5, "0123456789");
    return at > text + 5 && *at == ':';
}

weft_status wh_watch_close(wh_watch *w, weft_status status, const char *text, weft_error *err) {
    char whole[340];
    weft_error verdict = {0};
    const bool well = status == WEFT_OK || status == WEFT_E_STOPPED;
    /* Nothing new when the failure is the one that all know of. */
    const bool known = wh_watch_verdict(w, &verdict) != WEFT_OK;
    if (is_passed_on(text))
        (void)snprintf(whole, sizeof whole, "%.330s", text);
    else
        (void)snprintf(whole, sizeof whole, "rank %d: %.300s", w->launch.rank, text);
    (void)pthread_mutex_lock(&w->lock);
    w->farewell =
        make_frame(w, well || known ? WH_FRAME_BYE : WH_FRAME_FAIL, status, well ? "" : whole);
    (void)pthread_mutex_unlock(&w->lock);
    atomic_store(&w->is_leaving, true);
    nudge(w);
    (void)pthread_join(w->thread, NULL);
    const weft_status late = well ? wh_watch_verdict(w, err) : WEFT_OK;
    (void)pthread_mutex_destroy(&w->lock);
    release(w);
    return late;
}

/* ---- for the others ---- */

const wh_member *wh_watch_member(const wh_watch *w, int32_t rank) {
    return &w->member[rank];
}

int wh_watch_listener(const wh_watch *w) {
    return w->listener;
}

void wh_watch_phase(wh_watch *w, const char *text) {
    (void)pthread_mutex_lock(&w->lock);
    (void)snprintf(w->phase, sizeof w->phase, "%s", text);
    (void)pthread_mutex_unlock(&w->lock);
}

void wh_watch_stop(wh_watch *w, int signal) {
    int none = 0;
    if (atomic_compare_exchange_strong(&w->signal, &none, -signal)) nudge(w);
}

int wh_watch_signal(wh_watch *w) {
    const int signal = atomic_load(&w->signal);
    return signal < 0 ? -signal : signal;
}
