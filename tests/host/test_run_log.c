/* labels: unit fault */
#include "host/run_log.h"

#include "host/atomic_file.h"
#include "host/json_util.h"
#include "tests/host/temp_folder.h"

#include <errno.h>
#include <math.h>

static weft_error err;

static const weft_client_report clients[] = {
    {.client = 7,
     .rows = 10,
     .steps = 2,
     .examples = 8,
     .tokens = 64,
     .weight = 0.25,
     .loss = 0.5,
     .last_loss = 0.1,
     .update_norm = 1.5,
     .wire = {.down = 50, .up = 50}},
    {.client = 3,
     .rows = 30,
     .steps = 2,
     .examples = 8,
     .tokens = 80,
     .skipped = true,
     .wire = {.down = 50}},
};
static const weft_round_report report = {
    .round = 1,
    .n_clients = 2,
    .n_skipped = 1,
    .clients = clients,
    .loss = 2.0 / 3,
    .learning_rate = 5e-4,
    .steps = 4,
    .examples = 16,
    .tokens = 144,
    .packs = 9,
    .wire = {100, 50, 60, 40, 1, 10, 3, 36},
    .wire_total = {.down = 5000000000, .up = 50},
    .local_steps = 2,
    .local_steps_total = 7,
    .barriers = 1,
};
static const weft_metrics eval = {.n = 8,
                                  .loss = 0.25,
                                  .accuracy = 0.875,
                                  .f1_macro = 0.75,
                                  .f1_binary = 0.5,
                                  .matthews = -0.5,
                                  .pearson = 9,
                                  .spearman = 9,
                                  .mse = 9};

static wh_run_folder *folder;
static wh_run_log *open_log(const char *name, wh_run_log_options options) {
    wh_run_log *log = NULL;
    check_ok(wh_run_folder_create(&folder, temp_folder, name, false, &err), &err);
    check_ok(wh_run_log_open(&log, folder, &options, &err), &err);
    return log;
}

static void close_log(wh_run_log *log) {
    check_ok(wh_run_log_close(log, &err), &err);
    wh_run_folder_close(folder);
}

/* After the columns of the evaluation; these of a job without checks. */
#define MORE_KEYS                                                                                  \
    "\"wire_model_down_bytes\": 60, \"wire_model_up_bytes\": 40, "                                 \
    "\"wire_state_down_bytes\": 1, \"wire_state_up_bytes\": 10, "                                  \
    "\"wire_verdict_down_bytes\": 3, \"wire_once_down_bytes\": 36, \"local_steps\": "              \
    "2, \"local_steps_total\": 7, \"barriers\": 1, \"checks\": 0, \"estimate\": "                  \
    "null, \"variance\": null, \"theta\": null, \"theta_next\": null, "                            \
    "\"kept_theta\": 0"
#define MORE_NAMES                                                                                 \
    "wire_model_down_bytes,wire_model_up_bytes,wire_state_down_bytes,wire_state_up_bytes,"         \
    "wire_verdict_down_bytes,wire_once_down_bytes,local_steps,local_steps_total,barriers,checks,"  \
    "estimate,variance,theta,theta_next,kept_theta"

