/* Dropout by Philox (kernels/rng.h): one block of four words serves four neighbouring elements, and
 * a batch of blocks is computed side by side, one counter a lane. */
#include "kernels/cpu/vec.h"

#include "kernels/rng.h"

#include <math.h>
#include <string.h>

#define BATCH      16 /* counters at a time: 64 words */
#define BLOCK_ROWS 16 /* of a task */

/* Upper half of a product; written so that compilers find the vector form. */
static inline uint32_t high(uint32_t a, uint32_t b) {
    return (uint32_t)(((uint64_t)a * b) >> 32);
}

/* Words 4*counter … 4*(counter + BATCH) - 1 of the stream; the same arithmetic as wk_philox4, lane
 * by lane. */
static void philox_batch(uint32_t *restrict out, uint64_t key, uint32_t counter,
                         const uint32_t *at) {
    uint32_t c0[BATCH], c1[BATCH], c2[BATCH], c3[BATCH];
    for (uint32_t i = 0; i < BATCH; i++)
        c0[i] = counter + i, c1[i] = at[0], c2[i] = at[1], c3[i] = at[2];
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        /* gcc would unroll the short loop before it looks for vectors, and then find none. */
#pragma GCC unroll 1
        for (int i = 0; i < BATCH; i++) {
            const uint32_t high0 = high(0xD2511F53u, c0[i]), high1 = high(0xCD9E8D57u, c2[i]);
            const uint32_t low0 = 0xD2511F53u * c0[i], low1 = 0xCD9E8D57u * c2[i];
            c0[i] = high1 ^ c1[i] ^ k0;
            c1[i] = low1;
            c2[i] = high0 ^ c3[i] ^ k1;
            c3[i] = low0;
        }
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < BATCH; i++) {
        out[4 * i] = c0[i], out[4 * i + 1] = c1[i], out[4 * i + 2] = c2[i], out[4 * i + 3] = c3[i];
    }
}

typedef struct mask {
    uint64_t key;
    const uint32_t *at; /* step, round, client */
    uint32_t threshold; /* keep when the word is at least this: p * 2^32, rounded up */
    float scale;
    bool accumulate;
} mask;

/* n <= 4 * BATCH elements with their words; a compare of signed numbers after turning the sign
 * bits. */
VEC_INLINE void drop_some(hid y, hid x, const uint32_t *word, int64_t n, const mask *m) {
    const int32_t edge = (int32_t)(m->threshold ^ 0x80000000u);
    const float scale = m->scale;
    const bool accumulate = m->accumulate;
    for (int64_t i = 0; i < n; i += VL) {
        vi turned;
        memcpy(&turned, word + i, sizeof turned);
        turned ^= (int32_t)0x80000000;
        vf kept = vf_select(turned >= edge, hid_at(x, i, n) * scale, vf_set(0.0f));
        hid_put(y, i, n, accumulate ? hid_at(y, i, n) + kept : kept);
    }
}

/* Elements [0, d) of a row whose first element has the given index in its segment. */
VEC_INLINE void drop_row(const wk_dropout_args *a, const mask *m, int64_t i, uint32_t index,
                         bool half) {
    const int64_t d = a->x.dim[1];
    const hid y = hid_row(a->y, i, 0, half), x = hid_row(a->x, i, 0, half);
    uint32_t word[4 * BATCH + VL] = {0}; /* the last load may reach over the end */
    for (int64_t j = 0; j < d;) {
        const uint32_t first = index + (uint32_t)j, lead = first & 3u;
        philox_batch(word, m->key, first >> 2, m->at);
        const int64_t n = cpu_min(4 * BATCH - lead, d - j);
        drop_some(hid_from(y, j), hid_from(x, j), word + lead, n, m);
        j += n;
    }
}

/* Rows [from, to) belong to no segment. */
static void copy_rows(const wk_dropout_args *a, int64_t from, int64_t to) {
    if (a->accumulate || a->y.data == a->x.data) return;
    for (int64_t i = from; i < to; i++)
        memcpy(wk_row_ptr(a->y, i), wk_row_ptr(a->x, i),
               (size_t)a->x.dim[1] * wk_dtype_size(a->x.dtype));
}

static weft_status dropout(wk_dev *dev, const wk_dropout_args *a) {
    const int64_t segments = a->segs.off.dim[0] - 1, n = a->x.dim[0], d = a->x.dim[1];
    const int32_t *off = a->segs.off.data;
    const bool half = is_half(a->x);
    const double edge = ceil((double)a->p * 4294967296.0);
    const mask all = {.key = a->key,
                      .threshold = (uint32_t)edge,
                      .scale = (float)(1.0 / (1.0 - (double)a->p)),
                      .accumulate = a->accumulate};
    int64_t blocks = 0;
    for (int64_t s = 0; s < segments; s++)
        if (cpu_ceil_div(off[s + 1] - off[s], BLOCK_ROWS) > blocks)
            blocks = cpu_ceil_div(off[s + 1] - off[s], BLOCK_ROWS);
    copy_rows(a, 0, off[0]);
    copy_rows(a, off[segments], n);
    CPU_PARALLEL_FOR(cpu_threads(dev, n * d * 4))
    for (int64_t task = 0; task < segments * blocks; task++) {
        const int64_t s = task / blocks, from = off[s] + task % blocks * BLOCK_ROWS;
        const int64_t to = cpu_min(from + BLOCK_ROWS, off[s + 1]);
        mask m = all;
        m.at = wk_row_ptr(a->rng, s);
        for (int64_t i = from; i < to; i++)
            HALF_1(drop_row, half, a, &m, i, (uint32_t)((i - off[s]) * d));
    }
    return WEFT_OK;
}

void WK_VEC(cpu_fill_dropout)(wk_ops *table) {
    table->dropout = dropout;
}
