/* labels: unit fault */
#include "host/report_page.h"

#include "host/atomic_file.h"
#include "host/html.h"
#include "tests/host/temp_folder.h"

#include <errno.h>
#include <math.h>

static weft_error err;

static const char METRICS[] =
    "{\"round\": 1, \"loss\": 2.0, \"clients\": 2, \"skipped\": 0, \"tokens\": 10, "
    "\"wire_down_bytes\": 100, \"wire_up_bytes\": 90, \"wire_down_total_bytes\": 100, "
    "\"wire_up_total_bytes\": 90}\n"
    "{\"round\": 2, \"loss\": 1.0, \"clients\": 2, \"skipped\": 1, \"tokens\": 10, "
    "\"wire_down_bytes\": 100, \"wire_up_bytes\": 50, \"wire_down_total_bytes\": 200, "
    "\"wire_up_total_bytes\": 140, \"eval_n\": 9, \"eval_loss\": 0.5, \"eval_accuracy\": 0.75, "
    "\"eval_f1_macro\": 0.5, \"eval_matthews\": null}\n";
static const char TIMING[] = "{\"round\": 1, \"seconds\": 2.0, \"tokens_per_s\": 5, "
                             "\"peak_rss_bytes\": 1048576, \"peak_anonymous_bytes\": 1000}\n"
                             "{\"round\": 2, \"seconds\": 3.0, \"tokens_per_s\": 4, "
                             "\"peak_rss_bytes\": 2097152, \"peak_anonymous_bytes\": 900}\n";
static const char PARTITION[] =
    "{\"n_clients\": 3, \"rows\": 12, \"rows_min\": 2, \"rows_median\": 3, \"rows_max\": 7, "
    "\"classes_min\": 1, \"classes_max\": 2, \"classes_mean\": 1.5, \"label_skew\": 0.25, "
    "\"n_labels\": 2, \"labels\": [\"<script>\", \"b\"], \"label_rows\": [6, 6], \"clients\": ["
    "{\"client\": 2, \"rows\": 7, \"label_rows\": [7, 0]}, {\"client\": 0, \"rows\": 3, "
    "\"label_rows\": [0, 3]}, {\"client\": 1, \"rows\": 2, \"label_rows\": [1, 1]}]}\n";
static const char CLIENTS[] =
    "round,client,rows,loss,update_norm,skipped,wire_down_bytes,wire_up_bytes\n"
    "1,0,3,2.5,1.0,0,50,45\n1,2,7,1.5,3.0,0,50,45\n2,0,3,nan,0,1,50,0\n2,2,7,0.9,2.0,0,50,50\n";

static const char *in_run(const char *name) {
    char path[128];
    (void)snprintf(path, sizeof path, "run/%s", name);
    return temp_path(path);
}

static int setup(void **state) {
    if (temp_setup(state) != 0 || mkdir(temp_path("run"), 0777) != 0) return -1;
    temp_text(in_run("metrics.jsonl"), METRICS);
    temp_text(in_run("timing.jsonl"), TIMING);
    temp_text(in_run("partition_summary.json"), PARTITION);
    temp_text(in_run("clients.csv"), CLIENTS);
    return 0;
}

static wh_run_view *view_of(const char *path) {
    wh_run_view *view = NULL;
    check_ok(wh_run_view_read(&view, path, true, &err), &err);
    return view;
}

/* The page, written; free it. */
static char *page(void) {
    check_ok(wh_report_write(temp_path("run"), &err), &err);
    return temp_read(in_run("report.html"), NULL);
}

static void has(const char *text, const char *part) {
    if (!strstr(text, part)) print_error("no '%s'\n", part);
    assert_non_null(strstr(text, part));
}

