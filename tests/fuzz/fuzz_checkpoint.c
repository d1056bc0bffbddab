/* Checkpoints: state.json, a NUL byte, state.safetensors, into small engines that keep different
 * things: server moments and clients' optimizer state; theta and the adapter before the last round
 * (FDA-Opt, linear); optimizer state and who took part before (FDA, sketch). A refusal leaves the
 * engine as new; what is taken over and saved again is the same bytes, and a round can follow it.
 * Identity and checksum keep damaged files out, so they are also tried with fitting ones, for what
 * lies behind. The note is read as a run that goes on reads it, and written again. */
#include "engine/fingerprint.h"
#include "host/checkpoint.h"
#include "host/model_folder.h"
#include "host/train_note.h"
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

static wh_model_folder *model;

/* ---- engines ---- */

typedef struct setting {
    const char *key, *value;
} setting;

enum { COMMON = 7, OWN = 6 };
static const setting common[COMMON] = {
    {"fl.num_clients", "3"},     {"lora.r", "1"},      {"lora.target_modules", "query"},
    {"run.device", "cpu"},       {"run.threads", "1"}, {"client.batch_size", "1"},
    {"client.local_epochs", "1"}};

typedef struct kind {
    setting own[OWN];
    weft_config *config;
    weft_partition *partition;
    weft_engine *engine;
} kind;

