/* Files that are whole or absent, and files that only grow by whole lines or records.
 *
 * Atomic: bytes go to a temporary file in the same folder, which is synced and renamed over the
 * target; then the folder is synced. Whatever fails, the target keeps its old content and the
 * temporary is removed. A symbolic link stays and its file is replaced; folders, devices and pipes
 * are refused. Growing: lines are collected and written together; a write that fails
 * half-way is cut back, so that the file still ends in a whole line (or binary record).
 *
 * Every failure is WEFT_E_OUTPUT and names the path and the system's reason. A file-size limit
 * shows as "File too large" only where SIGXFSZ is ignored: the program does so at its start. */
#ifndef WH_ATOMIC_FILE_H
#define WH_ATOMIC_FILE_H

#include "engine/weft.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- whole files ---- */

WEFT_NODISCARD weft_status wh_file_write(const char *path, const void *data, size_t bytes,
                                         weft_error *err);

/* The same in pieces. Exactly one of commit and discard ends the life of the handle, also when
 * append has failed; commit frees it whether it succeeds or not. */
typedef struct wh_atomic_file wh_atomic_file;
WEFT_NODISCARD weft_status wh_atomic_open(wh_atomic_file **out, const char *path, weft_error *err);
WEFT_NODISCARD weft_status wh_atomic_append(wh_atomic_file *file, const void *data, size_t bytes,
                                            weft_error *err);
WEFT_NODISCARD weft_status wh_atomic_commit(wh_atomic_file *file, weft_error *err);
void wh_atomic_discard(wh_atomic_file *file); /* NULL is fine */

/* The names in a folder, or in the one that holds `path`, are on the disk. */
WEFT_NODISCARD weft_status wh_sync_folder(const char *path, weft_error *err);
WEFT_NODISCARD weft_status wh_sync_folder_of(const char *path, weft_error *err);

/* ---- growing files ---- */

typedef struct wh_append_file wh_append_file;
/* Opens for appending, creating the file when it is not there. */
WEFT_NODISCARD weft_status wh_append_open(wh_append_file **out, const char *path, weft_error *err);
/* Collects one line, without its newline: nothing is written before wh_append_flush.
 * WEFT_E_ARG: the line holds a newline. */
WEFT_NODISCARD weft_status wh_append_line(wh_append_file *file, const char *line, weft_error *err);
/* Collects one record as it is: for files that are not made of lines. */
WEFT_NODISCARD weft_status wh_append_bytes(wh_append_file *file, const void *data, size_t bytes,
                                           weft_error *err);
/* Writes what was collected (readers see it), keeping it collected when that fails. */
WEFT_NODISCARD weft_status wh_append_flush(wh_append_file *file, weft_error *err);
/* flush, and the bytes are on the disk. */
WEFT_NODISCARD weft_status wh_append_sync(wh_append_file *file, weft_error *err);
/* Bytes of the file, all whole lines or records, without what is only collected. */
int64_t wh_append_offset(const wh_append_file *file);
/* Drops everything after the first `offset` bytes, on the disk too. WEFT_E_RESUME: the file is
 * shorter. Nothing may be collected. */
WEFT_NODISCARD weft_status wh_append_cut(wh_append_file *file, int64_t offset, weft_error *err);
/* Flushes and closes; the handle is gone whatever the outcome. NULL is fine. */
WEFT_NODISCARD weft_status wh_append_close(wh_append_file *file, weft_error *err);

/* ---- faults for tests ---- */

/* The n-th (1-based) file operation of this module and of folder.h from now fails with `error` (an
 * errno), once; n = 0 switches it off. A failing write first writes half of its bytes, as a full
 * disk does. */
void wh_file_fault(int64_t n, int error);
/* Operations since the last wh_file_fault. */
int64_t wh_file_operations(void);
/* Counts an operation; true, and errno is set, when it is the one that fails. */
bool wh_file_faulty(void);

#endif
