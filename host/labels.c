#include "host/labels.h"

#include "host/names.h"
#include "host/number.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A class is known by its text or, when all labels are integers, by its number ("07" is 7). */
struct wh_labels {
    int32_t n;
    char **name;    /* (n) */
    bool by_number; /* value is used */
    int64_t *value; /* (n) ascending when the classes came from rows */
    int32_t *order; /* (n) ids in byte order of name: for bsearch */
    char note[256];
};

static const char *label_of(const void *table, int64_t row) {
    return wh_table_label(table, row);
}

void wh_labels_free(wh_labels *labels) {
    if (!labels) return;
    for (int32_t i = 0; labels->name && i < labels->n; i++) free(labels->name[i]);
    free(labels->name);
    free(labels->value);
    free(labels->order);
    free(labels);
}

static weft_status out_of_memory(int64_t n, weft_error *err) {
    return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for %lld label names", (long long)n);
}

static weft_status new_labels(wh_labels **out, int32_t n, weft_error *err) {
    wh_labels *labels = calloc(1, sizeof *labels);
    if (!labels) return out_of_memory(n, err);
    labels->n = n;
    labels->name = calloc((size_t)n, sizeof *labels->name);
    labels->value = calloc((size_t)n, sizeof *labels->value);
    labels->order = calloc((size_t)n, sizeof *labels->order);
    if (!labels->name || !labels->value || !labels->order) {
        wh_labels_free(labels);
        return out_of_memory(n, err);
    }
    *out = labels;
    return WEFT_OK;
}

static weft_status set_name(wh_labels *labels, int32_t id, const char *text, size_t length,
                            weft_error *err) {
    labels->name[id] = malloc(length + 1);
    if (!labels->name[id]) return out_of_memory(labels->n, err);
    memcpy(labels->name[id], text, length);
    labels->name[id][length] = '\0';
    return WEFT_OK;
}

/* ---- looking up ---- */

