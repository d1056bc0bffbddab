/* labels: unit */
/* What a checkpoint says beside the engine's state comes back to the last bit, a round that is
 * still to be evaluated with all that its lines need. */
#include "host/train_note.h"

#include "host/checkpoint.h"
#include "host/json_util.h"
#include "tests/host/temp_folder.h"

#include <math.h>

static weft_error err;

/* Every member a value of its own, reals that no short decimal gives. */
static const weft_wire wire_a = {18, 5, 4, 2, 5, 3, 6, 3},
                       wire_b = {180, 50, 40, 20, 50, 30, 60, 30};
static const weft_client_report clients[] = {{.client = 1,
                                              .rows = 11,
                                              .steps = 12,
                                              .examples = 13,
                                              .tokens = 14,
                                              .weight = 1.0 / 3,
                                              .loss = 1.0 / 7,
                                              .last_loss = 1.0 / 11,
                                              .update_norm = 1.0 / 13,
                                              .checks = 2,
                                              .wire = {18, 5, 4, 2, 5, 3, 6, 3}},
                                             {.client = 3, .skipped = true, .checks = 1}};
static const weft_check checks[] = {{.steps = 5,
                                     .estimate = 0.1 + 0.2,
                                     .variance = 1.0 / 3,
                                     .group = {1e-300, 5e-324, 1.0 / 17},
                                     .mean_sqnorm = 1.0 / 19,
                                     .theta = 1e300,
                                     .clients = 2},
                                    {.steps = 10,
                                     .estimate = (double)NAN,
                                     .variance = (double)NAN,
                                     .group = {(double)NAN, (double)NAN, (double)NAN},
                                     .mean_sqnorm = (double)NAN,
                                     .theta = 1e300,
                                     .clients = 1,
                                     .synchronise = true}};

static weft_partition partition = {.n_clients = 4};

static void open_run(wh_train_run *run, wh_job *job, const char *sync) {
    memset(run, 0, sizeof *run);
    memset(job, 0, sizeof *job);
    check_ok(weft_config_new(&job->config, &err), &err);
    check_ok(weft_config_set(job->config, "fl.sync", sync, NULL, &err), &err);
    job->partition = &partition;
    run->job = job;
    run->info =
        (weft_engine_info){.backend = "cpu", .backend_note = "n", .hidden_dtype = "float32"};
    run->summary.clients_per_round = 2;
}

static void close_run(wh_train_run *run) {
    free(run->pending_clients);
    free(run->pending_checks);
    weft_config_free(run->job->config);
}

static void make_pending(wh_train_run *run, int32_t n_checks) {
    run->is_pending = true;
    run->pending_seconds = 1.0 / 3, run->pending_cpu_seconds = 2.0 / 3;
    run->pending = (weft_round_report){.round = 4,
                                       .n_clients = 2,
                                       .n_skipped = 1,
                                       .clients = clients,
                                       .loss = 1.0 / 21,
                                       .learning_rate = 1.0 / 22,
                                       .steps = 23,
                                       .examples = 24,
                                       .tokens = 25,
                                       .packs = 26,
                                       .wire = wire_a,
                                       .wire_total = wire_b,
                                       .local_steps = 27,
                                       .local_steps_total = 28,
                                       .barriers = 29,
                                       .checks = checks,
                                       .n_checks = n_checks,
                                       .theta = 1.0 / 23,
                                       .theta_next = 1.0 / 29,
                                       .kept_theta = true};
    run->summary.rounds_done = 4, run->summary.local_steps = 28, run->summary.barriers = 31;
    run->summary.checks = 9, run->summary.wire = wire_b;
}

/* The note through text, as a checkpoint keeps it. */
static json_t *note_of(const wh_train_run *run) {
    json_t *files = json_object(), *note = wh_train_note(run, files), *back = NULL;
    wh_text text = {0};
    assert_non_null(note);
    wh_json_add(&text, note, 2);
    check_ok(wh_json_parse(&back, text.data, text.len, "note", &err), &err);
    wh_text_free(&text);
    json_decref(note);
    json_decref(files);
    return back;
}

