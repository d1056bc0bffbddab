#include "host/partition_summary.h"

#include "host/json_util.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct sized {
    int64_t n;  /* rows */
    int32_t id; /* client or label */
} sized;

static int largest_first(const void *a, const void *b) {
    const sized *x = a, *y = b;
    if (x->n != y->n) return x->n < y->n ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

typedef struct summary {
    const weft_partition *partition;
    const weft_rows *rows;
    sized *client;  /* (n_clients) largest first */
    int64_t *total; /* (num_labels) */
    int32_t *slot;  /* (num_labels) place of a label among those shown */
    int32_t n_shown;
    const char *(*name)(const void *ud, int32_t label);
    const void *ud;
} summary;

static void count_labels(int64_t *count, const summary *s, int32_t client, bool by_slot) {
    const weft_partition *p = s->partition;
    for (int64_t i = p->offset[client]; i < p->offset[client + 1]; i++) {
        int32_t label = s->rows->label[p->row[i]];
        count[by_slot ? s->slot[label] : label]++;
    }
}

/* The most frequent labels keep their order; the rest shares the last slot. */
static bool choose_labels(summary *s) {
    int32_t n = s->rows->num_labels;
    sized *by_size = calloc((size_t)n, sizeof *by_size);
    if (!by_size) return false;
    for (int32_t c = 0; c < s->partition->n_clients; c++) count_labels(s->total, s, c, false);
    for (int32_t k = 0; k < n; k++) by_size[k] = (sized){s->total[k], k};
    qsort(by_size, (size_t)n, sizeof *by_size, largest_first);
    int32_t own = n > WH_SHOWN_LABELS ? WH_SHOWN_LABELS - 1 : n;
    for (int32_t k = 0; k < n; k++) s->slot[by_size[k].id] = k < own ? 0 : own;
    free(by_size);
    for (int32_t k = 0, next = 0; k < n; k++) {
        if (s->slot[k] == 0) s->slot[k] = next++;
    }
    s->n_shown = own + (n > own);
    return true;
}

static json_t *labels_json(const summary *s) {
    json_t *names = json_array();
    int32_t n = s->rows->num_labels, others = 0;
    for (int32_t k = 0; k < n; k++) {
        if (n > WH_SHOWN_LABELS && s->slot[k] == s->n_shown - 1) {
            others++;
            continue;
        }
        const char *name = s->name ? s->name(s->ud, k) : NULL;
        json_t *text = name ? json_string(name) : json_sprintf("%" PRId32, k);
        if (json_array_append_new(names, text) != 0) goto failed;
    }
    if (others && json_array_append_new(names, json_sprintf("%" PRId32 " others", others)) != 0)
        goto failed;
    return names;
failed:
    json_decref(names);
    return NULL;
}

/* Rows by shown label; of all clients when client is -1. NULL: out of memory. */
static json_t *counts_json(const summary *s, int32_t client) {
    int64_t count[WH_SHOWN_LABELS] = {0};
    if (client >= 0) {
        count_labels(count, s, client, true);
    } else {
        for (int32_t k = 0; k < s->rows->num_labels; k++) count[s->slot[k]] += s->total[k];
    }
    json_t *list = json_array();
    for (int32_t k = 0; k < s->n_shown; k++) {
        if (json_array_append_new(list, json_integer(count[k])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *clients_json(const summary *s) {
    json_t *list = json_array();
    int64_t n = s->partition->n_clients, shown = n < WH_SHOWN_CLIENTS ? n : WH_SHOWN_CLIENTS;
    for (int64_t i = 0; i < shown; i++) {
        const sized *c = &s->client[shown > 1 ? i * (n - 1) / (shown - 1) : 0];
        json_t *o = wh_json_with(json_object(), "client", json_integer(c->id));
        o = wh_json_with(o, "rows", json_integer(c->n));
        if (s->rows->label) o = wh_json_with(o, "label_rows", counts_json(s, c->id));
        if (json_array_append_new(list, o) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *whole_json(const summary *s, const weft_partition_stats *stats) {
    json_t *o = wh_json_with(json_object(), "n_clients", json_integer(stats->n_clients));
    o = wh_json_with(o, "rows", json_integer(stats->rows));
    o = wh_json_with(o, "rows_unused", json_integer(stats->rows_unused));
    o = wh_json_with(o, "rows_min", json_integer(stats->rows_min));
    o = wh_json_with(o, "rows_median", json_integer(stats->rows_median));
    o = wh_json_with(o, "rows_max", json_integer(stats->rows_max));
    if (s->rows->label) {
        o = wh_json_with(o, "classes_min", json_integer(stats->classes_min));
        o = wh_json_with(o, "classes_mean", wh_json_real(stats->classes_mean));
        o = wh_json_with(o, "classes_max", json_integer(stats->classes_max));
        o = wh_json_with(o, "label_skew", wh_json_real(stats->label_skew));
        o = wh_json_with(o, "n_labels", json_integer(s->rows->num_labels));
        o = wh_json_with(o, "labels", labels_json(s));
        o = wh_json_with(o, "label_rows", counts_json(s, -1));
    }
    return wh_json_with(o, "clients", clients_json(s));
}

weft_status wh_partition_summary(json_t **out, const weft_partition *partition,
                                 const weft_rows *rows,
                                 const char *(*name)(const void *ud, int32_t label), const void *ud,
                                 weft_error *err) {
    weft_partition_stats stats;
    WEFT_TRY(weft_partition_stats_get(&stats, partition, rows, err));
    size_t n = (size_t)partition->n_clients, labels = (size_t)rows->num_labels;
    summary s = {.partition = partition, .rows = rows, .name = name, .ud = ud};
    s.client = calloc(n, sizeof *s.client);
    s.total = calloc(labels + 1, sizeof *s.total);
    s.slot = calloc(labels + 1, sizeof *s.slot);
    json_t *json = NULL;
    if (s.client && s.total && s.slot && (!rows->label || choose_labels(&s))) {
        for (size_t c = 0; c < n; c++)
            s.client[c] = (sized){partition->offset[c + 1] - partition->offset[c], (int32_t)c};
        qsort(s.client, n, sizeof *s.client, largest_first);
        json = whole_json(&s, &stats);
    }
    free(s.client);
    free(s.total);
    free(s.slot);
    if (!json) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the summary of the partition");
    *out = json;
    return WEFT_OK;
}
