#include "host/folder.h"

#include "host/atomic_file.h"
#include "host/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEPTH = 16 };

static weft_status cannot(const char *doing, const char *path, weft_error *err) {
    return WEFT_FAIL(err, WEFT_E_OUTPUT, "cannot %s %s: %s", doing, path, strerror(errno));
}

bool wh_is_temporary(const char *name) {
    return strstr(name, ".tmp-") != NULL;
}

/* ---- making ---- */

weft_status wh_folder_make(const char *path, weft_error *err) {
    char *part = strdup(path);
    if (!part) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while creating %s", path);
    weft_status st = WEFT_OK;
    for (char *end = part + 1; st == WEFT_OK && *part; end++) {
        char last = *end;
        if (last && last != '/') continue;
        *end = '\0';
        struct stat info;
        if (wh_file_faulty() || (mkdir(part, 0777) != 0 && errno != EEXIST))
            st = cannot("create folder", part, err);
        else if (stat(part, &info) == 0 && !S_ISDIR(info.st_mode))
            st = WEFT_FAIL(err, WEFT_E_OUTPUT, "cannot create folder %s: %s is a file", path, part);
        if (!last) break;
        *end = '/';
    }
    free(part);
    return st;
}

/* ---- removing ---- */

/* What an open folder holds. Closes fd. */
static int remove_content(int fd, const char *keep, int depth) {
    DIR *dir = fdopendir(fd);
    if (!dir) {
        (void)close(fd);
        return -1;
    }
    int rc = depth > MAX_DEPTH ? (errno = ELOOP, -1) : 0;
    for (struct dirent *e; rc == 0 && (e = readdir(dir)) != NULL;) {
        struct stat info;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (keep && strcmp(e->d_name, keep) == 0) continue;
        rc = wh_file_faulty() ? -1 : fstatat(fd, e->d_name, &info, AT_SYMLINK_NOFOLLOW);
        if (rc == 0 && S_ISDIR(info.st_mode)) {
            int inner = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            rc = inner < 0 ? -1 : remove_content(inner, NULL, depth + 1);
            if (rc == 0) rc = unlinkat(fd, e->d_name, AT_REMOVEDIR);
        } else if (rc == 0) {
            rc = unlinkat(fd, e->d_name, 0);
        }
    }
    int why = errno;
    (void)closedir(dir);
    errno = why;
    return rc;
}

static weft_status empty(const char *path, const char *keep, weft_error *err) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return WEFT_OK;
    if (fd < 0 || remove_content(fd, keep, 0) != 0) return cannot("empty the folder", path, err);
    return WEFT_OK;
}

/* Under another name first, so that no half of it is ever seen under its own. */
static weft_status remove_whole(const char *path, weft_error *err) {
    wh_text gone = {0};
    wh_text_addf(&gone, "%s.tmp-%ld-gone", path, (long)getpid());
    weft_status st = wh_text_check(&gone, path, err);
    if (st == WEFT_OK) st = empty(gone.data, NULL, err); /* what an earlier try left */
    if (st == WEFT_OK && (wh_file_faulty() || rename(path, gone.data) != 0) && errno != ENOENT)
        st = cannot("remove the folder", path, err);
    if (st == WEFT_OK) st = empty(gone.data, NULL, err);
    if (st == WEFT_OK && rmdir(gone.data) != 0 && errno != ENOENT)
        st = cannot("remove the folder", path, err);
    wh_text_free(&gone);
    return st;
}

weft_status wh_folder_remove(const char *path, bool itself, const char *keep, weft_error *err) {
    struct stat info;
    if (lstat(path, &info) != 0 && errno == ENOENT) return WEFT_OK;
    if (!itself) return empty(path, keep, err);
    if (!S_ISDIR(info.st_mode))
        return WEFT_FAIL(err, WEFT_E_OUTPUT, "cannot remove %s: it is not a folder", path);
    return remove_whole(path, err);
}

weft_status wh_folder_each(const char *path,
                           weft_status (*visit)(void *ud, const char *name, weft_error *err),
                           void *ud, weft_error *err) {
    DIR *dir = opendir(path);
    if (!dir && errno == ENOENT) return WEFT_OK;
    if (!dir) return cannot("read the folder", path, err);
    weft_status st = WEFT_OK;
    for (struct dirent *e; st == WEFT_OK && (e = readdir(dir)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            st = visit(ud, e->d_name, err);
    (void)closedir(dir);
    return st;
}

/* ---- publishing ---- */

weft_status wh_folder_publish(const char *temp, const char *path, weft_error *err) {
    WEFT_TRY(wh_sync_folder(temp, err));
    WEFT_TRY(wh_folder_remove(path, true, NULL, err));
    if (wh_file_faulty() || rename(temp, path) != 0)
        return cannot("rename a finished folder to", path, err);
    return wh_sync_folder_of(path, err);
}

weft_status wh_link_replace(const char *path, const char *target, weft_error *err) {
    wh_text temp = {0};
    wh_text_addf(&temp, "%s.tmp-%ld", path, (long)getpid());
    weft_status st = wh_text_check(&temp, path, err);
    if (st == WEFT_OK) {
        (void)unlink(temp.data);
        if (wh_file_faulty() || symlink(target, temp.data) != 0 || wh_file_faulty() ||
            rename(temp.data, path) != 0) {
            st = cannot("make the link", path, err);
            (void)unlink(temp.data);
        }
    }
    wh_text_free(&temp);
    return st == WEFT_OK ? wh_sync_folder_of(path, err) : st;
}

/* ---- locks ---- */

weft_status wh_lock_take(int *fd, const char *path, weft_error *err) {
    *fd = -1;
    int file = wh_file_faulty() ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0) return cannot("create", path, err);
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
        const int why = errno;
        (void)close(file);
        if (why == EWOULDBLOCK)
            return WEFT_FAIL(err, WEFT_E_OUTPUT,
                             "another process holds %s: wait until it ends, or give another "
                             "run.name",
                             path);
        return WEFT_OK; /* no locks here: as good as it gets */
    }
    *fd = file;
    return WEFT_OK;
}

void wh_lock_release(int fd) {
    if (fd >= 0) (void)close(fd);
}
