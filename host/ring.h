/* A sum over ranks around a ring (Patarasuk and Yuan 2009): no rank sends more than twice the
 * vector, whatever their number. Whatever carries the messages; the MPI plugin has it too. */
#ifndef WEFT_HOST_RING_H
#define WEFT_HOST_RING_H

#include <stdbool.h>
#include <stdint.h>

/* Sends `out` to the next rank and receives `in` from the one before, both at once. 0, or what is
 * to end the sum. */
typedef int (*wh_ring_step)(void *ud, const int64_t *out, int64_t n_out, int64_t *in, int64_t n_in);

/* Words of scratch that a sum of n takes. */
int64_t wh_ring_scratch(int64_t n, int32_t size);
/* words (n) = the sum over ranks, modulo 2^64. 0, or what a step returned. */
int wh_ring_sum(int64_t *words, int64_t n, int32_t rank, int32_t size, int64_t *scratch,
                wh_ring_step step, void *ud);

#endif
