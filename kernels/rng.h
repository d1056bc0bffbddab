/* Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): the only
 * source of randomness. One inline source for C and CUDA, so CPU and GPU draw the same bits.
 *
 * Key: 64-bit hash of (seed, purpose, site). Counter: (index / 4, step, round, client), the word
 * being index % 4. A number is thus a pure function of what it is for: no state, no order, no
 * packing. */
#ifndef WK_RNG_H
#define WK_RNG_H

#include "kernels/inline.h"

#include <stdint.h>

/* What a stream is for. Never renumber: recorded runs depend on it. */
typedef enum wk_rng_purpose {
    WK_RNG_INIT = 1,      /* initial adapter; site = view index */
    WK_RNG_COHORT = 2,    /* client sampling */
    WK_RNG_SHUFFLE = 3,   /* order of a client's rows; step = epoch */
    WK_RNG_DROPOUT = 4,   /* LoRA dropout; site = linear index */
    WK_RNG_PARTITION = 5, /* partitioners */
    WK_RNG_BASE_DROPOUT = 6,
    WK_RNG_TEST = 7,
    WK_RNG_PROBE = 8,      /* rows that the linear probe holds out */
    WK_RNG_SKETCH = 9,     /* hash functions of a sketch; site = row */
    WK_RNG_DIRECTION = 10, /* first direction of linear FDA */
} wk_rng_purpose;

typedef struct wk_philox {
    uint32_t v[4];
} wk_philox;

/* splitmix64 finaliser (Steele, Lea, Flood 2014): a bijection with full avalanche. */
WK_HD uint64_t wk_mix64(uint64_t z) {
    z += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

WK_HD uint64_t wk_rng_key(uint64_t seed, uint32_t purpose, uint32_t site) {
    return wk_mix64(wk_mix64(seed) ^ (((uint64_t)purpose << 32) | site));
}

WK_HD wk_philox wk_philox4(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int i = 0; i < 10; i++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c0 = n0, c1 = (uint32_t)p1, c2 = n2, c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    wk_philox r = {{c0, c1, c2, c3}};
    return r;
}

/* The `index`-th 32-bit word of the stream. */
WK_HD uint32_t wk_rng_u32(uint64_t key, uint32_t index, uint32_t step, uint32_t round,
                          uint32_t client) {
    return wk_philox4(key, index >> 2, step, round, client).v[index & 3u];
}

/* [0, 1) with 24 bits: exact in float, the same on every backend. */
WK_HD float wk_u32_to_unit(uint32_t u) {
    return (float)(u >> 8) * (1.0f / 16777216.0f);
}

/* A run of draws from one stream, for host code. Zero-cost to make; copy it freely. */
typedef struct wk_stream {
    uint64_t key;
    uint32_t step, round, client, index;
} wk_stream;

WK_HD wk_stream wk_stream_at(uint64_t key, uint32_t step, uint32_t round, uint32_t client) {
    wk_stream s = {key, step, round, client, 0};
    return s;
}

WK_HD uint32_t wk_stream_u32(wk_stream *s) {
    return wk_rng_u32(s->key, s->index++, s->step, s->round, s->client);
}

/* [0, 1) with 53 bits. */
WK_HD double wk_stream_f64(wk_stream *s) {
    uint64_t hi = wk_stream_u32(s), lo = wk_stream_u32(s);
    return (double)(((hi << 32) | lo) >> 11) * (1.0 / 9007199254740992.0);
}

/* Uniform in [0, n), n > 0, without bias: Lemire 2019, rejection of the short tail. */
WK_HD uint32_t wk_stream_below(wk_stream *s, uint32_t n) {
    uint64_t m = (uint64_t)wk_stream_u32(s) * n;
    if ((uint32_t)m < n) {
        uint32_t floor = (0u - n) % n;
        while ((uint32_t)m < floor) m = (uint64_t)wk_stream_u32(s) * n;
    }
    return (uint32_t)(m >> 32);
}

#endif