static void test_classification(void **state) {
    (void)state;
    wh_run_log *log =
        open_log("r", (wh_run_log_options){.binary_f1 = true, .evaluates_clients = true});
    const weft_metrics client_eval[] = {eval, {0}};
    weft_round_report second = report;
    second.round = 2, second.loss = (double)NAN, second.n_clients = 0;
    check_ok(wh_run_log_round(log, &report, &eval, client_eval, &err), &err);
    check_ok(wh_run_log_round(log, &second, NULL, NULL, &err), &err);
    close_log(log);
    assert_file(
        temp_path("r/metrics.jsonl"),
        "{\"round\": 1, \"loss\": 0.6666666666666666, \"lr\": 0.0005, \"clients\": 2, \"skipped\": "
        "1, "
        "\"examples\": 16, \"tokens\": 144, \"steps\": 4, \"wire_down_bytes\": 100, "
        "\"wire_up_bytes\": 50, \"wire_down_total_bytes\": 5000000000, \"wire_up_total_bytes\": "
        "50, "
        "\"eval_n\": 8, \"eval_loss\": 0.25, \"eval_accuracy\": 0.875, \"eval_f1_macro\": 0.75, "
        "\"eval_f1_binary\": 0.5, \"eval_matthews\": -0.5, " MORE_KEYS "}\n"
        "{\"round\": 2, \"loss\": null, \"lr\": 0.0005, \"clients\": 0, \"skipped\": 1, "
        "\"examples\": 16, \"tokens\": 144, \"steps\": 4, \"wire_down_bytes\": 100, "
        "\"wire_up_bytes\": 50, \"wire_down_total_bytes\": 5000000000, \"wire_up_total_bytes\": "
        "50, " MORE_KEYS "}\n");
    assert_file(
        temp_path("r/rounds.csv"),
        "round,loss,lr,clients,skipped,examples,tokens,steps,wire_down_bytes,wire_up_bytes,"
        "wire_down_total_bytes,wire_up_total_bytes,eval_n,eval_loss,eval_accuracy,"
        "eval_f1_macro,eval_f1_binary,eval_matthews," MORE_NAMES "\n"
        "1,0.6666666666666666,0.0005,2,1,16,144,4,100,50,5000000000,50,8,0.25,0.875,0.75,0.5,"
        "-0.5,60,40,1,10,3,36,2,7,1,0,,,,,0\n"
        "2,nan,0.0005,0,1,16,144,4,100,50,5000000000,50,,,,,,,60,40,1,10,3,36,2,7,1,0,,,,,0\n");
    assert_false(temp_exists(temp_path("r/checks.csv")));
    assert_file(temp_path("r/clients.csv"),
                "round,client,rows,steps,examples,tokens,weight,loss,last_loss,update_norm,skipped,"
                "wire_down_bytes,wire_up_bytes,eval_n,eval_loss,eval_accuracy,eval_f1_macro,eval_"
                "f1_binary,eval_matthews\n"
                "1,7,10,2,8,64,0.25,0.5,0.1,1.5,0,50,50,8,0.25,0.875,0.75,0.5,-0.5\n"
                "1,3,30,2,8,80,0.0,0.0,0.0,0.0,1,50,0,,,,,,\n");
}

static void test_regression_has_other_columns(void **state) {
    (void)state;
    wh_run_log *log = open_log("r", (wh_run_log_options){.is_regression = true});
    const weft_metrics m = {
        .n = 4, .loss = 1, .pearson = 0.5, .spearman = 0.25, .mse = 1, .is_regression = true};
    check_ok(wh_run_log_round(log, &report, &m, NULL, &err), &err);
    close_log(log);
    char *text = temp_read(temp_path("r/rounds.csv"), NULL);
    assert_non_null(
        strstr(text, "eval_n,eval_loss,eval_pearson,eval_spearman,eval_mse," MORE_NAMES "\n"));
    assert_non_null(strstr(text, ",4,1.0,0.5,0.25,1.0,60,"));
    free(text);
    json_t *object = wh_metrics_json(&m, false);
    assert_int_equal(json_object_size(object), 5);
    json_decref(object);
}

static const weft_check checks[] = {
    {.steps = 3,
     .estimate = 0.75,
     .variance = 0.5,
     .group = {0.1, 0.2, 0.2},
     .mean_sqnorm = 2,
     .theta = 1e300,
     .clients = 2},
    {.steps = 6,
     .estimate = (double)INFINITY,
     .variance = (double)NAN,
     .group = {(double)NAN, (double)NAN, (double)NAN},
     .mean_sqnorm = (double)INFINITY,
     .theta = 1e300,
     .clients = 1,
     .synchronise = true},
};

