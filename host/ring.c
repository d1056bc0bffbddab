#include "host/ring.h"

int64_t wh_ring_scratch(int64_t n, int32_t size) {
    return n / size + 1;
}

/* Part i of the vector: [begin, end). */
static int64_t part(int64_t n, int32_t size, int32_t i) {
    return n / size * i + (i < n % size ? i : n % size);
}

int wh_ring_sum(int64_t *words, int64_t n, int32_t rank, int32_t size, int64_t *scratch,
                wh_ring_step step, void *ud) {
    for (int32_t round = 0; round < 2 * size - 2; round++) {
        const bool adds = round < size - 1; /* first the sums, then the copies of them */
        const int32_t out = (rank - round + 2 * size) % size, in = (out + size - 1) % size;
        const int64_t from = part(n, size, out), to = part(n, size, in),
                      n_in = part(n, size, in + 1) - to;
        const int end = step(ud, words + from, part(n, size, out + 1) - from,
                             adds ? scratch : words + to, n_in);
        if (end != 0) return end;
        for (int64_t i = 0; adds && i < n_in; i++)
            words[to + i] = (int64_t)((uint64_t)words[to + i] + (uint64_t)scratch[i]);
    }
    return 0;
}
