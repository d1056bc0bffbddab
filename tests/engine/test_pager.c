/* labels: dist fed */
/* client.optimizer_state=keep: what it computes, that slots, waves, the size of the pool and the
 * store behind it change no bit, and what a failed store or a stop leaves behind. */
#include "engine/weft.h"
#include "tests/engine/kept_job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a run shows of itself. */
typedef struct outcome {
    float *adapter;
    size_t bytes;
    double loss[ROUNDS][COHORT], norm[ROUNDS][COHORT];
    weft_swap swap; /* added up */
} outcome;

static outcome outcome_of(job *j) {
    outcome out = {0};
    for (int r = 0; r < ROUNDS; r++) {
        weft_round_report report = kept_round(j);
        for (int i = 0; i < report.n_clients; i++)
            out.loss[r][i] = report.clients[i].last_loss,
            out.norm[r][i] = report.clients[i].update_norm;
        out.swap.record_bytes = report.swap.record_bytes;
        out.swap.in += report.swap.in, out.swap.out += report.swap.out;
        out.swap.stayed += report.swap.stayed;
        out.swap.read += report.swap.read, out.swap.written += report.swap.written;
    }
    out.bytes = (size_t)j->info.adapter_size * sizeof(float);
    out.adapter = kept_adapter(j);
    assert_int_equal(out.swap.read, j->store.reads);
    assert_int_equal(out.swap.written, j->store.writes);
    return out;
}

static outcome run(const char *const *pairs, size_t n, bool with_store) {
    job j;
    kept_prepare(&j, pairs, n, with_store);
    kept_start(&j);
    outcome out = outcome_of(&j);
    kept_finish(&j);
    return out;
}

static void check_equal(const char *what, const outcome *a, const outcome *b) {
    check_same(what, a->loss, b->loss, sizeof a->loss);
    check_same(what, a->norm, b->norm, sizeof a->norm);
    assert_int_equal(a->bytes, b->bytes);
    check_same(what, a->adapter, b->adapter, a->bytes);
}

/* ---- no bit depends on where state waits ---- */

/* The oracle trains one client at a time and has room for all. */
static void check_placement(const char *device, const char *const more[4]) {
    const char *pairs[] = {"run.device", device,  "engine.slots", "1",     "engine.state_pool_mib",
                           "-1",         more[0], more[1],        more[2], more[3]};
    const size_t n = sizeof pairs / sizeof *pairs;
    outcome alone = run(pairs, n, false);
    assert_true(alone.swap.written == 0 && alone.swap.read == 0);
    assert_int_equal(alone.swap.out, ROUNDS * COHORT);
    static const char *const slots[] = {"1", "3", "8", "11"}, *const pools[] = {"-1", "1", "0"};
    for (size_t s = 0; s < 4; s++)
        for (size_t p = 0; p < 3; p++) {
            char name[96];
            (void)snprintf(name, sizeof name, "%s, %s: %s slots, pool of %s MiB", device, more[1],
                           slots[s], pools[p]);
            pairs[3] = slots[s], pairs[5] = pools[p];
            outcome got = run(pairs, n, true);
            check_equal(name, &got, &alone);
            assert_int_equal(got.swap.out, alone.swap.out);
            /* A client trains, then its state enters again unless it never left. */
            assert_true(got.swap.in + got.swap.stayed > ROUNDS);
            const bool all_fit = strcmp(pools[p], "0") != 0 || strcmp(slots[s], "11") == 0;
            if (!all_fit) assert_true(got.swap.written > 0 && got.swap.read > 0);
            free(got.adapter);
        }
    pairs[n - 2] = "client.optimizer_state", pairs[n - 1] = "reset";
    if (strcmp(more[0], more[2]) == 0) { /* nothing lost by overwriting the pair */
        outcome reset = run(pairs, n, false);
        assert_memory_not_equal(reset.adapter, alone.adapter, alone.bytes); /* it does matter */
        assert_true(reset.swap.out == 0 && reset.swap.in == 0 && reset.swap.record_bytes == 0);
        free(reset.adapter);
    }
    free(alone.adapter);
}

static void test_cpu_adamw(void **state) {
    (void)state;
    static const char *const more[] = {"client.optimizer", "adamw", "client.optimizer", "adamw"};
    check_placement("cpu", more);
}

static void test_cpu_momentum(void **state) {
    (void)state;
    static const char *const more[] = {"client.optimizer", "sgd", "client.momentum", "0.9"};
    check_placement("cpu", more);
}

static void test_ref_adamw(void **state) {
    (void)state;
    static const char *const more[] = {"client.local_steps", "1", "client.local_steps", "1"};
    check_placement("ref", more);
}

/* All clients in every round and a slot for each: state never has to come back. With two waves both
 * banks hold theirs until the next round. */
