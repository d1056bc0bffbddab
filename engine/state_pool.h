/* Records of one size: the optimizer state of clients that are not training. Pinned host memory
 * holds as many as it has slots for; when it is full, the record used longest ago goes to the
 * host's store (weft_hooks.store_write) and comes back when it is wanted. Which client a record
 * belongs to and when the device copies it is the pager's business (pager.h). */
#ifndef WE_STATE_POOL_H
#define WE_STATE_POOL_H

#include "engine/weft.h"
#include "kernels/dev.h"

typedef struct we_record {
    uint64_t stamp; /* no other record of this pool ever had it; 0: not in use */
    int64_t steps;  /* its owner's note: optimizer steps of the client so far */
    int32_t slot;   /* where it lies in memory; -1: in the store only */
    bool stored;    /* the store holds it */
} we_record;

typedef struct we_pool_slot {
    int32_t record;       /* -1: none */
    int32_t newer, older; /* by last use; of a free slot `older` is the next free one */
    bool moving;          /* a copy to or from it may be under way: it may not be reused */
} we_pool_slot;

typedef struct we_pool {
    wk_dev *dev;
    const weft_hooks *hooks;
    size_t bytes; /* of a record */
    int32_t n_records, n_slots;
    we_record *record;    /* (n_records) */
    int32_t *free_record; /* (n_records) stack */
    int32_t n_free;       /* on it */
    we_pool_slot *slot;   /* (n_slots) */
    int32_t *moving;      /* (n_slots) those that move */
    int32_t n_moving;
    int32_t newest, oldest, free_slot; /* -1: none */
    unsigned char *memory;             /* (n_slots, bytes), pinned */
    uint64_t stamps;                   /* given out */
    uint64_t reads, writes;            /* of the store */
} we_pool;

/* Host memory that open takes, tables included. */
size_t we_pool_memory(size_t bytes, int32_t n_records, int32_t n_slots);
/* With fewer slots than records the hooks need a store. On failure close it. */
WEFT_NODISCARD weft_status we_pool_open(we_pool *p, wk_dev *dev, const weft_hooks *hooks,
                                        size_t bytes, int32_t n_records, int32_t n_slots);
void we_pool_close(we_pool *p); /* fine on a zeroed pool */

/* A new record with undefined contents, and an old one: in memory at *at, whose slot then moves
 * (until settled). Both may write another record to the store, get may read: WEFT_E_OUTPUT,
 * WEFT_E_DATA as the store says, and nothing has changed. */
WEFT_NODISCARD weft_status we_pool_add(we_pool *p, int32_t *record, void **at);
WEFT_NODISCARD weft_status we_pool_get(we_pool *p, int32_t record, void **at);
/* Whether add (record -1) or get would do without the store. */
bool we_pool_is_quick(const we_pool *p, int32_t record);
void we_pool_drop(we_pool *p, int32_t record);
/* All copies ordered so far are done. */
void we_pool_settled(we_pool *p);

#endif
