/* labels: unit */
#include "host/config_yaml.h"

#include "tests/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static weft_config *config;
static weft_error error;

static int fresh(void **state) {
    (void)state;
    weft_config_free(config);
    config = NULL;
    memset(&error, 0, sizeof error);
    return weft_config_new(&config, &error) == WEFT_OK ? 0 : -1;
}
static int gone(void **state) {
    (void)state;
    weft_config_free(config);
    config = NULL;
    return 0;
}

static weft_status parse(const char *text) {
    return wh_config_yaml_parse(config, NULL, text, strlen(text), "job.yaml", &error);
}

/* Refused with exactly this place and this phrase. */
static void refused(const char *text, const char *place, const char *part) {
    assert_int_equal(parse(text), WEFT_E_CONFIG);
    if (strncmp(error.text, place, strlen(place)) != 0 || !strstr(error.text, part)) {
        fail_msg("'%s' should open with '%s' and hold '%s'", error.text, place, part);
    }
    assert_null(strchr(error.text, '\n'));
}

static void nested_dotted_and_alias(void **state) {
    (void)state;
    check_ok(parse("# a job\n"
                   "lora: {r: 4, alpha: 8}\n"
                   "client.batch_size: 2\n"
                   "learning_rate: 1e-4\n"
                   "data:\n"
                   "  train: 'a b.csv'\n"
                   "  text_pair_column: null\n"
                   "fl:\n"
                   "  # num_rounds: 3\n"),
             &error);
    assert_int_equal(weft_config_int(config, "lora.r"), 4);
    assert_int_equal(weft_config_int(config, "client.batch_size"), 2);
    assert_true(weft_config_real(config, "client.learning_rate") == 1e-4);
    assert_string_equal(weft_config_text(config, "data.train"), "a b.csv");
    assert_string_equal(weft_config_text(config, "data.text_pair_column"), "");
    assert_false(weft_config_is_set(config, "fl.num_rounds"));
}

static void lists(void **state) {
    (void)state;
    check_ok(parse("lora:\n  target_modules: [query, value]\n"
                   "data:\n  labels:\n    - bad\n    - 'very good'\n"),
             &error);
    assert_string_equal(weft_config_text(config, "lora.target_modules"), "query,value");
    assert_string_equal(weft_config_text(config, "data.labels"), "bad,very good");
}

static void list_errors(void **state) {
    (void)state;
    refused("lora:\n  r: [4, 8]\n", "job.yaml:2:6: ", "lora.r takes one value, not a list");
    refused("data:\n  labels: [a, 'b,c']\n", "job.yaml:2:15: ", "comma");
    refused("data:\n  labels: [a, [b]]\n", "job.yaml:2:15: ", "plain values");
    refused("data:\n  labels: [a, ~]\n", "job.yaml:2:15: ", "empty");
}

/* Every option whose help promises a comma list takes a YAML list, and no other. */
static void list_options_match_the_table(void **state) {
    (void)state;
    for (size_t i = 0; i < weft_option_count(); i++) {
        const weft_option *option = weft_option_at(i);
        assert_int_equal(wh_config_is_list(option->key), strstr(option->help, "comma") != NULL);
    }
}

/* "model" names a section and is another name of model.path. */
static void section_and_alias_of_one_name(void **state) {
    (void)state;
    check_ok(parse("model: some/folder\n"), &error);
    assert_string_equal(weft_config_text(config, "model.path"), "some/folder");
    check_ok(parse("model:\n  path: other\n"), &error);
    assert_string_equal(weft_config_text(config, "model.path"), "other");
    refused("model: a\nmodel.path: b\n", "job.yaml:2:1: ", "model.path is given twice");
}

static void empty_files(void **state) {
    (void)state;
    check_ok(parse(""), &error);
    check_ok(parse("# nothing\n"), &error);
    check_ok(parse("---\n"), &error);
    check_ok(parse("{}"), &error);
}

static void values_are_checked_by_the_table(void **state) {
    (void)state;
    refused("lora:\n  r: many\n", "job.yaml:2:6: ", "lora.r");
    refused("lora:\n  rr: 4\n", "job.yaml:2:7: ", "lora.r");
    refused("eval:\n  baselines: yes\n", "job.yaml:2:14: ", "true");
    refused("foo: 1\n", "job.yaml:1:6: ", "foo");
}

