#include "host/run_lines.h"

#include "host/wire_kinds.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

void wh_line_key(wh_text *t, const char *name) {
    wh_text_addf(t, "%s\"%s\": ", t->len > 1 ? ", " : "", name);
}

void wh_line_key_int(wh_text *t, const char *name, int64_t value) {
    wh_line_key(t, name);
    wh_text_addf(t, "%" PRId64, value);
}

void wh_line_key_real(wh_text *t, const char *name, double value) {
    wh_line_key(t, name);
    if (isfinite(value))
        wh_text_add_real(t, value);
    else
        wh_text_add(t, "null");
}

void wh_line_cell_int(wh_text *t, int64_t value) {
    wh_text_addf(t, "%s%" PRId64, t->len ? "," : "", value);
}

void wh_line_cell_real(wh_text *t, double value) {
    wh_text_add(t, ",");
    wh_text_add_real(t, value);
}

void wh_line_cell_given(wh_text *t, double value) {
    wh_text_add(t, ",");
    if (isfinite(value)) wh_text_add_real(t, value);
}

/* ---- rounds ---- */

void wh_round_columns(wh_round_column out[WH_ROUND_COLUMNS], const weft_round_report *r) {
    const weft_check *last = r->n_checks > 0 ? &r->checks[r->n_checks - 1] : NULL;
    const double none = (double)NAN;
    const wh_round_column base[WH_ROUND_BASE] = {
        {.name = "round", .whole = r->round},
        {.name = "loss", .kind = WH_COLUMN_REAL, .real = r->loss},
        {.name = "lr", .kind = WH_COLUMN_REAL, .real = r->learning_rate},
        {.name = "clients", .whole = r->n_clients},
        {.name = "skipped", .whole = r->n_skipped},
        {.name = "examples", .whole = r->examples},
        {.name = "tokens", .whole = r->tokens},
        {.name = "steps", .whole = r->steps},
        {.name = "wire_down_bytes", .whole = (int64_t)r->wire.down},
        {.name = "wire_up_bytes", .whole = (int64_t)r->wire.up},
        {.name = "wire_down_total_bytes", .whole = (int64_t)r->wire_total.down},
        {.name = "wire_up_total_bytes", .whole = (int64_t)r->wire_total.up},
    };
    const wh_round_column more[] = {
        {.name = "local_steps", .whole = r->local_steps},
        {.name = "local_steps_total", .whole = r->local_steps_total},
        {.name = "barriers", .whole = r->barriers},
        {.name = "checks", .whole = r->n_checks},
        {.name = "estimate", .kind = WH_COLUMN_GIVEN, .real = last ? last->estimate : none},
        {.name = "variance", .kind = WH_COLUMN_GIVEN, .real = last ? last->variance : none},
        {.name = "theta", .kind = WH_COLUMN_GIVEN, .real = last ? r->theta : none},
        {.name = "theta_next", .kind = WH_COLUMN_GIVEN, .real = last ? r->theta_next : none},
        {.name = "kept_theta", .whole = r->kept_theta},
    };
    _Static_assert(WH_ROUND_BASE + WH_WIRE_KINDS + sizeof more / sizeof *more == WH_ROUND_COLUMNS,
                   "a round has as many columns as are listed");
    memcpy(out, base, sizeof base);
    out += WH_ROUND_BASE;
    for (int i = 0; i < WH_WIRE_KINDS; i++)
        *out++ = (wh_round_column){.name = wh_wire_kinds[i].column,
                                   .whole = (int64_t)wh_wire_bytes(&r->wire, i)};
    memcpy(out, more, sizeof more);
}

void wh_round_keys(wh_text *t, const wh_round_column *c, int from, int to) {
    for (int i = from; i < to; i++) {
        if (c[i].kind == WH_COLUMN_WHOLE)
            wh_line_key_int(t, c[i].name, c[i].whole);
        else
            wh_line_key_real(t, c[i].name, c[i].real);
    }
}

void wh_round_cells(wh_text *t, const wh_round_column *c, int from, int to) {
    for (int i = from; i < to; i++) {
        if (c[i].kind == WH_COLUMN_WHOLE)
            wh_line_cell_int(t, c[i].whole);
        else if (c[i].kind == WH_COLUMN_REAL)
            wh_line_cell_real(t, c[i].real);
        else
            wh_line_cell_given(t, c[i].real);
    }
}

void wh_round_names(wh_text *t, const wh_round_column *c, int from, int to) {
    for (int i = from; i < to; i++) wh_text_addf(t, "%s%s", i ? "," : "", c[i].name);
}

/* ---- checks.csv ---- */

void wh_check_names(wh_text *t) {
    wh_text_add(t, "round,check,steps,clients,estimate,variance,error,variance_a,variance_b,"
                   "variance_saved,mean_sqnorm,theta,synchronise");
}

void wh_check_cells(wh_text *t, int64_t round, int32_t index, const weft_check *c) {
    wh_line_cell_int(t, round);
    wh_line_cell_int(t, index + 1);
    wh_line_cell_int(t, c->steps);
    wh_line_cell_int(t, c->clients);
    wh_line_cell_given(t, c->estimate);
    wh_line_cell_given(t, c->variance);
    wh_line_cell_given(t, c->estimate / c->variance - 1);
    for (int g = 0; g < WEFT_GROUPS; g++) wh_line_cell_given(t, c->group[g]);
    wh_line_cell_given(t, c->mean_sqnorm);
    wh_line_cell_given(t, c->theta);
    wh_line_cell_int(t, c->synchronise);
}
