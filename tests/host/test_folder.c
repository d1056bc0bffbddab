/* labels: unit fault */
#include "host/folder.h"

#include "host/atomic_file.h"
#include "tests/host/temp_folder.h"

#include <errno.h>
#include <sys/wait.h>

static weft_error err;

static void test_make(void **state) {
    (void)state;
    check_ok(wh_folder_make(temp_path("a/b//c/"), &err), &err);
    check_ok(wh_folder_make(temp_path("a/b/c"), &err), &err);
    assert_int_equal(temp_count(temp_path("a/b/c")), 0);
    temp_text(temp_path("file"), "x");
    check_fails(wh_folder_make(temp_path("file"), &err), WEFT_E_OUTPUT, &err, "is a file");
    assert_int_equal(wh_folder_make(temp_path("file/x"), &err), WEFT_E_OUTPUT);
    assert_int_equal(wh_folder_make("/proc/weft/x", &err), WEFT_E_OUTPUT);
}

static void test_remove(void **state) {
    (void)state;
    check_ok(wh_folder_remove(temp_path("none"), true, NULL, &err), &err);
    check_ok(wh_folder_make(temp_path("a/b/c"), &err), &err);
    check_ok(wh_folder_make(temp_path("outside"), &err), &err);
    temp_text(temp_path("outside/keep"), "x");
    temp_text(temp_path("a/stays"), "x");
    temp_text(temp_path("a/b/goes"), "x");
    assert_int_equal(symlink(temp_path("outside"), temp_path("a/link")), 0);
    check_ok(wh_folder_remove(temp_path("a"), false, "stays", &err), &err);
    assert_int_equal(temp_count(temp_path("a")), 1);
    assert_true(temp_exists(temp_path("outside/keep")));
    check_ok(wh_folder_remove(temp_path("a"), true, NULL, &err), &err);
    assert_false(temp_exists(temp_path("a")));
    assert_int_equal(symlink(temp_path("outside"), temp_path("link")), 0);
    check_fails(wh_folder_remove(temp_path("link"), true, NULL, &err), WEFT_E_OUTPUT, &err,
                "/link: it is not a folder");
    assert_true(temp_exists(temp_path("outside/keep")));
}

static void fill(const char *folder, const char *text) {
    char path[300];
    check_ok(wh_folder_make(folder, &err), &err);
    (void)snprintf(path, sizeof path, "%s/state", folder);
    temp_text(path, text);
}

/* Every operation fails in turn: the old folder or the new one is there, whole, or, between the
 * two, none; never a part of one. */
static void test_publish(void **state) {
    (void)state;
    fill(temp_path("new"), "one");
    check_ok(wh_folder_publish(temp_path("new"), temp_path("it"), &err), &err);
    assert_file(temp_path("it/state"), "one");
    assert_false(temp_exists(temp_path("new")));
    weft_status st = WEFT_E_OUTPUT;
    int64_t at = 1;
    for (; st != WEFT_OK; at++) {
        fill(temp_path("it"), "old");
        fill(temp_path("new"), "two");
        wh_file_fault(at, EIO);
        st = wh_folder_publish(temp_path("new"), temp_path("it"), &err);
        wh_file_fault(0, 0);
        if (st != WEFT_OK) check_fails(st, WEFT_E_OUTPUT, &err, "Input/output error");
        bool there = temp_exists(temp_path("it/state")),
             waits = temp_exists(temp_path("new/state"));
        assert_true(there || waits);
        if (there) assert_file(temp_path("it/state"), waits ? "old" : "two");
        check_ok(wh_folder_remove(temp_path("new"), true, NULL, &err), &err);
    }
    assert_true(at > 5);
}

static void test_link(void **state) {
    (void)state;
    char target[64] = {0};
    check_ok(wh_link_replace(temp_path("latest"), "round_1", &err), &err);
    check_ok(wh_link_replace(temp_path("latest"), "round_2", &err), &err);
    assert_int_equal(readlink(temp_path("latest"), target, sizeof target - 1), 7);
    assert_string_equal(target, "round_2");
    for (int64_t at = 1; at <= 2; at++) {
        wh_file_fault(at, EROFS);
        check_fails(wh_link_replace(temp_path("latest"), "round_3", &err), WEFT_E_OUTPUT, &err,
                    "Read-only");
        wh_file_fault(0, 0);
        assert_int_equal(temp_count(temp_folder), 1);
        assert_int_equal(readlink(temp_path("latest"), target, sizeof target - 1), 7);
        assert_string_equal(target, "round_2");
    }
}

/* A lock keeps out a second handle and another process, and goes with the process that had it. */
static void test_lock(void **state) {
    (void)state;
    int first = -1, second = -1;
    check_ok(wh_lock_take(&first, temp_path("lock"), &err), &err);
    assert_true(first >= 0);
    check_fails(wh_lock_take(&second, temp_path("lock"), &err), WEFT_E_OUTPUT, &err,
                "another process holds");
    assert_int_equal(second, -1);
    wh_lock_release(first);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        int fd;
        char c = wh_lock_take(&fd, temp_path("lock"), NULL) == WEFT_OK ? 'y' : 'n';
        if (write(ready[1], &c, 1) == 1) (void)pause();
        _exit(0);
    }
    char c = 0;
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(c, 'y');
    check_fails(wh_lock_take(&second, temp_path("lock"), &err), WEFT_E_OUTPUT, &err, "holds");
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    check_ok(wh_lock_take(&second, temp_path("lock"), &err), &err);
    wh_lock_release(second);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_make), TEST(test_remove), TEST(test_publish), TEST(test_link), TEST(test_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
