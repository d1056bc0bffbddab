/* labels: dist */
/* Ranks whose devices may sum between them: when they do, with the same bits; when they leave it to
 * the host, and say why; and failures, which are everybody's. The device is the CPU's with sums
 * between the threads of this process. */
#include "engine/weft.h"
#include "kernels/backends.h"
#include "tests/check.h"
#include "tests/engine/kept_job.h"
#include "tests/engine/packing_run.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_RANKS 8
#define LIBRARY   "sums 1.0"

/* ---- a device that sums with those of other threads ---- */

typedef enum fault {
    NONE,
    NO_LIBRARY, /* on rank 1 */
    OTHER_LIBRARY,
    SHARED,
    BROKEN_DEVICE,
    REFUSES,
    WRONG,      /* the sums, */
    FAILS_LATER /* the second */
} fault;

static fault the_fault;
static const weft_comm *the_comm[MAX_RANKS]; /* sums go through it after all */
static int sums[MAX_RANKS], closed[MAX_RANKS];
static _Thread_local int my_rank;

static bool it_is_me(fault f) {
    return the_fault == f && my_rank == 1;
}

static weft_status find(wk_dev *dev, wk_comm_offer *out) {
    if (it_is_me(NO_LIBRARY))
        return WEFT_FAIL(&dev->ctx->err, WEFT_E_UNSUPPORTED, "no library here");
    if (it_is_me(BROKEN_DEVICE))
        return WEFT_FAIL(&dev->ctx->err, WEFT_E_DEVICE, "the device is gone");
    (void)snprintf(out->library, sizeof out->library, "%s",
                   it_is_me(OTHER_LIBRARY) ? "sums 2.0" : LIBRARY);
    (void)snprintf(out->unit, sizeof out->unit, "unit %d", my_rank);
    (void)snprintf(out->place, sizeof out->place, "place %d", it_is_me(SHARED) ? 0 : my_rank);
    return WEFT_OK;
}

static weft_status make_id(wk_dev *dev, unsigned char id[WK_COMM_ID]) {
    (void)dev;
    assert_int_equal(my_rank, 0);
    memset(id, 42, WK_COMM_ID);
    return WEFT_OK;
}

static weft_status open_comm(wk_dev *dev, int rank, int size, const unsigned char id[WK_COMM_ID],
                             double seconds) {
    unsigned char want[WK_COMM_ID];
    memset(want, 42, sizeof want);
    assert_memory_equal(id, want, sizeof want);
    assert_int_equal(rank, my_rank);
    assert_int_equal(size, the_comm[rank]->size);
    assert_true(seconds == 5 || seconds == 60); /* run.comm_timeout */
    sums[rank] = closed[rank] = 0;
    if (it_is_me(REFUSES)) return WEFT_FAIL(&dev->ctx->err, WEFT_E_COMM, "no cable");
    return WEFT_OK;
}

static weft_status sum(wk_dev *dev, void *words, int64_t n) {
    sums[my_rank]++;
    if (the_fault == FAILS_LATER && sums[my_rank] == 2) {
        if (my_rank == 1) return WEFT_FAIL(&dev->ctx->err, WEFT_E_COMM, "the cable was pulled");
        return WEFT_FAIL(&dev->ctx->err, WEFT_E_COMM, "no answer");
    }
    const weft_comm *comm = the_comm[my_rank];
    const weft_status st = comm->sum(comm->ud, words, n, &dev->ctx->err);
    if (it_is_me(WRONG)) ((int64_t *)words)[n - 1] ^= 1;
    return st;
}

static void close_comm(wk_dev *dev) {
    (void)dev;
    closed[my_rank]++;
}

static const wk_comm_calls calls = {
    .find = find, .id = make_id, .open = open_comm, .sum = sum, .close = close_comm};
static wk_backend backend;

/* ---- whole runs ---- */

typedef struct rank_run {
    pthread_t thread;
    packing_setup setup;
    packing_outcome out;
} rank_run;

static void *run_rank(void *ud) {
    rank_run *r = ud;
    my_rank = r->setup.comm->rank;
    r->out = packing_run(&r->setup);
    return NULL;
}

