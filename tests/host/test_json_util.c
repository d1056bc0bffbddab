/* labels: unit */
#include "host/json_util.h"

#include "tests/host/temp_folder.h"

#include <math.h>

static weft_error err;

static weft_status parse(json_t **out, const char *text) {
    return wh_json_parse(out, text, strlen(text), "x.json", &err);
}

static void test_errors_say_where(void **state) {
    (void)state;
    json_t *root = NULL;
    check_fails(parse(&root, "{\n  \"a\": ,\n}"), WEFT_E_DATA, &err, "x.json:2:");
    check_fails(parse(&root, "{\"a\": 1, \"a\": 2}"), WEFT_E_DATA, &err, "duplicate");
    check_fails(parse(&root, "{} x"), WEFT_E_DATA, &err, "x.json:1:");
    check_fails(parse(&root, ""), WEFT_E_DATA, &err, "x.json:1:");
    check_fails(parse(&root, "{\"a\": NaN}"), WEFT_E_DATA, &err, "x.json:1:");
    check_fails(parse(&root, "{\"a\\u0000b\": 1}"), WEFT_E_DATA, &err, "x.json:1:");
    check_fails(parse(&root, "{\"a\": \"\xff\"}"), WEFT_E_DATA, &err, "0xff");
    assert_null(root);
}

static void test_depth(void **state) {
    (void)state;
    char deep[2 * WH_JSON_MAX_DEPTH + 8] = "";
    memset(deep, '[', WH_JSON_MAX_DEPTH);
    memset(deep + WH_JSON_MAX_DEPTH, ']', WH_JSON_MAX_DEPTH);
    json_t *root = NULL;
    check_ok(parse(&root, deep), &err);
    json_decref(root);
    memset(deep, '[', WH_JSON_MAX_DEPTH + 1);
    memset(deep + WH_JSON_MAX_DEPTH + 1, ']', WH_JSON_MAX_DEPTH + 1);
    check_fails(parse(&root, deep), WEFT_E_DATA, &err, "x.json:1:65: nested deeper");
    /* brackets inside strings do not count */
    wh_text text = {0};
    wh_text_add(&text, "{\"a\": \"\\\"");
    for (int i = 0; i < 200; i++) wh_text_add(&text, "[");
    wh_text_add(&text, "\"}");
    check_ok(parse(&root, text.data), &err);
    json_decref(root);
    wh_text_free(&text);
}

static void test_files(void **state) {
    (void)state;
    json_t *root = NULL;
    check_fails(wh_json_load(&root, temp_path("none"), 100, &err), WEFT_E_DATA, &err,
                "No such file");
    check_fails(wh_json_load(&root, temp_folder, 100, &err), WEFT_E_DATA, &err, "regular file");
    temp_text(temp_path("a.json"), "{\"a\": [1, 2, 3]}");
    check_fails(wh_json_load(&root, temp_path("a.json"), 10, &err), WEFT_E_DATA, &err,
                "16 bytes, more than the 10");
    check_ok(wh_json_load(&root, temp_path("a.json"), 100, &err), &err);
    check_ok(wh_json_save(temp_path("b.json"), root, &err), &err);
    json_decref(root);
    /* Python: json.dumps({"a": [1, 2, 3]}, indent=2) */
    assert_file(temp_path("b.json"), "{\n  \"a\": [\n    1,\n    2,\n    3\n  ]\n}\n");
    check_fails(wh_json_save(temp_path("c.json"), NULL, &err), WEFT_E_ARG, &err, "c.json");
}

static void test_getters(void **state) {
    (void)state;
    json_t *o = NULL, *child = NULL;
    int64_t n = 0;
    double x = 0;
    bool b = false;
    const char *s = NULL;
    check_ok(parse(&o,
                   "{\"n\": 8, \"w\": 8.0, \"x\": 0.5, \"b\": true, \"s\": \"hi\", \"z\": null, "
                   "\"a\": [1], \"o\": {}, \"big\": 1000000000000000019884624838656}"),
             &err);
    check_ok(wh_json_int(o, "f", "n", 0, 10, &n, &err), &err);
    assert_int_equal(n, 8);
    check_ok(wh_json_int(o, "f", "w", 0, 10, &n, &err), &err);
    check_fails(wh_json_int(o, "f", "n", 0, 7, &n, &err), WEFT_E_DATA, &err,
                "f: n must be an integer from 0 to 7, not 8");
    check_fails(wh_json_int(o, "f", "x", 0, 7, &n, &err), WEFT_E_DATA, &err, "not 0.5");
    check_fails(wh_json_int(o, "f", "none", 0, 7, &n, &err), WEFT_E_DATA, &err, "none is missing");
    check_fails(wh_json_int(o, "f", "big", 0, 7, &n, &err), WEFT_E_DATA, &err, "1e+30");
    check_ok(wh_json_number(o, "f", "n", &x, &err), &err);
    check_ok(wh_json_number(o, "f", "x", &x, &err), &err);
    assert_true(fabs(x - 0.5) < 1e-15);
    check_fails(wh_json_number(o, "f", "s", &x, &err), WEFT_E_DATA, &err, "not \"hi\"");
    check_ok(wh_json_bool(o, "f", "b", &b, &err), &err);
    assert_true(b);
    check_fails(wh_json_bool(o, "f", "n", &b, &err), WEFT_E_DATA, &err, "true or false");
    check_ok(wh_json_string(o, "f", "s", &s, &err), &err);
    assert_string_equal(s, "hi");
    check_fails(wh_json_string(o, "f", "z", &s, &err), WEFT_E_DATA, &err, "not null");
    check_ok(wh_json_child(o, "f", "a", JSON_ARRAY, &child, &err), &err);
    check_fails(wh_json_child(o, "f", "a", JSON_OBJECT, &child, &err), WEFT_E_DATA, &err,
                "an object");
    assert_true(wh_json_has(o, "n") && !wh_json_has(o, "z") && !wh_json_has(o, "none"));
    json_decref(o);
}

static void test_writing(void **state) {
    (void)state;
    /* Python: json.dumps(..., ensure_ascii=False) of the same values */
    json_t *o = json_object();
    (void)json_object_set_new(o, "q", json_string("a\"b\\c\n\t\x01 \xc3\xa9"));
    (void)json_object_set_new(o, "x", wh_json_real(0.1));
    (void)json_object_set_new(o, "nan", wh_json_real((double)NAN));
    (void)json_object_set_new(o, "e", json_array());
    (void)json_object_set_new(o, "l", json_pack("[i, b, n]", -3, 1));
    wh_text text = {0};
    wh_json_add(&text, o, 0);
    assert_string_equal(text.data, "{\"q\": \"a\\\"b\\\\c\\n\\u0009\\u0001 \xc3\xa9\", \"x\": 0.1, "
                                   "\"nan\": null, \"e\": [], \"l\": [-3, true, null]}");
    json_t *back = NULL;
    check_ok(parse(&back, text.data), &err);
    assert_true(json_equal(o, back));
    char brief[16];
    assert_string_equal(wh_json_brief(brief, sizeof brief, json_object_get(o, "l")),
                        "[-3, true, n...");
    json_decref(o);
    json_decref(back);
    wh_text_free(&text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_say_where), cmocka_unit_test(test_depth),   TEST(test_files),
        cmocka_unit_test(test_getters),          cmocka_unit_test(test_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
