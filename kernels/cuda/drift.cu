/* AdamW, drift from the anchor, and both in one pass: one kernel with its parts switched by
 * template, so that the fused pass cannot differ from the two ops in a bit. Every multiply-add is
 * written as such: the compiler has nothing to contract in one instance and not in another. */
#include "kernels/cuda/optim.cuh"

#define ROWS       8 /* of the sketch, at most */
#define BLOCKS     (TILE / WK_SKETCH_WIDTH)
#define WIDTH      WK_SKETCH_WIDTH
#define SUM_LANES  32 /* threads that share the parts of one bucket in the second stage */

static_assert(WIDTH == THREADS, "a thread owns a bucket");
static_assert(CUDA_SCRATCH_BYTES >= (size_t)MOST_CHUNKS * (sizeof(double) + ROWS * WIDTH * 4),
              "the partial sums of one slot fit into the scratch");

typedef enum drift_part { NO_DRIFT, DISTANCE, DISTANCE_AND_SKETCH } drift_part;

typedef struct pass_operands {
    float *w, *m, *v;
    const float *g, *anchor;
    const uint8_t *sign, *rot;
    int64_t ldw, ldm, ldv, ldg, ldrot;
    int32_t rows; /* of the sketch */
    float beta1, beta2, eps, decay, clip;
    double *distance; /* partial sums: (chunks, slots) */
    float *sketch;    /* (chunks, slots, rows, WIDTH) */
} pass_operands;

typedef struct adamw_scalars {
    float clip, keep, rate, root, rest1, rest2;
} adamw_scalars;

WK_DEVICE double power(double base, int n) {
    double result = 1.0;
    for (; n > 0; n >>= 1, base = __dmul_rn(base, base))
        if (n & 1) result = __dmul_rn(result, base);
    return result;
}

WK_DEVICE adamw_scalars scalars_of(const pass_operands &a, const slot_view &s, int k) {
    const double b1 = (double)a.beta1, b2 = (double)a.beta2, lr = (double)s.lr[k];
    adamw_scalars q;
    q.clip = (float)clip_factor(s, k, a.clip);
    q.keep = (float)fma(-lr, (double)a.decay, 1.0);
    q.rate = (float)(lr / (1.0 - power(b1, s.step[k])));
    q.root = (float)(1.0 / sqrt(1.0 - power(b2, s.step[k])));
    q.rest1 = (float)(1.0 - b1);
    q.rest2 = (float)(1.0 - b2);
    return q;
}

/* Four numbers of one slot as they pass through the registers. */
typedef struct four_numbers {
    float w[4], g[4], m[4], v[4], anchor[4];
} four_numbers;

/* VECTOR here and below: the rows are aligned; n <= 4 of the numbers from i on exist. */
template <bool VECTOR, bool STEP, drift_part DRIFT>
WK_DEVICE void load_four(four_numbers &x, const pass_operands &a, int64_t k, int64_t i, int n) {
    load4<VECTOR>(x.w, a.w + k * a.ldw + i, n);
    if constexpr (STEP) {
        load4<VECTOR>(x.g, a.g + k * a.ldg + i, n);
        load4<VECTOR>(x.m, a.m + k * a.ldm + i, n);
        load4<VECTOR>(x.v, a.v + k * a.ldv + i, n);
    }
    if constexpr (DRIFT != NO_DRIFT) load4<VECTOR>(x.anchor, a.anchor + i, n);
}

template <bool VECTOR>
WK_DEVICE void store_four(const four_numbers &x, const pass_operands &a, int64_t k, int64_t i,
                          int n) {
    store4<VECTOR>(a.w + k * a.ldw + i, x.w, n);
    store4<VECTOR>(a.m + k * a.ldm + i, x.m, n);
    store4<VECTOR>(a.v + k * a.ldv + i, x.v, n);
}

