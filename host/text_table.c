#include "host/text_table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void wh_text_table_init(wh_text_table *t, const char *align) {
    size_t n = strlen(align);
    *t = (wh_text_table){.align = align};
    t->n_columns = n < WH_TEXT_TABLE_COLUMNS ? (int)n : WH_TEXT_TABLE_COLUMNS;
}

void wh_text_table_fini(wh_text_table *t) {
    for (int i = 0; i < t->n_cells; i++) free(t->cell[i]);
    free(t->cell);
    *t = (wh_text_table){0};
}

void wh_text_table_cell(wh_text_table *t, const char *format, ...) {
    if (t->failed) return;
    if (t->n_cells == t->capacity) {
        int capacity = t->capacity ? 2 * t->capacity : 64;
        char **grown = realloc(t->cell, (size_t)capacity * sizeof *grown);
        if (!grown) {
            t->failed = true;
            return;
        }
        t->cell = grown;
        t->capacity = capacity;
    }
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = n < 0 ? NULL : malloc((size_t)n + 1);
    if (text) {
        (void)vsnprintf(text, (size_t)n + 1, format, again);
        t->cell[t->n_cells++] = text;
    } else {
        t->failed = true;
    }
    va_end(again);
}

/* Characters, not bytes. */
static int width_of(const char *text) {
    int n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

void wh_text_table_add(wh_text *to, const wh_text_table *t, const char *indent) {
    int width[WH_TEXT_TABLE_COLUMNS] = {0};
    for (int i = 0; i < t->n_cells; i++) {
        int w = width_of(t->cell[i]), c = i % t->n_columns;
        if (w > width[c]) width[c] = w;
    }
    if (t->failed) to->failed = true;
    for (int i = 0; i < t->n_cells; i++) {
        int c = i % t->n_columns, pad = width[c] - width_of(t->cell[i]);
        bool last = c == t->n_columns - 1 || i == t->n_cells - 1;
        bool right = t->align[c] == 'r';
        wh_text_addf(to, "%s%*s%s%*s", c == 0 ? indent : "  ", right ? pad : 0, "", t->cell[i],
                     right || last ? 0 : pad, "");
        if (!last) continue;
        while (to->len > 0 && to->data[to->len - 1] == ' ') to->len--; /* of empty last cells */
        wh_text_add(to, "\n");
    }
}