static void shapes(void **state) {
    (void)state;
    refused("lora.r:\n  a: 1\n", "job.yaml:2:3: ", "not a mapping");
    refused("- a\n- b\n", "job.yaml:1:1: ", "mapping of options");
    refused("hello\n", "job.yaml:1:1: ", "mapping of options");
    refused("[a, b]: 1\n", "job.yaml:1:1: ", "plain name");
    refused("a: {b: {c: {d: {e: {f: {g: {h: {i: {j: 1}}}}}}}}}\n", "job.yaml:1:", "deeper than 8");
}

static void duplicates(void **state) {
    (void)state;
    refused("lora:\n  r: 4\n  r: 8\n", "job.yaml:3:3: ", "lora.r is given twice, first on line 2");
    refused("lora:\n  r: 4\nlora.r: 8\n", "job.yaml:3:1: ", "lora.r is given twice");
    refused("client:\n  learning_rate: 1e-3\nlr: 1e-4\n",
            "job.yaml:3:1: ", "client.learning_rate is given twice, first on line 2");
    refused("lora:\n  r: 4\nlora:\n  alpha: 8\n", "job.yaml:3:1: ", "lora is given twice");
}

static void extras(void **state) {
    (void)state;
    refused("lora: &x\n  r: 4\n", "job.yaml:1:7: ", "anchor &x");
    refused("run:\n  name: &n a\n", "job.yaml:2:9: ", "anchor &n");
    refused("lora:\n  r: *x\n", "job.yaml:2:6: ", "alias *x");
    refused("lora:\n  r: !!int 4\n", "job.yaml:2:6: ", "tag tag:yaml.org,2002:int");
    refused("data:\n  labels: [!x a]\n", "job.yaml:2:12: ", "tag !x");
    refused("lora: {r: 1}\n---\nlora: {r: 2}\n", "job.yaml:2:1: ", "second document");
}

static void broken_yaml(void **state) {
    (void)state;
    refused("lora:\n\tr: 4\n", "job.yaml:2:1: ", "cannot start any token");
    refused("lora:\n  r: 4\n alpha: 8\n", "job.yaml:3:", "");
    refused("run:\n  name: \"open\n", "job.yaml:3:1: ", "end of stream");
    refused("a: \x01\n", "job.yaml: byte 3: ", "control characters");
    refused("run:\n  name: \"a\\0b\"\n", "job.yaml:2:9: ", "zero byte");
}

static void bounds(void **state) {
    (void)state;
    static char big[WH_YAML_MAX_BYTES + 2];
    size_t n = WH_YAML_MAX_BYTES + 1;
    memset(big, '#', n);
    big[n] = '\0';
    assert_int_equal(wh_config_yaml_parse(config, NULL, big, n, "job.yaml", &error), WEFT_E_CONFIG);
    memcpy(big, "run: {name: ", 12);
    memset(big + 12, 'n', 20000);
    memcpy(big + 20012, "}\n", 3);
    refused(big, "job.yaml:1:13: ", "longer than");
    memset(big, '[', 5000); /* nesting bombs end in an error, not in a full stack */
    big[5000] = '\0';
    refused(big, "job.yaml:1:1: ", "mapping of options");
}

static void files(void **state) {
    (void)state;
    assert_int_equal(wh_config_yaml_read(config, NULL, "no/such/job.yaml", &error), WEFT_E_CONFIG);
    assert_non_null(strstr(error.text, "no/such/job.yaml: cannot open"));
    assert_int_equal(wh_config_yaml_read(config, NULL, "/", &error), WEFT_E_CONFIG);
    char path[] = "/tmp/weft-test-yaml-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "lora: {r: 3}\n", 13), 13);
    (void)close(fd);
    check_ok(wh_config_yaml_read(config, NULL, path, &error), &error);
    assert_int_equal(weft_config_int(config, "lora.r"), 3);
    (void)unlink(path);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, gone)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(nested_dotted_and_alias),
        TEST(lists),
        TEST(list_errors),
        TEST(list_options_match_the_table),
        TEST(empty_files),
        TEST(section_and_alias_of_one_name),
        TEST(values_are_checked_by_the_table),
        TEST(shapes),
        TEST(duplicates),
        TEST(extras),
        TEST(broken_yaml),
        TEST(bounds),
        TEST(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
