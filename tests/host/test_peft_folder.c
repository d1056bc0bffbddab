/* labels: unit golden */
/* The adapter in tests/golden/peft_bert was saved by real PEFT: what we read from it and write
 * again must be the same file. */
#include "host/peft_folder.h"

#include "host/atomic_file.h"
#include "host/json_util.h"
#include "host/safetensors.h"
#include "tests/host/temp_folder.h"

#include <errno.h>

#define GOLDEN WEFT_TEST_DIR "/golden/"

static weft_error err;

static const wh_peft_info bert_info = {
    .base_model = "hf_bert",
    .task_type = "SEQ_CLS",
    .r = 4,
    .alpha = 8,
    .target_modules = "query,key,value,dense",
    .modules_to_save = "classifier,score",
};

/* ---- the views of the recorded BERT: 2 layers, hidden 32, intermediate 64, 3 labels, r 4 ---- */

enum { N_VIEWS = 2 * 13 + 2, FLAT = 8192 };
static weft_view views[N_VIEWS];
static char module_name[13][64];
static float flat[FLAT];

static int64_t add_view(int at, const char *module, const char *tensor, int64_t rows, int64_t cols,
                        int64_t offset) {
    views[at] = (weft_view){.module = module,
                            .tensor = tensor,
                            .ndim = rows ? 2 : 1,
                            .dim = {rows ? rows : cols, rows ? cols : 0},
                            .offset = offset,
                            .is_saved_module = strncmp(tensor, "lora", 4) != 0};
    return (offset + (rows ? rows : 1) * cols + 15) / 16 * 16; /* gaps, as the engine's alignment */
}

static void build_views(void) {
    static const struct {
        const char *name;
        int64_t in, out;
    } linears[] = {{"attention.self.query", 32, 32}, {"attention.self.key", 32, 32},
                   {"attention.self.value", 32, 32}, {"attention.output.dense", 32, 32},
                   {"intermediate.dense", 32, 64},   {"output.dense", 64, 32}};
    int n = 0;
    int64_t at = 0;
    for (int m = 0; m < 13; m++) {
        const int64_t in = m < 12 ? linears[m % 6].in : 32, out = m < 12 ? linears[m % 6].out : 32;
        if (m < 12)
            (void)snprintf(module_name[m], sizeof module_name[m], "bert.encoder.layer.%d.%s", m / 6,
                           linears[m % 6].name);
        else
            (void)snprintf(module_name[m], sizeof module_name[m], "bert.pooler.dense");
        at = add_view(n++, module_name[m], "lora_A.weight", 4, in, at);
        at = add_view(n++, module_name[m], "lora_B.weight", out, 4, at);
    }
    at = add_view(n++, "classifier", "weight", 3, 32, at);
    at = add_view(n++, "classifier", "bias", 0, 3, at);
    assert_int_equal(n, N_VIEWS);
    assert_true(at <= FLAT);
}

static int setup(void **state) {
    build_views();
    return temp_setup(state);
}

static weft_status import_bert(const char *folder) {
    return wh_peft_import(folder, &bert_info, views, N_VIEWS, flat, &err);
}

static weft_status export_bert(const char *folder) {
    return wh_peft_export(folder, &bert_info, views, N_VIEWS, flat, &err);
}

/* ---- round trip with PEFT's own files ---- */

static void test_peft_file_comes_back_byte_for_byte(void **state) {
    (void)state;
    size_t n = 0, m = 0;
    check_ok(import_bert(GOLDEN "peft_bert"), &err);
    check_ok(export_bert(temp_path("adapter")), &err);
    char *theirs = temp_read(GOLDEN "peft_bert/adapter_model.safetensors", &n);
    char *ours = temp_read(temp_path("adapter/adapter_model.safetensors"), &m);
    assert_int_equal(n, m);
    check_same("adapter_model.safetensors", ours, theirs, n);
    free(theirs);
    free(ours);
    assert_int_equal(temp_count(temp_path("adapter")), 3);
    check_ok(export_bert(temp_path("adapter")), &err); /* again, over itself */
    check_ok(import_bert(temp_path("adapter")), &err);
}

static bool same_set(const json_t *a, const json_t *b) {
    bool same = json_array_size(a) == json_array_size(b);
    for (size_t i = 0; same && i < json_array_size(a); i++) {
        bool found = false;
        for (size_t j = 0; j < json_array_size(b); j++)
            found = found || json_equal(json_array_get(a, i), json_array_get(b, j));
        same = found;
    }
    return same;
}

