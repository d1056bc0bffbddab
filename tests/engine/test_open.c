/* labels: unit */
/* Opening an engine: what is refused, what memory the base takes for training and for evaluation,
 * and that both evaluate alike. */
#include "engine/weft.h"
#include "tests/check.h"
#include "tests/engine/golden_source.h"
#include "tests/golden/bert.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct bed {
    golden_file g;
    weft_config *config;
    weft_rows rows;
    weft_partition *partition;
    weft_engine_options options; /* to train; the test rows are the training rows */
} bed;

static void open_bed(bed *b, const char *backend) {
    weft_error err = {0};
    memset(b, 0, sizeof *b);
    assert_true(golden_load(WEFT_TEST_DIR "/golden", &golden_bert, &b->g));
    b->config = golden_config(&golden_bert);
    const char *const options[] = {"run.device",           backend,  "run.threads",    "1",
                                   "data.client_column",   "client", "partition.kind", "natural",
                                   "fl.clients_per_round", "2"};
    golden_set_options(b->config, options, sizeof options / sizeof *options);
    b->rows = golden_rows(&b->g);
    check_ok(weft_partition_build(&b->partition, b->config, &b->rows, &err), &err);
    b->options = (weft_engine_options)WEFT_ENGINE_OPTIONS_INIT;
    b->options.config = b->config, b->options.model = golden_source(&b->g);
    b->options.train = b->options.test = &b->rows;
    b->options.partition = b->partition;
}

static void close_bed(bed *b) {
    weft_partition_free(b->partition);
    golden_rows_free(&b->rows);
    weft_config_free(b->config);
    golden_free(&b->g);
}

static weft_engine_options only_eval(const bed *b) {
    weft_engine_options o = b->options;
    o.train = NULL, o.partition = NULL;
    return o;
}

static void refused(const weft_engine_options *o, weft_status status, const char *text) {
    weft_engine *e = NULL;
    weft_error err = {0};
    assert_int_equal(weft_engine_open(&e, o, &err), status);
    assert_null(e);
    if (!strstr(err.text, text)) fail_msg("\"%s\" lacks \"%s\"", err.text, text);
}

static void unusable_input_is_refused(void **state) {
    (void)state;
    bed b;
    open_bed(&b, "ref");
    weft_rows rows = b.rows;
    weft_engine_options o = only_eval(&b);
    o.test = &rows;
    float target[64] = {0};
    rows.target = target;
    refused(&o, WEFT_E_ARG, "either labels or targets");
    rows.label = NULL;
    refused(&o, WEFT_E_DATA, "regression has one output");
    rows.num_labels = 1;
    target[1] = NAN;
    refused(&o, WEFT_E_DATA, "test row 1: the target is nan");
    rows = b.rows, rows.num_labels = 1;
    refused(&o, WEFT_E_DATA, "two classes or more");
    o = b.options, o.partition = NULL;
    refused(&o, WEFT_E_ARG, "training rows need a partition");
    int64_t none[3] = {0, 0, b.rows.n_rows};
    weft_partition empty_client = {.n_clients = 2, .offset = none, .row = b.partition->row};
    o.partition = &empty_client;
    refused(&o, WEFT_E_DATA, "client 0 holds no rows");
    o = b.options, o.size--;
    refused(&o, WEFT_E_ARG, "weft_engine_options.size");
    close_bed(&b);
}

/* A table of token types that is the largest tensor of the model. */
#define MANY_TYPES 40000
static const weft_model_source *inner;
static float *types;

static const char *many_types_meta(void *ud, const char *key) {
    return strcmp(key, "type_vocab_size") == 0 ? "40000" : inner->meta(ud, key);
}

static weft_status many_types_tensor(void *ud, const char *name, weft_source_tensor *out,
                                     weft_error *err) {
    WEFT_TRY(inner->tensor(ud, name, out, err));
    if (!strstr(name, "token_type_embeddings")) return WEFT_OK;
    const size_t d = (size_t)out->dim[1];
    if (!types) types = calloc(MANY_TYPES * d, sizeof *types);
    assert_non_null(types);
    memcpy(types, out->data, (size_t)out->dim[0] * d * sizeof *types);
    out->data = types, out->dim[0] = MANY_TYPES;
    return WEFT_OK;
}

static double eval_loss(const weft_engine_options *o) {
    weft_engine *e = NULL;
    weft_error err = {0};
    check_ok(weft_engine_open(&e, o, &err), &err);
    weft_eval_options options = {.split = WEFT_SPLIT_TEST};
    weft_metrics metrics;
    check_ok(weft_engine_eval(e, &options, &metrics, &err), &err);
    const int32_t outside = (int32_t)o->test->n_rows;
    options.rows = &outside, options.n_rows = 1;
    assert_int_equal(weft_engine_eval(e, &options, &metrics, &err), WEFT_E_ARG);
    weft_engine_close(e);
    return metrics.loss;
}

static void any_table_may_be_the_largest(void **state) {
    (void)state;
    bed b;
    open_bed(&b, "cpu");
    const weft_model_source plain = b.options.model;
    const double want = eval_loss(&b.options);
    inner = &plain;
    b.options.model.meta = many_types_meta, b.options.model.tensor = many_types_tensor;
    assert_true(eval_loss(&b.options) == want);
    free(types);
    types = NULL;
    close_bed(&b);
}

static uint64_t base_bytes(const weft_engine_options *o) {
    weft_plan plan;
    weft_error err = {0};
    check_ok(weft_plan_build(&plan, o, &err), &err);
    for (int i = 0; i < plan.n_items; i++)
        if (strncmp(plan.item[i].name, "base weights", 12) == 0) return plan.item[i].bytes;
    fail_msg("the plan has no base weights");
    return 0;
}

/* ref computes from the plain weights; cpu keeps one packed copy for evaluation and a second one
 * for the layers that backward visits. */
static void evaluation_keeps_no_gradient_weights(void **state) {
    const char *backend = *state;
    bed b;
    open_bed(&b, backend);
    const weft_engine_options eval = only_eval(&b);
    const uint64_t training = base_bytes(&b.options), evaluating = base_bytes(&eval);
    if (strcmp(backend, "ref") == 0)
        assert_true(evaluating == training);
    else
        assert_true(evaluating < training);
    assert_true(eval_loss(&eval) == eval_loss(&b.options));
    close_bed(&b);
}

int main(void) {
    static char ref[] = "ref", cpu[] = "cpu";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unusable_input_is_refused),
        cmocka_unit_test(any_table_may_be_the_largest),
        cmocka_unit_test_prestate(evaluation_keeps_no_gradient_weights, ref),
        cmocka_unit_test_prestate(evaluation_keeps_no_gradient_weights, cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
