/* Words for a POSIX shell. */
#ifndef WEFT_HOST_SHELL_H
#define WEFT_HOST_SHELL_H

#include "host/text.h"

/* Appends one word: plain ones as they are, the rest in single quotes. */
void wh_shell_add(wh_text *text, const char *word);

#endif
