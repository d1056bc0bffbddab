#include "tests/fuzz/fuzz.h"

#include "host/exit_code.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_PATHS = 32, MAX_PATH = 96 };

static char folder[48];
static struct {
    char name[48], path[MAX_PATH];
    int fd; /* of fuzz_file, kept: a target writes its file for every input; 0: none */
} paths[MAX_PATHS];
static int n_paths;

_Noreturn void fuzz_fail(const char *file, int line, const char *format, ...) {
    (void)fprintf(stderr, "%s:%d: ", file, line);
    va_list args;
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    abort();
}

static void remove_folder(void) {
    char command[64];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0) (void)fprintf(stderr, "%s stays\n", folder);
}

static void make_folder(void) {
    /* In memory where that is possible. */
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(folder, sizeof folder, "%s/weft-fuzz-XXXXXX", base);
    FUZZ_CHECK(mkdtemp(folder), "no scratch folder in %s", base);
    (void)atexit(remove_folder);
}

const char *fuzz_path(const char *name) {
    if (!folder[0]) make_folder();
    for (int i = 0; i < n_paths; i++)
        if (strcmp(paths[i].name, name) == 0) return paths[i].path;
    FUZZ_CHECK(n_paths < MAX_PATHS && strlen(name) < sizeof paths[0].name, "too many paths");
    (void)snprintf(paths[n_paths].name, sizeof paths[0].name, "%s", name);
    (void)snprintf(paths[n_paths].path, MAX_PATH, "%s/%s", folder, name);
    /* "a/b": the folder a is made here too */
    char *slash = strrchr(paths[n_paths].path, '/');
    *slash = '\0';
    (void)mkdir(paths[n_paths].path, 0777);
    *slash = '/';
    return paths[n_paths++].path;
}

const char *fuzz_file(const char *name, const void *data, size_t size) {
    const char *path = fuzz_path(name);
    int i = 0;
    while (paths[i].path != path) i++;
    int *fd = &paths[i].fd;
    if (!*fd) *fd = open(path, O_WRONLY | O_CREAT, 0666);
    FUZZ_CHECK(*fd > 0, "%s cannot be made", path);
    /* Over the old bytes, which costs less than making the file anew. */
    FUZZ_CHECK(pwrite(*fd, data, size, 0) == (ssize_t)size && ftruncate(*fd, (off_t)size) == 0,
               "%s cannot be written", path);
    return path;
}

char *fuzz_read(const char *path, size_t *size) {
    struct stat info;
    int fd = open(path, O_RDONLY);
    FUZZ_CHECK(fd >= 0 && fstat(fd, &info) == 0, "%s cannot be read", path);
    char *data = malloc((size_t)info.st_size + 1);
    FUZZ_CHECK(data, "no memory for %s", path);
    FUZZ_CHECK(read(fd, data, (size_t)info.st_size) == info.st_size, "%s cannot be read", path);
    data[info.st_size] = '\0';
    (void)close(fd);
    if (size) *size = (size_t)info.st_size;
    return data;
}

size_t fuzz_split(const uint8_t *data, size_t size, const uint8_t **rest, size_t *rest_size) {
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t first = nul ? (size_t)(nul - data) : size;
    *rest = nul ? nul + 1 : data + size;
    *rest_size = nul ? size - first - 1 : 0;
    return first;
}

void fuzz_refused(weft_status st, const weft_error *err, const char *named) {
    char line[sizeof err->text + 32];
    int code = wh_exit_code(st, 0, false);
    FUZZ_CHECK(code == WH_EXIT_USAGE || code == WH_EXIT_DATA, "status %s: exit code %d: %s",
               weft_status_str(st), code, err->text);
    wh_exit_line(line, sizeof line, st, err);
    size_t n = strlen(line);
    FUZZ_CHECK(err->text[0] && n > strlen("weft: error: \n"), "no message");
    FUZZ_CHECK(strchr(line, '\n') == line + n - 1, "not one line: %s", line);
    FUZZ_CHECK(strstr(line, named), "the message does not name %s: %s", named, line);
}
