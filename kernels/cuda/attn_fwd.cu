/* Attention forward on tensor cores: FlashAttention-2 (Dao 2023) for sm_80. A warp has 16 queries,
 * keeps their output and running sums in registers and visits the keys in tiles of 64. Scores are
 * float32; probabilities are rounded to bfloat16 for the product with v, but not for the row's sum.
 *
 * Two kernels: one for any length, a CTA per tile of 64 queries; one for at most ATTN_SHORT tokens,
 * a CTA per HEADS heads of a sequence, with all of q, k and v in shared memory at once. */
#include "kernels/cuda/attn.cuh"

#define KEYS ATTN_TILE

/* The warp's 16 queries: lane l has rows l/4 and l/4 + 8. HELD: the queries are in registers, else
 * they stay in shared memory, for kernels that have the room there but not here. */
template <int D, bool HELD> struct softmax_state {
    uint32_t held[HELD ? D / 16 : 1][4];
    const bf16 *queries;
    float o[D / 8][4];    /* sum of p v */
    float top[2], sum[2]; /* largest score so far; this lane's part of the sum of p */
    float c;              /* |scale| * log2(e) */
    uint32_t sign;        /* of scale, as a mask for two bf16: it goes into the queries */
};

template <int D, bool HELD>
WK_DEVICE void softmax_query(softmax_state<D, HELD> &w, uint32_t (&q)[4], int d) {
    frag_a<attn_ld<D>>(q, w.queries + d * 16);
#pragma unroll
    for (int i = 0; i < 4; i++) q[i] ^= w.sign;
}

template <int D, bool HELD>
WK_DEVICE void softmax_begin(softmax_state<D, HELD> &w, const bf16 *queries, float scale) {
    w.queries = queries;
    w.sign = scale < 0 ? 0x80008000u : 0u;
    if constexpr (HELD)
#pragma unroll
        for (int d = 0; d < D / 16; d++) softmax_query(w, w.held[d], d);
    attn_clear(w.o);
    w.top[0] = w.top[1] = -3.4e38f; /* finite, so that top * 0 is a number when scale is 0 */
    w.sum[0] = w.sum[1] = 0;
    w.c = fabsf(scale) * LOG2E;
}

/* A tile of 64 keys. ALL: every query sees every key. Else a query sees the first `keys`, and of
 * those the warp's row i sees the first diag + i. */
template <int D, bool HELD, bool ALL>
WK_DEVICE void softmax_tile(softmax_state<D, HELD> &w, const bf16 *k, const bf16 *v, int keys,
                            int diag) {
    constexpr int LD = attn_ld<D>;
    const int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    const int blocks = ((keys < diag + 15 ? keys : diag + 15) + 15) / 16; /* of 16 keys, in sight */
    float s[KEYS / 8][4];
    attn_clear(s);
#pragma unroll
    for (int d = 0; d < D / 16; d++) {
        uint32_t loaded[4];
        if constexpr (!HELD) softmax_query(w, loaded, d);
        const uint32_t(&q)[4] = HELD ? w.held[HELD ? d : 0] : loaded;
#pragma unroll
        for (int n = 0; n < KEYS / 16; n++)
            if (ALL || n < blocks) {
                uint32_t b[2][2];
                frag_b<LD>(b, k + n * 16 * LD + d * 16);
                mma_m16n8k16(s[2 * n], q, b[0]);
                mma_m16n8k16(s[2 * n + 1], q, b[1]);
            }
    }

    float high[2] = {w.top[0], w.top[1]}, shift[2];
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int key = n * 8 + 2 * t + e % 2;
            if (!ALL && (key >= keys || key >= diag + g + e / 2 * 8)) s[n][e] = -INFINITY;
            high[e / 2] = fmaxf(high[e / 2], s[n][e]);
        }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        high[r] = fmaxf(high[r], __shfl_xor_sync(FULL, high[r], 1));
        high[r] = fmaxf(high[r], __shfl_xor_sync(FULL, high[r], 2));
        const float shrink = exp2_approx((w.top[r] - high[r]) * w.c);
        w.top[r] = high[r];
        shift[r] = -high[r] * w.c;
        w.sum[r] *= shrink;
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            w.o[n][2 * r] *= shrink;
            w.o[n][2 * r + 1] *= shrink;
        }
    }
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const float p = exp2_approx(fmaf(s[n][e], w.c, shift[e / 2]));
            s[n][e] = !ALL && s[n][e] == -INFINITY ? 0.0f : p;
            w.sum[e / 2] += s[n][e];
        }
