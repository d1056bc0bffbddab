/* labels: dist fed */
/* R2 for checkpoints: a run that is saved after any round and goes on in another engine ends with
 * the bits of one that was never interrupted, and saving changes nothing. Then everything that must
 * not be taken for a state of this job. */
#include "engine/weft.h"
#include "tests/check.h"
#include "tests/engine/kept_job.h"
#include "tests/engine/state_blob.h"

#include <stdlib.h>
#include <string.h>

static int32_t find(const weft_state *s, const char *name) {
    for (int32_t i = 0; i < s->n_tensors; i++)
        if (strcmp(s->tensor[i].name, name) == 0) return i;
    return -1;
}

/* ---- saved anywhere, the end is the same ---- */

typedef struct ending {
    double loss[ROUNDS], norm[ROUNDS][COHORT];
    weft_wire wire;
    weft_metrics metrics;
    float *adapter;
} ending;

static void run_rounds(job *j, ending *out, int from, int to) {
    weft_error err = {0};
    for (int r = from; r < to; r++) {
        const weft_round_report report = kept_round(j);
        assert_int_equal(report.round, r + 1);
        out->loss[r] = report.loss;
        for (int i = 0; i < COHORT; i++) out->norm[r][i] = report.clients[i].update_norm;
        out->wire = report.wire_total;
    }
    if (to < ROUNDS) return;
    const weft_eval_options options = {.split = WEFT_SPLIT_TEST};
    memset(&out->metrics, 0, sizeof out->metrics);
    check_ok(weft_engine_eval(j->engine, &options, &out->metrics, &err), &err);
    out->adapter = kept_adapter(j);
}

static void check_ending(const char *what, const ending *got, const ending *want, size_t bytes) {
    check_same(what, got->loss, want->loss, sizeof got->loss);
    check_same(what, got->norm, want->norm, sizeof got->norm);
    check_same(what, got->adapter, want->adapter, bytes);
    assert_memory_equal(&got->wire, &want->wire, sizeof got->wire);
    assert_true(got->metrics.loss == want->metrics.loss &&
                got->metrics.accuracy == want->metrics.accuracy);
}

/* The job saves after every round and goes on; from each of these states another engine, with other
 * slots and another pool when `other` says so, goes on to the end. */
static void check_resumes(const char *const *pairs, size_t n, const char *const *other,
                          size_t n_other) {
    job whole, saved;
    ending want = {0}, same = {0};
    blob at[ROUNDS];
    kept_prepare(&whole, pairs, n, true);
    kept_start(&whole);
    run_rounds(&whole, &want, 0, ROUNDS);
    const size_t bytes = (size_t)whole.info.adapter_size * sizeof(float);
    kept_finish(&whole);
    kept_prepare(&saved, pairs, n, true);
    kept_start(&saved);
    for (int r = 0; r < ROUNDS; r++) {
        at[r] = blob_save(saved.engine);
        run_rounds(&saved, &same, r, r + 1);
    }
    check_ending("saving", &same, &want, bytes);
    kept_finish(&saved);
    for (int r = 0; r < ROUNDS; r++) {
        ending got = want;
        job j;
        kept_prepare(&j, other, n_other, true);
        kept_start(&j);
        blob_load(j.engine, &at[r]);
        blob again = blob_save(j.engine); /* what was loaded is what is there */
        assert_int_equal(again.state.checksum, at[r].state.checksum);
        assert_int_equal(again.bytes, at[r].bytes);
        assert_memory_equal(again.data, at[r].data, again.bytes);
        run_rounds(&j, &got, r, ROUNDS);
        check_ending("resumed", &got, &want, bytes);
        kept_finish(&j);
        free(got.adapter);
        free(again.data);
        free(at[r].data);
    }
    free(want.adapter);
    free(same.adapter);
}

static void test_strategies(void **state) {
    (void)state;
    static const char *const strategies[] = {"fedavg",  "fedavgm", "fedadagrad",
                                             "fedadam", "fedyogi", "fedprox"};
    for (int i = 0; i < 6; i++) {
        const char *const pairs[] = {"fl.strategy",  strategies[i], "client.optimizer_state",
                                     "reset",        "fl.sampling", "pass",
                                     "lora.dropout", "0.1"};
        check_resumes(pairs, 8, pairs, 8);
    }
}

static void test_kept_state(void **state) {
    (void)state;
    static const char *const few[] = {"fl.strategy",           "fedadam", "engine.slots", "3",
                                      "engine.state_pool_mib", "0"};
    static const char *const many[] = {"fl.strategy", "fedadam", "engine.slots", "11"};
    check_resumes(few, 6, few, 6); /* two banks, a full pool, the store */
    check_resumes(few, 6, many, 4);
    check_resumes(many, 4, few, 6);
    static const char *const momentum[] = {"client.optimizer", "sgd", "client.momentum", "0.9"};
    check_resumes(momentum, 4, momentum, 4);
}

