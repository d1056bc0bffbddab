/* labels: fault fed */
/* Every file operation of a run fails in turn, those of its checkpoints among them. Each failure is
 * one clear line, no checkpoint is ever half there, and the run that then goes on ends with the
 * bytes of one that was never disturbed. */
#include "host/checkpoint.h"

#include "host/atomic_file.h"
#include "host/folder.h"
#include "host/interrupt.h"
#include "host/json_util.h"
#include "host/train_resume.h"
#include "tests/host/temp_folder.h"

#include <errno.h>

#define ROWS 24

static const wh_verb train_verb = {.name = "train", .flags = WH_FLAG_SET | WH_FLAG_RESUME};

static wh_cli cli; /* too large for a stack frame */
static weft_error err;

static void set(const char *key, const char *value) {
    (void)snprintf(cli.set[cli.n_sets].key, WH_CLI_MAX_KEY, "%s", key);
    cli.set[cli.n_sets++].value = value;
}

static char data_path[256], runs_path[256];

static void make_job(void) {
    char text[4096];
    size_t used = 0;
    static const char *const words[] = {"good", "bad", "small", "big", "plant", "water"};
    for (int i = 0; i < ROWS; i++)
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "{\"text\": \"%s the %s\", \"label\": \"c%d\"}\n", words[i % 6],
                                 words[(i * 5 + 1) % 6], i % 2);
    (void)snprintf(data_path, sizeof data_path, "%s", temp_path("train.jsonl"));
    (void)snprintf(runs_path, sizeof runs_path, "%s", temp_path("runs"));
    temp_text(data_path, text);
    memset(&cli, 0, sizeof cli);
    static char word[] = "weft";
    static char *const argv[] = {word};
    cli.verb = &train_verb, cli.argc = 1, cli.argv = argv;
    cli.quiet = true;
    set("model.path", WEFT_TEST_DIR "/golden/hf_bert");
    set("run.threads", "1");
    set("run.device", "cpu");
    set("run.output_dir", runs_path);
    set("data.train", data_path);
    set("data.test", data_path);
    set("fl.num_clients", "4");
    set("fl.clients_per_round", "2");
    set("fl.num_rounds", "3");
    set("fl.strategy", "fedadam");
    set("client.optimizer_state", "keep");
    set("engine.state_pool_mib", "0");
    set("engine.slots", "1");
    set("checkpoint.save_every", "1");
}

/* One process: from the beginning, or with --resume auto from what is there. */
static weft_status train(const char *name, bool resume) {
    wh_job job;
    wh_train_run run;
    const int n = cli.n_sets;
    set("run.name", name);
    cli.resume = resume ? "auto" : NULL;
    memset(&err, 0, sizeof err);
    weft_status st =
        wh_job_open(&job, NULL, &cli, WH_JOB_WEIGHTS | WH_JOB_TRAIN | WH_JOB_TEST, &err);
    cli.n_sets = n;
    if (st != WEFT_OK) return st;
    st = wh_train_run_open(&run, &job, &cli, NULL, &err);
    if (st == WEFT_OK) st = wh_train_run_rounds(&run, &err);
    if (st == WEFT_OK) st = wh_train_run_finish(&run, 0, &err);
    wh_train_run_close(&run);
    wh_job_close(&job);
    return st;
}

static char *in_run(const char *name, const char *file) {
    static char path[2][400];
    static int which;
    which = 1 - which;
    (void)snprintf(path[which], sizeof path[which], "%s/%s/%s", runs_path, name, file);
    return path[which];
}

static void check_same_file(const char *a, const char *b, const char *file) {
    size_t n = 0, m = 0;
    char *x = temp_read(in_run(a, file), &n), *y = temp_read(in_run(b, file), &m);
    if (n != m || memcmp(x, y, n) != 0) print_error("%s of %s and %s differs\n", file, a, b);
    assert_true(n == m && memcmp(x, y, n) == 0);
    free(x);
    free(y);
}

static void check_same_run(const char *a, const char *b) {
    check_same_file(a, b, "adapter/adapter_model.safetensors");
    check_same_file(a, b, "metrics.jsonl");
    check_same_file(a, b, "rounds.csv");
    check_same_file(a, b, "clients.csv");
    check_same_file(a, b, "checkpoints/latest/state.safetensors");
}

/* All that stand there under a final name can be opened. */
static size_t check_checkpoints(const char *name) {
    char run[300];
    int64_t *rounds = NULL;
    size_t n = 0;
    (void)snprintf(run, sizeof run, "%s/%s", runs_path, name);
    check_ok(wh_checkpoint_rounds(&rounds, &n, run, &err), &err);
    for (size_t i = 0; i < n; i++) {
        wh_checkpoint c = {0};
        weft_error local = {0};
        char *path = wh_checkpoint_path(run, rounds[i]);
        check_ok(wh_checkpoint_open(&c, path, &local), &local);
        assert_int_equal(c.state.rounds_done, rounds[i]);
        wh_checkpoint_close(&c);
        free(path);
    }
    free(rounds);
    return n;
}

static void test_every_operation_fails_in_turn(void **state) {
    (void)state;
    make_job();
    wh_file_fault(0, 0);
    check_ok(train("whole", false), &err);
    const int64_t operations = wh_file_operations();
    assert_int_equal(check_checkpoints("whole"), 2);
    int64_t failures = 0, went_on = 0;
    for (int64_t at = 1; at <= operations; at++) {
        char name[32];
        (void)snprintf(name, sizeof name, "r%d", (int)at);
        wh_file_fault(at, at % 2 ? ENOSPC : EIO);
        const weft_status st = train(name, false);
        wh_file_fault(0, 0);
        if (st != WEFT_OK) {
            failures++;
            check_fails(st, WEFT_E_OUTPUT, &err, at % 2 ? "No space left" : "Input/output error");
        }
        went_on += check_checkpoints(name) > 0;
        check_ok(train(name, true), &err);
        check_same_run("whole", name);
        check_ok(wh_folder_remove(in_run(name, "."), false, NULL, &err), &err);
    }
    print_message("%lld operations, %lld ended the run, %lld left a checkpoint\n",
                  (long long)operations, (long long)failures, (long long)went_on);
    assert_true(operations > 100 && failures > operations * 9 / 10 && went_on > operations / 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_operation_fails_in_turn, temp_setup,
                                        temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
