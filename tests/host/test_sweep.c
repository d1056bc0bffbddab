/* labels: unit */
#include "host/config_yaml.h"

#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

static weft_config *config;
static wh_sweep sweep;
static weft_error error;

static int gone(void **state) {
    (void)state;
    weft_config_free(config);
    config = NULL;
    wh_sweep_free(&sweep);
    memset(&error, 0, sizeof error);
    return 0;
}

static weft_status parse(const char *text) {
    (void)gone(NULL);
    check_ok(weft_config_new(&config, &error), &error);
    return wh_config_yaml_parse(config, &sweep, text, strlen(text), "job.yaml", &error);
}

static void refused(const char *text, const char *place, const char *part) {
    assert_int_equal(parse(text), WEFT_E_CONFIG);
    if (strncmp(error.text, place, strlen(place)) != 0 || !strstr(error.text, part))
        fail_msg("'%s' should open with '%s' and hold '%s'", error.text, place, part);
    assert_null(strchr(error.text, '\n'));
}

static void words_are(int64_t index, const char *want) {
    wh_text text = {0};
    wh_sweep_words(&text, &sweep, index);
    assert_false(text.failed);
    assert_string_equal(text.data ? text.data : "", want);
    wh_text_free(&text);
}

static char *name_of(int64_t index) {
    wh_text text = {0};
    wh_sweep_name(&text, &sweep, index);
    char *name = wh_text_take(&text);
    assert_non_null(name);
    return name;
}

static void name_is(int64_t index, const char *want) {
    char *name = name_of(index);
    assert_string_equal(name, want);
    free(name);
}

static void no_sweep(void **state) {
    (void)state;
    check_ok(parse("lora.r: 4\n"), &error);
    assert_int_equal(sweep.n_points, 0);
}

/* The section is no option, and sets none. */
static void base_settings_stay(void **state) {
    (void)state;
    check_ok(parse("lora: {r: 4}\nsweep:\n  grid: {lora.r: [1, 2]}\nfl.num_rounds: 3\n"), &error);
    assert_int_equal(weft_config_int(config, "lora.r"), 4);
    assert_int_equal(weft_config_int(config, "fl.num_rounds"), 3);
    assert_int_equal(sweep.n_points, 2);
}

static void grid_last_key_fastest(void **state) {
    (void)state;
    check_ok(parse("sweep:\n"
                   "  grid:\n"
                   "    lr: [1e-1, 0.01]\n" /* another name of client.learning_rate */
                   "    lora: {r: [2, 4, 8]}\n"),
             &error);
    assert_int_equal(sweep.n_points, 6);
    assert_int_equal(sweep.n_keys, 2);
    static const char *const WANT[] = {
        "client.learning_rate=0.1 lora.r=2",  "client.learning_rate=0.1 lora.r=4",
        "client.learning_rate=0.1 lora.r=8",  "client.learning_rate=0.01 lora.r=2",
        "client.learning_rate=0.01 lora.r=4", "client.learning_rate=0.01 lora.r=8",
    };
    for (int i = 0; i < 6; i++) words_are(i, WANT[i]);
    name_is(4, "learning_rate-0.01_r-4");
}

/* Wherever it stands in the file. */
static void list_varies_slowest(void **state) {
    (void)state;
    static const char *const TEXT[] = {
        "sweep:\n  grid: {run.seed: [1, 2], lora.r: [3]}\n  list: [{fl.strategy: fedadam, "
        "server.learning_rate: 0.1}, {fl: {strategy: fedavg}}, {}]\n",
        "sweep.list: [{fl.strategy: fedadam, server.learning_rate: 0.1}, {fl: {strategy: fedavg}}, "
        "{}]\nsweep.grid:\n  run.seed: [1, 2]\n  lora.r: [3]\n",
    };
    for (int i = 0; i < 2; i++) {
        check_ok(parse(TEXT[i]), &error);
        assert_int_equal(sweep.n_points, 6);
        words_are(0, "fl.strategy=fedadam server.learning_rate=0.1 run.seed=1 lora.r=3");
        words_are(1, "fl.strategy=fedadam server.learning_rate=0.1 run.seed=2 lora.r=3");
        words_are(3, "fl.strategy=fedavg run.seed=2 lora.r=3");
        words_are(4, "run.seed=1 lora.r=3");
    }
}

