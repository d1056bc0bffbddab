#include "tests/engine/kept_job.h"

#include "tests/golden/bert.h"

#include <stdlib.h>
#include <string.h>

static weft_status store_write(void *ud, int64_t record, const void *data, size_t bytes,
                               weft_error *err) {
    store *s = ud;
    assert_true(record >= 0 && record < MAX_RECORDS);
    assert_true(s->bytes == 0 || s->bytes == bytes);
    s->bytes = bytes;
    s->writes++;
    if (s->fail_write && s->writes >= s->fail_write)
        return WEFT_FAIL(err, WEFT_E_OUTPUT, "cannot write state.bin: no space");
    if (!s->record[record]) s->record[record] = malloc(bytes);
    memcpy(s->record[record], data, bytes);
    return WEFT_OK;
}

weft_status kept_store_read(void *ud, int64_t record, void *data, size_t bytes, weft_error *err) {
    store *s = ud;
    assert_true(record >= 0 && record < MAX_RECORDS);
    assert_non_null(s->record[record]); /* only what was written is read */
    assert_int_equal(bytes, s->bytes);
    s->reads++;
    if (s->fail_read && s->reads >= s->fail_read) {
        memset(data, 0x5a, bytes / 2);
        return WEFT_FAIL(err, WEFT_E_DATA, "state.bin is cut");
    }
    memcpy(data, s->record[record], bytes);
    return WEFT_OK;
}

static bool store_tick(void *ud, weft_phase phase, int64_t done, int64_t total) {
    store *s = ud;
    (void)phase, (void)done, (void)total;
    return ++s->ticks != s->stop_at;
}

static void store_free(store *s) {
    for (int i = 0; i < MAX_RECORDS; i++) free(s->record[i]);
    memset(s, 0, sizeof *s);
}

static const char *const usual[] = {"run.threads",
                                    "1",
                                    "run.seed",
                                    "7",
                                    "partition.kind",
                                    "quantity",
                                    "partition.alpha",
                                    "2",
                                    "fl.num_clients",
                                    "17",
                                    "fl.clients_per_round",
                                    "11",
                                    "fl.num_rounds",
                                    "5",
                                    "fl.strategy",
                                    "fedavg",
                                    "client.batch_size",
                                    "4",
                                    "client.learning_rate",
                                    "5e-3",
                                    "client.max_grad_norm",
                                    "1",
                                    "lora.dropout",
                                    "0.1",
                                    "client.optimizer_state",
                                    "keep"};

void kept_prepare_rows(job *j, const char *const *pairs, size_t n, bool with_store,
                       int64_t n_rows) {
    weft_error err = {0};
    memset(j, 0, sizeof *j);
    assert_true(golden_load(WEFT_TEST_DIR "/golden", &golden_bert, &j->golden));
    j->rows = golden_ragged_rows(ROWS, 12, 1);
    j->rows.n_rows = n_rows;
    j->config = golden_config(&golden_bert);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i += 2)
        check_ok(weft_config_set(j->config, usual[i], usual[i + 1], NULL, &err), &err);
    golden_set_options(j->config, pairs, n);
    check_ok(weft_partition_build(&j->part, j->config, &j->rows, &err), &err);
    j->options = (weft_engine_options)WEFT_ENGINE_OPTIONS_INIT;
    j->options.config = j->config, j->options.model = golden_source(&j->golden);
    j->options.train = j->options.test = &j->rows, j->options.partition = j->part;
    j->options.hooks.ud = &j->store;
    j->options.hooks.tick = store_tick;
    if (with_store)
        j->options.hooks.store_write = store_write, j->options.hooks.store_read = kept_store_read;
}

void kept_prepare(job *j, const char *const *pairs, size_t n, bool with_store) {
    kept_prepare_rows(j, pairs, n, with_store, ROWS);
}

void kept_start(job *j) {
    weft_error err = {0};
    check_ok(weft_engine_open(&j->engine, &j->options, &err), &err);
    weft_engine_info_get(j->engine, &j->info);
}

void kept_finish(job *j) {
    weft_engine_close(j->engine);
    weft_partition_free(j->part);
    weft_config_free(j->config);
    golden_rows_free(&j->rows);
    golden_free(&j->golden);
    store_free(&j->store);
}

weft_round_report kept_round(job *j) {
    weft_error err = {0};
    weft_round_report report;
    check_ok(weft_engine_round(j->engine, &report, &err), &err);
    return report;
}

float *kept_adapter(job *j) {
    weft_error err = {0};
    float *flat = calloc((size_t)j->info.adapter_size, sizeof *flat);
    check_ok(weft_engine_adapter_read(j->engine, flat, &err), &err);
    return flat;
}
