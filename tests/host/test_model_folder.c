/* labels: unit golden */
/* Folders written by transformers (tests/golden/hf_*) and bad ones made here. */
#include "host/model_folder.h"

#include "host/safetensors.h"
#include "tests/host/temp_folder.h"

#define GOLDEN WEFT_TEST_DIR "/golden/"

static weft_error err;

static weft_status open_and_close(const char *path) {
    wh_model_folder *m = NULL;
    weft_status st = wh_model_folder_open(&m, path, true, &err);
    if (st != WEFT_OK) assert_null(m);
    wh_model_folder_close(m);
    return st;
}

static void small_model(const char *folder) {
    static const float w[] = {1, 2};
    const wh_tensor_out t = {.name = "w", .dtype = WEFT_F32, .ndim = 1, .dim = {2}, .data = w};
    char path[300];
    (void)mkdir(folder, 0777);
    (void)snprintf(path, sizeof path, "%s/config.json", folder);
    temp_text(path, "{\"hidden_size\": 2}");
    (void)snprintf(path, sizeof path, "%s/model.safetensors", folder);
    check_ok(wh_safetensors_write(path, &t, 1, &err), &err);
}

static void test_config_is_flattened(void **state) {
    (void)state;
    wh_model_folder *m = NULL;
    temp_text(
        temp_path("config.json"),
        "{\"n\": 12, \"eps\": 1e-12, \"p\": 0.10, \"zero\": 0.0, \"on\": true, \"act\": \"gelu\", "
        "\"none\": null, \"arch\": [\"A\", \"B\"], \"id2label\": {\"0\": \"neg\", \"1\": \"pos\"}, "
        "\"rope\": {\"x\": {\"y\": -3}}}");
    check_ok(wh_model_folder_open(&m, temp_folder, false, &err), &err);
    static const char *const want[][2] = {
        {"n", "12"},           {"eps", "1e-12"},   {"p", "0.1"},
        {"zero", "0.0"},       {"on", "true"},     {"act", "gelu"},
        {"id2label.1", "pos"}, {"rope.x.y", "-3"}, {"arch", "[\"A\", \"B\"]"},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_string_equal(wh_model_folder_meta(m, want[i][0]), want[i][1]);
    assert_null(wh_model_folder_meta(m, "none"));
    assert_null(wh_model_folder_meta(m, "rope"));
    assert_null(wh_model_folder_meta(m, ""));
    weft_model_source source = wh_model_folder_source(m);
    assert_null(source.tensor);
    assert_string_equal(source.meta(source.ud, "n"), "12");
    wh_model_folder_close(m);
}

static size_t tensor_count(const wh_model_folder *m) {
    size_t n = 0;
    while (wh_model_folder_tensor_name(m, n)) n++;
    return n;
}

static void test_shards_equal_the_single_file(void **state) {
    (void)state;
    wh_model_folder *one = NULL, *many = NULL;
    check_ok(wh_model_folder_open(&one, GOLDEN "hf_bert", true, &err), &err);
    check_ok(wh_model_folder_open(&many, GOLDEN "hf_bert_sharded", true, &err), &err);
    weft_model_source a = wh_model_folder_source(one), b = wh_model_folder_source(many);
    assert_int_equal(tensor_count(one), tensor_count(many));
    assert_true(tensor_count(one) > 30);
    for (size_t i = 0; i < tensor_count(one); i++) {
        const char *name = wh_model_folder_tensor_name(one, i);
        weft_source_tensor x, y;
        check_ok(a.tensor(a.ud, name, &x, &err), &err);
        check_ok(b.tensor(b.ud, name, &y, &err), &err);
        assert_int_equal(x.dtype, y.dtype);
        assert_int_equal(x.ndim, y.ndim);
        assert_memory_equal(x.dim, y.dim, sizeof x.dim);
        size_t bytes = wh_dtype_bytes(x.dtype);
        for (int32_t d = 0; d < x.ndim; d++) bytes *= (size_t)x.dim[d];
        check_same(name, x.data, y.data, bytes);
    }
    weft_source_tensor absent = {.ndim = 9};
    check_ok(b.tensor(b.ud, "no.such.tensor", &absent, &err), &err);
    assert_null(absent.data);
    assert_string_equal(a.meta(a.ud, "model_type"), "bert");
    assert_string_equal(wh_model_folder_short_name(one), "hf_bert");
    char *vocab = wh_model_folder_file(one, "vocab.txt");
    assert_non_null(vocab);
    free(vocab);
    assert_null(wh_model_folder_file(one, "merges.txt"));
    wh_model_folder_close(one);
    wh_model_folder_close(many);
}

static void test_hub_cache(void **state) {
    (void)state;
    wh_model_folder *m = NULL;
    assert_int_equal(mkdir(temp_path("models--org--some-name"), 0777), 0);
    assert_int_equal(mkdir(temp_path("models--org--some-name/snapshots"), 0777), 0);
    const char *hub = temp_path("models--org--some-name");
    check_fails(open_and_close(hub), WEFT_E_DATA, &err, "holds 0 snapshots");
    small_model(temp_path("models--org--some-name/snapshots/aaa"));
    check_ok(wh_model_folder_open(&m, hub, true, &err), &err);
    assert_string_equal(wh_model_folder_id(m), "org/some-name");
    assert_string_equal(wh_model_folder_short_name(m), "some-name");
    assert_non_null(strstr(wh_model_folder_path(m), "/snapshots/aaa"));
    wh_model_folder_close(m);
    small_model(temp_path("models--org--some-name/snapshots/bbb"));
    check_fails(open_and_close(hub), WEFT_E_DATA, &err, "holds 2 snapshots");
    assert_int_equal(mkdir(temp_path("models--org--some-name/refs"), 0777), 0);
    temp_text(temp_path("models--org--some-name/refs/main"), "bbb\n");
    check_ok(wh_model_folder_open(&m, hub, true, &err), &err);
    assert_non_null(strstr(wh_model_folder_path(m), "/snapshots/bbb"));
    wh_model_folder_close(m);
    /* the snapshot itself is a model folder, and its id is still the hub's */
    check_ok(
        wh_model_folder_open(&m, temp_path("models--org--some-name/snapshots/aaa"), true, &err),
        &err);
    assert_string_equal(wh_model_folder_id(m), "org/some-name");
    wh_model_folder_close(m);
}

static void test_bad_folders(void **state) {
    (void)state;
    check_fails(open_and_close(temp_path("none")), WEFT_E_DATA, &err, "No such file");
    temp_text(temp_path("file"), "x");
    check_fails(open_and_close(temp_path("file")), WEFT_E_DATA, &err, "is a file");
    check_fails(open_and_close(temp_folder), WEFT_E_DATA, &err, "no config.json");
    temp_text(temp_path("config.json"), "{\"a\": ");
    check_fails(open_and_close(temp_folder), WEFT_E_DATA, &err, "config.json:1:");
    temp_text(temp_path("config.json"), "[]");
    check_fails(open_and_close(temp_folder), WEFT_E_DATA, &err, "JSON object");
    temp_text(temp_path("config.json"), "{}");
    check_fails(open_and_close(temp_folder), WEFT_E_DATA, &err, "no weights");
    temp_text(temp_path("pytorch_model.bin"), "x");
    check_fails(open_and_close(temp_folder), WEFT_E_DATA, &err, "safe_serialization");
    temp_text(temp_path("model.safetensors"), "x");
    check_fails(open_and_close(temp_folder), WEFT_E_DATA, &err, "too few");
}

static void test_bad_shards(void **state) {
    (void)state;
    const char *index = temp_path("model.safetensors.index.json");
    small_model(temp_folder);
    assert_int_equal(rename(temp_path("model.safetensors"), temp_path("s1.safetensors")), 0);
    temp_text(index, "{\"metadata\": {}}");
    check_fails(open_and_close(temp_folder), WEFT_E_DATA, &err, "weight_map is missing");
    temp_text(index, "{\"weight_map\": {\"w\": 3}}");
    check_fails(open_and_close(temp_folder), WEFT_E_DATA, &err, "must name a file");
    temp_text(index, "{\"weight_map\": {\"w\": \"../s1.safetensors\"}}");
    check_fails(open_and_close(temp_folder), WEFT_E_DATA, &err, "must name a file");
    temp_text(index, "{\"weight_map\": {\"w\": \"s1.safetensors\", \"x\": \"s2.safetensors\", "
                     "\"y\": \"s3.safetensors\", \"z\": \"s2.safetensors\"}}");
    check_fails(open_and_close(temp_folder), WEFT_E_DATA, &err,
                "missing: s2.safetensors, s3.safetensors");
    assert_non_null(strstr(err.text, "2 shards"));
    temp_text(index, "{\"weight_map\": {\"v\": \"s1.safetensors\"}}");
    check_fails(open_and_close(temp_folder), WEFT_E_DATA, &err,
                "places tensor v in s1.safetensors");
    temp_text(index, "{\"weight_map\": {\"w\": \"s1.safetensors\"}}");
    check_ok(open_and_close(temp_folder), &err);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_config_is_flattened), TEST(test_shards_equal_the_single_file),
        TEST(test_hub_cache),           TEST(test_bad_folders),
        TEST(test_bad_shards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
