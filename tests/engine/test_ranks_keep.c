/* labels: dist */
/* Clients that keep their optimizer state, over several ranks: each has a home, where its state
 * lies, and yet the bits of training and of checkpoints are those of one engine alone, and a
 * checkpoint made by some ranks is gone on with by others. */
#include "tests/check.h"
#include "tests/engine/kept_job.h"
#include "tests/engine/state_blob.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_RANKS  20
#define CUT_ROUNDS 3 /* before the checkpoint */

typedef struct part {
    pthread_t thread;
    const weft_comm *comm;
    const char *const *pairs;
    size_t n_pairs;
    const blob *from; /* to go on from; NULL: begin */
    int rounds;
    int64_t fail_at; /* of the writes of a checkpoint made first; 0: none is */
    weft_status failed;
    char text[300];
    blob saved;
    float *adapter;
    size_t adapter_bytes;
} part;

static void *work(void *ud) {
    part *p = ud;
    job j;
    kept_prepare(&j, p->pairs, p->n_pairs, true);
    j.options.comm = p->comm;
    kept_start(&j);
    if (p->from) {
        blob from = *p->from; /* it counts its reads */
        blob_load(j.engine, &from);
    }
    for (int i = 0; i < p->rounds; i++) (void)kept_round(&j);
    if (p->fail_at) {
        weft_error err = {0};
        blob b = {.fail_at = p->fail_at};
        p->failed = weft_engine_state_save(j.engine, &b.state, blob_write, &b, &err);
        (void)snprintf(p->text, sizeof p->text, "%.250s", err.text);
        free(b.data);
    }
    p->saved = blob_save(j.engine);
    p->adapter = kept_adapter(&j);
    p->adapter_bytes = (size_t)j.info.adapter_size * sizeof(float);
    kept_finish(&j);
    return NULL;
}

/* n ranks, or with 0 an engine alone; the other fields of *like are for all of them. */
static void run_all(part *p, int32_t n, const part *like) {
    weft_error err = {0};
    weft_comm_threads *threads = NULL;
    if (n == 0) {
        *p = *like;
        (void)work(p);
        return;
    }
    check_ok(weft_comm_threads_open(&threads, n, &err), &err);
    for (int32_t r = 0; r < n; r++) {
        const int64_t fail_at = p[r].fail_at;
        p[r] = *like;
        p[r].fail_at = fail_at;
        p[r].comm = weft_comm_threads_rank(threads, r);
        assert_int_equal(pthread_create(&p[r].thread, NULL, work, &p[r]), 0);
    }
    for (int32_t r = 0; r < n; r++) assert_int_equal(pthread_join(p[r].thread, NULL), 0);
    weft_comm_threads_close(threads);
}

static void check_part(const part *p, const part *expected) {
    check_same("adapter", p->adapter, expected->adapter, expected->adapter_bytes);
    assert_int_equal(p->saved.bytes, expected->saved.bytes);
    check_same("state", p->saved.data, expected->saved.data, expected->saved.bytes);
    assert_true(p->saved.state.checksum == expected->saved.state.checksum);
    assert_int_equal(p->saved.state.local_steps_total, expected->saved.state.local_steps_total);
}

static void forget(part *p, int32_t n) {
    for (int32_t r = 0; r < n; r++) {
        free(p[r].adapter);
        free(p[r].saved.data);
        p[r] = (part){0};
    }
}

static void check_all(const char *const *pairs, size_t n_pairs) {
    static const int32_t counts[] = {1, 2, 3, 4, 8, MAX_RANKS}; /* the last: more than clients */
    static part p[MAX_RANKS], cut, whole;
    const part like = {.pairs = pairs, .n_pairs = n_pairs, .rounds = CUT_ROUNDS};
    part longer = like, rest = like;
    longer.rounds = ROUNDS, rest.rounds = ROUNDS - CUT_ROUNDS;
    run_all(&cut, 0, &like);
    run_all(&whole, 0, &longer);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        run_all(p, counts[i], &like);
        for (int32_t r = 0; r < counts[i]; r++) check_part(&p[r], &cut);
        const blob made = p[0].saved; /* by so many, gone on with by one more, or alone */
        p[0].saved.data = NULL;
        rest.from = &made;
        forget(p, counts[i]);
        const int32_t others = i % 2 ? 0 : counts[i] + 1 > MAX_RANKS ? 2 : counts[i] + 1;
        run_all(p, others, &rest);
        for (int32_t r = 0; r < (others ? others : 1); r++) check_part(&p[r], &whole);
        forget(p, others ? others : 1);
        free(made.data);
    }
    forget(&cut, 1);
    forget(&whole, 1);
}

#define CHECK(...)                                                                                 \
    check_all((const char *const[]){__VA_ARGS__},                                                  \
              sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void test_adamw_and_sgd(void **state) {
    (void)state;
    CHECK("fl.strategy", "fedadam", "engine.slots", "2");
    CHECK("client.optimizer", "sgd", "client.momentum", "0.9");
}

/* Its default. */
static void test_fda(void **state) {
    (void)state;
    CHECK("fl.sync", "fda", "fda.theta", "0.02", "client.optimizer_state", "keep");
}

/* One rank cannot write: no rank counts the checkpoint, and all go on. */
static void test_a_full_disk(void **state) {
    (void)state;
    static part p[3], alone;
    const part like = {.rounds = CUT_ROUNDS};
    run_all(&alone, 0, &like);
    p[1].fail_at = 4; /* in the middle; the others' writes succeed */
    p[0].fail_at = p[2].fail_at = 1 << 20;
    run_all(p, 3, &like);
    for (int32_t r = 0; r < 3; r++) {
        assert_int_equal(p[r].failed, WEFT_E_OUTPUT);
        assert_string_equal(p[r].text, r == 1 ? "state: no space" : "rank 1: state: no space");
        check_part(&p[r], &alone);
    }
    forget(p, 3);
    forget(&alone, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adamw_and_sgd),
        cmocka_unit_test(test_fda),
        cmocka_unit_test(test_a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
