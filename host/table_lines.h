/* Text files line by line, of any size, with bounded memory. */
#ifndef WH_TABLE_LINES_H
#define WH_TABLE_LINES_H

#include "engine/weft.h"
#include "host/input.h"

/* Lines of a file of any size with bounded memory. */
typedef struct wh_lines {
    wh_input input;
    const char *path;
    char *block;
    size_t start, end, room; /* unread bytes: block[start, end) */
    int64_t line;            /* number of the line last given, 1-based */
    bool at_end;
} wh_lines;

WEFT_NODISCARD weft_status wh_lines_open(wh_lines *lines, const char *path, weft_error *err);
void wh_lines_close(wh_lines *lines);
/* The next line without its newline (a '\r' before it is kept), valid until the next call; *line is
 * NULL at the end. The byte order mark at the start is dropped. */
WEFT_NODISCARD weft_status wh_lines_next(wh_lines *lines, const char **line, size_t *length,
                                         weft_error *err);
/* The line given last ends in a newline: false for one that was cut off. */
bool wh_lines_is_whole(const wh_lines *lines);

#endif
