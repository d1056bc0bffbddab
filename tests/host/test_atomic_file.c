/* labels: unit fault */
#include "host/atomic_file.h"

#include "tests/host/temp_folder.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

static weft_error err;

static void test_write_and_replace(void **state) {
    (void)state;
    const char *path = temp_path("a.txt");
    check_ok(wh_file_write(path, "old", 3, &err), &err);
    assert_file(path, "old");
    check_ok(wh_file_write(path, "newer", 5, &err), &err);
    assert_file(path, "newer");
    check_ok(wh_file_write(path, "", 0, &err), &err);
    assert_file(path, "");
    assert_int_equal(temp_count(temp_folder), 1);
}

static void test_mode_follows_umask(void **state) {
    (void)state;
    struct stat info;
    mode_t old = umask(027);
    check_ok(wh_file_write(temp_path("m"), "x", 1, &err), &err);
    (void)umask(old);
    assert_int_equal(stat(temp_path("m"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
}

/* Each operation in turn fails: the file keeps its old content, or, once the rename is done, has
 * the new one whole; no temporary file stays. */
static void test_every_operation_fails_in_turn(void **state) {
    (void)state;
    const char *path = temp_path("target");
    check_ok(wh_file_write(path, "old", 3, &err), &err);
    wh_file_fault(0, 0);
    check_ok(wh_file_write(path, "old", 3, &err), &err);
    int64_t n = wh_file_operations();
    assert_true(n >= 6); /* open, write, sync, close, rename, open folder, sync folder */
    for (int64_t i = 1; i <= n; i++) {
        temp_text(path, "old");
        wh_file_fault(i, ENOSPC);
        weft_status st = wh_file_write(path, "new content", 11, &err);
        wh_file_fault(0, 0);
        check_fails(st, WEFT_E_OUTPUT, &err, "No space left");
        assert_non_null(strstr(err.text, path));
        assert_file(path, i <= 5 ? "old" : "new content");
        assert_int_equal(temp_count(temp_folder), 1);
    }
}

/* The rename at the end must not put a plain file where a device, a pipe or a link was. */
static void test_only_plain_files_are_replaced(void **state) {
    (void)state;
    struct stat info;
    assert_int_equal(mkfifo(temp_path("pipe"), 0666), 0);
    check_fails(wh_file_write(temp_path("pipe"), "x", 1, &err), WEFT_E_OUTPUT, &err,
                "not a regular file");
    assert_int_equal(lstat(temp_path("pipe"), &info), 0);
    assert_true(S_ISFIFO(info.st_mode));
    temp_text(temp_path("real"), "old");
    assert_int_equal(symlink("real", temp_path("link")), 0);
    check_ok(wh_file_write(temp_path("link"), "new", 3, &err), &err);
    assert_int_equal(lstat(temp_path("link"), &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_file(temp_path("real"), "new");
    assert_int_equal(temp_count(temp_folder), 3);
}

static void test_places_that_cannot_be_written(void **state) {
    (void)state;
    temp_text(temp_path("file"), "x");
    check_fails(wh_file_write(temp_path("none/a"), "x", 1, &err), WEFT_E_OUTPUT, &err,
                "No such file");
    check_fails(wh_file_write(temp_path("file/a"), "x", 1, &err), WEFT_E_OUTPUT, &err,
                "Not a directory");
    assert_int_equal(wh_file_write("/proc/weft-test", "x", 1, &err), WEFT_E_OUTPUT);
    assert_non_null(strstr(err.text, "/proc/weft-test"));
    assert_int_equal(mkdir(temp_path("dir"), 0777), 0);
    check_fails(wh_file_write(temp_path("dir"), "x", 1, &err), WEFT_E_OUTPUT, &err,
                "it is a folder");
    assert_int_equal(temp_count(temp_folder), 2);
    assert_int_equal(mkdir(temp_path("closed"), 0555), 0);
    if (geteuid() != 0)
        check_fails(wh_file_write(temp_path("closed/a"), "x", 1, &err), WEFT_E_OUTPUT, &err,
                    "Permission denied");
}

static void test_file_size_limit(void **state) {
    (void)state;
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 100;
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    char big[1000] = {0};
    wh_append_file *lines = NULL;
    check_ok(wh_append_open(&lines, temp_path("lines"), &err), &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    weft_status st = wh_file_write(temp_path("big"), big, sizeof big, &err);
    weft_status many = WEFT_OK;
    weft_error many_err = {0};
    for (int i = 0; i < 20 && many == WEFT_OK; i++) {
        check_ok(wh_append_line(lines, "123456789012345", &err), &err);
        many = wh_append_flush(lines, &many_err);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, before);
    check_fails(st, WEFT_E_OUTPUT, &err, "File too large");
    check_fails(many, WEFT_E_OUTPUT, &many_err, "File too large");
    assert_false(temp_exists(temp_path("big")));
    struct stat info; /* 6 lines of 16 bytes fit; the cut seventh is gone again */
    assert_int_equal(stat(temp_path("lines"), &info), 0);
    assert_int_equal(info.st_size, 96);
    /* With room again, the kept line is written once. */
    check_ok(wh_append_close(lines, &err), &err);
    assert_int_equal(stat(temp_path("lines"), &info), 0);
    assert_int_equal(info.st_size, 112);
}

static void test_append(void **state) {
    (void)state;
    const char *path = temp_path("log");
    wh_append_file *file = NULL;
    check_ok(wh_append_open(&file, path, &err), &err);
    check_ok(wh_append_line(file, "one", &err), &err);
    assert_file(path, ""); /* collected only */
    assert_int_equal(wh_append_offset(file), 0);
    check_ok(wh_append_flush(file, &err), &err);
    assert_file(path, "one\n");
    assert_int_equal(wh_append_offset(file), 4);
    check_fails(wh_append_line(file, "a\nb", &err), WEFT_E_ARG, &err, "newline");
    check_ok(wh_append_line(file, "two", &err), &err);
    check_ok(wh_append_sync(file, &err), &err);
    check_ok(wh_append_line(file, "three", &err), &err);
    check_ok(wh_append_close(file, &err), &err);
    check_ok(wh_append_open(&file, path, &err), &err);
    assert_int_equal(wh_append_offset(file), 14);
    check_ok(wh_append_close(file, &err), &err);
    assert_file(path, "one\ntwo\nthree\n");
}

static void test_append_failures_leave_whole_lines(void **state) {
    (void)state;
    const char *path = temp_path("log");
    wh_append_file *file = NULL;
    check_ok(wh_append_open(&file, path, &err), &err);
    check_ok(wh_append_line(file, "first", &err), &err);
    check_ok(wh_append_flush(file, &err), &err);
    check_ok(wh_append_line(file, "second line", &err), &err);
    wh_file_fault(1, EIO);
    check_fails(wh_append_flush(file, &err), WEFT_E_OUTPUT, &err, "Input/output error");
    wh_file_fault(0, 0);
    assert_file(path, "first\n");
    check_ok(wh_append_close(file, &err), &err);
    assert_file(path, "first\nsecond line\n");
    check_fails(wh_append_open(&file, temp_path("no/log"), &err), WEFT_E_OUTPUT, &err,
                "No such file");
    check_ok(wh_append_open(&file, "/dev/full", &err), &err);
    check_ok(wh_append_line(file, "x", &err), &err);
    check_fails(wh_append_close(file, &err), WEFT_E_OUTPUT, &err, "No space left");
}

static void test_leftover_of_a_killed_process(void **state) {
    (void)state;
    char name[64];
    (void)snprintf(name, sizeof name, "a.tmp-%ld-0", (long)getpid());
    temp_text(temp_path(name), "left over");
    check_ok(wh_file_write(temp_path("a"), "x", 1, &err), &err);
    assert_file(temp_path("a"), "x");
}

static void test_cut(void **state) {
    (void)state;
    const char *path = temp_path("log");
    wh_append_file *file = NULL;
    check_ok(wh_append_open(&file, path, &err), &err);
    check_ok(wh_append_line(file, "first", &err), &err);
    check_ok(wh_append_line(file, "second", &err), &err);
    check_ok(wh_append_flush(file, &err), &err);
    check_fails(wh_append_cut(file, 14, &err), WEFT_E_RESUME, &err, "has 13 bytes, it had 14");
    wh_file_fault(1, EIO);
    check_fails(wh_append_cut(file, 6, &err), WEFT_E_OUTPUT, &err, "Input/output error");
    wh_file_fault(0, 0);
    assert_file(path, "first\nsecond\n");
    check_ok(wh_append_cut(file, 13, &err), &err);
    check_ok(wh_append_cut(file, 6, &err), &err);
    assert_int_equal(wh_append_offset(file), 6);
    check_ok(wh_append_line(file, "other", &err), &err);
    check_ok(wh_append_close(file, &err), &err);
    assert_file(path, "first\nother\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_write_and_replace),
        TEST(test_mode_follows_umask),
        TEST(test_every_operation_fails_in_turn),
        TEST(test_only_plain_files_are_replaced),
        TEST(test_places_that_cannot_be_written),
        TEST(test_file_size_limit),
        TEST(test_append),
        TEST(test_append_failures_leave_whole_lines),
        TEST(test_leftover_of_a_killed_process),
        TEST(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
