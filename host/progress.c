#include "host/progress.h"

#include "host/units.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LINE = 256, MAX_FIELDS = 9, MAX_FIELD = 64 };

static double seconds_of(clockid_t clock) {
    struct timespec now;
    if (clock_gettime(clock, &now) != 0) return 0.0;
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double wh_clock(void) {
    return seconds_of(CLOCK_MONOTONIC);
}

double wh_cpu_clock(void) {
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

double wh_progress_left(double seconds, double done, double total) {
    if (!(done > 0.0) || !(total > 0.0)) return (double)NAN;
    return done >= total ? 0.0 : seconds / done * (total - done);
}

/* A field of the line, in its order there. When the line is too wide, the largest rank of all goes
 * first: `shorten` puts the brief text in place (an empty one leaves the field out), `drop` leaves
 * the field out. Rank 0 of shorten: there is no brief text. */
typedef struct field {
    int shorten, drop;
    char text[MAX_FIELD], brief[MAX_FIELD];
    bool is_out;
} field;

/* In the order in which a line gives way: 80 columns keep round, loss, metric, rates, bytes and
 * the time left. */
enum {
    DROP_ROUND = 1,
    DROP_SHARE,
    DROP_LOSS,
    DROP_METRIC,
    DROP_LEFT,
    DROP_TOKENS,
    DROP_CLIENTS,
    DROP_WIRE,
    SHORTEN_TOKENS,
    SHORTEN_REALS,
    SHORTEN_SHARE,
    SHORTEN_CLIENTS,
    SHORTEN_WIRE,
    DROP_LABEL,
};

/* Without the space before the unit. */
static void close_up(char *text) {
    char *space = strchr(text, ' ');
    if (space) memmove(space, space + 1, strlen(space));
}

static int make_fields(field *f, const wh_progress_state *s) {
    char a[24], b[24];
    int n = 0;
    double share = s->total > 0 ? (double)s->done / (double)s->total : 0.0;
    if (share > 1.0) share = 1.0;
    bool in_rounds = s->num_rounds > 0, has_end = isfinite(s->seconds_left);
    if (in_rounds) {
        f[n].drop = DROP_ROUND;
        if (s->total_steps > 0) { /* how many rounds that makes shows at the end */
            f[n].shorten = SHORTEN_SHARE;
            (void)snprintf(f[n].brief, MAX_FIELD, "round %" PRId64, s->round);
            (void)snprintf(f[n++].text, MAX_FIELD, "round %" PRId64 "  step %" PRId64 "/%" PRId64,
                           s->round, s->steps, s->total_steps);
        } else {
            (void)snprintf(f[n++].text, MAX_FIELD, "round %" PRId64 "/%" PRId64, s->round,
                           s->num_rounds);
        }
    }
    if (s->label && s->label[0]) {
        f[n].drop = in_rounds ? DROP_LABEL : DROP_ROUND;
        (void)snprintf(f[n++].text, MAX_FIELD, "%.40s", s->label);
    }
    if (s->total > 0) {
        f[n].drop = DROP_SHARE;
        if (in_rounds && has_end) f[n].shorten = SHORTEN_SHARE; /* the time left moves as well */
        (void)snprintf(f[n++].text, MAX_FIELD, "%3.0f%%", floor(100.0 * share));
    }
    if (isfinite(s->loss)) {
        f[n].drop = DROP_LOSS, f[n].shorten = SHORTEN_REALS;
        (void)snprintf(f[n].brief, MAX_FIELD, "loss %.3f", s->loss);
        (void)snprintf(f[n++].text, MAX_FIELD, "loss %.4f", s->loss);
    }
    if (isfinite(s->metric) && s->metric_name) {
        f[n].drop = DROP_METRIC, f[n].shorten = SHORTEN_REALS;
        (void)snprintf(f[n].brief, MAX_FIELD, "%.16s %.3f", s->metric_name, s->metric);
        (void)snprintf(f[n++].text, MAX_FIELD, "%.16s %.4f", s->metric_name, s->metric);
    }
    if (s->client_updates_per_s > 0.0) {
        f[n].drop = DROP_CLIENTS, f[n].shorten = SHORTEN_CLIENTS;
        if (s->client_updates_per_s < 999.5)
            (void)snprintf(a, sizeof a, "%.3g", s->client_updates_per_s);
        else
            wh_units_count(a, sizeof a, s->client_updates_per_s);
        close_up(a);
        (void)snprintf(f[n].brief, MAX_FIELD, "%s cl/s", a);
        (void)snprintf(f[n++].text, MAX_FIELD, "%s clients/s", a);
    }
    if (s->tokens_per_s > 0.0) {
        f[n].drop = DROP_TOKENS, f[n].shorten = SHORTEN_TOKENS;
        wh_units_count(a, sizeof a, s->tokens_per_s);
        (void)snprintf(f[n].text, MAX_FIELD, "%s tok/s", a);
        close_up(a);
        (void)snprintf(f[n++].brief, MAX_FIELD, "%s tok/s", a);
    }
    if (s->wire_up + s->wire_down > 0.0) {
        f[n].drop = DROP_WIRE, f[n].shorten = SHORTEN_WIRE;
        wh_units_wire(f[n].brief, MAX_FIELD, s->wire_up + s->wire_down);
        close_up(f[n].brief);
        (void)snprintf(f[n++].text, MAX_FIELD, "up %s down %s",
                       wh_units_wire(a, sizeof a, s->wire_up),
                       wh_units_wire(b, sizeof b, s->wire_down));
    }
    if (has_end) {
        f[n].drop = DROP_LEFT;
        /* An estimate: tenths of a second would only flicker. */
        double seconds = floor(s->seconds_left + 0.5);
        if (seconds < 60.0) {
            (void)snprintf(f[n++].text, MAX_FIELD, "%.0f s left", seconds);
        } else {
            (void)snprintf(f[n++].text, MAX_FIELD, "%s left",
                           wh_units_seconds(a, sizeof a, seconds));
        }
    }
    return n;
}

static size_t width_of(const field *f, int n) {
    size_t width = 0;
    for (int i = 0; i < n; i++) {
        size_t own = f[i].is_out ? 0 : strlen(f[i].text);
        if (own > 0) width += own + (width > 0 ? 2 : 0);
    }
    return width;
}

/* Takes the next step towards a shorter line; false when nothing is left. Fields of one rank give
 * way together. */
static bool give_way(field *f, int n) {
    int worst = 0;
    for (int i = 0; i < n; i++) {
        if (f[i].is_out) continue;
        if (f[i].shorten > worst) worst = f[i].shorten;
        if (f[i].drop > worst) worst = f[i].drop;
    }
    for (int i = 0; i < n && worst > 0; i++) {
        if (f[i].drop == worst) f[i].is_out = true;
        if (f[i].shorten != worst) continue;
        memcpy(f[i].text, f[i].brief, sizeof f[i].text);
        f[i].shorten = 0;
    }
    return worst > 0;
}

void wh_progress_format(char *out, size_t n, const wh_progress_state *state, int width) {
    if (n == 0) return;
    out[0] = '\0';
    field f[MAX_FIELDS] = {0};
    int n_fields = make_fields(f, state);
    size_t limit = width > 0 ? (size_t)width : 0;
    if (limit > n - 1) limit = n - 1;
    while (width_of(f, n_fields) > limit && give_way(f, n_fields)) {
    }
    size_t used = 0;
    for (int i = 0; i < n_fields; i++) {
        if (f[i].is_out || !f[i].text[0]) continue;
        int wrote = snprintf(out + used, n - used, "%s%s", used > 0 ? "  " : "", f[i].text);
        if (wrote > 0) used += (size_t)wrote;
    }
}

void wh_progress_init(wh_progress *p, wh_log *log, bool off) {
    const char *term = getenv("TERM");
    bool terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    *p = (wh_progress){.log = log,
                       .live = !off && terminal,
                       .plain = !off && !terminal,
                       .drawn = wh_clock(),
                       .plain_every = 30.0};
    p->state.loss = p->state.metric = p->state.seconds_left = (double)NAN;
}

static int terminal_width(void) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return 80;
}

void wh_progress_tick(wh_progress *p) {
    if (!p->live && !p->plain) return;
    double now = wh_clock();
    if (now - p->drawn < (p->live ? 0.1 : p->plain_every)) return;
    p->drawn = now;
    char line[MAX_LINE];
    if (p->plain) {
        wh_progress_format(line, sizeof line, &p->state, 120);
        wh_log_info(p->log, "%s", line);
        return;
    }
    /* The last column stays free: some terminals wrap when it is written. */
    wh_progress_format(line, sizeof line, &p->state, terminal_width() - 1);
    fprintf(p->log->stream, "\r%s\033[K", line);
    (void)fflush(p->log->stream);
    p->log->is_live = true;
}

void wh_progress_end(wh_progress *p) {
    wh_log_clear_live(p->log);
    (void)fflush(p->log->stream);
}