static void test_ref(void **state) {
    (void)state;
    static const char *const pairs[] = {"run.device", "ref", "client.local_steps", "1"};
    check_resumes(pairs, 4, pairs, 4);
}

/* A round that is stopped at any place leaves the state of the one before. */
static void test_after_a_stop(void **state) {
    (void)state;
    static const char *const pairs[] = {"engine.slots", "3", "engine.state_pool_mib", "0"};
    weft_error err = {0};
    job j;
    kept_prepare(&j, pairs, 4, true);
    kept_start(&j);
    for (int r = 0; r < 2; r++) (void)kept_round(&j);
    blob before = blob_save(j.engine);
    int stops = 0;
    for (int64_t at = 1;; at++) {
        weft_round_report report;
        j.store.stop_at = j.store.ticks + at;
        const weft_status st = weft_engine_round(j.engine, &report, &err);
        if (st == WEFT_OK) break;
        assert_int_equal(st, WEFT_E_STOPPED);
        stops++;
        blob after = blob_save(j.engine);
        assert_int_equal(after.bytes, before.bytes);
        assert_memory_equal(after.data, before.data, after.bytes);
        free(after.data);
    }
    assert_true(stops > 3);
    assert_int_equal(weft_engine_rounds_done(j.engine), 3);
    kept_finish(&j);
    free(before.data);
}

/* ---- failures ---- */

static const char *const small[] = {"engine.slots", "3",      "engine.state_pool_mib", "0",
                                    "fl.strategy",  "fedadam"};

/* Every write fails in turn; training goes on as if nothing had happened. */
static void test_failed_writes(void **state) {
    (void)state;
    weft_error err = {0};
    job j;
    kept_prepare(&j, small, 6, true);
    kept_start(&j);
    (void)kept_round(&j);
    blob whole = blob_save(j.engine);
    const int64_t calls = whole.calls;
    for (int64_t at = 1; at <= calls; at++) {
        blob b = {.fail_at = at};
        assert_int_equal(weft_engine_state_save(j.engine, &b.state, blob_write, &b, &err),
                         WEFT_E_OUTPUT);
        assert_string_equal(err.text, "state: no space");
        free(b.data);
    }
    blob again = blob_save(j.engine);
    assert_memory_equal(again.data, whole.data, whole.bytes);
    assert_true(calls > 10);
    kept_finish(&j);
    free(whole.data);
    free(again.data);
}

/* A state of round 1, and a fresh engine for it. */
typedef struct pair {
    job j;
    blob b;
} pair;

static void make(pair *p) {
    kept_prepare(&p->j, small, 6, true);
    kept_start(&p->j);
    (void)kept_round(&p->j);
    p->b = blob_save(p->j.engine);
    weft_engine_close(p->j.engine);
    p->j.engine = NULL;
    kept_start(&p->j);
}

static void refused(pair *p, weft_status want, const char *text) {
    weft_error err = {0};
    const weft_status st = weft_engine_state_load(p->j.engine, &p->b.state, blob_read, &p->b, &err);
    if (st != want || !strstr(err.text, text)) {
        print_error("got %d '%s', expected %d '%s'\n", (int)st, err.text, (int)want, text);
        fail();
    }
    assert_int_equal(err.status, want);
    assert_int_equal(weft_engine_rounds_done(p->j.engine), 0);
}

static void test_failed_reads(void **state) {
    (void)state;
    pair p;
    make(&p);
    p.b.calls = 0;
    blob_load(p.j.engine, &p.b);
    const int64_t calls = p.b.calls;
    assert_true(calls > 20);
    for (int64_t at = 1; at <= calls; at += at < 12 || at > calls - 5 ? 1 : 7) {
        weft_engine_close(p.j.engine);
        kept_start(&p.j);
        p.b.calls = 0, p.b.fail_at = at;
        refused(&p, WEFT_E_DATA, "state: cut");
    }
    kept_finish(&p.j);
    free(p.b.data);
}