static void test_what_stays_does_not_move(void **state) {
    (void)state;
    static const char *const slots[] = {"11", "6"};
    static const int ahead[] = {11, 6}; /* the first wave of round 6 was looked for already */
    for (int i = 0; i < 2; i++) {
        const char *const pairs[] = {"fl.num_clients", "11", "engine.slots", slots[i]};
        outcome got = run(pairs, 4, false);
        assert_int_equal(got.swap.in, 0);
        assert_int_equal(got.swap.stayed, (ROUNDS - 1) * COHORT + ahead[i]);
        free(got.adapter);
    }
}

/* ---- what it means ---- */

/* One client, R rounds of one step against one round of R steps, which starts from an empty state
 * and is compared with torch.optim elsewhere. */
static void check_rounds_are_steps(int64_t n_rows, const char *const pairs[6], double tolerance) {
    enum { R = 6 };
    const char *shared[] = {"fl.num_clients",
                            "1",
                            "fl.clients_per_round",
                            "1",
                            "lora.dropout",
                            "0",
                            pairs[0],
                            pairs[1],
                            pairs[2],
                            pairs[3],
                            pairs[4],
                            pairs[5],
                            "client.local_steps",
                            "1",
                            "client.optimizer_state",
                            "keep"};
    const size_t n = sizeof shared / sizeof *shared;
    job kept, once;
    kept_prepare_rows(&kept, shared, n, false, n_rows);
    shared[n - 3] = "6", shared[n - 1] = "reset";
    kept_prepare_rows(&once, shared, n, false, n_rows);
    kept_start(&kept);
    kept_start(&once);
    double mean = 0, last = 0;
    for (int r = 0; r < R; r++) {
        last = kept_round(&kept).clients[0].last_loss;
        mean += last / R;
    }
    weft_round_report one = kept_round(&once);
    assert_true(fabs(mean - one.clients[0].loss) <= tolerance * fabs(mean));
    assert_true(fabs(last - one.clients[0].last_loss) <= tolerance * fabs(last));
    float *a = kept_adapter(&kept), *b = kept_adapter(&once);
    double got = check_close("kept rounds and steps", a, b, kept.info.adapter_size, tolerance);
    print_message("%lld rows: within %.1e of %.1e\n", (long long)n_rows, got, tolerance);
    free(a);
    free(b);
    kept_finish(&kept);
    kept_finish(&once);
}

/* Of a single row, a batch has one order. What differs is the way over the server: x + (w - x) in
 * double, off by at most 2^-51 (|w| + |x|), rounded to float. That is w, unless |w| is smaller than
 * |x| by 2^27, and then wrong by 2^-51 of the largest number. R roundings, handed on by steps that
 * move no number further than lr, stay far below one part in 10^6. */
static void test_rounds_are_steps(void **state) {
    (void)state;
    static const char *const adamw[] = {"client.optimizer", "adamw", "client.weight_decay", "0.1",
                                        "client.beta2",     "0.99"};
    static const char *const nesterov[] = {"client.optimizer", "sgd", "client.momentum", "0.9",
                                           "client.nesterov",  "true"};
    check_rounds_are_steps(1, adamw, 1e-6);
    check_rounds_are_steps(1, nesterov, 1e-6);
    /* All rows in one batch: its sums have another order in every round than in every epoch, a few
     * 1e-7 of a gradient's size. Adam makes a full step of a gradient of any size above its
     * epsilon, so that is raised above the noise. */
    static const char *const full[] = {"client.batch_size",   "1000", "client.epsilon", "1e-3",
                                       "client.weight_decay", "0.1"};
    check_rounds_are_steps(ROWS, full, 1e-4);
}

/* ---- failures: the round does not happen, and can be had again ---- */

