#include "host/input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool wh_input_open(wh_input *in, const char *path) {
    *in = (wh_input){0};
    do in->fd = open(path, O_RDONLY | O_CLOEXEC);
    while (in->fd < 0 && errno == EINTR);
    in->opened = in->fd >= 0;
    struct stat info;
    if (!in->opened || fstat(in->fd, &info) != 0) {
        in->why = strerror(errno);
        wh_input_close(in);
        return false;
    }
    in->regular = S_ISREG(info.st_mode);
    in->size = in->regular ? (int64_t)info.st_size : 0;
    return true;
}

ptrdiff_t wh_input_read(wh_input *in, void *data, size_t bytes) {
    char *to = data;
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = read(in->fd, to + done, bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            in->why = strerror(errno);
            return -1;
        }
        if (n == 0) break;
        done += (size_t)n;
    }
    in->got += (int64_t)done;
    if (done < bytes && in->got < in->size) {
        in->why = "it ends before its size: it was cut while it was read";
        return -1;
    }
    return (ptrdiff_t)done;
}

void wh_input_close(wh_input *in) {
    if (in->opened) (void)close(in->fd);
    in->opened = false;
}
