/* Packed attention: what its files share. A launch is described by an attn_call; a CTA learns from
 * attn_find which tile of which sequence and head it has; the rest are the pieces of which the
 * tensor-core kernels are made.
 *
 *   attn.cu        the two ops: which kernels run, rows outside all sequences, delta
 *   attn_fwd.cu    forward on tensor cores
 *   attn_bwd.cu    backward on tensor cores, any length
 *   attn_short.cu  backward on tensor cores, sequences of at most ATTN_SHORT tokens
 *   attn_plain.cu  both without tensor cores: float32, or what the others cannot take
 *
 * Tiles are counted from a sequence's first token, and which kernel takes a sequence depends on the
 * shapes and its own length only, so its bits depend on nothing else. */
#ifndef CUDA_ATTN_CUH
#define CUDA_ATTN_CUH

#include "kernels/cuda/device.cuh"

#define ATTN_TILE  64  /* queries or keys of a CTA, but for the short and the plain kernels */
#define ATTN_SHORT 128 /* longest sequence of the short kernels */
#define LOG2E      1.44269504088896341f

/* Row t of head h begins at data + t*ld + h*width. */
template <class T> struct attn_rows {
    T *data;
    int64_t ld;
};

/* How CTAs are dealt to sequences whose lengths the host does not know. A slot is a tile of a
 * sequence, or nothing; block x has head x % heads of slot first + x / heads. */
struct attn_deal {
    const int32_t *off;
    int32_t seqs, heads;
    int32_t per_seq;  /* slots of each sequence; 0: by offset, see attn_slot_of */
    int32_t shortest; /* shorter sequences are another kernel's */
    int64_t first;
};

template <class T> struct attn_call {
    attn_deal deal;
    attn_rows<const T> q, k, v, d_o;
    attn_rows<T> o, dq, dk, dv; /* o is an input of the backward */
    float *lse;
    int64_t lse_ld;
    float *delta; /* sum over a head of d_o * o: row t, head h at t*delta_row + h*delta_head */
    int64_t delta_row, delta_head;
    int32_t heads, group, width; /* group: query heads of a key head */
    float scale;
    bool causal;
};

/* The kernels' launchers. */
void attn_fwd_tensor(wk_dev *dev, attn_call<bf16> call, int64_t rows, int32_t max_len);
void attn_bwd_tensor(wk_dev *dev, attn_call<bf16> call, int64_t rows, int32_t max_len);
/* False when this device's CTAs have too little shared memory: then the above takes all. */
bool attn_bwd_short(wk_dev *dev, const attn_call<bf16> &call);
template <class T>
void attn_fwd_plain(wk_dev *dev, attn_call<T> call, int64_t rows, int32_t max_len);
template <class T>
void attn_bwd_plain(wk_dev *dev, attn_call<T> call, int64_t rows, int32_t max_len);

/* ---- dealing CTAs ---- */

/* With per_seq = 0, sequence s has the slots from this one on, up to the next sequence's: at least
 * as many as it has tiles, and in all rows / tile + seqs at most. */
WK_DEVICE int64_t attn_slot_of(const attn_deal &d, int32_t s, int tile) {
    return (d.off[s] - d.off[0]) / tile + s;
}

struct attn_place {
    int64_t begin;           /* first token of the sequence */
    int32_t len, tile, head; /* len 0: nothing to do */
};

/* `reverse`: the last tile first, for kernels whose last tile has the most work. Whole warps call
 * it, and all threads of a CTA get the same. */
WK_DEVICE attn_place attn_find(const attn_deal &d, int tile, bool reverse) {
    attn_place p = {};
    const int64_t slot = d.first + blockIdx.x / (unsigned)d.heads;
    int32_t seq = 0, local = 0;
    p.head = (int32_t)(blockIdx.x % (unsigned)d.heads);
    if (d.per_seq) {
        seq = (int32_t)(slot / d.per_seq);
        local = (int32_t)(slot % d.per_seq);
    } else { /* the last sequence that begins at or before the slot, a 32nd at each step */
        const int lane = threadIdx.x % WARP;
        for (int32_t n = d.seqs; n > 1;) {
            const int32_t step = (n + WARP - 1) / WARP, at = lane * step;
            const bool before = at < n && attn_slot_of(d, seq + at, tile) <= slot;
            const int32_t last = (__popc(__ballot_sync(FULL, before)) - 1) * step;
            seq += last;
            n = n - last < step ? n - last : step;
        }
        local = (int32_t)(slot - attn_slot_of(d, seq, tile));
    }
    p.begin = d.off[seq];
    const int32_t len = d.off[seq + 1] - (int32_t)p.begin, tiles = (len + tile - 1) / tile;
    if (len < d.shortest || local >= tiles) return p;
    p.len = len;
    p.tile = reverse ? tiles - 1 - local : local;
    return p;
}