/* Round 3 of a run fails at every place where it can; then it runs and ends as if it never had. */
static void check_again(weft_status want, void (*arm)(store *s, int64_t at), const char *text) {
    const char *const pairs[] = {"engine.slots", "3", "engine.state_pool_mib", "0"};
    job whole;
    kept_prepare(&whole, pairs, 4, true);
    kept_start(&whole);
    for (int r = 0; r < 2; r++) (void)kept_round(&whole);
    const int64_t ticks = whole.store.ticks, writes = whole.store.writes, reads = whole.store.reads;
    for (int r = 2; r < ROUNDS; r++) (void)kept_round(&whole);
    float *wanted = kept_adapter(&whole);
    int64_t places = 0;
    for (int64_t at = 1;; at++) {
        job j;
        weft_error err = {0};
        weft_round_report report;
        kept_prepare(&j, pairs, 4, true);
        kept_start(&j);
        for (int r = 0; r < 2; r++) (void)kept_round(&j);
        assert_true(j.store.ticks == ticks && j.store.writes == writes && j.store.reads == reads);
        float *before = kept_adapter(&j);
        arm(&j.store, at);
        const weft_status st = weft_engine_round(j.engine, &report, &err);
        if (st != WEFT_OK) {
            places++;
            assert_int_equal(st, want);
            assert_int_equal(err.status, want);
            if (text) assert_non_null(strstr(err.text, text));
            assert_int_equal(weft_engine_rounds_done(j.engine), 2);
            float *after = kept_adapter(&j);
            check_same("adapter", after, before, (size_t)j.info.adapter_size * sizeof *after);
            free(after);
        }
        j.store.fail_write = j.store.fail_read = j.store.stop_at = 0;
        if (st != WEFT_OK) (void)kept_round(&j);
        for (int r = 3; r < ROUNDS; r++) (void)kept_round(&j);
        float *got = kept_adapter(&j);
        check_same("after all", got, wanted, (size_t)j.info.adapter_size * sizeof *got);
        free(got);
        free(before);
        kept_finish(&j);
        if (st == WEFT_OK) break;
    }
    print_message("%lld places\n", (long long)places);
    assert_true(places > 3);
    free(wanted);
    kept_finish(&whole);
}

static void arm_write(store *s, int64_t at) {
    s->fail_write = s->writes + at;
}

static void arm_read(store *s, int64_t at) {
    s->fail_read = s->reads + at;
}

static void arm_stop(store *s, int64_t at) {
    s->stop_at = s->ticks + at;
}

static void test_full_store(void **state) {
    (void)state;
    check_again(WEFT_E_OUTPUT, arm_write, "state.bin: no space");
}

static void test_cut_store(void **state) {
    (void)state;
    check_again(WEFT_E_DATA, arm_read, "state.bin is cut");
}

static void test_stop(void **state) {
    (void)state;
    check_again(WEFT_E_STOPPED, arm_stop, NULL);
}

/* ---- what is refused, and what a plan says ---- */

static void test_no_store(void **state) {
    (void)state;
    weft_error err = {0};
    const char *const pairs[] = {"engine.slots", "3", "engine.state_pool_mib", "0"};
    job j;
    kept_prepare(&j, pairs, 4, false);
    assert_int_equal(weft_engine_open(&j.engine, &j.options, &err), WEFT_E_CONFIG);
    assert_non_null(strstr(err.text, "engine.state_pool_mib holds the state of 6 clients, 28 are"));
    j.options.hooks.store_read = kept_store_read;
    assert_int_equal(weft_engine_open(&j.engine, &j.options, &err), WEFT_E_ARG);
    assert_non_null(strstr(err.text, "store_write"));
    kept_finish(&j);
}

static uint64_t item(const weft_plan *plan, const char *name) {
    for (int32_t i = 0; i < plan->n_items; i++)
        if (strcmp(plan->item[i].name, name) == 0) return plan->item[i].bytes;
    return 0;
}

static void test_plan(void **state) {
    (void)state;
    weft_error err = {0};
    static const char *const pools[] = {"-1", "0"};
    for (int i = 0; i < 2; i++) {
        const char *const pairs[] = {"engine.slots", "3", "engine.state_pool_mib", pools[i]};
        job j;
        weft_plan plan;
        kept_prepare(&j, pairs, 4, true);
        check_ok(weft_plan_build(&plan, &j.options, &err), &err);
        kept_start(&j);
        const uint64_t record = kept_round(&j).swap.record_bytes;
        const uint64_t bank = 3 * 2 * (uint64_t)j.info.adapter_size * sizeof(float);
        assert_int_equal(item(&plan, "client optimizer state"), bank);
        assert_int_equal(item(&plan, "client optimizer state, second bank"), bank);
        const uint64_t pool = item(&plan, "host: client state pool");
        const uint64_t records = i == 0 ? CLIENTS + COHORT : 6;
        assert_true(pool >= records * record && pool < records * record + 4096);
        assert_true(j.store.writes == 0 || i == 1); /* a plan stores nothing */
        kept_finish(&j);
    }
    const char *const reset[] = {"engine.slots", "3", "client.optimizer_state", "reset"};
    job j;
    weft_plan plan;
    kept_prepare(&j, reset, 4, false);
    check_ok(weft_plan_build(&plan, &j.options, &err), &err);
    assert_int_equal(item(&plan, "client optimizer state, second bank"), 0);
    assert_int_equal(item(&plan, "host: client state pool"), 0);
    kept_finish(&j);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpu_adamw),        cmocka_unit_test(test_cpu_momentum),
        cmocka_unit_test(test_ref_adamw),        cmocka_unit_test(test_what_stays_does_not_move),
        cmocka_unit_test(test_rounds_are_steps), cmocka_unit_test(test_full_store),
        cmocka_unit_test(test_cut_store),        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_no_store),         cmocka_unit_test(test_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