static void test_view(void **state) {
    (void)state;
    wh_run_view *v = view_of(temp_path("run/"));
    assert_string_equal(v->name, "run");
    assert_int_equal(v->rounds, 2);
    assert_true(v->bytes_down == 200 && v->bytes_up == 140 && v->seconds == 5);
    assert_true(v->round_up.lo == 50 && v->round_up.hi == 90 && v->round_down.lo == 100);
    assert_int_equal(v->tokens, 20);
    assert_int_equal(v->updates, 3);
    assert_int_equal(v->skipped, 1);
    assert_int_equal(v->peak_rss, 2097152);
    assert_int_equal(v->anon_rss, 1000);
    assert_int_equal(v->loss->n_points, 2);
    assert_int_equal(v->metric->n_points, 1);
    assert_true(v->metric->last.y == 0.75 && v->metric->last.bytes == 340 &&
                v->metric->last.seconds == 5);
    assert_int_equal(v->n_clients, 3);
    static const uint32_t VISITS[] = {2, 0, 2};
    static const uint64_t UP[] = {45, 0, 95};
    for (int c = 0; c < 3; c++) {
        assert_int_equal(v->client[c].visits, VISITS[c]);
        assert_int_equal(v->client[c].up, UP[c]);
    }
    /* A client without a finite gradient is not in the bands. */
    assert_true(v->client_loss->bin[0].low.y == 1.5 && v->client_loss->bin[0].high.y == 2.5);
    assert_true(v->client_loss->bin[1].low.y == 0.9 && v->client_loss->bin[1].high.y == 0.9);
    assert_true(v->mean_norm->last.y == 2.0 && v->mean_norm->bin[0].low.y == 2.0);
    wh_run_view_free(v);
    temp_text(in_run("summary.json"), "{\"name\": \"n\", \"num_rounds\": 2}");
    v = view_of(in_run("summary.json"));
    assert_string_equal(v->name, "n");
    assert_int_equal(v->rounds, 2);
    wh_run_view_free(v);
}

/* A run that died: no summary, half a line at the end, one line fewer in the second file. */
static void test_died(void **state) {
    (void)state;
    char cut[sizeof METRICS];
    (void)snprintf(cut, sizeof cut, "%.*s", (int)(sizeof METRICS - 40), METRICS);
    temp_text(in_run("metrics.jsonl"), cut);
    wh_run_view *v = view_of(temp_path("run"));
    assert_int_equal(v->rounds, 1);
    wh_run_view_free(v);
    temp_text(in_run("metrics.jsonl"), METRICS);
    temp_write(in_run("timing.jsonl"), TIMING, (size_t)(strchr(TIMING, '\n') + 1 - TIMING));
    v = view_of(temp_path("run"));
    assert_int_equal(v->rounds, 2);
    assert_true(v->seconds == 2 && isnan(v->loss->last.seconds));
    wh_run_view_free(v);
    temp_text(in_run("events.jsonl"),
              "{\"event\": \"start\"}\n{\"event\": \"baselines\", \"linear_probe\": {\"accuracy\": "
              "0.5}}\n");
    char *text = page();
    has(text, "The run has not ended");
    has(text, "accuracy 0.7500 on 9 test rows after round 2, 0.25 above the linear probe.");
    free(text);
    temp_text(in_run("events.jsonl"),
              "{\"event\": \"failed\", \"message\": \"no <room> left\"}\n{\"event\": \"fail");
    text = page();
    has(text, "The run failed after 2 rounds: no &lt;room&gt; left");
    free(text);
    /* It went on after a stop whose summary is still there, and died then. */
    temp_text(in_run("summary.json"), "{\"name\": \"n\", \"num_rounds\": 9, \"rounds_done\": 1, "
                                      "\"stopped_by_signal\": 2}");
    temp_text(in_run("events.jsonl"),
              "{\"event\": \"start\"}\n{\"event\": \"failed\"}\n{\"event\": "
              "\"stopped\"}\n{\"event\": \"resume\"}\n");
    text = page();
    has(text, "The run has not ended: what is recorded are 2 of 9 rounds.");
    assert_null(strstr(text, "signal"));
    free(text);
    temp_text(in_run("events.jsonl"), "{\"event\": \"resume\"}\n{\"event\": \"stopped\"}\n");
    text = page();
    has(text, "The run was stopped by signal 2 after 2 of 9 rounds.");
    free(text);
}

