#include "engine/order.h"
#include "engine/weft.h"
#include "kernels/base.h"

#include <math.h>

typedef struct counts {
    int64_t *all, *own; /* (classes) rows of each class: of the partition, of one client */
    int64_t *size;      /* (n_clients) */
} counts;

static void count_client(const weft_partition *p, const weft_rows *rows, int32_t client,
                         int64_t *count) {
    for (int64_t i = p->offset[client]; i < p->offset[client + 1]; i++)
        count[rows->label[p->row[i]]]++;
}

static void measure_labels(weft_partition_stats *s, const weft_partition *p, const weft_rows *rows,
                           counts *c) {
    int32_t classes = rows->num_labels;
    int64_t sum = 0;
    s->classes_min = classes;
    for (int32_t k = 0; k < p->n_clients; k++) count_client(p, rows, k, c->all);
    for (int32_t k = 0; k < p->n_clients; k++) {
        double own = (double)(p->offset[k + 1] - p->offset[k]), distance = 0;
        int32_t seen = 0;
        for (int32_t l = 0; l < classes; l++) c->own[l] = 0;
        count_client(p, rows, k, c->own);
        for (int32_t l = 0; l < classes; l++) {
            seen += c->own[l] > 0;
            distance += fabs((double)c->own[l] / own - (double)c->all[l] / (double)s->rows);
        }
        if (seen < s->classes_min) s->classes_min = seen;
        if (seen > s->classes_max) s->classes_max = seen;
        sum += seen;
        s->label_skew += 0.5 * distance / (double)p->n_clients;
    }
    s->classes_mean = (double)sum / (double)p->n_clients;
}

weft_status weft_partition_stats_get(weft_partition_stats *out, const weft_partition *partition,
                                     const weft_rows *rows, weft_error *err) {
    int32_t n = partition->n_clients;
    size_t classes = rows->label ? (size_t)rows->num_labels : 0;
    wk_ctx ctx;
    wk_ctx_init(&ctx, NULL);
    void *memory = NULL;
    weft_status st = wk_host_alloc(&ctx, &memory, 2 * classes + (size_t)n, sizeof(int64_t),
                                   "partition statistics");
    if (st != WEFT_OK) {
        if (err) *err = ctx.err;
        return st;
    }
    counts c = {.all = memory};
    c.own = c.all + classes, c.size = c.own + classes;
    weft_partition_stats s = {.n_clients = n, .rows = partition->offset[n]};
    s.rows_unused = rows->n_rows - s.rows;
    for (int32_t k = 0; k < n; k++) c.size[k] = partition->offset[k + 1] - partition->offset[k];
    we_sort_i64(c.size, n);
    s.rows_min = c.size[0], s.rows_median = c.size[(n - 1) / 2], s.rows_max = c.size[n - 1];
    if (rows->label) measure_labels(&s, partition, rows, &c);
    wk_host_free(&ctx, memory);
    *out = s;
    return WEFT_OK;
}
