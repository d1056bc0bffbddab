/* cuRAND's inline Philox, for host and device alike, started where rng.h's is. */
#ifndef WEFT_TESTS_CURAND_PLACE_H
#define WEFT_TESTS_CURAND_PLACE_H

#define QUALIFIERS static __forceinline__ __host__ __device__
#include <curand_kernel.h>

#include "kernels/rng.h"

struct place {
    uint64_t key;
    uint32_t index, step, round, client;
};

/* Our counter is (index/4, step, round, client); cuRAND's is (offset/4, subsequence), 64 bits each.
 */
__host__ __device__ static curandStatePhilox4_32_10_t curand_at(place p) {
    curandStatePhilox4_32_10_t state;
    unsigned long long block = ((unsigned long long)p.step << 32) | (p.index >> 2);
    unsigned long long sequence = ((unsigned long long)p.client << 32) | p.round;
    curand_init(p.key, sequence, block * 4, &state);
    return state;
}

#endif
