/* Which client holds which rows. Each kind only says who owns a row (owner[row] = client, or -1:
 * nobody); the rest, sizes, checks and the table by client, is shared. Everything is a pure
 * function of (run.seed, partition.*, fl.num_clients, rows). */
#include "engine/config.h"
#include "engine/order.h"
#include "engine/parse.h"
#include "engine/random.h"

#include <inttypes.h>
#include <string.h>

#define MAX_DRAWS 1000 /* of dirichlet and quantity, for partition.min_rows */
#define NOBODY    (-1)

/* The handle: the public part first. */
typedef struct owned_partition {
    weft_partition partition;
    wk_ctx ctx;
} owned_partition;

/* Work space of one build; all arrays are freed at its end. */
typedef struct split {
    wk_ctx *ctx;
    const weft_config *config;
    const weft_rows *rows;
    int32_t n_rows, n_clients;
    int32_t *owner;       /* (n_rows) */
    int32_t *order;       /* (n_rows) rows in the order in which they are dealt */
    int32_t *dealt;       /* (n_clients * shards_per_client) shards only */
    int64_t *first;       /* (n_classes+1) class k is order[first[k]] … order[first[k+1]-1] */
    int64_t *size;        /* (n_clients) rows of each client, while drawing */
    double *share;        /* (n_clients) */
    int32_t *class_order; /* (n_classes) pathological only */
} split;

enum { SITE_ROWS = 0, SITE_SHARES = 1, SITE_CLASSES = 2 };

/* `draw` counts the attempts, `part` the classes. */
static wk_stream stream_of(const split *s, uint32_t site, uint32_t draw, uint32_t part) {
    return wk_stream_at(wk_rng_key(s->config->run_seed, WK_RNG_PARTITION, site), draw, part, 0);
}

static weft_status take(split *s, void *out, size_t count, size_t size) {
    void *memory = NULL;
    WEFT_TRY(wk_host_alloc(s->ctx, &memory, count, size, "the partition"));
    memcpy(out, &memory, sizeof memory); /* out is the address of a pointer of any type */
    return WEFT_OK;
}

/* ---- who owns a row ---- */

/* All rows in random order. */
static void shuffle_rows(split *s) {
    for (int32_t i = 0; i < s->n_rows; i++) s->order[i] = i;
    wk_stream stream = stream_of(s, SITE_ROWS, 0, 0);
    we_random_shuffle(&stream, s->order, s->n_rows);
}

/* Part i of n items cut into `parts` pieces whose sizes differ by at most one begins here. */
static int64_t cut(int64_t n, int64_t i, int64_t parts) {
    return n / parts * i + n % parts * i / parts;
}

static weft_status split_iid(split *s) {
    shuffle_rows(s);
    for (int32_t c = 0; c < s->n_clients; c++)
        for (int64_t i = cut(s->n_rows, c, s->n_clients); i < cut(s->n_rows, c + 1, s->n_clients);
             i++)
            s->owner[s->order[i]] = c;
    return WEFT_OK;
}

/* Order rows by class (counting sort), each class shuffled by its own stream. */
static weft_status sort_by_class(split *s) {
    int32_t classes = s->rows->num_labels;
    WEFT_TRY(take(s, &s->first, (size_t)classes + 1, sizeof *s->first));
    for (int32_t i = 0; i < s->n_rows; i++) s->first[s->rows->label[i] + 1]++;
    for (int32_t k = 0; k < classes; k++) s->first[k + 1] += s->first[k];
    for (int32_t i = s->n_rows; i-- > 0;) /* leaves first[k + 1] at the begin of class k */
        s->order[--s->first[s->rows->label[i] + 1]] = i;
    for (int32_t k = 0; k < classes; k++) s->first[k] = s->first[k + 1];
    s->first[classes] = s->n_rows;
    for (int32_t k = 0; k < classes; k++) {
        wk_stream stream = stream_of(s, SITE_ROWS, 0, (uint32_t)k);
        we_random_shuffle(&stream, s->order + s->first[k], s->first[k + 1] - s->first[k]);
    }
    return WEFT_OK;
}

/* Draw shares ~ Dir(alpha) for `part` and cut n items by them: client c gets items [begin, end)
 * with end = floor(n * (share[0] + … + share[c])). `assign`: also hand out the rows. */