static void test_config_says_what_peft_says(void **state) {
    (void)state;
    json_t *theirs = NULL, *ours = NULL, *value;
    const char *key, *before = "";
    check_ok(import_bert(GOLDEN "peft_bert"), &err);
    check_ok(export_bert(temp_path("adapter")), &err);
    check_ok(wh_json_load(&theirs, GOLDEN "peft_bert/adapter_config.json", 1 << 20, &err), &err);
    check_ok(wh_json_load(&ours, temp_path("adapter/adapter_config.json"), 1 << 20, &err), &err);
    assert_int_equal(json_object_size(ours), 18);
    json_object_foreach(ours, key, value) {
        json_t *want = json_object_get(theirs, key);
        bool same = json_is_array(want) ? same_set(value, want) : json_equal(value, want);
        if (!same) print_error("adapter_config.json: %s differs\n", key);
        assert_true(same);
        assert_true(strcmp(before, key) < 0);
        before = key;
    }
    json_decref(theirs);
    json_decref(ours);
}

static void test_gaps_stay_untouched(void **state) {
    (void)state;
    for (int i = 0; i < FLAT; i++) flat[i] = 123.0f;
    check_ok(import_bert(GOLDEN "peft_bert"), &err);
    const weft_view *bias = &views[N_VIEWS - 1];
    assert_true(flat[bias->offset + 2] < 100.0f);
    assert_true(flat[bias->offset + 3] > 100.0f);
}

/* ---- altered copies ---- */

typedef struct copy_of {
    wh_safetensors *file;
    wh_tensor_out tensor[N_VIEWS + 2];
    size_t n;
} copy_of;

static copy_of load_copy(void) {
    copy_of c = {0};
    check_ok(wh_safetensors_open(&c.file, GOLDEN "peft_bert/adapter_model.safetensors", &err),
             &err);
    for (; c.n < wh_safetensors_count(c.file); c.n++) {
        const wh_tensor_info *t = wh_safetensors_at(c.file, c.n);
        wh_tensor_out *o = &c.tensor[c.n];
        *o = (wh_tensor_out){.name = t->name, .dtype = t->dtype, .ndim = t->ndim};
        memcpy(o->dim, t->dim, sizeof o->dim);
        check_ok(wh_safetensors_data(c.file, t, &o->data, &err), &err);
    }
    return c;
}

static void save_copy(copy_of *c) {
    char *config = temp_read(GOLDEN "peft_bert/adapter_config.json", NULL);
    temp_text(temp_path("adapter_config.json"), config);
    free(config);
    check_ok(wh_safetensors_write(temp_path("adapter_model.safetensors"), c->tensor, c->n, &err),
             &err);
}

static void test_keys_of_older_versions(void **state) {
    (void)state;
    static char name[N_VIEWS][160];
    static float want[FLAT];
    check_ok(import_bert(GOLDEN "peft_bert"), &err);
    memcpy(want, flat, sizeof want);
    copy_of c = load_copy();
    for (size_t i = 0; i < c.n; i++) {
        const char *old = c.tensor[i].name, *dot = strrchr(old, '.');
        const char *mid = strstr(old, ".lora_") ? ".default" : ".modules_to_save.default";
        (void)snprintf(name[i], sizeof name[i], "%.*s%s%s", (int)(dot - old), old, mid, dot);
        c.tensor[i].name = name[i];
    }
    save_copy(&c);
    memset(flat, 0, sizeof flat);
    check_ok(import_bert(temp_folder), &err);
    for (int v = 0; v < N_VIEWS; v++)
        check_same(views[v].module, flat + views[v].offset, want + views[v].offset, 12);
    wh_safetensors_close(c.file);
}

static void test_wrong_tensors(void **state) {
    (void)state;
    static float before[FLAT];
    memcpy(before, flat, sizeof before);
    copy_of c = load_copy();
    wh_tensor_out keep = c.tensor[0];
    c.tensor[0].dim[0] = keep.dim[1], c.tensor[0].dim[1] = keep.dim[0];
    save_copy(&c);
    check_fails(import_bert(temp_folder), WEFT_E_DATA, &err,
                "has shape (32, 4), this model needs (4, 32)");
    c.tensor[0] = keep;
    c.tensor[0].name = "base_model.model.bert.encoder.layer.9.output.dense.lora_A.weight";
    save_copy(&c);
    check_fails(import_bert(temp_folder), WEFT_E_DATA, &err,
                "layer.9.output.dense.lora_A.weight belongs");
    c.tensor[0].name = "bert.encoder.layer.0.output.dense.lora_A.weight";
    save_copy(&c);
    check_fails(import_bert(temp_folder), WEFT_E_DATA, &err,
                "does not begin with base_model.model.");
    c.tensor[0] = keep;
    c.tensor[c.n] = keep;
    c.tensor[c.n].name =
        "base_model.model.bert.encoder.layer.0.attention.output.dense.lora_A.x.weight";
    c.n++;
    save_copy(&c);
    check_fails(import_bert(temp_folder), WEFT_E_DATA, &err, "are the same weight");
    c.n -= 2;
    save_copy(&c);
    check_fails(import_bert(temp_folder), WEFT_E_DATA, &err,
                "no tensor base_model.model.classifier.weight");
    c.n++;
    c.tensor[0].dtype = WEFT_I32;
    save_copy(&c);
    check_fails(import_bert(temp_folder), WEFT_E_DATA, &err, "dtype I32");
    check_same("flat", flat, before, sizeof before); /* nothing was written by the failures */
    wh_safetensors_close(c.file);
}

