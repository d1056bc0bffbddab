/* labels: unit
 * Ranks over TCP, here as threads of one process: exchanges against what they must give, and what
 * becomes of the others when one does not come, fails, dies or does something else. */
#define _DEFAULT_SOURCE /* usleep */
#include "host/comm_tcp.h"
#include "host/net.h"
#include "host/progress.h"
#include "host/rank_meet.h"

#include "tests/check.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 20 };

typedef struct rank {
    wh_watch_options options;
    wh_launch launch;
    wh_watch *watch;
    wh_tcp *tcp;
    weft_status opened, worked, closed;
    weft_error err;
    double seconds;
    weft_status (*work)(struct rank *r);
    int ends_with; /* that it closes with; -1: what its work gave */
} rank;

static void *live(void *ud) {
    rank *r = ud;
    const double start = wh_clock();
    r->opened = wh_watch_open(&r->watch, &r->options, &r->err);
    if (r->opened == WEFT_OK) {
        r->opened = wh_tcp_open(&r->tcp, r->watch, &r->launch, 5.0, &r->err);
        r->worked = r->opened == WEFT_OK && r->work ? r->work(r) : r->opened;
        r->closed =
            wh_watch_close(r->watch, r->ends_with < 0 ? r->worked : (weft_status)r->ends_with,
                           r->worked == WEFT_OK ? "its disk is full" : r->err.text, &r->err);
        wh_tcp_close(r->tcp);
    }
    r->seconds = wh_clock() - start;
    return NULL;
}

/* Ranks [from, n) of n. */
static void start(rank *r, pthread_t *thread, int32_t from, int32_t n,
                  weft_status (*work)(rank *r)) {
    int port = 0;
    const int listener = wh_net_listen("127.0.0.1", &port);
    assert_true(listener >= 0);
    for (int32_t i = 0; i < n; i++) {
        r[i] = (rank){.launch = {.by = WH_LAUNCH_TORCHRUN,
                                 .rank = i,
                                 .size = n,
                                 .host = "127.0.0.1",
                                 .port = port,
                                 .n_ports = 1,
                                 .job = "a test"},
                      .work = work,
                      .ends_with = -1};
        r[i].options = (wh_watch_options){.launch = &r[i].launch,
                                          .timeout = 2.0,
                                          .start_timeout = 5.0,
                                          .listener = i == 0 ? listener : -1};
    }
    for (int32_t i = from; i < n; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, live, &r[i]), 0);
}

static void end(pthread_t *thread, int32_t from, int32_t n) {
    for (int32_t i = from; i < n; i++) assert_int_equal(pthread_join(thread[i], NULL), 0);
}

/* ---- exchanges ---- */

static uint64_t value(int32_t who, int64_t i) {
    return ((uint64_t)who + 1) * 0x9e3779b97f4a7c15u ^ (uint64_t)i * 0xbf58476d1ce4e5b9u;
}

static weft_status gather_blocks(rank *r, size_t bytes) {
    const weft_comm *c = wh_tcp_comm(r->tcp);
    const size_t n = (size_t)c->size;
    unsigned char *all = calloc(n, bytes + 1), *own = malloc(bytes + 1);
    weft_status st = all && own ? WEFT_OK : WEFT_E_MEM;
    for (size_t i = 0; own && i < bytes; i++) own[i] = (unsigned char)value(c->rank, (int64_t)i);
    if (st == WEFT_OK) st = c->allgather(c->ud, own, bytes, all, &r->err);
    for (size_t k = 0; st == WEFT_OK && k < n * bytes; k++)
        if (all[k] != (unsigned char)value((int32_t)(k / bytes), (int64_t)(k % bytes)))
            st = WEFT_FAIL(&r->err, WEFT_E_ARG, "byte %zu of %zu is wrong", k, n * bytes);
    free(all);
    free(own);
    return st;
}

static weft_status sum_words(rank *r, int64_t n) {
    const weft_comm *c = wh_tcp_comm(r->tcp);
    int64_t *words = malloc((size_t)(n + 1) * sizeof *words);
    weft_status st = words ? WEFT_OK : WEFT_E_MEM;
    for (int64_t i = 0; words && i < n; i++) words[i] = (int64_t)value(c->rank, i);
    if (st == WEFT_OK) st = c->sum(c->ud, words, n, &r->err);
    for (int64_t i = 0; st == WEFT_OK && i < n; i++) {
        uint64_t expected = 0;
        for (int32_t k = 0; k < c->size; k++) expected += value(k, i);
        if ((uint64_t)words[i] != expected)
            st = WEFT_FAIL(&r->err, WEFT_E_ARG, "word %lld of %lld is wrong", (long long)i,
                           (long long)n);
    }
    free(words);
    return st;
}

