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

double wh_clock(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) return 0.0;
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double wh_progress_left(double seconds, double done, double total) {
    if (!(done > 0.0) || !(total > 0.0)) return (double)NAN;
    return done >= total ? 0.0 : seconds / done * (total - done);
}

/* Fields in the order of the line; a larger rank is dropped first. */
typedef struct field {
    int rank;
    char text[MAX_FIELD];
} field;

static int make_fields(field *f, const wh_progress_state *s) {
    char a[24], b[24];
    int n = 0;
    double share = s->total > 0 ? (double)s->done / (double)s->total : 0.0;
    if (share > 1.0) share = 1.0;
    if (s->num_rounds > 0) {
        f[n].rank = 0;
        (void)snprintf(f[n++].text, MAX_FIELD, "round %" PRId64 "/%" PRId64, s->round,
                       s->num_rounds);
    }
    if (s->label && s->label[0]) {
        f[n].rank = s->num_rounds > 0 ? 6 : 0;
        (void)snprintf(f[n++].text, MAX_FIELD, "%.40s", s->label);
    }
    if (s->total > 0) {
        f[n].rank = 1;
        (void)snprintf(f[n++].text, MAX_FIELD, "%3.0f%%", floor(100.0 * share));
    }
    if (isfinite(s->loss)) {
        f[n].rank = 2;
        (void)snprintf(f[n++].text, MAX_FIELD, "loss %.4f", s->loss);
    }
    if (isfinite(s->metric) && s->metric_name) {
        f[n].rank = 2;
        (void)snprintf(f[n++].text, MAX_FIELD, "%.16s %.4f", s->metric_name, s->metric);
    }
    if (s->client_updates_per_s > 0.0) {
        f[n].rank = 5;
        (void)snprintf(f[n++].text, MAX_FIELD, "%.3g clients/s", s->client_updates_per_s);
    }
    if (s->tokens_per_s > 0.0) {
        f[n].rank = 4;
        (void)snprintf(f[n++].text, MAX_FIELD, "%s tok/s",
                       wh_units_count(a, sizeof a, s->tokens_per_s));
    }
    if (s->wire_up + s->wire_down > 0.0) {
        f[n].rank = 7;
        (void)snprintf(f[n++].text, MAX_FIELD, "up %s down %s",
                       wh_units_wire(a, sizeof a, s->wire_up),
                       wh_units_wire(b, sizeof b, s->wire_down));
    }
    if (isfinite(s->seconds_left)) {
        f[n].rank = 3;
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

void wh_progress_format(char *out, size_t n, const wh_progress_state *state, int width) {
    if (n == 0) return;
    out[0] = '\0';
    field f[MAX_FIELDS];
    int n_fields = make_fields(f, state);
    size_t limit = width > 0 ? (size_t)width : 0;
    if (limit > n - 1) limit = n - 1;
    for (;;) {
        size_t length = 0;
        int worst = -1;
        for (int i = 0; i < n_fields; i++) {
            if (f[i].rank < 0) continue; /* dropped */
            length += strlen(f[i].text) + (length > 0 ? 2 : 0);
            if (worst < 0 || f[i].rank > f[worst].rank) worst = i;
        }
        if (length <= limit || worst < 0) break;
        f[worst].rank = -1;
    }
    size_t used = 0;
    for (int i = 0; i < n_fields; i++) {
        if (f[i].rank < 0) continue;
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
