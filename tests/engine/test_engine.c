/* labels: fed */
/* The engine through its public header: what it refuses, what a stop or a failed client leaves
 * behind, the ledger, and identities between algorithms that hold bit for bit. */
#include "engine/weft.h"
#include "tests/check.h"
#include "tests/engine/golden_source.h"
#include "tests/golden/bert.h"
#include "tests/golden/bert_regression.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CLIENTS 8

/* A job on a golden set's rows, split over clients in turn unless said otherwise, and its engine.
 */
typedef struct job {
    golden_file golden;
    weft_rows rows;
    weft_config *config;
    weft_partition partition;
    int64_t offset[MAX_CLIENTS + 1];
    int32_t row[64];
    weft_engine_options options;
    weft_engine *engine;
    weft_engine_info info;
    int64_t ticks, stop_at; /* stop at this tick; 0: never */
} job;

static bool on_tick(void *ud, weft_phase phase, int64_t done, int64_t total) {
    job *j = ud;
    assert_true(phase == WEFT_PHASE_TRAIN || phase == WEFT_PHASE_EVAL);
    assert_true(done >= 0 && done <= total);
    return ++j->ticks != j->stop_at;
}

/* Everything but opening. The pairs come after what all jobs share. */
static void prepare(job *j, const golden_set *set, int32_t clients, const char *const *pairs,
                    size_t n) {
    memset(j, 0, sizeof *j);
    assert_true(golden_load(WEFT_TEST_DIR "/golden", set, &j->golden));
    j->rows = golden_rows(&j->golden);
    j->config = golden_config(set);
    char count[16];
    (void)snprintf(count, sizeof count, "%d", (int)clients);
    const char *const shared[] = {"run.threads",       "1",  "fl.num_clients",       count,
                                  "client.batch_size", "2",  "fl.clients_per_round", count,
                                  "client.optimizer",  "sgd"};
    weft_error err = {0};
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i += 2)
        check_ok(weft_config_set(j->config, shared[i], shared[i + 1], NULL, &err), &err);
    golden_set_options(j->config, pairs, n);
    int32_t next = 0;
    for (int32_t c = 0; c < clients; c++) {
        for (int32_t r = c; r < j->rows.n_rows; r += clients) j->row[next++] = r;
        j->offset[c + 1] = next;
    }
    j->partition = (weft_partition){.n_clients = clients, .offset = j->offset, .row = j->row};
    j->options = (weft_engine_options)WEFT_ENGINE_OPTIONS_INIT;
    j->options.config = j->config;
    j->options.model = golden_source(&j->golden);
    j->options.train = j->options.test = &j->rows;
    j->options.partition = &j->partition;
    j->options.hooks = (weft_hooks){.ud = j, .tick = on_tick};
}

static void start(job *j) {
    weft_error err = {0};
    check_ok(weft_engine_open(&j->engine, &j->options, &err), &err);
    weft_engine_info_get(j->engine, &j->info);
}

static void finish(job *j) {
    weft_engine_close(j->engine);
    weft_config_free(j->config);
    golden_rows_free(&j->rows);
    golden_free(&j->golden);
}

static weft_round_report round_ok(job *j) {
    weft_error err = {0};
    weft_round_report report;
    check_ok(weft_engine_round(j->engine, &report, &err), &err);
    return report;
}

/* The global adapter, *owned* by the caller. */
static float *adapter(job *j) {
    weft_error err = {0};
    float *flat = calloc((size_t)j->info.adapter_size, sizeof *flat);
    check_ok(weft_engine_adapter_read(j->engine, flat, &err), &err);
    return flat;
}

static void same_adapter(const char *what, job *a, job *b) {
    assert_int_equal(a->info.adapter_size, b->info.adapter_size);
    float *x = adapter(a), *y = adapter(b);
    check_same(what, x, y, (size_t)a->info.adapter_size * sizeof *x);
    free(x);
    free(y);
}

