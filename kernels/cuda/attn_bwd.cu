/* Attention backward on tensor cores, any length: FlashAttention-2 (Dao 2023), split so that every
 * sum has one owner and no atomics are needed. One kernel has a tile of keys to a CTA and visits
 * the queries, for dk and dv; the other a tile of queries and visits the keys, for dq. Both compute
 * p = exp(scale q k - lse) and ds = p (d_o v - delta) again, seven products instead of five. p and
 * ds are rounded to bfloat16 for the products that they enter.
 *
 * Rows behind the sequence's end are zeros in shared memory, with lse and delta 0: as queries they
 * add nothing to dk and dv; as keys they are masked, since exp(0 - lse) may be infinite. */
#include "kernels/cuda/attn.cuh"

#define STEP 32 /* queries or keys whose scores a warp has in registers at once */

/* p and ds of a 16x8 block from s and dp, in place. e-th element: lse[e] is times log2(e). */
WK_DEVICE void score_gradient(float (&s)[4], float (&dp)[4], float c, const float (&lse)[4],
                              const float (&delta)[4]) {
#pragma unroll
    for (int e = 0; e < 4; e++) {
        s[e] = exp2_approx(fmaf(s[e], c, -lse[e]));
        dp[e] = s[e] * (dp[e] - delta[e]);
    }
}

/* ---- delta ---- */

/* Eight lanes to a row of a head. */
template <int D> __global__ void __launch_bounds__(256) attn_delta_k(attn_call<bf16> a) {
    const attn_place p = attn_find(a.deal, ATTN_TILE, false);
    if (p.len == 0) return;
    const int lane = (int)threadIdx.x % 8;
#pragma unroll
    for (int n = 0; n < ATTN_TILE / 32; n++) {
        const int i = p.tile * ATTN_TILE + n * 32 + (int)threadIdx.x / 8;
        const int64_t row = p.begin + (i < p.len ? i : 0);
        float sum = 0;
#pragma unroll
        for (int col = 0; col < D; col += 64)
            if (col + lane * 8 < D) {
                float x[8], y[8];
                load<8>(x, a.d_o.data + row * a.d_o.ld + p.head * D + col + lane * 8);
                load<8>(y, a.o.data + row * a.o.ld + p.head * D + col + lane * 8);
#pragma unroll
                for (int j = 0; j < 8; j++) sum = fmaf(x[j], y[j], sum);
            }
#pragma unroll
        for (int d = 4; d > 0; d /= 2) sum += __shfl_xor_sync(FULL, sum, d);
        if (lane == 0 && i < p.len)
            a.delta[row * a.delta_row + p.head * a.delta_head] = sum;
    }
}

/* ---- dk, dv ---- */

/* Queries of a stage: as many as leave the CTA within the shared memory of every GPU. */
template <int D> constexpr int dkv_queries = D <= 96 ? 64 : 32;
template <int D>
constexpr int dkv_bytes = (2 * ATTN_TILE + 4 * dkv_queries<D>)*attn_ld<D> * (int)sizeof(bf16) +
                          4 * dkv_queries<D> * (int)sizeof(float);

