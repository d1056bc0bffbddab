/* labels: unit golden fault */
#include "host/tb_event.h"
#include "host/tb_log.h"

#include "host/json_util.h"
#include "tests/golden/tb_events.h"
#include "tests/host/temp_folder.h"

#include <errno.h>
#include <math.h>

static weft_error err;

/* RFC 3720 appendix B.4: 32 bytes of zeros, of ones, ascending. */
static void test_crc(void **state) {
    (void)state;
    unsigned char data[3][32];
    static const uint32_t WANT[3] = {0x8a9136aau, 0x62a8ab43u, 0x46dd794eu};
    for (int i = 0; i < 32; i++) data[0][i] = 0, data[1][i] = 0xff, data[2][i] = (unsigned char)i;
    for (int i = 0; i < 3; i++) {
        uint32_t masked = wh_tb_masked_crc(data[i], 32) - 0xa282ead8u;
        assert_int_equal(masked >> 17 | masked << 15, WANT[i]);
    }
}

/* The bytes that the real package writes for the same events. */
static void test_same_bytes_as_tensorboard(void **state) {
    (void)state;
    char tag[201];
    memset(tag, 'a', 200);
    tag[200] = '\0';
    const wh_tb_scalar first[] = {{"train/loss", 0.6931471805599453},
                                  {"eval/accuracy", (double)NAN}};
    const wh_tb_scalar second[] = {{tag, -1e30}, {"b", 0.0}, {"wire/up_bytes", 164049600.0}};
    const wh_tb_scalar third[] = {{"x", (double)INFINITY}};
    wh_text got = {0};
    wh_tb_add_version(&got, 1764000000.25);
    wh_tb_add_scalars(&got, 1764000001.5, 1, first, 2);
    wh_tb_add_scalars(&got, 1764000002.75, 300, second, 3);
    wh_tb_add_scalars(&got, 0.5, (int64_t)1 << 40, third, 1);
    check_ok(wh_text_check(&got, "events", &err), &err);
    assert_int_equal(got.len, sizeof tb_events);
    check_same("events", got.data, tb_events, sizeof tb_events);
    wh_text_free(&got);
}

static const weft_round_report report = {
    .round = 7, .loss = 0.5, .n_clients = 2, .wire_total = {.down = 9, .up = 8}};
static const wh_round_timing timing = {.round = 7, .tokens = 10, .clients = 2, .train_seconds = 2};
static const weft_metrics eval = {.n = 3, .loss = 0.25, .accuracy = 0.75};

static wh_tb_log *open_log(wh_run_folder **folder, const char *name) {
    wh_tb_log *log = NULL;
    check_ok(wh_run_folder_create(folder, temp_folder, name, false, &err), &err);
    check_ok(wh_tb_open(&log, *folder, &err), &err);
    return log;
}

/* Number of whole records; fails unless they fill the bytes and their sums are right. */
static int count_records(const char *data, size_t bytes) {
    int n = 0;
    for (size_t at = 0; at < bytes; n++) {
        uint64_t length;
        uint32_t crc;
        assert_true(bytes - at >= 16);
        memcpy(&length, data + at, 8);
        memcpy(&crc, data + at + 8, 4);
        assert_int_equal(crc, wh_tb_masked_crc(data + at, 8));
        assert_true(bytes - at >= 16 + length);
        memcpy(&crc, data + at + 12 + length, 4);
        assert_int_equal(crc, wh_tb_masked_crc(data + at + 12, length));
        at += 16 + length;
    }
    return n;
}

