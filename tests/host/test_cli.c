/* labels: unit */
#include "host/cli.h"

#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

static weft_status never(const wh_cli *cli, weft_error *err) {
    (void)cli;
    return WEFT_FAIL(err, WEFT_E_ARG, "not called by the parser");
}

static const wh_verb TRAIN = {.name = "train",
                              .words = "job.yaml",
                              .summary = "train",
                              .details = "Trains.\nWell.",
                              .example = "weft train job.yaml",
                              .min_words = 1,
                              .max_words = 1,
                              .flags = WH_FLAG_SET | WH_FLAG_RESUME | WH_FLAG_DRY_RUN |
                                       WH_FLAG_FORMAT | WH_FLAG_QUIET,
                              .run = never};
static const wh_verb COMPARE = {.name = "compare",
                                .words = "RUN ...",
                                .summary = "compare",
                                .details = "Compares.",
                                .example = "weft compare a b",
                                .min_words = 1,
                                .max_words = WH_CLI_MAX_WORDS,
                                .flags = WH_FLAG_FORMAT | WH_FLAG_OUTPUT | WH_FLAG_SPLIT,
                                .run = never};
static const wh_verb SWEEP = {.name = "sweep",
                              .words = "job.yaml",
                              .summary = "sweep",
                              .details = "Sweeps.",
                              .example = "weft sweep job.yaml",
                              .min_words = 1,
                              .max_words = 1,
                              .flags = WH_FLAG_SET | WH_FLAG_POINTS,
                              .run = never};
static const wh_verb *const VERBS[] = {&TRAIN, &COMPARE, &SWEEP};
enum { N_VERBS = (int)(sizeof VERBS / sizeof VERBS[0]) };

static wh_cli cli;
static weft_error error;

/* Words up to NULL. */
static weft_status parse(const char *const *argv) {
    int argc = 0;
    while (argv[argc]) argc++;
    memset(&error, 0, sizeof error);
    return wh_cli_parse(&cli, VERBS, N_VERBS, argc, argv, &error);
}
#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void refused(weft_status st, const char *part) {
    assert_int_equal(st, WEFT_E_CONFIG);
    if (!strstr(error.text, part)) fail_msg("'%s' lacks '%s'", error.text, part);
}

static void words_and_flags(void **state) {
    (void)state;
    check_ok(PARSE("train", "job.yaml", "fl.num_rounds=3", "--set", "lr=1e-3", "--set=lora.r=4",
                   "--dry-run", "--format=json", "-q"),
             &error);
    assert_ptr_equal(cli.verb, &TRAIN);
    assert_int_equal(cli.action, WH_CLI_RUN);
    assert_int_equal(cli.n_words, 1);
    assert_string_equal(cli.word[0], "job.yaml");
    assert_int_equal(cli.n_sets, 3);
    assert_string_equal(cli.set[0].key, "fl.num_rounds");
    assert_string_equal(cli.set[0].value, "3");
    assert_string_equal(cli.set[1].key, "lr");
    assert_string_equal(cli.set[2].value, "4");
    assert_true(cli.dry_run && cli.json && cli.quiet && !cli.no_progress);
    assert_int_equal(cli.split, WEFT_SPLIT_TEST);
}

static void values_may_hold_anything(void **state) {
    (void)state;
    check_ok(PARSE("train", "a/b=c.yaml", "data.labels=x=y,z", "run.name="), &error);
    assert_string_equal(cli.word[0], "a/b=c.yaml"); /* a path is no key */
    assert_string_equal(cli.set[0].value, "x=y,z");
    assert_string_equal(cli.set[1].value, "");
    check_ok(PARSE("compare", "--", "--odd", "k=v"), &error); /* after -- only words */
    assert_int_equal(cli.n_words, 2);
    assert_string_equal(cli.word[1], "k=v");
    check_ok(PARSE("compare", "-o", "-", "-"), &error); /* a lone dash is a word */
    assert_string_equal(cli.output, "-");
    assert_string_equal(cli.word[0], "-");
    check_ok(PARSE("compare", "a", "--split", "train"), &error);
    assert_int_equal(cli.split, WEFT_SPLIT_TRAIN);
}