WK_DEVICE void adamw_four(four_numbers &x, const pass_operands &a, const adamw_scalars &q) {
#pragma unroll
    for (int c = 0; c < 4; c++) {
        const float g = q.clip * x.g[c];
        x.m[c] = fmaf(a.beta1, x.m[c], q.rest1 * g);
        x.v[c] = fmaf(a.beta2, x.v[c], q.rest2 * g * g);
        x.w[c] = fmaf(-q.rate, x.m[c] / fmaf(sqrtf(x.v[c]), q.root, a.eps), q.keep * x.w[c]);
    }
}

/* What a tile hands to the owners of the buckets. */
typedef struct staged_tile {
    alignas(16) float delta[TILE];
    uint32_t sign[TILE / 4];        /* a byte a number */
    uint32_t rot[BLOCKS][ROWS / 4]; /* a byte a row */
} staged_tile;

template <bool VECTOR> WK_DEVICE uint32_t signs_of(const uint8_t *sign, int n) {
    if (VECTOR && n == 4) return *reinterpret_cast<const uint32_t *>(sign);
    uint32_t four = 0;
#pragma unroll
    for (int c = 0; c < 4; c++)
        if (c < n) four |= (uint32_t)sign[c] << (8 * c);
    return four;
}

/* The step if there is one, the numbers' part of the distance, and what the sketch needs of them.
 * The whole quad is one branch for its loads and one for its stores, the arithmetic stands once. */
template <bool VECTOR, bool STEP, drift_part DRIFT>
WK_DEVICE void pass_four(const pass_operands &a, const adamw_scalars &q, staged_tile *tile,
                         double &sum, int64_t k, int64_t i, int n) {
    four_numbers x;
    uint32_t sign = 0;
    if (n == 4) {
        load_four<VECTOR, STEP, DRIFT>(x, a, k, i, 4);
        if constexpr (DRIFT == DISTANCE_AND_SKETCH) sign = signs_of<VECTOR>(a.sign + i, 4);
    } else {
        load_four<false, STEP, DRIFT>(x, a, k, i, n);
        if constexpr (DRIFT == DISTANCE_AND_SKETCH) sign = signs_of<false>(a.sign + i, n);
    }
    if constexpr (STEP) {
        adamw_four(x, a, q);
        if (n == 4)
            store_four<VECTOR>(x, a, k, i, 4);
        else
            store_four<false>(x, a, k, i, n);
    }
    if constexpr (DRIFT != NO_DRIFT) {
        float delta[4];
#pragma unroll
        for (int c = 0; c < 4; c++) {
            delta[c] = c < n ? x.w[c] - x.anchor[c] : 0.0f;
            sum = fma((double)delta[c], (double)delta[c], sum);
        }
        if constexpr (DRIFT == DISTANCE_AND_SKETCH) {
            store<4>(tile->delta + 4 * threadIdx.x, delta);
            tile->sign[threadIdx.x] = sign;
        }
    }
}

/* Rotations of the blocks from `block` on, a thread each of the first BLOCKS * ROWS / 4. */
WK_DEVICE void stage_rotations(const pass_operands &a, staged_tile *tile, int64_t block,
                               int64_t end) {
    const int t = (int)threadIdx.x, b = t / (ROWS / 4), first = t % (ROWS / 4) * 4;
    if (b >= BLOCKS) return;
    uint32_t four = 0;
    if ((block + b) * WIDTH < end)
#pragma unroll
        for (int j = 0; j < 4; j++)
            if (first + j < a.rows)
                four |= (uint32_t)a.rot[(block + b) * a.ldrot + first + j] << (8 * j);
    tile->rot[b][first / 4] = four;
}

/* Adds a staged tile to the buckets that this thread owns, block by block. */
WK_DEVICE void add_to_buckets(float (&bucket)[ROWS], const staged_tile *tile, int rows) {
    const uint8_t *sign = reinterpret_cast<const uint8_t *>(tile->sign);
#pragma unroll
    for (int b = 0; b < BLOCKS; b++)
#pragma unroll
        for (int j = 0; j < ROWS; j++) {
            if (j >= rows) break;
            const unsigned rot = tile->rot[b][j / 4] >> (j % 4 * 8) & 255u;
            const unsigned from = b * WIDTH + (threadIdx.x ^ rot);
            const unsigned flip = (unsigned)(sign[from] >> j) << 31;
            bucket[j] += __uint_as_float(__float_as_uint(tile->delta[from]) ^ flip);
        }
}

