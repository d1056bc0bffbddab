/* labels: unit */
/* The benchmark of a job: FLOPs that the job needs against the formula by hand, figures that belong
 * together, and what is refused. And what an engine says of its device. */
#include "engine/weft.h"
#include "tests/check.h"
#include "tests/engine/golden_source.h"
#include "tests/golden/bert.h"

#include <math.h>
#include <string.h>

typedef struct bed {
    golden_file golden;
    weft_config *config;
    weft_rows rows;
    weft_partition *partition;
    weft_engine_options options;
} bed;

/* Two clients of the recorded rows, all of them in each round, `epochs` times. */
static void open_bed(bed *b, const char *device, const char *targets, const char *epochs) {
    weft_error err = {0};
    memset(b, 0, sizeof *b);
    assert_true(golden_load(WEFT_TEST_DIR "/golden", &golden_bert, &b->golden));
    b->config = golden_config(&golden_bert);
    const char *const options[] = {"run.device",
                                   device,
                                   "run.threads",
                                   "1",
                                   "lora.r",
                                   "4",
                                   "lora.target_modules",
                                   targets,
                                   "client.local_epochs",
                                   epochs,
                                   "client.batch_size",
                                   "2",
                                   "data.client_column",
                                   "client",
                                   "partition.kind",
                                   "natural",
                                   "fl.clients_per_round",
                                   "2"};
    golden_set_options(b->config, options, sizeof options / sizeof *options);
    b->rows = golden_rows(&b->golden);
    check_ok(weft_partition_build(&b->partition, b->config, &b->rows, &err), &err);
    b->options = (weft_engine_options)WEFT_ENGINE_OPTIONS_INIT;
    b->options.config = b->config, b->options.model = golden_source(&b->golden);
    b->options.train = &b->rows, b->options.partition = b->partition;
}

static void close_bed(bed *b) {
    weft_partition_free(b->partition);
    golden_rows_free(&b->rows);
    weft_config_free(b->config);
    golden_free(&b->golden);
}

static weft_plan plan_of(const bed *b) {
    weft_error err = {0};
    weft_plan plan;
    check_ok(weft_plan_build(&plan, &b->options, &err), &err);
    return plan;
}

static weft_engine *engine_of(const bed *b) {
    weft_error err = {0};
    weft_engine *e = NULL;
    check_ok(weft_engine_open(&e, &b->options, &err), &err);
    return e;
}

/* Tokens and squared lengths of all rows. */
static void count(const bed *b, double *tokens, double *pairs) {
    *tokens = *pairs = 0;
    for (int64_t i = 0; i < b->rows.n_rows; i++) {
        const double length = (double)(b->rows.offset[i + 1] - b->rows.offset[i]);
        *tokens += length, *pairs += length * length;
    }
}

/* The recorded encoder: 2 layers of width 32, feed-forward 64; a frozen pooler of 32 x 32 before a
 * classifier of 3 x 32 that is trained. */
#define WIDTH  32.0
#define LINEAR (4 * WIDTH * WIDTH + 2 * WIDTH * 64)
#define LORA   (4 * (WIDTH + WIDTH)) /* of one adapted linear of rank 4 */
#define HEAD   (4 * WIDTH * WIDTH + 6 * 3 * WIDTH)

static void what_a_job_needs(void **state) {
    (void)state;
    double tokens, pairs;
    bed b;
    open_bed(&b, "cpu", "query,value", "3");
    count(&b, &tokens, &pairs);
    weft_plan plan = plan_of(&b);
    assert_int_equal(plan.profile_tokens, 3 * (int64_t)tokens);
    double want = 2 * (4 * LINEAR * tokens + 12 * WIDTH * pairs + 6 * 2 * LORA * tokens) +
                  HEAD * (double)b.rows.n_rows;
    assert_true(fabs(plan.model_flops - 3 * want) <= 1e-12 * want);
    close_bed(&b);

    /* Nothing below the lowest adapted layer needs a gradient. */
    open_bed(&b, "cpu", "layer.1.attention.self.query", "3");
    plan = plan_of(&b);
    want = (2 + 4) * LINEAR * tokens + (4 + 12) * WIDTH * pairs + 6 * LORA * tokens +
           HEAD * (double)b.rows.n_rows;
    assert_true(fabs(plan.model_flops - 3 * want) <= 1e-12 * want);
    close_bed(&b);
}

