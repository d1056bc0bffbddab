/* A hash map from byte strings to 32-bit integers (vocabularies, word caches). Keys are copied. */
#ifndef WH_STRMAP_H
#define WH_STRMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t hash;
    uint32_t key, len; /* key: offset into `bytes` */
    int32_t value;     /* never negative; -1 marks a free place */
} wh_strmap_entry;

/* Zero-initialise; wh_strmap_free. */
typedef struct {
    wh_strmap_entry *entries;
    size_t places; /* a power of two, or 0 */
    size_t count;
    char *bytes;
    size_t bytes_len, bytes_cap;
} wh_strmap;

/* Sets key to value (>= 0), replacing an older value. Returns false without memory, or when all
 * keys together pass 4 GiB. */
bool wh_strmap_put(wh_strmap *map, const char *key, size_t len, int32_t value);

/* The value of key, or -1. */
int32_t wh_strmap_get(const wh_strmap *map, const char *key, size_t len);

/* Forgets all keys and keeps the memory. */
void wh_strmap_clear(wh_strmap *map);
void wh_strmap_free(wh_strmap *map);

#endif
