/* labels: fault */
/* Every host allocation of the library fails in turn: the call that needed it says WEFT_E_MEM, with
 * a message, leaves its outputs alone and gives everything back. */
#include "engine/weft.h"
#include "tests/check.h"
#include "tests/engine/golden_source.h"
#include "tests/golden/bert.h"

#include <stdlib.h>
#include <string.h>

/* An allocator that counts, and fails at one call or from one call on. */
typedef struct counter {
    int64_t calls, live, fail_at;
    bool and_after;
} counter;

static void *count_alloc(void *ud, size_t bytes) {
    counter *c = ud;
    c->calls++;
    if (c->fail_at && (c->calls == c->fail_at || (c->and_after && c->calls > c->fail_at)))
        return NULL;
    c->live++;
    return malloc(bytes);
}

static void count_release(void *ud, void *ptr) {
    counter *c = ud;
    c->live -= ptr != NULL;
    free(ptr);
}

/* What every scenario runs on. */
typedef struct job {
    golden_file golden;
    weft_rows rows;
    weft_config *config;
    weft_partition *partition;
} job;

static void open_job(job *j) {
    weft_error err = {0};
    assert_true(golden_load(WEFT_TEST_DIR "/golden", &golden_bert, &j->golden));
    j->rows = golden_rows(&j->golden);
    j->config = golden_config(&golden_bert);
    static const char *const options[] = {"fl.num_clients", "2", "fl.clients_per_round", "2",
                                          "run.threads",    "1", "fl.strategy",          "fedadam",
                                          "engine.slots",   "2"};
    golden_set_options(j->config, options, sizeof options / sizeof *options);
    check_ok(weft_partition_build(&j->partition, j->config, &j->rows, &err), &err);
}

static void close_job(job *j) {
    weft_partition_free(j->partition);
    weft_config_free(j->config);
    golden_rows_free(&j->rows);
    golden_free(&j->golden);
}

static weft_engine_options options_of(job *j, counter *c) {
    weft_engine_options o = WEFT_ENGINE_OPTIONS_INIT;
    o.config = j->config;
    o.model = golden_source(&j->golden);
    o.train = o.test = &j->rows;
    o.partition = j->partition;
    o.hooks = (weft_hooks){.ud = c, .alloc = count_alloc, .release = count_release};
    return o;
}

typedef weft_status (*scenario)(job *j, counter *c, weft_error *err);

/* True when `got` still has the bytes of the pattern that it was filled with. */
static bool untouched(const void *got, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (((const unsigned char *)got)[i] != 0x5a) return false;
    return true;
}

static weft_status work(weft_engine *e, counter *c, weft_error *err) {
    weft_round_report report;
    weft_metrics metrics;
    weft_baselines baselines;
    memset(&metrics, 0x5a, sizeof metrics);
    memset(&baselines, 0x5a, sizeof baselines);

    float *flat = NULL;
    weft_engine_info info;
    weft_engine_info_get(e, &info);
    flat = calloc((size_t)info.adapter_size, sizeof *flat);
    weft_status st = weft_engine_adapter_read(e, flat, err);
    if (st == WEFT_OK) st = weft_engine_adapter_write(e, flat, err);
    free(flat);
    WEFT_TRY(st);

    int64_t before = c->calls;
    WEFT_TRY(weft_engine_round(e, &report, err));
    assert_int_equal(c->calls, before); /* a round takes no memory */

    weft_eval_options eval = {.split = WEFT_SPLIT_TEST};
    st = weft_engine_eval(e, &eval, &metrics, err);
    if (st != WEFT_OK) {
        assert_true(untouched(&metrics, sizeof metrics));
        return st;
    }
    st = weft_engine_baselines(e, &baselines, err);
    if (st != WEFT_OK) assert_true(untouched(&baselines, sizeof baselines));
    return st;
}

static weft_status run_engine(job *j, counter *c, weft_error *err) {
    weft_engine *e = NULL;
    weft_engine_options o = options_of(j, c);
    weft_status st = weft_engine_open(&e, &o, err);
    if (st != WEFT_OK) {
        assert_null(e);
        return st;
    }
    st = work(e, c, err);
    if (st != WEFT_OK) { /* the engine survives, and works once there is memory again */
        int64_t fail_at = c->fail_at;
        weft_metrics metrics;
        weft_eval_options eval = {.split = WEFT_SPLIT_TEST};
        weft_error second = {0};
        c->fail_at = 0;
        check_ok(weft_engine_eval(e, &eval, &metrics, &second), &second);
        assert_int_equal(metrics.n, j->rows.n_rows);
        c->fail_at = fail_at;
    }
    weft_engine_close(e);
    return st;
}

/* The same with a pager, whose pool and tables are taken in the open as well. */
static weft_status run_engine_keep(job *j, counter *c, weft_error *err) {
    static const char *const keep[] = {"client.optimizer_state", "keep", "engine.slots", "1"};
    golden_set_options(j->config, keep, sizeof keep / sizeof *keep);
    return run_engine(j, c, err);
}

static weft_status run_plan(job *j, counter *c, weft_error *err) {
    weft_plan plan;
    memset(&plan, 0x5a, sizeof plan);
    weft_engine_options o = options_of(j, c);
    weft_status st = weft_plan_build(&plan, &o, err);
    if (st != WEFT_OK) assert_true(untouched(&plan, sizeof plan));
    return st;
}

static void fail_each(scenario run, bool and_after) {
    job j;
    open_job(&j);
    int64_t total = 0;
    for (int64_t n = 1;; n++) {
        counter c = {.fail_at = n, .and_after = and_after};
        weft_error err = {0};
        weft_status st = run(&j, &c, &err);
        if (c.live != 0)
            print_error("allocation %lld: %lld lost\n", (long long)n, (long long)c.live);
        assert_int_equal(c.live, 0);
        if (c.calls < n) { /* it was never reached: all is well */
            check_ok(st, &err);
            total = c.calls;
            break;
        }
        if (st != WEFT_E_MEM || !strstr(err.text, "memory"))
            print_error("allocation %lld: status %d, '%s'\n", (long long)n, (int)st, err.text);
        assert_int_equal(st, WEFT_E_MEM);
        assert_int_equal(err.status, WEFT_E_MEM);
        assert_non_null(strstr(err.text, "memory"));
    }
    print_message("%lld allocations\n", (long long)total);
    assert_true(total > 10);
    close_job(&j);
}

static void test_engine_once(void **state) {
    (void)state;
    fail_each(run_engine, false);
}

static void test_engine_with_kept_state(void **state) {
    (void)state;
    fail_each(run_engine_keep, false);
}

static void test_engine_for_good(void **state) {
    (void)state;
    fail_each(run_engine, true);
}

static void test_plan(void **state) {
    (void)state;
    fail_each(run_plan, false);
    fail_each(run_plan, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_once),
        cmocka_unit_test(test_engine_for_good),
        cmocka_unit_test(test_engine_with_kept_state),
        cmocka_unit_test(test_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