static bool same(double a, double b) {
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static void check_same_check(const weft_check *a, const weft_check *b) {
    assert_int_equal(a->steps, b->steps);
    assert_int_equal(a->clients, b->clients);
    assert_int_equal(a->synchronise, b->synchronise);
    assert_true(same(a->estimate, b->estimate) && same(a->variance, b->variance));
    assert_true(same(a->mean_sqnorm, b->mean_sqnorm) && same(a->theta, b->theta));
    for (int g = 0; g < WEFT_GROUPS; g++) assert_true(same(a->group[g], b->group[g]));
}

static void check_same_client(const weft_client_report *a, const weft_client_report *b) {
    assert_int_equal(a->client, b->client);
    assert_int_equal(a->rows, b->rows);
    assert_int_equal(a->steps, b->steps);
    assert_int_equal(a->examples, b->examples);
    assert_int_equal(a->tokens, b->tokens);
    assert_int_equal(a->skipped, b->skipped);
    assert_int_equal(a->checks, b->checks);
    assert_true(same(a->weight, b->weight) && same(a->loss, b->loss));
    assert_true(same(a->last_loss, b->last_loss) && same(a->update_norm, b->update_norm));
    assert_memory_equal(&a->wire, &b->wire, sizeof a->wire);
}

static void test_pending_round_comes_back(void **state) {
    (void)state;
    wh_train_run was, is;
    wh_job job, other;
    open_run(&was, &job, "fda-opt");
    open_run(&is, &other, "fda-opt");
    make_pending(&was, 2);
    json_t *note = note_of(&was);
    check_ok(wh_train_note_check(&is, note, "note", &err), &err);
    check_ok(wh_train_note_read(&is, note, "note", &err), &err);
    const weft_round_report *a = &was.pending, *b = &is.pending;
    assert_true(is.is_pending && same(is.pending_seconds, was.pending_seconds));
    assert_true(same(is.pending_cpu_seconds, was.pending_cpu_seconds));
    assert_int_equal(b->round, 4);
    assert_int_equal(b->n_skipped, 1);
    assert_int_equal(b->local_steps, 27);
    assert_int_equal(b->local_steps_total, 28);
    assert_int_equal(b->barriers, 29);
    assert_true(same(a->theta, b->theta) && same(a->theta_next, b->theta_next) && b->kept_theta);
    assert_memory_equal(&a->wire, &b->wire, sizeof a->wire);
    assert_memory_equal(&a->wire_total, &b->wire_total, sizeof a->wire);
    assert_int_equal(b->n_clients, 2);
    for (int i = 0; i < 2; i++) check_same_client(&a->clients[i], &b->clients[i]);
    assert_int_equal(b->n_checks, 2);
    for (int i = 0; i < 2; i++) check_same_check(&a->checks[i], &b->checks[i]);
    assert_int_equal(is.summary.local_steps, 28);
    assert_int_equal(is.summary.barriers, 31);
    assert_int_equal(is.summary.checks, 9);
    assert_memory_equal(&is.summary.wire, &wire_b, sizeof wire_b);
    json_decref(note);
    close_run(&was);
    close_run(&is);
}

/* A job that checks has checks in each round, and no other has. */
static void test_checks_fit_the_job(void **state) {
    (void)state;
    for (int wrong = 0; wrong < 2; wrong++) {
        wh_train_run run;
        wh_job job;
        open_run(&run, &job, wrong ? "fixed" : "fda-opt");
        make_pending(&run, wrong ? 2 : 0);
        json_t *note = note_of(&run);
        check_fails(wh_train_note_read(&run, note, "note", &err), WEFT_E_DATA, &err,
                    wrong ? "pending.checks has 2 entries, but fl.sync is fixed"
                          : "pending.checks has 0 entries, but fl.sync is fda-opt");
        json_decref(note);
        close_run(&run);
    }
}

static void test_impossible_numbers(void **state) {
    (void)state;
    static const struct {
        const char *object, *key;
        int64_t value;
        const char *message;
    } wrong[] = {
        {"pending", "round", 3, "pending.round is 3, expected 4"},
        {"pending", "round", INT64_MAX, "pending.round is 9223372036854775807, expected 4"},
        {"pending", "n_skipped", -1, "n_skipped must be"},
        {"pending", "wire.state_up", -1, "wire.state_up must be"},
        {"summary", "rounds_done", -1, "rounds_done must be"},
        {"summary", "checks", INT64_MIN, "checks must be"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        wh_train_run run;
        wh_job job;
        open_run(&run, &job, "fda-opt");
        make_pending(&run, 2);
        json_t *note = note_of(&run), *value = json_integer(wrong[i].value);
        assert_int_equal(
            json_object_set_new(json_object_get(note, wrong[i].object), wrong[i].key, value), 0);
        check_fails(wh_train_note_read(&run, note, "note", &err), WEFT_E_DATA, &err,
                    wrong[i].message);
        json_decref(note);
        close_run(&run);
    }
}

static void test_what_may_differ(void **state) {
    (void)state;
    static const char *const changed[][3] = {
        {"fl.total_steps", "7", "was made with fl.total_steps=0, now it is 7"},
        {"fda.theta_from", "estimate", "was made with fda.theta_from=variance, now it is estimate"},
        {"fl.num_rounds", "7", NULL},
        {"engine.slots", "3", NULL},
    };
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
        wh_train_run was, is;
        wh_job job, other;
        open_run(&was, &job, "fda-opt");
        open_run(&is, &other, "fda-opt");
        json_t *note = note_of(&was);
        check_ok(weft_config_set(other.config, changed[i][0], changed[i][1], NULL, &err), &err);
        const weft_status st = wh_train_note_check(&is, note, "note", &err);
        if (changed[i][2])
            check_fails(st, WEFT_E_RESUME, &err, changed[i][2]);
        else
            check_ok(st, &err);
        json_decref(note);
        close_run(&was);
        close_run(&is);
    }
}

/* ---- state.json ---- */

static const char good[] =
    "{\"format\": 2, \"round\": 3, \"wire_down_total_bytes\": 18, \"wire_up_total_bytes\": 5, "
    "\"wire_total_bytes\": {\"model_down\": 4, \"model_up\": 2, \"state_down\": 5, \"state_up\": "
    "3, "
    "\"verdict_down\": 6, \"once_down\": 3}, \"local_steps_total\": 44, \"theta\": "
    "0.30000000000000004, \"identity\": {\"base\": \"fbc0c44303498ca3\", \"train\": "
    "\"5423b98743e9bb87\", \"test\": \"0000000000000000\", \"partition\": \"5670ac8e672cd109\"}, "
    "\"checksum\": \"17f3bb5db5a06f9f\", \"note\": {}}";

static weft_status read_state(wh_checkpoint *c, const char *json) {
    const wh_tensor_out seen = {.name = "clients_seen", .dtype = WEFT_U8, .ndim = 1, .dim = {3}};
    wh_safetensors_writer *writer = NULL;
    temp_text(temp_path("state.json"), json);
    check_ok(wh_safetensors_create(&writer, temp_path("state.safetensors"), &seen, 1, &err), &err);
    check_ok(wh_safetensors_append(writer, "\1\0\1", 3, &err), &err);
    check_ok(wh_safetensors_commit(writer, &err), &err);
    return wh_checkpoint_open(c, temp_folder, &err);
}

static void test_state_json(void **state) {
    (void)state;
    wh_checkpoint c = {0};
    check_ok(read_state(&c, good), &err);
    assert_int_equal(c.state.rounds_done, 3);
    assert_int_equal(c.state.local_steps_total, 44);
    assert_true(c.state.theta == 0.1 + 0.2);
    assert_memory_equal(&c.state.wire_total, &wire_a, sizeof wire_a);
    assert_int_equal(c.state.n_tensors, 1);
    assert_string_equal(c.state.tensor[0].name, "clients_seen");
    assert_int_equal(c.state.tensor[0].dtype, WEFT_U8);
    assert_int_equal(c.state.tensor[0].dim[0], 3);
    wh_checkpoint_close(&c);
    static const char *const spoilt[][3] = {
        {"\"format\": 2", "\"format\": 1", "checkpoint format 1, this is 2"},
        {"\"theta\": 0.30000000000000004", "\"theta\": 1e999", "not valid JSON"},
        {"\"theta\": 0.30000000000000004", "\"theta\": null", "theta must be a number"},
        {"\"theta\"", "\"thet\"", "theta is missing"},
        {"44", "-1", "local_steps_total must be"},
        {"\"state_up\": 3", "\"state_up\": 4", "add up to 18 down and 6 up, expected 18 and 5"},
        {"\"once_down\": 3", "\"once_down\": -3", "once_down must be"},
    };
    for (size_t i = 0; i < sizeof spoilt / sizeof *spoilt; i++) {
        const char *at = strstr(good, spoilt[i][0]);
        char text[1024];
        assert_non_null(at);
        (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, spoilt[i][1],
                       at + strlen(spoilt[i][0]));
        check_fails(read_state(&c, text), WEFT_E_RESUME, &err, spoilt[i][2]);
        wh_checkpoint_close(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pending_round_comes_back),
        cmocka_unit_test(test_checks_fit_the_job),
        cmocka_unit_test(test_impossible_numbers),
        cmocka_unit_test(test_what_may_differ),
        cmocka_unit_test_setup_teardown(test_state_json, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