static void near(double got, double want) {
    assert_true(got > 0 && fabs(got - want) <= 1e-9 * want);
}

static void figures_belong_together(void **state) {
    (void)state;
    weft_error err = {0};
    weft_bench bench;
    weft_engine_info info;
    bed b;
    open_bed(&b, "cpu", "query,value", "3");
    const weft_plan plan = plan_of(&b);
    weft_engine *e = engine_of(&b);
    weft_engine_info_get(e, &info);
    check_ok(weft_engine_bench(e, &plan, &bench, &err), &err);

    assert_true(bench.tokens == (double)plan.profile_tokens);
    assert_true(bench.steps == (double)plan.profile_steps && bench.steps >= WEFT_BENCH_MIN_STEPS);
    assert_int_equal(bench.device_bytes, info.device_bytes);
    assert_true(bench.step_median > 0 && bench.step_p95 >= bench.step_median);
    assert_true(bench.step_p95 <= bench.seconds && isfinite(bench.loss) && bench.loss > 0);
    assert_true(bench.waiting_share >= 0 && bench.waiting_share < 1);
    near(bench.tokens_per_second * bench.seconds, bench.tokens);
    near(bench.client_steps_per_second * bench.seconds, bench.client_steps);
    near(bench.flops_per_second * bench.seconds, plan.profile.total.flops);
    near(bench.flops_share * bench.ceilings.flops, bench.flops_per_second);
    near(bench.model_flops_per_second * bench.seconds, plan.model_flops);
    near(bench.frozen_mfu * bench.ceilings.flops, bench.model_flops_per_second);

    double share = 0, flops = 0, bytes = 0;
    assert_true(bench.n_phases > 5);
    for (int i = 0; i < bench.n_phases; i++) {
        const weft_bench_phase *p = &bench.phase[i];
        share += p->share, flops += p->flops, bytes += p->bytes;
        const double floor = fmax(p->flops / bench.ceilings.flops, p->bytes / bench.ceilings.bytes);
        assert_true(p->seconds >= 0 && fabs(p->floor_seconds - floor) <= 1e-9 * floor);
        if (p->flops > 0) near(p->flops_per_second * p->seconds, p->flops);
        if (p->bytes > 0) near(p->bytes_per_second * p->seconds, p->bytes);
    }
    near(share, 1);
    near(flops * bench.steps, plan.profile.total.flops); /* no phase is lost on the way */
    near(bytes * bench.steps, plan.profile.total.bytes);
    weft_engine_close(e);
    close_bed(&b);
}

/* The same loss as the first round has when it is run again from where it ended. */
static void rounds_are_the_first(void **state) {
    (void)state;
    weft_error err = {0};
    weft_bench bench;
    weft_round_report first;
    bed b;
    open_bed(&b, "cpu", "query,value", "3");
    const weft_plan plan = plan_of(&b);
    weft_engine *e = engine_of(&b), *other = engine_of(&b);
    check_ok(weft_engine_bench(e, &plan, &bench, &err), &err);
    check_ok(weft_engine_round(other, &first, &err), &err);
    assert_true(bench.packs == first.packs && bench.tokens == (double)first.tokens);
    assert_true(bench.loss < first.loss); /* the second time over the same rows */
    weft_engine_close(other);
    weft_engine_close(e);
    close_bed(&b);
}

static void refused(weft_engine *e, const weft_plan *plan, const char *text) {
    weft_error err = {0};
    weft_bench bench = {.steps = -1};
    assert_int_equal(weft_engine_bench(e, plan, &bench, &err), WEFT_E_ARG);
    if (!strstr(err.text, text)) fail_msg("\"%s\" lacks \"%s\"", err.text, text);
    assert_true(bench.steps < 0); /* untouched */
}