#define PREPARE(j, set, clients, ...)                                                              \
    do {                                                                                           \
        static const char *const pairs_[] = {__VA_ARGS__};                                         \
        prepare((j), &golden_##set, (clients), pairs_, sizeof pairs_ / sizeof *pairs_);            \
    } while (0)

/* ---- what is refused ---- */

static void check_refused(job *j, weft_status want, const char *part) {
    weft_error err = {0};
    weft_engine *e = NULL;
    weft_status st = weft_engine_open(&e, &j->options, &err);
    if (st != want || !strstr(err.text, part))
        print_error("wanted status %d with '%s', got %d: %s\n", (int)want, part, (int)st, err.text);
    assert_int_equal(st, want);
    assert_non_null(strstr(err.text, part));
    assert_null(e);
    weft_plan plan;
    assert_int_equal(weft_plan_build(&plan, &j->options, &err), want);
}

static void *take(void *ud, size_t bytes) {
    (void)ud;
    return malloc(bytes);
}

static void test_open_refuses_misuse(void **state) {
    (void)state;
    job j;
    PREPARE(&j, bert, 2, "fl.num_rounds", "1");
    const weft_engine_options good = j.options;
    j.options.size = 0;
    check_refused(&j, WEFT_E_ARG, "size is 0");
    j.options = good, j.options.config = NULL;
    check_refused(&j, WEFT_E_ARG, "config");
    j.options = good, j.options.train = j.options.test = NULL;
    check_refused(&j, WEFT_E_ARG, "rows");
    j.options = good, j.options.partition = NULL;
    check_refused(&j, WEFT_E_ARG, "partition");
    j.options = good, j.options.hooks.alloc = take;
    check_refused(&j, WEFT_E_ARG, "hooks.release");
    j.options = good;
    j.partition.n_clients = 1; /* two a round */
    check_refused(&j, WEFT_E_CONFIG, "fl.clients_per_round is 2");
    finish(&j);
}

static void test_open_refuses_bad_rows(void **state) {
    (void)state;
    job j;
    PREPARE(&j, bert, 2, "fl.num_rounds", "1");
    int32_t *token = (int32_t *)(uintptr_t)j.rows.token,
            *label = (int32_t *)(uintptr_t)j.rows.label;
    int64_t *offset = (int64_t *)(uintptr_t)j.rows.offset, end = offset[j.rows.n_rows];
    int32_t kept = token[3];
    token[3] = 97;
    check_refused(&j, WEFT_E_DATA, "97 is outside the model's vocabulary of 97");
    token[3] = -1;
    check_refused(&j, WEFT_E_DATA, "-1 is outside");
    token[3] = kept, kept = label[2], label[2] = 3;
    check_refused(&j, WEFT_E_DATA, "label 3 is outside [0, 3)");
    label[2] = kept, offset[j.rows.n_rows] = offset[j.rows.n_rows - 1];
    check_refused(&j, WEFT_E_DATA, "has no tokens");
    offset[j.rows.n_rows] = offset[j.rows.n_rows - 1] + 65;
    check_refused(&j, WEFT_E_CONFIG, "data.max_length=64");
    offset[j.rows.n_rows] = end;
    weft_rows other = j.rows;
    other.num_labels = 2;
    j.options.test = &other;
    check_refused(&j, WEFT_E_DATA, "3 labels, test rows 2");
    finish(&j);
}

static void test_calls_out_of_place(void **state) {
    (void)state;
    weft_error err = {0};
    weft_round_report report;
    weft_metrics metrics;
    job j;
    PREPARE(&j, bert, 2, "fl.num_rounds", "1");
    start(&j);
    float *flat = adapter(&j);
    const weft_view *view = weft_engine_view(j.engine, 0);
    flat[view->offset] = NAN;
    assert_int_equal(weft_engine_adapter_write(j.engine, flat, &err), WEFT_E_DATA);
    assert_non_null(strstr(err.text, view->module));
    free(flat);
    flat = adapter(&j); /* the refused one left no trace */
    assert_true(isfinite(flat[view->offset]));
    check_ok(weft_engine_adapter_write(j.engine, flat, &err), &err);
    (void)round_ok(&j);
    assert_int_equal(weft_engine_adapter_write(j.engine, flat, &err), WEFT_E_ARG);
    free(flat);
    assert_null(weft_engine_view(j.engine, j.info.n_views));
    assert_null(weft_engine_view(j.engine, -1));

    const int32_t none[] = {0}, beyond[] = {0, 8}, negative[] = {-1};
    weft_eval_options eval = {.split = WEFT_SPLIT_TRAIN, .rows = none, .n_rows = 0};
    check_ok(weft_engine_eval(j.engine, &eval, &metrics, &err), &err);
    assert_int_equal(metrics.n, 0);
    eval.rows = beyond, eval.n_rows = 2;
    assert_int_equal(weft_engine_eval(j.engine, &eval, &metrics, &err), WEFT_E_ARG);
    eval.rows = negative, eval.n_rows = 1;
    assert_int_equal(weft_engine_eval(j.engine, &eval, &metrics, &err), WEFT_E_ARG);
    weft_engine_close(j.engine);
    j.engine = NULL;

    j.options.test = NULL; /* training only */
    start(&j);
    weft_baselines baselines;
    eval = (weft_eval_options){.split = WEFT_SPLIT_TEST};
    assert_int_equal(weft_engine_eval(j.engine, &eval, &metrics, &err), WEFT_E_CONFIG);
    assert_int_equal(weft_engine_baselines(j.engine, &baselines, &err), WEFT_E_CONFIG);
    weft_engine_close(j.engine);
    j.engine = NULL;

    j.options.test = &j.rows, j.options.train = NULL, j.options.partition = NULL; /* eval only */
    start(&j);
    assert_int_equal(weft_engine_round(j.engine, &report, &err), WEFT_E_ARG);
    assert_non_null(strstr(err.text, "evaluation only"));
    check_ok(weft_engine_eval(j.engine, &eval, &metrics, &err), &err);
    assert_int_equal(metrics.n, j.rows.n_rows);
    finish(&j);
}

/* ---- a stop ---- */

static void test_stop_keeps_the_last_round(void **state) {
    (void)state;
    weft_error err = {0};
    weft_round_report report;
    job whole, stopped;
#define STOP_JOB                                                                                   \
    "fl.strategy", "fedadam", "client.local_epochs", "2", "engine.slots", "2", "lora.dropout",     \
        "0.1", "client.learning_rate", "0.05"
    PREPARE(&whole, bert, 3, STOP_JOB);
    start(&whole);
    (void)round_ok(&whole);
    int64_t first = whole.ticks;
    float *after_one = adapter(&whole);
    weft_round_report expected = round_ok(&whole);
    int64_t second = whole.ticks - first;
    assert_true(second >= 4);
    for (int64_t at = 1; at <= second; at++) { /* at every tick of round 2 */
        PREPARE(&stopped, bert, 3, STOP_JOB);
        stopped.stop_at = first + at;
        start(&stopped);
        (void)round_ok(&stopped);
        memset(&report, 0x5a, sizeof report);
        assert_int_equal(weft_engine_round(stopped.engine, &report, &err), WEFT_E_STOPPED);
        assert_int_equal(report.round, 0x5a5a5a5a5a5a5a5a); /* untouched */
        assert_int_equal(weft_engine_rounds_done(stopped.engine), 1);
        float *x = adapter(&stopped);
        check_same("adapter of the last complete round", x, after_one,
                   (size_t)stopped.info.adapter_size * sizeof *x);
        free(x);
        report = round_ok(&stopped); /* and the round can be had again */
        assert_int_equal(report.round, 2);
        check_same("ledger", &report.wire_total, &expected.wire_total, sizeof report.wire_total);
        same_adapter("the round again", &stopped, &whole);
        finish(&stopped);
    }
    free(after_one);
    finish(&whole);
}

/* ---- gradients that are not finite ---- */

/* Targets so large that the gradient of their squared error overflows. */
static void poison(job *j, int32_t client) {
    float *target = (float *)(uintptr_t)j->rows.target;
    for (int64_t i = j->offset[client]; i < j->offset[client + 1]; i++) target[j->row[i]] = FLT_MAX;
}

static void test_a_bad_client_is_left_out(void **state) {
    (void)state;
    /* The run without client 1 samples two of three; look for a seed whose first round is 0 and 2.
     */
    job without, with;
    char seed[16];
    weft_round_report want;
    for (int s = 0;; s++) {
        assert_true(s < 50);
        (void)snprintf(seed, sizeof seed, "%d", s);
        const char *const pairs[] = {"run.seed", seed, "fl.clients_per_round", "2"};
        prepare(&without, &golden_bert_regression, 3, pairs, 4);
        start(&without);
        want = round_ok(&without);
        if (want.clients[0].client == 0 && want.clients[1].client == 2) break;
        finish(&without);
    }
    static const char *const slots[] = {"1", "2", "3"};
    for (size_t k = 0; k < 3; k++) {
        const char *const pairs[] = {"run.seed", seed, "engine.slots", slots[k]};
        prepare(&with, &golden_bert_regression, 3, pairs, 4);
        poison(&with, 1);
        start(&with);
        weft_round_report got = round_ok(&with);
        assert_int_equal(got.n_clients, 3);
        assert_int_equal(got.n_skipped, 1);
        assert_true(got.clients[1].skipped && !got.clients[0].skipped && !got.clients[2].skipped);
        assert_true(got.clients[1].weight == 0 && got.clients[1].update_norm == 0);
        for (int i = 0; i < 2; i++) {
            const weft_client_report *a = &want.clients[i], *b = &got.clients[2 * i];
            assert_int_equal(a->client, b->client);
            assert_true(a->loss == b->loss && a->last_loss == b->last_loss);
            assert_true(a->update_norm == b->update_norm && a->weight == b->weight);
        }
        assert_true(got.loss == want.loss);
        /* All received the adapter; the one that failed sends nothing. */
        assert_int_equal(got.wire.down, 3 * want.wire.down / 2);
        assert_int_equal(got.wire.up, want.wire.up);
        same_adapter("without the bad client", &with, &without);
        finish(&with);
    }
    finish(&without);
}

static void test_all_clients_bad(void **state) {
    (void)state;
    weft_error err = {0};
    weft_round_report report;
    job j;
    PREPARE(&j, bert_regression, 2, "client.max_grad_norm", "1");
    poison(&j, 0);
    poison(&j, 1);
    start(&j);
    float *before = adapter(&j);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(weft_engine_round(j.engine, &report, &err), WEFT_E_DIVERGED);
        assert_non_null(strstr(err.text, "client.learning_rate"));
    }
    assert_int_equal(weft_engine_rounds_done(j.engine), 0);
    float *after = adapter(&j);
    check_same("untouched", after, before, (size_t)j.info.adapter_size * sizeof *after);
    free(before);
    free(after);
    finish(&j);
}

