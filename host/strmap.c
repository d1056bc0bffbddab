#include "host/strmap.h"

#include "host/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Multiply and fold, eight bytes at a time. Not meant against chosen collisions. */
static uint64_t hash_bytes(const char *key, size_t len) {
    uint64_t h = 0x9e3779b97f4a7c15u ^ len, word;
    for (; len >= 8; key += 8, len -= 8) {
        memcpy(&word, key, 8);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    word = 0;
    if (len) memcpy(&word, key, len);
    h = (h ^ word) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 29;
}

static wh_strmap_entry *place(const wh_strmap *map, uint64_t hash, const char *key, size_t len) {
    for (size_t i = hash & (map->places - 1);; i = (i + 1) & (map->places - 1)) {
        wh_strmap_entry *e = &map->entries[i];
        if (e->value < 0) return e;
        if (e->hash == hash && e->len == len &&
            (len == 0 || memcmp(map->bytes + e->key, key, len) == 0))
            return e;
    }
}

static bool enlarge(wh_strmap *map) {
    wh_strmap old = *map;
    map->places = old.places ? old.places * 2 : 256;
    map->entries = malloc(map->places * sizeof *map->entries);
    if (!map->entries) {
        *map = old;
        return false;
    }
    for (size_t i = 0; i < map->places; i++) map->entries[i].value = -1;
    for (size_t i = 0; i < old.places; i++) {
        const wh_strmap_entry *e = &old.entries[i];
        if (e->value >= 0) *place(map, e->hash, map->bytes + e->key, e->len) = *e;
    }
    free(old.entries);
    return true;
}

bool wh_strmap_put(wh_strmap *map, const char *key, size_t len, int32_t value) {
    if ((map->count + 1) * 2 > map->places && !enlarge(map)) return false;
    uint64_t hash = hash_bytes(key, len);
    wh_strmap_entry *e = place(map, hash, key, len);
    if (e->value >= 0) {
        e->value = value;
        return true;
    }
    if (len > UINT32_MAX - map->bytes_len) return false;
    void *bytes = map->bytes;
    if (!wh_grow(&bytes, &map->bytes_cap, map->bytes_len + len, 1)) return false;
    map->bytes = bytes;
    if (len) memcpy(map->bytes + map->bytes_len, key, len);
    *e = (wh_strmap_entry){hash, (uint32_t)map->bytes_len, (uint32_t)len, value};
    map->bytes_len += len;
    map->count++;
    return true;
}

int32_t wh_strmap_get(const wh_strmap *map, const char *key, size_t len) {
    if (map->count == 0) return -1;
    return place(map, hash_bytes(key, len), key, len)->value;
}

void wh_strmap_clear(wh_strmap *map) {
    for (size_t i = 0; i < map->places; i++) map->entries[i].value = -1;
    map->count = 0;
    map->bytes_len = 0;
}

void wh_strmap_free(wh_strmap *map) {
    free(map->entries);
    free(map->bytes);
    *map = (wh_strmap){0};
}
