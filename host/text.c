#include "host/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void wh_text_free(wh_text *text) {
    free(text->data);
    *text = (wh_text){0};
}

void wh_text_clear(wh_text *text) {
    text->len = 0;
    if (text->data) text->data[0] = '\0';
}

/* Room for `more` characters and the NUL. */
static bool reserve(wh_text *text, size_t more) {
    if (text->failed) return false;
    if (more >= SIZE_MAX / 2 - text->len) return text->failed = true, false;
    size_t need = text->len + more + 1;
    if (need <= text->cap) return true;
    size_t cap = text->cap ? text->cap : 256;
    while (cap < need) cap *= 2;
    char *data = realloc(text->data, cap);
    if (!data) return text->failed = true, false;
    text->data = data, text->cap = cap;
    return true;
}

void wh_text_add_n(wh_text *text, const char *s, size_t n) {
    if (!reserve(text, n)) return;
    if (n) memcpy(text->data + text->len, s, n);
    text->len += n;
    text->data[text->len] = '\0';
}

void wh_text_add(wh_text *text, const char *s) {
    wh_text_add_n(text, s, strlen(s));
}

void wh_text_addf(wh_text *text, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0)
        text->failed = true;
    else if (reserve(text, (size_t)n)) {
        (void)vsnprintf(text->data + text->len, (size_t)n + 1, format, again);
        text->len += (size_t)n;
    }
    va_end(again);
}

void wh_text_add_real(wh_text *text, double value) {
    char number[WH_NUMBER_TEXT];
    wh_text_add(text, wh_real_text(number, value));
}

void wh_text_add_shell_word(wh_text *text, const char *word) {
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

weft_status wh_text_check(const wh_text *text, const char *what, weft_error *err) {
    if (!text->failed) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while composing %s (%zu bytes so far)", what,
                     text->len);
}

char *wh_text_take(wh_text *text) {
    if (!text->data) wh_text_add_n(text, "", 0);
    char *data = text->failed ? NULL : text->data;
    if (!data) free(text->data);
    *text = (wh_text){0};
    return data;
}

char *wh_path_join(const char *folder, const char *file) {
    wh_text path = {0};
    size_t n = strlen(folder);
    wh_text_add(&path, folder);
    if (n && folder[n - 1] != '/') wh_text_add(&path, "/");
    wh_text_add(&path, file);
    return wh_text_take(&path);
}

bool wh_folder_has(const char *folder, const char *file) {
    char path[4096]; /* PATH_MAX: the system takes no longer one either */
    int n = snprintf(path, sizeof path, "%s/%s", folder, file);
    return n > 0 && (size_t)n < sizeof path && access(path, F_OK) == 0;
}
