/* clients.csv of a run folder: counts of each client, bands over the clients of each round. */
#include "host/number.h"
#include "host/run_view_parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUND, CLIENT, SKIPPED, DOWN, UP, N_WHOLE, LOSS = N_WHOLE, NORM, N_COLUMNS };

/* What is known of the round that is being read. */
typedef struct round_band {
    int64_t round, n;
    wh_span loss, norm;
    double sum; /* of norms */
} round_band;

static void add_band(wh_curve *band, wh_point p, const wh_span *span) {
    p.y = span->lo;
    wh_curve_add(band, p);
    p.y = span->hi;
    wh_curve_add(band, p);
}

static void end_round(wh_run_view *v, const round_band *band) {
    if (band->round == 0) return;
    wh_point p = {.round = (double)band->round,
                  .bytes = (double)NAN,
                  .seconds = (double)NAN,
                  .steps = (double)NAN};
    add_band(v->client_loss, p, &band->loss);
    add_band(v->update_norm, p, &band->norm);
    p.y = band->n > 0 ? band->sum / (double)band->n : (double)NAN;
    wh_curve_add(v->mean_norm, p);
}

static weft_status add_client(wh_run_view *v, round_band *band, char cell[N_COLUMNS][WH_VIEW_CELL],
                              const wh_view_lines *l, weft_error *err) {
    int64_t value[N_WHOLE];
    for (int i = 0; i < N_WHOLE; i++) {
        if (wh_parse_int64(cell[i], &value[i]) != WH_NUMBER_OK)
            return WEFT_FAIL(err, WEFT_E_DATA, "%s, line %lld: '%s' is not a whole number", l->path,
                             (long long)l->in.line, cell[i]);
    }
    if (value[CLIENT] < 0 || value[CLIENT] >= v->n_clients)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s, line %lld: client %" PRId64 " of a run with %" PRId32 " clients",
                         l->path, (long long)l->in.line, value[CLIENT], v->n_clients);
    wh_view_client *c = &v->client[value[CLIENT]];
    c->visits++;
    c->down += (uint64_t)value[DOWN];
    c->up += (uint64_t)value[UP];
    wh_span_add(&v->visit_down, (double)value[DOWN]);
    wh_span_add(&v->visit_up, (double)value[UP]);
    if (value[ROUND] != band->round) {
        end_round(v, band);
        wh_span none = {(double)NAN, (double)NAN};
        *band = (round_band){.round = value[ROUND], .loss = none, .norm = none};
    }
    if (value[SKIPPED]) return WEFT_OK;
    double norm = wh_view_real(cell[NORM]);
    wh_span_add(&band->loss, wh_view_real(cell[LOSS]));
    wh_span_add(&band->norm, norm);
    if (isfinite(norm)) band->sum += norm, band->n++;
    return WEFT_OK;
}

weft_status wh_view_read_clients(wh_run_view *v, weft_error *err) {
    wh_view_lines l = {0};
    round_band band = {0};
    static const char *const NAME[N_COLUMNS] = {
        "round", "client", "skipped", "wire_down_bytes", "wire_up_bytes", "loss", "update_norm"};
    int column[N_COLUMNS];
    char cell[N_COLUMNS][WH_VIEW_CELL];
    const char *text;
    size_t bytes;
    weft_status st = wh_view_lines_open(&l, v->folder, "clients.csv", err);
    if (st == WEFT_OK) st = wh_view_lines_next(&l, &text, &bytes, err);
    if (st == WEFT_OK && text && wh_view_find_columns(column, NAME, N_COLUMNS, text, bytes)) {
        v->client = calloc((size_t)v->n_clients, sizeof *v->client);
        if (!v->client) st = wh_view_no_memory("clients.csv", err);
        while (st == WEFT_OK && (st = wh_view_lines_next(&l, &text, &bytes, err)) == WEFT_OK &&
               text) {
            st = wh_view_split(cell, column, N_COLUMNS, text, bytes)
                     ? add_client(v, &band, cell, &l, err)
                     : WEFT_FAIL(err, WEFT_E_DATA, "%s, line %lld: too few cells", l.path,
                                 (long long)l.in.line);
        }
        end_round(v, &band);
    }
    wh_view_lines_close(&l);
    return st;
}
