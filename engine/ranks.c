#include "engine/ranks.h"

#include "engine/engine.h"

#include <stdio.h>
#include <string.h>

/* What a rank says at a meeting. */
typedef struct we_greeting {
    int32_t status;
    char text[300];
} we_greeting;

static weft_status take(wk_ctx *ctx, void *pointer, size_t count, size_t size) {
    void *p = NULL;
    WEFT_TRY(wk_host_alloc(ctx, &p, count, size, "exchange between ranks"));
    memcpy(pointer, &p, sizeof p); /* whatever the type of the field */
    return WEFT_OK;
}

weft_status we_ranks_open(we_ranks *r, wk_ctx *ctx, const weft_comm *comm) {
    memset(r, 0, sizeof *r);
    r->size = comm ? comm->size : 1, r->rank = comm ? comm->rank : 0;
    if (r->size < 1 || r->size > WEFT_MAX_RANKS || r->rank < 0 || r->rank >= r->size)
        return WEFT_FAIL(&ctx->err, WEFT_E_ARG, "rank %d of %d", r->rank, r->size);
    if (r->size == 1) return WEFT_OK;
    WEFT_TRY(take(ctx, &r->hall, (size_t)r->size, sizeof *r->hall));
    (void)snprintf(r->sums, sizeof r->sums, "through host memory (%.60s)", comm->name);
    r->comm = comm;
    return WEFT_OK;
}

weft_status we_ranks_describe(we_ranks *r, wk_ctx *ctx, int32_t cohort, int32_t at_home,
                              size_t item, int64_t adapter) {
    r->have_homes = at_home > 0;
    r->cap = (cohort + r->size - 1) / r->size;
    if (r->have_homes)
        r->cap = cohort < we_ranks_homes(r, at_home) ? cohort : we_ranks_homes(r, at_home);
    r->item = item;
    WEFT_TRY(take(ctx, &r->own_at, (size_t)r->cap, sizeof *r->own_at));
    WEFT_TRY(take(ctx, &r->own, (size_t)r->cap, sizeof *r->own));
    if (!r->comm) return WEFT_OK;
    WEFT_TRY(take(ctx, &r->rank_of, (size_t)cohort, sizeof *r->rank_of));
    WEFT_TRY(take(ctx, &r->cost, (size_t)cohort, sizeof *r->cost));
    WEFT_TRY(take(ctx, &r->order, (size_t)cohort, sizeof *r->order));
    WEFT_TRY(take(ctx, &r->send, (size_t)r->cap, item));
    WEFT_TRY(take(ctx, &r->all, (size_t)r->size * (size_t)r->cap, item));
    memset(r->send, 0, (size_t)r->cap * item);
    r->n_words = WK_SUM_WORDS * adapter;
    return take(ctx, &r->words, (size_t)r->n_words, sizeof *r->words);
}

uint64_t we_ranks_host_bytes(const we_ranks *r) {
    const uint64_t blocks = (uint64_t)r->size + 1; /* own and all */
    return (uint64_t)r->n_words * sizeof *r->words +
           (r->comm ? blocks * (uint64_t)r->cap * r->item : 0);
}

void we_ranks_fini(we_ranks *r, wk_ctx *ctx) {
    wk_host_free(ctx, r->own_at);
    wk_host_free(ctx, r->own);
    wk_host_free(ctx, r->rank_of);
    wk_host_free(ctx, r->cost);
    wk_host_free(ctx, r->order);
    wk_host_free(ctx, r->send);
    wk_host_free(ctx, r->all);
    wk_host_free(ctx, r->words);
    wk_host_free(ctx, r->hall);
}

/* ---- the deal ---- */

