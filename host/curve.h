/* A curve of any length in bounded memory, for charts. Points arrive in order; once there are more
 * than WH_CURVE_BINS, neighbours share a bin that keeps the smallest and the largest of them, so
 * that no peak is lost however many points there are. */
#ifndef WH_CURVE_H
#define WH_CURVE_H

#include <stdbool.h>
#include <stdint.h>

enum { WH_CURVE_BINS = 400, WH_CURVE_POINTS = 2 * WH_CURVE_BINS + 1 };

/* A value after a round, with what it took to get there. */
typedef struct wh_point {
    /* bytes both ways; seconds of training; local steps of a client; NaN: not known */
    double round, bytes, seconds, steps;
    double y; /* NaN: a gap */
} wh_point;

typedef struct wh_curve_bin {
    wh_point low, high;
} wh_curve_bin;

typedef struct wh_curve { /* wh_curve_init */
    wh_curve_bin bin[WH_CURVE_BINS];
    int n;           /* bins in use */
    int64_t per_bin; /* points of a full bin */
    int64_t in_last; /* points in the last bin */
    int64_t n_points;
    wh_point last;
} wh_curve;

/* per_bin 1, or 2 for a band: each round then adds its smallest and its largest value. */
void wh_curve_init(wh_curve *curve, int64_t per_bin);
void wh_curve_add(wh_curve *curve, wh_point point);
/* The points to draw, by round; the last one added is the last. Returns their number. */
int wh_curve_points(const wh_curve *curve, wh_point out[WH_CURVE_POINTS]);

#endif