/* One chunk of one slot. AdamW moves 28 B/param (w, m, v read and written, g read). DISTANCE reads
 * 4 B/param more, the anchor, which slots share in cache; the sketch 1 B, the signs, shared too.
 * Drift alone: 4 B/param and those 5. The sketch: each tile's deltas are staged, then thread t adds
 * delta[t xor rot] of each block, with its sign, to bucket t of each row; two stages, so that one
 * barrier a tile is enough. */
template <bool VECTOR, bool STEP, drift_part DRIFT>
__global__ __launch_bounds__(THREADS, 4) void slot_pass_k(pass_operands a, slot_group q) {
    const int k = q.first + (int)(blockIdx.x % (unsigned)q.count);
    if (!takes_part(q.slots, k)) return;
    WK_SHARED(adamw_scalars, scalars, );
    WK_SHARED(staged_tile, tiles, [2]);
    const int t = (int)threadIdx.x;
    if constexpr (STEP) {
        if (t == 0) scalars = scalars_of(a, q.slots, k);
        __syncthreads();
    }
    const int64_t first = (int64_t)(blockIdx.x / (unsigned)q.count) * q.chunk;
    const int64_t end = first + q.chunk < q.p ? first + q.chunk : q.p;
    double sum = 0.0;
    float bucket[ROWS] = {};
    int at = 0;
    for (int64_t base = first; base < end; base += TILE, at ^= 1) {
        const int64_t i = base + 4 * t;
        staged_tile *tile = &tiles[at];
        pass_four<VECTOR, STEP, DRIFT>(a, scalars, tile, sum, k, i, four_below(i, end));
        if constexpr (DRIFT == DISTANCE_AND_SKETCH) {
            stage_rotations(a, tile, base / WIDTH, end);
            __syncthreads();
            add_to_buckets(bucket, tile, a.rows);
        }
    }
    if constexpr (DRIFT == DISTANCE_AND_SKETCH) {
        float *out = a.sketch + (int64_t)blockIdx.x * a.rows * WIDTH + t;
#pragma unroll
        for (int j = 0; j < ROWS; j++)
            if (j < a.rows) out[j * WIDTH] = bucket[j];
    }
    if constexpr (DRIFT != NO_DRIFT) {
        sum = block_sum(sum);
        if (t == 0) a.distance[blockIdx.x] = sum;
    }
}

/* The second stage of the sketch, 32 buckets of one row and slot to a block: each bucket's chunks
 * are dealt to SUM_LANES threads in turn, and their sums added in order. Reads (1/8192 of the
 * numbers) * rows KiB a slot. */
__global__ __launch_bounds__(WARP *SUM_LANES) void sum_sketch_k(float *out, int64_t ld,
                                                                const float *part, int rows,
                                                                slot_group q) {
    const int bucket = (int)(blockIdx.x % (WIDTH / WARP)) * WARP + (int)threadIdx.x % WARP;
    const int row = (int)(blockIdx.x / (WIDTH / WARP)) % rows;
    const int local = (int)(blockIdx.x / (WIDTH / WARP)) / rows, k = q.first + local;
    if (!takes_part(q.slots, k)) return;
    WK_SHARED(float, lanes, [SUM_LANES][WARP]);
    const int lane = (int)threadIdx.x / WARP;
    const int chunks = (int)((q.p + q.chunk - 1) / q.chunk);
    float sum = 0.0f;
#pragma unroll 4
    for (int c = lane; c < chunks; c += SUM_LANES)
        sum += part[(((int64_t)c * q.count + local) * rows + row) * WIDTH + bucket];
    lanes[lane][threadIdx.x % WARP] = sum;
    __syncthreads();
    if (lane != 0) return;
    sum = 0.0f;
    for (int l = 0; l < SUM_LANES; l++) sum += lanes[l][threadIdx.x];
    out[k * ld + row * WIDTH + bucket] = sum;
}