template <int D>
__global__ void __launch_bounds__(128, D <= 32 ? 3 : 2) attn_bwd_dkv_k(attn_call<bf16> a) {
    constexpr int LD = attn_ld<D>, QUERIES = dkv_queries<D>, SIZE = QUERIES * LD;
    const attn_place p = attn_find(a.deal, ATTN_TILE, false);
    if (p.len == 0) return;
    WK_DYN_SHARED(bf16, keys); /* k, v; two stages of q and d_o; two stages of lse and delta */
    bf16 *values = keys + ATTN_TILE * LD, *stages = values + ATTN_TILE * LD;
    float *sums = reinterpret_cast<float *>(stages + 4 * SIZE);

    const int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    const int k0 = p.tile * ATTN_TILE, mine = k0 + (int)threadIdx.x / WARP * 16;
    const int first = a.causal ? k0 / QUERIES : 0;
    const int tiles = (p.len + QUERIES - 1) / QUERIES - first, steps = tiles * a.group;
    const int64_t kv = (int64_t)p.head * D;
    const float c = a.scale * LOG2E;

    /* Step i is query tile first + i % tiles of the group's head i / tiles. */
    const auto load_queries = [&](int i) {
        const int head = p.head * a.group + i / tiles, q0 = (first + i % tiles) * QUERIES;
        bf16 *to = stages + i % 2 * 2 * SIZE;
        attn_load<D, QUERIES, 128>(to, a.q.data + (p.begin + q0) * a.q.ld + (int64_t)head * D,
                                   a.q.ld, p.len - q0);
        attn_load<D, QUERIES, 128>(to + SIZE,
                                   a.d_o.data + (p.begin + q0) * a.d_o.ld + (int64_t)head * D,
                                   a.d_o.ld, p.len - q0);
        cp_async_commit();
    };
    /* Thread i < QUERIES brings lse of query i, the next QUERIES delta. */
    const auto load_sum = [&](int i) {
        const int head = p.head * a.group + i / tiles, q0 = (first + i % tiles) * QUERIES;
        const int q = q0 + (int)threadIdx.x % QUERIES;
        const int64_t row = p.begin + q;
        if ((int)threadIdx.x >= 2 * QUERIES || q >= p.len) return 0.0f;
        return (int)threadIdx.x < QUERIES ? a.lse[row * a.lse_ld + head] * LOG2E
                                          : a.delta[row * a.delta_row + head * a.delta_head];
    };

    attn_load<D, ATTN_TILE, 128>(keys, a.k.data + (p.begin + k0) * a.k.ld + kv, a.k.ld,
                                 p.len - k0);
    attn_load<D, ATTN_TILE, 128>(values, a.v.data + (p.begin + k0) * a.v.ld + kv, a.v.ld,
                                 p.len - k0);
    load_queries(0);
    if ((int)threadIdx.x < 2 * QUERIES) sums[threadIdx.x] = load_sum(0);

    float dk[D / 8][4], dv[D / 8][4];
    attn_clear(dk);
    attn_clear(dv);
    for (int i = 0; i < steps; i++) {
        cp_async_wait<0>();
        __syncthreads(); /* stage i is there, and nobody reads the other one any more */
        float next = 0;
        if (i + 1 < steps) {
            load_queries(i + 1);
            next = load_sum(i + 1);
        }
        const bf16 *q = stages + i % 2 * 2 * SIZE, *d_o = q + SIZE;
        const float *lse = sums + i % 2 * 2 * QUERIES, *delta = lse + QUERIES;
        const int q0 = (first + i % tiles) * QUERIES;
        for (int at = 0; at < QUERIES; at += STEP) {
            if (mine >= p.len || q0 + at >= p.len) break;
            if (a.causal && q0 + at + STEP <= mine) continue; /* they see none of these keys */
            const bf16 *k = keys + (mine - k0) * LD, *v = values + (mine - k0) * LD;
            float s[STEP / 8][4], dp[STEP / 8][4];
            attn_clear(s);
            attn_clear(dp);
#pragma unroll
            for (int d = 0; d < D; d += 16) {
                uint32_t x[4];
                frag_a<LD>(x, k + d);
                mma_row<LD>(s, x, q + at * LD + d);
                frag_a<LD>(x, v + d);
                mma_row<LD>(dp, x, d_o + at * LD + d);
            }
            const bool diagonal = a.causal && q0 + at < mine + 15;
#pragma unroll
            for (int n = 0; n < STEP / 8; n++) {
                float l[4], dl[4];
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    l[e] = lse[at + n * 8 + 2 * t + e % 2];
                    dl[e] = delta[at + n * 8 + 2 * t + e % 2];
                }
                score_gradient(s[n], dp[n], c, l, dl);
                if (diagonal)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        if (q0 + at + n * 8 + 2 * t + e % 2 < mine + g + e / 2 * 8)
                            s[n][e] = dp[n][e] = 0;
            }
#pragma unroll
            for (int n = 0; n < STEP / 16; n++) {
                uint32_t x[4];
                frag_of(x, s[2 * n], s[2 * n + 1]);
                mma_row_t<LD>(dv, x, d_o + (at + n * 16) * LD);
                frag_of(x, dp[2 * n], dp[2 * n + 1]);
                mma_row_t<LD>(dk, x, q + (at + n * 16) * LD);
            }
        }
        if ((int)threadIdx.x < 2 * QUERIES) sums[(i + 1) % 2 * 2 * QUERIES + threadIdx.x] = next;
    }
    if (mine >= p.len) return;
    bf16 *stage = keys + (mine - k0) * LD; /* only this warp reads these keys */
    const float by_k[2] = {a.scale, a.scale}, by_v[2] = {1, 1};
    attn_store<D>(stage, dk, by_k, a.dk.data + (p.begin + mine) * a.dk.ld + kv, a.dk.ld,
                  p.len - mine);
    attn_store<D>(stage, dv, by_v, a.dv.data + (p.begin + mine) * a.dv.ld + kv, a.dv.ld,
                  p.len - mine);
}

