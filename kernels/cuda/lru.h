/* A table of a fixed number of values under keys of bytes; the one that was looked up longest ago
 * makes room. Recorded graphs and GEMM plans live in such tables. No CUDA here. */
#ifndef CUDA_LRU_H
#define CUDA_LRU_H

#include "kernels/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cuda_lru_entry {
    void *key; /* copy of the caller's bytes; NULL: the entry is free */
    size_t bytes;
    uint64_t hash, used;
    int32_t next; /* in the chain of its bucket, -1 at the end */
    void *value;
} cuda_lru_entry;

typedef struct cuda_lru {
    cuda_lru_entry *entry;
    int32_t *bucket; /* first entry of each chain, -1: none */
    int32_t capacity, count;
    uint64_t buckets, clock;
} cuda_lru;

WEFT_NODISCARD weft_status cuda_lru_open(cuda_lru *t, wk_ctx *ctx, int32_t capacity);
/* Gives every value to drop (may be NULL). Fine on a zeroed table. */
void cuda_lru_close(cuda_lru *t, wk_ctx *ctx, void (*drop)(void *ud, void *value), void *ud);

/* The value under the key, which becomes the newest; NULL when there is none. */
void *cuda_lru_find(cuda_lru *t, const void *key, size_t bytes);
/* Stores a value (not NULL) under a key that is not there. *evicted is the value that made room, or
 * NULL; it is the caller's again. On failure nothing has changed. */
WEFT_NODISCARD weft_status cuda_lru_add(cuda_lru *t, wk_ctx *ctx, const void *key, size_t bytes,
                                        void *value, void **evicted);

#ifdef __cplusplus
}
#endif
#endif
