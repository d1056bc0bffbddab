/* Checkpoints: state.json, a NUL byte, state.safetensors, into a small engine whose clients keep
 * their optimizer state. A refusal leaves the engine as new; what is taken over and saved again is
 * the same bytes. Identity and checksum keep damaged files out, so they are also tried with fitting
 * ones, for what lies behind. */
#include "engine/fingerprint.h"
#include "host/checkpoint.h"
#include "host/model_folder.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 6 };
static const int64_t offset[ROWS + 1] = {0, 3, 6, 9, 12, 15, 18};
static const int32_t token[18] = {2, 7, 3, 2, 8, 3, 2, 9, 3, 2, 10, 3, 2, 11, 3, 2, 12, 3};
static const int32_t label[ROWS] = {0, 1, 2, 0, 1, 2};
static const weft_rows rows = {
    .n_rows = ROWS, .offset = offset, .token = token, .label = label, .num_labels = 3};

static weft_config *config;
static wh_model_folder *model;
static weft_partition *partition;
static weft_engine *engine;

static void close_all(void) {
    weft_engine_close(engine);
    weft_partition_free(partition);
    wh_model_folder_close(model);
    weft_config_free(config);
}

static void open_engine(void) {
    static const char *const settings[][2] = {{"fl.num_clients", "3"},
                                              {"fl.clients_per_round", "3"},
                                              {"lora.r", "1"},
                                              {"lora.target_modules", "query"},
                                              {"fl.strategy", "fedadam"},
                                              {"client.optimizer_state", "keep"},
                                              {"run.device", "cpu"},
                                              {"run.threads", "1"}};
    weft_error err = {0};
    if (!config) {
        (void)atexit(close_all);
        weft_status st = weft_config_new(&config, &err);
        for (size_t i = 0; st == WEFT_OK && i < sizeof settings / sizeof *settings; i++)
            st = weft_config_set(config, settings[i][0], settings[i][1], NULL, &err);
        if (st == WEFT_OK) st = weft_config_finish(config, &err);
        if (st == WEFT_OK) st = weft_partition_build(&partition, config, &rows, &err);
        if (st == WEFT_OK)
            st = wh_model_folder_open(&model, WEFT_TEST_DIR "/golden/hf_bert", true, &err);
        FUZZ_CHECK(st == WEFT_OK, "%s", err.text);
    }
    weft_engine_close(engine);
    engine = NULL;
    weft_engine_options options = WEFT_ENGINE_OPTIONS_INIT;
    options.config = config;
    options.model = wh_model_folder_source(model);
    options.train = &rows;
    options.partition = partition;
    FUZZ_CHECK(weft_engine_open(&engine, &options, &err) == WEFT_OK, "%s", err.text);
}

/* The tensors of a file, and the checksum of what was asked of them. */
typedef struct source {
    wh_safetensors *file;
    uint64_t checksum;
} source;

static weft_status read_tensor(void *ud, int32_t tensor, uint64_t at, void *data, size_t bytes,
                               weft_error *err) {
    source *s = ud;
    const wh_tensor_info *t = wh_safetensors_at(s->file, (size_t)tensor);
    const void *from = NULL;
    FUZZ_CHECK(t && at <= t->bytes && bytes <= t->bytes - at, "bytes outside of tensor %d",
               (int)tensor);
    WEFT_TRY(wh_safetensors_data(s->file, t, &from, err));
    memcpy(data, (const char *)from + at, bytes);
    s->checksum = we_fingerprint(s->checksum, data, bytes);
    return WEFT_OK;
}

/* Compares what is saved with the file, whose tensors stand in the same order. */
static weft_status compare(void *ud, const void *data, size_t bytes, weft_error *err) {
    wh_text *saved = ud;
    (void)err;
    wh_text_add_n(saved, data, bytes);
    return WEFT_OK;
}

static void check_saved(wh_checkpoint *c) {
    weft_error err = {0};
    weft_state now = {0};
    wh_text saved = {0};
    FUZZ_CHECK(weft_engine_state_save(engine, &now, compare, &saved, &err) == WEFT_OK, "%s",
               err.text);
    FUZZ_CHECK(now.rounds_done == c->state.rounds_done, "round %lld", (long long)now.rounds_done);
    FUZZ_CHECK(now.local_steps_total == c->state.local_steps_total &&
                   memcmp(&now.theta, &c->state.theta, sizeof now.theta) == 0 &&
                   memcmp(&now.wire_total, &c->state.wire_total, sizeof now.wire_total) == 0,
               "%lld local steps, theta %g", (long long)now.local_steps_total, now.theta);
    size_t at = 0;
    for (int32_t i = 0; i < now.n_tensors; i++) {
        const wh_tensor_info *t = wh_safetensors_find(c->tensors, now.tensor[i].name);
        const void *data = NULL;
        FUZZ_CHECK(t && wh_safetensors_data(c->tensors, t, &data, &err) == WEFT_OK, "no %s",
                   now.tensor[i].name);
        FUZZ_CHECK(at + t->bytes <= saved.len && memcmp(saved.data + at, data, t->bytes) == 0,
                   "%s came back differently", t->name);
        at += t->bytes;
    }
    FUZZ_CHECK(at == saved.len, "%zu bytes came back as %zu", at, saved.len);
    wh_text_free(&saved);
}

static void refused(weft_status st, const weft_error *err, const char *named) {
    FUZZ_CHECK(st == WEFT_E_RESUME, "%s: %s", weft_status_str(st), err->text);
    fuzz_refused(WEFT_E_DATA, err, named); /* its message, as of any other bad file */
}

static void restore(wh_checkpoint *c) {
    weft_error err = {0};
    weft_state fresh;
    weft_status st = wh_checkpoint_restore(c, engine, &err);
    if (st != WEFT_OK) {
        refused(st, &err, "");
        FUZZ_CHECK(weft_engine_state(engine, &fresh, &err) == WEFT_OK && fresh.rounds_done == 0,
                   "a refused state changed the engine");
        source s = {.file = c->tensors};
        c->state.identity = fresh.identity;
        st = weft_engine_state_load(engine, &c->state, read_tensor, &s, &err);
        if (st != WEFT_OK) {
            c->state.checksum = s.checksum;
            st = weft_engine_state_load(engine, &c->state, read_tensor, &s, &err);
        }
        if (st != WEFT_OK) refused(st, &err, "");
    }
    if (st != WEFT_OK) return;
    check_saved(c);
    open_engine();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!engine) open_engine();
    const uint8_t *tensors;
    size_t n_tensors, n_json = fuzz_split(data, size, &tensors, &n_tensors);
    char folder[128];
    const char *path = fuzz_file("round_000001/state.json", data, n_json);
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    (void)fuzz_file("round_000001/state.safetensors", tensors, n_tensors);
    weft_error err = {0};
    wh_checkpoint c = {0};
    weft_status st = wh_checkpoint_open(&c, folder, &err);
    if (st == WEFT_OK)
        restore(&c);
    else
        refused(st, &err, "state.");
    wh_checkpoint_close(&c);
    return 0;
}
