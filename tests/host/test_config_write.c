/* labels: unit */
#include "host/config_write.h"

#include "host/config_yaml.h"
#include "tests/check.h"

#include <string.h>

static weft_config *with(const char *const *pairs) {
    weft_error err = {0};
    weft_config *config = NULL;
    check_ok(weft_config_new(&config, &err), &err);
    for (; pairs && *pairs; pairs += 2) {
        check_ok(weft_config_set(config, pairs[0], pairs[1], NULL, &err), &err);
    }
    return config;
}

static void write_read_and_compare(const char *const *pairs, bool comments) {
    weft_error err = {0};
    weft_config *config = with(pairs), *again = with(NULL);
    wh_text text = {0};
    wh_config_write(&text, config, comments);
    check_ok(wh_text_check(&text, "config", &err), &err);
    check_ok(wh_config_yaml_parse(again, NULL, text.data, text.len, "written", &err), &err);
    for (size_t i = 0; i < weft_option_count(); i++) {
        const char *key = weft_option_at(i)->key;
        assert_string_equal(weft_config_text(again, key), weft_config_text(config, key));
        assert_true(weft_config_is_set(again, key));
    }
    wh_text_free(&text);
    weft_config_free(config);
    weft_config_free(again);
}

static void round_trip(void **state) {
    (void)state;
    static const char *const ODD[] = {
        "run.name",
        "null",
        "run.output_dir",
        "~/a b: c #d",
        "run.seed",
        "18446744073709551615",
        "model.path",
        "quote\" back\\slash\ttab",
        "data.train",
        "Zürich 東京.csv",
        "data.text_column",
        "yes",
        "data.label_column",
        "123",
        "data.labels",
        "not ok,ok",
        "lora.init_from",
        "- dash",
        "client.epsilon",
        "1e-20",
        NULL,
    };
    write_read_and_compare(NULL, false);
    write_read_and_compare(NULL, true);
    write_read_and_compare(ODD, false);
    write_read_and_compare(ODD, true);
}

static void layout(void **state) {
    (void)state;
    weft_config *config = with(NULL);
    wh_text text = {0};
    wh_config_write(&text, config, false);
    assert_non_null(text.data);
    static const char HEAD[] = "run:\n  name: \"\"\n  output_dir: runs\n  seed: 0\n";
    assert_memory_equal(text.data, HEAD, sizeof HEAD - 1);
    assert_non_null(strstr(text.data, "\nlora:\n  r: 8\n"));
    wh_text_free(&text);
    weft_config_free(config);
}

static void environment_names(void **state) {
    (void)state;
    char name[64];
    wh_config_env_name(name, sizeof name, weft_option_find("client.learning_rate", NULL));
    assert_string_equal(name, "WEFT_CLIENT_LEARNING_RATE");
}

static void lists(void **state) {
    (void)state;
    weft_error err = {0};
    wh_text text = {0};
    check_ok(wh_config_list(&text, "lora", &err), &err);
    assert_non_null(strstr(text.data, "lora.use_rslora"));
    assert_null(strstr(text.data, "client.optimizer"));
    wh_text_free(&text);
    assert_int_equal(wh_config_list(&text, "loar", &err), WEFT_E_CONFIG);
    assert_non_null(strstr(err.text, "loar"));
}

/* Each option is a row with as many cells as the head. */
static void markdown(void **state) {
    (void)state;
    wh_text text = {0};
    wh_config_markdown(&text);
    assert_non_null(text.data);
    size_t rows = 0;
    for (char *line = text.data; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncmp(line, "| `", 3) != 0) continue;
        rows++;
        int bars = 0;
        for (char *c = line; *c && *c != '\n'; c++) bars += *c == '|' && c > line && c[-1] != '\\';
        assert_int_equal(bars, 5);
    }
    assert_int_equal(rows, weft_option_count());
    wh_text_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),        cmocka_unit_test(layout),
        cmocka_unit_test(environment_names), cmocka_unit_test(lists),
        cmocka_unit_test(markdown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
