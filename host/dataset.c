#include "host/dataset.h"

#include "host/client_ids.h"
#include "host/memory.h"
#include "host/table.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Many ranges for each thread: joined one by one, they lie beside the whole only in part. */
enum { MAX_THREADS = 64, ROWS_PER_RANGE = 256, RANGES_PER_THREAD = 16 };

/* ---- tokens of a range of rows, by one thread ---- */

typedef struct range {
    const wh_table *table;
    const wh_tokenizer *tokenizer;
    int64_t begin, end; /* rows */
    int32_t max_length;
    int32_t *length; /* (rows of the table), shared; each thread fills its own part */
    int32_t *token;  /* of this range */
    uint8_t *type;   /* NULL until one is not 0 */
    int64_t n, capacity;
    weft_status status;
    weft_error err;
} range;

static bool reserve(range *r, int64_t more) {
    if (r->n + more <= r->capacity) return true;
    int64_t capacity = r->capacity > 0 ? r->capacity : 1 << 14;
    while (capacity < r->n + more) capacity *= 2;
    int32_t *token = realloc(r->token, (size_t)capacity * sizeof *token);
    if (token) r->token = token;
    uint8_t *type = r->type ? realloc(r->type, (size_t)capacity) : NULL;
    if (type) r->type = type;
    if (!token || (r->type && !type)) return false;
    r->capacity = capacity;
    return true;
}

static bool add_types(range *r, const wh_encoding *encoding) {
    const size_t len = encoding->len;
    bool any = false;
    for (size_t i = 0; i < len && !any; i++) any = encoding->type_ids[i] != 0;
    if (any && !r->type) {
        r->type = calloc((size_t)r->capacity, 1);
        if (!r->type) return false;
    }
    for (size_t i = 0; r->type && i < len; i++)
        r->type[r->n + (int64_t)i] = (uint8_t)encoding->type_ids[i];
    return true;
}

static weft_status encode_row(range *r, int64_t row, wh_encoding *encoding) {
    size_t n, n_pair = 0;
    const char *text = wh_table_text(r->table, row, &n);
    const char *pair = wh_table_text_pair(r->table, row, &n_pair);
    weft_error inner = {0};
    weft_status st =
        wh_tokenizer_encode(r->tokenizer, text, n, pair, n_pair, r->max_length, encoding, &inner);
    if (st != WEFT_OK) {
        return WEFT_FAIL(&r->err, st, "%s:%" PRId64 ": %.300s", wh_table_path(r->table),
                         wh_table_line(r->table, row), inner.text);
    }
    if (encoding->len == 0) {
        return WEFT_FAIL(&r->err, WEFT_E_DATA, "%s:%" PRId64 ": the text has no tokens",
                         wh_table_path(r->table), wh_table_line(r->table, row));
    }
    int64_t len = (int64_t)encoding->len;
    if (!reserve(r, len) || !add_types(r, encoding))
        return WEFT_FAIL(&r->err, WEFT_E_MEM, "out of memory for the tokens");
    for (int64_t i = 0; i < len; i++) r->token[r->n + i] = encoding->ids[i];
    r->n += len;
    r->length[row] = (int32_t)len;
    return WEFT_OK;
}

static void encode_range(range *r) {
    wh_encoding encoding = {0};
    for (int64_t row = r->begin; row < r->end && r->status == WEFT_OK; row++) {
        r->status = encode_row(r, row, &encoding);
    }
    wh_encoding_free(&encoding);
}

/* Every n-th range, from the first on. */
typedef struct share {
    range *ranges;
    int first, step, n;
} share;

static void *encode_share(void *argument) {
    const share *s = argument;
    for (int i = s->first; i < s->n; i += s->step) encode_range(&s->ranges[i]);
    return NULL;
}

/* Ranges in row order, so that joining them gives what one thread would have made. A thread that
 * cannot be started is no error: its share is done here. */
static void encode_all(range *ranges, int n, int n_threads) {
    pthread_t thread[MAX_THREADS];
    share shares[MAX_THREADS];
    bool started[MAX_THREADS] = {false};
    for (int i = 0; i < n_threads; i++) shares[i] = (share){ranges, i, n_threads, n};
    for (int i = 1; i < n_threads; i++) {
        started[i] = pthread_create(&thread[i], NULL, encode_share, &shares[i]) == 0;
    }
    for (int i = 0; i < n_threads; i++) {
        if (!started[i]) encode_share(&shares[i]);
    }
    for (int i = 1; i < n_threads; i++) {
        if (started[i]) (void)pthread_join(thread[i], NULL);
    }
}