/* Small and large, less than a word for each rank and many, and sizes that divide evenly or not. */
static weft_status exchange_all(rank *r) {
    WEFT_TRY(gather_blocks(r, 1));
    WEFT_TRY(sum_words(r, 1));
    WEFT_TRY(gather_blocks(r, 305));
    WEFT_TRY(sum_words(r, 8192));
    WEFT_TRY(sum_words(r, 8193)); /* from here on around the ring */
    WEFT_TRY(gather_blocks(r, 100001));
    WEFT_TRY(sum_words(r, 200003));
    WEFT_TRY(gather_blocks(r, 0));
    WEFT_TRY(gather_blocks(r, 16 << 10)); /* the most that goes in one message, */
    WEFT_TRY(gather_blocks(r, (16 << 10) + 1));
    for (size_t i = 0; i < 40; i++) WEFT_TRY(gather_blocks(r, 1 + 411 * i)); /* some run ahead */
    return gather_blocks(r, 8);
}

static void exchanges_are_right(void **state) {
    static const int32_t SIZES[] = {2, 3, 4, 5, 7, 8, 13, 16, MOST};
    rank r[MOST];
    pthread_t thread[MOST];
    (void)state;
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        const int32_t n = SIZES[i];
        start(r, thread, 0, n, exchange_all);
        end(thread, 0, n);
        for (int32_t k = 0; k < n; k++) {
            if (r[k].worked != WEFT_OK) print_error("rank %d of %d: %s\n", k, n, r[k].err.text);
            assert_int_equal(r[k].opened, WEFT_OK);
            assert_int_equal(r[k].worked, WEFT_OK);
            assert_int_equal(r[k].closed, WEFT_OK);
        }
    }
}

/* ---- failures ---- */

static weft_status fail_in_the_middle(rank *r) {
    WEFT_TRY(exchange_all(r));
    if (r->launch.rank == 2) return WEFT_FAIL(&r->err, WEFT_E_OUTPUT, "its disk is full");
    return exchange_all(r); /* which it does not come to */
}

static void a_failure_is_everybodys(void **state) {
    rank r[4];
    pthread_t thread[4];
    (void)state;
    start(r, thread, 0, 4, fail_in_the_middle);
    end(thread, 0, 4);
    for (int32_t k = 0; k < 4; k++) {
        assert_int_equal(r[k].worked, WEFT_E_OUTPUT);
        assert_string_equal(r[k].err.text,
                            k == 2 ? "its disk is full" : "rank 2: its disk is full");
        assert_true(r[k].seconds < 10.0);
    }
}

/* Rank 0 fails after the last exchange: the others wait for it and learn of it. */
static void rank_0_fails_at_the_end(void **state) {
    rank r[3];
    pthread_t thread[3];
    (void)state;
    start(r, thread, 3, 3, exchange_all);
    r[0].ends_with = WEFT_E_OUTPUT;
    for (int32_t k = 0; k < 3; k++)
        assert_int_equal(pthread_create(&thread[k], NULL, live, &r[k]), 0);
    end(thread, 0, 3);
    for (int32_t k = 1; k < 3; k++) {
        /* Its failure may overtake what it sent before. */
        assert_int_equal(r[k].worked == WEFT_OK ? r[k].closed : r[k].worked, WEFT_E_OUTPUT);
        assert_string_equal(r[k].err.text, "rank 0: its disk is full");
    }
}

static weft_status die_in_the_middle(rank *r) {
    WEFT_TRY(exchange_all(r));
    wh_watch_phase(r->watch, "round 7, training");
    if (r->launch.rank != 1) return exchange_all(r);
    usleep(700000); /* a beat has told of it */
    return raise(SIGKILL) == 0 ? WEFT_OK : WEFT_E_ARG;
}

