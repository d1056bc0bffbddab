/* The optimizer state of clients between their visits (client.optimizer_state=keep): moments and
 * step count of every client that has trained, one record each in a host pool (state_pool.h). A
 * client that has not trained has no record: its state is zero.
 *
 * Records cross beside the computation. When a round takes more than one wave, the moments of the
 * slots have two banks: while wave k trains in one, the state of wave k-1 leaves the other, slot by
 * slot, and that of wave k+1 takes its place. A slot that still holds what a client needs is used
 * as it is.
 *
 * A round is all or nothing: what its clients learn goes into new records, which replace the old
 * ones when the round is complete. A client whose update is thrown away keeps the state it came
 * with. */
#ifndef WE_PAGER_H
#define WE_PAGER_H

#include "engine/slots.h"
#include "engine/state_pool.h"

/* What a slot of a bank holds. */
typedef struct we_place {
    uint64_t stamp; /* a copy of the record with this stamp; 0: of none */
    int64_t steps;  /* of its client, after the visit */
    int32_t client;
    bool leaves; /* trained, and not yet in a record */
} we_place;

typedef struct we_move {
    int32_t place, client;
    bool leaving;
} we_move;

typedef struct we_pager {
    /* Set by describe. */
    int32_t banks; /* of the slots' moments; 0: the state of clients is not kept */
    int32_t clients, cohort;
    int32_t records, pool_slots;
    size_t record_bytes;
    /* Set by open. */
    bool is_open;
    we_slots *slots;
    we_pool pool;
    int32_t *kept; /* (clients) the client's record; -1: it has not trained */
    struct we_fresh {
        int32_t client, record;
    } * fresh; /* (cohort) written in this round */
    int32_t n_fresh;
    we_place *place; /* (banks, slots) */
    we_move *queue;  /* (2 * slots) in order; [done, n_queue) are still to do */
    int32_t n_queue, done;
    bool moved;      /* copies were ordered since the last settle */
    bool unfinished; /* a round began and was not committed */
    bool ahead;      /* the first wave of the next round is in the queue, or there */
    bool begun;      /* this round's first wave has trained */
    weft_swap swap;  /* in, out, stayed: since open */
} we_pager;

/* What a pager has to do with. */
typedef struct we_pager_load {
    int32_t clients; /* of the job, */
    int32_t own;     /* and of them such as train here, at most */
    int32_t cohort;  /* of these in one round, at most */
    int32_t slots;
    int64_t adapter; /* numbers */
} we_pager_load;

/* How much is needed; touches no memory. WEFT_E_CONFIG: more records than the pool holds, and the
 * hooks have no store. */
WEFT_NODISCARD weft_status we_pager_describe(we_pager *p, wk_ctx *ctx, const weft_config *cfg,
                                             const weft_hooks *hooks, const we_pager_load *load);
weft_swap we_pager_swap(const we_pager *p); /* all moves since open */
/* Pool and tables, in bytes. */
uint64_t we_pager_host_bytes(const we_pager *p);
/* Not for plans: until it is open, a pager does nothing and all clients are new. The slots are
 * placed and outlive it. */
WEFT_NODISCARD weft_status we_pager_open(we_pager *p, wk_dev *dev, const weft_hooks *hooks,
                                         we_slots *slots);
void we_pager_close(we_pager *p); /* fine on a zeroed pager */

/* A round, in this order; nothing happens when nothing is kept.
 *   begin;  per wave: wave, (training, with pump after each step), trained, wave_end;
 *   round_end;  commit, once the round cannot fail any more. */

/* Undoes what an earlier round left unfinished. */
WEFT_NODISCARD weft_status we_pager_begin(we_pager *p);
/* clients[0..n) are about to train, in slots->bank; next[0..n_next) follow in this round. Waits for
 * their state, and orders the exchange in the other bank. */
WEFT_NODISCARD weft_status we_pager_wave(we_pager *p, const int32_t *clients, int32_t n,
                                         const int32_t *next, int32_t n_next);
/* Steps that the client has behind it; 0: its moments are zero, and it is not in the slot. */
int64_t we_pager_steps(const we_pager *p, int32_t client);
/* A share of the store's reads and writes that the exchange needs, so that they are done after
 * `left` more calls; what needs none was ordered before. */
WEFT_NODISCARD weft_status we_pager_pump(we_pager *p, int64_t left);
/* The visit in a slot is over; `lost`: its result is thrown away. */
void we_pager_trained(we_pager *p, int32_t slot, int64_t steps, bool lost);
WEFT_NODISCARD weft_status we_pager_wave_end(we_pager *p);
/* Orders the state of the last wave out. */
WEFT_NODISCARD weft_status we_pager_round_end(we_pager *p);
/* The round counts. next[0..n_next): the first wave of the next one, whose state sets out; when
 * that fails the next round starts from scratch and tells. */
void we_pager_commit(we_pager *p, const int32_t *next, int32_t n_next);

/* ---- checkpoints, between rounds ---- */

/* Clients that have a record; 0 when nothing is kept. */
int32_t we_pager_count(const we_pager *p);
/* The state of a client that has one (we_pager_steps > 0), in memory until the next call here. */
WEFT_NODISCARD weft_status we_pager_look(we_pager *p, int32_t client, const void **moments);
/* Gives a client its state; before the first round, each client once. The caller fills *moments
 * before the next call here. */
WEFT_NODISCARD weft_status we_pager_give(we_pager *p, int32_t client, int64_t steps,
                                         void **moments);

#endif
