/* checks.csv of a run folder: what was estimated at every check, by the local steps of a client. */
#include "host/number.h"
#include "host/run_view_parts.h"

#include <inttypes.h>
#include <math.h>

enum { ROUND, STEPS, N_WHOLE, ESTIMATE = N_WHOLE, VARIANCE, THETA, N_COLUMNS };

/* Where the rounds before have brought a client. */
typedef struct position {
    int64_t round, before, steps;
} position;

static weft_status add_check(wh_run_view *v, position *at, char cell[N_COLUMNS][WH_VIEW_CELL],
                             const wh_view_lines *l, weft_error *err) {
    wh_curve *const curve[] = {v->check_estimate, v->check_variance, v->check_theta};
    int64_t value[N_WHOLE];
    for (int i = 0; i < N_WHOLE; i++)
        if (wh_parse_int64(cell[i], &value[i]) != WH_NUMBER_OK || value[i] < 0 ||
            value[i] > INT32_MAX)
            return WEFT_FAIL(err, WEFT_E_DATA, "%s, line %lld: '%s' is not a count", l->path,
                             (long long)l->in.line, cell[i]);
    if (value[ROUND] != at->round) at->before += at->steps;
    at->round = value[ROUND], at->steps = value[STEPS];
    wh_point p = {.round = (double)at->round,
                  .bytes = (double)NAN,
                  .seconds = (double)NAN,
                  .steps = (double)(at->before + at->steps)};
    for (int i = 0; i < N_COLUMNS - N_WHOLE; i++) {
        p.y = wh_view_real(cell[N_WHOLE + i]);
        if (isfinite(p.y)) wh_curve_add(curve[i], p); /* else the line goes on to the next */
    }
    return WEFT_OK;
}

weft_status wh_view_read_checks(wh_run_view *v, weft_error *err) {
    static const char *const NAME[N_COLUMNS] = {"round", "steps", "estimate", "variance", "theta"};
    wh_view_lines l = {0};
    position at = {0};
    int column[N_COLUMNS];
    char cell[N_COLUMNS][WH_VIEW_CELL];
    const char *text;
    size_t bytes;
    weft_status st = wh_view_lines_open(&l, v->folder, "checks.csv", err);
    if (st == WEFT_OK) st = wh_view_lines_next(&l, &text, &bytes, err);
    if (st == WEFT_OK && text && wh_view_find_columns(column, NAME, N_COLUMNS, text, bytes)) {
        while (st == WEFT_OK && (st = wh_view_lines_next(&l, &text, &bytes, err)) == WEFT_OK &&
               text) {
            st = wh_view_split(cell, column, N_COLUMNS, text, bytes)
                     ? add_check(v, &at, cell, &l, err)
                     : WEFT_FAIL(err, WEFT_E_DATA, "%s, line %lld: too few cells", l.path,
                                 (long long)l.in.line);
        }
    }
    wh_view_lines_close(&l);
    return st;
}
