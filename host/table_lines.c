#include "host/table_parts.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256 << 10 };

weft_status wh_lines_open(wh_lines *lines, const char *path, weft_error *err) {
    *lines = (wh_lines){.path = path};
    if (!wh_input_open(&lines->input, path))
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: cannot be opened: %s", path, lines->input.why);
    return WEFT_OK;
}

bool wh_lines_is_whole(const wh_lines *lines) {
    return lines->start > 0 && lines->block[lines->start - 1] == '\n';
}

void wh_lines_close(wh_lines *lines) {
    wh_input_close(&lines->input);
    free(lines->block);
    *lines = (wh_lines){0};
}

/* Reads more bytes behind the unread ones, which move to the front. */
static weft_status fill(wh_lines *lines, weft_error *err) {
    size_t unread = lines->end - lines->start;
    if (unread && lines->start) memmove(lines->block, lines->block + lines->start, unread);
    lines->start = 0;
    lines->end = unread;
    void *block = lines->block;
    if (!wh_grow(&block, &lines->room, unread + BLOCK, 1))
        return WEFT_FAIL(err, WEFT_E_MEM, "%s: out of memory for a line of %zu bytes", lines->path,
                         unread);
    lines->block = block;
    ptrdiff_t got = wh_input_read(&lines->input, lines->block + unread, BLOCK);
    if (got < 0)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: cannot be read: %s", lines->path, lines->input.why);
    lines->at_end = got < BLOCK;
    lines->end += (size_t)got;
    return WEFT_OK;
}

weft_status wh_lines_next(wh_lines *lines, const char **line, size_t *length, weft_error *err) {
    *line = NULL;
    *length = 0;
    bool first = lines->line == 0;
    size_t searched = 0;
    const char *newline = NULL;
    for (;;) {
        const char *from = lines->block ? lines->block + lines->start : "";
        size_t unread = lines->end - lines->start;
        if (unread > searched) newline = memchr(from + searched, '\n', unread - searched);
        if (newline || lines->at_end) break;
        if (unread > WH_TABLE_MAX_ROW) break;
        searched = unread;
        WEFT_TRY(fill(lines, err));
    }
    char *from = lines->block + lines->start;
    size_t unread = lines->end - lines->start;
    if (unread == 0) return WEFT_OK;
    size_t bytes = newline ? (size_t)(newline - from) : unread;
    lines->line++;
    if (bytes > WH_TABLE_MAX_ROW)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s:%lld: the line is longer than %d MiB: is this a text table?",
                         lines->path, (long long)lines->line, WH_TABLE_MAX_ROW >> 20);
    lines->start += bytes + (newline ? 1 : 0);
    if (first && bytes >= 3 && memcmp(from, "\xef\xbb\xbf", 3) == 0) from += 3, bytes -= 3;
    *line = from;
    *length = bytes;
    return WEFT_OK;
}
