/* What this machine can do at most: the floors that benchmarks compare with. Measured, not looked
 * up. */
#ifndef WEFT_BENCH_FLOOR_H
#define WEFT_BENCH_FLOOR_H

#include "kernels/tensor.h"

double bench_now(void); /* seconds, monotonic */

/* Multiply-adds on registers alone, `threads` at once: FLOP/s, a multiply-add being two. With
 * WK_BF16, of pairs of bfloat16 where the processor multiplies them, else of float32. */
double bench_peak_flops(int threads, wk_dtype dtype);

/* memcpy of blocks far larger than the caches, `threads` at once: bytes read plus written a second.
 */
double bench_copy_bandwidth(int threads);
/* The same for blocks of so many bytes (64 at least), which may stay in a cache. */
double bench_copy_rate(int threads, size_t bytes);

#endif
