#include "engine/state_pool.h"

#include <string.h>

size_t we_pool_memory(size_t bytes, int32_t n_records, int32_t n_slots) {
    return (size_t)n_slots * (bytes + sizeof(we_pool_slot) + sizeof(int32_t)) +
           (size_t)n_records * (sizeof(we_record) + sizeof(int32_t));
}

weft_status we_pool_open(we_pool *p, wk_dev *dev, const weft_hooks *hooks, size_t bytes,
                         int32_t n_records, int32_t n_slots) {
    wk_ctx *ctx = dev->ctx;
    memset(p, 0, sizeof *p);
    p->dev = dev, p->hooks = hooks, p->bytes = bytes;
    p->n_records = n_records, p->n_slots = n_slots;
    void *m = NULL;
    size_t all = 0;
    WEFT_TRY(wk_host_alloc(ctx, &m, (size_t)n_records, sizeof *p->record, "state records"));
    p->record = m;
    WEFT_TRY(wk_host_alloc(ctx, &m, (size_t)n_records, sizeof *p->free_record, "state records"));
    p->free_record = m;
    WEFT_TRY(wk_host_alloc(ctx, &m, (size_t)n_slots, sizeof *p->slot, "state pool slots"));
    p->slot = m;
    WEFT_TRY(wk_host_alloc(ctx, &m, (size_t)n_slots, sizeof *p->moving, "state pool slots"));
    p->moving = m;
    WEFT_TRY(wk_mul_size(ctx, (size_t)n_slots, bytes, &all));
    WEFT_TRY(wk_pinned_alloc(dev, &m, all, "the client state pool"));
    p->memory = m;
    for (int32_t i = n_records - 1; i >= 0; i--) p->free_record[p->n_free++] = i;
    p->newest = p->oldest = p->free_slot = -1;
    for (int32_t i = n_slots - 1; i >= 0; i--) {
        p->slot[i] = (we_pool_slot){.record = -1, .newer = -1, .older = p->free_slot};
        p->free_slot = i;
    }
    return WEFT_OK;
}

void we_pool_close(we_pool *p) {
    if (!p->dev) return;
    wk_ctx *ctx = p->dev->ctx;
    wk_pinned_free(p->dev, p->memory);
    wk_host_free(ctx, p->moving);
    wk_host_free(ctx, p->slot);
    wk_host_free(ctx, p->free_record);
    wk_host_free(ctx, p->record);
    memset(p, 0, sizeof *p);
}

static void *memory_of(const we_pool *p, int32_t slot) {
    return p->memory + (size_t)slot * p->bytes;
}

/* ---- the order of use ---- */

static void unlink_slot(we_pool *p, int32_t i) {
    const we_pool_slot *s = &p->slot[i];
    *(s->newer >= 0 ? &p->slot[s->newer].older : &p->newest) = s->older;
    *(s->older >= 0 ? &p->slot[s->older].newer : &p->oldest) = s->newer;
}

static void link_newest(we_pool *p, int32_t i) {
    p->slot[i].newer = -1, p->slot[i].older = p->newest;
    *(p->newest >= 0 ? &p->slot[p->newest].newer : &p->oldest) = i;
    p->newest = i;
}

static void link_oldest(we_pool *p, int32_t i) {
    p->slot[i].older = -1, p->slot[i].newer = p->oldest;
    *(p->oldest >= 0 ? &p->slot[p->oldest].older : &p->newest) = i;
    p->oldest = i;
}

static void free_slot(we_pool *p, int32_t i) {
    p->slot[i] = (we_pool_slot){.record = -1, .newer = -1, .older = p->free_slot};
    p->free_slot = i;
}

static void set_moving(we_pool *p, int32_t i) {
    if (p->slot[i].moving) return;
    p->slot[i].moving = true;
    p->moving[p->n_moving++] = i;
}

/* The slot that would be used next; -1: all move. */
static int32_t next_slot(const we_pool *p) {
    if (p->free_slot >= 0) return p->free_slot;
    int32_t i = p->oldest;
    while (i >= 0 && p->slot[i].moving) i = p->slot[i].newer;
    return i;
}