static void check_bits(const char *const *more, size_t n_more, int32_t n, bool on_devices,
                       const packing_outcome *alone) {
    static rank_run run[MAX_RANKS];
    static weft_comm comm[MAX_RANKS];
    weft_error err = {0};
    weft_comm_threads *threads = NULL;
    check_ok(weft_comm_threads_open(&threads, n, &err), &err);
    for (int32_t r = 0; r < n; r++) {
        the_comm[r] = weft_comm_threads_rank(threads, r);
        comm[r] = *the_comm[r];
        comm[r].on_devices = true;
        sums[r] = closed[r] = 0;
        run[r].setup = (packing_setup){.device = "cuda",
                                       .backend = &backend,
                                       .slots = "17",
                                       .threads = "1",
                                       .pack_tokens = "150",
                                       .more = more,
                                       .n_more = n_more,
                                       .comm = &comm[r]};
        assert_int_equal(pthread_create(&run[r].thread, NULL, run_rank, &run[r]), 0);
    }
    for (int32_t r = 0; r < n; r++) assert_int_equal(pthread_join(run[r].thread, NULL), 0);
    for (int32_t r = 0; r < n; r++) {
        assert_true(packing_same("ranks", &run[r].out, alone));
        free(run[r].out.adapter);
        assert_int_equal(sums[r] >= 1 + PACKING_ROUNDS, on_devices);
        assert_int_equal(closed[r], 1);
    }
    weft_comm_threads_close(threads);
}

static void check_job(const char *const *more, size_t n_more) {
    packing_outcome alone = packing_run(&(packing_setup){.device = "cpu",
                                                         .slots = "17",
                                                         .threads = "1",
                                                         .pack_tokens = "4096",
                                                         .more = more,
                                                         .n_more = n_more});
    the_fault = NONE;
    check_bits(more, n_more, 2, true, &alone);
    check_bits(more, n_more, 3, true, &alone);
    the_fault = SHARED;
    check_bits(more, n_more, 3, false, &alone);
    free(alone.adapter);
}

static void test_the_same_bits(void **state) {
    (void)state;
    check_job((const char *const[]){"client.local_epochs", "1"}, 2);
    check_job((const char *const[]){"fl.sync", "fda-opt", "client.local_epochs", "1",
                                    "fda.estimator", "exact"},
              6);
}

/* ---- what each rank is told ---- */

typedef struct opened {
    pthread_t thread;
    weft_comm comm;
    const char *device, *sums;
    bool no_model; /* this rank's is missing */
    weft_status st, round;
    weft_error err;
    char told[400], logged[500];
} opened;

static void on_log(void *ud, weft_log_level level, const char *module, const char *text) {
    opened *o = ud;
    (void)level;
    if (strcmp(module, "ranks") == 0) (void)snprintf(o->logged, sizeof o->logged, "%s", text);
}

static weft_status no_tensor(void *ud, const char *name, weft_source_tensor *out, weft_error *err) {
    (void)ud, (void)out;
    return WEFT_FAIL(err, WEFT_E_DATA, "%s cannot be read", name);
}

static void *run_open(void *ud) {
    opened *o = ud;
    weft_round_report report;
    weft_engine_info info;
    job j;
    my_rank = o->comm.rank;
    kept_prepare(&j,
                 (const char *const[]){"client.optimizer_state", "reset", "run.device", o->device,
                                       "run.sums", o->sums, "run.comm_timeout", "5"},
                 8, false);
    j.options.comm = &o->comm;
    j.options.backend = &backend;
    j.options.hooks = (weft_hooks){.ud = o, .log = on_log};
    if (o->no_model) j.options.model.tensor = no_tensor;
    j.engine = NULL;
    o->st = weft_engine_open(&j.engine, &j.options, &o->err);
    if (o->st == WEFT_OK) {
        weft_engine_info_get(j.engine, &info);
        (void)snprintf(o->told, sizeof o->told, "%s", info.sums);
        o->round = weft_engine_round(j.engine, &report, &o->err);
        weft_engine_close(j.engine);
    }
    j.engine = NULL;
    kept_finish(&j);
    return NULL;
}

