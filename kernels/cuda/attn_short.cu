/* Attention backward on tensor cores for sequences of at most ATTN_SHORT tokens whose heads share
 * no keys: one CTA has all of a head's q, k, v and d_o in shared memory and computes p and ds once
 * for dq, dk and dv, five products and one pass over device memory. It is the path of packs of
 * short texts.
 *
 * The 128 rows of shared memory hold 128 / unit heads at once, unit being 32, 64 or 128 rows by the
 * sequence's length, so that short sequences fill a CTA too; its HEADS heads take one pass or more.
 * A warp has 16 of the rows: as keys for p, ds, dv and dk, then as queries for dq. In between ds
 * goes through shared memory, transposed, each warp writing the rows of its own keys, where their
 * values lay before: those are in registers by then. */
#include "kernels/cuda/attn.cuh"

#define ROWS    ATTN_SHORT
#define THREADS (ROWS / 16 * WARP)
#define HEADS   4
#define STEP    32         /* queries whose scores a warp has in registers at once */
#define DS_LD   (ROWS + 8) /* at least attn_ld of every width: values and ds share these rows */

template <int D>
constexpr int short_bytes = (3 * ROWS * attn_ld<D> + ROWS * DS_LD) * (int)sizeof(bf16) +
                            2 * ROWS * (int)sizeof(float);

/* Two CTAs of width 64 fit an SM's shared memory from sm_90 on: then the registers must too. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#    define TWICE_UP_TO 64
#else
#    define TWICE_UP_TO 32
#endif

/* What a pass has in shared memory, and where this thread's warp works. */
struct short_pass {
    int64_t begin;
    int len, unit, head; /* head of row 0 */
};

/* q, k, v, d_o, lse and delta of the pass's heads; zeros where there is no row or head. */
template <int D>
WK_DEVICE void short_load(const attn_call<bf16> &a, const short_pass &p, bf16 *q, bf16 *k,
                          bf16 *d_o, bf16 *v, float *lse, float *delta) {
    constexpr int LD = attn_ld<D>, CHUNKS = D / 8;
    static_assert(ROWS * CHUNKS % THREADS == 0, "no thread idles");
#pragma unroll
    for (int n = 0; n < ROWS * CHUNKS / THREADS; n++) {
        const int i = n * THREADS + (int)threadIdx.x, row = i / CHUNKS, col = i % CHUNKS * 8;
        const int head = p.head + row / p.unit;
        const bool in = row % p.unit < p.len && head < a.heads;
        const int64_t at = in ? p.begin + row % p.unit : 0, first = in ? head * D + col : 0;
        cp_async16(q + row * LD + col, a.q.data + at * a.q.ld + first, in);
        cp_async16(k + row * LD + col, a.k.data + at * a.k.ld + first, in);
        cp_async16(d_o + row * LD + col, a.d_o.data + at * a.d_o.ld + first, in);
        cp_async16(v + row * DS_LD + col, a.v.data + at * a.v.ld + first, in);
    }
    cp_async_commit();

    /* delta: eight lanes to a row, o straight from device memory while the copies run. */
    constexpr int EACH = ROWS * 8 / THREADS, PARTS = (CHUNKS + 7) / 8;
    const int lane = (int)threadIdx.x % 8;
    packed<bf16, 8> o[EACH][PARTS];
#pragma unroll
    for (int n = 0; n < EACH; n++) {
        const int row = n * (THREADS / 8) + (int)threadIdx.x / 8;
        const int head = p.head + row / p.unit;
        const bool in = row % p.unit < p.len && head < a.heads;
        const int64_t at = in ? p.begin + row % p.unit : 0;
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            const int col = (part * 8 + lane) * 8;
            o[n][part] = {};
            if (in && col < D)
                o[n][part] = *reinterpret_cast<const packed<bf16, 8> *>(
                    a.o.data + at * a.o.ld + head * D + col);
        }
        if (lane == 0) lse[row] = in ? a.lse[at * a.lse_ld + head] * LOG2E : 0;
    }
    cp_async_wait<0>();
    __syncthreads();
#pragma unroll
    for (int n = 0; n < EACH; n++) {
        const int row = n * (THREADS / 8) + (int)threadIdx.x / 8;
        float sum = 0;
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            const int col = (part * 8 + lane) * 8;
            if (col >= D) continue;
            float x[8];
            load<8>(x, d_o + row * LD + col);
#pragma unroll
            for (int j = 0; j < 8; j++) sum = fmaf(x[j], to_float(o[n][part].v[j]), sum);
        }
#pragma unroll
        for (int d = 4; d > 0; d /= 2) sum += __shfl_xor_sync(FULL, sum, d);
        if (lane == 0) delta[row] = sum;
    }
    __syncthreads();
}

/* The warp's 16 keys, the first of which is `mine` in the sequence, against the queries of their
 * head: dv and, in shared memory, ds. Arguments point at the head's first row, but k and ds, which
 * hold v before, at the warp's. */