/* ---- the store ---- */

static weft_status failed(we_pool *p, weft_status st, const weft_error *err) {
    weft_error *to = &p->dev->ctx->err;
    *to = *err;
    to->status = st;
    if (!err->text[0])
        return WEFT_FAIL(to, st, "the store of client states failed: %s", weft_status_str(st));
    return st;
}

static weft_status store(we_pool *p, int32_t record) {
    weft_error err = {0};
    if (!p->hooks->store_write)
        return WEFT_FAIL(&p->dev->ctx->err, WEFT_E_MEM,
                         "the client state pool has no memory left after more rounds than "
                         "fl.num_rounds, and there is no store for the rest");
    const weft_status st = p->hooks->store_write(
        p->hooks->ud, record, memory_of(p, p->record[record].slot), p->bytes, &err);
    if (st != WEFT_OK) return failed(p, st, &err);
    p->record[record].stored = true;
    p->writes++;
    return WEFT_OK;
}

/* A slot without a record, and out of every list. */
static weft_status take_slot(we_pool *p, int32_t *out) {
    const int32_t i = next_slot(p);
    if (i < 0)
        return WEFT_FAIL(&p->dev->ctx->err, WEFT_E_MEM,
                         "the client state pool has no memory left: all its %d slots move",
                         p->n_slots);
    if (i == p->free_slot) {
        p->free_slot = p->slot[i].older;
    } else {
        const int32_t record = p->slot[i].record;
        if (!p->record[record].stored) WEFT_TRY(store(p, record));
        p->record[record].slot = -1;
        unlink_slot(p, i);
    }
    *out = i;
    return WEFT_OK;
}

/* ---- records ---- */

weft_status we_pool_add(we_pool *p, int32_t *record, void **at) {
    int32_t i;
    if (p->n_free == 0)
        return WEFT_FAIL(&p->dev->ctx->err, WEFT_E_MEM,
                         "the client state pool has no memory left: all its %d records are used",
                         p->n_records);
    WEFT_TRY(take_slot(p, &i));
    const int32_t r = p->free_record[--p->n_free];
    p->record[r] = (we_record){.stamp = ++p->stamps, .slot = i};
    p->slot[i].record = r;
    link_newest(p, i);
    set_moving(p, i);
    *record = r;
    *at = memory_of(p, i);
    return WEFT_OK;
}

weft_status we_pool_get(we_pool *p, int32_t record, void **at) {
    we_record *r = &p->record[record];
    if (r->slot < 0) {
        int32_t i;
        weft_error err = {0};
        WEFT_TRY(take_slot(p, &i));
        const weft_status st =
            p->hooks->store_read(p->hooks->ud, record, memory_of(p, i), p->bytes, &err);
        if (st != WEFT_OK) {
            free_slot(p, i);
            return failed(p, st, &err);
        }
        p->reads++;
        p->slot[i].record = record;
        r->slot = i;
        /* The client now trains; this record is wanted again only if the round fails. */
        link_oldest(p, i);
    }
    set_moving(p, r->slot);
    *at = memory_of(p, r->slot);
    return WEFT_OK;
}

bool we_pool_is_quick(const we_pool *p, int32_t record) {
    if (record >= 0 && p->record[record].slot >= 0) return true;
    const int32_t i = next_slot(p);
    const bool has_room = i >= 0 && (p->slot[i].record < 0 || p->record[p->slot[i].record].stored);
    return has_room && record < 0;
}

void we_pool_drop(we_pool *p, int32_t record) {
    const int32_t i = p->record[record].slot;
    p->record[record] = (we_record){.slot = -1};
    p->free_record[p->n_free++] = record;
    if (i < 0) return;
    unlink_slot(p, i);
    p->slot[i].record = -1;
    if (!p->slot[i].moving) free_slot(p, i); /* else when its copy is done */
}

void we_pool_settled(we_pool *p) {
    for (int32_t k = 0; k < p->n_moving; k++) {
        const int32_t i = p->moving[k];
        p->slot[i].moving = false;
        if (p->slot[i].record < 0) free_slot(p, i);
    }
    p->n_moving = 0;
}
