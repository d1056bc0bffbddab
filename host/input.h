/* A file that is read from its start to its end.
 *
 * Reads are whole: a signal or a short read makes them go on. A file that ends before the size it
 * had when it was opened (cut by somebody, or by a network) is a failure and not a shorter file. */
#ifndef WH_INPUT_H
#define WH_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct wh_input { /* wh_input_close on a zeroed one is fine once opened is false */
    int fd;
    bool opened, regular;
    int64_t size;    /* of a regular file, when it was opened */
    int64_t got;     /* bytes given out */
    const char *why; /* what went wrong; for the next message only */
} wh_input;

/* False: in->why. Folders open; reading them fails. */
bool wh_input_open(wh_input *in, const char *path);
/* Fills data, with fewer than `bytes` only at the end of the file. -1: in->why. */
ptrdiff_t wh_input_read(wh_input *in, void *data, size_t bytes);
void wh_input_close(wh_input *in);

#endif