static void cut_by_shares(split *s, uint32_t draw, uint32_t part, int64_t begin, int64_t n,
                          bool assign) {
    wk_stream stream = stream_of(s, SITE_SHARES, draw, part);
    we_random_dirichlet(&stream, s->config->partition_alpha, s->share, s->n_clients);
    double sum = 0;
    for (int64_t c = 0, from = 0, to; c < s->n_clients; c++, from = to) {
        sum += s->share[c];
        to = c + 1 < s->n_clients ? (int64_t)(sum * (double)n) : n;
        if (to > n) to = n;
        s->size[c] += to - from;
        for (int64_t i = from; assign && i < to; i++) s->owner[s->order[begin + i]] = (int32_t)c;
    }
}

static void cut_all(split *s, uint32_t draw, bool by_class, bool assign) {
    for (int32_t c = 0; c < s->n_clients; c++) s->size[c] = 0;
    if (!by_class) cut_by_shares(s, draw, 0, 0, s->n_rows, assign);
    for (int32_t k = 0; by_class && k < s->rows->num_labels; k++)
        cut_by_shares(s, draw, (uint32_t)k, s->first[k], s->first[k + 1] - s->first[k], assign);
}

/* Draw until no client is too small: first only the sizes, then, for the draw that will do, the
 * rows. */
static weft_status draw_shares(split *s, bool by_class) {
    WEFT_TRY(take(s, &s->size, (size_t)s->n_clients, sizeof *s->size));
    WEFT_TRY(take(s, &s->share, (size_t)s->n_clients, sizeof *s->share));
    int64_t best = -1;
    for (uint32_t draw = 0; draw < MAX_DRAWS; draw++) {
        cut_all(s, draw, by_class, false);
        int64_t least = s->size[0];
        for (int32_t c = 1; c < s->n_clients; c++) least = s->size[c] < least ? s->size[c] : least;
        if (least > best) best = least;
        if (least < s->config->partition_min_rows) continue;
        cut_all(s, draw, by_class, true);
        return WEFT_OK;
    }
    char alpha[WE_F64_TEXT];
    we_format_f64(alpha, s->config->partition_alpha);
    return WEFT_FAIL(&s->ctx->err, WEFT_E_CONFIG,
                     "none of %d draws of partition.kind=%s gave every one of %d clients "
                     "partition.min_rows=%" PRId64 " of %d rows (best: smallest client %" PRId64
                     "): raise partition.alpha=%s, or lower fl.num_clients or partition.min_rows",
                     MAX_DRAWS, weft_config_text(s->config, "partition.kind"), s->n_clients,
                     s->config->partition_min_rows, s->n_rows, best, alpha);
}

/* Hsu, Qi, Brown 2019, "Measuring the effects of non-identical data distribution"; cut per class
 * over clients as Yurochkin et al. 2019 and the usual partitioners do. */
static weft_status split_dirichlet(split *s) {
    WEFT_TRY(sort_by_class(s));
    return draw_shares(s, true);
}

static weft_status split_quantity(split *s) {
    shuffle_rows(s);
    return draw_shares(s, false);
}

/* classes_per_client classes for each client: the classes in random order, dealt out cyclically, so
 * that client c holds places c*m … c*m + m - 1 of the repeated order; the rows of a class are
 * shared evenly by those who hold it. Every class has a holder when clients * m >= classes. */
static weft_status split_pathological(split *s) {
    WEFT_TRY(sort_by_class(s));
    WEFT_TRY(take(s, &s->class_order, (size_t)s->rows->num_labels, sizeof *s->class_order));
    int64_t classes = 0, each = s->config->partition_classes_per_client;
    for (int32_t k = 0; k < s->rows->num_labels; k++) /* only those that have rows */
        if (s->first[k + 1] > s->first[k]) s->class_order[classes++] = k;
    if (each > classes)
        return WEFT_FAIL(&s->ctx->err, WEFT_E_CONFIG,
                         "partition.classes_per_client=%" PRId64 " is more than the %" PRId64
                         " classes of the rows: lower it",
                         each, classes);
    int64_t places = each * s->n_clients;
    if (places < classes)
        return WEFT_FAIL(&s->ctx->err, WEFT_E_CONFIG,
                         "%d clients with partition.classes_per_client=%" PRId64
                         " cannot hold %" PRId64 " classes: raise it or fl.num_clients",
                         s->n_clients, each, classes);
    wk_stream stream = stream_of(s, SITE_CLASSES, 0, 0);
    we_random_shuffle(&stream, s->class_order, classes);
    for (int64_t q = 0; q < classes; q++) {
        int64_t begin = s->first[s->class_order[q]];
        int64_t n = s->first[s->class_order[q] + 1] - begin;
        int64_t holders = (places - q + classes - 1) / classes;
        for (int64_t h = 0; h < holders; h++)
            for (int64_t i = cut(n, h, holders); i < cut(n, h + 1, holders); i++)
                s->owner[s->order[begin + i]] = (int32_t)((q + h * classes) / each);
    }
    return WEFT_OK;
}

