/* Arrays that grow. */
#ifndef WH_GROW_H
#define WH_GROW_H

#include <stdbool.h>
#include <stddef.h>

/* Room for `want` elements of `size` bytes in *data, which has room for *cap: when that is too
 * little, at least half as much again. False: out of memory, and nothing has changed. */
bool wh_grow(void **data, size_t *cap, size_t want, size_t size);

#endif
