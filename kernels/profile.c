#include "kernels/profile.h"

#include <string.h>
#include <time.h>

double wk_clock(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Index of the phase; the last one takes what does not fit. */
static int phase_index(wk_profile *p, const char *name) {
    for (int i = 0; i < p->n; i++)
        if (strcmp(p->phase[i].name, name) == 0) return i;
    if (p->n == WK_PROFILE_PHASES) return p->n - 1;
    p->phase[p->n].name = name;
    return p->n++;
}

/* What was counted since the last change belongs to the range that ends. */
static void take_counts(wk_dev *dev, wk_profile *p, int range) {
    wk_phase *phase = &p->phase[range];
    phase->flops += dev->count.flops - p->count.flops;
    phase->bytes += dev->count.bytes - p->count.bytes;
    phase->ops += dev->count.ops - p->count.ops;
    phase->launches += dev->launches - p->launches;
    p->count = dev->count;
    p->launches = dev->launches;
}

static weft_status stamp(wk_dev *dev, int i) {
    if (dev->dry) return WEFT_OK;
    if (dev->backend->stamp) return dev->backend->stamp(dev, i);
    dev->clock[i] = wk_clock();
    return WEFT_OK;
}

static weft_status between(wk_dev *dev, int i, double *seconds) {
    *seconds = 0;
    if (dev->dry) return WEFT_OK;
    if (dev->backend->between) return dev->backend->between(dev, i, i + 1, seconds);
    *seconds = dev->clock[i + 1] - dev->clock[i];
    return WEFT_OK;
}

/* Adds the time between consecutive stamps to the ranges that they begin. */
static weft_status settle(wk_dev *dev, wk_profile *p) {
    for (int i = 0; i + 1 < p->stamps; i++) {
        double seconds;
        WEFT_TRY(between(dev, i, &seconds));
        p->phase[p->range[i]].seconds += seconds;
    }
    p->stamps = 0;
    return WEFT_OK;
}

static weft_status change(wk_dev *dev, wk_profile *p, int range) {
    if (p->stamps > 0) take_counts(dev, p, p->range[p->stamps - 1]);
    WEFT_TRY(stamp(dev, p->stamps));
    p->range[p->stamps++] = range;
    if (p->stamps < WK_STAMPS) return WEFT_OK;
    WEFT_TRY(settle(dev, p));
    WEFT_TRY(stamp(dev, 0));
    p->range[p->stamps++] = range;
    return WEFT_OK;
}

weft_status wk_profile_begin(wk_dev *dev, wk_profile *profile, bool replays) {
    memset(profile, 0, sizeof *profile);
    profile->replays = replays;
    WEFT_TRY(dev->backend->sync(dev));
    profile->count = dev->count;
    profile->launches = dev->launches;
    dev->profile = profile;
    wk_profile_range(dev, NULL);
    return profile->st;
}

void wk_profile_range(wk_dev *dev, const char *name) {
    wk_profile *p = dev->profile;
    if (p->st == WEFT_OK) p->st = change(dev, p, phase_index(p, name ? name : "other"));
}

weft_status wk_profile_end(wk_dev *dev) {
    wk_profile *p = dev->profile;
    wk_profile_range(dev, NULL);
    dev->profile = NULL;
    WEFT_TRY(p->st);
    return settle(dev, p);
}
