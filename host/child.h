/* Runs of this program as child processes, one after another. A child takes its memory, its device
 * context and its peaks with it when it ends, and one that crashes or is killed for lack of memory
 * does not take its parent along. It dies with its parent, however that ends.
 *
 * The signals of interrupt.h and their rule: the first asks the running child to stop and is
 * remembered; Ctrl-C after that ends parent and child at once, the others change nothing. */
#ifndef WEFT_HOST_CHILD_H
#define WEFT_HOST_CHILD_H

#include "engine/weft.h"

/* Once, before the first child and while the process has one thread. */
void wh_child_setup(void);

/* Runs this program with the NULL-terminated argv (argv[0] as it was called), its stdout thrown
 * away, and waits. *code: its exit code, or 128 plus the signal that killed it. WEFT_E_MEM: there
 * is no room for a process. */
WEFT_NODISCARD weft_status wh_child_run(char *const *argv, int *code, weft_error *err);

/* The signal that asked to stop, 0 when there was none; looks for one that waits. */
int wh_child_stop(void);

/* Becomes that program instead; returns only when it cannot be started. */
WEFT_NODISCARD weft_status wh_child_become(char *const *argv, weft_error *err);

#endif
