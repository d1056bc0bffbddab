/* A sweep: many settings of one job, as its section `sweep` lists them. Points are counted from 0
 * in a fixed order: the entries of `list` vary slowest, then the keys of `grid` in the order of the
 * file, the last one fastest. */
#ifndef WEFT_HOST_SWEEP_H
#define WEFT_HOST_SWEEP_H

#include "host/text.h"

#define WH_SWEEP_MAX_POINTS 10000
#define WH_SWEEP_MAX_KEYS   64 /* different options */

/* One option set. */
typedef struct wh_sweep_set {
    const weft_option *option;
    char *value; /* canonical text, owned by the sweep */
} wh_sweep_set;

/* A key of the grid, whose choices set one option each, or the list, whose choices are its entries.
 * Choices and sets are runs of two flat arrays. */
typedef struct wh_sweep_choice {
    size_t first, n; /* of wh_sweep.set */
} wh_sweep_choice;
typedef struct wh_sweep_axis {
    size_t first, n; /* of wh_sweep.choice */
    bool is_list;
} wh_sweep_axis;

typedef struct wh_sweep { /* zero-initialise; wh_sweep_free */
    wh_sweep_set *set;
    wh_sweep_choice *choice;
    wh_sweep_axis *axis;
    size_t n_sets, set_cap, n_choices, choice_cap, n_axes, axis_cap;
    const weft_option *key[WH_SWEEP_MAX_KEYS]; /* all that any point sets, as they came */
    int n_keys;
    int64_t n_points; /* of wh_sweep_finish; 0: there is no sweep */
} wh_sweep;

void wh_sweep_free(wh_sweep *sweep);

/* ---- building: an axis, its first choice, what that sets, the next choice ... ----
 * WEFT_E_CONFIG with a message that wants the place before it. */
WEFT_NODISCARD weft_status wh_sweep_add_axis(wh_sweep *sweep, bool is_list, weft_error *err);
WEFT_NODISCARD weft_status wh_sweep_add_choice(wh_sweep *sweep, weft_error *err);
WEFT_NODISCARD weft_status wh_sweep_add_set(wh_sweep *sweep, const weft_option *option,
                                            const char *value, weft_error *err);
/* The last choice is complete: it must differ from the others of its axis. */
WEFT_NODISCARD weft_status wh_sweep_end_choice(wh_sweep *sweep, weft_error *err);
/* Orders the axes and counts the points. */
WEFT_NODISCARD weft_status wh_sweep_finish(wh_sweep *sweep, weft_error *err);

/* ---- points ---- */

/* What point `index` (0 .. n_points - 1) sets, borrowed; returns how many. */
int wh_sweep_point(const wh_sweep *sweep, int64_t index,
                   const wh_sweep_set *set[WH_SWEEP_MAX_KEYS]);
/* "client.learning_rate=0.1 lora.r=8", quoted for a POSIX shell: arguments of weft train. */
void wh_sweep_words(wh_text *out, const wh_sweep *sweep, int64_t index);
/* Name of the point's run folder: "learning_rate-0.1_r-8", and "base" for one that sets nothing.
 * It says what the point sets and not where it stands, so that a sweep that grows keeps its
 * folders. Keys lose their section where that leaves them apart. Values with characters other than
 * [A-Za-z0-9.+-], and long names, end in a hash of all that the point sets: two points never share
 * a name. */
void wh_sweep_name(wh_text *out, const wh_sweep *sweep, int64_t index);

#endif