template <bool STEP, drift_part DRIFT>
static void launch_pass(wk_dev *dev, const pass_operands &o, const slot_group &q, bool vector) {
    if (vector)
        LAUNCH(dev, (slot_pass_k<true, STEP, DRIFT>), blocks_of(q), THREADS, 0, o, q);
    else
        LAUNCH(dev, (slot_pass_k<false, STEP, DRIFT>), blocks_of(q), THREADS, 0, o, q);
}

/* All slots, in as many groups as the scratch asks for. o: all but drift's operands. */
template <bool STEP>
static void pass(wk_dev *dev, pass_operands o, const wk_slot_state *slots,
                 const wk_drift_operands *d, int64_t count, int64_t p, bool vector) {
    const bool far = wk_given(d->anchor), sketch = far && wk_given(d->sketch);
    vector = vector && rows_aligned(d->anchor, 16) && (!sketch || rows_aligned(d->sign, 4));
    o.anchor = (const float *)d->anchor.data;
    if (sketch) {
        o.sign = (const uint8_t *)d->sign.data, o.rot = (const uint8_t *)d->rot.data;
        o.ldrot = d->rot.ld, o.rows = (int32_t)d->sketch.dim[1];
    }
    const size_t bytes = far ? sizeof(double) + (size_t)o.rows * WIDTH * sizeof(float) : 0;
    const int64_t most = slots_at_once(dev, p, bytes);
    for (int64_t first = 0; first < count; first += most) {
        const slot_group q =
            group_of(slots, p, first, count - first < most ? count - first : most);
        o.distance = (double *)cuda_lane_of(dev)->scratch;
        o.sketch = (float *)(o.distance + chunks_of(q) * q.count);
        if (p > 0) {
            if (!far && STEP) launch_pass<true, NO_DRIFT>(dev, o, q, vector);
            if (far && !sketch) launch_pass<STEP, DISTANCE>(dev, o, q, vector);
            if (sketch) launch_pass<STEP, DISTANCE_AND_SKETCH>(dev, o, q, vector);
        }
        if (far) cuda_sum_chunks(dev, (double *)d->sqnorm.data, o.distance, q, false);
        if (sketch && o.rows > 0)
            LAUNCH(dev, sum_sketch_k, (unsigned)(q.count * o.rows * (WIDTH / WARP)),
                   WARP * SUM_LANES, 0, (float *)d->sketch.data, d->sketch.ld, o.sketch, o.rows, q);
    }
}

weft_status cuda_adamw_step(wk_dev *dev, const wk_adamw_step_args *a) {
    pass_operands o = {};
    o.w = (float *)a->w.data, o.m = (float *)a->m.data, o.v = (float *)a->v.data;
    o.g = (const float *)a->g.data;
    o.ldw = a->w.ld, o.ldm = a->m.ld, o.ldv = a->v.ld, o.ldg = a->g.ld;
    o.beta1 = a->beta1, o.beta2 = a->beta2, o.eps = a->eps;
    o.decay = a->weight_decay, o.clip = a->clip;
    const bool vector = rows_aligned(a->w, 16) && rows_aligned(a->m, 16) &&
                        rows_aligned(a->v, 16) && rows_aligned(a->g, 16);
    pass<true>(dev, o, &a->slots, &a->drift, a->w.dim[0], a->w.dim[1], vector);
    return cuda_launched(dev, "adamw_step");
}

weft_status cuda_drift(wk_dev *dev, const wk_drift_args *a) {
    pass_operands o = {};
    o.w = (float *)a->w.data, o.ldw = a->w.ld;
    pass<false>(dev, o, &a->slots, &a->drift, a->w.dim[0], a->w.dim[1], rows_aligned(a->w, 16));
    return cuda_launched(dev, "drift");
}