/* ---- dq ---- */

template <int D> constexpr int dq_bytes = 4 * ATTN_TILE * attn_ld<D> * (int)sizeof(bf16);

template <int D>
__global__ void __launch_bounds__(128, D <= 64 ? 3 : 2) attn_bwd_dq_k(attn_call<bf16> a) {
    constexpr int LD = attn_ld<D>, SIZE = ATTN_TILE * LD;
    const attn_place p = attn_find(a.deal, ATTN_TILE, true);
    if (p.len == 0) return;
    WK_DYN_SHARED(bf16, shared); /* two stages of a tile of k and one of v */
    const int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    const int q0 = p.tile * ATTN_TILE, mine = q0 + (int)threadIdx.x / WARP * 16;
    const int tiles = a.causal ? p.tile + 1 : (p.len + ATTN_TILE - 1) / ATTN_TILE;
    const int64_t kv = (int64_t)(p.head / a.group) * D, head = (int64_t)p.head * D;
    const bf16 *k = a.k.data + p.begin * a.k.ld + kv, *v = a.v.data + p.begin * a.v.ld + kv;
    const float c = a.scale * LOG2E;

    bf16 *rows = shared + 2 * SIZE; /* q and d_o, until the second tile is loaded there */
    attn_load<D, ATTN_TILE, 128>(rows, a.q.data + (p.begin + q0) * a.q.ld + head, a.q.ld,
                                 p.len - q0);
    attn_load<D, ATTN_TILE, 128>(rows + SIZE, a.d_o.data + (p.begin + q0) * a.d_o.ld + head,
                                 a.d_o.ld, p.len - q0);
    attn_load<D, ATTN_TILE, 128>(shared, k, a.k.ld, p.len);
    attn_load<D, ATTN_TILE, 128>(shared + SIZE, v, a.v.ld, p.len);
    cp_async_commit();
    float lse[4], delta[4]; /* by element of a 16x8 block, as score_gradient wants them */
#pragma unroll
    for (int e = 0; e < 4; e++) {
        const int i = mine + g + e / 2 * 8;
        const int64_t row = p.begin + (i < p.len ? i : 0);
        lse[e] = i < p.len ? a.lse[row * a.lse_ld + p.head] * LOG2E : 0;
        delta[e] = i < p.len ? a.delta[row * a.delta_row + p.head * a.delta_head] : 0;
    }
    cp_async_wait<0>();
    __syncthreads();
    uint32_t q[D / 16][4], d_o[D / 16][4];
#pragma unroll
    for (int d = 0; d < D / 16; d++) {
        frag_a<LD>(q[d], rows + (mine - q0) * LD + d * 16);
        frag_a<LD>(d_o[d], rows + SIZE + (mine - q0) * LD + d * 16);
    }

    float dq[D / 8][4];
    attn_clear(dq);
    for (int tile = 0; tile < tiles; tile++) {
        const int k0 = tile * ATTN_TILE, next = k0 + ATTN_TILE;
        cp_async_wait<0>();
        __syncthreads(); /* the tile is there, and nobody reads the other stage any more */
        if (tile + 1 < tiles) {
            bf16 *to = shared + (tile + 1) % 2 * 2 * SIZE;
            attn_load<D, ATTN_TILE, 128>(to, k + next * a.k.ld, a.k.ld, p.len - next);
            attn_load<D, ATTN_TILE, 128>(to + SIZE, v + next * a.v.ld, a.v.ld, p.len - next);
            cp_async_commit();
        }
        const bf16 *keys = shared + tile % 2 * 2 * SIZE, *values = keys + SIZE;
        const int seen = a.causal && mine + 16 < p.len ? mine + 16 : p.len; /* by some query */
        for (int at = 0; at < ATTN_TILE; at += STEP) {
            if (mine >= p.len || k0 + at >= seen) break;
            float s[STEP / 8][4], dp[STEP / 8][4];
            attn_clear(s);
            attn_clear(dp);
#pragma unroll
            for (int d = 0; d < D / 16; d++) {
                mma_row<LD>(s, q[d], keys + at * LD + d * 16);
                mma_row<LD>(dp, d_o[d], values + at * LD + d * 16);
            }
            const bool edge = k0 + at + STEP > p.len || (a.causal && k0 + at + STEP > mine + 1);
#pragma unroll
            for (int n = 0; n < STEP / 8; n++) {
                score_gradient(s[n], dp[n], c, lse, delta);
                if (edge)
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        const int key = k0 + at + n * 8 + 2 * t + e % 2;
                        if (key >= p.len || (a.causal && key > mine + g + e / 2 * 8))
                            dp[n][e] = 0;
                    }
            }
#pragma unroll
            for (int n = 0; n < STEP / 16; n++) {
                uint32_t x[4];
                frag_of(x, dp[2 * n], dp[2 * n + 1]);
                mma_row_t<LD>(dq, x, keys + (at + n * 16) * LD);
            }
        }
    }
    __syncthreads();
    if (mine >= p.len) return;
    const float by[2] = {a.scale, a.scale};
    attn_store<D>(shared + (mine - q0) * LD, dq, by,
                  a.dq.data + (p.begin + mine) * a.dq.ld + head, a.dq.ld, p.len - mine);
}

/* ---- launch ---- */

template <int D>
static void launch(wk_dev *dev, attn_call<bf16> a, int64_t rows, int32_t max_len) {
    const int32_t key_heads = a.heads / a.group;
    a.deal.heads = a.heads;
    const int64_t slots = attn_slots(a.deal, ATTN_TILE, rows, max_len);
    ATTN_LAUNCH(dev, (attn_delta_k<D>), a, slots, 256, 0);
    a.deal.heads = key_heads;
    ATTN_LAUNCH(dev, (attn_bwd_dkv_k<D>), a, slots, 128, dkv_bytes<D>);
    /* Last, for delta may lie in dq: a CTA has read its own before it writes there. */
    a.deal.heads = a.heads;
    ATTN_LAUNCH(dev, (attn_bwd_dq_k<D>), a, slots, 128, dq_bytes<D>);
}

void attn_bwd_tensor(wk_dev *dev, attn_call<bf16> call, int64_t rows, int32_t max_len) {
    ATTN_WITH_WIDTH(call.width, D, launch<D>(dev, call, rows, max_len));
}
