#include "kernels/cuda/lru.h"

#include <string.h>

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
static uint64_t hash_of(const void *key, size_t bytes) {
    const unsigned char *at = key;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes; i++) h = (h ^ at[i]) * 0x100000001b3u;
    return h;
}

weft_status cuda_lru_open(cuda_lru *t, wk_ctx *ctx, int32_t capacity) {
    void *entry = NULL, *bucket = NULL;
    uint64_t buckets = 1;
    memset(t, 0, sizeof *t);
    while (buckets < (uint64_t)capacity * 2) buckets *= 2;
    WEFT_TRY(wk_host_alloc(ctx, &entry, (size_t)capacity, sizeof *t->entry, "cuda table"));
    const weft_status st = wk_host_alloc(ctx, &bucket, buckets, sizeof *t->bucket, "cuda table");
    if (st != WEFT_OK) {
        wk_host_free(ctx, entry);
        return st;
    }
    t->entry = entry, t->bucket = bucket, t->buckets = buckets, t->capacity = capacity;
    for (uint64_t i = 0; i < buckets; i++) t->bucket[i] = -1;
    return WEFT_OK;
}

void cuda_lru_close(cuda_lru *t, wk_ctx *ctx, void (*drop)(void *ud, void *value), void *ud) {
    for (int32_t i = 0; i < t->count; i++) {
        if (drop) drop(ud, t->entry[i].value);
        wk_host_free(ctx, t->entry[i].key);
    }
    wk_host_free(ctx, t->entry);
    wk_host_free(ctx, t->bucket);
    memset(t, 0, sizeof *t);
}

static int32_t *chain_of(cuda_lru *t, uint64_t hash) {
    return &t->bucket[hash & (t->buckets - 1)];
}

void *cuda_lru_find(cuda_lru *t, const void *key, size_t bytes) {
    const uint64_t hash = hash_of(key, bytes);
    for (int32_t i = *chain_of(t, hash); i >= 0; i = t->entry[i].next) {
        cuda_lru_entry *e = &t->entry[i];
        if (e->hash != hash || e->bytes != bytes) continue;
        if (bytes && memcmp(e->key, key, bytes) != 0) continue;
        e->used = ++t->clock;
        return e->value;
    }
    return NULL;
}

/* Takes entry i out of its chain. */
static void unchain(cuda_lru *t, int32_t i) {
    int32_t *at = chain_of(t, t->entry[i].hash);
    while (*at != i) at = &t->entry[*at].next;
    *at = t->entry[i].next;
}

static int32_t oldest(const cuda_lru *t) {
    int32_t found = 0;
    for (int32_t i = 1; i < t->count; i++)
        if (t->entry[i].used < t->entry[found].used) found = i;
    return found;
}

weft_status cuda_lru_add(cuda_lru *t, wk_ctx *ctx, const void *key, size_t bytes, void *value,
                         void **evicted) {
    void *copy = NULL;
    *evicted = NULL;
    /* One byte more, so that the copy of an empty key is not NULL. */
    WEFT_TRY(wk_host_alloc(ctx, &copy, bytes + 1, 1, "the key of a cuda table"));
    if (bytes) memcpy(copy, key, bytes);
    int32_t i = t->count;
    if (i < t->capacity) {
        t->count++;
    } else {
        i = oldest(t);
        *evicted = t->entry[i].value;
        unchain(t, i);
        wk_host_free(ctx, t->entry[i].key);
    }
    const uint64_t hash = hash_of(key, bytes);
    int32_t *chain = chain_of(t, hash);
    t->entry[i] = (cuda_lru_entry){
        .key = copy, .bytes = bytes, .hash = hash, .used = ++t->clock, .value = value};
    t->entry[i].next = *chain;
    *chain = i;
    return WEFT_OK;
}
