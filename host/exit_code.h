/* Process exit codes: the one map from what went wrong to what a script sees.
 *
 *   0 ok · 1 a bug in Weft · 2 usage or configuration · 3 model or data · 4 out of memory ·
 *   5 diverged · 6 device, driver or collective · 7 resume mismatch · 8 output cannot be written ·
 *   75 training stopped by a signal with a good checkpoint: the same command with --resume auto
 * goes on (sysexits' EX_TEMPFAIL) · 128+n another command stopped by signal n (130 Ctrl-C, 143
 * SIGTERM)
 */
#ifndef WEFT_HOST_EXIT_CODE_H
#define WEFT_HOST_EXIT_CODE_H

#include "engine/weft.h"

typedef enum wh_exit {
    WH_EXIT_OK = 0,
    WH_EXIT_BUG = 1,
    WH_EXIT_USAGE = 2,
    WH_EXIT_DATA = 3,
    WH_EXIT_MEMORY = 4,
    WH_EXIT_DIVERGED = 5,
    WH_EXIT_DEVICE = 6,
    WH_EXIT_RESUME = 7,
    WH_EXIT_OUTPUT = 8,
    WH_EXIT_RESUME_LATER = 75,
    WH_EXIT_SIGNAL = 128, /* plus the signal's number */
} wh_exit;

/* Exit code of a status. For WEFT_E_STOPPED `signal` is the caught signal's number, or 0, and
 * `goes_on` says that there is a checkpoint to go on from. */
int wh_exit_code(weft_status status, int signal, bool goes_on);

/* The status behind the exit code of a run of this program, for the parent that answers for it.
 * Codes that no command ends with count as a bug, but 128 + SIGKILL: who kills programs so is
 * mostly the system, for lack of memory. */
weft_status wh_exit_status(int code);

/* The one line that people get on stderr when a command fails: "weft: error: <text>\n", control
 * characters replaced by '?'. Writes at most n bytes with the terminating zero; never fails. */
void wh_exit_line(char *out, size_t n, weft_status status, const weft_error *err);

#endif