static void values_of_any_kind(void **state) {
    (void)state;
    check_ok(parse("sweep:\n  grid:\n"
                   "    lora.target_modules: [all-linear, [query, value]]\n"
                   "    data.train: ['it''s here.csv', ~]\n"),
             &error);
    words_are(0, "lora.target_modules=all-linear 'data.train=it'\\''s here.csv'");
    words_are(3, "lora.target_modules=query,value data.train=");
}

/* Folder names: short keys where they stay apart, a hash where the text does not say it all. */
static void names(void **state) {
    (void)state;
    check_ok(parse("sweep:\n  grid:\n    client.learning_rate: [1e-5]\n"
                   "    server.learning_rate: [1.0]\n    lora.r: [2]\n"),
             &error);
    name_is(0, "client.learning_rate-1e-05_server.learning_rate-1_r-2");
    check_ok(parse("sweep:\n  list: [{}, {data.train: a/b}, {data.train: a-b}, {data.train: "
                   "'a b'}]\n"),
             &error);
    name_is(0, "base");
    name_is(2, "train-a-b");
    char *slash = name_of(1), *space = name_of(3);
    assert_int_equal(strncmp(slash, "train-a-b-", 10), 0);
    assert_int_equal(strncmp(space, "train-a-b-", 10), 0);
    assert_string_not_equal(slash, space);
    assert_null(strchr(slash, '/'));
    free(slash);
    free(space);

    char text[1024] = "sweep: {grid: {data.train: [";
    for (int i = 0; i < 300; i++) strcat(text, "x");
    strcat(text, ", ");
    for (int i = 0; i < 301; i++) strcat(text, "x");
    strcat(text, "]}}\n");
    check_ok(parse(text), &error);
    char *a = name_of(0), *b = name_of(1);
    assert_true(strlen(a) < 200 && strlen(b) < 200);
    assert_string_not_equal(a, b);
    free(a);
    free(b);
}

static void sections_that_are_refused(void **state) {
    (void)state;
    refused("sweep:\n", "job.yaml:1:7: ", "mapping");
    refused("sweep: {}\n", "job.yaml:1:1: ", "no option");
    refused("lora.r: 1\nsweep.grid: {}\n", "job.yaml:2:1: ", "no option");
    refused("sweep: {points: 3}\n", "job.yaml:1:9: ", "unknown key 'sweep.points'");
    refused("sweep.x.y: 3\n", "job.yaml:1:1: ", "unknown key 'sweep.x.y'");
    refused("sweep: {grid: 3}\n", "job.yaml:1:15: ", "sweep.grid takes a mapping");
    refused("sweep: {list: {lora.r: [1]}}\n", "job.yaml:1:15: ", "list of mappings");
    refused("sweep: {list: []}\n", "job.yaml:1:15: ", "empty");
    refused("sweep: {list: [3]}\n", "job.yaml:1:16: ", "mapping of options");
    refused("sweep: {grid: {lora.r: []}}\n", "job.yaml:1:24: ", "empty");
    refused("sweep: {grid: {lora.r: 3}}\n", "job.yaml:1:24: ", "list of values, such as [3]");
    refused("sweep: {grid: {lora.r: [[1, 2]]}}\n", "job.yaml:1:25: ", "not a list");
    refused("sweep: {grid: {lora.r: [{a: 1}]}}\n", "job.yaml:1:25: ", "a mapping where");
    refused("sweep: {list: [{lora.r: [1]}]}\n", "job.yaml:1:25: ", "not a list");
    refused("sweep: {grid: {lora.r: [&a 1]}}\n", "job.yaml:1:25: ", "anchor");
    refused("sweep: {grid: {lora.r: [1]}\n", "job.yaml:2:1: ", "");
}