/* Tokens that a client trains in this round, about. */
static int64_t cost_of(const weft_engine *e, int32_t client) {
    const weft_partition *part = e->partition;
    const int64_t first = part->offset[client], rows = part->offset[client + 1] - first;
    const int64_t batch = e->cfg->client_batch_size < rows ? e->cfg->client_batch_size : rows;
    int64_t tokens = 0;
    for (int64_t i = 0; i < rows; i++) {
        const int32_t row = part->row[first + i];
        tokens += e->train->offset[row + 1] - e->train->offset[row];
    }
    return (int64_t)((double)tokens / (double)rows * (double)(batch * we_round_steps(e, rows)));
}

/* Places by falling cost, equal ones by place: a merge sort, bottom up, through a spare array. */
static void sort_by_cost(const int64_t *cost, int32_t *order, int32_t *spare, int32_t n) {
    for (int32_t i = 0; i < n; i++) order[i] = i;
    for (int32_t run = 1; run < n; run *= 2) {
        for (int32_t first = 0; first < n; first += 2 * run) {
            const int32_t middle = first + run < n ? first + run : n,
                          end = middle + run < n ? middle + run : n;
            for (int32_t i = first, a = first, b = middle; i < end; i++)
                spare[i] = b == end || (a < middle && cost[order[a]] >= cost[order[b]])
                               ? order[a++]
                               : order[b++];
        }
        memcpy(order, spare, (size_t)n * sizeof *order);
    }
}

/* The rank with the least to do among those that may have more. */
static int32_t idlest(const int64_t *load, const int32_t *count, int32_t size, int32_t cap) {
    int32_t best = -1;
    for (int32_t r = 0; r < size; r++)
        if (count[r] < cap && (best < 0 || load[r] < load[best])) best = r;
    return best;
}

/* By turns, so that every rank has a share of any stretch of clients. */
static int32_t home_of(const we_ranks *r, int32_t client) {
    return client % r->size;
}

bool we_ranks_is_home(const we_ranks *r, int32_t client) {
    return home_of(r, client) == r->rank;
}

int32_t we_ranks_homes(const we_ranks *r, int32_t n) {
    return n / r->size + (n % r->size > 0);
}

static void deal(weft_engine *e) {
    we_ranks *r = &e->ranks;
    if (r->have_homes) {
        for (int32_t i = 0; i < e->cohort_size; i++) r->rank_of[i] = home_of(r, e->cohort[i]);
        return;
    }
    int64_t load[WEFT_MAX_RANKS] = {0};
    int32_t count[WEFT_MAX_RANKS] = {0};
    for (int32_t i = 0; i < e->cohort_size; i++) r->cost[i] = cost_of(e, e->cohort[i]);
    sort_by_cost(r->cost, r->order, r->rank_of, e->cohort_size);
    for (int32_t i = 0; i < e->cohort_size; i++) {
        const int32_t at = r->order[i], to = idlest(load, count, r->size, r->cap);
        r->rank_of[at] = to;
        load[to] += r->cost[at];
        count[to]++;
    }
}

void we_ranks_deal(weft_engine *e) {
    we_ranks *r = &e->ranks;
    if (r->comm) deal(e);
    r->n_own = 0;
    for (int32_t i = 0; i < e->cohort_size; i++) {
        if (r->comm && r->rank_of[i] != r->rank) continue;
        r->own_at[r->n_own] = i;
        r->own[r->n_own++] = e->cohort[i];
    }
}

/* ---- exchanges ---- */

/* The first failure; a rank that only stopped comes last, since it may have stopped over it. */
static int32_t who_failed(const we_greeting *all, int32_t n) {
    int32_t first = -1;
    for (int32_t r = 0; r < n; r++) {
        if (all[r].status == WEFT_OK) continue;
        if (all[r].status != WEFT_E_STOPPED) return r;
        if (first < 0) first = r;
    }
    return first;
}

/* The exchange itself failed: no more meetings. */
static weft_status lost(weft_engine *e, weft_status st, const weft_error *err) {
    e->ranks.parted = true;
    e->ctx.err = *err;
    return e->ctx.err.status = st;
}