static int32_t find_class(const wh_labels *labels, const char *label) {
    int32_t low = 0, high = labels->n;
    int64_t value = 0;
    if (labels->by_number && wh_parse_int64(label, &value) != WH_NUMBER_OK) return -1;
    while (low < high) {
        int32_t middle = low + (high - low) / 2,
                id = labels->by_number ? middle : labels->order[middle];
        int side = labels->by_number ? (labels->value[id] < value ? -1 : labels->value[id] > value)
                                     : strcmp(labels->name[id], label);
        if (side == 0) return id;
        if (side < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

/* The class of one row, or a message that says what is known. */
static weft_status encode_row(const wh_labels *labels, const wh_table *table, int64_t row,
                              int32_t *id, weft_error *err) {
    const char *label = wh_table_label(table, row);
    *id = find_class(labels, label);
    if (*id >= 0) return WEFT_OK;
    long long line = wh_table_line(table, row);
    int64_t value = 0;
    bool ranks = labels->by_number &&
                 (labels->value[0] != 0 || labels->value[labels->n - 1] != labels->n - 1);
    if (labels->by_number && !ranks && wh_parse_int64(label, &value) == WH_NUMBER_OK)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s:%lld: label %" PRId64 " is outside [0, %d)",
                         wh_table_path(table), line, value, labels->n);
    char known[160];
    const char *const *list = (const char *const *)labels->name;
    const char *nearest = wh_nearest(label, list, (size_t)labels->n);
    return WEFT_FAIL(
        err, WEFT_E_DATA, "%s:%lld: label \"%.80s\" is none of the %d classes: %s%s%s%s",
        wh_table_path(table), line, label, labels->n,
        wh_join_names(known, sizeof known, list, (size_t)labels->n),
        nearest ? " (did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?)" : "");
}

/* Insertion sort of ids by name: at most a few hundred classes; long lists come sorted already. */
static void sort_order(wh_labels *labels) {
    for (int32_t i = 0; i < labels->n; i++) {
        int32_t at = i;
        for (; at > 0 && strcmp(labels->name[labels->order[at - 1]], labels->name[i]) > 0; at--)
            labels->order[at] = labels->order[at - 1];
        labels->order[at] = i;
    }
}

/* ---- classes from a list ---- */

static weft_status from_list(wh_labels **out, const char *list, weft_error *err) {
    int32_t n = 1;
    for (const char *c = list; *c; c++) n += *c == ',';
    wh_labels *labels = NULL;
    WEFT_TRY(new_labels(&labels, n, err));
    weft_status st = WEFT_OK;
    const char *at = list;
    for (int32_t id = 0; id < n && st == WEFT_OK; id++) {
        size_t length = strcspn(at, ",");
        const char *next = at + length + 1, *end = at + length;
        while (at < end && *at == ' ') at++;
        while (end > at && end[-1] == ' ') end--;
        if (at == end)
            st = WEFT_FAIL(err, WEFT_E_CONFIG, "data.labels: name %d of \"%s\" is empty", id + 1,
                           list);
        else
            st = set_name(labels, id, at, (size_t)(end - at), err);
        at = next;
    }
    if (st == WEFT_OK) sort_order(labels);
    for (int32_t i = 1; st == WEFT_OK && i < n; i++) {
        const char *name = labels->name[labels->order[i]];
        if (strcmp(name, labels->name[labels->order[i - 1]]) == 0)
            st = WEFT_FAIL(err, WEFT_E_CONFIG, "data.labels: \"%s\" is listed twice", name);
    }
    if (st != WEFT_OK) {
        wh_labels_free(labels);
        return st;
    }
    *out = labels;
    return WEFT_OK;
}

/* ---- classes from the rows ---- */

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The distinct integers among the names, ascending, when all of them are integers; else *n is 0. */
static weft_status integers_among(const wh_names *seen, int64_t **out, int32_t *n,
                                  weft_error *err) {
    int64_t *value = calloc((size_t)seen->n + 1, sizeof *value);
    if (!value) return out_of_memory(seen->n, err);
    *out = value;
    *n = 0;
    for (int32_t i = 0; i < seen->n; i++)
        if (wh_parse_int64(seen->name[i], &value[i]) != WH_NUMBER_OK) return WEFT_OK;
    qsort(value, (size_t)seen->n, sizeof *value, by_value);
    for (int32_t i = 0; i < seen->n; i++)
        if (*n == 0 || value[*n - 1] != value[i]) value[(*n)++] = value[i];
    return WEFT_OK;
}

static weft_status from_integers(wh_labels **out, const int64_t *value, int32_t n,
                                 int32_t num_classes, weft_error *err) {
    /* Without num_classes the ids are the ranks; with it they are the labels themselves. */
    int32_t classes = num_classes > 0 ? num_classes : n;
    wh_labels *labels = NULL;
    WEFT_TRY(new_labels(&labels, classes, err));
    labels->by_number = true;
    for (int32_t id = 0; id < classes; id++) {
        char text[WH_NUMBER_TEXT];
        labels->value[id] = num_classes > 0 ? id : value[id];
        int length = snprintf(text, sizeof text, "%" PRId64, labels->value[id]);
        weft_status st = set_name(labels, id, text, (size_t)length, err);
        if (st != WEFT_OK) {
            wh_labels_free(labels);
            return st;
        }
    }
    if (num_classes == 0 && (value[0] != 0 || value[n - 1] != n - 1))
        (void)snprintf(labels->note, sizeof labels->note,
                       "%d different integer labels from %" PRId64 " to %" PRId64
                       " become classes 0 to %d in ascending order",
                       n, value[0], value[n - 1], n - 1);
    *out = labels;
    return WEFT_OK;
}

static weft_status from_names(wh_labels **out, const wh_names *seen, weft_error *err) {
    wh_labels *labels = NULL;
    WEFT_TRY(new_labels(&labels, seen->n, err));
    for (int32_t id = 0; id < seen->n; id++) {
        labels->order[id] = id;
        weft_status st = set_name(labels, id, seen->name[id], strlen(seen->name[id]), err);
        if (st != WEFT_OK) {
            wh_labels_free(labels);
            return st;
        }
    }
    *out = labels;
    return WEFT_OK;
}

static weft_status from_rows(wh_labels **out, const wh_names *seen, int32_t num_classes,
                             weft_error *err) {
    int64_t *value = NULL;
    int32_t n = 0;
    WEFT_TRY(integers_among(seen, &value, &n, err));
    weft_status st =
        n > 0 ? from_integers(out, value, n, num_classes, err) : from_names(out, seen, err);
    free(value);
    return st;
}

/* ---- building ---- */

static void note_unused(wh_labels *labels, const wh_names *seen) {
    int32_t unused = 0, first = 0;
    for (int32_t id = labels->n - 1; id >= 0; id--)
        if (wh_names_find(seen, labels->name[id]) < 0) unused++, first = id;
    if (unused > 0)
        (void)snprintf(labels->note, sizeof labels->note,
                       "%d of the %d listed labels have no training row (\"%.60s\" is one)", unused,
                       labels->n, labels->name[first]);
}

static weft_status check_classes(const wh_labels *labels, const wh_table *train, bool listed,
                                 int32_t num_classes, weft_error *err) {
    if (labels->n < 2)
        return WEFT_FAIL(err, listed ? WEFT_E_CONFIG : WEFT_E_DATA,
                         "%s: only one class, \"%s\": classification needs two (is it the right "
                         "column, or a regression?)",
                         listed ? "data.labels" : wh_table_path(train), labels->name[0]);
    if (num_classes > 0 && labels->n != num_classes)
        return WEFT_FAIL(err, listed ? WEFT_E_CONFIG : WEFT_E_DATA,
                         "%s: %d label names, but %d classes are asked for",
                         listed ? "data.labels" : wh_table_path(train), labels->n, num_classes);
    return WEFT_OK;
}

weft_status wh_labels_build(wh_labels **out, const wh_table *train, const char *names,
                            int32_t num_classes, weft_error *err) {
    if (!wh_table_label(train, 0))
        return WEFT_FAIL(err, WEFT_E_ARG, "%s: read without a label column", wh_table_path(train));
    bool listed = names && *names;
    wh_names seen = {0};
    wh_labels *labels = NULL;
    weft_status st = WEFT_OK;
    WEFT_TRY(wh_names_build(&seen, wh_table_rows(train), label_of, train, "labels", err));
    WEFT_TRY_GOTO(
        st, listed ? from_list(&labels, names, err) : from_rows(&labels, &seen, num_classes, err),
        done);
    WEFT_TRY_GOTO(st, check_classes(labels, train, listed, num_classes, err), done);
    if (listed) note_unused(labels, &seen);
    for (int64_t row = 0; row < wh_table_rows(train) && st == WEFT_OK; row++)
        st = encode_row(labels, train, row, &(int32_t){0}, err);
done:
    wh_names_free(&seen);
    if (st != WEFT_OK) {
        wh_labels_free(labels);
        return st;
    }
    *out = labels;
    return WEFT_OK;
}

int32_t wh_labels_count(const wh_labels *labels) {
    return labels->n;
}

const char *wh_labels_name(const wh_labels *labels, int32_t id) {
    return id >= 0 && id < labels->n ? labels->name[id] : NULL;
}

const char *wh_labels_note(const wh_labels *labels) {
    return labels->note;
}

weft_status wh_labels_encode(const wh_labels *labels, const wh_table *table, int32_t *id,
                             weft_error *err) {
    if (!wh_table_label(table, 0))
        return WEFT_FAIL(err, WEFT_E_ARG, "%s: read without a label column", wh_table_path(table));
    for (int64_t row = 0; row < wh_table_rows(table); row++)
        WEFT_TRY(encode_row(labels, table, row, &id[row], err));
    return WEFT_OK;
}

weft_status wh_labels_targets(const wh_table *table, float *target, weft_error *err) {
    if (!wh_table_label(table, 0))
        return WEFT_FAIL(err, WEFT_E_ARG, "%s: read without a label column", wh_table_path(table));
    for (int64_t row = 0; row < wh_table_rows(table); row++) {
        const char *label = wh_table_label(table, row);
        double value = 0;
        wh_number st = wh_parse_double(label, &value);
        if (st == WH_NUMBER_OK && fabs(value) > (double)FLT_MAX) st = WH_NUMBER_RANGE;
        if (st != WH_NUMBER_OK)
            return WEFT_FAIL(err, WEFT_E_DATA, "%s:%lld: label \"%.80s\" %s", wh_table_path(table),
                             (long long)wh_table_line(table, row), label,
                             st == WH_NUMBER_RANGE ? "is too large for a 32-bit float"
                                                   : "is not a number (data.task is regression)");
        target[row] = (float)value;
    }
    return WEFT_OK;
}