static void values_that_are_refused(void **state) {
    (void)state;
    refused("sweep: {grid: {lora.r: [1, x]}}\n", "job.yaml:1:28: ", "lora.r");
    refused("sweep: {grid: {lora.s: [1]}}\n", "job.yaml:1:25: ", "lora.s");
    refused("sweep: {list: [{lora.r: 1}, {lora: {r: -1}}]}\n", "job.yaml:1:40: ", "lora.r");
    refused("sweep: {grid: {run: {name: [a]}}}\n", "job.yaml:1:29: ", "run.name cannot be swept");
    refused("sweep: {grid: {run.output_dir: [a]}}\n", "job.yaml:1:33: ", "cannot be swept");
}

static void twice_the_same(void **state) {
    (void)state;
    refused("sweep: {grid: {lora.r: [1, 2, 01]}}\n", "job.yaml:1:31: ", "1 is given twice");
    refused("sweep: {grid: {client.learning_rate: [0.1, 1e-1]}}\n",
            "job.yaml:1:44: ", "given twice");
    refused("sweep: {grid: {lora.r: [1], lora.r: [2]}}\n",
            "job.yaml:1:29: ", "sweep.grid.lora.r is given twice");
    refused("sweep: {grid: {lr: [1], client.learning_rate: [2]}}\n",
            "job.yaml:1:48: ", "would set client.learning_rate twice");
    refused("sweep: {list: [{lora.r: 1, lora: {r: 2}}]}\n",
            "job.yaml:1:38: ", "would set lora.r twice");
    refused("sweep: {grid: {lora.r: [1]}, list: [{run.seed: 1}, {lora.r: 2}]}\n",
            "job.yaml:1:61: ", "would set lora.r twice");
    refused("sweep: {list: [{}, {lora.r: 1}], grid: {lora.r: [2]}}\n",
            "job.yaml:1:50: ", "would set lora.r twice");
    refused("sweep: {list: [{lora.r: 1, run.seed: 2}, {run.seed: 2, lora.r: 1}]}\n",
            "job.yaml:1:42: ", "the same as entry 1");
    refused("sweep: {grid: {lora.r: [1]}}\nsweep.grid: {run.seed: [1]}\n",
            "job.yaml:2:1: ", "sweep.grid is given twice");
}

/* seed: [1, 2, ... n] */
static void add_seeds(wh_text *text, const char *key, int n) {
    wh_text_addf(text, "    %s: [", key);
    for (int i = 1; i <= n; i++) wh_text_addf(text, "%s%d", i > 1 ? ", " : "", i);
    wh_text_add(text, "]\n");
}

static void number_of_points(void **state) {
    (void)state;
    for (int extra = 0; extra < 2; extra++) {
        wh_text text = {0};
        wh_text_add(&text, "sweep:\n  grid:\n");
        add_seeds(&text, "run.seed", 100 + extra);
        add_seeds(&text, "lora.r", 100);
        check_ok(wh_text_check(&text, "text", &error), &error);
        if (extra) {
            refused(text.data, "job.yaml:1:1: ", "more than 10000 points");
        } else {
            check_ok(parse(text.data), &error);
            assert_int_equal(sweep.n_points, WH_SWEEP_MAX_POINTS);
            words_are(WH_SWEEP_MAX_POINTS - 1, "run.seed=100 lora.r=100");
        }
        wh_text_free(&text);
    }
    wh_text one = {0};
    wh_text_add(&one, "sweep:\n  grid:\n");
    add_seeds(&one, "run.seed", WH_SWEEP_MAX_POINTS + 1);
    refused(one.data, "job.yaml:3:", "at most 10000 points");
    wh_text_free(&one);
}

#define TEST(f) cmocka_unit_test_teardown(f, gone)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(no_sweep),
        TEST(base_settings_stay),
        TEST(grid_last_key_fastest),
        TEST(list_varies_slowest),
        TEST(values_of_any_kind),
        TEST(names),
        TEST(sections_that_are_refused),
        TEST(values_that_are_refused),
        TEST(twice_the_same),
        TEST(number_of_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