/* Rank 1 as a process of its own, which can be killed; forked while there is one thread. */
static void a_dead_rank_is_named(void **state) {
    rank r[4];
    pthread_t thread[4];
    (void)state;
    start(r, thread, 4, 4, die_in_the_middle);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(r[0].options.listener);
        (void)live(&r[1]);
        _exit(0);
    }
    for (int32_t k = 0; k < 4; k++)
        if (k != 1) assert_int_equal(pthread_create(&thread[k], NULL, live, &r[k]), 0);
    for (int32_t k = 0; k < 4; k++) {
        if (k == 1) continue;
        assert_int_equal(pthread_join(thread[k], NULL), 0);
        assert_int_equal(r[k].worked, WEFT_E_COMM);
        assert_non_null(strstr(r[k].err.text, "rank 1 ("));
        assert_non_null(strstr(r[k].err.text, "was lost: its connection closed"));
        assert_non_null(strstr(r[k].err.text, "round 7, training"));
        assert_true(r[k].seconds < 10.0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static weft_status two_kinds_of_work(rank *r) {
    return r->launch.rank == 1 ? gather_blocks(r, 16) : gather_blocks(r, 24);
}

static void ranks_out_of_step_are_found(void **state) {
    rank r[2];
    pthread_t thread[2];
    (void)state;
    start(r, thread, 0, 2, two_kinds_of_work);
    end(thread, 0, 2);
    assert_int_equal(r[0].worked, WEFT_E_COMM);
    assert_non_null(strstr(r[0].err.text, "they do not do the same work"));
    assert_int_equal(r[1].worked, WEFT_E_COMM);
}

/* ---- the start ---- */

static void who_does_not_come_is_named(void **state) {
    rank r[4];
    pthread_t thread[4];
    (void)state;
    start(r, thread, 4, 4, exchange_all); /* none */
    r[0].options.start_timeout = r[3].options.start_timeout = 1.0;
    assert_int_equal(pthread_create(&thread[0], NULL, live, &r[0]), 0);
    assert_int_equal(pthread_create(&thread[3], NULL, live, &r[3]), 0);
    assert_int_equal(pthread_join(thread[0], NULL), 0);
    assert_int_equal(pthread_join(thread[3], NULL), 0);
    assert_int_equal(r[0].opened, WEFT_E_COMM);
    assert_non_null(strstr(r[0].err.text, "2 of 4 ranks have come within 1 s; missing: 1, 2."));
    assert_int_equal(r[3].opened, WEFT_E_COMM);
    assert_non_null(strstr(r[3].err.text, "rank 0: 2 of 4 ranks have come"));
}

static void rank_0_is_not_there(void **state) {
    rank r[2];
    pthread_t thread[2];
    (void)state;
    start(r, thread, 2, 2, exchange_all);
    (void)close(r[0].options.listener);
    r[1].options.start_timeout = 0.5;
    (void)live(&r[1]);
    assert_int_equal(r[1].opened, WEFT_E_COMM);
    assert_non_null(strstr(r[1].err.text, "rank 1 cannot reach rank 0 at 127.0.0.1 port"));
    r[1].launch.host[0] = 'x'; /* no such host */
    (void)live(&r[1]);
    assert_int_equal(r[1].opened, WEFT_E_COMM);
}

/* Somebody else at the port, and a rank of another job, do not disturb. */
static void strangers_are_sent_away(void **state) {
    rank r[3], other[3];
    pthread_t thread[3];
    char why[64], junk[sizeof(wh_hello)] = "GET / HTTP/1.1\r\n\r\n";
    (void)state;
    start(r, thread, 3, 3, exchange_all);
    assert_int_equal(pthread_create(&thread[0], NULL, live, &r[0]), 0);
    int fd = wh_net_connect("127.0.0.1", r[0].launch.port, (wh_patience){wh_clock() + 2.0, -1}, why,
                            sizeof why);
    assert_true(fd >= 0);
    assert_int_equal(wh_net_send(fd, junk, sizeof junk, (wh_patience){wh_clock() + 2.0, -1}),
                     WH_NET_OK);
    other[1] = r[1];
    other[1].options.launch = &other[1].launch;
    other[1].options.start_timeout = 0.3;
    (void)snprintf(other[1].launch.job, sizeof other[1].launch.job, "another test");
    (void)live(&other[1]);
    assert_int_equal(other[1].opened, WEFT_E_COMM);
    assert_non_null(strstr(other[1].err.text, "it belongs to another job (another test)"));
    for (int32_t i = 1; i < 3; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, live, &r[i]), 0);
    end(thread, 0, 3);
    wh_net_close(&fd);
    for (int32_t k = 0; k < 3; k++) assert_int_equal(r[k].worked, WEFT_OK);
}

/* ---- requests to stop ---- */

static weft_status wait_for_signal(rank *r) {
    const double until = wh_clock() + 5.0;
    if (r->launch.rank == 2) wh_watch_stop(r->watch, 10);
    while (wh_watch_signal(r->watch) == 0 && wh_clock() < until) usleep(1000);
    const weft_status st = wh_watch_signal(r->watch) == 10 ? WEFT_E_STOPPED : WEFT_E_ARG;
    return WEFT_FAIL(&r->err, st, "stopped");
}

static void a_signal_reaches_all(void **state) {
    rank r[4];
    pthread_t thread[4];
    (void)state;
    start(r, thread, 0, 4, wait_for_signal);
    end(thread, 0, 4);
    for (int32_t k = 0; k < 4; k++) {
        assert_int_equal(r[k].worked, WEFT_E_STOPPED);
        assert_int_equal(r[k].closed, WEFT_OK);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exchanges_are_right),         cmocka_unit_test(a_failure_is_everybodys),
        cmocka_unit_test(rank_0_fails_at_the_end),     cmocka_unit_test(a_dead_rank_is_named),
        cmocka_unit_test(ranks_out_of_step_are_found), cmocka_unit_test(who_does_not_come_is_named),
        cmocka_unit_test(rank_0_is_not_there),         cmocka_unit_test(strangers_are_sent_away),
        cmocka_unit_test(a_signal_reaches_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
