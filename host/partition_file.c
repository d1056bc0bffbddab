#include "host/partition_file.h"

#include "host/atomic_file.h"
#include "host/json_util.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char format_name[] = "weft.partition";
enum { FORMAT_VERSION = 1 };
enum { PIECE = 64 << 10 }; /* of a file that is written, bytes */
static const size_t max_file = (size_t)4 << 30;

static uint32_t crc_byte(uint32_t crc, unsigned char byte) {
    crc ^= byte;
    for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1u)));
    return crc;
}

uint32_t wh_label_crc(const weft_rows *rows) {
    uint32_t crc = 0xffffffffu;
    for (int64_t i = 0; i < rows->n_rows; i++) {
        uint32_t word = 0;
        if (rows->label)
            word = (uint32_t)rows->label[i];
        else if (rows->target)
            memcpy(&word, &rows->target[i], sizeof word);
        for (int shift = 0; shift < 32; shift += 8)
            crc = crc_byte(crc, (unsigned char)(word >> shift));
    }
    return crc ^ 0xffffffffu;
}

/* ---- saving ---- */

static void compose_head(wh_text *text, const weft_partition *p, const weft_rows *rows,
                         const wh_partition_note *note) {
    wh_text_addf(text, "{\n  \"format\": \"%s\",\n  \"version\": %d,\n  \"kind\": ", format_name,
                 FORMAT_VERSION);
    wh_json_add_string(text, note->kind);
    wh_text_addf(text, ",\n  \"seed\": %" PRIu64, note->seed);
    if (isfinite(note->alpha)) {
        wh_text_add(text, ",\n  \"alpha\": ");
        wh_text_add_real(text, note->alpha);
    }
    if (note->classes_per_client)
        wh_text_addf(text, ",\n  \"classes_per_client\": %" PRId32, note->classes_per_client);
    if (note->shards_per_client)
        wh_text_addf(text, ",\n  \"shards_per_client\": %" PRId32, note->shards_per_client);
    if (note->min_rows) wh_text_addf(text, ",\n  \"min_rows\": %" PRId32, note->min_rows);
    wh_text_addf(text,
                 ",\n  \"n_rows\": %" PRId64 ",\n  \"labels_crc32\": %" PRIu32
                 ",\n  \"n_clients\": %" PRId32 ",\n  \"rows_of_client\": [",
                 rows->n_rows, wh_label_crc(rows), p->n_clients);
}

static void compose_client(wh_text *text, const weft_partition *p, int32_t c) {
    wh_text_add(text, c ? ",\n    [" : "\n    [");
    for (int64_t i = p->offset[c]; i < p->offset[c + 1]; i++)
        wh_text_addf(text, "%s%" PRId32, i > p->offset[c] ? "," : "", p->row[i]);
    wh_text_add(text, "]");
}

static weft_status put(wh_atomic_file *file, wh_text *text, const char *path, weft_error *err) {
    WEFT_TRY(wh_text_check(text, path, err));
    WEFT_TRY(wh_atomic_append(file, text->data, text->len, err));
    wh_text_clear(text);
    return WEFT_OK;
}

static weft_status write_all(wh_atomic_file *file, wh_text *text, const char *path,
                             const weft_partition *p, const weft_rows *rows,
                             const wh_partition_note *note, weft_error *err) {
    compose_head(text, p, rows, note);
    for (int32_t c = 0; c < p->n_clients; c++) {
        compose_client(text, p, c);
        if (text->len > PIECE) WEFT_TRY(put(file, text, path, err));
    }
    wh_text_add(text, "\n  ]\n}\n");
    return put(file, text, path, err);
}

weft_status wh_partition_save(const char *path, const weft_partition *partition,
                              const weft_rows *rows, const wh_partition_note *note,
                              weft_error *err) {
    wh_text text = {0};
    wh_atomic_file *file = NULL;
    WEFT_TRY(wh_atomic_open(&file, path, err));
    weft_status st = write_all(file, &text, path, partition, rows, note, err);
    wh_text_free(&text);
    if (st == WEFT_OK) return wh_atomic_commit(file, err);
    wh_atomic_discard(file);
    return st;
}

/* ---- loading ---- */

