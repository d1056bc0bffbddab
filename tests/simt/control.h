/* What tests set and read of the emulator; C and C++. */
#ifndef SIMT_CONTROL_H
#define SIMT_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Order in which the threads of a block and the blocks of a grid run, which a right kernel does not
 * show. It also picks what fresh shared memory holds, so that a read before a write is seen through
 * arithmetic (not a number), through a maximum (huge) and through a minimum (hugely negative). */
typedef enum simt_order_kind {
    SIMT_FORWARD = 0,  /* filled with 0xff: not a number in every float type, -1 */
    SIMT_REVERSED = 1, /* 0x7f: 3.4e38 */
    SIMT_RANDOM = 2    /* 0xfe: -1.7e38; the seed decides the order */
} simt_order_kind;
void simt_order(int order, unsigned seed); /* simt_order_kind */

/* The byte that fresh memory holds in the present order. */
unsigned char simt_fresh_byte(void);
/* Makes memory fresh, as if nobody had written to it. */
void simt_forget(void *p, size_t bytes);

/* Dynamic plus static shared memory that a block may have; at first 227 KiB (sm_90). */
void simt_shared_limit(size_t bytes);

/* While on, launches run nothing and only count. */
void simt_count_only(bool on);
/* Threads launched so far, over all blocks. */
uint64_t simt_threads(void);

/* A hash of what was launched since the last call: kernels, grids, and those arguments that are
 * numbers or addresses. What a CUDA graph would hold, so recorded work must give the same one every
 * time. simt_trace_add adds work that is no launch. */
uint64_t simt_trace(void);
void simt_trace_add(const void *bytes, size_t n);

#ifdef __cplusplus
}
#endif
#endif