/* Slots of a launch; sets deal.per_seq. */
static inline int64_t attn_slots(attn_deal &deal, int tile, int64_t rows, int32_t max_len) {
    const int64_t per_seq = ceil_div(max_len, tile);
    const int64_t dense = deal.seqs * per_seq, sparse = rows / tile + deal.seqs;
    deal.per_seq = dense <= sparse ? (int32_t)per_seq : 0;
    return dense <= sparse ? dense : sparse;
}

/* Launches the kernel on all slots; a grid has fewer than 2^31 blocks. */
#define ATTN_LAUNCH(dev, kernel, call, slots, block, smem)                                         \
    do {                                                                                           \
        const int64_t most = INT32_MAX / (call).deal.heads;                                        \
        if ((size_t)(smem) > ((size_t)48 << 10)) WK_ALLOW_SHARED(kernel, smem);                    \
        for ((call).deal.first = 0; (call).deal.first < (slots); (call).deal.first += most) {      \
            const int64_t left = (slots) - (call).deal.first, now = left < most ? left : most;     \
            LAUNCH(dev, kernel, dim3((unsigned)(now * (call).deal.heads)), block, smem, call);     \
        }                                                                                          \
    } while (0)

/* Head widths of the tensor-core kernels; runs the statement with D standing for the width. */
static inline bool attn_has_width(int64_t width) {
    return width == 32 || width == 64 || width == 80 || width == 96 || width == 128;
}
#define ATTN_WITH_WIDTH(width, D, ...)                                                             \
    do {                                                                                           \
        switch (width) {                                                                           \
        case 32: {                                                                                 \
            constexpr int D = 32;                                                                  \
            __VA_ARGS__;                                                                           \
            break;                                                                                 \
        }                                                                                          \
        case 64: {                                                                                 \
            constexpr int D = 64;                                                                  \
            __VA_ARGS__;                                                                           \
            break;                                                                                 \
        }                                                                                          \
        case 80: {                                                                                 \
            constexpr int D = 80;                                                                  \
            __VA_ARGS__;                                                                           \
            break;                                                                                 \
        }                                                                                          \
        case 96: {                                                                                 \
            constexpr int D = 96;                                                                  \
            __VA_ARGS__;                                                                           \
            break;                                                                                 \
        }                                                                                          \
        default: {                                                                                 \
            constexpr int D = 128;                                                                 \
            __VA_ARGS__;                                                                           \
            break;                                                                                 \
        }                                                                                          \
        }                                                                                          \
    } while (0)

/* ---- pieces of the tensor-core kernels ---- */

/* Tiles in shared memory have rows of width + 8 elements: an odd number of 16-byte units for every
 * width, so that the 8 rows of an 8x8 matrix lie in different banks. */
template <int D> constexpr int attn_ld = D + 8;

/* Begins to copy ROWS rows of a head into shared memory; those from `valid` on become zero. */
template <int D, int ROWS, int THREADS>
WK_DEVICE void attn_load(bf16 *tile, const bf16 *rows, int64_t ld, int valid) {
    static_assert(ROWS * (D / 8) % THREADS == 0, "no thread idles");
#pragma unroll
    for (int n = 0; n < ROWS * (D / 8) / THREADS; n++) {
        const int i = n * THREADS + (int)threadIdx.x;
        const int row = i / (D / 8), col = i % (D / 8) * 8;
        const bool in = row < valid;
        cp_async16(tile + row * attn_ld<D> + col, rows + (in ? row * ld : 0) + col, in);
    }
}

/* Operands of mma_m16n8k16 from a row-major tile in shared memory, x being their first element:
 * A (16x16) from x[m][k] or, _t, from x[k][m];  two neighbouring B (16x8) from x[n][k] or, _t, from
 * x[k][n]. */
