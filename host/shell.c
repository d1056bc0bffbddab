#include "host/shell.h"

#include <string.h>

void wh_shell_add(wh_text *text, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./=:,@%+";
    if (*word && word[strspn(word, plain)] == '\0') {
        wh_text_add(text, word);
        return;
    }
    wh_text_add(text, "'");
    for (; *word; word++) {
        if (*word == '\'')
            wh_text_add(text, "'\\''");
        else
            wh_text_add_n(text, word, 1);
    }
    wh_text_add(text, "'");
}