static weft_status check_head(const json_t *root, const char *path, const weft_rows *rows,
                              weft_error *err) {
    const char *format = NULL;
    int64_t version = 0, n_rows = 0, crc = 0;
    WEFT_TRY(wh_json_string(root, path, "format", &format, err));
    if (strcmp(format, format_name) != 0)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: format is \"%.40s\", not \"%s\"", path, format,
                         format_name);
    WEFT_TRY(wh_json_int(root, path, "version", 1, INT32_MAX, &version, err));
    if (version != FORMAT_VERSION)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: version is %" PRId64 ", this program reads version %d", path, version,
                         FORMAT_VERSION);
    WEFT_TRY(wh_json_int(root, path, "n_rows", 0, INT32_MAX, &n_rows, err));
    if (n_rows != rows->n_rows)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s was made for %" PRId64 " training rows, the data has %" PRId64
                         ": use the data it was made for or draw a new partition",
                         path, n_rows, rows->n_rows);
    if (!wh_json_has(root, "labels_crc32")) return WEFT_OK; /* made by another program */
    WEFT_TRY(wh_json_int(root, path, "labels_crc32", 0, UINT32_MAX, &crc, err));
    if (crc != (int64_t)wh_label_crc(rows))
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s was made for other labels (checksum %" PRId64 ", the data has %" PRIu32
                         "): use the data it was made for or draw a new partition",
                         path, crc, wh_label_crc(rows));
    return WEFT_OK;
}

static int by_row(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* One client's rows, sorted; owner[row] is the client that has it, or -1. */
static weft_status read_client(weft_partition *p, int32_t client, const json_t *list,
                               int32_t *owner, const weft_rows *rows, const char *path,
                               weft_error *err) {
    int64_t begin = p->offset[client], n = (int64_t)json_array_size(list);
    if (!json_is_array(list) || n == 0)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: client %" PRId32 " holds no rows: every client needs one", path,
                         client);
    for (int64_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(list, (size_t)i);
        int64_t row = 0;
        if (!wh_json_whole(value, &row) || row < 0 || row >= rows->n_rows) {
            char found[48];
            return WEFT_FAIL(
                err, WEFT_E_DATA, "%s: client %" PRId32 " lists row %s, rows go from 0 to %" PRId64,
                path, client, wh_json_brief(found, sizeof found, value), rows->n_rows - 1);
        }
        if (owner[row] >= 0)
            return WEFT_FAIL(err, WEFT_E_DATA,
                             "%s: row %" PRId64 " is listed twice, for clients %" PRId32
                             " and %" PRId32,
                             path, row, owner[row], client);
        owner[row] = client;
        p->row[begin + i] = (int32_t)row;
    }
    qsort(p->row + begin, (size_t)n, sizeof *p->row, by_row);
    p->offset[client + 1] = begin + n;
    return WEFT_OK;
}

static weft_status read_clients(weft_partition **out, const json_t *root, const char *path,
                                const weft_rows *rows, weft_error *err) {
    json_t *clients = NULL;
    WEFT_TRY(wh_json_child(root, path, "rows_of_client", JSON_ARRAY, &clients, err));
    size_t n = json_array_size(clients);
    if (n == 0 || n > (size_t)rows->n_rows)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: %zu clients for %" PRId64 " rows", path, n,
                         rows->n_rows);
    weft_partition *p = calloc(1, sizeof *p);
    int32_t *owner = malloc((size_t)rows->n_rows * sizeof *owner);
    if (p) {
        p->n_clients = (int32_t)n;
        p->offset = calloc(n + 1, sizeof *p->offset);
        p->row = calloc((size_t)rows->n_rows, sizeof *p->row);
    }
    weft_status st = WEFT_OK;
    if (!p || !owner || !p->offset || !p->row)
        st = WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the %zu clients of %s", n, path);
    for (int64_t i = 0; st == WEFT_OK && i < rows->n_rows; i++) owner[i] = -1;
    for (size_t c = 0; st == WEFT_OK && c < n; c++)
        st = read_client(p, (int32_t)c, json_array_get(clients, c), owner, rows, path, err);
    free(owner);
    if (st != WEFT_OK) {
        wh_partition_free(p);
        return st;
    }
    *out = p;
    return WEFT_OK;
}