static kind kinds[] = {
    {.own = {{"fl.clients_per_round", "3"},
             {"fl.strategy", "fedadam"},
             {"client.optimizer_state", "keep"}}},
    {.own = {{"fl.clients_per_round", "2"},
             {"fl.sync", "fda-opt"},
             {"fda.estimator", "linear"},
             {"fda.max_checks", "2"}}},
    {.own = {{"fl.clients_per_round", "2"},
             {"fl.sync", "fda"},
             {"fda.theta", "1e-9"},
             {"fda.sketch_width", "4"},
             {"fda.max_checks", "2"},
             {"client.optimizer_state", "keep"}}},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static void close_all(void) {
    for (size_t i = 0; i < KINDS; i++) {
        weft_engine_close(kinds[i].engine);
        weft_partition_free(kinds[i].partition);
        weft_config_free(kinds[i].config);
    }
    wh_model_folder_close(model);
}

static void set_all(weft_config *config, const setting *s, size_t n) {
    weft_error err = {0};
    for (size_t i = 0; i < n && s[i].key; i++)
        FUZZ_CHECK(weft_config_set(config, s[i].key, s[i].value, NULL, &err) == WEFT_OK, "%s",
                   err.text);
}

static void open_engine(kind *k) {
    weft_error err = {0};
    if (!model) {
        (void)atexit(close_all);
        FUZZ_CHECK(wh_model_folder_open(&model, WEFT_TEST_DIR "/golden/hf_bert", true, &err) ==
                       WEFT_OK,
                   "%s", err.text);
    }
    if (!k->config) {
        FUZZ_CHECK(weft_config_new(&k->config, &err) == WEFT_OK, "%s", err.text);
        set_all(k->config, common, COMMON);
        set_all(k->config, k->own, OWN);
        FUZZ_CHECK(weft_config_finish(k->config, &err) == WEFT_OK &&
                       weft_partition_build(&k->partition, k->config, &rows, &err) == WEFT_OK,
                   "%s", err.text);
    }
    weft_engine_close(k->engine);
    k->engine = NULL;
    weft_engine_options options = WEFT_ENGINE_OPTIONS_INIT;
    options.config = k->config;
    options.model = wh_model_folder_source(model);
    options.train = &rows;
    options.partition = k->partition;
    FUZZ_CHECK(weft_engine_open(&k->engine, &options, &err) == WEFT_OK, "%s", err.text);
}

/* ---- state ---- */

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

static void check_saved(weft_engine *engine, const weft_state *was, wh_safetensors *file) {
    weft_error err = {0};
    weft_state now = {0};
    wh_text saved = {0};
    FUZZ_CHECK(weft_engine_state_save(engine, &now, compare, &saved, &err) == WEFT_OK, "%s",
               err.text);
    FUZZ_CHECK(now.rounds_done == was->rounds_done, "round %lld", (long long)now.rounds_done);
    FUZZ_CHECK(now.local_steps_total == was->local_steps_total &&
                   memcmp(&now.theta, &was->theta, sizeof now.theta) == 0 &&
                   memcmp(&now.wire_total, &was->wire_total, sizeof now.wire_total) == 0,
               "%lld local steps, theta %g", (long long)now.local_steps_total, now.theta);
    size_t at = 0;
    for (int32_t i = 0; i < now.n_tensors; i++) {
        const wh_tensor_info *t = wh_safetensors_find(file, now.tensor[i].name);
        const void *data = NULL;
        FUZZ_CHECK(t && wh_safetensors_data(file, t, &data, &err) == WEFT_OK, "no %s",
                   now.tensor[i].name);
        FUZZ_CHECK(at + t->bytes <= saved.len && memcmp(saved.data + at, data, t->bytes) == 0,
                   "%s came back differently", t->name);
        at += t->bytes;
    }
    FUZZ_CHECK(at == saved.len, "%zu bytes came back as %zu", at, saved.len);
    wh_text_free(&saved);
}

/* Adapters and moments may be any numbers, so that training may fail, but only like this. */
static void check_round(weft_engine *engine, const weft_state *was) {
    weft_error err = {0};
    weft_round_report report;
    const weft_status st = weft_engine_round(engine, &report, &err);
    if (st == WEFT_E_DIVERGED) return;
    FUZZ_CHECK(st == WEFT_OK, "%s: %s", weft_status_str(st), err.text);
    FUZZ_CHECK(report.round == was->rounds_done + 1 && report.local_steps > 0 &&
                   report.local_steps_total == was->local_steps_total + report.local_steps,
               "round %lld of %lld local steps, %lld in all", (long long)report.round,
               (long long)report.local_steps, (long long)report.local_steps_total);
}

static void refused(weft_status st, const weft_error *err, const char *named) {
    FUZZ_CHECK(st == WEFT_E_RESUME, "%s: %s", weft_status_str(st), err->text);
    fuzz_refused(WEFT_E_DATA, err, named); /* its message, as of any other bad file */
}

static void restore(kind *k, wh_checkpoint *c) {
    weft_error err = {0};
    weft_state fresh, was = c->state;
    weft_status st = wh_checkpoint_restore(c, k->engine, &err);
    if (st != WEFT_OK) {
        refused(st, &err, "");
        FUZZ_CHECK(weft_engine_state(k->engine, &fresh, &err) == WEFT_OK && fresh.rounds_done == 0,
                   "a refused state changed the engine");
        source s = {.file = c->tensors};
        was.identity = fresh.identity;
        st = weft_engine_state_load(k->engine, &was, read_tensor, &s, &err);
        if (st != WEFT_OK) {
            was.checksum = s.checksum;
            st = weft_engine_state_load(k->engine, &was, read_tensor, &s, &err);
        }
        if (st != WEFT_OK) refused(st, &err, "");
    }
    if (st != WEFT_OK) return;
    check_saved(k->engine, &was, c->tensors);
    check_round(k->engine, &was);
    open_engine(k);
}

/* ---- note ---- */

static void run_init(wh_train_run *run, wh_job *job, const kind *k) {
    *job = (wh_job){.config = k->config, .partition = k->partition};
    *run = (wh_train_run){.job = job};
    run->summary.clients_per_round = (int32_t)weft_config_int(k->config, "fl.clients_per_round");
    weft_engine_info_get(k->engine, &run->info);
}

/* What a run would write: without the time that has passed since. *Own*ed. */
static json_t *written(const wh_train_run *run) {
    json_t *files = json_object(), *note = wh_train_note(run, files);
    FUZZ_CHECK(note, "no memory for a note");
    (void)json_object_del(json_object_get(note, "summary"), "seconds_total");
    json_decref(files);
    return note;
}

static void run_free(wh_train_run *run) {
    free(run->pending_clients);
    free(run->pending_checks);
}

static void check_note(const kind *k, const json_t *note, const char *where) {
    weft_error err = {0};
    wh_job job;
    wh_train_run run, again;
    run_init(&run, &job, k);
    const weft_status st = wh_train_note_read(&run, note, where, &err);
    if (st != WEFT_OK) {
        fuzz_refused(st, &err, where);
        run_free(&run);
        return;
    }
    FUZZ_CHECK(!run.is_pending || (run.pending.n_clients == run.summary.clients_per_round &&
                                   (run.pending.n_checks > 0) == wh_job_has_checks(&job)),
               "%d clients, %d checks", run.pending.n_clients, run.pending.n_checks);
    json_t *first = written(&run), *second = NULL;
    run_init(&again, &job, k);
    const weft_status back = wh_train_note_read(&again, first, where, &err);
    FUZZ_CHECK(back == WEFT_E_DATA || back == WEFT_OK, "%s", weft_status_str(back));
    FUZZ_CHECK(back == WEFT_OK, "a note written again: %s", err.text);
    second = written(&again);
    FUZZ_CHECK(json_equal(first, second), "a note came back differently");
    json_decref(second);
    json_decref(first);
    run_free(&again);
    run_free(&run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (size_t i = 0; i < KINDS; i++)
        if (!kinds[i].engine) open_engine(&kinds[i]);
    const uint8_t *tensors;
    size_t n_tensors, n_json = fuzz_split(data, size, &tensors, &n_tensors);
    char folder[128];
    const char *path = fuzz_file("round_000001/state.json", data, n_json);
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    (void)fuzz_file("round_000001/state.safetensors", tensors, n_tensors);
    weft_error err = {0};
    wh_checkpoint c = {0};
    weft_status st = wh_checkpoint_open(&c, folder, &err);
    if (st != WEFT_OK) refused(st, &err, "state.");
    for (size_t i = 0; st == WEFT_OK && i < KINDS; i++) {
        check_note(&kinds[i], c.note, folder);
        restore(&kinds[i], &c);
    }
    wh_checkpoint_close(&c);
    return 0;
}
