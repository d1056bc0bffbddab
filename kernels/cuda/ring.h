/* Which slot of a ring comes next, and whether a letter is still in its slot. No CUDA here. */
#ifndef CUDA_RING_H
#define CUDA_RING_H

#include "kernels/dev.h"

#include <string.h>

/* Staging slots: each is used again only after the host has waited for what it last carried. */
typedef struct cuda_ring {
    uint32_t slots, next;
    bool lapped; /* every slot has carried something */
} cuda_ring;

/* The slot to fill now; *wait: it still belongs to an earlier copy, whose end must be awaited. */
static inline uint32_t cuda_ring_take(cuda_ring *r, bool *wait) {
    const uint32_t slot = r->next;
    *wait = r->lapped;
    if (++r->next == r->slots) r->next = 0, r->lapped = true;
    return slot;
}

/* Letters: the device writes ticket t's into slot t mod WK_LETTERS and then the number t + 1 behind
 * it, so that a slot which was never written (0) or holds an earlier letter is told apart. */
typedef struct cuda_tickets {
    uint64_t posted;
} cuda_tickets;

static inline uint64_t cuda_ticket_next(cuda_tickets *t) {
    return t->posted++;
}
static inline uint32_t cuda_ticket_slot(uint64_t ticket) {
    return (uint32_t)(ticket % WK_LETTERS);
}
static inline uint64_t cuda_ticket_sequence(uint64_t ticket) {
    return ticket + 1;
}
static inline weft_status cuda_ticket_check(const cuda_tickets *t, uint64_t ticket, size_t bytes,
                                            weft_error *err) {
    if (ticket >= t->posted)
        return WEFT_FAIL(err, WEFT_E_ARG, "letter %llu was never posted, %llu were",
                         (unsigned long long)ticket, (unsigned long long)t->posted);
    if (t->posted - ticket > WK_LETTERS)
        return WEFT_FAIL(
            err, WEFT_E_ARG, "letter %llu is gone: %d letters are kept, %llu were posted since",
            (unsigned long long)ticket, WK_LETTERS, (unsigned long long)(t->posted - ticket - 1));
    if (bytes > WK_LETTER_BYTES)
        return WEFT_FAIL(err, WEFT_E_ARG, "collect: %zu bytes, a letter holds %d", bytes,
                         WK_LETTER_BYTES);
    return WEFT_OK;
}

/* After a failed call nothing that the device holds can be trusted, and CUDA answers every later
 * call with the same error: so the first failure is kept and is what every later call returns. */
typedef struct cuda_poison {
    bool set;
    char text[400];
} cuda_poison;

/* WEFT_OK, or the first failure again. */
static inline weft_status cuda_poison_check(const cuda_poison *p, weft_error *err) {
    return p->set ? WEFT_FAIL(err, WEFT_E_DEVICE, "%s", p->text) : WEFT_OK;
}

/* Keeps the message if it is the first; returns the first one's. */
static inline weft_status cuda_poison_set(cuda_poison *p, weft_error *err, const char *text) {
    if (!p->set) {
        const size_t n = strnlen(text, sizeof p->text - 1);
        memcpy(p->text, text, n);
        p->text[n] = 0;
        p->set = true;
    }
    return cuda_poison_check(p, err);
}

#endif
