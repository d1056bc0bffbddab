/* Who takes part in a round: a pure function of (run.seed, round), without state and without memory
 * beyond the cohort, for any number of registered clients. */
#ifndef WE_COHORT_H
#define WE_COHORT_H

#include "engine/config.h"

/* cohort (fl.clients_per_round) becomes the client ids of the round (1-based), distinct and
 * ascending, so that sums over the cohort have a fixed order. fl.clients_per_round <= n_clients is
 * the caller's check.
 *
 * independent: every set of clients equally likely, rounds independent.
 * pass: nobody is drawn again before everybody was. All clients in a fresh random order form a
 * pass; passes follow one another and each round takes the next k = fl.clients_per_round. A round
 * that begins in one pass and ends in the next takes the rest of the first and, of the next, the
 * earliest clients that are not already in it; those it stepped over come in the following round.
 * With n_clients < 2k passes would overlap more than once, and every pass has the order of the
 * first. */
void we_cohort_sample(const weft_config *config, int32_t n_clients, int64_t round, int32_t *cohort);

#endif
