/* Attention without tensor cores: float32, whose products may not be rounded, and bfloat16 of head
 * widths or alignments that the tensor-core kernels cannot take. All arithmetic is float32.
 *
 * A CTA owns rows (queries, or keys for dk and dv), EACH to a warp, and visits the others in tiles
 * of 32 in shared memory. Scores have a lane to a visited row; sums over the visited rows have a
 * lane to every 32nd column, CHUNKS of them. */
#include "kernels/cuda/attn.cuh"

#define WARPS   8
#define THREADS (WARPS * WARP)
#define TILE    WARP

/* Rows that a warp owns: few when heads are wide, for the sake of shared memory. */
template <int CHUNKS> constexpr int plain_each = CHUNKS <= 4 ? 4 : 1;

/* Rows of owners are padded to 16 bytes for float4; visited rows to an odd number of floats, so
 * that a column of them lies in 32 banks. */
static __host__ __device__ int owner_ld(int width) {
    return (width + 3) / 4 * 4;
}
static __host__ __device__ int tile_ld(int width) {
    return width | 1;
}

/* Rows first.. of a head as floats; zeros from `valid` on. */
template <class T>
WK_DEVICE void load_rows(float *to, int to_ld, const T *rows, int64_t ld, int count, int valid,
                         int width) {
    const int lane = threadIdx.x % WARP;
    for (int i = (int)threadIdx.x / WARP; i < count; i += WARPS)
        for (int j = lane; j < width; j += WARP)
            to[i * to_ld + j] = i < valid ? to_float(rows[i * ld + j]) : 0.0f;
}

/* dots[i] = owner row i . the lane's visited row */
template <int EACH>
WK_DEVICE void dot_rows(float (&dots)[EACH], const float *owners, const float *visited, int width) {
    const int ld = owner_ld(width), whole = width / 4 * 4;
#pragma unroll
    for (int i = 0; i < EACH; i++) dots[i] = 0;
#pragma unroll 2
    for (int j = 0; j < whole; j += 4) {
        const float y[4] = {visited[j], visited[j + 1], visited[j + 2], visited[j + 3]};
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            const float4 x = *reinterpret_cast<const float4 *>(owners + i * ld + j);
            dots[i] = fmaf(x.x, y[0], dots[i]);
            dots[i] = fmaf(x.y, y[1], dots[i]);
            dots[i] = fmaf(x.z, y[2], dots[i]);
            dots[i] = fmaf(x.w, y[3], dots[i]);
        }
    }
    for (int j = whole; j < width; j++)
#pragma unroll
        for (int i = 0; i < EACH; i++) dots[i] = fmaf(owners[i * ld + j], visited[j], dots[i]);
}

/* acc[i][c] += sum over the tile's rows of weight[i][row] * tile[row][lane + 32c], in order. */
template <int EACH, int CHUNKS>
WK_DEVICE void add_rows(float (&acc)[EACH][CHUNKS], const float *weight, const float *tile,
                        int width) {
    const int lane = threadIdx.x % WARP, ld = tile_ld(width);
#pragma unroll 2
    for (int row = 0; row < TILE; row += 4) {
        float4 w[EACH];
#pragma unroll
        for (int i = 0; i < EACH; i++)
            w[i] = *reinterpret_cast<const float4 *>(weight + i * TILE + row);
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            const int col = lane + c * WARP;
            if (col >= width) continue;
            const float *x = tile + row * ld + col;
            const float y[4] = {x[0], x[ld], x[2 * ld], x[3 * ld]};
#pragma unroll
            for (int i = 0; i < EACH; i++) {
                acc[i][c] = fmaf(w[i].x, y[0], acc[i][c]);
                acc[i][c] = fmaf(w[i].y, y[1], acc[i][c]);
                acc[i][c] = fmaf(w[i].z, y[2], acc[i][c]);
                acc[i][c] = fmaf(w[i].w, y[3], acc[i][c]);
            }
        }
    }
}