/* Reals in full; what is not finite, and an error against nothing, leave their cells empty. */
static void test_checks(void **state) {
    (void)state;
    wh_run_log *log = open_log("r", (wh_run_log_options){.has_checks = true});
    weft_round_report r = report;
    r.checks = checks, r.n_checks = 2;
    r.theta = 1e300, r.theta_next = 1.0 / 3, r.kept_theta = true;
    check_ok(wh_run_log_round(log, &r, NULL, NULL, &err), &err);
    r.round = 2, r.n_checks = 1, r.kept_theta = false, r.theta = (double)NAN;
    weft_check none = checks[0];
    none.variance = 0, none.estimate = 0, r.checks = &none;
    check_ok(wh_run_log_round(log, &r, NULL, NULL, &err), &err);
    check_ok(wh_run_log_flush(log, false, &err), &err);
    json_t *files = wh_run_log_offsets(log);
    assert_int_equal(json_object_size(files), 5);
    close_log(log);
    static const char whole[] =
        "round,check,steps,clients,estimate,variance,error,variance_a,variance_b,variance_saved,"
        "mean_sqnorm,theta,synchronise\n"
        "1,1,3,2,0.75,0.5,0.5,0.1,0.2,0.2,2.0,1e+300,0\n"
        "1,2,6,1,,,,,,,,1e+300,1\n"
        "2,1,3,2,0.0,0.0,,0.1,0.2,0.2,2.0,1e+300,0\n";
    assert_file(temp_path("r/checks.csv"), whole);
    char *text = temp_read(temp_path("r/rounds.csv"), NULL);
    assert_non_null(strstr(text, ",2,7,1,2,,,1e+300,0.3333333333333333,1\n2,"));
    assert_non_null(strstr(text, ",2,7,1,1,0.0,0.0,,0.3333333333333333,0\n"));
    free(text);
    text = temp_read(temp_path("r/metrics.jsonl"), NULL);
    assert_non_null(strstr(text, "\"checks\": 2, \"estimate\": null, \"variance\": null, "
                                 "\"theta\": 1e+300, \"theta_next\": 0.3333333333333333, "
                                 "\"kept_theta\": 1}\n"));
    free(text);
    /* A resumed run goes on from where the checkpoint says; one that does not say is refused. */
    temp_text(temp_path("r/config.resolved.yaml"), "");
    check_ok(wh_run_folder_open(&folder, temp_path("r"), &err), &err);
    json_object_set_new(files, "checks.csv", json_integer((json_int_t)strlen(whole) - 42));
    wh_run_log_options options = {.has_checks = true, .cut = files};
    check_ok(wh_run_log_open(&log, folder, &options, &err), &err);
    check_ok(wh_run_log_close(log, &err), &err);
    text = temp_read(temp_path("r/checks.csv"), NULL);
    assert_int_equal(strlen(text), strlen(whole) - 42);
    free(text);
    json_object_del(files, "checks.csv");
    check_fails(wh_run_log_open(&log, folder, &options, &err), WEFT_E_RESUME, &err,
                "does not say how long checks.csv was");
    options.has_checks = false;
    check_ok(wh_run_log_open(&log, folder, &options, &err), &err);
    close_log(log);
    json_decref(files);
}

static void test_timing_events_and_log(void **state) {
    (void)state;
    wh_run_log *log = open_log("r", (wh_run_log_options){0});
    const wh_round_timing timing = {.round = 1,
                                    .tokens = 100,
                                    .clients = 4,
                                    .packs = 3,
                                    .train_seconds = 0.5,
                                    .cpu_seconds = 0.75,
                                    .anonymous_bytes = 1024,
                                    .peak_anonymous_bytes = 2048,
                                    .peak_rss_bytes = 4096};
    const wh_round_timing instant = {
        .round = 2,
        .tokens = 100,
        .swap = {.record_bytes = 256, .in = 2, .out = 3, .stayed = 1, .read = 4, .written = 5},
        .exchanges = {.n = 7, .seconds = 0.25, .bytes = 36328}};
    check_ok(wh_run_log_timing(log, &timing, &err), &err);
    check_ok(wh_run_log_timing(log, &instant, &err), &err);
    json_t *fields = json_pack("{s:i, s:s}", "client", 3, "why", "a \"quote\"\nand a line");
    check_ok(wh_run_log_event(log, "client_skipped", fields, &err), &err);
    check_ok(wh_run_log_event(log, "stopped", NULL, &err), &err);
    json_decref(fields);
    check_ok(wh_run_log_line(log, WEFT_LOG_WARN, "engine", "two\nlines", &err), &err);
    check_ok(wh_run_log_flush(log, true, &err), &err);
    assert_file(temp_path("r/timing.jsonl"),
                "{\"round\": 1, \"seconds\": 0.5, \"cpu_seconds\": 0.75, \"eval_seconds\": 0.0, "
                "\"tokens_per_s\": 200.0, "
                "\"client_updates_per_s\": 8.0, \"anonymous_bytes\": 1024, "
                "\"peak_anonymous_bytes\": 2048, \"peak_rss_bytes\": 4096, \"packs\": 3}\n"
                "{\"round\": 2, \"seconds\": 0.0, \"cpu_seconds\": 0.0, \"eval_seconds\": 0.0, "
                "\"tokens_per_s\": null, "
                "\"client_updates_per_s\": null, \"anonymous_bytes\": 0, "
                "\"peak_anonymous_bytes\": 0, \"peak_rss_bytes\": 0, \"packs\": 0, "
                "\"state_in_bytes\": 512, \"state_out_bytes\": 768, \"state_stayed\": 1, "
                "\"state_read_bytes\": 1024, \"state_written_bytes\": 1280, "
                "\"exchanges\": 7, \"exchange_seconds\": 0.25, \"exchange_bytes\": 36328}\n");
    char *text = temp_read(temp_path("r/log.txt"), NULL);
    assert_string_equal(text + 20, " warn engine: two lines\n");
    free(text);
    text = temp_read(temp_path("r/events.jsonl"), NULL);
    *strchr(text, '\n') = '\0';
    json_t *event = NULL;
    check_ok(wh_json_parse(&event, text, strlen(text), "event", &err), &err);
    assert_string_equal(json_string_value(json_object_get(event, "why")),
                        "a \"quote\"\nand a line");
    json_decref(event);
    free(text);
    close_log(log);
}

