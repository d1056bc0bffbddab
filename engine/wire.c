/* The ledger: what a deployment of the round would send. Every client receives the global adapter
 * and those whose update is used send it; at each check of the variance those that answer send
 * their state and hear how it goes on.
 *
 * In a star all of it goes through the server. In a ring (ledger.topology=allreduce) states and
 * updates are summed by an all-reduce of chunks, in which a client sends and receives all chunks
 * but one, twice (Patarasuk, Yuan 2009): 2 (C - 1) sizes in all. Everybody then knows the verdict
 * and the new adapter, which only clients that come in anew have to be sent. */
#include "engine/engine.h"

static const uint64_t WORD = sizeof(float);

/* Clients whose global adapter is that before the last round too; the cohort ascends. */
static bool was_there(const int32_t *before, int32_t n, int32_t client) {
    int32_t low = 0, high = n;
    while (low < high) {
        const int32_t middle = (low + high) / 2;
        if (before[middle] < client)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && before[low] == client;
}

static uint64_t chunk(uint64_t words, int32_t n, int32_t i) {
    return words / (uint64_t)n + ((uint64_t)(i % n) < words % (uint64_t)n);
}

/* Bytes that the i-th of n clients in a ring sends: it begins with its own chunk and goes down, so
 * that it never sends the next one's in the first half, nor the one after in the second. */
static uint64_t ring_sent(uint64_t words, int32_t n, int32_t i) {
    return n < 2 ? 0 : WORD * (2 * words - chunk(words, n, i + 1) - chunk(words, n, i + 2));
}

static uint64_t ring_received(uint64_t words, int32_t n, int32_t i) {
    return ring_sent(words, n, i + n - 1); /* what its neighbour sends */
}

static void count_ring(const weft_engine *e, weft_round_report *r, uint64_t adapter) {
    int32_t alive = 0, at = 0;
    for (int32_t i = 0; i < r->n_clients; i++) alive += !e->reports[i].skipped;
    for (int32_t i = 0; i < r->n_clients; i++) {
        weft_wire *w = &e->reports[i].wire;
        if (e->reports[i].skipped) continue;
        w->model_up += ring_sent(adapter / WORD, alive, at);
        w->model_down += ring_received(adapter / WORD, alive, at++);
    }
    for (int32_t check = 0; check < r->n_checks; check++) {
        const uint64_t words = we_fda_state_bytes(&e->fda) / WORD;
        at = 0;
        for (int32_t i = 0; i < r->n_clients; i++) {
            weft_wire *w = &e->reports[i].wire;
            if (e->reports[i].checks <= check) continue;
            w->state_up += ring_sent(words, r->checks[check].clients, at);
            w->state_down += ring_received(words, r->checks[check].clients, at++);
        }
    }
}

static void count_star(const weft_engine *e, weft_round_report *r, uint64_t adapter) {
    const bool estimate = e->cfg->fda_verdict == WE_VERDICT_ESTIMATE;
    for (int32_t i = 0; i < r->n_clients; i++) {
        const weft_client_report *c = &e->reports[i];
        weft_wire *w = &e->reports[i].wire;
        w->model_up += c->skipped ? 0 : adapter;
        if (r->n_checks == 0) continue;
        w->state_up += (uint64_t)c->checks * we_fda_state_bytes(&e->fda);
        w->verdict_down += (uint64_t)c->checks * (estimate ? WORD : 1) + (estimate ? WORD : 0);
    }
}

void we_count_wire(weft_engine *e, weft_round_report *r) {
    const uint64_t adapter = (uint64_t)e->model.lora.numel * WORD;
    const bool ring = e->cfg->ledger_topology == WE_TOPOLOGY_ALLREDUCE;
    const bool is_first = r->round == 1;
    we_fda *f = &e->fda;
    const bool matters = ring || f->previous; /* who was there in the last round */
    int32_t *before = e->next_cohort;         /* free until the next round is drawn */
    if (matters && !is_first)
        we_cohort_sample(e->cfg, e->partition->n_clients, r->round - 1, before);
    for (int32_t i = 0; i < r->n_clients; i++) {
        weft_client_report *c = &e->reports[i];
        const bool is_new = matters && (is_first || !was_there(before, e->cohort_size, c->client));
        if (!ring || is_new) c->wire.model_down += adapter;
        if (f->previous && is_new && !is_first) c->wire.model_down += adapter; /* for a direction */
        if (f->seen && !f->seen[c->client]) {
            c->wire.once_down += we_fda_once_bytes(f);
            if (!e->clock) f->seen[c->client] = 1;
        }
    }
    if (ring)
        count_ring(e, r, adapter);
    else
        count_star(e, r, adapter);
    for (int32_t i = 0; i < r->n_clients; i++) {
        weft_wire *w = &e->reports[i].wire;
        w->down = w->model_down + w->state_down + w->verdict_down + w->once_down;
        w->up = w->model_up + w->state_up;
        we_wire_add(&r->wire, w);
    }
    we_wire_add(&e->wire_total, &r->wire);
    r->wire_total = e->wire_total;
    r->barriers = 1 + r->n_checks; /* a check waits for all states, the end for all updates */
}

void we_wire_add(weft_wire *sum, const weft_wire *w) {
    sum->down += w->down, sum->up += w->up;
    sum->model_down += w->model_down, sum->model_up += w->model_up;
    sum->state_down += w->state_down, sum->state_up += w->state_up;
    sum->verdict_down += w->verdict_down, sum->once_down += w->once_down;
}
