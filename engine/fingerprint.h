/* A 64-bit hash that tells contents apart: is this the base, are these the rows that a checkpoint
 * was made with, did its bytes change on the disk. Not for adversaries. Word by word through
 * splitmix64's finaliser (kernels/rng.h), so that order and length count. */
#ifndef WE_FINGERPRINT_H
#define WE_FINGERPRINT_H

#include "engine/weft.h"

#include <stddef.h>

/* The hash of what was hashed into `hash` so far (0 at the start), then of these bytes. The same
 * bytes in other pieces give another hash. */
uint64_t we_fingerprint(uint64_t hash, const void *data, size_t bytes);
/* A tensor of the base by its name, its size and 64 evenly spaced numbers: another checkpoint of
 * the same shape differs in all of them. */
uint64_t we_fingerprint_weight(uint64_t hash, const char *module, const char *tensor,
                               const float *value, int64_t n);
uint64_t we_fingerprint_rows(const weft_rows *rows); /* tokens, types, labels; 0: no rows */
uint64_t we_fingerprint_partition(const weft_partition *partition); /* 0: none */

#endif
