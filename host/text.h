/* A growing text buffer.
 *
 * It keeps quiet about lack of memory: once an append has failed every later one does
 * nothing, and wh_text_check reports it. So building a page of text needs one check, not thirty. */
#ifndef WH_TEXT_H
#define WH_TEXT_H

#include "engine/weft.h"
#include "host/number.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct wh_text { /* zero-initialise; free with wh_text_free */
    char *data;          /* NUL-terminated once anything was added; may be NULL before */
    size_t len, cap;
    bool failed;
} wh_text;

void wh_text_free(wh_text *text); /* leaves it empty and usable */
void wh_text_clear(wh_text *text);
void wh_text_add(wh_text *text, const char *s);
void wh_text_add_n(wh_text *text, const char *s, size_t n);
void wh_text_addf(wh_text *text, const char *format, ...) WEFT_PRINTF(2, 3);
void wh_text_add_real(wh_text *text, double value); /* as wh_real_text */
/* One word of a POSIX shell's command line: plain words as they are, the rest in single quotes. */
void wh_text_add_shell_word(wh_text *text, const char *word);
/* WEFT_E_MEM when an append failed; `what` names the text. */
WEFT_NODISCARD weft_status wh_text_check(const wh_text *text, const char *what, weft_error *err);
/* Hand the characters over: *own*ed by the caller (free), never NULL unless an append failed. */
char *wh_text_take(wh_text *text);

/* Joins folder and file with one '/'. *Own*ed by the caller (free); NULL when memory is out. */
char *wh_path_join(const char *folder, const char *file);

/* Whether the folder has such a file or folder. Takes no memory, so that the answer is never no for
 * the lack of it. */
bool wh_folder_has(const char *folder, const char *file);

#endif