/* The head's columns of the warp's rows, `valid` of them, times `by`. */
template <class T, int EACH, int CHUNKS>
WK_DEVICE void store_rows(attn_rows<T> y, int64_t row, int64_t col, int valid, int width,
                          const float (&acc)[EACH][CHUNKS], const float (&by)[EACH]) {
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            const int j = (int)threadIdx.x % WARP + c * WARP;
            if (i < valid && j < width) set(y.data[(row + i) * y.ld + col + j], acc[i][c] * by[i]);
        }
}

/* ---- forward ---- */

template <int CHUNKS> static int64_t fwd_plain_bytes(int width) {
    constexpr int OWN = WARPS * plain_each<CHUNKS>;
    return (OWN * (owner_ld(width) + TILE) + 2 * TILE * tile_ld(width)) * (int)sizeof(float);
}

template <class T, int CHUNKS>
__global__ void __launch_bounds__(THREADS, 2) attn_fwd_plain_k(attn_call<T> a) {
    constexpr int EACH = plain_each<CHUNKS>, OWN = WARPS * EACH;
    const attn_place p = attn_find(a.deal, OWN, true);
    if (p.len == 0) return;
    const int width = a.width, ld = tile_ld(width);
    const int lane = threadIdx.x % WARP, local = (int)threadIdx.x / WARP * EACH;
    const int q0 = p.tile * OWN, mine = q0 + local;
    const int64_t col = (int64_t)p.head * width, kv = (int64_t)(p.head / a.group) * width;
    WK_DYN_SHARED(float, queries);
    float *weight = queries + OWN * owner_ld(width) + local * TILE; /* p of the warp's rows */
    float *keys = queries + OWN * (owner_ld(width) + TILE), *values = keys + TILE * ld;
    load_rows(queries, owner_ld(width), a.q.data + (p.begin + q0) * a.q.ld + col, a.q.ld, OWN,
              p.len - q0, width);

    float o[EACH][CHUNKS] = {}, top[EACH], sum[EACH] = {}; /* sum: this lane's part */
#pragma unroll
    for (int i = 0; i < EACH; i++) top[i] = -INFINITY;
    const int last = a.causal && q0 + OWN < p.len ? q0 + OWN : p.len; /* keys that some row sees */
    for (int k0 = 0; k0 < last; k0 += TILE) {
        __syncthreads();
        load_rows(keys, ld, a.k.data + (p.begin + k0) * a.k.ld + kv, a.k.ld, TILE, p.len - k0,
                  width);
        load_rows(values, ld, a.v.data + (p.begin + k0) * a.v.ld + kv, a.v.ld, TILE, p.len - k0,
                  width);
        __syncthreads();
        if (mine >= p.len || (a.causal && k0 >= mine + EACH)) continue;
        float s[EACH];
        dot_rows(s, queries + local * owner_ld(width), keys + lane * ld, width);
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            const int key = k0 + lane;
            const bool seen = key < p.len && (!a.causal || key <= mine + i);
            s[i] *= a.scale;
            /* Every row sees key 0, so `high` is finite from the first tile on. */
            const float high = fmaxf(top[i], warp_max(seen ? s[i] : -INFINITY));
            const float shrink = expf(top[i] - high), e = seen ? expf(s[i] - high) : 0.0f;
            top[i] = high;
            sum[i] = sum[i] * shrink + e;
#pragma unroll
            for (int c = 0; c < CHUNKS; c++) o[i][c] *= shrink;
            weight[i * TILE + lane] = e;
        }
        __syncwarp();
        add_rows(o, weight, values, width);
        __syncwarp();
    }
    if (mine >= p.len) return;
    float by[EACH];
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        sum[i] = warp_sum(sum[i]);
        by[i] = 1.0f / sum[i];
        if (lane == 0 && mine + i < p.len)
            a.lse[(p.begin + mine + i) * a.lse_ld + p.head] = top[i] + logf(sum[i]);
    }
    store_rows(a.o, p.begin + mine, col, p.len - mine, width, o, by);
}

/* ---- backward ---- */

template <int CHUNKS> static int64_t bwd_plain_bytes(int width) {
    constexpr int OWN = WARPS * plain_each<CHUNKS>;
    return (2 * OWN * (owner_ld(width) + TILE) + 2 * TILE * tile_ld(width) + 2 * (OWN + TILE)) *
           (int)sizeof(float);
}

