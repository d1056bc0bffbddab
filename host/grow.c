#include "host/grow.h"

#include <stdint.h>
#include <stdlib.h>

bool wh_grow(void **data, size_t *cap, size_t want, size_t size) {
    if (want <= *cap) return true;
    size_t next = *cap + *cap / 2;
    if (next < want) next = want;
    if (next < 64) next = 64;
    if (next > SIZE_MAX / size) return false;
    void *grown = realloc(*data, next * size);
    if (!grown) return false;
    *data = grown;
    *cap = next;
    return true;
}
