/* labels: unit */
#include "host/report.h"

#include "tests/check.h"

#include <math.h>
#include <string.h>

static wh_summary example(void) {
    return (wh_summary){.name = "first",
                        .folder = "runs/first",
                        .model = "m",
                        .architecture = "bert",
                        .backend = "cpu",
                        .backend_note = "avx2",
                        .dtype = "float32",
                        .device_reason = "run.device=cpu; run.dtype=f32",
                        .strategy = "fedavg",
                        .partition = "iid",
                        .seed = 7,
                        .num_clients = 20,
                        .clients_per_round = 10,
                        .rounds_planned = 3,
                        .rounds_done = 3,
                        .base_parameters = 900,
                        .adapter_numel = 100,
                        .tokens = 4000,
                        .wire = {.up = 12000, .down = 24000},
                        .has_metrics = true,
                        .metrics = {.n = 50, .accuracy = 0.75, .loss = 0.5},
                        .metrics_round = 3,
                        .seconds_train = 2.0,
                        .seconds_total = 3.0};
}

static char *text_of(const wh_summary *s) {
    wh_text text = {0};
    wh_summary_text(&text, s);
    return wh_text_take(&text);
}

static void table_for_people(void **state) {
    (void)state;
    wh_summary s = example();
    char *text = text_of(&s);
    assert_non_null(strstr(text, "federated LoRA    0.7500"));
    assert_non_null(strstr(text, "sent up      12,000 bytes (12.0 kB)"));
    assert_non_null(strstr(text, "sent down    24,000 bytes (24.0 kB)"));
    assert_non_null(strstr(text, "2.00 s training, 2.00 k tok/s"));
    assert_null(strstr(text, "probe"));
    assert_null(strstr(text, " \n")); /* no blanks at line ends */
    free(text);
}

/* Clients that are asked for more than models; a run that local steps ended. */
static void work_and_bytes_by_kind(void **state) {
    (void)state;
    wh_summary s = example();
    s.local_steps = 1234, s.barriers = 3;
    char *text = text_of(&s);
    assert_non_null(strstr(text, "rounds       3 of 3, 10 of 20 clients each, fedavg"));
    assert_non_null(
        strstr(text, "local steps  1,234, of each round's busiest client, 3 barriers\n"));
    assert_null(strstr(text, "models"));
    free(text);
    s.wire = (weft_wire){.down = 24000,
                         .up = 12000,
                         .model_down = 20000,
                         .model_up = 11000,
                         .state_up = 1000,
                         .verdict_down = 3000,
                         .once_down = 1000};
    s.rounds_planned = 100, s.total_steps = 1234, s.checks = 21;
    text = text_of(&s);
    assert_non_null(strstr(text, "rounds            3, until 1234 local steps, 10 of 20 clients"));
    assert_non_null(strstr(
        text, "1,234, of each round's busiest client, 21 checks of the variance, 3 barriers\n"));
    assert_non_null(strstr(text, "sent up           12,000 bytes (12.0 kB)\n"
                                 "    models          11,000 bytes (11.0 kB)\n"
                                 "    states          1,000 bytes (1.00 kB)\n"
                                 "  sent down         24,000 bytes (24.0 kB)\n"
                                 "    models          20,000 bytes (20.0 kB)\n"
                                 "    verdicts        3,000 bytes (3.00 kB)\n"
                                 "    hash functions  1,000 bytes (1.00 kB)\n"));
    free(text);
    json_t *o = wh_summary_json(&s), *kinds = json_object_get(o, "bytes_by_kind");
    assert_int_equal(json_integer_value(json_object_get(o, "local_steps")), 1234);
    assert_int_equal(json_integer_value(json_object_get(o, "total_steps")), 1234);
    assert_int_equal(json_integer_value(json_object_get(o, "barriers")), 3);
    assert_int_equal(json_integer_value(json_object_get(o, "checks")), 21);
    assert_int_equal(json_object_size(kinds), 6);
    assert_int_equal(json_integer_value(json_object_get(kinds, "state_up")), 1000);
    json_decref(o);
}

/* A federated run that loses to the probe says so. */
static void verdict_against_the_probe(void **state) {
    (void)state;
    wh_summary s = example();
    s.has_baselines = true;
    s.baselines.majority.accuracy = 0.5;
    s.baselines.probe.accuracy = 0.8;
    char *text = text_of(&s);
    assert_non_null(strstr(text, "federated LoRA is 0.0500 BELOW the linear probe in accuracy"));
    free(text);
    s.baselines.probe.accuracy = 0.5;
    text = text_of(&s);
    assert_non_null(strstr(text, "federated LoRA is 0.2500 above the linear probe in accuracy"));
    free(text);
    s.num_clients = 1;
    text = text_of(&s);
    assert_non_null(strstr(text, "pooled LoRA is 0.2500 above"));
    free(text);
}

static void json_keeps_every_seed(void **state) {
    (void)state;
    wh_summary s = example();
    json_t *o = wh_summary_json(&s);
    assert_int_equal(json_integer_value(json_object_get(o, "seed")), 7);
    assert_int_equal(json_integer_value(json_object_get(o, "bytes_up")), 12000);
    json_decref(o);
    s.seed = UINT64_MAX;
    o = wh_summary_json(&s);
    assert_string_equal(json_string_value(json_object_get(o, "seed")), "18446744073709551615");
    json_decref(o);
}

static void json_has_null_for_nan(void **state) {
    (void)state;
    wh_summary s = example();
    s.metrics.loss = (double)NAN;
    json_t *o = wh_summary_json(&s);
    assert_true(json_is_null(json_object_get(json_object_get(o, "federated"), "loss")));
    json_decref(o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_for_people),          cmocka_unit_test(work_and_bytes_by_kind),
        cmocka_unit_test(verdict_against_the_probe), cmocka_unit_test(json_keeps_every_seed),
        cmocka_unit_test(json_has_null_for_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