weft_status wh_partition_load(weft_partition **out, const char *path, const weft_rows *rows,
                              weft_error *err) {
    json_t *root = NULL;
    WEFT_TRY(wh_json_load(&root, path, max_file, err));
    weft_status st = json_is_object(root)
                         ? check_head(root, path, rows, err)
                         : WEFT_FAIL(err, WEFT_E_DATA, "%s must hold a JSON object", path);
    if (st == WEFT_OK) st = read_clients(out, root, path, rows, err);
    json_decref(root);
    return st;
}

void wh_partition_free(weft_partition *p) {
    if (!p) return;
    free(p->offset);
    free(p->row);
    free(p);
}

/* ---- the table ---- */

enum { TABLE_CLIENTS = 10, TABLE_CLASSES = 10 };

typedef struct client_facts {
    int64_t rows;
    int32_t classes;  /* labels that occur */
    double top_share; /* of the most frequent label */
} client_facts;

static client_facts look_at(const weft_partition *p, const weft_rows *rows, int32_t client,
                            int64_t *count) {
    client_facts f = {.rows = p->offset[client + 1] - p->offset[client]};
    memset(count, 0, (size_t)rows->num_labels * sizeof *count);
    int64_t top = 0;
    for (int64_t i = p->offset[client]; rows->label && i < p->offset[client + 1]; i++) {
        int32_t label = rows->label[p->row[i]];
        if (count[label]++ == 0) f.classes++;
        if (count[label] > top) top = count[label];
    }
    f.top_share = f.rows ? (double)top / (double)f.rows : 0;
    return f;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts v in place. */
static void print_spread(FILE *out, const char *what, double *v, size_t n, double scale,
                         const char *unit) {
    qsort(v, n, sizeof *v, by_value);
    double median = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
    (void)fprintf(out, "  %-18s min %-7.4g median %-7.4g max %.4g%s\n", what, v[0] * scale,
                  median * scale, v[n - 1] * scale, unit);
}

static void print_head_of_clients(FILE *out, const weft_partition *p, const weft_rows *rows,
                                  int64_t *count) {
    int32_t shown = p->n_clients < TABLE_CLIENTS ? p->n_clients : TABLE_CLIENTS;
    int32_t labels = rows->num_labels < TABLE_CLASSES ? rows->num_labels : TABLE_CLASSES;
    (void)fprintf(out, "  %6s %8s", "client", "rows");
    if (rows->label) (void)fprintf(out, "  rows per label");
    (void)fprintf(out, "\n");
    for (int32_t c = 0; c < shown; c++) {
        client_facts f = look_at(p, rows, c, count);
        (void)fprintf(out, "  %6" PRId32 " %8" PRId64, c, f.rows);
        for (int32_t k = 0; rows->label && k < labels; k++)
            (void)fprintf(out, "%s%" PRId64, k ? " " : "  ", count[k]);
        (void)fprintf(out, "%s\n", rows->label && labels < rows->num_labels ? " ..." : "");
    }
    if (shown < p->n_clients) (void)fprintf(out, "  ... %" PRId32 " more\n", p->n_clients - shown);
}

weft_status wh_partition_print(FILE *out, const weft_partition *p, const weft_rows *rows,
                               const char *kind, weft_error *err) {
    size_t n = (size_t)p->n_clients;
    int64_t *count = calloc((size_t)rows->num_labels + 1, sizeof *count);
    double *spread = calloc(3 * n + 1, sizeof *spread);
    if (!count || !spread) {
        free(count);
        free(spread);
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the table of the partition");
    }
    (void)fprintf(out, "partition: %s, %" PRId32 " clients, %" PRId64 " of %" PRId64 " rows\n",
                  kind, p->n_clients, p->offset[n], rows->n_rows);
    for (size_t c = 0; c < n; c++) {
        client_facts f = look_at(p, rows, (int32_t)c, count);
        spread[c] = (double)f.rows;
        spread[n + c] = (double)f.classes;
        spread[2 * n + c] = f.top_share;
    }
    if (n) {
        print_spread(out, "rows", spread, n, 1, "");
        if (rows->label) {
            print_spread(out, "classes", spread + n, n, 1, "");
            print_spread(out, "top label's share", spread + 2 * n, n, 100, " %");
        }
        print_head_of_clients(out, p, rows, count);
    }
    free(count);
    free(spread);
    return WEFT_OK;
}
