/* Where the time of some work goes, by the ranges that wk_range names: seconds on the device, and
 * on a dry device FLOPs and bytes. One profile at a time on a device. What happens inside a replay
 * cannot be told apart: either a replay is one range, or wk_replay calls its body meanwhile, and
 * then the gaps between launches count too. */
#ifndef WK_PROFILE_H
#define WK_PROFILE_H

#include "kernels/dev.h"

#define WK_PROFILE_PHASES 32

typedef struct wk_phase {
    const char *name; /* as given to wk_range; "other" for work outside all ranges */
    double seconds;   /* 0 on a dry device */
    double flops, bytes;
    uint64_t ops, launches;
} wk_phase;

typedef struct wk_profile {
    bool replays;                      /* replays stay on and are one range, WK_REPLAY_RANGE */
    wk_phase phase[WK_PROFILE_PHASES]; /* in order of first use */
    int n;
    /* Ranges whose time is not known yet: stamp i begins range[i]. */
    int stamps, range[WK_STAMPS];
    wk_counters count; /* at the last change of range */
    uint64_t launches;
    weft_status st; /* first failure; wk_profile_end returns it */
} wk_profile;

double wk_clock(void); /* seconds of the host, monotonic */

#define WK_REPLAY_RANGE "passes"

/* Zeroes *profile and lets the device fill it until wk_profile_end. */
WEFT_NODISCARD weft_status wk_profile_begin(wk_dev *dev, wk_profile *profile, bool replays);
/* Waits for the device. */
WEFT_NODISCARD weft_status wk_profile_end(wk_dev *dev);
/* Called by wk_range. */
void wk_profile_range(wk_dev *dev, const char *name);

#endif