static void test_wrong_settings(void **state) {
    (void)state;
    static const struct {
        const char *key, *json, *message;
    } cases[] = {
        {"peft_type", "\"LOHA\"", "peft_type is \"LOHA\""},
        {"task_type", "\"CAUSAL_LM\"", "task_type is \"CAUSAL_LM\""},
        {"r", "8", "set lora.r=8"},
        {"r", "\"x\"", "r must be an integer"},
        {"lora_alpha", "16", "set lora.alpha=16"},
        {"use_rslora", "true", "lora.use_rslora=true"},
        {"bias", "\"all\"", "bias is \"all\""},
        {"use_dora", "true", "use_dora is true"},
        {"lora_bias", "true", "lora_bias is true"},
        {"fan_in_fan_out", "true", "fan_in_fan_out is true"},
        {"rank_pattern", "{\"query\": 2}", "rank_pattern is {\"query\": 2}"},
        {"alpha_pattern", "{\"query\": 2}", "alpha_pattern"},
        {"layers_to_transform", "[0]", "layers_to_transform is [0]"},
        {"trainable_token_indices", "[1, 2]", "trainable_token_indices"},
        {"some_new_method", "{\"x\": 1}", "some_new_method is {\"x\": 1}"},
        {"init_lora_weights", "\"pissa\"", "changes the base weights"},
        {NULL, NULL, NULL},
    };
    copy_of c = load_copy();
    for (int i = 0; cases[i].key; i++) {
        save_copy(&c);
        json_t *config = NULL, *value = json_loads(cases[i].json, JSON_DECODE_ANY, NULL);
        check_ok(wh_json_load(&config, temp_path("adapter_config.json"), 1 << 20, &err), &err);
        (void)json_object_set_new(config, cases[i].key, value);
        check_ok(wh_json_save(temp_path("adapter_config.json"), config, &err), &err);
        json_decref(config);
        check_fails(import_bert(temp_folder), WEFT_E_DATA, &err, cases[i].message);
    }
    (void)unlink(temp_path("adapter_config.json"));
    check_fails(import_bert(temp_folder), WEFT_E_DATA, &err, "adapter_config.json");
    save_copy(&c);
    (void)unlink(temp_path("adapter_model.safetensors"));
    check_fails(import_bert(temp_folder), WEFT_E_DATA, &err, "adapter_model.safetensors");
    temp_text(temp_path("adapter_config.json"), "[]");
    check_fails(import_bert(temp_folder), WEFT_E_DATA, &err, "JSON object");
    wh_safetensors_close(c.file);
}

/* ---- failing exports ---- */

static void test_failed_export_leaves_nothing(void **state) {
    (void)state;
    wh_file_fault(0, 0);
    check_ok(export_bert(temp_path("adapter")), &err);
    int64_t n = wh_file_operations();
    assert_int_equal(temp_teardown(state), 0);
    assert_int_equal(mkdir(temp_folder, 0777), 0);
    for (int64_t i = 1; i <= n; i++) {
        wh_file_fault(i, ENOSPC);
        weft_status st = export_bert(temp_path("adapter"));
        wh_file_fault(0, 0);
        check_fails(st, WEFT_E_OUTPUT, &err, "No space left");
        assert_false(temp_exists(temp_path("adapter")));
    }
    temp_text(temp_path("file"), "x");
    check_fails(export_bert(temp_path("file/adapter")), WEFT_E_OUTPUT, &err, "is a file");
}

static void test_head_only(void **state) {
    (void)state;
    wh_peft_info info = bert_info;
    info.r = 0;
    check_ok(wh_peft_export(temp_folder, &info, views + N_VIEWS - 2, 2, flat, &err), &err);
    check_ok(wh_peft_import(temp_folder, &info, views + N_VIEWS - 2, 2, flat, &err), &err);
    check_fails(import_bert(temp_folder), WEFT_E_DATA, &err, "r is 0");
    char *card = temp_read(temp_path("README.md"), NULL);
    assert_non_null(strstr(card, "PEFT does not"));
    free(card);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, temp_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_peft_file_comes_back_byte_for_byte),
        TEST(test_config_says_what_peft_says),
        TEST(test_gaps_stay_untouched),
        TEST(test_keys_of_older_versions),
        TEST(test_wrong_tensors),
        TEST(test_wrong_settings),
        TEST(test_failed_export_leaves_nothing),
        TEST(test_head_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