template <int LD> WK_DEVICE void frag_a(uint32_t (&a)[4], const bf16 *x) {
    const int lane = threadIdx.x % WARP;
    ldmatrix_x4(a, x + lane % 16 * LD + lane / 16 * 8);
}
template <int LD> WK_DEVICE void frag_a_t(uint32_t (&a)[4], const bf16 *x) {
    const int lane = threadIdx.x % WARP;
    ldmatrix_x4_trans(a, x + (lane / 16 * 8 + lane % 8) * LD + (lane & 8));
}
template <int LD> WK_DEVICE void frag_b(uint32_t (&b)[2][2], const bf16 *x) {
    const int lane = threadIdx.x % WARP;
    uint32_t r[4];
    ldmatrix_x4(r, x + (lane / 16 * 8 + lane % 8) * LD + (lane & 8));
    b[0][0] = r[0], b[0][1] = r[1], b[1][0] = r[2], b[1][1] = r[3];
}
template <int LD> WK_DEVICE void frag_b_t(uint32_t (&b)[2][2], const bf16 *x) {
    const int lane = threadIdx.x % WARP;
    uint32_t r[4];
    ldmatrix_x4_trans(r, x + lane % 16 * LD + lane / 16 * 8);
    b[0][0] = r[0], b[0][1] = r[1], b[1][0] = r[2], b[1][1] = r[3];
}

/* Two neighbouring 16x8 results as the A operand of the next product. */
WK_DEVICE void frag_of(uint32_t (&a)[4], const float (&left)[4], const float (&right)[4]) {
    a[0] = pack_bf16(left[0], left[1]);
    a[1] = pack_bf16(left[2], left[3]);
    a[2] = pack_bf16(right[0], right[1]);
    a[3] = pack_bf16(right[2], right[3]);
}

/* d += a x over a row of 16x8 results: x[n][k] or, _t, x[k][n], n from 0 to 8*N. */
template <int LD, int N>
WK_DEVICE void mma_row(float (&d)[N][4], const uint32_t (&a)[4], const bf16 *x) {
#pragma unroll
    for (int n = 0; n < N; n += 2) {
        uint32_t b[2][2];
        frag_b<LD>(b, x + n * 8 * LD);
        mma_m16n8k16(d[n], a, b[0]);
        mma_m16n8k16(d[n + 1], a, b[1]);
    }
}
template <int LD, int N>
WK_DEVICE void mma_row_t(float (&d)[N][4], const uint32_t (&a)[4], const bf16 *x) {
#pragma unroll
    for (int n = 0; n < N; n += 2) {
        uint32_t b[2][2];
        frag_b_t<LD>(b, x + n * 8);
        mma_m16n8k16(d[n], a, b[0]);
        mma_m16n8k16(d[n + 1], a, b[1]);
    }
}

template <int N> WK_DEVICE void attn_clear(float (&d)[N][4]) {
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) d[n][e] = 0;
}

/* The warp writes its 16 rows, times by[0] in the upper eight and by[1] in the lower, `valid` of
 * them; `stage` is 16 rows of shared memory that no other warp uses now. */
template <int D>
WK_DEVICE void attn_store(bf16 *stage, const float (&acc)[D / 8][4], const float (&by)[2],
                          bf16 *rows, int64_t ld, int valid) {
    const int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    __syncwarp();
#pragma unroll
    for (int n = 0; n < D / 8; n++)
#pragma unroll
        for (int r = 0; r < 2; r++)
            *reinterpret_cast<uint32_t *>(stage + (g + 8 * r) * attn_ld<D> + n * 8 + 2 * t) =
                pack_bf16(acc[n][2 * r] * by[r], acc[n][2 * r + 1] * by[r]);
    __syncwarp();
#pragma unroll
    for (int n = 0; n < 16 * (D / 8) / WARP; n++) {
        const int i = n * WARP + lane, row = i / (D / 8), col = i % (D / 8) * 8;
        if (row < valid)
            *reinterpret_cast<uint4 *>(rows + row * ld + col) =
                *reinterpret_cast<const uint4 *>(stage + row * attn_ld<D> + col);
    }
}

#endif