weft_status we_ranks_meet(weft_engine *e, weft_status st) {
    we_ranks *r = &e->ranks;
    we_greeting mine = {.status = (int32_t)st}, *all = r->hall;
    weft_error err = {0};
    if (!r->comm || r->parted) return st;
    if (st != WEFT_OK) {
        (void)snprintf(mine.text, sizeof mine.text, "%.*s", (int)sizeof mine.text - 1,
                       e->ctx.err.text);
        r->parted = true;
    }
    const weft_status met = r->comm->allgather(r->comm->ud, &mine, sizeof mine, all, &err);
    if (met != WEFT_OK) return st != WEFT_OK ? st : lost(e, met, &err);
    const int32_t who = who_failed(all, r->size);
    /* Whoever failed itself says so; who only stopped hears of a failure elsewhere. */
    if (who < 0 || (st != WEFT_OK && st != WEFT_E_STOPPED)) return st;
    if (all[who].status == (int32_t)st) return st;
    r->parted = true;
    all[who].text[sizeof all[who].text - 1] = '\0';
    return WEFT_FAIL(&e->ctx.err, (weft_status)all[who].status, "rank %d: %s", who, all[who].text);
}

weft_status we_ranks_allgather(weft_engine *e, const void *in, size_t bytes, void *out) {
    const weft_comm *comm = e->ranks.comm;
    weft_error err = {0};
    if (!comm) return WEFT_OK;
    WEFT_TRY(we_ranks_meet(e, WEFT_OK));
    const weft_status st = comm->allgather(comm->ud, in, bytes, out, &err);
    return st == WEFT_OK ? st : lost(e, st, &err);
}

weft_status we_ranks_gather(weft_engine *e, const void *own, size_t bytes, void *all) {
    we_ranks *r = &e->ranks;
    int32_t taken[WEFT_MAX_RANKS] = {0};
    if (!r->comm) {
        if (own != all) memcpy(all, own, (size_t)r->n_own * bytes);
        return WEFT_OK;
    }
    const size_t block = (size_t)r->cap * bytes;
    memcpy(r->send, own, (size_t)r->n_own * bytes);
    WEFT_TRY(we_ranks_allgather(e, r->send, block, r->all));
    for (int32_t i = 0; i < e->cohort_size; i++) {
        const int32_t from = r->rank_of[i];
        memcpy((unsigned char *)all + (size_t)i * bytes,
               r->all + (size_t)from * block + (size_t)taken[from]++ * bytes, bytes);
    }
    return WEFT_OK;
}

weft_status we_ranks_sum(weft_engine *e, int64_t *words, int64_t n) {
    we_ranks *r = &e->ranks;
    weft_error err = {0};
    if (!r->comm) return WEFT_OK;
    WEFT_TRY(we_ranks_meet(e, WEFT_OK));
    const weft_status st = r->comm->sum(r->comm->ud, words, n, &err);
    return st == WEFT_OK ? st : lost(e, st, &err);
}

/* The meeting is when all are ready, so that what a device waits for then is the others' sum. */
static weft_status sum_on_devices(weft_engine *e, wk_tensor t) {
    uint64_t place = 0;
    WEFT_TRY(wk_post(e->dev, (wk_tensor){0}, &place));
    WEFT_TRY(wk_collect(e->dev, place, NULL, 0));
    WEFT_TRY(we_ranks_meet(e, WEFT_OK));
    return wk_comm_sum(e->dev, t);
}

weft_status we_ranks_sum_tensor(weft_engine *e, wk_tensor t) {
    we_ranks *r = &e->ranks;
    if (!r->comm) return WEFT_OK;
    if (e->dev->dry) return we_ranks_meet(e, WEFT_OK); /* nothing to add up */
    if (r->on_devices) return sum_on_devices(e, t);
    WEFT_TRY(wk_download(e->dev, r->words, t));
    WEFT_TRY(we_ranks_sum(e, r->words, wk_numel(t)));
    return wk_upload(e->dev, t, r->words);
}