/* ---- the ledger ---- */

static void test_ledger(void **state) {
    (void)state;
    job j;
    PREPARE(&j, bert, 3, "fl.clients_per_round", "2", "engine.slots", "1");
    start(&j);
    int64_t numel = 0;
    for (int32_t i = 0; i < j.info.n_views; i++) {
        const weft_view *v = weft_engine_view(j.engine, i);
        numel += v->ndim == 2 ? v->dim[0] * v->dim[1] : v->dim[0];
    }
    assert_int_equal(numel, j.info.adapter_numel);
    for (int64_t round = 1; round <= 5; round++) {
        weft_round_report r = round_ok(&j);
        assert_int_equal(r.round, round);
        assert_int_equal(r.wire.down, 2 * 4 * numel);
        assert_int_equal(r.wire.up, 2 * 4 * numel);
        assert_int_equal(r.wire_total.down, round * 2 * 4 * numel);
        assert_int_equal(r.wire_total.up, round * 2 * 4 * numel);
    }
    finish(&j);
}

/* ---- identities ---- */

/* One client, FedAvg with server rate 1 and a stateless optimizer: rounds of one step are the steps
 * of one long round. A client of one row, so that the order of an epoch does not matter. */
static void test_one_client_is_local_training(void **state) {
    (void)state;
    job rounds, local;
    PREPARE(&rounds, bert, 1, "client.local_steps", "1", "client.batch_size", "8",
            "client.learning_rate", "0.1", "client.max_grad_norm", "0.5");
    PREPARE(&local, bert, 1, "client.local_steps", "6", "client.batch_size", "8",
            "client.learning_rate", "0.1", "client.max_grad_norm", "0.5");
    job *const both[] = {&rounds, &local};
    for (int k = 0; k < 2; k++) {
        both[k]->row[0] = 3;
        both[k]->offset[1] = 1;
        start(both[k]);
    }
    double last = 0;
    for (int i = 0; i < 6; i++) last = round_ok(&rounds).clients[0].last_loss;
    weft_round_report one = round_ok(&local);
    assert_true(last == one.clients[0].last_loss);
    assert_true(one.clients[0].last_loss < one.clients[0].loss); /* it did learn */
    same_adapter("rounds and steps", &rounds, &local);
    finish(&rounds);
    finish(&local);
}