#pragma unroll
    for (int n = 0; n < KEYS / 16; n++)
        if (ALL || n < blocks) {
            uint32_t p[4];
            frag_of(p, s[2 * n], s[2 * n + 1]);
            mma_row_t<LD>(w.o, p, v + n * 16 * LD);
        }
}

/* Writes the output and lse of the warp's first `valid` rows, the first of which is token `row`. */
template <int D, bool HELD>
WK_DEVICE void softmax_end(softmax_state<D, HELD> &w, const attn_call<bf16> &a, bf16 *stage,
                           int64_t row, int head, int valid) {
    const int lane = threadIdx.x % WARP, g = lane / 4;
    float by[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        w.sum[r] += __shfl_xor_sync(FULL, w.sum[r], 1);
        w.sum[r] += __shfl_xor_sync(FULL, w.sum[r], 2);
        by[r] = 1.0f / w.sum[r];
        if (lane % 4 == 0 && g + 8 * r < valid)
            a.lse[(row + g + 8 * r) * a.lse_ld + head] =
                w.top[r] * fabsf(a.scale) + logf(w.sum[r]);
    }
    attn_store<D>(stage, w.o, by, a.o.data + row * a.o.ld + head * D, a.o.ld, valid);
}

/* ---- any length ---- */

template <int D> constexpr int fwd_bytes = 4 * KEYS * attn_ld<D> * (int)sizeof(bf16);

template <int D>
__global__ void __launch_bounds__(128, D <= 96 ? 3 : 2) attn_fwd_k(attn_call<bf16> a) {
    constexpr int SIZE = KEYS * attn_ld<D>;
    const attn_place p = attn_find(a.deal, ATTN_TILE, true);
    if (p.len == 0) return;
    WK_DYN_SHARED(bf16, shared); /* two stages of a tile of k and one of v */
    const int q0 = p.tile * ATTN_TILE, mine = q0 + (int)threadIdx.x / WARP * 16;
    const int tiles = a.causal ? p.tile + 1 : (p.len + KEYS - 1) / KEYS;
    const int64_t kv = (int64_t)(p.head / a.group) * D;
    const bf16 *k = a.k.data + p.begin * a.k.ld + kv, *v = a.v.data + p.begin * a.v.ld + kv;

    bf16 *queries = shared + 2 * SIZE; /* until the second tile of k is loaded there */
    attn_load<D, ATTN_TILE, 128>(queries, a.q.data + (p.begin + q0) * a.q.ld + p.head * D, a.q.ld,
                                 p.len - q0);
    attn_load<D, KEYS, 128>(shared, k, a.k.ld, p.len);
    attn_load<D, KEYS, 128>(shared + SIZE, v, a.v.ld, p.len);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    softmax_state<D, true> w;
    softmax_begin(w, queries + (mine - q0) * attn_ld<D>, a.scale);

    for (int tile = 0; tile < tiles; tile++) {
        const int k0 = tile * KEYS, next = k0 + KEYS;
        cp_async_wait<0>();
        __syncthreads(); /* the tile is there, and nobody reads the other stage any more */
        if (tile + 1 < tiles) {
            bf16 *to = shared + (tile + 1) % 2 * 2 * SIZE;
            attn_load<D, KEYS, 128>(to, k + next * a.k.ld, a.k.ld, p.len - next);
            attn_load<D, KEYS, 128>(to + SIZE, v + next * a.v.ld, a.v.ld, p.len - next);
            cp_async_commit();
        }
        const bf16 *at = shared + tile % 2 * 2 * SIZE;
        if (mine >= p.len) continue;
        if (next <= p.len && !(a.causal && tile == p.tile))
            softmax_tile<D, true, true>(w, at, at + SIZE, KEYS, KEYS);
        else
            softmax_tile<D, true, false>(w, at, at + SIZE, p.len - k0,
                                         a.causal ? mine - k0 + 1 : KEYS);
    }
    __syncthreads();
    if (mine < p.len)
        softmax_end(w, a, shared + (mine - q0) * attn_ld<D>, p.begin + mine, p.head,
                       p.len - mine);
}

