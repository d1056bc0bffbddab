#include "host/units.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* Three significant digits with the largest unit that leaves at least 1. */
static void scaled(char *out, size_t n, double value, double step, const char *const *unit,
                   int n_units) {
    if (!isfinite(value)) {
        (void)snprintf(out, n, "-");
        return;
    }
    int i = 0;
    /* 999.5 would print as 1000: move on before rounding does. */
    while (i + 1 < n_units && fabs(value) >= step * 0.9995) value /= step, i++;
    double size = fabs(value);
    int digits = i == 0 ? 0 : size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
    (void)snprintf(out, n, "%.*f%s%s", digits, value, unit[i][0] ? " " : "", unit[i]);
}

const char *wh_units_wire(char *out, size_t n, double bytes) {
    static const char *const UNIT[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    scaled(out, n, bytes, 1000.0, UNIT, 6);
    return out;
}

const char *wh_units_memory(char *out, size_t n, double bytes) {
    static const char *const UNIT[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    scaled(out, n, bytes, 1024.0, UNIT, 6);
    return out;
}

const char *wh_units_count(char *out, size_t n, double count) {
    static const char *const UNIT[] = {"", "k", "M", "G", "T", "P", "E"};
    scaled(out, n, count, 1000.0, UNIT, 7);
    return out;
}

const char *wh_units_seconds(char *out, size_t n, double seconds) {
    if (!isfinite(seconds) || seconds < 0.0 || seconds > 1e10) {
        (void)snprintf(out, n, "-");
    } else if (seconds < 59.95) {
        (void)snprintf(out, n, seconds < 9.995 ? "%.2f s" : "%.1f s", seconds);
    } else {
        long long s = (long long)(seconds + 0.5);
        if (s < 3600) {
            (void)snprintf(out, n, "%lld:%02lld", s / 60, s % 60);
        } else {
            (void)snprintf(out, n, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
        }
    }
    return out;
}

const char *wh_units_grouped(char *out, size_t n, int64_t count) {
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRId64, count);
    size_t used = 0;
    for (int i = 0; i < length && used + 2 < n; i++) {
        out[used++] = digits[i];
        int left = length - 1 - i;
        if (left > 0 && left % 3 == 0 && digits[i] != '-') out[used++] = ',';
    }
    if (n > 0) out[used] = '\0';
    return out;
}

const char *wh_units_metric(char *out, size_t n, double value) {
    (void)snprintf(out, n, isfinite(value) ? "%.4f" : "-", value);
    return out;
}
