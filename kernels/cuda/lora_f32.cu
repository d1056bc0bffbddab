/* Products of the per-client linears where all operands are float: trained heads, and LoRA of a
 * float base. Each output is one sum in order of k, by FFMA.
 *
 * Floor: `in` and `out` once, and m once per segment; for a head of few rows that is m, 4 O D bytes
 * per segment. A segment of more rows than a block has reads m again, from L2. */
#include "kernels/cuda/lora.cuh"

/* A warp has LR * TR rows and LC * TC columns, LR = 32 / LC: lane l rows l / LC + LR i, columns
 * l % LC + LC j, so that lanes with a row in common read it as one word, and others' words lie in
 * other banks (36 and COLS + 4 are 4 mod 32). The block's warps have different rows: a warp without
 * any only copies. */
template <bool FORWARD, int LC, int TC> struct shape {
    static constexpr int lr = WARP / LC, tr = 8, rows = LORA_WARPS * lr * tr, cols = LC * TC;
    static constexpr int ks = 32, stages = 3, in_ld = ks + 4;
    static constexpr int m_rows = FORWARD ? cols : ks, m_cols = FORWARD ? ks : cols;
    static constexpr int m_ld = m_cols + 4, in_size = rows * in_ld, m_size = m_rows * m_ld;
    static constexpr size_t bytes = (size_t)stages * (in_size + m_size) * sizeof(float);
};

template <bool FORWARD, int LC, int TC, bool VEC>
__global__ void __launch_bounds__(LORA_THREADS, LC == 8 || !VEC ? 3 : 4)
    product_k(const seg_product p) {
    using C = shape<FORWARD, LC, TC>;
    WK_DYN_SHARED(float, shared);
    float *const m_at = shared + C::stages * C::in_size;
    seg_tile tile;
    if (!seg_tile_at(p.off, p.segs, C::rows, blockIdx.x, &tile)) return;
    const int lane = (int)(threadIdx.x % WARP), warp = (int)(threadIdx.x / WARP);
    const int slot = p.slot[tile.seg], slabs = (p.k + C::ks - 1) / C::ks;
    const int first = (int)blockIdx.y * C::cols, cols = p.n - first;
    const float *in = (const float *)p.in + tile.row * p.in_ld;
    const float *m = p.m + slot * p.m_ld + (FORWARD ? first * p.m_row : first);

    auto fetch = [&](int slab) {
        const int k = slab * C::ks, stage = slab % C::stages;
        if (slab < slabs) {
            load_tile<VEC, C::rows, C::ks, C::in_ld>(shared + stage * C::in_size, in + k, p.in_ld,
                                                     tile.rows, p.k - k);
            load_tile<VEC, C::m_rows, C::m_cols, C::m_ld>(
                m_at + stage * C::m_size, m + (FORWARD ? k : k * p.m_row), p.m_row,
                FORWARD ? cols : p.k - k, FORWARD ? p.k - k : cols);
        }
        cp_async_commit();
    };

    const int row0 = warp * C::lr * C::tr + lane / LC, col0 = lane % LC;
    float sum[C::tr][TC] = {};
#pragma unroll
    for (int i = 0; i < C::stages - 1; i++) fetch(i);
    for (int slab = 0; slab < slabs; slab++) {
        cp_async_wait<C::stages - 2>();
        __syncthreads(); /* all have this slab, and are done with the one before */
        fetch(slab + C::stages - 1);
        const float *x = shared + slab % C::stages * C::in_size + row0 * C::in_ld;
        const float *mm = m_at + slab % C::stages * C::m_size;
        if (warp * C::lr * C::tr >= tile.rows) continue;
#pragma unroll 2
        for (int k = 0; k < C::ks; k += 4) {
            float b[TC][4];
#pragma unroll
            for (int j = 0; j < TC; j++) {
                const int col = col0 + LC * j;
                if (FORWARD)
                    load(b[j], mm + col * C::m_ld + k);
                else
#pragma unroll
                    for (int e = 0; e < 4; e++) b[j][e] = mm[(k + e) * C::m_ld + col];
            }
#pragma unroll
            for (int i = 0; i < C::tr; i++) {
                float a[4];
                load(a, x + C::lr * i * C::in_ld + k);
#pragma unroll
                for (int j = 0; j < TC; j++)
#pragma unroll
                    for (int e = 0; e < 4; e++) sum[i][j] = fmaf(a[e], b[j][e], sum[i][j]);
            }
        }
    }

#pragma unroll
    for (int j = 0; j < TC; j++) {
        const int col = col0 + LC * j;
        if (col >= cols) continue;
        const float bias = p.bias ? p.bias[slot * p.bias_ld + first + col] : 0.0f;
        float *y = (float *)p.out + (tile.row + row0) * p.out_ld + first + col;
#pragma unroll
        for (int i = 0; i < C::tr; i++) {
            if (row0 + C::lr * i >= tile.rows) continue;
            float *to = y + C::lr * i * p.out_ld;
            const float v = p.alpha * sum[i][j] + bias;
            *to = p.accumulate ? *to + v : v;
        }
    }
}

template <bool FORWARD, int LC, int TC, bool VEC>
static void launch(wk_dev *dev, const seg_product &p, int64_t rows) {
    using C = shape<FORWARD, LC, TC>;
    const dim3 grid((unsigned)seg_tiles(rows, p.segs, C::rows), (unsigned)ceil_div(p.n, C::cols));
    WK_ALLOW_SHARED((product_k<FORWARD, LC, TC, VEC>), C::bytes);
    LAUNCH(dev, (product_k<FORWARD, LC, TC, VEC>), grid, LORA_THREADS, C::bytes, p);
}

template <bool FORWARD>
static void launch_by_width(wk_dev *dev, const seg_product &p, int64_t rows, bool aligned) {
    if (!aligned)
        launch<FORWARD, 32, 2, false>(dev, p, rows);
    else if (p.n <= 8)
        launch<FORWARD, 8, 1, true>(dev, p, rows);
    else if (p.n <= 16)
        launch<FORWARD, 8, 2, true>(dev, p, rows);
    else if (p.n <= 32)
        launch<FORWARD, 16, 2, true>(dev, p, rows);
    else
        launch<FORWARD, 32, 2, true>(dev, p, rows);
}

void lora_f32_product(wk_dev *dev, const seg_product &p, int64_t rows, bool forward, bool aligned) {
    if (forward)
        launch_by_width<true>(dev, p, rows, aligned);
    else
        launch_by_width<false>(dev, p, rows, aligned);
}
