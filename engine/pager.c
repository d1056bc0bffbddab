#include "engine/pager.h"

#include <string.h>

#define MIB            ((uint64_t)1 << 20)
#define POOL_AUTO_MIB  1024 /* engine.state_pool_mib=-1: no more than this */
#define RECORD_ALIGN   256
#define ROUNDS_COUNTED 1000000000 /* so that rounds times clients cannot overflow */

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

weft_status we_pager_describe(we_pager *p, wk_ctx *ctx, const weft_config *cfg,
                              const weft_hooks *hooks, const we_pager_load *load) {
    const int32_t cohort = load->cohort, slots = load->slots;
    memset(p, 0, sizeof *p);
    if (cfg->client_optimizer_state != WE_STATE_KEEP) return WEFT_OK;
    p->clients = load->clients, p->cohort = cohort;
    p->banks = cohort > slots ? 2 : 1;
    const size_t moments = cfg->client_optimizer == WE_CLIENT_ADAMW ? 2 : 1;
    p->record_bytes = (moments * (size_t)load->adapter * sizeof(float) + RECORD_ALIGN - 1) /
                      RECORD_ALIGN * RECORD_ALIGN;
    /* One of every client that can have trained, and the round's new ones beside them. */
    int64_t trained = smaller(smaller(cfg->fl_num_rounds, ROUNDS_COUNTED) * cohort, load->own);
    int64_t needed = trained + cohort, records = (int64_t)load->own + cohort;
    uint64_t mib =
        cfg->engine_state_pool_mib < 0 ? POOL_AUTO_MIB : (uint64_t)cfg->engine_state_pool_mib;
    uint64_t held = mib * MIB / p->record_bytes;
    if (records > INT32_MAX)
        return WEFT_FAIL(&ctx->err, WEFT_E_CONFIG,
                         "client.optimizer_state=keep takes at most %d clients", INT32_MAX / 2);
    p->records = (int32_t)records;
    /* Two waves may move at a time. */
    int64_t least = smaller(2 * (int64_t)slots, needed);
    p->pool_slots = (int32_t)(held < (uint64_t)needed ? (int64_t)held : needed);
    if (p->pool_slots < least) p->pool_slots = (int32_t)least;
    if (p->pool_slots < needed && !hooks->store_write)
        return WEFT_FAIL(&ctx->err, WEFT_E_CONFIG,
                         "engine.state_pool_mib holds the state of %d clients, %d are needed, and "
                         "there is no store for the others: set it to %llu",
                         p->pool_slots, (int)needed,
                         (unsigned long long)((uint64_t)needed * p->record_bytes / MIB + 1));
    return WEFT_OK;
}

uint64_t we_pager_host_bytes(const we_pager *p) {
    if (!p->banks) return 0;
    return we_pool_memory(p->record_bytes, p->records, p->pool_slots) +
           (uint64_t)p->clients * sizeof *p->kept + (uint64_t)p->cohort * sizeof *p->fresh;
}

weft_swap we_pager_swap(const we_pager *p) {
    weft_swap swap = p->swap;
    swap.record_bytes = p->record_bytes;
    swap.read = p->pool.reads, swap.written = p->pool.writes;
    return swap;
}

weft_status we_pager_open(we_pager *p, wk_dev *dev, const weft_hooks *hooks, we_slots *slots) {
    if (!p->banks) return WEFT_OK;
    void *m = NULL;
    const size_t k = (size_t)slots->n;
    p->slots = slots;
    WEFT_TRY(we_pool_open(&p->pool, dev, hooks, p->record_bytes, p->records, p->pool_slots));
    WEFT_TRY(wk_host_alloc(dev->ctx, &m, (size_t)p->clients, sizeof *p->kept, "client records"));
    p->kept = m;
    WEFT_TRY(wk_host_alloc(dev->ctx, &m, (size_t)p->cohort, sizeof *p->fresh, "new records"));
    p->fresh = m;
    WEFT_TRY(wk_host_alloc(dev->ctx, &m, (size_t)p->banks * k, sizeof *p->place, "slot contents"));
    p->place = m;
    WEFT_TRY(wk_host_alloc(dev->ctx, &m, 2 * k, sizeof *p->queue, "state moves"));
    p->queue = m;
    for (int32_t c = 0; c < p->clients; c++) p->kept[c] = -1;
    p->is_open = true;
    return WEFT_OK;
}