static void test_same_input_same_bytes(void **state) {
    (void)state;
    static const char *const names[] = {"metrics.jsonl", "rounds.csv", "clients.csv",
                                        "timing.jsonl"};
    for (int run = 0; run < 2; run++) {
        wh_run_log *log = open_log(run ? "b" : "a", (wh_run_log_options){0});
        for (int i = 0; i < 50; i++) {
            weft_round_report r = report;
            r.round = i + 1, r.loss = 1.0 / (i + 3);
            check_ok(wh_run_log_round(log, &r, i % 5 ? NULL : &eval, NULL, &err), &err);
            if (run) check_ok(wh_run_log_flush(log, false, &err), &err);
        }
        close_log(log);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char a[64], b[64];
        (void)snprintf(a, sizeof a, "a/%s", names[i]);
        (void)snprintf(b, sizeof b, "b/%s", names[i]);
        char *text = temp_read(temp_path(a), NULL);
        assert_file(temp_path(b), text);
        free(text);
    }
}

static bool ends_in_whole_line(const char *path) {
    size_t n = 0;
    char *text = temp_read(path, &n);
    bool whole = n == 0 || text[n - 1] == '\n';
    free(text);
    return whole;
}

/* Every file operation fails in turn, from opening to closing. */
static void test_failures_leave_whole_lines(void **state) {
    (void)state;
    static const char *const names[] = {"metrics.jsonl", "rounds.csv",   "clients.csv",
                                        "checks.csv",    "timing.jsonl", "events.jsonl",
                                        "log.txt"};
    weft_round_report checked = report;
    checked.checks = checks, checked.n_checks = 2;
    int64_t operations = 1; /* of a run in which nothing fails, which comes first */
    for (int64_t i = 0; i <= operations; i++) {
        wh_run_log *log = NULL;
        const wh_run_log_options options = {.has_checks = true};
        char name[32];
        (void)snprintf(name, sizeof name, "run%ld", (long)i);
        check_ok(wh_run_folder_create(&folder, temp_folder, name, false, &err), &err);
        wh_file_fault(i, ENOSPC);
        weft_status st = wh_run_log_open(&log, folder, &options, &err);
        for (int round = 0; round < 3 && st == WEFT_OK; round++) {
            st = wh_run_log_round(log, &checked, &eval, NULL, &err);
            if (st == WEFT_OK) st = wh_run_log_line(log, WEFT_LOG_INFO, "host", "round", &err);
            if (st == WEFT_OK) st = wh_run_log_flush(log, round == 1, &err);
        }
        weft_error late = {0};
        weft_status closed = wh_run_log_close(log, st == WEFT_OK ? &err : &late);
        if (st == WEFT_OK) st = closed;
        if (i == 0) {
            check_ok(st, &err);
            operations = wh_file_operations();
        } else {
            check_fails(st, WEFT_E_OUTPUT, &err, "No space left");
        }
        wh_file_fault(0, 0);
        for (size_t f = 0; f < sizeof names / sizeof *names; f++) {
            char path[300];
            (void)snprintf(path, sizeof path, "%s/%s/%s", temp_folder, name, names[f]);
            if (temp_exists(path)) assert_true(ends_in_whole_line(path));
        }
        wh_run_folder_close(folder);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_classification),
        TEST(test_regression_has_other_columns),
        TEST(test_checks),
        TEST(test_timing_events_and_log),
        TEST(test_same_input_same_bytes),
        TEST(test_failures_leave_whole_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
