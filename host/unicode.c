#include "host/unicode.h"

#include "host/unicode_exceptions.h"
#include "host/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* The range that holds c, or NULL. */
static const wh_forced_range *forced(const wh_forced_range *table, size_t count, uint32_t c) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (c > table[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    return low < count && c >= table[low].first ? &table[low] : NULL;
}

/* The forced answer for c, or utf8proc's (`ours`). */
#define ANSWER(table, c, ours)                                                                     \
    do {                                                                                           \
        const wh_forced_range *range_ = forced(table, COUNT(table), c);                            \
        return range_ ? range_->answer != 0 : (ours);                                              \
    } while (0)

static int category(uint32_t c) {
    return (int)utf8proc_category((utf8proc_int32_t)c);
}

static bool within(int cat, int first, int last) {
    return cat >= first && cat <= last;
}

bool wh_is_space(uint32_t c) {
    if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool wh_is_control(uint32_t c) {
    if (c < 0x80) return c == 0x7f || (c < 0x20 && c != '\t' && c != '\n' && c != '\r');
    if (c == 0xfffd) return true;
    int cat = category(c);
    ANSWER(forced_control, c,
           cat == UTF8PROC_CATEGORY_CC || cat == UTF8PROC_CATEGORY_CF ||
               cat == UTF8PROC_CATEGORY_CO);
}

bool wh_is_nonspacing(uint32_t c) {
    if (c < 0x300) return false;
    ANSWER(forced_nonspacing, c, category(c) == UTF8PROC_CATEGORY_MN);
}

bool wh_is_combining(uint32_t c) {
    if (c < 0x300) return false;
    ANSWER(forced_combining, c, within(category(c), UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME));
}

bool wh_is_punctuation(uint32_t c) {
    if (c < 0x80)
        return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
               (c >= 123 && c <= 126);
    ANSWER(forced_punctuation, c, within(category(c), UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO));
}

bool wh_is_numeric(uint32_t c) {
    if (c < 0x80) return c >= '0' && c <= '9';
    ANSWER(forced_numeric, c, within(category(c), UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO));
}

/* Characters of property Other_Alphabetic outside the categories L, M and N: circled and squared
 * Latin letters. */
static bool is_enclosed_letter(uint32_t c) {
    return (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
           (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
}

bool wh_is_word(uint32_t c) {
    if (c < 0x80)
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_';
    int cat = category(c);
    ANSWER(forced_word, c,
           within(cat, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_NL) || cat == UTF8PROC_CATEGORY_PC ||
               c == 0x200c || c == 0x200d || is_enclosed_letter(c));
}

bool wh_is_letter(uint32_t c) {
    if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    ANSWER(forced_letter, c, within(category(c), UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LO));
}

bool wh_is_number(uint32_t c) {
    if (c < 0x80) return c >= '0' && c <= '9';
    ANSWER(forced_number, c, within(category(c), UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO));
}

bool wh_is_cjk(uint32_t c) {
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
           (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

size_t wh_lower(uint32_t c, uint32_t out[2]) {
    if (c < 0x80) {
        out[0] = c >= 'A' && c <= 'Z' ? c + 32 : c;
        return 1;
    }
    if (c == 0x130) { /* the one character whose lower case is two */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    const wh_forced_range *range = forced(forced_lower, COUNT(forced_lower), c);
    out[0] = range ? (uint32_t)((int32_t)c + range->answer)
                   : (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
    return 1;
}

static size_t new_ranges(const wh_forced_range *table, size_t count, wh_code_range *out,
                         size_t room) {
    size_t n = 0;
    for (size_t i = 0; i < count && n < room; i++)
        if (table[i].answer) out[n++] = (wh_code_range){table[i].first, table[i].last};
    return n;
}

size_t wh_new_letters(wh_code_range *out, size_t room) {
    return new_ranges(forced_letter, COUNT(forced_letter), out, room);
}

size_t wh_new_numbers(wh_code_range *out, size_t room) {
    return new_ranges(forced_number, COUNT(forced_number), out, room);
}

size_t wh_new_words(wh_code_range *out, size_t room) {
    return new_ranges(forced_word, COUNT(forced_word), out, room);
}

weft_status wh_points_room(wh_points *points, size_t extra, weft_error *err) {
    if (points->n + extra <= points->cap) return WEFT_OK;
    void *v = points->v;
    if (points->n + extra > WH_TEXT_LIMIT ||
        !wh_grow(&v, &points->cap, points->n + extra, sizeof *points->v))
        return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory for %zu characters",
                         points->n + extra);
    points->v = v;
    return WEFT_OK;
}

/* No character decomposes into more than this (U+FDFA in NFKD). */
#define LONGEST_DECOMPOSITION 18

weft_status wh_decompose(wh_points *out, uint32_t c, bool compat, weft_error *err) {
    WEFT_TRY(wh_points_room(out, LONGEST_DECOMPOSITION, err));
    if (c < 0x80 || forced(forced_canonical, COUNT(forced_canonical), c) ||
        (compat && forced(forced_compat, COUNT(forced_compat), c))) {
        out->v[out->n++] = (int32_t)c;
        return WEFT_OK;
    }
    int boundclass = 0;
    utf8proc_option_t options = UTF8PROC_DECOMPOSE | UTF8PROC_STABLE;
    if (compat) options |= UTF8PROC_COMPAT;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, out->v + out->n,
                                                 LONGEST_DECOMPOSITION, options, &boundclass);
    if (n < 0 || n > LONGEST_DECOMPOSITION)
        return WEFT_FAIL(err, WEFT_E_DATA, "tokenizer: U+%04X cannot be decomposed: %s",
                         (unsigned)c, utf8proc_errmsg(n));
    out->n += (size_t)n;
    return WEFT_OK;
}

static unsigned combining_class(int32_t c) {
    if (c < 0x300) return 0;
    if (forced(forced_class_zero, COUNT(forced_class_zero), (uint32_t)c)) return 0;
    return (unsigned)utf8proc_get_property(c)->combining_class;
}

/* Stable counting sort of one run of marks; linear, because a text may hold a megabyte of them. */
static weft_status sort_run(int32_t *v, size_t n, weft_error *err) {
    size_t start[257] = {0};
    for (size_t i = 0; i < n; i++) start[combining_class(v[i]) % 256 + 1]++;
    for (size_t i = 1; i < 257; i++) start[i] += start[i - 1];
    int32_t small[32], *sorted = n <= 32 ? small : malloc(n * sizeof *sorted);
    if (!sorted) return WEFT_FAIL(err, WEFT_E_MEM, "tokenizer: no memory for %zu marks", n);
    for (size_t i = 0; i < n; i++) sorted[start[combining_class(v[i]) % 256]++] = v[i];
    memcpy(v, sorted, n * sizeof *v);
    if (sorted != small) free(sorted);
    return WEFT_OK;
}

weft_status wh_order_marks(wh_points *points, weft_error *err) {
    size_t i = 0;
    while (i < points->n) {
        unsigned last = combining_class(points->v[i]);
        if (last == 0) {
            i++;
            continue;
        }
        size_t first = i;
        bool ordered = true;
        for (i++; i < points->n; i++) {
            unsigned next = combining_class(points->v[i]);
            if (next == 0) break;
            if (next < last) ordered = false;
            last = next;
        }
        if (!ordered) WEFT_TRY(sort_run(points->v + first, i - first, err));
    }
    return WEFT_OK;
}

void wh_compose(wh_points *points) {
    if (points->n == 0) return;
    utf8proc_ssize_t n =
        utf8proc_normalize_utf32(points->v, (utf8proc_ssize_t)points->n,
                                 (utf8proc_option_t)(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    if (n >= 0) points->n = (size_t)n;
}