static void test_other_job(void **state) {
    (void)state;
    pair p;
    make(&p);
    const weft_identity is = p.b.state.identity;
    assert_true(is.base && is.train && is.test && is.partition);
    static const char *const text[] = {"base model", "training rows", "test rows", "partition"};
    for (int i = 0; i < 4; i++) {
        uint64_t *part[] = {&p.b.state.identity.base, &p.b.state.identity.train,
                            &p.b.state.identity.test, &p.b.state.identity.partition};
        *part[i] ^= 1u << 20;
        refused(&p, WEFT_E_RESUME, text[i]);
        p.b.state.identity = is;
    }
    blob_load(p.j.engine, &p.b); /* none of it did harm */
    weft_error err = {0};
    assert_int_equal(weft_engine_state_load(p.j.engine, &p.b.state, blob_read, &p.b, &err),
                     WEFT_E_ARG); /* one state is enough */
    weft_engine_close(p.j.engine);
    p.j.options.train = NULL, p.j.options.partition = NULL;
    kept_start(&p.j);
    weft_state none;
    assert_int_equal(weft_engine_state(p.j.engine, &none, &err), WEFT_E_ARG);
    assert_non_null(strstr(err.text, "evaluation only"));
    kept_finish(&p.j);
    free(p.b.data);
}

static void test_damage(void **state) {
    (void)state;
    pair p;
    make(&p);
    const weft_state is = p.b.state;
    for (size_t at = 0; at < p.b.bytes; at += p.b.bytes / 50 + 1) { /* one bit anywhere */
        p.b.data[at] ^= 4;
        refused(&p, WEFT_E_RESUME, "checkpoint");
        p.b.data[at] ^= 4;
    }
    p.b.state.checksum++;
    refused(&p, WEFT_E_RESUME, "checksum");
    p.b.state = is;
    p.b.state.n_tensors--;
    refused(&p, WEFT_E_RESUME, "no tensor global_adapter");
    p.b.state = is;
    p.b.state.tensor[0].name = "client_id";
    refused(&p, WEFT_E_RESUME, "a strange tensor client_id");
    p.b.state.tensor[0].name = "global_adapter";
    refused(&p, WEFT_E_RESUME, "a second tensor global_adapter");
    p.b.state = is;
    p.b.state.tensor[find(&is, "server_m")].dim[0]--;
    refused(&p, WEFT_E_RESUME, "server_m");
    p.b.state = is;
    p.b.state.tensor[find(&is, "client_ids")].dim[0] = CLIENTS + 1;
    refused(&p, WEFT_E_RESUME, "state of 18 clients, there are 17");
    p.b.state = is;
    p.b.state.tensor[find(&is, "client_moments")].dtype = WEFT_F64;
    refused(&p, WEFT_E_RESUME, "client_moments");
    p.b.state = is;
    p.b.state.rounds_done = -1;
    refused(&p, WEFT_E_RESUME, "round -1");
    p.b.state.rounds_done = INT64_MAX;
    refused(&p, WEFT_E_RESUME, "round 9223372036854775807");
    p.b.state = is;
    p.b.state.local_steps_total = INT64_MAX;
    refused(&p, WEFT_E_RESUME, "9223372036854775807 local steps");
    p.b.state = is;
    blob_load(p.j.engine, &p.b);
    kept_finish(&p.j);
    free(p.b.data);
}

/* Values that no run can have written, with a checksum that fits. */
static void test_impossible(void **state) {
    (void)state;
    pair p;
    make(&p);
    const size_t ids = blob_tensor_offset(&p.b.state, find(&p.b.state, "client_ids"));
    const size_t steps = blob_tensor_offset(&p.b.state, find(&p.b.state, "client_steps"));
    const int32_t far = CLIENTS;
    const int64_t none = 0;
    int32_t first[2];
    int64_t was;
    memcpy(first, p.b.data + ids, sizeof first);
    memcpy(&was, p.b.data + steps, sizeof was);
    memcpy(p.b.data + ids, &far, sizeof far);
    refused(&p, WEFT_E_RESUME, "client_ids[0] of the checkpoint is 17");
    memcpy(p.b.data + ids, &first[1], sizeof first[1]);
    refused(&p, WEFT_E_RESUME, "client_ids[1]");
    memcpy(p.b.data + ids, &first[0], sizeof first[0]);
    memcpy(p.b.data + steps, &none, sizeof none);
    refused(&p, WEFT_E_RESUME, "client_steps[0] of the checkpoint is 0");
    memcpy(p.b.data + steps, &was, sizeof was);
    blob_load(p.j.engine, &p.b);
    kept_finish(&p.j);
    free(p.b.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strategies),    cmocka_unit_test(test_kept_state),
        cmocka_unit_test(test_ref),           cmocka_unit_test(test_after_a_stop),
        cmocka_unit_test(test_failed_writes), cmocka_unit_test(test_failed_reads),
        cmocka_unit_test(test_other_job),     cmocka_unit_test(test_damage),
        cmocka_unit_test(test_impossible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
