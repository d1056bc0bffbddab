/* labels: dist */
/* Ranks: the same bits on any number of them, whatever they train and however they wait for each
 * other; and a rank that fails is everybody's failure, with its name. */
#include "engine/weft.h"
#include "tests/check.h"
#include "tests/engine/kept_job.h"
#include "tests/engine/packing_run.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_RANKS 20

typedef struct rank_run {
    pthread_t thread;
    packing_setup setup;
    packing_outcome out;
} rank_run;

static void *run_rank(void *ud) {
    rank_run *r = ud;
    r->out = packing_run(&r->setup);
    return NULL;
}

/* All ranks against one engine alone. */
static void check_ranks(const char *name, int32_t n, const char *const *more, size_t n_more,
                        const packing_outcome *alone) {
    static rank_run run[MAX_RANKS];
    const bool at_once = strcmp(more[0], "fl.sync") == 0; /* the cohort trains in one wave */
    weft_error err = {0};
    weft_comm_threads *threads = NULL;
    check_ok(weft_comm_threads_open(&threads, n, &err), &err);
    for (int32_t r = 0; r < n; r++) {
        run[r].setup = (packing_setup){.device = "cpu",
                                       .slots = n % 2 && !at_once ? "2" : "17",
                                       .threads = "1",
                                       .pack_tokens = "150",
                                       .more = more,
                                       .n_more = n_more,
                                       .comm = weft_comm_threads_rank(threads, r)};
        assert_int_equal(pthread_create(&run[r].thread, NULL, run_rank, &run[r]), 0);
    }
    for (int32_t r = 0; r < n; r++) assert_int_equal(pthread_join(run[r].thread, NULL), 0);
    for (int32_t r = 0; r < n; r++) {
        char what[96];
        (void)snprintf(what, sizeof what, "%s, rank %d of %d", name, r, n);
        assert_true(packing_same(what, &run[r].out, alone));
        free(run[r].out.adapter);
    }
    weft_comm_threads_close(threads);
}

static void check_all(const char *name, const char *const *more, size_t n_more) {
    static const int32_t counts[] = {1, 2, 3, 4, 8, 20}; /* the last: more than clients */
    const packing_setup one = {.device = "cpu",
                               .slots = "17",
                               .threads = "2",
                               .pack_tokens = "4096",
                               .more = more,
                               .n_more = n_more};
    packing_outcome alone = packing_run(&one);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        check_ranks(name, counts[i], more, n_more, &alone);
    free(alone.adapter);
}

