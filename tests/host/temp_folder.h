/* A folder of its own for each test, gone afterwards, and the little that tests do with files. */
#ifndef WEFT_TESTS_TEMP_FOLDER_H
#define WEFT_TESTS_TEMP_FOLDER_H

#include "tests/check.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char temp_folder[64];

/* In memory where there is such a place: syncing to a disk is most of what these tests would do. */
static inline int temp_setup(void **state) {
    (void)state;
    (void)snprintf(temp_folder, sizeof temp_folder, "%s/weft-test-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(temp_folder) ? 0 : -1;
}

static inline int temp_teardown(void **state) {
    (void)state;
    char command[96];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", temp_folder);
    return system(command);
}

/* Path inside the folder; a ring of buffers, so several may be in use at once. */
static inline const char *temp_path(const char *name) {
    static char ring[8][256];
    static unsigned next;
    char *out = ring[next++ % 8];
    (void)snprintf(out, sizeof ring[0], "%s/%s", temp_folder, name);
    return out;
}

static inline void temp_write(const char *path, const void *data, size_t bytes) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, bytes), bytes);
    assert_int_equal(close(fd), 0);
}

static inline void temp_text(const char *path, const char *text) {
    temp_write(path, text, strlen(text));
}

/* The whole file, NUL-terminated; free it. */
static inline char *temp_read(const char *path, size_t *bytes) {
    struct stat info;
    int fd = open(path, O_RDONLY);
    if (fd < 0) print_error("cannot open %s\n", path);
    assert_true(fd >= 0 && fstat(fd, &info) == 0);
    char *data = malloc((size_t)info.st_size + 1);
    assert_non_null(data);
    assert_int_equal(read(fd, data, (size_t)info.st_size), info.st_size);
    data[info.st_size] = '\0';
    (void)close(fd);
    if (bytes) *bytes = (size_t)info.st_size;
    return data;
}

static inline void assert_file(const char *path, const char *text) {
    char *data = temp_read(path, NULL);
    assert_string_equal(data, text);
    free(data);
}

static inline bool temp_exists(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0;
}

/* Entries of a folder besides "." and "..". */
static inline int temp_count(const char *path) {
    DIR *dir = opendir(path);
    if (!dir) return -1;
    int n = -2;
    while (readdir(dir)) n++;
    (void)closedir(dir);
    return n;
}

/* The call failed with this status and one line that holds `part`. */
static inline void check_fails_at(weft_status got, weft_status want, const weft_error *err,
                                  const char *part, const char *file, int line) {
    bool ok = got == want && strstr(err->text, part) && !strchr(err->text, '\n') && err->text[0];
    if (!ok)
        print_error("%s:%d: got \"%s\" (%s), want \"…%s…\" (%s)\n", file, line,
                    got == WEFT_OK ? "" : err->text, weft_status_str(got), part,
                    weft_status_str(want));
    assert_true(ok);
}
#define check_fails(got, want, err, part)                                                          \
    check_fails_at((got), (want), (err), (part), __FILE__, __LINE__)

#endif