void we_pager_close(we_pager *p) {
    if (!p->pool.dev) return;
    wk_ctx *ctx = p->pool.dev->ctx;
    wk_host_free(ctx, p->queue);
    wk_host_free(ctx, p->place);
    wk_host_free(ctx, p->fresh);
    wk_host_free(ctx, p->kept);
    we_pool_close(&p->pool);
    memset(p, 0, sizeof *p);
}

/* ---- moves ---- */

static we_place *places(const we_pager *p, int32_t bank) {
    return p->place + (int64_t)bank * p->slots->n;
}

static void enqueue(we_pager *p, int32_t place, int32_t client, bool leaving) {
    if (p->done == p->n_queue) p->done = p->n_queue = 0;
    p->queue[p->n_queue++] = (we_move){place, client, leaving};
}

/* Everything in a bank that has to leave it, and clients[0..n) into it. Slot by slot, so that both
 * directions of the bus are in use. */
static void enqueue_exchange(we_pager *p, int32_t bank, const int32_t *clients, int32_t n) {
    const int32_t first = bank * p->slots->n;
    for (int32_t i = 0; i < p->slots->n; i++) {
        we_place *at = &p->place[first + i];
        if (at->leaves) enqueue(p, first + i, at->client, true);
        at->leaves = false;
        if (i < n) enqueue(p, first + i, clients[i], false);
    }
}

/* The two moments of a place, one after the other in a record. */
static weft_status copy_place(we_pager *p, int32_t place, unsigned char *record, bool leaving) {
    wk_dev *dev = p->pool.dev;
    const wk_tensor moment[2] = {p->slots->m, p->slots->v};
    p->moved = true;
    for (int i = 0; i < 2; i++) {
        if (!wk_given(moment[i])) continue;
        wk_tensor row = wk_rows(moment[i], place, 1);
        WEFT_TRY(leaving ? wk_fetch(dev, record, row) : wk_send(dev, row, record));
        record += (size_t)wk_numel(row) * sizeof(float);
    }
    return WEFT_OK;
}

static weft_status leave(we_pager *p, const we_move *move) {
    we_place *at = &p->place[move->place];
    void *memory;
    int32_t record;
    WEFT_TRY(we_pool_add(&p->pool, &record, &memory));
    p->fresh[p->n_fresh++] = (struct we_fresh){move->client, record};
    p->pool.record[record].steps = at->steps;
    at->stamp = p->pool.record[record].stamp;
    p->swap.out++;
    return copy_place(p, move->place, memory, true);
}

static weft_status enter(we_pager *p, const we_move *move) {
    we_place *at = &p->place[move->place];
    const int32_t record = p->kept[move->client];
    void *memory;
    if (record < 0) return WEFT_OK; /* the slots zero it themselves */
    if (at->stamp == p->pool.record[record].stamp) {
        p->swap.stayed++;
        return WEFT_OK;
    }
    WEFT_TRY(we_pool_get(&p->pool, record, &memory));
    at->stamp = p->pool.record[record].stamp;
    p->swap.in++;
    return copy_place(p, move->place, memory, false);
}

static bool is_quick(const we_pager *p, const we_move *move) {
    if (move->leaving) return we_pool_is_quick(&p->pool, -1);
    const int32_t record = p->kept[move->client];
    return record < 0 || p->place[move->place].stamp == p->pool.record[record].stamp ||
           we_pool_is_quick(&p->pool, record);
}

/* Moves in order, as far as `slow` of them allow that need the store. */
static weft_status go_on(we_pager *p, int64_t slow) {
    for (; p->done < p->n_queue; p->done++) {
        const we_move *move = &p->queue[p->done];
        if (!is_quick(p, move) && slow-- <= 0) return WEFT_OK;
        WEFT_TRY(move->leaving ? leave(p, move) : enter(p, move));
    }
    return WEFT_OK;
}

static weft_status finish_queue(we_pager *p) {
    return go_on(p, p->n_queue);
}

/* What was sent is there for the ops that follow, and pinned memory is the host's again. */
static weft_status settle(we_pager *p) {
    uint64_t ticket;
    if (!p->moved) return WEFT_OK;
    wk_range(p->pool.dev, "client state");
    WEFT_TRY(wk_meet(p->pool.dev));
    WEFT_TRY(wk_post(p->pool.dev, (wk_tensor){0}, &ticket));
    WEFT_TRY(wk_collect(p->pool.dev, ticket, NULL, 0));
    wk_range(p->pool.dev, NULL);
    we_pool_settled(&p->pool);
    p->moved = false;
    return WEFT_OK;
}

