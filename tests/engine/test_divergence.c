/* labels: fed */
/* A client whose gradient overflows is left out of the mean, and the clients that share its packs
 * do not notice: their numbers are those of a run in which it behaves. */
#include "engine/weft.h"
#include "kernels/rng.h"
#include "tests/check.h"
#include "tests/engine/golden_source.h"
#include "tests/golden/bert_regression.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS 5
#define ROWS    20
#define SICK    2

typedef struct data {
    int64_t offset[ROWS + 1];
    int32_t token[ROWS * 12], client[ROWS];
    float target[ROWS];
} data;

/* Row i belongs to client i mod CLIENTS; its target is small, or that of the sick client is too
 * large for a float to hold twice it. */
static weft_rows make_rows(data *d, int sick) {
    wk_stream s = wk_stream_at(wk_rng_key(9, WK_RNG_TEST, 0), 0, 0, 0);
    memset(d, 0, sizeof *d);
    for (int i = 0; i < ROWS; i++) {
        int64_t n = 2 + wk_stream_below(&s, 10);
        d->offset[i + 1] = d->offset[i] + n;
        for (int64_t t = d->offset[i]; t < d->offset[i + 1]; t++)
            d->token[t] = (int32_t)wk_stream_below(&s, 97);
        d->client[i] = i % CLIENTS;
        d->target[i] = (float)wk_stream_f64(&s);
        if (d->client[i] == sick) d->target[i] = 3e38f;
    }
    return (weft_rows){.n_rows = ROWS,
                       .offset = d->offset,
                       .token = d->token,
                       .target = d->target,
                       .client = d->client,
                       .n_clients = CLIENTS,
                       .num_labels = 1};
}

typedef struct outcome {
    weft_status st;
    weft_error err;
    weft_round_report report;
    weft_client_report client[CLIENTS];
    double adapter_sum;
} outcome;

static outcome run(golden_file *g, const char *backend, const weft_rows *rows, const char *cohort) {
    outcome out = {0};
    weft_error err = {0};
    weft_config *config = golden_config(&golden_bert_regression);
    const char *const options[] = {
        "run.device",        backend,      "run.threads",          "2",
        "data.task",         "regression", "data.client_column",   "client",
        "partition.kind",    "natural",    "fl.clients_per_round", cohort,
        "client.batch_size", "2"};
    golden_set_options(config, options, sizeof options / sizeof *options);
    weft_partition *part = NULL;
    check_ok(weft_partition_build(&part, config, rows, &err), &err);
    weft_engine_options o = WEFT_ENGINE_OPTIONS_INIT;
    o.config = config, o.model = golden_source(g), o.train = rows, o.partition = part;
    weft_engine *e = NULL;
    check_ok(weft_engine_open(&e, &o, &err), &err);
    out.st = weft_engine_round(e, &out.report, &out.err);
    if (out.st == WEFT_OK)
        memcpy(out.client, out.report.clients, (size_t)out.report.n_clients * sizeof *out.client);
    weft_engine_info info;
    weft_engine_info_get(e, &info);
    float *flat = calloc((size_t)info.adapter_size, sizeof *flat);
    check_ok(weft_engine_adapter_read(e, flat, &err), &err);
    for (int64_t i = 0; i < info.adapter_size; i++) out.adapter_sum += (double)flat[i];
    free(flat);
    weft_engine_close(e);
    weft_partition_free(part);
    weft_config_free(config);
    return out;
}

static void test_one_client(void **state) {
    const char *backend = *state;
    golden_file g;
    assert_true(golden_load(WEFT_TEST_DIR "/golden", &golden_bert_regression, &g));
    data sick_data, well_data;
    weft_rows sick_rows = make_rows(&sick_data, SICK), well_rows = make_rows(&well_data, -1);
    outcome sick = run(&g, backend, &sick_rows, "5"), well = run(&g, backend, &well_rows, "5");
    check_ok(sick.st, &sick.err);
    check_ok(well.st, &well.err);
    assert_int_equal(well.report.n_skipped, 0);
    assert_int_equal(sick.report.n_skipped, 1);
    for (int c = 0; c < CLIENTS; c++) {
        const weft_client_report *a = &sick.client[c], *b = &well.client[c];
        assert_int_equal(a->client, c);
        assert_int_equal(a->skipped, c == SICK);
        assert_true(b->update_norm > 0);
        if (c == SICK) {
            assert_true(a->weight == 0);
        } else {
            assert_true(a->weight == 0.25);
            check_same("loss", &a->loss, &b->loss, sizeof a->loss);
            check_same("last loss", &a->last_loss, &b->last_loss, sizeof a->last_loss);
            check_same("update", &a->update_norm, &b->update_norm, sizeof a->update_norm);
        }
    }
    assert_true(isfinite(sick.report.loss) && isfinite(sick.adapter_sum));
    /* They did share packs: two batches of two rows each, one pack a step. */
    assert_int_equal(sick.report.packs, 2);
    golden_free(&g);
}

static void test_whole_cohort(void **state) {
    golden_file g;
    assert_true(golden_load(WEFT_TEST_DIR "/golden", &golden_bert_regression, &g));
    data d;
    weft_rows rows = make_rows(&d, -1);
    for (int i = 0; i < ROWS; i++) d.target[i] = 3e38f;
    outcome all = run(&g, *state, &rows, "3");
    assert_int_equal(all.st, WEFT_E_DIVERGED);
    assert_non_null(strstr(all.err.text, "client.learning_rate"));
    assert_true(isfinite(all.adapter_sum)); /* the start, untouched */
    golden_free(&g);
}

int main(void) {
    static char ref[] = "ref", cpu[] = "cpu";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_one_client, ref),
        cmocka_unit_test_prestate(test_one_client, cpu),
        cmocka_unit_test_prestate(test_whole_cohort, ref),
        cmocka_unit_test_prestate(test_whole_cohort, cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
