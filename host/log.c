#include "host/log.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_EARLY = 1 << 16 };

void wh_log_init(wh_log *log, bool quiet) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    *log = (wh_log){.level = quiet ? WEFT_LOG_ERROR : WEFT_LOG_INFO, .stream = stderr};
    log->color =
        isatty(STDERR_FILENO) && !(no_color && no_color[0]) && term && strcmp(term, "dumb") != 0;
}

void wh_log_fini(wh_log *log) {
    wh_text_free(&log->early);
}

void wh_log_clear_live(wh_log *log) {
    if (!log->is_live) return;
    fputs("\r\033[K", log->stream);
    log->is_live = false;
}

static const char *level_label(weft_log_level level) {
    switch (level) {
    case WEFT_LOG_ERROR:
        return "error: ";
    case WEFT_LOG_WARN:
        return "warning: ";
    case WEFT_LOG_INFO:
        return "";
    case WEFT_LOG_DEBUG:
        return "debug: ";
    }
    return "";
}

/* A log that cannot be written is reported once by wh_run_log_flush, not by every line. */
static void to_file(wh_log *log, weft_log_level level, const char *text) {
    if (log->run) {
        if (wh_run_log_line(log->run, level, "weft", text, NULL) != WEFT_OK) log->run = NULL;
    } else if (log->early.len < MAX_EARLY) {
        wh_text_addf(&log->early, "%c%s%c", 'a' + (int)level, text, '\0');
    }
}

void wh_log_attach(wh_log *log, wh_run_log *run) {
    log->run = run;
    if (!run) return;
    const char *line = log->early.data, *end = line ? line + log->early.len : NULL;
    for (; line && line < end; line += strlen(line) + 1) {
        to_file(log, (weft_log_level)(line[0] - 'a'), line + 1);
    }
    wh_text_free(&log->early);
}

static void to_stream(wh_log *log, weft_log_level level, const char *text) {
    if (level > log->level) return;
    const char *on = "", *off = "";
    if (log->color && level <= WEFT_LOG_WARN) {
        on = level == WEFT_LOG_ERROR ? "\033[31m" : "\033[33m";
        off = "\033[0m";
    }
    wh_log_clear_live(log);
    fprintf(log->stream, "%s%s%s%s\n", on, level_label(level), off, text);
}

/* Names from a data file may hold what steers a terminal or looks like another line. */
static void make_plain(char *text) {
    for (char *c = text; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    }
}

void wh_log_write(wh_log *log, weft_log_level level, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    make_plain(text);
    to_stream(log, level, text);
    to_file(log, level, text);
}

void wh_log_hook(void *ud, weft_log_level level, const char *module, const char *text) {
    wh_log_write(ud, level, "%s%s%s", module ? module : "", module && module[0] ? ": " : "", text);
}