/* McMahan et al. 2017: rows sorted by label (or target), cut into equal shards, which are dealt
 * out. */
static weft_status split_shards(split *s) {
    int64_t each = s->config->partition_shards_per_client, shards = each * s->n_clients;
    if (shards > s->n_rows)
        return WEFT_FAIL(&s->ctx->err, WEFT_E_CONFIG,
                         "%d clients with partition.shards_per_client=%" PRId64
                         " need more shards than there are rows (%d): lower one of them",
                         s->n_clients, each, s->n_rows);
    if (s->rows->label)
        WEFT_TRY(sort_by_class(s));
    else
        we_order_f32(s->order, s->rows->target, s->n_rows);
    WEFT_TRY(take(s, &s->dealt, (size_t)shards, sizeof *s->dealt));
    for (int32_t i = 0; i < shards; i++) s->dealt[i] = i;
    wk_stream stream = stream_of(s, SITE_CLASSES, 0, 0);
    we_random_shuffle(&stream, s->dealt, shards);
    for (int64_t j = 0; j < shards; j++)
        for (int64_t i = cut(s->n_rows, s->dealt[j], shards);
             i < cut(s->n_rows, s->dealt[j] + 1, shards); i++)
            s->owner[s->order[i]] = (int32_t)(j / each);
    return WEFT_OK;
}

/* The rows' own clients, without those that are too small, renumbered in their order. */
static weft_status split_natural(split *s) {
    int32_t all = s->rows->n_clients, kept = 0;
    WEFT_TRY(take(s, &s->size, (size_t)all, sizeof *s->size));
    for (int32_t i = 0; i < s->n_rows; i++) s->size[s->rows->client[i]]++;
    for (int32_t c = 0; c < all; c++)
        s->size[c] = s->size[c] >= s->config->partition_min_rows ? kept++ : NOBODY;
    if (kept == 0)
        return WEFT_FAIL(&s->ctx->err, WEFT_E_CONFIG,
                         "none of the %d natural clients holds partition.min_rows=%" PRId64
                         " rows: lower it",
                         all, s->config->partition_min_rows);
    for (int32_t i = 0; i < s->n_rows; i++) s->owner[i] = (int32_t)s->size[s->rows->client[i]];
    s->n_clients = kept;
    return WEFT_OK;
}

/* ---- before and after ---- */

static weft_status check_rows(const weft_rows *rows, weft_error *err) {
    if (rows->n_rows < 1 || rows->n_rows > INT32_MAX)
        return WEFT_FAIL(err, WEFT_E_DATA, "%" PRId64 " training rows; from 1 to %d can be split",
                         rows->n_rows, INT32_MAX);
    for (int64_t i = 0; rows->label && i < rows->n_rows; i++)
        if (rows->label[i] < 0 || rows->label[i] >= rows->num_labels)
            return WEFT_FAIL(err, WEFT_E_DATA,
                             "label %d of row %" PRId64 " is outside the %d classes",
                             rows->label[i], i, rows->num_labels);
    for (int64_t i = 0; rows->client && i < rows->n_rows; i++)
        if (rows->client[i] < 0 || rows->client[i] >= rows->n_clients)
            return WEFT_FAIL(err, WEFT_E_DATA,
                             "client %d of row %" PRId64 " is outside the %d clients",
                             rows->client[i], i, rows->n_clients);
    return WEFT_OK;
}

static weft_status check_kind(const weft_config *config, const weft_rows *rows, weft_error *err) {
    we_partition_kind kind = config->partition_kind;
    if (kind == WE_PARTITION_NATURAL) {
        if (rows->client) return WEFT_OK;
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "partition.kind=natural, but the rows carry no clients: set "
                         "data.client_column");
    }
    if (!rows->label && (kind == WE_PARTITION_DIRICHLET || kind == WE_PARTITION_PATHOLOGICAL))
        return WEFT_FAIL(
            err, WEFT_E_CONFIG,
            "partition.kind=%s needs classes, but the rows are for regression: use iid, "
            "quantity, shards or natural",
            weft_config_text(config, "partition.kind"));
    if (config->fl_num_clients > rows->n_rows)
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "fl.num_clients=%" PRId64 " is more than the %" PRId64
                         " training rows: lower it",
                         config->fl_num_clients, rows->n_rows);
    if (config->partition_min_rows > rows->n_rows / config->fl_num_clients)
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "partition.min_rows=%" PRId64 " for each of fl.num_clients=%" PRId64
                         " clients is more than the %" PRId64 " training rows: lower one of them",
                         config->partition_min_rows, config->fl_num_clients, rows->n_rows);
    return WEFT_OK;
}

