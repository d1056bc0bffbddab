/* Whole folders: made, removed, published under their final name in one step, held by one process.
 * Failures are WEFT_E_OUTPUT and name the path and the system's reason; tests make each operation
 * fail through wh_file_fault (atomic_file.h). */
#ifndef WH_FOLDER_H
#define WH_FOLDER_H

#include "engine/weft.h"

/* mkdir -p: all missing folders of a path. An existing folder is fine. */
WEFT_NODISCARD weft_status wh_folder_make(const char *path, weft_error *err);

/* Removes what a folder holds, but for the name `keep` directly in it (NULL: none), or with
 * `itself` the folder, which nobody then sees half empty. Follows no links, so nothing outside can
 * go. A folder that is not there is fine. */
WEFT_NODISCARD weft_status wh_folder_remove(const char *path, bool itself, const char *keep,
                                            weft_error *err);
/* Calls visit(ud, name) for each entry but "." and "..", in no order, until one fails. A folder
 * that is not there has none; one that cannot be read is WEFT_E_OUTPUT. */
WEFT_NODISCARD weft_status wh_folder_each(const char *path,
                                          weft_status (*visit)(void *ud, const char *name,
                                                               weft_error *err),
                                          void *ud, weft_error *err);

/* A folder that is filled under another name and then there at once: `temp` is synced, takes the
 * name `path` (an older folder of that name goes first) and the folder that holds both is synced.
 * Files in it were synced by whoever wrote them. */
WEFT_NODISCARD weft_status wh_folder_publish(const char *temp, const char *path, weft_error *err);
/* The symbolic link `path` to `target`, replacing an older one in one step. */
WEFT_NODISCARD weft_status wh_link_replace(const char *path, const char *target, weft_error *err);

/* Holds `path` (a file, made when missing) against other processes until the handle is closed or
 * the process ends, however it ends. *fd is then >= 0; -1 where the file system has no locks.
 * WEFT_E_OUTPUT: another process holds it. */
WEFT_NODISCARD weft_status wh_lock_take(int *fd, const char *path, weft_error *err);
void wh_lock_release(int fd); /* -1 is fine */

/* Whether a name is one of a temporary file or folder that atomic writing makes. */
bool wh_is_temporary(const char *name);

#endif
