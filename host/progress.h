/* Progress of a run: one live line on a terminal, an occasional plain line otherwise; always on
 * stderr.
 *
 * The formatting is pure (state → text of at most `width` characters); wh_progress_tick decides
 * when to draw. Where the line does not fit, fields are first shortened and then left out, the
 * least important first: 80 columns hold round, loss, metric, rates, bytes and time left. */
#ifndef WEFT_HOST_PROGRESS_H
#define WEFT_HOST_PROGRESS_H

#include "host/log.h"

typedef struct wh_progress_state {
    const char *label;          /* "round", "evaluating", … */
    int64_t round, num_rounds;  /* num_rounds 0: not in the rounds loop */
    int64_t steps, total_steps; /* local steps so far; of fl.total_steps, 0: rounds alone count */
    int64_t done, total;        /* inside the phase */
    double loss;                /* NaN: not known yet, as below */
    double metric;              /* of the last evaluation */
    const char *metric_name;    /* "acc" or "r" */
    double client_updates_per_s, tokens_per_s;
    double wire_up, wire_down; /* bytes so far */
    double seconds_left;
} wh_progress_state;

/* At most `width` characters (ASCII), no newline. */
void wh_progress_format(char *out, size_t n, const wh_progress_state *state, int width);

/* Time to the end at the mean pace: `seconds` for `done` of `total` parts; NaN before the first. */
double wh_progress_left(double seconds, double done, double total);

typedef struct wh_progress {
    wh_progress_state state;
    wh_log *log;
    bool live;    /* a terminal, and not switched off */
    bool plain;   /* occasional lines instead */
    double drawn; /* time of the last drawing, monotonic seconds */
    double plain_every;
} wh_progress;

/* `off` (--no-progress, --quiet): draw nothing at all. */
void wh_progress_init(wh_progress *p, wh_log *log, bool off);
/* Draw when enough time has passed since the last time (10 times a second live, every 30 s plain).
 */
void wh_progress_tick(wh_progress *p);
/* Remove the live line. */
void wh_progress_end(wh_progress *p);

/* Monotonic seconds. */
double wh_clock(void);
/* Processor seconds of all threads of this process. */
double wh_cpu_clock(void);

#endif