/* The ranges' tokens, and types where there are any, into one buffer each: the first range's
 * grows, the others are given back as soon as they are copied. */
static weft_status join_tokens(wh_dataset *out, range *ranges, int n_ranges, weft_error *err) {
    int64_t total = 0;
    bool has_types = false;
    for (int i = 0; i < n_ranges; i++) {
        total += ranges[i].n;
        has_types = has_types || ranges[i].type;
    }
    out->token = realloc(ranges[0].token, (size_t)total * sizeof *out->token);
    if (out->token) ranges[0].token = NULL;
    out->type = has_types ? calloc((size_t)total, 1) : NULL;
    if (!out->token || (has_types && !out->type))
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for %" PRId64 " tokens", total);
    int64_t at = 0;
    for (int i = 0; i < n_ranges; i++) {
        range *r = &ranges[i];
        if (r->token) memcpy(out->token + at, r->token, (size_t)r->n * sizeof *out->token);
        if (r->type) memcpy(out->type + at, r->type, (size_t)r->n);
        at += r->n;
        free(r->token), free(r->type);
        r->token = NULL, r->type = NULL;
    }
    return WEFT_OK;
}

static weft_status join(wh_dataset *out, range *ranges, int n_ranges, int64_t rows,
                        const int32_t *length, weft_error *err) {
    out->offset = malloc(((size_t)rows + 1) * sizeof *out->offset);
    if (!out->offset) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for %" PRId64 " rows", rows);
    out->offset[0] = 0;
    for (int64_t row = 0; row < rows; row++) out->offset[row + 1] = out->offset[row] + length[row];
    return join_tokens(out, ranges, n_ranges, err);
}

static weft_status tokenise(wh_dataset *out, const wh_table *table, const wh_tokenizer *tokenizer,
                            int32_t max_length, int n_threads, weft_error *err) {
    int64_t rows = wh_table_rows(table);
    int64_t useful = rows / ROWS_PER_RANGE + 1;
    int threads = n_threads < 1 ? 1 : n_threads > MAX_THREADS ? MAX_THREADS : n_threads;
    int n = threads * RANGES_PER_THREAD;
    if (n > useful) n = (int)useful;
    if (threads > n) threads = n;
    range *ranges = calloc((size_t)n, sizeof *ranges);
    int32_t *length = malloc((size_t)rows * sizeof *length);
    weft_status st = WEFT_OK;
    if (!ranges || !length) {
        st = WEFT_FAIL(err, WEFT_E_MEM, "out of memory for %" PRId64 " rows", rows);
        goto out;
    }
    for (int i = 0; i < n; i++) {
        ranges[i] = (range){.table = table,
                            .tokenizer = tokenizer,
                            .begin = rows * i / n,
                            .end = rows * (i + 1) / n,
                            .max_length = max_length,
                            .length = length};
    }
    encode_all(ranges, n, threads);
    for (int i = 0; i < n && st == WEFT_OK; i++) { /* the first row at fault speaks */
        st = ranges[i].status;
        if (st != WEFT_OK && err) *err = ranges[i].err;
    }
    if (st == WEFT_OK) st = join(out, ranges, n, rows, length, err);
    wh_memory_note();
    for (int64_t row = 0; st == WEFT_OK && row < rows; row++)
        out->n_full += length[row] >= max_length;
out:
    for (int i = 0; ranges && i < n; i++) {
        free(ranges[i].token);
        free(ranges[i].type);
    }
    free(ranges);
    free(length);
    return st;
}

/* ---- labels and clients ---- */

static weft_status fill_labels(wh_dataset *out, const wh_table *table, const weft_config *config,
                               wh_labels **labels, weft_error *err) {
    size_t rows = (size_t)wh_table_rows(table);
    if (strcmp(weft_config_text(config, "data.task"), "regression") == 0) {
        out->target = malloc(rows * sizeof *out->target);
        if (!out->target) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the targets");
        out->rows.num_labels = 1;
        return wh_labels_targets(table, out->target, err);
    }
    if (!*labels) {
        WEFT_TRY(wh_labels_build(labels, table, weft_config_text(config, "data.labels"), 0, err));
    }
    out->label = malloc(rows * sizeof *out->label);
    if (!out->label) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the labels");
    out->rows.num_labels = wh_labels_count(*labels);
    return wh_labels_encode(*labels, table, out->label, err);
}

