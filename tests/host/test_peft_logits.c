/* labels: golden */
/* A real Hugging Face folder, an adapter saved by real PEFT and raw token ids give the logits that
 * transformers and peft gave (tests/golden/peft_logits.json). */
#include "host/json_util.h"
#include "host/model_folder.h"
#include "host/peft_folder.h"
#include "tests/check.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN   WEFT_TEST_DIR "/golden/"
#define MAX_ROWS 16
#define MAX_IDS  512

/* The recorded batch as rows, and its logits. */
typedef struct batch {
    weft_rows rows;
    int64_t offset[MAX_ROWS + 1];
    int32_t token[MAX_IDS], label[MAX_ROWS];
    uint8_t type[MAX_IDS];
    float want[MAX_ROWS * 3], got[MAX_ROWS * 3];
} batch;

static void read_batch(batch *b, const json_t *set) {
    const json_t *ids = json_object_get(set, "input_ids"),
                 *types = json_object_get(set, "token_type_ids"),
                 *logits = json_object_get(set, "logits");
    size_t n = json_array_size(ids);
    assert_in_range(n, 1, MAX_ROWS);
    int64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(ids, i), *kinds = json_array_get(types, i);
        for (size_t t = 0; t < json_array_size(row); t++, at++) {
            assert_in_range(at, 0, MAX_IDS - 1);
            b->token[at] = (int32_t)json_integer_value(json_array_get(row, t));
            b->type[at] = (uint8_t)json_integer_value(json_array_get(kinds, t));
        }
        b->offset[i + 1] = at;
        for (size_t c = 0; c < 3; c++)
            b->want[3 * i + c] =
                (float)json_real_value(json_array_get(json_array_get(logits, i), c));
    }
    b->rows = (weft_rows){.n_rows = (int64_t)n,
                          .offset = b->offset,
                          .token = b->token,
                          .type = types ? b->type : NULL,
                          .label = b->label,
                          .num_labels = 3};
}

static void keep(void *ud, int64_t row, const float *logits, int32_t n) {
    batch *b = ud;
    assert_int_equal(n, 3);
    memcpy(b->got + 3 * row, logits, 3 * sizeof *logits);
}

static void import(weft_engine *engine, const char *folder, bool rslora) {
    weft_error err = {0};
    weft_engine_info info;
    weft_engine_info_get(engine, &info);
    weft_view *views = calloc((size_t)info.n_views, sizeof *views);
    float *flat = calloc((size_t)info.adapter_size, sizeof *flat);
    for (int32_t i = 0; i < info.n_views; i++) views[i] = *weft_engine_view(engine, i);
    wh_peft_info expected = {.task_type = "SEQ_CLS",
                             .r = info.lora_r,
                             .alpha = info.lora_alpha,
                             .use_rslora = rslora,
                             .target_modules = info.target_modules,
                             .modules_to_save = info.modules_to_save};
    check_ok(wh_peft_import(folder, &expected, views, info.n_views, flat, &err), &err);
    check_ok(weft_engine_adapter_write(engine, flat, &err), &err);
    free(views);
    free(flat);
}

static void check_set(const char *name, const char *targets, bool rslora, const char *backend) {
    weft_error err = {0};
    json_t *all = NULL;
    check_ok(wh_json_load(&all, GOLDEN "peft_logits.json", 1 << 20, &err), &err);
    const json_t *set = json_object_get(all, name);
    assert_non_null(set);
    batch *b = calloc(1, sizeof *b);
    read_batch(b, set);

    char path[512];
    (void)snprintf(path, sizeof path, GOLDEN "%s",
                   json_string_value(json_object_get(set, "model")));
    wh_model_folder *model = NULL;
    check_ok(wh_model_folder_open(&model, path, true, &err), &err);
    weft_config *config = NULL;
    check_ok(weft_config_new(&config, &err), &err);
    const char *const options[][2] = {{"lora.r", "4"},
                                      {"lora.alpha", "8"},
                                      {"lora.use_rslora", rslora ? "true" : "false"},
                                      {"lora.target_modules", targets},
                                      {"run.device", backend},
                                      {"run.threads", "1"}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        check_ok(weft_config_set(config, options[i][0], options[i][1], NULL, &err), &err);
    check_ok(weft_config_finish(config, &err), &err);

    weft_engine_options o = WEFT_ENGINE_OPTIONS_INIT;
    o.config = config;
    o.model = wh_model_folder_source(model);
    o.test = &b->rows;
    weft_engine *engine = NULL;
    check_ok(weft_engine_open(&engine, &o, &err), &err);
    (void)snprintf(path, sizeof path, GOLDEN "%s",
                   json_string_value(json_object_get(set, "adapter")));
    import(engine, path, rslora);
    weft_eval_options eval = {.split = WEFT_SPLIT_TEST, .output = keep, .ud = b};
    weft_metrics metrics;
    check_ok(weft_engine_eval(engine, &eval, &metrics, &err), &err);
    check_close(name, b->got, b->want, 3 * b->rows.n_rows, 1e-5);

    weft_engine_close(engine);
    weft_config_free(config);
    wh_model_folder_close(model);
    free(b);
    json_decref(all);
}

static void test_bert(void **state) {
    (void)state;
    check_set("bert", "all-linear", false, "cpu");
    check_set("bert", "all-linear", false, "ref");
}

static void test_roberta(void **state) {
    (void)state;
    check_set("roberta", "all-linear", true, "cpu");
    check_set("roberta", "all-linear", true, "ref");
}

static void test_distilbert(void **state) {
    (void)state;
    check_set("distilbert", "q_lin,v_lin,lin1", false, "cpu");
    check_set("distilbert", "q_lin,v_lin,lin1", false, "ref");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bert),
        cmocka_unit_test(test_roberta),
        cmocka_unit_test(test_distilbert),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
