#include "host/number.h"

#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

wh_number wh_parse_int64(const char *text, int64_t *out) {
    bool negative = *text == '-';
    if (*text == '-' || *text == '+') text++;
    if (!is_digit(*text)) return WH_NUMBER_MALFORMED;
    int64_t value = 0;
    bool fits = true;
    for (; is_digit(*text); text++) {
        /* downwards for negative numbers: -2^63 has no positive twin */
        int64_t digit = negative ? '0' - *text : *text - '0';
        fits = fits && !__builtin_mul_overflow(value, (int64_t)10, &value) &&
               !__builtin_add_overflow(value, digit, &value);
    }
    if (*text) return WH_NUMBER_MALFORMED;
    if (!fits) return WH_NUMBER_RANGE;
    *out = value;
    return WH_NUMBER_OK;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit in the mantissa. */
static bool is_decimal(const char *text) {
    int digits = 0;
    if (*text == '+' || *text == '-') text++;
    for (; is_digit(*text); text++) digits = 1;
    if (*text == '.') text++;
    for (; is_digit(*text); text++) digits = 1;
    if (!digits) return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        if (*text == '+' || *text == '-') text++;
        if (!is_digit(*text)) return false;
        while (is_digit(*text)) text++;
    }
    return *text == '\0';
}

/* strtod and printf follow the locale of the thread; this puts the C locale there and gives the old
 * one back. newlocale of "C" allocates nothing in glibc; without it the thread's locale stays. */
typedef struct c_locale {
    locale_t c, old;
} c_locale;

static c_locale c_locale_enter(void) {
    c_locale l = {.c = newlocale(LC_ALL_MASK, "C", (locale_t)0), .old = (locale_t)0};
    if (l.c) l.old = uselocale(l.c);
    return l;
}

static void c_locale_leave(c_locale l) {
    if (!l.c) return;
    (void)uselocale(l.old);
    freelocale(l.c);
}

wh_number wh_parse_double(const char *text, double *out) {
    if (!is_decimal(text)) return WH_NUMBER_MALFORMED;
    c_locale l = c_locale_enter();
    char *end = NULL;
    double value = strtod(text, &end);
    c_locale_leave(l);
    if (*end) return WH_NUMBER_MALFORMED;
    if (!isfinite(value)) return WH_NUMBER_RANGE;
    *out = value;
    return WH_NUMBER_OK;
}

const char *wh_format_double(char out[WH_NUMBER_TEXT], double value) {
    c_locale l = c_locale_enter();
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(out, WH_NUMBER_TEXT, "%.*g", digits, value);
        double back = strtod(out, NULL);
        if (memcmp(&back, &value, sizeof back) == 0) break;
    }
    c_locale_leave(l);
    return out;
}

static const char *non_finite(char out[WH_NUMBER_TEXT], double value) {
    (void)snprintf(out, WH_NUMBER_TEXT, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
    return out;
}

/* ".0" at the end when no point or exponent shows that this is a real. */
static const char *as_real(char out[WH_NUMBER_TEXT]) {
    if (!strpbrk(out, ".e")) memcpy(out + strlen(out), ".0", 3);
    return out;
}

const char *wh_real_text(char out[WH_NUMBER_TEXT], double value) {
    if (!isfinite(value)) return non_finite(out, value);
    (void)wh_format_double(out, value);
    return as_real(out);
}

const char *wh_float_text(char out[WH_NUMBER_TEXT], float value) {
    if (!isfinite(value)) return non_finite(out, (double)value);
    c_locale l = c_locale_enter();
    for (int digits = 6; digits <= 9; digits++) {
        (void)snprintf(out, WH_NUMBER_TEXT, "%.*g", digits, (double)value);
        float back = strtof(out, NULL);
        if (memcmp(&back, &value, sizeof back) == 0) break;
    }
    c_locale_leave(l);
    return as_real(out);
}
