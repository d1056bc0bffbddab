/* client_state.bin of a run folder: records of the engine that its memory has no room for
 * (weft_hooks.store_write). Private to the run: made when the first record comes, removed at the
 * end, readable by nobody else's code. */
#ifndef WH_STATE_FILE_H
#define WH_STATE_FILE_H

#include "engine/weft.h"

typedef struct wh_state_file {
    char *path; /* NULL: there is no folder yet */
    int fd;     /* valid once is_open */
    bool is_open;
} wh_state_file;

/* Where the file will be: a copy is made. WEFT_E_MEM. */
WEFT_NODISCARD weft_status wh_state_file_set(wh_state_file *f, const char *path, weft_error *err);
/* Closes and removes; fine on a zeroed one. */
void wh_state_file_close(wh_state_file *f);

/* Record `record` of `bytes` each. WEFT_E_OUTPUT and WEFT_E_DATA name the file. */
WEFT_NODISCARD weft_status wh_state_file_write(wh_state_file *f, int64_t record, const void *data,
                                               size_t bytes, weft_error *err);
WEFT_NODISCARD weft_status wh_state_file_read(wh_state_file *f, int64_t record, void *data,
                                              size_t bytes, weft_error *err);

#endif