/* ---- short sequences ---- */

/* The 128 rows of shared memory hold 128 / unit heads at once, unit being 32, 64 or 128 rows by the
 * sequence's length; the CTA's HEADS heads take one pass or more. */
#define HEADS 4

template <int D> constexpr int fwd_short_bytes = 3 * ATTN_SHORT * attn_ld<D> * (int)sizeof(bf16);

template <int D>
__global__ void __launch_bounds__(256, D <= 64 ? 2 : 1) attn_fwd_short_k(attn_call<bf16> a) {
    constexpr int LD = attn_ld<D>, SIZE = ATTN_SHORT * LD;
    WK_DYN_SHARED(bf16, shared); /* q, k, v */
    const int groups = (a.heads + HEADS - 1) / HEADS;
    const int64_t seq = a.deal.first + blockIdx.x / (unsigned)groups;
    const int64_t begin = a.deal.off[seq];
    const int len = a.deal.off[seq + 1] - (int)begin;
    if (len == 0 || len > ATTN_SHORT) return;
    const int first = (int)(blockIdx.x % (unsigned)groups) * HEADS;
    const int unit = len <= 32 ? 32 : len <= 64 ? 64 : 128, units = ATTN_SHORT / unit;
    const int wrow = (int)threadIdx.x / WARP * 16, base = wrow / unit * unit, mine = wrow - base;
    for (int pass = 0; pass < HEADS / units; pass++) {
        if (first + pass * units >= a.heads) break;
#pragma unroll
        for (int n = 0; n < ATTN_SHORT * (D / 8) / 256; n++) {
            const int i = n * 256 + (int)threadIdx.x, row = i / (D / 8), col = i % (D / 8) * 8;
            const int head = first + pass * units + row / unit;
            const bool in = row % unit < len && head < a.heads;
            const int64_t at = in ? begin + row % unit : 0;
            const int64_t q = in ? head * D : 0, kv = in ? head / a.group * D : 0;
            cp_async16(shared + row * LD + col, a.q.data + at * a.q.ld + q + col, in);
            cp_async16(shared + SIZE + row * LD + col, a.k.data + at * a.k.ld + kv + col, in);
            cp_async16(shared + 2 * SIZE + row * LD + col, a.v.data + at * a.v.ld + kv + col, in);
        }
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        const int head = first + pass * units + base / unit;
        if (mine < len && head < a.heads) {
            softmax_state<D, false> w;
            softmax_begin(w, shared + wrow * LD, a.scale);
            const int last = a.causal && mine + 16 < len ? mine + 16 : len; /* keys in sight */
            for (int k0 = 0; k0 < last; k0 += KEYS) {
                const bf16 *k = shared + SIZE + (base + k0) * LD;
                softmax_tile<D, false, false>(w, k, k + SIZE, len - k0,
                                              a.causal ? mine - k0 + 1 : KEYS);
            }
            softmax_end(w, a, shared + wrow * LD, begin + mine, head, len - mine);
        }
        __syncthreads();
    }
}

/* ---- launch ---- */

template <int D>
static void launch(wk_dev *dev, attn_call<bf16> a, int64_t rows, int32_t max_len) {
    a.deal.heads = (int32_t)ceil_div(a.heads, HEADS);
    a.deal.shortest = 1;
    if (fwd_short_bytes<D> <= cuda_lane_of(dev)->smem_max) {
        ATTN_LAUNCH(dev, (attn_fwd_short_k<D>), a, (int64_t)a.deal.seqs, 256, fwd_short_bytes<D>);
        if (max_len <= ATTN_SHORT) return;
        a.deal.shortest = ATTN_SHORT + 1;
    }
    a.deal.heads = a.heads;
    const int64_t slots = attn_slots(a.deal, ATTN_TILE, rows, max_len);
    ATTN_LAUNCH(dev, (attn_fwd_k<D>), a, slots, 128, fwd_bytes<D>);
}

void attn_fwd_tensor(wk_dev *dev, attn_call<bf16> call, int64_t rows, int32_t max_len) {
    ATTN_WITH_WIDTH(call.width, D, launch<D>(dev, call, rows, max_len));
}
