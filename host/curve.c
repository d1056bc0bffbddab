#include "host/curve.h"

#include <math.h>
#include <string.h>

void wh_curve_init(wh_curve *c, int64_t per_bin) {
    memset(c, 0, sizeof *c);
    c->per_bin = per_bin;
}

/* A bin without a value takes any; one with a value ignores gaps. */
static void take(wh_curve_bin *bin, const wh_point *p) {
    if (isnan(bin->low.y)) {
        bin->low = bin->high = *p;
        return;
    }
    if (p->y < bin->low.y) bin->low = *p;
    if (p->y > bin->high.y) bin->high = *p;
}

static void halve(wh_curve *c) {
    for (int i = 0; i < c->n / 2; i++) {
        wh_curve_bin merged = c->bin[2 * i];
        take(&merged, &c->bin[2 * i + 1].low);
        take(&merged, &c->bin[2 * i + 1].high);
        c->bin[i] = merged;
    }
    c->n /= 2;
    c->per_bin *= 2;
    c->in_last = c->per_bin;
}

void wh_curve_add(wh_curve *c, wh_point p) {
    if (c->n == WH_CURVE_BINS && c->in_last == c->per_bin) halve(c);
    if (c->n == 0 || c->in_last == c->per_bin) {
        c->bin[c->n++] = (wh_curve_bin){p, p};
        c->in_last = 1;
    } else {
        take(&c->bin[c->n - 1], &p);
        c->in_last++;
    }
    c->n_points++;
    c->last = p;
}

int wh_curve_points(const wh_curve *c, wh_point out[WH_CURVE_POINTS]) {
    int n = 0;
    for (int i = 0; i < c->n; i++) {
        const wh_point *low = &c->bin[i].low, *high = &c->bin[i].high;
        bool rising = low->round <= high->round;
        out[n++] = rising ? *low : *high;
        if (low->round != high->round) out[n++] = rising ? *high : *low;
    }
    if (n > 0 && c->last.round > out[n - 1].round) out[n++] = c->last;
    return n;
}
