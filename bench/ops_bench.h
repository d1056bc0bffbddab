/* What bench_ops times with, on any backend: operands by upload, a device's own clock where it has
 * one, FLOPs and bytes from the dry device. */
#ifndef BENCH_OPS_BENCH_H
#define BENCH_OPS_BENCH_H

#include "kernels/arena.h"

#include <stdio.h>

typedef struct ops_bench {
    wk_ctx ctx;
    wk_dev *dev, *dry;
    wk_arena arena;
    wk_tensor flush; /* larger than the caches of a device that works beside the host; or none */
    double peak, bandwidth; /* ceilings: FLOP/s, bytes/s */
    const char *filter;
    FILE *json;
    int lines;
    uint32_t site;
} ops_bench;

/* Ends the program when the status is a failure. */
void ops_must(ops_bench *b, weft_status st);

/* ---- operands, from the arena; cols 0: a vector ---- */

wk_tensor ops_zeros(ops_bench *b, wk_dtype type, int64_t rows, int64_t cols);
wk_tensor ops_random(ops_bench *b, wk_dtype type, int64_t rows, int64_t cols); /* in [-1/2, 1/2) */
wk_tensor ops_ones(ops_bench *b, int64_t n);                                   /* f64 */
wk_tensor ops_ints(ops_bench *b, const int32_t *values, int64_t n);
wk_tensor ops_ascending(ops_bench *b, int64_t n, int64_t step); /* 0, step, 2 step … */

/* ---- timing ---- */

typedef weft_status ops_call(wk_dev *dev, const void *args);

typedef struct ops_time {
    double median, best; /* seconds */
} ops_time;

/* Of a call: on the device alone, with cold caches, where the device has a clock; on the host
 * otherwise. */
ops_time ops_measure(ops_bench *b, ops_call *call, const void *args);
/* Times a call and prints and keeps its line. `work` corrects the FLOPs that the dry device counts
 * where it only knows bounds (1: it knows). */
void ops_line(ops_bench *b, const char *op, const char *shape, double work, ops_call *call,
              const void *args);

/* "16896x768x8", without zeros at the end. */
const char *ops_shape(char *to, size_t size, int64_t a, int64_t b, int64_t c);
#define OPS_SHAPE(a, b, c) ops_shape((char[64]){0}, 64, (a), (b), (c))

#define OPS_CALL(op)                                                                               \
    static weft_status call_##op(wk_dev *dev, const void *args) {                                  \
        return wk_##op(dev, args);                                                                 \
    }

/* ---- families (bench_ops_*.c) ---- */

/* What a pack looks like: `segs` segments of clients and `seqs` sequences over its rows. */
typedef struct ops_pack {
    const char *name; /* "" or "ragged" */
    int64_t tokens;
    wk_segs segs;
    wk_tensor seq_off;
    int64_t clients, sequences;
    int32_t max_len;
    double pairs; /* sum of squared lengths over tokens * max_len */
} ops_pack;

ops_pack ops_pack_even(ops_bench *b, int64_t tokens, int64_t clients, int32_t length);
/* Lengths and segments of many sizes; the same ones every time. */
ops_pack ops_pack_ragged(ops_bench *b, int64_t tokens, int64_t clients, int32_t max_len);

void ops_bench_linear(ops_bench *b, int64_t m, int64_t o, int64_t d);
/* Per-client (o, d) matrices over the pack's segments: x hidden and y float32 when o is a rank
 * (shrink), the other way round when d is one (expand). */
void ops_bench_lora(ops_bench *b, const ops_pack *p, int64_t o, int64_t d);
void ops_bench_rows(ops_bench *b, const ops_pack *p, int64_t d, int64_t ffn);
void ops_bench_attention(ops_bench *b, const ops_pack *p, int64_t d, int32_t heads);
void ops_bench_optimizers(ops_bench *b, int64_t slots, int64_t p);
void ops_bench_server(ops_bench *b, int64_t slots, int64_t p);

#endif
