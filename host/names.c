#include "host/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void wh_names_free(wh_names *names) {
    free(names->name);
    free(names->count);
    free(names->bytes);
    *names = (wh_names){0};
}

/* Copies the runs of equal strings in sorted[0..n) into the set. */
static weft_status take_distinct(wh_names *out, const char **sorted, int64_t n, const char *what,
                                 weft_error *err) {
    int64_t distinct = 0;
    size_t bytes = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 && strcmp(sorted[i], sorted[i - 1]) == 0) continue;
        distinct++;
        bytes += strlen(sorted[i]) + 1;
    }
    if (distinct > INT32_MAX)
        return WEFT_FAIL(err, WEFT_E_DATA, "%lld different %s: at most %d are supported",
                         (long long)distinct, what, INT32_MAX);
    wh_names set = {0};
    size_t room = distinct > 0 ? (size_t)distinct : 1;
    set.name = calloc(room, sizeof *set.name);
    set.count = calloc(room, sizeof *set.count);
    set.bytes = malloc(bytes + 1);
    if (!set.name || !set.count || !set.bytes) {
        wh_names_free(&set);
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for %lld %s", (long long)distinct, what);
    }
    char *at = set.bytes;
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(sorted[i], sorted[i - 1]) != 0) {
            size_t size = strlen(sorted[i]) + 1;
            set.name[set.n++] = memcpy(at, sorted[i], size);
            at += size;
        }
        set.count[set.n - 1]++;
    }
    *out = set;
    return WEFT_OK;
}

weft_status wh_names_build(wh_names *out, int64_t n, const char *(*get)(const void *ud, int64_t i),
                           const void *ud, const char *what, weft_error *err) {
    const char **sorted = calloc(n > 0 ? (size_t)n : 1, sizeof *sorted);
    if (!sorted)
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the %s of %lld rows", what,
                         (long long)n);
    for (int64_t i = 0; i < n; i++) sorted[i] = get(ud, i);
    qsort(sorted, (size_t)n, sizeof *sorted, by_bytes);
    weft_status st = take_distinct(out, sorted, n, what, err);
    free(sorted);
    return st;
}

int32_t wh_names_find(const wh_names *names, const char *name) {
    if (names->n == 0) return -1;
    const char **at = bsearch(&name, names->name, (size_t)names->n, sizeof *names->name, by_bytes);
    return at ? (int32_t)(at - names->name) : -1;
}

enum { NEAR_MAX = 63 };

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Edits between two words: change, insert, delete or swap neighbours (optimal string alignment);
 * ASCII letters compared without case. */
static size_t edit_distance(const char *a, size_t na, const char *b, size_t nb) {
    size_t d[NEAR_MAX + 1][NEAR_MAX + 1]; /* of the first i letters of a and the first j of b */
    for (size_t i = 0; i <= na; i++) d[i][0] = i;
    for (size_t j = 0; j <= nb; j++) d[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        for (size_t j = 1; j <= nb; j++) {
            char x = lower(a[i - 1]), y = lower(b[j - 1]);
            size_t best = d[i - 1][j - 1] + (x != y);
            if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
            bool swapped = i > 1 && j > 1 && x == lower(b[j - 2]) && lower(a[i - 2]) == y;
            if (swapped && d[i - 2][j - 2] + 1 < best) best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[na][nb];
}

const char *wh_nearest(const char *name, const char *const *list, size_t n) {
    size_t length = strlen(name), best = SIZE_MAX;
    const char *found = NULL;
    if (length == 0 || length > NEAR_MAX) return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t other = strlen(list[i]);
        if (other == 0 || other > NEAR_MAX) continue;
        size_t distance = edit_distance(name, length, list[i], other);
        size_t longest = length > other ? length : other;
        if (distance * 3 <= longest + 1 && distance < best) best = distance, found = list[i];
    }
    return found;
}

const char *wh_join_names(char *out, size_t size, const char *const *list, size_t n) {
    static const char more[] = ", …";
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        size_t need = strlen(list[i]) + (i ? 2 : 0);
        if (used + need + (i + 1 < n ? sizeof more : 1) > size) {
            if (used + sizeof more <= size)
                (void)snprintf(out + used, size - used, "%s", i ? more : more + 2);
            break;
        }
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", list[i]);
    }
    return out;
}
