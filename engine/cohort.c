#include "engine/cohort.h"

#include "engine/order.h"
#include "engine/random.h"

enum { SITE_INDEPENDENT = 0, SITE_PASS = 1 };

static we_permutation pass_order(uint64_t seed, uint64_t pass, uint32_t n) {
    return we_permutation_make(wk_rng_key(seed, WK_RNG_COHORT, SITE_PASS), pass, n);
}

/* One order, walked round and round. */
static void draw_cyclic(uint64_t seed, uint64_t start, uint32_t n, uint32_t k, int32_t *cohort) {
    we_permutation order = pass_order(seed, 0, n);
    for (uint32_t i = 0; i < k; i++)
        cohort[i] = (int32_t)we_permutation_at(&order, (uint32_t)((start + i) % n));
}

/* The round that takes positions [start, start + k) of the sequence of passes; n >= 2k. A border
 * round takes at most the last k - 1 of a pass and looks at no more than the first k of the next,
 * so both ends of a pass are settled by its own order and that of its neighbour. */
static void draw_pass(uint64_t seed, uint64_t start, uint32_t n, uint32_t k, int32_t *cohort) {
    uint64_t pass = start / n;
    uint32_t first = (uint32_t)(start % n), count = 0;
    we_permutation order = pass_order(seed, pass, n);
    if (first + k > n) { /* begins in this pass, ends in the next */
        we_permutation next = pass_order(seed, pass + 1, n);
        for (uint32_t i = first; i < n; i++)
            cohort[count++] = (int32_t)we_permutation_at(&order, i);
        for (uint32_t i = 0; count < k; i++) {
            uint32_t client = we_permutation_at(&next, i);
            if (we_permutation_find(&order, client) < first) cohort[count++] = (int32_t)client;
        }
    } else if (first >= k) {
        for (uint32_t i = 0; i < k; i++) cohort[i] = (int32_t)we_permutation_at(&order, first + i);
    } else { /* the first whole round of a pass: without the `first` that the border round took */
        uint32_t tail = k - first, taken = 0;
        we_permutation previous = pass_order(seed, pass - 1, n);
        for (uint32_t i = 0; i < first + k; i++) {
            uint32_t client = we_permutation_at(&order, i);
            bool in_tail = first > 0 && we_permutation_find(&previous, client) >= n - tail;
            if (!in_tail && taken < first)
                taken++;
            else
                cohort[count++] = (int32_t)client;
        }
    }
}

void we_cohort_sample(const weft_config *config, int32_t n_clients, int64_t round,
                      int32_t *cohort) {
    uint32_t n = (uint32_t)n_clients, k = (uint32_t)config->fl_clients_per_round;
    uint64_t seed = config->run_seed, index = (uint64_t)(round - 1);
    if (config->fl_sampling == WE_SAMPLING_INDEPENDENT) {
        we_permutation order =
            we_permutation_make(wk_rng_key(seed, WK_RNG_COHORT, SITE_INDEPENDENT), index, n);
        for (uint32_t i = 0; i < k; i++) cohort[i] = (int32_t)we_permutation_at(&order, i);
    } else if ((uint64_t)n < 2 * (uint64_t)k) {
        draw_cyclic(seed, index * k, n, k, cohort);
    } else {
        draw_pass(seed, index * k, n, k, cohort);
    }
    we_sort_i32(cohort, k);
}