static void unusable_calls_are_refused(void **state) {
    (void)state;
    weft_error err = {0};
    weft_round_report report;
    bed b, shorter;
    open_bed(&b, "cpu", "query,value", "3");
    open_bed(&shorter, "cpu", "query,value", "1");
    weft_plan plan = plan_of(&b), few = plan_of(&shorter);
    weft_engine *e = engine_of(&b);
    assert_true(few.profile_steps < WEFT_BENCH_MIN_STEPS);
    refused(e, &few, "4 optimizer steps");
    few.profile_steps = WEFT_BENCH_MIN_STEPS;
    refused(e, &few, "another job");
    weft_engine_close(e);
    e = engine_of(&b);
    check_ok(weft_engine_round(e, &report, &err), &err);
    refused(e, &plan, "1 were run");
    weft_engine_close(e);
    close_bed(&shorter);
    close_bed(&b);
}

static void the_device_says_why(void **state) {
    (void)state;
    weft_error err = {0};
    weft_engine_info info;
    bed b;
    open_bed(&b, "auto", "query,value", "1");
    b.options.backend_note = "no such card";
    weft_plan plan = plan_of(&b);
    weft_engine *e = engine_of(&b);
    weft_engine_info_get(e, &info);
    assert_string_equal(info.backend, "cpu");
    assert_string_equal(info.device_reason,
                        "run.device=auto, no CUDA: no such card; run.dtype=auto");
    assert_string_equal(plan.device_reason, info.device_reason);
    assert_string_equal(plan.backend, info.backend);
    assert_string_equal(plan.hidden_dtype, info.hidden_dtype);
    weft_engine_close(e);
    close_bed(&b);

    open_bed(&b, "cuda:1", "query,value", "1");
    b.options.backend_note = "no such card";
    e = NULL;
    assert_int_equal(weft_engine_open(&e, &b.options, &err), WEFT_E_DEVICE);
    assert_non_null(
        strstr(err.text, "run.device=cuda:1, but there is no CUDA device: no such card"));
    assert_null(e);
    assert_int_equal(weft_plan_build(&plan, &b.options, &err), WEFT_E_DEVICE);
    close_bed(&b);

    open_bed(&b, "ref", "query,value", "1");
    b.options.backend_note = "no such card";
    e = engine_of(&b);
    weft_engine_info_get(e, &info);
    assert_string_equal(info.device_reason, "run.device=ref; run.dtype=auto");
    weft_engine_close(e);
    close_bed(&b);
}

/* A plan looks at the beginnings of long visits: 30,000 epochs are 200 times 150.
 */
static void long_visits_are_sampled(void **state) {
    (void)state;
    bed few, many;
    open_bed(&few, "cpu", "query,value", "150");
    open_bed(&many, "cpu", "query,value", "30000");
    const weft_plan small = plan_of(&few), large = plan_of(&many);
    assert_false(small.profile_is_sampled);
    assert_true(large.profile_is_sampled);
    const double factor = 200.0;
    assert_int_equal(large.profile_steps, small.profile_steps * 200);
    /* The cut comes inside an epoch, whose batches are not all alike. */
    const double pairs[][2] = {{(double)large.profile_tokens, (double)small.profile_tokens},
                               {large.model_flops, small.model_flops},
                               {large.profile.total.flops, small.profile.total.flops},
                               {large.profile.total.bytes, small.profile.total.bytes},
                               {large.flops, small.flops},
                               {large.tokens, small.tokens},
                               {large.packs, small.packs}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const double ratio = pairs[i][0] / pairs[i][1] / factor;
        if (fabs(ratio - 1) > 5e-3) print_error("figure %zu: off by %g\n", i, ratio - 1);
        assert_true(fabs(ratio - 1) <= 5e-3);
    }
    close_bed(&few);
    close_bed(&many);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_job_needs),     cmocka_unit_test(figures_belong_together),
        cmocka_unit_test(rounds_are_the_first), cmocka_unit_test(unusable_calls_are_refused),
        cmocka_unit_test(the_device_says_why),  cmocka_unit_test(long_visits_are_sampled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