/* lse and delta = d_o . o of the queries from `row` on, `valid` of `count`; a warp to a query. */
template <class T>
WK_DEVICE void load_sums(const attn_call<T> &a, float *lse, float *delta, int64_t row, int head,
                         int count, int valid) {
    const int lane = threadIdx.x % WARP;
    for (int i = (int)threadIdx.x / WARP; i < count; i += WARPS) {
        float sum = 0;
        if (i < valid)
            for (int j = lane; j < a.width; j += WARP) {
                const int64_t at = (int64_t)head * a.width + j;
                sum = fmaf(to_float(a.d_o.data[(row + i) * a.d_o.ld + at]),
                           to_float(a.o.data[(row + i) * a.o.ld + at]), sum);
            }
        sum = warp_sum(sum);
        if (lane == 0) {
            lse[i] = i < valid ? a.lse[(row + i) * a.lse_ld + head] : 0;
            delta[i] = sum;
        }
    }
}

/* KEYS: owners are keys, for dk and dv, and visit the queries of all heads that share them. Else
 * owners are queries, for dq, and visit keys. */
template <class T, int CHUNKS, bool KEYS>
__global__ void __launch_bounds__(THREADS, 2) attn_bwd_plain_k(attn_call<T> a) {
    constexpr int EACH = plain_each<CHUNKS>, OWN = WARPS * EACH;
    const attn_place p = attn_find(a.deal, OWN, !KEYS);
    if (p.len == 0) return;
    const int width = a.width, ld = tile_ld(width), own_ld = owner_ld(width);
    const int lane = threadIdx.x % WARP, local = (int)threadIdx.x / WARP * EACH;
    const int own0 = p.tile * OWN, mine = own0 + local;
    const int kv_head = KEYS ? p.head : p.head / a.group;
    const int64_t col = (int64_t)p.head * width, kv = (int64_t)kv_head * width;
    WK_DYN_SHARED(float, own_x); /* owners' q and d_o, or k and v */
    float *own_y = own_x + OWN * own_ld;
    float *p_of = own_y + OWN * own_ld + local * TILE, *ds_of = p_of + OWN * TILE;
    float *x = own_x + 2 * OWN * (own_ld + TILE), *y = x + TILE * ld; /* the visited rows' */
    float *lse = y + TILE * ld, *delta = lse + (KEYS ? TILE : OWN);

    const attn_rows<const T> own1 = KEYS ? a.k : a.q, own2 = KEYS ? a.v : a.d_o;
    const attn_rows<const T> see1 = KEYS ? a.q : a.k, see2 = KEYS ? a.d_o : a.v;
    load_rows(own_x, own_ld, own1.data + (p.begin + own0) * own1.ld + col, own1.ld, OWN,
              p.len - own0, width);
    load_rows(own_y, own_ld, own2.data + (p.begin + own0) * own2.ld + col, own2.ld, OWN,
              p.len - own0, width);
    if (!KEYS) load_sums(a, lse, delta, p.begin + own0, p.head, OWN, p.len - own0);

    float ds_sum[EACH][CHUNKS] = {}, p_sum[KEYS ? EACH : 1][CHUNKS] = {};
    const int first = KEYS && a.causal ? own0 / TILE * TILE : 0;
    const int last = !KEYS && a.causal && own0 + OWN < p.len ? own0 + OWN : p.len;
    for (int member = 0; member < (KEYS ? a.group : 1); member++) {
        const int head = KEYS ? p.head * a.group + member : p.head;
        const int64_t see = KEYS ? (int64_t)head * width : kv;
        for (int at = first; at < last; at += TILE) {
            __syncthreads();
            load_rows(x, ld, see1.data + (p.begin + at) * see1.ld + see, see1.ld, TILE,
                      p.len - at, width);
            load_rows(y, ld, see2.data + (p.begin + at) * see2.ld + see, see2.ld, TILE,
                      p.len - at, width);
            if (KEYS) load_sums(a, lse, delta, p.begin + at, head, TILE, p.len - at);
            __syncthreads();
            if (mine >= p.len) continue;
            float s[EACH], dp[EACH];
            dot_rows(s, own_x + local * own_ld, x + lane * ld, width);
            dot_rows(dp, own_y + local * own_ld, y + lane * ld, width);
#pragma unroll
            for (int i = 0; i < EACH; i++) {
                const int owner = mine + i, other = at + lane;
                const int query = KEYS ? other : owner, key = KEYS ? owner : other;
                const int of = KEYS ? lane : local + i;
                const bool seen = query < p.len && key < p.len && (!a.causal || key <= query);
                const float e = seen ? expf(a.scale * s[i] - lse[of]) : 0.0f;
                if (KEYS) p_of[i * TILE + lane] = e;
                ds_of[i * TILE + lane] = seen ? e * (dp[i] - delta[of]) : 0.0f;
            }
            __syncwarp();
            add_rows(ds_sum, ds_of, x, width);
            if constexpr (KEYS) add_rows(p_sum, p_of, y, width);
            __syncwarp();
        }
    }
    if (mine >= p.len) return;
    float by[EACH];
#pragma unroll
    for (int i = 0; i < EACH; i++) by[i] = a.scale;
    store_rows(KEYS ? a.dk : a.dq, p.begin + mine, col, p.len - mine, width, ds_sum, by);
    if constexpr (KEYS) {
#pragma unroll
        for (int i = 0; i < EACH; i++) by[i] = 1;
        store_rows(a.dv, p.begin + mine, col, p.len - mine, width, p_sum, by);
    }
}