/* ---- a round ---- */

/* Back to the last complete round. */
static weft_status undo(we_pager *p) {
    if (!p->unfinished) return WEFT_OK;
    WEFT_TRY(settle(p));
    while (p->n_fresh > 0) we_pool_drop(&p->pool, p->fresh[--p->n_fresh].record);
    memset(p->place, 0, (size_t)p->banks * (size_t)p->slots->n * sizeof *p->place);
    p->done = p->n_queue = 0;
    p->ahead = p->unfinished = false;
    return WEFT_OK;
}

weft_status we_pager_begin(we_pager *p) {
    if (!p->is_open) return WEFT_OK;
    WEFT_TRY(undo(p));
    if (!p->moved)
        we_pool_settled(&p->pool); /* what a checkpoint looked at or gave moves nothing */
    p->unfinished = true;
    p->begun = false;
    return WEFT_OK;
}

weft_status we_pager_wave(we_pager *p, const int32_t *clients, int32_t n, const int32_t *next,
                          int32_t n_next) {
    if (!p->is_open) return WEFT_OK;
    const int32_t bank = p->slots->bank;
    if (!p->begun && !p->ahead) enqueue_exchange(p, bank, clients, n);
    p->ahead = false, p->begun = true;
    WEFT_TRY(finish_queue(p));
    WEFT_TRY(settle(p));
    for (int32_t i = 0; i < n; i++) places(p, bank)[i] = (we_place){.client = clients[i]};
    if (p->banks == 2) enqueue_exchange(p, 1 - bank, next, n_next);
    return go_on(p, 0);
}

int64_t we_pager_steps(const we_pager *p, int32_t client) {
    return p->is_open && p->kept[client] >= 0 ? p->pool.record[p->kept[client]].steps : 0;
}

weft_status we_pager_pump(we_pager *p, int64_t left) {
    if (!p->is_open) return WEFT_OK;
    const int64_t moves = p->n_queue - p->done;
    return go_on(p, left > 0 ? (moves + left - 1) / left : moves);
}

void we_pager_trained(we_pager *p, int32_t slot, int64_t steps, bool lost) {
    if (!p->is_open) return;
    we_place *at = &places(p, p->slots->bank)[slot];
    at->steps = steps;
    at->leaves = !lost;
}

weft_status we_pager_wave_end(we_pager *p) {
    if (!p->is_open) return WEFT_OK;
    WEFT_TRY(finish_queue(p));
    if (p->banks == 2) p->slots->bank = 1 - p->slots->bank;
    return WEFT_OK;
}

weft_status we_pager_round_end(we_pager *p) {
    if (!p->is_open) return WEFT_OK;
    WEFT_TRY(settle(p)); /* of the exchange beside the last wave, so that two waves move at most */
    for (int32_t bank = 0; bank < p->banks; bank++) enqueue_exchange(p, bank, NULL, 0);
    return finish_queue(p);
}

void we_pager_commit(we_pager *p, const int32_t *next, int32_t n_next) {
    if (!p->is_open) return;
    for (; p->n_fresh > 0; p->n_fresh--) {
        const struct we_fresh *f = &p->fresh[p->n_fresh - 1];
        if (p->kept[f->client] >= 0) we_pool_drop(&p->pool, p->kept[f->client]);
        p->kept[f->client] = f->record;
    }
    enqueue_exchange(p, p->slots->bank, next, n_next);
    p->ahead = true;
    p->unfinished = go_on(p, 0) != WEFT_OK;
}

/* ---- checkpoints ---- */

int32_t we_pager_count(const we_pager *p) {
    int32_t n = 0;
    for (int32_t c = 0; p->is_open && c < p->clients; c++) n += p->kept[c] >= 0;
    return n;
}

weft_status we_pager_look(we_pager *p, int32_t client, const void **moments) {
    void *memory;
    WEFT_TRY(undo(p));
    WEFT_TRY(settle(p)); /* of what is on its way to the next round; it has arrived then */
    we_pool_settled(&p->pool);
    WEFT_TRY(we_pool_get(&p->pool, p->kept[client], &memory));
    *moments = memory;
    return WEFT_OK;
}

weft_status we_pager_give(we_pager *p, int32_t client, int64_t steps, void **moments) {
    int32_t record;
    we_pool_settled(&p->pool);
    WEFT_TRY(we_pool_add(&p->pool, &record, moments));
    p->pool.record[record].steps = steps;
    p->kept[client] = record;
    return WEFT_OK;
}
