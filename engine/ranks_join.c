/* Whether the devices of all ranks sum by themselves. Every rank tells every other what its device
 * has for that, all come to the same answer, and where it is yes a first sum with a known result
 * brings up all connections while nothing depends on them. */
#include "engine/engine.h"

#include <stdio.h>
#include <string.h>

typedef struct offer {
    wk_comm_offer device;
    int32_t can;
    char why[200];                /* when it cannot */
    unsigned char id[WK_COMM_ID]; /* rank 0's, once all can */
} offer;

static bool same_device(const wk_comm_offer *a, const wk_comm_offer *b) {
    return strcmp(a->unit, b->unit) == 0 || strcmp(a->place, b->place) == 0;
}

/* True, or a line that says why not: the same on all ranks. */
static bool agree(const offer *all, int32_t n, char *why, size_t bytes) {
    for (int32_t r = 0; r < n; r++) {
        if (all[r].can) continue;
        (void)snprintf(why, bytes, "rank %d: %.199s", r, all[r].why);
        return false;
    }
    for (int32_t r = 1; r < n; r++) {
        if (strcmp(all[r].device.library, all[0].device.library) == 0) continue;
        (void)snprintf(why, bytes, "rank 0 has %.31s, rank %d has %.31s", all[0].device.library, r,
                       all[r].device.library);
        return false;
    }
    for (int32_t r = 1; r < n; r++)
        for (int32_t q = 0; q < r; q++) {
            if (!same_device(&all[q].device, &all[r].device)) continue;
            (void)snprintf(why, bytes, "ranks %d and %d share a GPU", q, r);
            return false;
        }
    return true;
}

/* What this rank has; a failure of the device is one of the job. */
static weft_status make_offer(weft_engine *e, offer *mine) {
    weft_status st = wk_comm_find(e->dev, &mine->device);
    mine->can = st == WEFT_OK;
    if (st == WEFT_E_UNSUPPORTED) {
        (void)snprintf(mine->why, sizeof mine->why, "%.199s", e->ctx.err.text);
        st = WEFT_OK;
    }
    return st;
}

/* A failure of the library, with a way around it. */
static weft_status advise(weft_engine *e, weft_status st) {
    char text[sizeof e->ctx.err.text];
    if (st != WEFT_E_COMM) return st;
    memcpy(text, e->ctx.err.text, sizeof text);
    return WEFT_FAIL(&e->ctx.err, st, "%.440s; run.sums=host does without", text);
}

/* A sum that is known: word i of rank r is (r + 1) times a number of i that overflows. */
static weft_status try_sum(weft_engine *e) {
    we_ranks *r = &e->ranks;
    const wk_tensor t = e->server.acc;
    const int64_t n = wk_numel(t);
    const uint64_t ranks = (uint64_t)r->size, own = (uint64_t)r->rank + 1,
                   all = ranks * (ranks + 1) / 2;
#define NUMBER(i) (((uint64_t)(i) + 1) * 0x9e3779b97f4a7c15u)
    for (int64_t i = 0; i < n; i++) r->words[i] = (int64_t)(own * NUMBER(i));
    WEFT_TRY(wk_upload(e->dev, t, r->words));
    WEFT_TRY(advise(e, wk_comm_sum(e->dev, t)));
    WEFT_TRY(wk_download(e->dev, r->words, t));
    for (int64_t i = 0; i < n; i++)
        if ((uint64_t)r->words[i] != all * NUMBER(i))
            return WEFT_FAIL(&e->ctx.err, WEFT_E_COMM,
                             "%s gives a wrong sum over %d ranks (word %lld of %lld); "
                             "run.sums=host does without",
                             r->sums, r->size, (long long)i, (long long)n);
#undef NUMBER
    return WEFT_OK;
}

static weft_status connect(weft_engine *e, offer *all) {
    we_ranks *r = &e->ranks;
    const double seconds = (double)e->cfg->run_comm_timeout;
    weft_status st = r->rank == 0 ? wk_comm_id(e->dev, all[0].id) : WEFT_OK;
    (void)snprintf(r->sums, sizeof r->sums, "%s", all[0].device.library);
    WEFT_TRY(we_ranks_meet(e, advise(e, st)));
    WEFT_TRY(we_ranks_allgather(e, &all[r->rank], sizeof *all, all));
    st = wk_comm_open(e->dev, r->rank, r->size, all[0].id, seconds);
    WEFT_TRY(we_ranks_meet(e, advise(e, st)));
    WEFT_TRY(we_ranks_meet(e, try_sum(e)));
    r->on_devices = true;
    return WEFT_OK;
}

static weft_status decide(weft_engine *e, offer *all) {
    we_ranks *r = &e->ranks;
    char why[240];
    const size_t told = strlen(r->sums);
    WEFT_TRY(we_ranks_meet(e, make_offer(e, &all[r->rank])));
    WEFT_TRY(we_ranks_allgather(e, &all[r->rank], sizeof *all, all));
    if (agree(all, r->size, why, sizeof why)) return connect(e, all);
    (void)snprintf(r->sums + told, sizeof r->sums - told, ": %s", why);
    return WEFT_OK;
}

weft_status we_ranks_join(weft_engine *e, weft_status st) {
    we_ranks *r = &e->ranks;
    void *memory = NULL;
    if (!r->comm || !r->comm->on_devices) return st;
    if (st == WEFT_OK && r->words && e->cfg->run_sums == WE_SUMS_AUTO)
        st = wk_host_alloc(&e->ctx, &memory, (size_t)r->size, sizeof(offer), "devices of ranks");
    st = we_ranks_meet(e, st);
    if (st == WEFT_OK && memory) st = decide(e, memory);
    wk_host_free(&e->ctx, memory);
    if (st == WEFT_OK && r->words)
        wk_log(&e->ctx, WK_LOG_INFO, "ranks", "sums of vectors: %s", r->sums);
    return st;
}