static void test_not_a_run(void **state) {
    (void)state;
    wh_run_view *v = NULL;
    check_fails(wh_run_view_read(&v, temp_folder, true, &err), WEFT_E_DATA, &err,
                "not a run folder");
    temp_text(in_run("metrics.jsonl"), "{\"round\": 1}\n{\"round\": 2,,}\n");
    check_fails(wh_run_view_read(&v, temp_path("run"), true, &err), WEFT_E_DATA, &err,
                "metrics.jsonl, line 2");
    temp_text(in_run("metrics.jsonl"), METRICS);
    temp_text(
        in_run("clients.csv"),
        "round,client,loss,update_norm,skipped,wire_down_bytes,wire_up_bytes\n1,3,0,0,0,1,1\n");
    check_fails(wh_run_view_read(&v, temp_path("run"), true, &err), WEFT_E_DATA, &err,
                "clients.csv, line 2: client 3 of a run with 3 clients");
    temp_text(
        in_run("clients.csv"),
        "round,client,loss,update_norm,skipped,wire_down_bytes,wire_up_bytes\n1,x,0,0,0,1,1\n");
    check_fails(wh_run_view_read(&v, temp_path("run"), true, &err), WEFT_E_DATA, &err,
                "'x' is not a whole number");
    temp_text(in_run("clients.csv"),
              "round,client,loss,update_norm,skipped,wire_down_bytes,wire_up_bytes\n1,1\n");
    check_fails(wh_run_view_read(&v, temp_path("run"), true, &err), WEFT_E_DATA, &err,
                "too few cells");
    temp_text(in_run("clients.csv"), CLIENTS);
    temp_text(in_run("plan.json"), "[1]");
    check_fails(wh_run_view_read(&v, temp_path("run"), true, &err), WEFT_E_DATA, &err,
                "plan.json must hold a JSON object");
    assert_null(v);
}

/* Whatever names say, the page has the tags and addresses that it has without them. */
static void test_nothing_from_outside(void **state) {
    (void)state;
    temp_text(in_run("summary.json"), "{\"name\": \"</title><img src=x onerror=y>\", "
                                      "\"num_rounds\": 2, \"num_clients\": 3}");
    temp_text(in_run("command.txt"), "cd 'a</pre><script>'\n");
    temp_text(in_run("env.json"), "{\"host\": \"<u onclick=x>\", \"slurm\": {\"<b>\": 1}}");
    temp_text(in_run("config.resolved.yaml"),
              "run:\n  name: \"<i>\"\nfl:\n  num_rounds: 2\n  strategy: fedadam\n");
    char *text = page();
    static const char *const NEVER[] = {"<script", "<img",  "<a ",     "<i>",   "<b>:", "@import",
                                        "url(",    "<link", "<iframe", " href", "http:"};
    for (size_t i = 0; i < sizeof NEVER / sizeof *NEVER; i++) {
        assert_null(strstr(text, NEVER[i]));
    }
    has(text, "default-src 'none'");
    has(text, "&lt;img src=x onerror=y&gt;");
    has(text, "&lt;script&gt;</text>"); /* the label */
    has(text, "fl.strategy</td><td>fedadam");
    assert_null(strstr(text, "fl.num_clients</td>")); /* a default */
    has(text, "a client in a round</td><td>50 (50 B)</td><td>0 to 50");
    has(text, "A client was trained in 0 to 2 of 2 rounds; 1 never; 1 update was skipped");
    /* Written again, it is the same. */
    char *again = page();
    assert_string_equal(text, again);
    free(again);
    free(text);
}