/* A second opening goes on in the file; its offset is where a resumed run would cut. */
static void test_goes_on(void **state) {
    (void)state;
    wh_run_folder *folder = NULL;
    wh_tb_log *log = open_log(&folder, "run");
    check_ok(wh_tb_round(log, &report, &eval, false, &timing, &err), &err);
    check_ok(wh_append_flush(wh_tb_file(log), &err), &err);
    int64_t offset = wh_append_offset(wh_tb_file(log));
    check_ok(wh_tb_round(log, &report, NULL, false, &timing, &err), &err);
    check_ok(wh_tb_close(log, &err), &err);
    size_t bytes;
    char *data = temp_read(temp_path("run/" WH_TB_FILE), &bytes);
    assert_int_equal(count_records(data, bytes), 3);
    assert_int_equal(count_records(data, (size_t)offset), 2);
    free(data);
    check_ok(wh_tb_open(&log, folder, &err), &err);
    check_ok(wh_tb_round(log, &report, NULL, false, &timing, &err), &err);
    check_ok(wh_tb_close(log, &err), &err);
    data = temp_read(temp_path("run/" WH_TB_FILE), &bytes);
    assert_int_equal(count_records(data, bytes), 4);
    free(data);
    wh_run_folder_close(folder);
}

static bool holds(const char *data, size_t bytes, const char *part) {
    for (size_t at = 0; at + strlen(part) <= bytes; at++)
        if (memcmp(data + at, part, strlen(part)) == 0) return true;
    return false;
}

/* Only of rounds that have checks, and of these only what is finite. */
static void test_checks(void **state) {
    (void)state;
    const weft_check check = {.estimate = 0.5, .variance = (double)NAN};
    weft_round_report r = report;
    for (int n = 0; n < 2; n++) {
        wh_run_folder *folder = NULL;
        wh_tb_log *log = open_log(&folder, n ? "some" : "none");
        r.checks = &check, r.n_checks = n, r.theta = 0.25;
        check_ok(wh_tb_round(log, &r, &eval, false, &timing, &err), &err);
        check_ok(wh_tb_close(log, &err), &err);
        size_t bytes;
        char *data = temp_read(temp_path(n ? "some/" WH_TB_FILE : "none/" WH_TB_FILE), &bytes);
        assert_int_equal(count_records(data, bytes), 2);
        assert_true(holds(data, bytes, "fda/estimate") == (n > 0));
        assert_true(holds(data, bytes, "fda/theta") == (n > 0));
        assert_true(holds(data, bytes, "fda/checks") == (n > 0));
        assert_false(holds(data, bytes, "fda/variance"));
        free(data);
        wh_run_folder_close(folder);
    }
}

/* Every file operation fails in turn: an error that says so, and whole records on disk. */
static void test_failures_leave_whole_records(void **state) {
    (void)state;
    int64_t operations = 1;
    for (int64_t i = 0; i <= operations; i++) {
        wh_run_folder *folder = NULL;
        wh_tb_log *log = NULL;
        char name[64];
        (void)snprintf(name, sizeof name, "run%ld", (long)i);
        check_ok(wh_run_folder_create(&folder, temp_folder, name, false, &err), &err);
        wh_file_fault(i, ENOSPC);
        weft_status st = wh_tb_open(&log, folder, &err);
        for (int round = 0; round < 2 && st == WEFT_OK; round++) {
            st = wh_tb_round(log, &report, &eval, false, &timing, &err);
            if (st == WEFT_OK) st = wh_append_flush(wh_tb_file(log), &err);
        }
        weft_error late = {0};
        weft_status closed = wh_tb_close(log, st == WEFT_OK ? &err : &late);
        if (st == WEFT_OK) st = closed;
        if (i == 0) {
            check_ok(st, &err);
            operations = wh_file_operations();
            assert_true(operations > 3);
        } else {
            check_fails(st, WEFT_E_OUTPUT, &err, "No space left");
        }
        wh_file_fault(0, 0);
        (void)snprintf(name, sizeof name, "run%ld/%s", (long)i, WH_TB_FILE);
        if (temp_exists(temp_path(name))) {
            size_t bytes;
            char *data = temp_read(temp_path(name), &bytes);
            (void)count_records(data, bytes);
            free(data);
        }
        wh_run_folder_close(folder);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),
        cmocka_unit_test(test_same_bytes_as_tensorboard),
        TEST(test_goes_on),
        TEST(test_checks),
        TEST(test_failures_leave_whole_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
