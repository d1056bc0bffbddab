/* The program's log: short lines on stderr, and every line with its time in the run folder's
 * log.txt.
 *
 * stdout is for results only. A live progress line (progress.h) shares the terminal: the log wipes
 * it before a line and lets it be drawn again. Not thread-safe; hooks arrive on the calling thread.
 */
#ifndef WEFT_HOST_LOG_H
#define WEFT_HOST_LOG_H

#include "host/run_log.h"
#include "host/text.h"

#include <stdio.h>

typedef struct wh_log {
    weft_log_level level; /* most talkative level that stderr shows */
    bool color;
    bool is_live;    /* a progress line stands on the terminal */
    FILE *stream;    /* stderr */
    wh_run_log *run; /* NULL before wh_log_attach; borrowed */
    wh_text early;   /* lines for it, one letter for the level before each */
} wh_log;

/* `quiet` leaves errors only. Colour needs a terminal and no NO_COLOR in the environment
 * (no-color.org) and TERM other than dumb. */
void wh_log_init(wh_log *log, bool quiet);

void wh_log_fini(wh_log *log);
/* From now on lines also go to log.txt; NULL ends that. */
void wh_log_attach(wh_log *log, wh_run_log *run);

void wh_log_write(wh_log *log, weft_log_level level, const char *format, ...) WEFT_PRINTF(3, 4);
#define wh_log_info(log, ...) wh_log_write((log), WEFT_LOG_INFO, __VA_ARGS__)
#define wh_log_warn(log, ...) wh_log_write((log), WEFT_LOG_WARN, __VA_ARGS__)

/* Wipes the live line, if one stands. */
void wh_log_clear_live(wh_log *log);

/* weft_hooks.log with a wh_log as `ud`. */
void wh_log_hook(void *ud, weft_log_level level, const char *module, const char *text);

#endif