#define CHECK(name, ...)                                                                           \
    check_all(name, (const char *const[]){__VA_ARGS__},                                            \
              sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void test_fedopt(void **state) {
    (void)state;
    CHECK("fedavg", "fl.strategy", "fedavg", "fl.weighting", "examples");
    CHECK("fedadam", "fl.strategy", "fedadam", "run.dtype", "bf16");
}

static void test_fda(void **state) {
    (void)state;
    CHECK("fda-opt, sketch", "fl.sync", "fda-opt", "client.local_epochs", "1");
    CHECK("fda-opt, blocks", "fl.sync", "fda-opt", "client.local_epochs", "1", "fda.sketch", "xor",
          "fda.sketch_width", "256", "fda.variance", "checks");
    CHECK("fda, exact", "fl.sync", "fda", "fda.theta", "0.02", "fda.estimator", "exact",
          "client.local_epochs", "1");
    CHECK("fda-opt, linear", "fl.sync", "fda-opt", "client.local_epochs", "1", "fda.estimator",
          "linear", "ledger.topology", "allreduce");
}

/* ---- failures ---- */

typedef struct failing {
    pthread_t thread;
    const weft_comm *comm;
    int32_t stops_at; /* calls of tick on this rank; 0: never */
    int32_t ticks;
    weft_status st, again;
    int64_t rounds;
    weft_error err;
} failing;

static bool tick(void *ud, weft_phase phase, int64_t done, int64_t total) {
    failing *f = ud;
    (void)phase, (void)done, (void)total;
    return ++f->ticks != f->stops_at;
}

static void *run_failing(void *ud) {
    failing *f = ud;
    weft_round_report report;
    job j;
    kept_prepare(&j, (const char *const[]){"client.optimizer_state", "reset"}, 2, false);
    j.options.comm = f->comm;
    j.options.hooks = (weft_hooks){.ud = f, .tick = tick};
    f->st = weft_engine_open(&j.engine, &j.options, &f->err);
    if (f->st == WEFT_OK) f->st = weft_engine_round(j.engine, &report, &f->err);
    if (j.engine) f->again = weft_engine_round(j.engine, &report, NULL);
    if (j.engine) f->rounds = weft_engine_rounds_done(j.engine);
    weft_engine_close(j.engine);
    j.engine = NULL;
    kept_finish(&j);
    return NULL;
}

/* One of three is stopped; all stop, and all can have the round again. */
static void test_a_stop_is_everybodys(void **state) {
    (void)state;
    static failing f[3];
    weft_error err = {0};
    weft_comm_threads *threads = NULL;
    check_ok(weft_comm_threads_open(&threads, 3, &err), &err);
    for (int32_t r = 0; r < 3; r++) {
        f[r] = (failing){.comm = weft_comm_threads_rank(threads, r), .stops_at = r == 1 ? 2 : 0};
        assert_int_equal(pthread_create(&f[r].thread, NULL, run_failing, &f[r]), 0);
    }
    for (int32_t r = 0; r < 3; r++) {
        assert_int_equal(pthread_join(f[r].thread, NULL), 0);
        assert_int_equal(f[r].st, WEFT_E_STOPPED);
        assert_int_equal(f[r].again, WEFT_OK);
        assert_int_equal(f[r].rounds, 1);
        if (r != 1) assert_string_equal(f[r].err.text, "rank 1: stopped on request");
    }
    weft_comm_threads_close(threads);
}

/* An exchange that fails, on every rank that is left. */
static weft_status broken_allgather(void *ud, const void *in, size_t bytes, void *out,
                                    weft_error *err) {
    (void)ud, (void)in, (void)bytes, (void)out;
    return WEFT_FAIL(err, WEFT_E_COMM, "rank 1 cannot be reached");
}

static weft_status broken_sum(void *ud, int64_t *words, int64_t n, weft_error *err) {
    (void)ud, (void)words, (void)n;
    return WEFT_FAIL(err, WEFT_E_COMM, "rank 1 cannot be reached");
}

static void test_a_lost_rank(void **state) {
    (void)state;
    const weft_comm comm = {
        .rank = 0, .size = 2, .name = "broken", .allgather = broken_allgather, .sum = broken_sum};
    failing f = {.comm = &comm};
    (void)run_failing(&f);
    assert_int_equal(f.st, WEFT_E_COMM);
    assert_int_equal(f.again, WEFT_E_COMM);
    assert_string_equal(f.err.text, "rank 1 cannot be reached");
    assert_int_equal(f.rounds, 0);
}

static void test_what_is_refused(void **state) {
    (void)state;
    weft_error err = {0};
    weft_comm_threads *threads = NULL;
    assert_int_equal(weft_comm_threads_open(&threads, 0, &err), WEFT_E_ARG);
    assert_int_equal(weft_comm_threads_open(&threads, WEFT_MAX_RANKS + 1, &err), WEFT_E_ARG);
    check_ok(weft_comm_threads_open(&threads, 2, &err), &err);
    assert_null(weft_comm_threads_rank(threads, 2));
    weft_comm_threads_close(threads);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fedopt),
        cmocka_unit_test(test_fda),
        cmocka_unit_test(test_a_stop_is_everybodys),
        cmocka_unit_test(test_a_lost_rank),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
