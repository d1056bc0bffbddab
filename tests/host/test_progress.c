/* labels: unit */
#include "host/progress.h"

#include "tests/check.h"

#include <math.h>
#include <string.h>

static wh_progress_state full(void) {
    return (wh_progress_state){.label = "training",
                               .round = 3,
                               .num_rounds = 20,
                               .done = 45,
                               .total = 100,
                               .loss = 0.51234,
                               .metric = 0.871,
                               .metric_name = "acc",
                               .client_updates_per_s = 12.34,
                               .tokens_per_s = 8123.0,
                               .wire_up = 1.2e6,
                               .wire_down = 3.4e6,
                               .seconds_left = 125.0};
}

static void whole_line(void **state) {
    (void)state;
    char out[256];
    wh_progress_state s = full();
    wh_progress_format(out, sizeof out, &s, 200);
    assert_string_equal(out, "round 3/20  training   45%  loss 0.5123  acc 0.8710  12.3 clients/s  "
                             "8.12 k tok/s  up 1.20 MB down 3.40 MB  2:05 left");
}

/* Never wider than told, and what is cut is cut whole, the least important first. */
static void narrow(void **state) {
    (void)state;
    char out[256];
    wh_progress_state s = full();
    size_t last = 1000;
    for (int width = 200; width >= 0; width--) {
        wh_progress_format(out, sizeof out, &s, width);
        assert_true((int)strlen(out) <= width);
        assert_true(strlen(out) <= last);
        last = strlen(out);
    }
    wh_progress_format(out, sizeof out, &s, 79); /* of 80 columns: all that people look for */
    assert_string_equal(out,
                        "round 3/20  loss 0.5123  acc 0.8710  12.3 cl/s  8.12 k tok/s  4.60MB  "
                        "2:05 left");
    wh_progress_format(out, sizeof out, &s, 52);
    assert_string_equal(out, "round 3/20  loss 0.512  acc 0.871  2:05 left");
    s.seconds_left = (double)NAN; /* then only the share moves */
    wh_progress_format(out, sizeof out, &s, 52);
    assert_string_equal(out, "round 3/20   45%  loss 0.512  acc 0.871  8.12k tok/s");
    s = full();
    wh_progress_format(out, sizeof out, &s, 12);
    assert_string_equal(out, "round 3/20");
    char tiny[6];
    wh_progress_format(tiny, sizeof tiny, &s, 80);
    assert_string_equal(tiny, "");
}

static void seconds_left_are_whole(void **state) {
    (void)state;
    char out[256];
    wh_progress_state s = {.label = "x", .loss = (double)NAN, .metric = (double)NAN};
    s.seconds_left = 4.74;
    wh_progress_format(out, sizeof out, &s, 80);
    assert_string_equal(out, "x  5 s left");
    s.seconds_left = 59.9;
    wh_progress_format(out, sizeof out, &s, 80);
    assert_string_equal(out, "x  1:00 left");
}

static void unknown_values_stay_out(void **state) {
    (void)state;
    char out[256];
    wh_progress_state s = {.label = "evaluating",
                           .done = 1,
                           .total = 4,
                           .loss = (double)NAN,
                           .metric = (double)NAN,
                           .seconds_left = (double)NAN};
    wh_progress_format(out, sizeof out, &s, 80);
    assert_string_equal(out, "evaluating   25%");
    s.total = 0;
    wh_progress_format(out, sizeof out, &s, 80);
    assert_string_equal(out, "evaluating");
}

/* Where local steps end the run, nobody knows how many rounds that makes. */
static void run_of_steps(void **state) {
    (void)state;
    char out[256];
    wh_progress_state s = full();
    s.steps = 120, s.total_steps = 1000;
    wh_progress_format(out, sizeof out, &s, 200);
    assert_string_equal(out, "round 3  step 120/1000  training   45%  loss 0.5123  acc 0.8710  "
                             "12.3 clients/s  8.12 k tok/s  up 1.20 MB down 3.40 MB  2:05 left");
    wh_progress_format(out, sizeof out, &s, 79);
    assert_string_equal(out, "round 3  loss 0.5123  acc 0.8710  12.3 cl/s  8.12 k tok/s  4.60MB  "
                             "2:05 left");
}

static void time_left(void **state) {
    (void)state;
    assert_true(isnan(wh_progress_left(5.0, 0.0, 10.0)));
    assert_true(wh_progress_left(5.0, 2.0, 10.0) == 20.0);
    assert_true(wh_progress_left(5.0, 11.0, 10.0) == 0.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_line),
        cmocka_unit_test(narrow),
        cmocka_unit_test(seconds_left_are_whole),
        cmocka_unit_test(unknown_values_stay_out),
        cmocka_unit_test(run_of_steps),
        cmocka_unit_test(time_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
