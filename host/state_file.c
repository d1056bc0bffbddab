#include "host/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

weft_status wh_state_file_set(wh_state_file *f, const char *path, weft_error *err) {
    wh_state_file_close(f);
    f->path = strdup(path);
    return f->path ? WEFT_OK : WEFT_FAIL(err, WEFT_E_MEM, "out of memory while placing %s", path);
}

void wh_state_file_close(wh_state_file *f) {
    if (f->is_open) {
        (void)close(f->fd);
        (void)unlink(f->path);
    }
    free(f->path);
    memset(f, 0, sizeof *f);
}

static weft_status open_now(wh_state_file *f, weft_error *err) {
    if (f->is_open) return WEFT_OK;
    if (!f->path)
        return WEFT_FAIL(err, WEFT_E_OUTPUT, "there is no run folder for client_state.bin yet");
    f->fd = open(f->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (f->fd < 0)
        return WEFT_FAIL(err, WEFT_E_OUTPUT, "cannot make %s: %s", f->path, strerror(errno));
    f->is_open = true;
    return WEFT_OK;
}

weft_status wh_state_file_write(wh_state_file *f, int64_t record, const void *data, size_t bytes,
                                weft_error *err) {
    WEFT_TRY(open_now(f, err));
    const char *from = data;
    for (size_t done = 0; done < bytes;) {
        const off_t at = (off_t)record * (off_t)bytes + (off_t)done;
        const ssize_t n = pwrite(f->fd, from + done, bytes - done, at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return WEFT_FAIL(err, WEFT_E_OUTPUT,
                             "cannot write %s: %s; raise engine.state_pool_mib or make room",
                             f->path, n < 0 ? strerror(errno) : "nothing was written");
        done += (size_t)n;
    }
    return WEFT_OK;
}

weft_status wh_state_file_read(wh_state_file *f, int64_t record, void *data, size_t bytes,
                               weft_error *err) {
    if (!f->is_open) return WEFT_FAIL(err, WEFT_E_DATA, "client_state.bin was never written");
    char *to = data;
    for (size_t done = 0; done < bytes;) {
        const off_t at = (off_t)record * (off_t)bytes + (off_t)done;
        const ssize_t n = pread(f->fd, to + done, bytes - done, at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return WEFT_FAIL(err, WEFT_E_DATA, "cannot read %s: %s", f->path, strerror(errno));
        if (n == 0)
            return WEFT_FAIL(err, WEFT_E_DATA,
                             "%s ends in record %" PRId64 ": somebody cut it during the run",
                             f->path, record);
        done += (size_t)n;
    }
    return WEFT_OK;
}
