/* labels: unit */
/* What `weft slurm` asks of a cluster. That the scripts work is shown in tests/e2e/slurm.sh and,
 * with a real Slurm, in tests/slurm. */
#include "host/sbatch.h"
#include "host/verbs.h"

#include "tests/check.h"

#include <string.h>

static wh_cli cli;
static weft_config *config;
static weft_error error;

/* "weft slurm my job.yaml" with these words; ends in NULL. *out is to be freed when it succeeds. */
static weft_status read_words(wh_sbatch *out, const char *const *words) {
    static const wh_verb *const verbs[] = {&wh_verb_slurm};
    const char *argv[32] = {"slurm", "a/my job.yaml"};
    int argc = 2;
    while (*words) argv[argc++] = *words++;
    memset(&error, 0, sizeof error);
    check_ok(wh_cli_parse(&cli, verbs, 1, argc, argv, &error), &error);
    weft_config_free(config);
    check_ok(weft_config_new(&config, &error), &error);
    for (int i = 0; i < cli.n_sets; i++)
        check_ok(weft_config_set(config, cli.set[i].key, cli.set[i].value, "test", &error), &error);
    return wh_sbatch_read(out, &cli, config, "/opt/weft", &error);
}
#define READ(out, ...) read_words(out, (const char *const[]){__VA_ARGS__, NULL})

/* Time limits as the manual page of sbatch lists them. */
static void time_limits(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } cases[] = {
        {"90", 5400},       {"0", 0},         {"1:30", 90},      {"2:00:01", 7201},
        {"1-0", 86400},     {"1-12", 129600}, {"0-0:5", 300},    {"2-3:04:05", 183845},
        {"", -1},           {"x", -1},        {"1:", -1},        {":1", -1},
        {"1:2:3:4", -1},    {"1-", -1},       {"-1", -1},        {"1-2:3:4:5", -1},
        {"1.5", -1},        {"1h", -1},       {" 1", -1},        {"1 ", -1},
        {"9999999999", -1}, {"1-2-3", -1},    {"UNLIMITED", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t got = wh_sbatch_seconds(cases[i].text);
        if (got != cases[i].seconds) fail_msg("'%s': %lld", cases[i].text, (long long)got);
    }
}

static void defaults(void **state) {
    (void)state;
    wh_sbatch s;
    check_ok(READ(&s, "lora.r=4"), &error);
    assert_string_equal(s.run_name, "my job");
    assert_string_equal(s.name, "my_job");
    assert_string_equal(s.weft, "/opt/weft");
    assert_true(s.nodes == 1 && s.gpus == 0 && s.cpus == 4 && s.signal_seconds == 120);
    assert_true(s.array == 0 && !s.time && !s.mem && !s.partition && !s.account);
    wh_sbatch_free(&s);
    check_ok(READ(&s, "run.threads=6", "run.name=x/y"), &error); /* the job's threads */
    assert_int_equal(s.cpus, 6);
    assert_string_equal(s.run_name, "x/y");
    assert_string_equal(s.name, "x_y");
    wh_sbatch_free(&s);
    check_ok(READ(&s, "run.name=x", "--name", "y"), &error); /* the folder keeps its name */
    assert_string_equal(s.run_name, "x");
    assert_string_equal(s.name, "y");
    wh_sbatch_free(&s);
}

static void has(const wh_text *text, const char *part) {
    if (!strstr(text->data, part)) fail_msg("no '%s' in:\n%s", part, text->data);
}

static void scripts(void **state) {
    (void)state;
    wh_sbatch s;
    wh_text text = {0};
    check_ok(READ(&s, "--nodes", "2", "--gpus-per-node", "8", "--cpus-per-task", "3", "--time",
                  "1-0", "--mem", "16G", "--partition", "a,b", "--account", "me", "--weft", "-w",
                  "data.train=it's"),
             &error);
    wh_sbatch_write(&text, &s);
    has(&text, "#!/bin/sh\n#SBATCH --job-name=my_job\n");
    has(&text, "\n#SBATCH --output=%x-%j.out\n#SBATCH --open-mode=append\n");
    has(&text, "\n#SBATCH --nodes=2\n#SBATCH --ntasks-per-node=8\n#SBATCH --gpus-per-node=8\n"
               "#SBATCH --cpus-per-task=3\n#SBATCH --mem=16G\n#SBATCH --time=1-0\n"
               "#SBATCH --partition=a,b\n#SBATCH --account=me\n#SBATCH --requeue\n"
               "#SBATCH --signal=USR1@120\n");
    /* One rank that saves longer than another is not killed over it. */
    has(&text, "--kill-on-bad-exit=0 --wait=");
    has(&text, "    ./-w train 'a/my job.yaml' 'data.train=it'\\''s' \\\n    'run.name=my job' ");
    has(&text, " run.device=cuda ");
    wh_sbatch_free(&s);
    wh_text_clear(&text);
    check_ok(READ(&s, "--array", "8%2"), &error);
    wh_sbatch_write(&text, &s);
    has(&text, "\n#SBATCH --output=%x-%A_%a.out\n");
    has(&text, "\n#SBATCH --array=0-7%2\n");
    has(&text, " sweep 'a/my job.yaml' ");
    has(&text, " --task \"$SLURM_ARRAY_TASK_ID\" || code=$?\n");
    assert_null(strstr(text.data, "--mem"));
    assert_null(strstr(text.data, "cuda"));
    wh_sbatch_free(&s);
    wh_text_free(&text);
}

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *words[5], *part;
    } cases[] = {
        {{"--nodes", "0"}, "--nodes takes a whole number from 1"},
        {{"--nodes", "two"}, "got 'two'"},
        {{"--cpus-per-task", "0"}, "--cpus-per-task"},
        {{"--gpus-per-node", "-1"}, "--gpus-per-node"},
        {{"--signal-seconds", "65536"}, "to 65535"},
        {{"--time", "soon"}, "--time takes"},
        {{"--time", "2:00"}, "raise it or lower --signal-seconds"},
        {{"--mem", "16GB"}, "--mem takes"},
        {{"--array", "0"}, "--array takes"},
        {{"--array", "4%"}, "--array takes"},
        {{"--array", "4%0"}, "--array takes"},
        {{"--array", "0-3"}, "--array takes"},
        {{"--name", "a b"}, "--name takes"},
        {{"--name", "a\n#SBATCH"}, "--name takes"},
        {{"--partition", "a b"}, "--partition takes"},
        {{"--account", "$me"}, "--account takes"},
        {{"--gpus-per-node", "1", "run.device=cpu"}, "but run.device is cpu"},
        {{"--gpus-per-node", "4", "run.device=cuda:1"}, "write cuda"},
        {{"run.device=cuda"}, "add --gpus-per-node 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wh_sbatch s;
        assert_int_equal(read_words(&s, cases[i].words), WEFT_E_CONFIG);
        if (!strstr(error.text, cases[i].part))
            fail_msg("'%s' lacks '%s'", error.text, cases[i].part);
    }
}

static int teardown(void **state) {
    (void)state;
    weft_config_free(config);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_limits),
        cmocka_unit_test(defaults),
        cmocka_unit_test(scripts),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
