/* Cases of what clients tell about their drift. The formulas follow ops.h, in double. */
#include "kernels/rng.h"
#include "tests/kernels/op_run.h"

#include <math.h>

#define FOR(i, n) for (int64_t i = 0; i < (n); i++)

/* o ranges of [0, d), one of them empty where there are three or more; the numbers behind the last
 * belong to none. full: the center is in double. bias: clients that all but agree. */
static weft_status run_range_sqdist(op_run *r) {
    const op_shape *s = r->s;
    int32_t off[65] = {0};
    FOR (i, s->o) off[i + 1] = (int32_t)((i + 1) * (s->d - s->d / 9) / s->o);
    if (s->o > 2) off[2] = off[1];
    op_buf *w = op_in(r, "w", s->k, s->d),
           *center = op_typed(r, "center", s->full ? WK_F64 : WK_F32, s->d, 0),
           *range = op_ints(r, "off", off, s->o + 1),
           *out = op_output(r, op_typed(r, "out", WK_F64, s->k, s->o));
    if (s->bias)
        FOR (k, s->k)
            FOR (i, s->d)
                op_set(w, k, i, (double)(float)(op_at(center, i, 0) * (1 + 1e-6 * (double)k)));
    FOR (k, s->k)
        FOR (j, s->o) {
            double sum = 0;
            for (int64_t i = off[j]; i < off[j + 1]; i++)
                sum += pow(op_at(w, k, i) - op_at(center, i, 0), 2);
            op_want(out, k, j, sum);
        }
    WEFT_TRY(op_upload(r));
    return wk_range_sqdist(r->dev, &(wk_range_sqdist_args){out->t, w->t, center->t, range->t});
}

static weft_status run_project(op_run *r) {
    const op_shape *s = r->s;
    op_buf *w = op_in(r, "w", s->k, s->d), *anchor = op_in(r, "anchor", s->d, 0),
           *dir = op_in(r, "dir", s->d, 0),
           *out = op_output(r, op_typed(r, "out", WK_F64, s->k, 0));
    FOR (k, s->k) {
        double sum = 0;
        FOR (i, s->d) sum += op_at(dir, i, 0) * (op_at(w, k, i) - op_at(anchor, i, 0));
        op_want(out, k, 0, sum);
    }
    WEFT_TRY(op_upload(r));
    return wk_project(r->dev, &(wk_project_args){out->t, w->t, anchor->t, dir->t});
}

#define MOST_ROWS    7
#define MOST_BUCKETS 64
#define MOST_ENTRIES 6000

/* o rows of n buckets by random hashes, some buckets empty. full: with a scale. bias: without the
 * table by number. The numbers at multiples of 16 are in no bucket, like the gaps of an adapter. */
static weft_status run_table_sketch(op_run *r) {
    const op_shape *s = r->s;
    static int bucket[MOST_ROWS][MOST_ENTRIES];
    static bool minus[MOST_ROWS][MOST_ENTRIES];
    wk_stream stream = wk_stream_at(wk_rng_key(6, WK_RNG_TEST, 2), 0, 0, 0);
    const int64_t count = s->d - (s->d + 15) / 16;
    op_buf *w = op_in(r, "w", s->k, s->d), *anchor = op_in(r, "anchor", s->d, 0),
           *scale = op_in(r, "scale", s->d, 0), *entry = op_typed(r, "entry", WK_I32, s->o, count),
           *start = op_typed(r, "start", WK_I32, s->o, s->n + 1),
           *by_number = op_typed(r, "bucket", WK_I32, s->o, s->d),
           *sketch = op_output(r, op_stacked(r, "sketch", s->k, s->o, s->n));
    FOR (j, s->o) {
        int64_t at = 0;
        FOR (i, s->d) {
            bucket[j][i] = i % 16 ? (int)wk_stream_below(&stream, (uint32_t)s->n) : -1;
            if (bucket[j][i] % 5 == 4) bucket[j][i]--; /* leaves some without any */
            minus[j][i] = wk_stream_below(&stream, 2);
            op_set(by_number, j, i,
                   (double)(bucket[j][i] < 0 ? 2 * s->n : 2 * bucket[j][i] + minus[j][i]));
        }
        FOR (b, s->n) {
            op_set(start, j, b, (double)at);
            FOR (i, s->d)
                if (bucket[j][i] == b) op_set(entry, j, at++, (double)(2 * i + minus[j][i]));
        }
        op_set(start, j, s->n, (double)at);
        FOR (k, s->k) {
            double sum[MOST_BUCKETS] = {0};
            FOR (i, s->d)
                if (bucket[j][i] >= 0)
                    sum[bucket[j][i]] += (minus[j][i] ? -1 : 1) *
                                         (s->full ? op_at(scale, i, 0) : 1) *
                                         (op_at(w, k, i) - op_at(anchor, i, 0));
            FOR (b, s->n) op_want(sketch, k, j * s->n + b, sum[b]);
        }
    }
    WEFT_TRY(op_upload(r));
    wk_table_sketch_args a = {
        .sketch = sketch->t, .w = w->t, .anchor = anchor->t, .entry = entry->t, .start = start->t};
    if (s->full) a.scale = scale->t;
    if (!s->bias) a.bucket = by_number->t;
    return wk_table_sketch(r->dev, &a);
}

/* clang-format off */
const op_case op_cases_variance[] = {
    {"range_sqdist", "one range", run_range_sqdist, {.k = 5, .d = 1031, .o = 1, .pad = 3}},
    {"range_sqdist", "many ranges", run_range_sqdist, {.k = 3, .d = 5003, .o = 61}},
    {"range_sqdist", "from a mean", run_range_sqdist, {.k = 33, .d = 777, .o = 7, .pad = 1, .full = true}},
    {"range_sqdist", "clients agree", run_range_sqdist, {.k = 4, .d = 3000, .o = 3, .full = true, .bias = true}},
    {"range_sqdist", "one number", run_range_sqdist, {.k = 1, .d = 1, .o = 1}},
    {"project", "odd", run_project, {.k = 5, .d = 1031, .pad = 3}},
    {"project", "one slot, long", run_project, {.k = 1, .d = 20000}},
    {"project", "many slots", run_project, {.k = 33, .d = 64}},
    {"table_sketch", "plain", run_table_sketch, {.k = 3, .d = 5003, .o = 5, .n = 50}},
    {"table_sketch", "many slots", run_table_sketch, {.k = 11, .d = 600, .o = 3, .n = 50, .pad = 1}},
    {"table_sketch", "by bucket", run_table_sketch, {.k = 3, .d = 777, .o = 5, .n = 50, .bias = true}},
    {"table_sketch", "scaled, strided", run_table_sketch, {.k = 5, .d = 777, .o = 3, .n = 64, .pad = 5, .full = true}},
    {"table_sketch", "one bucket", run_table_sketch, {.k = 1, .d = 300, .o = 1, .n = 1}},
    {"table_sketch", "few numbers", run_table_sketch, {.k = 2, .d = 20, .o = 7, .n = 33}},
    {0},
};