/* What checks of the variance add; a threshold out of reach is not drawn. */
static void test_checks(void **state) {
    (void)state;
    char text[2048];
    static const char *const THETA[] = {"0.0003", "1e+300"};
    for (int far = 0; far < 2; far++) {
        size_t used = 0;
        for (int r = 1; r <= 2; r++)
            used += (size_t)snprintf(
                text + used, sizeof text - used,
                "{\"round\": %d, \"loss\": 1.0, \"clients\": 2, \"wire_down_bytes\": 106, "
                "\"wire_up_bytes\": 110, \"wire_down_total_bytes\": %d, "
                "\"wire_up_total_bytes\": %d, \"eval_n\": 9, \"eval_loss\": 0.5, "
                "\"eval_accuracy\": 0.75, \"wire_model_down_bytes\": 90, "
                "\"wire_model_up_bytes\": 90, \"wire_state_down_bytes\": 0, "
                "\"wire_state_up_bytes\": 20, \"wire_verdict_down_bytes\": 6, "
                "\"wire_once_down_bytes\": 10, \"local_steps\": 5, \"local_steps_total\": %d, "
                "\"barriers\": 4, \"checks\": 3, \"estimate\": 0.00025, \"variance\": "
                "0.0002, \"theta\": %s, \"theta_next\": 1, \"kept_theta\": 0}\n",
                r, 106 * r, 110 * r, 5 * r, THETA[far]);
        temp_text(in_run("metrics.jsonl"), text);
        (void)snprintf(text, sizeof text,
                       "round,check,steps,clients,estimate,variance,theta,synchronise\n"
                       "1,1,2,2,0.0001,0.00005,,0\n1,2,4,2,0.00015,,,0\n"
                       "1,3,5,2,0.00025,0.0002,,1\n"
                       "2,1,2,2,0.00012,0.00006,%s,0\n2,2,5,2,0.00025,0.0002,%s,1\n",
                       THETA[far], THETA[far]);
        temp_text(in_run("checks.csv"), text);
        wh_run_view *v = view_of(temp_path("run"));
        assert_int_equal(v->check_estimate->n_points, 5);
        assert_int_equal(v->check_variance->n_points, 4);
        assert_int_equal(v->check_theta->n_points, 2);
        assert_true(v->check_estimate->last.steps == 10);
        assert_int_equal(v->local_steps, 10);
        assert_int_equal(v->barriers, 8);
        assert_int_equal(v->n_checks, 6);
        assert_true(v->bytes[0] == 180 && v->bytes[3] == 40 && v->bytes[5] == 20);
        assert_true(v->variance->last.y == 0.0002 && v->checks->last.y == 3);
        assert_true(v->metric->last.steps == 10);
        wh_run_view_free(v);
        char *out = page();
        has(out, "of these, models</td><td>180 (180 B)</td><td>180 (180 B)");
        has(out, "of these, states</td><td>0 (0 B)</td><td>40 (40 B)");
        has(out, "of these, verdicts</td><td>12 (12 B)</td><td>0 (0 B)");
        has(out, "of these, hash functions</td><td>20 (20 B)");
        has(out, "<b>10</b><span>local steps, 8 barriers");
        has(out, "exact, round 2: 0.0002<");
        has(out, "estimate, round 1: 0.00025<");
        has(out, ">×10⁻³</text>");
        has(out, "Variance between the clients at every check");
        has(out, "estimate, round 1, 4 local steps: 0.00015<");
        has(out, "exact, round 2, 7 local steps: 6e-05<");
        has(out, "checks, round 2: 3<");
        has(out, "Test accuracy by local steps");
        has(out, "accuracy, round 2, 10 local steps: 0.75<");
        assert_true((strstr(out, "theta, round 1: 0.0003<") != NULL) == !far);
        free(out);
    }
    static const char *const wrong[][2] = {
        {"1,1,x,2,1,1,1,0\n", "checks.csv, line 2: 'x' is not a count"},
        {"1,1,-1,2,1,1,1,0\n", "checks.csv, line 2: '-1' is not a count"},
        {"1,1\n", "checks.csv, line 2: too few cells"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        wh_run_view *v = NULL;
        (void)snprintf(text, sizeof text, "%s%s",
                       "round,check,steps,clients,estimate,variance,theta,synchronise\n",
                       wrong[i][0]);
        temp_text(in_run("checks.csv"), text);
        check_fails(wh_run_view_read(&v, temp_path("run"), true, &err), WEFT_E_DATA, &err,
                    wrong[i][1]);
    }
    assert_int_equal(unlink(in_run("checks.csv")), 0);
    temp_text(in_run("metrics.jsonl"), METRICS);
    char *out = page();
    assert_null(strstr(out, "of these"));
    assert_null(strstr(out, "Variance"));
    free(out);
}

/* A run that local steps end has no rounds to go. */
static void test_total_steps(void **state) {
    (void)state;
    temp_text(in_run("config.resolved.yaml"), "fl:\n  num_rounds: 9\n  total_steps: 10\n");
    temp_text(in_run("events.jsonl"), "{\"event\": \"end\"}\n");
    for (int steps = 9; steps <= 10; steps++) {
        char text[128];
        (void)snprintf(text, sizeof text,
                       "{\"round\": 2, \"loss\": 1, \"local_steps_total\": %d}\n", steps);
        temp_text(in_run("metrics.jsonl"), text);
        wh_run_view *v = view_of(temp_path("run"));
        assert_int_equal(wh_run_view_planned(v), steps == 10 ? 2 : 0);
        wh_run_view_free(v);
    }
}

/* Of values that are no numbers or of another type, something remains to be seen, and no crash. */
static void test_odd_values(void **state) {
    (void)state;
    temp_text(in_run("metrics.jsonl"),
              "{}\n{\"round\": \"x\", \"loss\": null}\n{\"round\": 3, \"loss\": 1e308, "
              "\"wire_up_total_bytes\": 1e300, \"eval_n\": 1}\n");
    temp_text(in_run("partition_summary.json"),
              "{\"n_clients\": 3, \"labels\": [1, \"a\"], \"clients\": [{}, 7, {\"client\": -5, "
              "\"rows\": -1, \"label_rows\": [9]}, {\"client\": 99, \"rows\": 2, \"label_rows\": "
              "[-1, 50]}]}");
    temp_text(in_run("plan.json"), "{\"memory_bytes\": {\"a\": \"b\", \"c\": 3}}");
    temp_text(in_run("summary.json"), "{\"name\": 7, \"majority\": 3}");
    char *text = page();
    has(text, "</html>");
    assert_null(strstr(text, "nan"));
    free(text);
    temp_text(in_run("metrics.jsonl"), "");
    temp_text(in_run("partition_summary.json"), "{\"n_clients\": 0, \"clients\": 3}");
    text = page();
    has(text, "No round is complete.");
    free(text);
}

static void test_long_runs_stay_small(void **state) {
    (void)state;
    wh_text metrics = {0}, clients = {0};
    wh_text_add(&clients, "round,client,loss,update_norm,skipped,wire_down_bytes,wire_up_bytes\n");
    for (int r = 1; r <= 20000; r++) {
        wh_text_addf(&metrics,
                     "{\"round\": %d, \"loss\": %d.5, \"eval_n\": 1, \"eval_loss\": 1, "
                     "\"eval_accuracy\": 0.%04d}\n",
                     r, r % 7, r % 9999);
        wh_text_addf(&clients, "%d,%d,1.5,0.5,0,10,10\n", r, r % 3);
    }
    temp_write(in_run("metrics.jsonl"), metrics.data, metrics.len);
    temp_write(in_run("clients.csv"), clients.data, clients.len);
    wh_text_free(&metrics);
    wh_text_free(&clients);
    size_t bytes;
    char *text = page();
    free(temp_read(in_run("report.html"), &bytes));
    assert_true(bytes < 500000);
    has(text, "Of every 64 values the smallest and the largest are drawn.");
    has(text, "of 20000 evaluations; metrics.jsonl has them all.");
    free(text);
    wh_run_view *v = view_of(temp_path("run"));
    assert_in_range(v->n_evals, WH_VIEW_EVALS / 2, WH_VIEW_EVALS);
    for (int i = 1; i < v->n_evals; i++) /* at even distances from the first */
        assert_int_equal(json_integer_value(json_object_get(v->eval[i], "round")) - 1,
                         i * (json_integer_value(json_object_get(v->eval[1], "round")) - 1));
    assert_int_equal(json_integer_value(json_object_get(v->last_eval, "round")), 20000);
    wh_run_view_free(v);
}

/* An old page stays when the new one cannot be written. */
static void test_failures(void **state) {
    (void)state;
    free(page());
    temp_text(in_run("report.html"), "old");
    for (int64_t i = 1;; i++) {
        wh_file_fault(i, ENOSPC);
        weft_status st = wh_report_write(temp_path("run"), &err);
        int64_t operations = wh_file_operations();
        wh_file_fault(0, 0);
        if (st == WEFT_OK) {
            assert_true(operations < i && i > 3);
            break;
        }
        check_fails(st, WEFT_E_OUTPUT, &err, "No space left");
        char *text = temp_read(in_run("report.html"), NULL);
        assert_true(strcmp(text, "old") == 0 || strstr(text, "</html>"));
        free(text);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, temp_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_view),       TEST(test_died),
        TEST(test_not_a_run),  TEST(test_nothing_from_outside),
        TEST(test_checks),     TEST(test_total_steps),
        TEST(test_odd_values), TEST(test_long_runs_stay_small),
        TEST(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
