#include "host/chart.h"
#include "host/html.h"
#include "host/units.h"

#include <math.h>
#include <stdio.h>

/* The smallest of 1, 2, 5 times a power of ten that is at least x > 0. */
static double nice_step(double x) {
    double power = pow(10.0, floor(log10(x))), rest = x / power;
    double nice = rest <= 1.0 + 1e-9   ? 1.0
                  : rest <= 2.0 + 1e-9 ? 2.0
                  : rest <= 5.0 + 1e-9 ? 5.0
                                       : 10.0;
    return nice * power;
}

static void choose_unit(wh_scale *s, double largest, wh_unit unit) {
    static const char *const BYTES[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    static const char *const COUNT[] = {"", "thousand", "million", "billion", "×10¹²", "×10¹⁵"};
    static const char *const REAL[] = {"×10⁻¹⁸", "×10⁻¹⁵", "×10⁻¹²", "×10⁻⁹", "×10⁻⁶",
                                       "×10⁻³",  "",       "×10³",   "×10⁶",  "×10⁹"};
    s->divisor = 1.0, s->unit = "";
    if (unit == WH_UNIT_SECONDS) {
        s->unit = largest < 300.0 ? "s" : largest < 3.0 * 3600.0 ? "min" : "h";
        s->divisor = largest < 300.0 ? 1.0 : largest < 3.0 * 3600.0 ? 60.0 : 3600.0;
    } else if (unit == WH_UNIT_BYTES || unit == WH_UNIT_COUNT) {
        int i = 0;
        if (unit == WH_UNIT_BYTES || largest >= 1e5)
            for (; i < 5 && largest >= 1000.0; i++) largest /= 1000.0, s->divisor *= 1000.0;
        s->unit = unit == WH_UNIT_BYTES ? BYTES[i] : COUNT[i];
    } else if (unit == WH_UNIT_REAL && largest > 0.0) {
        int i = 6;
        if (largest < 1e-3) /* 0.002 is read more easily than a power */
            for (; i > 0 && largest < 0.1; i--) largest *= 1000.0, s->divisor /= 1000.0;
        for (; i < 9 && largest >= 1e4; i++) largest /= 1000.0, s->divisor *= 1000.0;
        s->unit = REAL[i];
    }
}

wh_scale wh_scale_make(double lo, double hi, wh_unit unit, int max_ticks) {
    wh_scale s = {0};
    if (!isfinite(lo) || !isfinite(hi) || lo > hi) lo = 0.0, hi = 1.0;
    choose_unit(&s, fmax(fabs(lo), fabs(hi)), unit);
    if (hi - lo <= 1e-9 * fmax(fabs(lo), fabs(hi)) || hi == lo) { /* all the same */
        double room = unit == WH_UNIT_WHOLE ? 1.0 : lo == 0.0 ? 1.0 : 0.1 * fabs(lo);
        hi += room;
        lo = lo >= 0.0 && lo < room ? 0.0 : lo - room;
    }
    s.step = s.divisor * nice_step((hi - lo) / s.divisor / (max_ticks > 1 ? max_ticks - 1 : 1));
    if (unit == WH_UNIT_WHOLE && s.step < 1.0) s.step = 1.0;
    double room = 0.04 * (hi - lo);
    s.lo = lo == 0.0 ? 0.0 : lo > 0.0 && lo < room ? 0.0 : lo - room;
    s.hi = hi + room;
    double shown = s.step / s.divisor;
    s.decimals = shown >= 1.0 ? 0 : (int)ceil(-log10(shown) - 1e-9);
    return s;
}

double wh_scale_first(const wh_scale *s) {
    return ceil(s->lo / s->step - 1e-9) * s->step;
}

const char *wh_scale_label(char *out, size_t n, const wh_scale *s, double value) {
    double shown = value / s->divisor;
    if (s->decimals == 0 && fabs(shown) >= 1000.0 && fabs(shown) < 1e15)
        return wh_units_grouped(out, n, (int64_t)llround(shown));
    return wh_html_number(out, n, shown, s->decimals);
}
