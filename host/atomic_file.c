#define _XOPEN_SOURCE 700 /* realpath */
#include "host/atomic_file.h"

#include "host/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct wh_atomic_file {
    char *path, *temp;
    int fd;
};

struct wh_append_file {
    char *path;
    int fd;
    int64_t offset;
    wh_text pending;
};

/* ---- system calls, each a place where a test can make it fail ---- */

static _Atomic int64_t fault_at, operations;
static _Atomic int fault_errno;

void wh_file_fault(int64_t n, int error) {
    operations = 0;
    fault_errno = error;
    fault_at = n;
}

int64_t wh_file_operations(void) {
    return operations;
}

bool wh_file_faulty(void) {
    if (++operations != fault_at) return false;
    errno = fault_errno;
    return true;
}

static int sys_open(const char *path, int flags) {
    if (wh_file_faulty()) return -1;
    int fd;
    do fd = open(path, flags | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* All bytes, or -1 with errno. */
static int sys_write(int fd, const char *data, size_t bytes) {
    bool fail = wh_file_faulty();
    int why = errno;
    if (fail) bytes /= 2;
    while (bytes) {
        ssize_t n = write(fd, data, bytes > (1u << 30) ? (1u << 30) : bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        data += n, bytes -= (size_t)n;
    }
    errno = why;
    return fail ? -1 : 0;
}

/* Some file systems cannot sync a folder or a device and say EINVAL; nothing is lost by that. */
static int sys_sync(int fd) {
    if (wh_file_faulty()) return -1;
    return fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS ? 0 : -1;
}

static int sys_close(int fd) {
    bool fail = wh_file_faulty();
    int why = errno, rc = close(fd);
    if (fail) errno = why;
    return fail ? -1 : rc;
}

static int sys_rename(const char *from, const char *to) {
    return wh_file_faulty() ? -1 : rename(from, to);
}

static weft_status cannot(const char *doing, const char *path, weft_error *err) {
    return WEFT_FAIL(err, WEFT_E_OUTPUT, "cannot %s %s: %s", doing, path, strerror(errno));
}

/* ---- whole files ---- */

/* "runs/a.json" -> "runs"; "a.json" -> "."; "/a" -> "/". */
static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return strdup(".");
    if (slash == path) return strdup("/");
    return strndup(path, (size_t)(slash - path));
}

/* Where the bytes go: the file that a symbolic link leads to, so that the link stays. A rename
 * would put a plain file where a device or a pipe is, such as /dev/null: refused. *out is *own*ed.
 */
static weft_status resolve_target(char **out, const char *path, weft_error *err) {
    struct stat info;
    bool is_there = stat(path, &info) == 0;
    if (is_there && !S_ISREG(info.st_mode))
        return WEFT_FAIL(err, WEFT_E_OUTPUT, "cannot write %s: it is %s, give the name of a file",
                         path, S_ISDIR(info.st_mode) ? "a folder" : "not a regular file");
    *out = is_there && lstat(path, &info) == 0 && S_ISLNK(info.st_mode) ? realpath(path, NULL)
                                                                        : strdup(path);
    return *out ? WEFT_OK : WEFT_FAIL(err, WEFT_E_MEM, "out of memory while opening %s", path);
}

static void atomic_free(wh_atomic_file *file) {
    free(file->path);
    free(file->temp);
    free(file);
}

weft_status wh_atomic_open(wh_atomic_file **out, const char *path, weft_error *err) {
    wh_atomic_file *file = calloc(1, sizeof *file);
    if (!file) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while opening %s", path);
    weft_status st = resolve_target(&file->path, path, err);
    if (st != WEFT_OK) {
        free(file);
        return st;
    }
    file->fd = -1;
    /* The process id keeps processes apart; the counter steps over leftovers of a killed one. */
    for (unsigned i = 0; i < 100 && file->fd < 0; i++) {
        wh_text temp = {0};
        wh_text_addf(&temp, "%s.tmp-%ld-%u", file->path, (long)getpid(), i);
        free(file->temp);
        file->temp = wh_text_take(&temp);
        if (!file->temp) {
            atomic_free(file);
            return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while opening %s", path);
        }
        file->fd = sys_open(file->temp, O_WRONLY | O_CREAT | O_EXCL);
        if (file->fd < 0 && errno != EEXIST) break;
    }
    if (file->fd < 0) {
        st = cannot("create", path, err);
        atomic_free(file);
        return st;
    }
    *out = file;
    return WEFT_OK;
}

weft_status wh_atomic_append(wh_atomic_file *file, const void *data, size_t bytes,
                             weft_error *err) {
    if (sys_write(file->fd, data, bytes) != 0) return cannot("write", file->path, err);
    return WEFT_OK;
}

void wh_atomic_discard(wh_atomic_file *file) {
    if (!file) return;
    if (file->fd >= 0) (void)close(file->fd);
    (void)unlink(file->temp);
    atomic_free(file);
}

/* 0, or -1 with errno. */
static int sync_names(const char *folder) {
    int fd = sys_open(folder, O_RDONLY | O_DIRECTORY);
    int rc = fd < 0 ? -1 : sys_sync(fd), why = errno;
    if (fd >= 0) (void)close(fd);
    errno = why;
    return rc;
}

weft_status wh_sync_folder(const char *path, weft_error *err) {
    return sync_names(path) == 0 ? WEFT_OK : cannot("sync the folder", path, err);
}

weft_status wh_sync_folder_of(const char *path, weft_error *err) {
    char *folder = folder_of(path);
    if (!folder) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while writing %s", path);
    weft_status st = sync_names(folder) == 0 ? WEFT_OK : cannot("sync the folder of", path, err);
    free(folder);
    return st;
}

weft_status wh_atomic_commit(wh_atomic_file *file, weft_error *err) {
    weft_status st = WEFT_OK;
    if (sys_sync(file->fd) != 0) st = cannot("sync", file->path, err);
    int closed = sys_close(file->fd);
    file->fd = -1;
    if (st == WEFT_OK && closed != 0) st = cannot("close", file->path, err);
    if (st == WEFT_OK && sys_rename(file->temp, file->path) != 0)
        st = cannot("rename a finished file to", file->path, err);
    if (st != WEFT_OK) {
        wh_atomic_discard(file);
        return st;
    }
    st = wh_sync_folder_of(file->path, err);
    atomic_free(file);
    return st;
}

weft_status wh_file_write(const char *path, const void *data, size_t bytes, weft_error *err) {
    wh_atomic_file *file = NULL;
    WEFT_TRY(wh_atomic_open(&file, path, err));
    weft_status st = wh_atomic_append(file, data, bytes, err);
    if (st != WEFT_OK) {
        wh_atomic_discard(file);
        return st;
    }
    return wh_atomic_commit(file, err);
}

/* ---- growing files ---- */

static void append_free(wh_append_file *file) {
    wh_text_free(&file->pending);
    free(file->path);
    free(file);
}

weft_status wh_append_open(wh_append_file **out, const char *path, weft_error *err) {
    wh_append_file *file = calloc(1, sizeof *file);
    if (!file || !(file->path = strdup(path))) {
        free(file);
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while opening %s", path);
    }
    file->fd = sys_open(path, O_WRONLY | O_CREAT | O_APPEND);
    struct stat info;
    if (file->fd < 0 || fstat(file->fd, &info) != 0) {
        weft_status st = cannot("open for appending", path, err);
        if (file->fd >= 0) (void)close(file->fd);
        append_free(file);
        return st;
    }
    file->offset = S_ISREG(info.st_mode) ? (int64_t)info.st_size : 0;
    *out = file;
    return WEFT_OK;
}

weft_status wh_append_line(wh_append_file *file, const char *line, weft_error *err) {
    if (strchr(line, '\n'))
        return WEFT_FAIL(err, WEFT_E_ARG, "a line for %s holds a newline", file->path);
    wh_text_addf(&file->pending, "%s\n", line);
    return wh_text_check(&file->pending, file->path, err);
}

weft_status wh_append_bytes(wh_append_file *file, const void *data, size_t bytes, weft_error *err) {
    wh_text_add_n(&file->pending, data, bytes);
    return wh_text_check(&file->pending, file->path, err);
}

weft_status wh_append_flush(wh_append_file *file, weft_error *err) {
    if (!file->pending.len) return WEFT_OK;
    if (sys_write(file->fd, file->pending.data, file->pending.len) != 0) {
        weft_status st = cannot("append to", file->path, err);
        /* Drop the part of a line that got through. When that fails too, nothing is left to do. */
        if (ftruncate(file->fd, (off_t)file->offset) != 0) return st;
        return st;
    }
    file->offset += (int64_t)file->pending.len;
    wh_text_clear(&file->pending);
    return WEFT_OK;
}

weft_status wh_append_sync(wh_append_file *file, weft_error *err) {
    WEFT_TRY(wh_append_flush(file, err));
    if (sys_sync(file->fd) != 0) return cannot("sync", file->path, err);
    return WEFT_OK;
}

int64_t wh_append_offset(const wh_append_file *file) {
    return file->offset;
}

weft_status wh_append_cut(wh_append_file *file, int64_t offset, weft_error *err) {
    if (offset > file->offset)
        return WEFT_FAIL(err, WEFT_E_RESUME,
                         "%s has %" PRId64 " bytes, it had %" PRId64 " when the checkpoint was "
                         "made: it was cut or replaced",
                         file->path, file->offset, offset);
    if (offset == file->offset) return WEFT_OK;
    if (wh_file_faulty() || ftruncate(file->fd, (off_t)offset) != 0)
        return cannot("cut", file->path, err);
    file->offset = offset;
    return sys_sync(file->fd) == 0 ? WEFT_OK : cannot("sync", file->path, err);
}

weft_status wh_append_close(wh_append_file *file, weft_error *err) {
    if (!file) return WEFT_OK;
    weft_status st = wh_append_flush(file, err);
    if (sys_close(file->fd) != 0 && st == WEFT_OK) st = cannot("close", file->path, err);
    append_free(file);
    return st;
}
