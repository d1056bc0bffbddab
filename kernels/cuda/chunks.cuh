/* What the ops over long vectors of numbers share: a fixed cut into chunks, four numbers to a
 * thread, sums of a block in a fixed order, client slots on the device.
 *
 * A block of THREADS takes one chunk and walks it tile by tile; thread t has numbers 4t … 4t+3 of
 * each tile, however they are loaded. So the bits of a sum depend on the vector's own length and
 * values only, not on its address, its stride, its slot or the grid. */
#ifndef CUDA_CHUNKS_CUH
#define CUDA_CHUNKS_CUH

#include "kernels/cuda/device.cuh"

#define THREADS     256
#define TILE        (4 * THREADS)
#define CHUNK       8192 /* numbers, the least; a multiple of TILE and of the sketch's blocks */
#define MOST_CHUNKS 4096 /* so that one slot's partial sums always fit into the scratch */
#define MOST_SLOTS  (1 << 18) /* of one launch: grid.x stays below 2^30 */

/* ---- launchers ---- */

/* Length of the chunks of a vector of p numbers. */
static inline int64_t chunk_length(int64_t p) {
    int64_t length = CHUNK;
    while (ceil_div(p, length) > MOST_CHUNKS) length *= 2;
    return length;
}

/* Every row begins at a multiple of `bytes`: enough for vector access here, as the last numbers of
 * a row are taken one by one. */
static inline bool rows_aligned(wk_tensor t, uintptr_t bytes) {
    const uintptr_t row = (uintptr_t)t.ld * wk_dtype_size(t.dtype);
    return !wk_given(t) ||
           ((uintptr_t)t.data % bytes == 0 && (t.ndim < 2 || t.dim[0] <= 1 || row % bytes == 0));
}

typedef struct slot_view {
    const int32_t *step;
    const float *lr;
    const double *sqnorm;
    int32_t *dead;
} slot_view;

static inline slot_view view_of(const wk_slot_state *s) {
    return slot_view{(const int32_t *)s->step.data, (const float *)s->lr.data,
                     (const double *)s->sqnorm.data, (int32_t *)s->dead.data};
}

/* Slots [first, first + count) of one launch; block b works on slot first + b % count, so that the
 * slots meet in what they share (anchor, signs) while it is in cache. */
typedef struct slot_group {
    slot_view slots;
    int32_t first, count;
    int64_t p, chunk;
} slot_group;

static inline slot_group group_of(const wk_slot_state *s, int64_t p, int64_t first, int64_t count) {
    return slot_group{view_of(s), (int32_t)first, (int32_t)count, p, chunk_length(p)};
}
static inline int64_t chunks_of(const slot_group &q) {
    return ceil_div(q.p, q.chunk);
}
/* One block a chunk and slot. */
static inline unsigned blocks_of(const slot_group &q) {
    return (unsigned)(chunks_of(q) * q.count);
}

/* The second stage: out[k] = sum of the chunks' parts, part (chunks, count). kill: a slot whose sum
 * is not finite dies. step NULL: the vector has no slots. (optim.cu) */
void cuda_sum_chunks(wk_dev *dev, double *out, const double *part, const slot_group &q, bool kill);

/* ---- device ---- */

WK_DEVICE bool takes_part(const slot_view &s, int k) {
    return s.step[k] > 0 && s.dead[k] == 0;
}

/* How many of the four numbers from i on lie below `end`. */
WK_DEVICE int four_below(int64_t i, int64_t end) {
    const int64_t n = end - i;
    return n >= 4 ? 4 : n > 0 ? (int)n : 0;
}

/* The n <= 4 numbers at p, zeros behind. VECTOR: p is a multiple of 16 bytes. */
template <bool VECTOR> WK_DEVICE void load4(float (&x)[4], const float *p, int n) {
    if (VECTOR && n == 4) {
        load<4>(x, p);
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++) x[i] = i < n ? p[i] : 0.0f;
    }
}
template <bool VECTOR> WK_DEVICE void store4(float *p, const float (&x)[4], int n) {
    if (VECTOR && n == 4) {
        store<4>(p, x);
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (i < n) p[i] = x[i];
    }
}
template <bool VECTOR> WK_DEVICE void load4(double (&x)[4], const double *p, int n) {
    if (VECTOR && n == 4) {
        const packed<double, 2> lo = *reinterpret_cast<const packed<double, 2> *>(p),
                                hi = *reinterpret_cast<const packed<double, 2> *>(p + 2);
        x[0] = lo.v[0], x[1] = lo.v[1], x[2] = hi.v[0], x[3] = hi.v[1];
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++) x[i] = i < n ? p[i] : 0.0;
    }
}
template <bool VECTOR> WK_DEVICE void store4(double *p, const double (&x)[4], int n) {
    if (VECTOR && n == 4) {
        *reinterpret_cast<packed<double, 2> *>(p) = packed<double, 2>{{x[0], x[1]}};
        *reinterpret_cast<packed<double, 2> *>(p + 2) = packed<double, 2>{{x[2], x[3]}};
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (i < n) p[i] = x[i];
    }
}

/* Sum over the block's threads, in thread 0. Once a kernel. */
WK_DEVICE double block_sum(double x) {
    WK_SHARED(double, warps, [THREADS / WARP]);
    x = warp_sum(x);
    if (threadIdx.x % WARP == 0) warps[threadIdx.x / WARP] = x;
    __syncthreads();
    double sum = 0.0;
    if (threadIdx.x == 0)
        for (int w = 0; w < THREADS / WARP; w++) sum += warps[w];
    return sum;
}

#endif
