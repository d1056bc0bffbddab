#include "engine/parse.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Unsigned digits up to the end of the text. */
static we_parse parse_digits(const char *text, uint64_t *out) {
    if (!is_digit(*text)) return WE_PARSE_MALFORMED;
    uint64_t value = 0;
    bool fits = true;
    for (; is_digit(*text); text++) {
        uint64_t digit = (uint64_t)(*text - '0');
        fits = fits && !__builtin_mul_overflow(value, 10u, &value) &&
               !__builtin_add_overflow(value, digit, &value);
    }
    if (*text) return WE_PARSE_MALFORMED;
    if (!fits) return WE_PARSE_RANGE;
    *out = value;
    return WE_PARSE_OK;
}

we_parse we_parse_u64(const char *text, uint64_t *out) {
    return parse_digits(*text == '+' ? text + 1 : text, out);
}

we_parse we_parse_i64(const char *text, int64_t *out) {
    bool negative = *text == '-';
    uint64_t magnitude = 0;
    we_parse st = parse_digits(negative || *text == '+' ? text + 1 : text, &magnitude);
    if (st != WE_PARSE_OK) return st;
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0)) return WE_PARSE_RANGE;
    if (!negative)
        *out = (int64_t)magnitude;
    else /* -2^63 has no positive twin */
        *out = magnitude ? -(int64_t)(magnitude - 1) - 1 : 0;
    return WE_PARSE_OK;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit in the mantissa. */
static bool is_decimal(const char *text) {
    size_t digits = 0;
    if (*text == '+' || *text == '-') text++;
    for (; is_digit(*text); text++) digits++;
    if (*text == '.') text++;
    for (; is_digit(*text); text++) digits++;
    if (digits == 0) return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        if (*text == '+' || *text == '-') text++;
        if (!is_digit(*text)) return false;
        while (is_digit(*text)) text++;
    }
    return *text == '\0';
}

/* The decimal point of the current locale, which strtod and printf follow: what stands between the
 * digits of 0.5. Asked in this way because localeconv() is not safe among threads. */
static size_t locale_point(char out[16]) {
    char text[32];
    int n = snprintf(text, sizeof text, "%.1f", 0.5);
    size_t length = n > 2 && (size_t)n < 16 ? (size_t)n - 2 : 1;
    memcpy(out, n > 2 ? text + 1 : ".", length);
    return length;
}

we_parse we_parse_f64(const char *text, double *out) {
    char local[512], point[16];
    size_t length = strlen(text), point_length = locale_point(point);
    if (!is_decimal(text) || length + point_length >= sizeof local) return WE_PARSE_MALFORMED;
    size_t n = 0;
    for (const char *c = text; *c; c++) {
        if (*c == '.') {
            memcpy(local + n, point, point_length);
            n += point_length;
        } else {
            local[n++] = *c;
        }
    }
    local[n] = '\0';
    int saved = errno;
    char *end = NULL;
    double value = strtod(local, &end);
    errno = saved;
    if (end != local + n) return WE_PARSE_MALFORMED;
    if (!isfinite(value)) return WE_PARSE_RANGE;
    *out = value;
    return WE_PARSE_OK;
}

void we_format_f64(char out[WE_F64_TEXT], double value) {
    char point[16];
    size_t point_length = locale_point(point);
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(out, WE_F64_TEXT, "%.*g", digits, value);
        for (char *at = out; *at; at++) {
            if (strncmp(at, point, point_length) != 0) continue;
            *at = '.';
            memmove(at + 1, at + point_length, strlen(at + point_length) + 1);
            break;
        }
        double back = 0;
        if (we_parse_f64(out, &back) == WE_PARSE_OK && back == value) return;
    }
}