static weft_status fill_clients(wh_dataset *out, const wh_table *table, weft_error *err) {
    size_t rows = (size_t)wh_table_rows(table);
    wh_client_ids *ids = NULL;
    WEFT_TRY(wh_client_ids_build(&ids, table, err));
    out->client = malloc(rows * sizeof *out->client);
    if (out->client) {
        memcpy(out->client, wh_client_ids_of_rows(ids), rows * sizeof *out->client);
        out->rows.n_clients = wh_client_ids_count(ids);
    }
    wh_client_ids_free(ids);
    return out->client ? WEFT_OK : WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the client ids");
}

/* ---- all together ---- */

static void count_bytes(wh_dataset *out, const wh_table *table) {
    const int64_t rows = out->rows.n_rows, tokens = out->offset[rows];
    const int64_t token_bytes = tokens * (int64_t)sizeof *out->token;
    const int64_t row_bytes = (int64_t)sizeof *out->offset + (int64_t)sizeof *out->label +
                              (out->client ? (int64_t)sizeof *out->client : 0);
    out->held_bytes = token_bytes + (out->type ? tokens : 0) + rows * row_bytes;
    /* Beside the whole a range that is copied, and the lengths. */
    out->reading_bytes = wh_table_bytes(table) + out->held_bytes +
                         token_bytes / RANGES_PER_THREAD / 2 + rows * (int64_t)sizeof(int32_t);
}

static wh_table_format table_format(const weft_config *config) {
    static const struct {
        const char *name;
        wh_table_format format;
    } FORMATS[] = {{"jsonl", WH_TABLE_JSONL}, {"csv", WH_TABLE_CSV}, {"tsv", WH_TABLE_TSV}};
    const char *name = weft_config_text(config, "data.format");
    for (size_t i = 0; i < sizeof FORMATS / sizeof FORMATS[0]; i++) {
        if (strcmp(FORMATS[i].name, name) == 0) return FORMATS[i].format;
    }
    return WH_TABLE_AUTO;
}

static weft_status load(wh_dataset *out, const wh_table *table, const weft_config *config,
                        const wh_tokenizer *tokenizer, wh_labels **labels, bool with_clients,
                        int n_threads, weft_error *err) {
    out->n_skipped = wh_table_skipped(table);
    (void)snprintf(out->first_skipped, sizeof out->first_skipped, "%s",
                   wh_table_first_skipped(table));
    WEFT_TRY(fill_labels(out, table, config, labels, err));
    if (with_clients) WEFT_TRY(fill_clients(out, table, err));
    WEFT_TRY(tokenise(out, table, tokenizer, (int32_t)weft_config_int(config, "data.max_length"),
                      n_threads, err));
    out->rows.n_rows = wh_table_rows(table);
    out->rows.offset = out->offset;
    out->rows.token = out->token;
    out->rows.type = out->type;
    out->rows.label = out->label;
    out->rows.target = out->target;
    out->rows.client = out->client;
    count_bytes(out, table);
    return WEFT_OK;
}

weft_status wh_dataset_load(wh_dataset *out, const weft_config *config, weft_split split,
                            const wh_tokenizer *tokenizer, wh_labels **labels, int n_threads,
                            weft_error *err) {
    bool train = split == WEFT_SPLIT_TRAIN;
    const char *clients = train ? weft_config_text(config, "data.client_column") : "";
    wh_table_options options = {
        .path = weft_config_text(config, train ? "data.train" : "data.test"),
        .format = table_format(config),
        .text_column = weft_config_text(config, "data.text_column"),
        .text_pair_column = weft_config_text(config, "data.text_pair_column"),
        .label_column = weft_config_text(config, "data.label_column"),
        .client_column = clients,
        .max_rows = weft_config_int(config, train ? "data.max_train_rows" : "data.max_test_rows"),
        .skip_bad_rows = strcmp(weft_config_text(config, "data.on_bad_row"), "skip") == 0,
    };
    memset(out, 0, sizeof *out);
    if (!options.label_column[0]) {
        return WEFT_FAIL(err, WEFT_E_CONFIG, "data.label_column is empty: name the label's column");
    }
    wh_table *table = NULL;
    WEFT_TRY(wh_table_open(&table, &options, err));
    weft_status st =
        load(out, table, config, tokenizer, labels, clients[0] != '\0', n_threads, err);
    wh_table_close(table);
    if (st != WEFT_OK) wh_dataset_free(out);
    return st;
}

void wh_dataset_free(wh_dataset *dataset) {
    free(dataset->offset);
    free(dataset->token);
    free(dataset->type);
    free(dataset->label);
    free(dataset->target);
    free(dataset->client);
    memset(dataset, 0, sizeof *dataset);
}
