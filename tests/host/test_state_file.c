/* labels: unit fault */
#include "host/state_file.h"

#include "tests/host/temp_folder.h"

#include <signal.h>
#include <sys/resource.h>

static weft_error err;

static void test_records(void **state) {
    (void)state;
    wh_state_file f = {0};
    char a[100], b[100], got[100];
    memset(a, 'a', sizeof a);
    memset(b, 'b', sizeof b);
    assert_int_equal(wh_state_file_write(&f, 0, a, sizeof a, &err), WEFT_E_OUTPUT);
    check_ok(wh_state_file_set(&f, temp_path("client_state.bin"), &err), &err);
    assert_int_equal(temp_count(temp_folder), 0); /* made by the first record */
    assert_int_equal(wh_state_file_read(&f, 0, got, sizeof got, &err), WEFT_E_DATA);
    check_ok(wh_state_file_write(&f, 5, b, sizeof b, &err), &err);
    check_ok(wh_state_file_write(&f, 0, b, sizeof b, &err), &err);
    check_ok(wh_state_file_write(&f, 0, a, sizeof a, &err), &err); /* replaces it */
    check_ok(wh_state_file_read(&f, 0, got, sizeof got, &err), &err);
    assert_memory_equal(got, a, sizeof a);
    check_ok(wh_state_file_read(&f, 5, got, sizeof got, &err), &err);
    assert_memory_equal(got, b, sizeof b);
    wh_state_file_close(&f);
    assert_int_equal(temp_count(temp_folder), 0);
    wh_state_file_close(&f);
}

static void test_cut_and_missing(void **state) {
    (void)state;
    wh_state_file f = {0};
    char a[100] = {0};
    check_ok(wh_state_file_set(&f, temp_path("s.bin"), &err), &err);
    check_ok(wh_state_file_write(&f, 1, a, sizeof a, &err), &err);
    assert_int_equal(wh_state_file_read(&f, 2, a, sizeof a, &err), WEFT_E_DATA);
    assert_int_equal(truncate(temp_path("s.bin"), 150), 0);
    assert_int_equal(wh_state_file_read(&f, 1, a, sizeof a, &err), WEFT_E_DATA);
    assert_non_null(strstr(err.text, "s.bin ends in record 1"));
    wh_state_file_close(&f);

    check_ok(wh_state_file_set(&f, temp_path("nowhere/s.bin"), &err), &err);
    assert_int_equal(wh_state_file_write(&f, 0, a, sizeof a, &err), WEFT_E_OUTPUT);
    assert_non_null(strstr(err.text, "nowhere/s.bin"));
    wh_state_file_close(&f);
}

/* No room, as a limit on the size of files: the write that crosses it fails, earlier records stay.
 */
static void test_full(void **state) {
    (void)state;
    wh_state_file f = {0};
    struct rlimit old, tight;
    char a[1000], got[1000];
    memset(a, 'a', sizeof a);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    tight = old;
    tight.rlim_cur = 2500;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    check_ok(wh_state_file_set(&f, temp_path("full.bin"), &err), &err);
    check_ok(wh_state_file_write(&f, 0, a, sizeof a, &err), &err);
    check_ok(wh_state_file_write(&f, 1, a, sizeof a, &err), &err);
    const weft_status st = wh_state_file_write(&f, 2, a, sizeof a, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(st, WEFT_E_OUTPUT);
    assert_non_null(strstr(err.text, "full.bin"));
    check_ok(wh_state_file_read(&f, 1, got, sizeof got, &err), &err);
    assert_memory_equal(got, a, sizeof a);
    check_ok(wh_state_file_write(&f, 2, a, sizeof a, &err), &err);
    check_ok(wh_state_file_read(&f, 2, got, sizeof got, &err), &err);
    assert_memory_equal(got, a, sizeof a);
    wh_state_file_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_records, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_cut_and_missing, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_full, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