template <int D>
WK_DEVICE void short_keys(const attn_call<bf16> &a, float (&dv)[D / 8][4], int mine, int len,
                          const bf16 *q, const bf16 *d_o, const float *lse, const float *delta,
                          const bf16 *k, bf16 *ds) {
    constexpr int LD = attn_ld<D>;
    const int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    const float c = a.scale * LOG2E;
    uint32_t v[D / 16][4];
#pragma unroll
    for (int d = 0; d < D / 16; d++) frag_a<DS_LD>(v[d], ds + d * 16);
    __syncwarp();
    /* The first step with a query that sees a key; dq does not read ds of those before it. */
    for (int q0 = a.causal ? mine / STEP * STEP : 0; q0 < len; q0 += STEP) {
        float s[STEP / 8][4], dp[STEP / 8][4];
        attn_clear(s);
        attn_clear(dp);
#pragma unroll
        for (int d = 0; d < D / 16; d++) {
            uint32_t x[4];
            frag_a<LD>(x, k + d * 16);
            mma_row<LD>(s, x, q + q0 * LD + d * 16);
            mma_row<LD>(dp, v[d], d_o + q0 * LD + d * 16);
        }
#pragma unroll
        for (int n = 0; n < STEP / 8; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int query = q0 + n * 8 + 2 * t + e % 2, key = mine + g + e / 2 * 8;
                /* A key behind the end may give an infinite p, and dq sums over keys. */
                const bool seen = key < len && !(a.causal && query < key);
                s[n][e] = seen ? exp2_approx(fmaf(s[n][e], c, -lse[query])) : 0.0f;
                dp[n][e] = s[n][e] * (dp[n][e] - delta[query]);
            }
#pragma unroll
        for (int n = 0; n < STEP / 16; n++) {
            uint32_t x[4];
            frag_of(x, s[2 * n], s[2 * n + 1]);
            mma_row_t<LD>(dv, x, d_o + (q0 + n * 16) * LD);
            frag_of(x, dp[2 * n], dp[2 * n + 1]);
            uint32_t *to = reinterpret_cast<uint32_t *>(ds + g * DS_LD + q0 + n * 16 + 2 * t);
            to[0] = x[0];
            to[4 * DS_LD] = x[1]; /* 8 rows on */
            to[4] = x[2];         /* 8 queries on */
            to[4 * DS_LD + 4] = x[3];
        }
    }
    __syncwarp();
}

template <int D>
__global__ void __launch_bounds__(THREADS, D <= TWICE_UP_TO ? 2 : 1)
    attn_bwd_short_k(attn_call<bf16> a) {
    constexpr int LD = attn_ld<D>, SIZE = ROWS * LD;
    WK_DYN_SHARED(bf16, q);
    bf16 *k = q + SIZE, *d_o = k + SIZE, *ds = d_o + SIZE;
    float *lse = reinterpret_cast<float *>(ds + ROWS * DS_LD), *delta = lse + ROWS;
    const int groups = (a.heads + HEADS - 1) / HEADS;
    const int64_t seq = a.deal.first + blockIdx.x / (unsigned)groups;
    short_pass p;
    p.begin = a.deal.off[seq];
    p.len = a.deal.off[seq + 1] - (int)p.begin;
    if (p.len == 0 || p.len > ATTN_SHORT) return;
    p.unit = p.len <= 32 ? 32 : p.len <= 64 ? 64 : 128;
    const int units = ROWS / p.unit, head0 = (int)(blockIdx.x % (unsigned)groups) * HEADS;
    const int wrow = (int)threadIdx.x / WARP * 16, base = wrow / p.unit * p.unit;
    const int mine = wrow - base;

    for (p.head = head0; p.head < head0 + HEADS && p.head < a.heads; p.head += units) {
        short_load<D>(a, p, q, k, d_o, ds, lse, delta);
        const int head = p.head + base / p.unit;
        const bool works = mine < p.len && head < a.heads;
        const int64_t row = p.begin + mine, col = (int64_t)head * D;
        bf16 *stage = d_o + wrow * LD;
        const float by[2] = {a.scale, a.scale}, once[2] = {1, 1};
        float acc[D / 8][4];
        attn_clear(acc);
        if (works)
            short_keys<D>(a, acc, mine, p.len, q + base * LD, d_o + base * LD, lse + base,
                          delta + base, k + wrow * LD, ds + wrow * DS_LD);
        __syncthreads(); /* ds is there, and d_o is free */
        if (works) {
            attn_store<D>(stage, acc, once, a.dv.data + row * a.dv.ld + col, a.dv.ld,
                          p.len - mine);
            attn_clear(acc);
            for (int q0 = a.causal ? mine : 0; q0 < p.len; q0 += 16) {
                uint32_t x[4];
                frag_a<DS_LD>(x, ds + wrow * DS_LD + q0);
                mma_row_t<LD>(acc, x, q + (base + q0) * LD);
            }
            attn_store<D>(stage, acc, by, a.dk.data + row * a.dk.ld + col, a.dk.ld, p.len - mine);
            attn_clear(acc);
            const int seen = a.causal && mine + 16 < p.len ? mine + 16 : p.len;
            for (int k0 = 0; k0 < seen; k0 += 16) {
                uint32_t x[4];
                frag_a_t<DS_LD>(x, ds + (base + k0) * DS_LD + mine);
                mma_row_t<LD>(acc, x, k + (base + k0) * LD);
            }
            attn_store<D>(stage, acc, by, a.dq.data + row * a.dq.ld + col, a.dq.ld, p.len - mine);
        }
        __syncthreads();
    }
}

template <int D> static bool launch(wk_dev *dev, attn_call<bf16> a) {
    if (short_bytes<D> > cuda_lane_of(dev)->smem_max) return false;
    a.deal.heads = (int32_t)ceil_div(a.heads, HEADS);
    ATTN_LAUNCH(dev, (attn_bwd_short_k<D>), a, (int64_t)a.deal.seqs, THREADS, short_bytes<D>);
    return true;
}

bool attn_bwd_short(wk_dev *dev, const attn_call<bf16> &call) {
    if (call.group != 1) return false;
    ATTN_WITH_WIDTH(call.width, D, return launch<D>(dev, call));
    return false;
}