static opened *open_ranks(int32_t n, fault f, const char *device, const char *sums_by,
                          int32_t without) {
    static opened o[MAX_RANKS];
    weft_error err = {0};
    weft_comm_threads *threads = NULL;
    the_fault = f;
    check_ok(weft_comm_threads_open(&threads, n, &err), &err);
    memset(o, 0, sizeof o);
    for (int32_t r = 0; r < n; r++) {
        the_comm[r] = weft_comm_threads_rank(threads, r);
        o[r].comm = *the_comm[r];
        o[r].comm.on_devices = true;
        o[r].device = device, o[r].sums = sums_by, o[r].no_model = r == without;
        assert_int_equal(pthread_create(&o[r].thread, NULL, run_open, &o[r]), 0);
    }
    for (int32_t r = 0; r < n; r++) assert_int_equal(pthread_join(o[r].thread, NULL), 0);
    weft_comm_threads_close(threads);
    return o;
}

static void check_told(fault f, const char *device, const char *sums_by, const char *told) {
    const opened *o = open_ranks(3, f, device, sums_by, -1);
    char line[500];
    (void)snprintf(line, sizeof line, "sums of vectors: %s", told);
    for (int r = 0; r < 3; r++) {
        assert_int_equal(o[r].st, WEFT_OK);
        assert_int_equal(o[r].round, WEFT_OK);
        assert_string_equal(o[r].told, told);
        assert_string_equal(o[r].logged, line);
    }
}

static void test_what_is_told(void **state) {
    (void)state;
    check_told(NONE, "cuda", "auto", LIBRARY);
    check_told(NONE, "cuda", "host", "through host memory (threads)");
    check_told(NONE, "cpu", "auto",
               "through host memory (threads): rank 0: cpu computes in host memory");
    check_told(NO_LIBRARY, "cuda", "auto",
               "through host memory (threads): rank 1: no library here");
    check_told(OTHER_LIBRARY, "cuda", "auto",
               "through host memory (threads): rank 0 has sums 1.0, rank 1 has sums 2.0");
    check_told(SHARED, "cuda", "auto", "through host memory (threads): ranks 0 and 1 share a GPU");
}

/* What rank 1 says itself, and what the others say then. */
static void check_fails(fault f, int32_t without, weft_status st, const char *own) {
    const opened *o = open_ranks(3, f, "cuda", "auto", without);
    char line[500];
    (void)snprintf(line, sizeof line, "rank 1: %s", own);
    for (int r = 0; r < 3; r++) {
        assert_int_equal(o[r].st, st);
        assert_string_equal(o[r].err.text, r == 1 ? own : line);
    }
}

static void test_an_open_that_fails(void **state) {
    (void)state;
    check_fails(BROKEN_DEVICE, -1, WEFT_E_DEVICE, "the device is gone");
    check_fails(REFUSES, -1, WEFT_E_COMM, "no cable; run.sums=host does without");
    const opened *o = open_ranks(3, WRONG, "cuda", "auto", -1);
    assert_int_equal(o[1].st, WEFT_E_COMM);
    assert_non_null(strstr(o[1].err.text, LIBRARY " gives a wrong sum over 3 ranks (word "));
    assert_int_equal(strncmp(o[2].err.text, "rank 1: " LIBRARY " gives a wrong sum", 30), 0);
    o = open_ranks(3, NONE, "cuda", "auto", 1); /* before any of this */
    for (int r = 0; r < 3; r++) assert_int_equal(o[r].st, WEFT_E_DATA);
    assert_int_equal(strncmp(o[0].err.text, "rank 1: ", 8), 0);
    assert_non_null(strstr(o[0].err.text, "cannot be read"));
}

static void test_a_sum_that_fails(void **state) {
    (void)state;
    const opened *o = open_ranks(3, FAILS_LATER, "cuda", "auto", -1);
    for (int r = 0; r < 3; r++) {
        assert_int_equal(o[r].st, WEFT_OK);
        assert_int_equal(o[r].round, WEFT_E_COMM);
        assert_string_equal(o[r].err.text, r == 1 ? "the cable was pulled" : "no answer");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_bits),
        cmocka_unit_test(test_what_is_told),
        cmocka_unit_test(test_an_open_that_fails),
        cmocka_unit_test(test_a_sum_that_fails),
    };
    backend = wk_backend_cpu;
    backend.name = "cuda";
    backend.comm = &calls;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
