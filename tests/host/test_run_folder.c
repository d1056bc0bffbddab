/* labels: unit fault */
#include "host/run_folder.h"

#include "host/folder.h"
#include "host/json_util.h"
#include "tests/host/temp_folder.h"

#include <errno.h>

static weft_error err;

static void test_name(void **state) {
    (void)state;
    wh_run_title t = {.model = "all-MiniLM L6/v2",
                      .dataset = "sst2",
                      .strategy = "fedavg",
                      .n_clients = 20,
                      .cohort = 5,
                      .local_steps = 10,
                      .batch_size = 16,
                      .accumulation = 1,
                      .max_length = 128,
                      .r = 8,
                      .alpha = 16};
    /* date -u -d @1700000000 +%Y%m%d%H%M%S */
    char *name = wh_run_name(&t, 1700000000);
    assert_string_equal(name,
                        "all-MiniLM-L6-v2_sst2_fedavg_c20s5_i10_b16a1_l128_r8a16_20231114221320");
    free(name);
    t.local_steps = 0, t.local_epochs = 2, t.alpha = 0.5, t.dataset = "";
    name = wh_run_name(&t, 0);
    assert_string_equal(name,
                        "all-MiniLM-L6-v2_none_fedavg_c20s5_e2_b16a1_l128_r8a0.5_19700101000000");
    free(name);
}

static weft_status create(const char *name, bool overwrite) {
    wh_run_folder *run = NULL;
    weft_status st = wh_run_folder_create(&run, temp_path("runs"), name, overwrite, &err);
    if (st == WEFT_OK) st = wh_run_folder_write(run, "config.resolved.yaml", "a: 1\n", &err);
    wh_run_folder_close(run);
    return st;
}

static void test_existing_folders(void **state) {
    (void)state;
    check_ok(create("one", false), &err);
    check_fails(create("one", false), WEFT_E_OUTPUT, &err, "run.overwrite=true");
    assert_non_null(strstr(err.text, "/runs/one exists"));
    /* replaced as a whole, but nothing that a link in it points to */
    check_ok(wh_folder_make(temp_path("outside"), &err), &err);
    temp_text(temp_path("outside/keep"), "x");
    check_ok(wh_folder_make(temp_path("runs/one/checkpoints/round_1"), &err), &err);
    temp_text(temp_path("runs/one/checkpoints/round_1/state"), "x");
    assert_int_equal(symlink(temp_path("outside"), temp_path("runs/one/checkpoints/latest")), 0);
    check_ok(create("one", true), &err);
    assert_int_equal(temp_count(temp_path("runs/one")), 2); /* and .lock */
    assert_true(temp_exists(temp_path("outside/keep")));
    /* not ours: left alone even with overwrite */
    check_ok(wh_folder_make(temp_path("runs/photos"), &err), &err);
    check_ok(create("photos", false), &err); /* empty is fine */
    (void)unlink(temp_path("runs/photos/config.resolved.yaml"));
    (void)unlink(temp_path("runs/photos/.lock"));
    temp_text(temp_path("runs/photos/a.jpg"), "x");
    check_fails(create("photos", true), WEFT_E_OUTPUT, &err, "is not a run folder");
    assert_true(temp_exists(temp_path("runs/photos/a.jpg")));
    temp_text(temp_path("runs/file"), "x");
    check_fails(create("file", true), WEFT_E_OUTPUT, &err, "a file has that name");
}

static void test_bad_places(void **state) {
    (void)state;
    wh_run_folder *run = NULL;
    static const char *const names[] = {"", ".", "..", "a/b", "/abs"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_fails(create(names[i], false), WEFT_E_CONFIG, &err, "run.output_dir");
    temp_text(temp_path("file"), "x");
    check_fails(wh_run_folder_create(&run, temp_path("file"), "a", false, &err), WEFT_E_OUTPUT,
                &err, "is a file");
    assert_int_equal(wh_run_folder_create(&run, "/proc", "weft-run", false, &err), WEFT_E_OUTPUT);
    assert_non_null(strstr(err.text, "/proc/weft-run"));
    assert_null(run);
}

static void test_command(void **state) {
    (void)state;
    wh_run_folder *run = NULL;
    char weft[] = "weft", train[] = "train", name[] = "run.name=it's a b", empty[] = "";
    char *argv[] = {weft, train, name, empty};
    check_ok(wh_run_folder_create(&run, temp_folder, "r", false, &err), &err);
    check_ok(wh_run_folder_write_command(run, 4, argv, &err), &err);
    char *path = wh_run_folder_file(run, "command.txt"), *text = temp_read(path, NULL);
    assert_memory_equal(text, "cd ", 3);
    assert_string_equal(strchr(text, '\n') + 1, "weft train 'run.name=it'\\''s a b' ''\n");
    free(text);
    free(path);
    wh_run_folder_close(run);
}

static void test_environment(void **state) {
    (void)state;
    wh_run_folder *run = NULL;
    json_t *env = NULL;
    int64_t n = 0;
    const char *s = NULL;
    const weft_engine_info info = {.architecture = "bert", .backend = "cpu", .threads = 2};
    assert_int_equal(setenv("SLURM_JOB_ID", "4711", 1), 0);
    check_ok(wh_run_folder_create(&run, temp_folder, "r", false, &err), &err);
    check_ok(wh_run_folder_write_env(run, &info, &err), &err);
    assert_int_equal(unsetenv("SLURM_JOB_ID"), 0);
    check_ok(wh_json_load(&env, temp_path("r/env.json"), 1 << 20, &err), &err);
    check_ok(wh_json_int(env, "env", "cores_online", 1, 1 << 20, &n, &err), &err);
    check_ok(wh_json_int(env, "env", "memory_bytes", 1 << 20, INT64_MAX, &n, &err), &err);
    check_ok(wh_json_string(env, "env", "backend", &s, &err), &err);
    assert_string_equal(s, "cpu");
    assert_true(json_is_null(json_object_get(env, "backend_note")));
    check_ok(wh_json_string(json_object_get(env, "slurm"), "env", "SLURM_JOB_ID", &s, &err), &err);
    assert_string_equal(s, "4711");
    json_decref(env);
    env = wh_environment(NULL);
    assert_non_null(env);
    assert_null(json_object_get(env, "slurm"));
    assert_null(json_object_get(env, "backend"));
    json_decref(env);
    wh_run_folder_close(run);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name), TEST(test_existing_folders), TEST(test_bad_places),
        TEST(test_command),          TEST(test_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