static void points(void **state) {
    (void)state;
    check_ok(PARSE("sweep", "a"), &error);
    assert_true(cli.task == -1 && !cli.count && !cli.list && !cli.collect);
    check_ok(PARSE("sweep", "a", "--count"), &error);
    assert_true(cli.task == -1 && cli.count && !cli.list && !cli.collect);
    check_ok(PARSE("sweep", "a", "--list"), &error);
    assert_true(cli.task == -1 && !cli.count && cli.list && !cli.collect);
    check_ok(PARSE("sweep", "a", "--collect"), &error);
    assert_true(cli.task == -1 && !cli.count && !cli.list && cli.collect);
    check_ok(PARSE("sweep", "a", "--task", "0"), &error);
    assert_true(cli.task == 0 && !cli.count && !cli.list && !cli.collect);
    check_ok(PARSE("sweep", "a", "--task=123"), &error);
    assert_true(cli.task == 123);
    refused(PARSE("sweep", "a", "--task", "-1"), "from 0, got '-1'");
    refused(PARSE("sweep", "a", "--task", "1x"), "from 0, got '1x'");
    refused(PARSE("sweep", "a", "--task", "9223372036854775808"), "from 0");
    refused(PARSE("sweep", "a", "--task"), "needs a value");
    refused(PARSE("sweep", "a", "--task", "0", "--count"), "take one");
    refused(PARSE("sweep", "a", "--list", "--collect"), "take one");
    refused(PARSE("train", "a", "--count"), "has no flag --count");
}

static void help_and_version(void **state) {
    (void)state;
    check_ok(PARSE("--version"), &error);
    assert_int_equal(cli.action, WH_CLI_VERSION);
    check_ok(PARSE("help"), &error);
    assert_int_equal(cli.action, WH_CLI_HELP);
    assert_null(cli.verb);
    check_ok(PARSE("help", "train"), &error);
    assert_ptr_equal(cli.verb, &TRAIN);
    /* -h wins over what is missing. */
    check_ok(PARSE("train", "-h"), &error);
    assert_int_equal(cli.action, WH_CLI_HELP);
    check_ok(PARSE("compare", "a", "--help", "--nonsense"), &error);
    assert_int_equal(cli.action, WH_CLI_HELP);
}

static void usage_errors(void **state) {
    (void)state;
    refused(wh_cli_parse(&cli, VERBS, N_VERBS, 0, NULL, &error), "no command");
    refused(PARSE("tarin", "x"), "did you mean 'train'");
    refused(PARSE("zzzzzzzz"), "weft help");
    refused(PARSE("help", "compar"), "did you mean 'compare'");
    refused(PARSE("train"), "needs job.yaml");
    refused(PARSE("train", "a", "b"), "at most 1 argument,");
    refused(PARSE("train", "a", "--dryrun"), "did you mean --dry-run");
    refused(PARSE("train", "a", "--resume"), "--resume needs a value: --resume auto|PATH");
    refused(PARSE("compare", "a", "--resume", "auto"), "'compare' has no flag --resume");
    refused(PARSE("train", "a", "--output", "x"), "'train' has no flag --output");
    refused(PARSE("train", "a", "-z"), "unknown flag -z");
    refused(PARSE("train", "a", "--format"), "--format needs a value");
    refused(PARSE("train", "a", "--format", "xml"), "text or json");
    refused(PARSE("train", "a", "--format="), "empty value");
    refused(PARSE("train", "a", "--quiet=1"), "takes no value");
    refused(PARSE("train", "a", "--set", "noequals"), "key=value");
    refused(PARSE("train", ""), "empty argument");
    refused(PARSE("compare", "a", "lora.r=3"), "takes no options");
    refused(PARSE("compare", "a", "--split", "dev"), "test or train");
}

static void many_sets_are_bounded(void **state) {
    (void)state;
    const char *argv[WH_CLI_MAX_SETS + 4] = {"train", "job.yaml"};
    for (int i = 0; i <= WH_CLI_MAX_SETS; i++) argv[2 + i] = "lora.r=1";
    refused(parse(argv), "too many");
    char key[200];
    memset(key, 'k', sizeof key);
    key[198] = '=', key[199] = '\0';
    refused(PARSE("train", "j", key), "too long");
}

static char *printed(void (*print)(FILE *)) {
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    assert_non_null(to);
    print(to);
    (void)fclose(to);
    return text;
}
static void print_train(FILE *to) {
    wh_cli_print_verb(to, &TRAIN);
}
static void print_all(FILE *to) {
    wh_cli_print_overview(to, VERBS, 2);
}

static void help_texts(void **state) {
    (void)state;
    char *text = printed(print_train);
    assert_non_null(strstr(text, "usage: weft train job.yaml [key=value ...] [flags]\n"));
    assert_non_null(strstr(text, "  Trains.\n  Well.\n"));
    assert_non_null(strstr(text, "--dry-run"));
    assert_non_null(strstr(text, "  weft train job.yaml\n"));
    assert_null(strstr(text, "--output")); /* only its own flags */
    assert_null(strstr(text, "--predictions"));
    free(text);
    text = printed(print_all);
    assert_non_null(strstr(text, "  train      train\n"));
    assert_non_null(strstr(text, "WEFT_<SECTION>_<KEY>"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_and_flags),
        cmocka_unit_test(values_may_hold_anything),
        cmocka_unit_test(help_and_version),
        cmocka_unit_test(usage_errors),
        cmocka_unit_test(many_sets_are_bounded),
        cmocka_unit_test(help_texts),
        cmocka_unit_test(points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
