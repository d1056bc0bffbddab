/* labels: dist */
/* A client's trajectory does not depend on who shares its pack: the same federated run, bit for
 * bit, for any number of slots, any pack size, any number of threads, and twice in a row. */
#include "engine/weft.h"
#include "kernels/rng.h"
#include "tests/check.h"
#include "tests/engine/golden_source.h"
#include "tests/golden/bert.h"

#include <stdlib.h>
#include <string.h>

#define CLIENTS 17
#define ROWS    140
#define ROUNDS  2

/* Ragged rows of 2 to 23 random tokens. */
static weft_rows make_rows(void) {
    wk_stream s = wk_stream_at(wk_rng_key(5, WK_RNG_TEST, 0), 0, 0, 0);
    int64_t *offset = calloc(ROWS + 1, sizeof *offset);
    int32_t *token = calloc(ROWS * 24, sizeof *token), *label = calloc(ROWS, sizeof *label);
    for (int i = 0; i < ROWS; i++) {
        int64_t n = 2 + wk_stream_below(&s, 22);
        offset[i + 1] = offset[i] + n;
        for (int64_t t = offset[i]; t < offset[i + 1]; t++)
            token[t] = (int32_t)wk_stream_below(&s, 97);
        label[i] = (int32_t)wk_stream_below(&s, 3);
    }
    return (weft_rows){
        .n_rows = ROWS, .offset = offset, .token = token, .label = label, .num_labels = 3};
}

typedef struct outcome {
    float *adapter;
    int64_t size;
    double loss[ROUNDS][CLIENTS], last[ROUNDS][CLIENTS], norm[ROUNDS][CLIENTS];
    double eval_loss, accuracy;
    weft_wire wire;
    int64_t packs;
} outcome;

static outcome run(golden_file *g, const weft_rows *rows, const char *backend, const char *slots,
                   const char *threads, const char *pack, const char *const *more, size_t n_more) {
    weft_error err = {0};
    weft_config *config = golden_config(&golden_bert);
    const char *const options[] = {"run.device",
                                   backend,
                                   "run.threads",
                                   threads,
                                   "engine.slots",
                                   slots,
                                   "engine.pack_tokens",
                                   pack,
                                   "run.seed",
                                   "7",
                                   "lora.dropout",
                                   "0.1",
                                   "partition.kind",
                                   "dirichlet",
                                   "partition.alpha",
                                   "0.7",
                                   "fl.num_clients",
                                   "17",
                                   "fl.clients_per_round",
                                   "17",
                                   "client.batch_size",
                                   "5",
                                   "client.local_epochs",
                                   "2",
                                   "client.learning_rate",
                                   "5e-3",
                                   "client.max_grad_norm",
                                   "1",
                                   "fl.strategy",
                                   "fedyogi"};
    for (size_t i = 0; i < n_more; i += 2)
        check_ok(weft_config_set(config, more[i], more[i + 1], NULL, &err), &err);
    golden_set_options(config, options, sizeof options / sizeof *options);
    weft_partition *part = NULL;
    check_ok(weft_partition_build(&part, config, rows, &err), &err);
    weft_engine_options o = WEFT_ENGINE_OPTIONS_INIT;
    o.config = config, o.model = golden_source(g), o.train = rows, o.test = rows,
    o.partition = part;
    weft_engine *e = NULL;
    check_ok(weft_engine_open(&e, &o, &err), &err);
    outcome out = {0};
    weft_engine_info info;
    weft_engine_info_get(e, &info);
    out.size = info.adapter_size;
    out.adapter = calloc((size_t)out.size, sizeof *out.adapter);
    for (int round = 0; round < ROUNDS; round++) {
        weft_round_report r;
        check_ok(weft_engine_round(e, &r, &err), &err);
        assert_int_equal(r.n_clients, CLIENTS);
        for (int i = 0; i < CLIENTS; i++) {
            out.loss[round][i] = r.clients[i].loss;
            out.last[round][i] = r.clients[i].last_loss;
            out.norm[round][i] = r.clients[i].update_norm;
        }
        out.wire = r.wire_total;
        out.packs += r.packs;
    }
    weft_eval_options eval = {.split = WEFT_SPLIT_TEST};
    weft_metrics metrics;
    check_ok(weft_engine_eval(e, &eval, &metrics, &err), &err);
    out.eval_loss = metrics.loss, out.accuracy = metrics.accuracy;
    check_ok(weft_engine_adapter_read(e, out.adapter, &err), &err);
    weft_engine_close(e);
    weft_partition_free(part);
    weft_config_free(config);
    return out;
}

static void check_equal(const char *what, const outcome *a, const outcome *b) {
    assert_int_equal(a->size, b->size);
    for (int r = 0; r < ROUNDS; r++)
        for (int i = 0; i < CLIENTS; i++)
            if (a->loss[r][i] != b->loss[r][i] || a->last[r][i] != b->last[r][i] ||
                a->norm[r][i] != b->norm[r][i]) {
                print_error(
                    "%s: round %d client %d: loss %.17g and %.17g, update norm %.17g and %.17g\n",
                    what, r + 1, i, a->loss[r][i], b->loss[r][i], a->norm[r][i], b->norm[r][i]);
                fail();
            }
    check_same(what, a->adapter, b->adapter, (size_t)a->size * sizeof(float));
    check_same(what, &a->eval_loss, &b->eval_loss, sizeof a->eval_loss);
    check_same(what, &a->wire, &b->wire, sizeof a->wire);
}

/* One client at a time on one thread is the oracle. */
static void check_backend(const char *backend, const char *const *more, size_t n_more) {
    golden_file g;
    assert_true(golden_load(WEFT_TEST_DIR "/golden", &golden_bert, &g));
    weft_rows rows = make_rows();
    outcome alone = run(&g, &rows, backend, "1", "1", "1", more, n_more);
    static const char *const slots[] = {"1", "3", "8", "17"}, *const threads[] = {"1", "2"};
    /* Packs of one client, of some and of all; the slow backend shows the last. */
    static const char *const packs[] = {"4096", "150", "1"};
    const size_t n_packs = strcmp(backend, "ref") == 0 ? 1 : 3;
    int64_t fewest = alone.packs;
    for (size_t s = 0; s < 4; s++)
        for (size_t t = 0; t < 2; t++)
            for (size_t p = 0; p < n_packs; p++) {
                char name[96];
                (void)snprintf(name, sizeof name, "%s: %s slots, %s threads, packs of %s tokens",
                               backend, slots[s], threads[t], packs[p]);
                outcome packed =
                    run(&g, &rows, backend, slots[s], threads[t], packs[p], more, n_more);
                check_equal(name, &packed, &alone);
                if (packed.packs < fewest) fewest = packed.packs;
                free(packed.adapter);
            }
    assert_true(fewest * 4 < alone.packs); /* packs were indeed shared */
    free(alone.adapter);
    free((void *)(uintptr_t)rows.offset);
    free((void *)(uintptr_t)rows.token);
    free((void *)(uintptr_t)rows.label);
    golden_free(&g);
}

static void test_ref(void **state) {
    (void)state;
    check_backend("ref", NULL, 0);
}

static void test_cpu(void **state) {
    (void)state;
    check_backend("cpu", NULL, 0);
}

static void test_cpu_micro_batches(void **state) {
    (void)state;
    static const char *const more[] = {"client.micro_batch_size", "2",  "client.optimizer", "sgd",
                                       "client.momentum",         "0.9"};
    check_backend("cpu", more, 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ref),
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_cpu_micro_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