/* Owners into the table by client. */
static weft_status tabulate(const split *s, weft_partition *p) {
    for (int32_t i = 0; i < s->n_rows; i++)
        if (s->owner[i] != NOBODY) p->offset[s->owner[i] + 1]++;
    for (int32_t c = 0; c < s->n_clients; c++) {
        if (p->offset[c + 1] < s->config->partition_min_rows)
            return WEFT_FAIL(&s->ctx->err, WEFT_E_CONFIG,
                             "client %d would hold %" PRId64 " rows, fewer than "
                             "partition.min_rows=%" PRId64 ": lower fl.num_clients%s",
                             c, p->offset[c + 1], s->config->partition_min_rows,
                             s->config->partition_kind == WE_PARTITION_PATHOLOGICAL
                                 ? " or partition.classes_per_client"
                                 : "");
        p->offset[c + 1] += p->offset[c];
    }
    /* Filled from the back, offset[c + 1] runs from the end of client c to its begin. */
    for (int32_t i = s->n_rows; i-- > 0;)
        if (s->owner[i] != NOBODY) p->row[--p->offset[s->owner[i] + 1]] = i;
    for (int32_t c = 0; c < s->n_clients; c++) p->offset[c] = p->offset[c + 1];
    p->offset[s->n_clients] = 0;
    for (int32_t i = 0; i < s->n_rows; i++) p->offset[s->n_clients] += s->owner[i] != NOBODY;
    return WEFT_OK;
}

static weft_status build(split *s, weft_partition *p) {
    static weft_status (*const kinds[])(split *) = {
        [WE_PARTITION_IID] = split_iid,
        [WE_PARTITION_DIRICHLET] = split_dirichlet,
        [WE_PARTITION_PATHOLOGICAL] = split_pathological,
        [WE_PARTITION_SHARDS] = split_shards,
        [WE_PARTITION_QUANTITY] = split_quantity,
        [WE_PARTITION_NATURAL] = split_natural,
    };
    WEFT_TRY(check_rows(s->rows, &s->ctx->err));
    WEFT_TRY(check_kind(s->config, s->rows, &s->ctx->err));
    s->n_rows = (int32_t)s->rows->n_rows;
    s->n_clients = (int32_t)s->config->fl_num_clients;
    WEFT_TRY(take(s, &s->owner, (size_t)s->n_rows, sizeof *s->owner));
    WEFT_TRY(take(s, &s->order, (size_t)s->n_rows, sizeof *s->order));
    WEFT_TRY(kinds[s->config->partition_kind](s));
    WEFT_TRY(take(s, &p->offset, (size_t)s->n_clients + 1, sizeof *p->offset));
    WEFT_TRY(take(s, &p->row, (size_t)s->n_rows, sizeof *p->row));
    p->n_clients = s->n_clients;
    return tabulate(s, p);
}

weft_status weft_partition_build(weft_partition **out, const weft_config *config,
                                 const weft_rows *rows, weft_error *err) {
    wk_ctx ctx;
    wk_ctx_init(&ctx, NULL);
    void *memory = NULL;
    split s = {.ctx = &ctx, .config = config, .rows = rows};
    weft_status st = wk_host_alloc(&ctx, &memory, 1, sizeof(owned_partition), "the partition");
    if (st == WEFT_OK) {
        owned_partition *owned = memory;
        owned->ctx = ctx;
        st = build(&s, &owned->partition);
        if (st == WEFT_OK)
            *out = &owned->partition;
        else
            weft_partition_free(&owned->partition);
    }
    void *const scratch[] = {s.owner, s.order, s.dealt, s.first, s.size, s.share, s.class_order};
    for (size_t i = 0; i < sizeof scratch / sizeof *scratch; i++) wk_host_free(&ctx, scratch[i]);
    if (st != WEFT_OK && err) *err = ctx.err;
    return st;
}

void weft_partition_free(weft_partition *partition) {
    if (!partition) return;
    wk_ctx ctx = ((owned_partition *)(void *)partition)->ctx;
    wk_host_free(&ctx, partition->offset);
    wk_host_free(&ctx, partition->row);
    wk_host_free(&ctx, partition);
}