static void test_fedprox_without_pull_is_fedavg(void **state) {
    (void)state;
    job avg, prox, pulled;
#define PROX_JOB                                                                                   \
    "client.local_epochs", "3", "client.learning_rate", "0.05", "client.optimizer", "adamw"
    PREPARE(&avg, bert, 3, PROX_JOB);
    PREPARE(&prox, bert, 3, PROX_JOB, "fl.strategy", "fedprox", "client.prox_mu", "0");
    PREPARE(&pulled, bert, 3, PROX_JOB, "fl.strategy", "fedprox");
    job *const all[] = {&avg, &prox, &pulled};
    for (int k = 0; k < 3; k++) {
        start(all[k]);
        for (int i = 0; i < 2; i++) (void)round_ok(all[k]);
    }
    same_adapter("fedprox with mu 0", &prox, &avg);
    float *a = adapter(&avg), *b = adapter(&pulled);
    assert_memory_not_equal(a, b,
                            (size_t)avg.info.adapter_size * sizeof *a); /* by default it pulls */
    free(a);
    free(b);
    for (int k = 0; k < 3; k++) finish(all[k]);
}

static void test_looking_changes_nothing(void **state) {
    (void)state;
    weft_error err = {0};
    job quiet, looking;
    PREPARE(&quiet, bert, 3, "lora.dropout", "0.2", "fl.strategy", "fedyogi");
    PREPARE(&looking, bert, 3, "lora.dropout", "0.2", "fl.strategy", "fedyogi");
    start(&quiet);
    start(&looking);
    for (int i = 0; i < 3; i++) {
        weft_metrics metrics;
        weft_eval_options eval = {.split = i % 2 ? WEFT_SPLIT_TRAIN : WEFT_SPLIT_TEST};
        check_ok(weft_engine_eval(looking.engine, &eval, &metrics, &err), &err);
        (void)round_ok(&quiet);
        (void)round_ok(&looking);
    }
    same_adapter("with and without evaluation", &quiet, &looking);
    finish(&quiet);
    finish(&looking);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_refuses_misuse),
        cmocka_unit_test(test_open_refuses_bad_rows),
        cmocka_unit_test(test_calls_out_of_place),
        cmocka_unit_test(test_stop_keeps_the_last_round),
        cmocka_unit_test(test_a_bad_client_is_left_out),
        cmocka_unit_test(test_all_clients_bad),
        cmocka_unit_test(test_ledger),
        cmocka_unit_test(test_one_client_is_local_training),
        cmocka_unit_test(test_fedprox_without_pull_is_fedavg),
        cmocka_unit_test(test_looking_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