/* ---- launch ---- */

template <class T, int CHUNKS>
static void launch_fwd(wk_dev *dev, attn_call<T> a, int64_t rows, int32_t max_len) {
    a.deal.heads = a.heads;
    const int64_t slots = attn_slots(a.deal, WARPS * plain_each<CHUNKS>, rows, max_len);
    ATTN_LAUNCH(dev, (attn_fwd_plain_k<T, CHUNKS>), a, slots, THREADS,
                fwd_plain_bytes<CHUNKS>(a.width));
}

template <class T, int CHUNKS>
static void launch_bwd(wk_dev *dev, attn_call<T> a, int64_t rows, int32_t max_len) {
    const int64_t slots = attn_slots(a.deal, WARPS * plain_each<CHUNKS>, rows, max_len);
    const int64_t bytes = bwd_plain_bytes<CHUNKS>(a.width);
    a.deal.heads = a.heads / a.group;
    ATTN_LAUNCH(dev, (attn_bwd_plain_k<T, CHUNKS, true>), a, slots, THREADS, bytes);
    a.deal.heads = a.heads;
    ATTN_LAUNCH(dev, (attn_bwd_plain_k<T, CHUNKS, false>), a, slots, THREADS, bytes);
}

#define BY_WIDTH(launch)                                                                           \
    do {                                                                                           \
        if (call.width <= 32)                                                                      \
            launch<T, 1>(dev, call, rows, max_len);                                                \
        else if (call.width <= 64)                                                                 \
            launch<T, 2>(dev, call, rows, max_len);                                                \
        else if (call.width <= 128)                                                                \
            launch<T, 4>(dev, call, rows, max_len);                                                \
        else                                                                                       \
            launch<T, 8>(dev, call, rows, max_len);                                                \
    } while (0)

template <class T>
void attn_fwd_plain(wk_dev *dev, attn_call<T> call, int64_t rows, int32_t max_len) {
    BY_WIDTH(launch_fwd);
}
template <class T>
void attn_bwd_plain(wk_dev *dev, attn_call<T> call, int64_t rows, int32_t max_len) {
    BY_WIDTH(launch_bwd);
}

template void attn_fwd_plain(wk_dev *, attn_call<float>, int64_t, int32_t);
template void attn_fwd_plain(wk_dev *, attn_call<bf16>, int64_t, int32_t);
template void attn_bwd_plain(wk_dev *, attn_call<float>, int64_t, int32_t);
template void attn_bwd_plain(wk_dev *, attn_call<bf16>, int64_t, int32_t);
