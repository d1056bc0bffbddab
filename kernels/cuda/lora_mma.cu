/* Products of the per-client linears on the tensor cores, for calls with a bf16 operand: narrow_k
 * for up to 64 output columns (LoRA's x A^T and dy B), wide_k for more (y += s B^T, dx += ds A).
 * A float factor enters as two bf16 terms (lora.cuh). */
#include "kernels/cuda/lora.cuh"

/* ---- narrow output ---- */

/* Floor, per row: k elements of `in` and n of `out`; LoRA: 2 D + 4 R bytes, once m (4 R D bytes per
 * segment) is in L2.
 * A block has 64 MT rows and all columns, and streams `in` and m through shared memory in slabs of
 * KS of k, two or three ahead of the one that it works on. A warp owns 16-row tiles, so it alone
 * reads its rows; m stays float in shared memory and every warp splits the elements it needs. */
template <class TI, bool FORWARD, int NB> struct narrow {
    static constexpr int mt = NB == 8 ? 2 : 1, ks = NB == 8 ? 32 : 64;
    static constexpr int rows = 64 * mt, cols = 8 * NB;
    static constexpr int stages = has_lo<TI>::value ? 3 : 4;
    /* No two lanes of a fragment's load meet in a bank: ks + 8 is 8 mod 32, the other 4 mod 16. */
    static constexpr int in_ld = ks + 8;
    static constexpr int m_rows = FORWARD ? cols : ks, m_cols = FORWARD ? ks : cols;
    static constexpr int m_ld = FORWARD ? ks + 8 : cols + (NB == 1 ? 12 : 4);
    static constexpr size_t in_bytes = (size_t)rows * in_ld * sizeof(TI);
    static constexpr size_t m_bytes = (size_t)m_rows * m_ld * sizeof(float);
    static constexpr size_t bytes = stages * (in_bytes + m_bytes);
};

/* Rows row + (g, g+8) of a tile, elements k + (2t.., 2t+8..). */
template <int LD>
WK_DEVICE void load_a(uint32_t (&hi)[4], uint32_t (&lo)[4], const bf16 *tile, int row, int k) {
    const int lane = (int)(threadIdx.x % WARP);
    ldmatrix_x4(hi, tile + (row + lane % 16) * LD + k + lane / 16 * 8);
#pragma unroll
    for (int i = 0; i < 4; i++) lo[i] = 0;
}
template <int LD>
WK_DEVICE void load_a(uint32_t (&hi)[4], uint32_t (&lo)[4], const float *tile, int row, int k) {
    const int lane = (int)(threadIdx.x % WARP);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float *at =
            tile + (row + lane / 4 + i % 2 * 8) * LD + k + lane % 4 * 2 + i / 2 * 8;
        float x[2];
        load(x, at);
        split_bf16(x[0], x[1], hi[i], lo[i]);
    }
}

/* Column col + g of M, elements k + (2t.., 2t+8..). */
template <bool FORWARD, int LD>
WK_DEVICE void load_b(uint32_t (&hi)[2], uint32_t (&lo)[2], const float *tile, int col, int k) {
    const int lane = (int)(threadIdx.x % WARP), g = lane / 4, t = lane % 4;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float x[2];
        const int at = k + 2 * t + 8 * i;
        if (FORWARD) {
            load(x, tile + (col + g) * LD + at);
        } else {
            x[0] = tile[at * LD + col + g];
            x[1] = tile[(at + 1) * LD + col + g];
        }
        split_bf16(x[0], x[1], hi[i], lo[i]);
    }
}

template <class TI, class TO, bool FORWARD, int NB, bool VEC>
__global__ void __launch_bounds__(LORA_THREADS, 2) narrow_k(const seg_product p) {
    using C = narrow<TI, FORWARD, NB>;
    WK_DYN_SHARED(unsigned char, shared);
    seg_tile tile;
    if (!seg_tile_at(p.off, p.segs, C::rows, blockIdx.x, &tile)) return;
    const int lane = (int)(threadIdx.x % WARP), warp = (int)(threadIdx.x / WARP);
    const int slot = p.slot[tile.seg], slabs = (p.k + C::ks - 1) / C::ks;
    const TI *in = (const TI *)p.in + tile.row * p.in_ld;
    const float *m = p.m + slot * p.m_ld;
    TI *in_at = (TI *)shared;
    float *m_at = (float *)(shared + C::stages * C::in_bytes);

    auto fetch = [&](int slab) {
        const int k = slab * C::ks, stage = slab % C::stages;
        if (slab < slabs) {
            load_tile<VEC, C::rows, C::ks, C::in_ld>(in_at + stage * C::rows * C::in_ld, in + k,
                                                     p.in_ld, tile.rows, p.k - k);
            load_tile<VEC, C::m_rows, C::m_cols, C::m_ld>(
                m_at + stage * C::m_rows * C::m_ld, m + (FORWARD ? k : k * p.m_row), p.m_row,
                FORWARD ? p.n : p.k - k, FORWARD ? p.k - k : p.n);
        }
        cp_async_commit();
    };

    float sum[C::mt][NB][4] = {};
#pragma unroll
    for (int i = 0; i < C::stages - 1; i++) fetch(i);
    for (int slab = 0; slab < slabs; slab++) {
        cp_async_wait<C::stages - 2>();
        __syncthreads(); /* all have this slab, and are done with the one before */
        fetch(slab + C::stages - 1);
        const TI *x = in_at + slab % C::stages * C::rows * C::in_ld;
        const float *mm = m_at + slab % C::stages * C::m_rows * C::m_ld;
        if (16 * warp >= tile.rows) continue;
#pragma unroll
        for (int k = 0; k < C::ks; k += 16) {
            uint32_t a[C::mt][4], a_lo[C::mt][4];
#pragma unroll
            for (int i = 0; i < C::mt; i++)
                load_a<C::in_ld>(a[i], a_lo[i], x, 16 * (warp + LORA_WARPS * i), k);
#pragma unroll
            for (int j = 0; j < NB; j++) {
                uint32_t b[2], b_lo[2];
                load_b<FORWARD, C::m_ld>(b, b_lo, mm, 8 * j, k);
#pragma unroll
                for (int i = 0; i < C::mt; i++)
                    mma_terms<TI, float>(sum[i][j], a[i], a_lo[i], b, b_lo);
            }
        }
    }

    const float *bias = p.bias ? p.bias + slot * p.bias_ld : NULL;
    TO *out = (TO *)p.out + tile.row * p.out_ld;
#pragma unroll
    for (int i = 0; i < C::mt; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int row = 16 * (warp + LORA_WARPS * i) + lane / 4 + 8 * h;
            if (row >= tile.rows) continue;
#pragma unroll
            for (int j = 0; j < NB; j++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    const int col = 8 * j + lane % 4 * 2 + e;
                    if (col >= p.n) continue;
                    TO *y = out + row * p.out_ld + col;
                    float v = p.alpha * sum[i][j][2 * h + e];
                    if (bias) v += bias[col];
                    if (p.accumulate) v += to_float(*y);
                    set(*y, v);
                }
        }
}

/* ---- wide output ---- */

/* Floor, per row: n elements of `out`, twice when it accumulates, and k of `in` once per 64
 * columns; LoRA: 4 O bytes and little else.
 * A block has 64 rows and 64 columns, a warp 16 of the rows. What it adds to is asked for first;
 * meanwhile slabs of `in` and m of 16 KT of k are split into hi and lo once for all warps. The
 * columns of m lie in shared memory such that lane t of a fragment ends with 8 columns of `out`
 * that are next to each other. */
enum { WIDE_ROWS = 16 * LORA_WARPS, WIDE_COLS = 64 };

template <bool FORWARD, int KT> struct wide {
    static constexpr int ks = 16 * KT, in_ld = ks + 8;
    static constexpr int m_rows = FORWARD ? WIDE_COLS : ks, m_cols = FORWARD ? ks : WIDE_COLS;
    static constexpr int m_ld = m_cols + 8, m_size = m_rows * m_ld;
    static constexpr size_t bytes = 2 * sizeof(bf16) * (WIDE_ROWS * in_ld + m_size);
};

/* Where column c of the block stands among the columns of its mma: 8 t + 2 j + i, of lane t,
 * element i of fragment j, at 8 j + (2 t + i), within 32. */
WK_DEVICE int mma_column(int c) {
    return c / 32 * 32 + c % 8 / 2 * 8 + c % 32 / 8 * 2 + c % 2;
}

/* A tile as hi and lo, as load_tile takes it but not asynchronous; the permutation of columns is of
 * the tile's rows, its columns or none. */
enum permute { PLAIN, ROWS, COLUMNS };
template <bool VEC, int HEIGHT, int WIDTH, int LD, permute P, class T>
WK_DEVICE void load_split(bf16 *hi, bf16 *lo, const T *from, int64_t ld, int rows, int cols) {
    constexpr int unit = VEC ? 4 : 1, units = WIDTH / unit, step = LORA_THREADS / units;
    constexpr int times = HEIGHT / step, batch = times < 4 ? times : 4; /* loads under way */
    static_assert(LORA_THREADS % units == 0 && HEIGHT % step == 0 && times % batch == 0, "whole");
    const int row0 = (int)threadIdx.x / units, col = (int)threadIdx.x % units * unit;
    from += row0 * ld + col;
    if (col >= cols) rows = 0;
#pragma unroll 1
    for (int i0 = 0; i0 < times; i0 += batch) {
        float x[batch][unit];
#pragma unroll
        for (int i = 0; i < batch; i++) {
#pragma unroll
            for (int e = 0; e < unit; e++) x[i][e] = 0.0f;
            if (row0 + (i0 + i) * step < rows) load(x[i], from);
            from += step * ld;
        }
#pragma unroll
        for (int i = 0; i < batch; i++) {
            const int row = row0 + (i0 + i) * step;
            const int to = (P == ROWS ? mma_column(row) : row) * LD;
#pragma unroll
            for (int e = 0; e < unit; e += 2) {
                const int at = to + (P == COLUMNS ? mma_column(col + e) : col + e);
                if (VEC) {
                    uint32_t h, l;
                    split_bf16(x[i][e], x[i][(e + 1) % unit], h, l);
                    *(uint32_t *)(hi + at) = h;
                    *(uint32_t *)(lo + at) = l;
                } else {
                    hi[at] = __float2bfloat16(x[i][e]);
                    lo[at] = __float2bfloat16(x[i][e] - __bfloat162float(hi[at]));
                }
            }
        }
    }
}

/* Fragments j, j+1 of the block's columns. */
template <bool FORWARD, int LD>
WK_DEVICE void load_b2(uint32_t (&b)[2][2], const bf16 *tile, int j, int k) {
    const int lane = (int)(threadIdx.x % WARP), i = lane / 8, l = lane % 8;
    const int col = 8 * (j + i / 2);
    uint32_t r[4];
    if (FORWARD)
        ldmatrix_x4(r, tile + (col + l) * LD + k + 8 * (i % 2));
    else
        ldmatrix_x4_trans(r, tile + (k + 8 * (i % 2) + l) * LD + col);
    b[0][0] = r[0], b[0][1] = r[1], b[1][0] = r[2], b[1][1] = r[3];
}

/* 8 bf16 as floats; `early` is about no other type. */
WK_DEVICE void unpack(float (&x)[8], const uint4 &all) {
    const uint32_t w[4] = {all.x, all.y, all.z, all.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        x[2 * i] = __uint_as_float(w[i] << 16);
        x[2 * i + 1] = __uint_as_float(w[i] & 0xffff0000u);
    }
}
template <int N> WK_DEVICE void unpack(float (&)[N], const uint4 &) {
}

template <class TI, class TO, bool FORWARD, int KT, bool VEC>
__global__ void __launch_bounds__(LORA_THREADS, 4) wide_k(const seg_product p) {
    using C = wide<FORWARD, KT>;
    constexpr int groups = WIDE_COLS / 32, unit = VEC ? 16 / (int)sizeof(TO) : 1;
    constexpr bool early = VEC && sizeof(TO) == 2;
    WK_DYN_SHARED(bf16, shared);
    bf16 *in_hi = shared, *in_lo = in_hi + WIDE_ROWS * C::in_ld;
    bf16 *m_hi = in_lo + WIDE_ROWS * C::in_ld, *m_lo = m_hi + C::m_size;
    seg_tile tile;
    if (!seg_tile_at(p.off, p.segs, WIDE_ROWS, blockIdx.x, &tile)) return;
    const int lane = (int)(threadIdx.x % WARP), warp = (int)(threadIdx.x / WARP);
    const int slot = p.slot[tile.seg], first = (int)blockIdx.y * WIDE_COLS;
    const int cols = p.n - first;
    const TI *in = (const TI *)p.in + tile.row * p.in_ld;
    TO *out = (TO *)p.out + tile.row * p.out_ld + first;
    const float *m = p.m + slot * p.m_ld + (FORWARD ? first * p.m_row : first);

    /* This lane's rows are my_row + 8 h, its columns my_col + 32 q on, 8 of each. */
    const int my_row = 16 * warp + lane / 4, my_col = lane % 4 * 8;
    uint4 old[2][groups] = {}; /* 16 bytes of out, zeros when it does not accumulate */
    if (early && p.accumulate)
#pragma unroll
        for (int h = 0; h < 2; h++)
#pragma unroll
            for (int q = 0; q < groups; q++)
                if (my_row + 8 * h < tile.rows && my_col + 32 * q < cols)
                    old[h][q] =
                        *(const uint4 *)(out + (my_row + 8 * h) * p.out_ld + my_col + 32 * q);

    float sum[WIDE_COLS / 8][4] = {};
    for (int k0 = 0; k0 < p.k; k0 += C::ks) {
        if (k0) __syncthreads(); /* all are done with the slab before */
        load_split<VEC, WIDE_ROWS, C::ks, C::in_ld, PLAIN>(in_hi, in_lo, in + k0, p.in_ld,
                                                           tile.rows, p.k - k0);
        load_split<VEC, C::m_rows, C::m_cols, C::m_ld, FORWARD ? ROWS : COLUMNS>(
            m_hi, m_lo, m + (FORWARD ? k0 : k0 * p.m_row), p.m_row, FORWARD ? cols : p.k - k0,
            FORWARD ? p.k - k0 : cols);
        __syncthreads();
        if (16 * warp >= tile.rows) continue;
#pragma unroll
        for (int k = 0; k < C::ks; k += 16) {
            uint32_t a[4], a_lo[4], none[4];
            load_a<C::in_ld>(a, none, in_hi, 16 * warp, k);
            load_a<C::in_ld>(a_lo, none, has_lo<TI>::value ? in_lo : in_hi, 16 * warp, k);
#pragma unroll
            for (int j = 0; j < WIDE_COLS / 8; j += 2) {
                uint32_t b[2][2], b_lo[2][2];
                load_b2<FORWARD, C::m_ld>(b, m_hi, j, k);
                load_b2<FORWARD, C::m_ld>(b_lo, m_lo, j, k);
#pragma unroll
                for (int e = 0; e < 2; e++)
                    mma_terms<TI, float>(sum[j + e], a, a_lo, b[e], b_lo[e]);
            }
        }
    }

#pragma unroll
    for (int q = 0; q < groups; q++)
#pragma unroll
        for (int c = 0; c < 8; c += unit) {
            const int col = my_col + 32 * q + c;
            if (col >= cols) continue;
            float bias[unit] = {};
            if (p.bias)
#pragma unroll
                for (int e = 0; e < unit; e++) bias[e] = p.bias[slot * p.bias_ld + first + col + e];
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const int row = my_row + 8 * h;
                if (row >= tile.rows) continue;
                TO *y = out + row * p.out_ld + col;
                float v[unit] = {};
                if (early)
                    unpack(v, old[h][q]);
                else if (p.accumulate)
                    load(v, y);
#pragma unroll
                for (int e = 0; e < unit; e++)
                    v[e] = fmaf(p.alpha, sum[4 * q + (c + e) / 2][2 * h + (c + e) % 2],
                                v[e] + bias[e]);
                put(y, v);
            }
        }
}

/* ---- launchers ---- */

template <class TI, class TO, int NB, bool VEC>
static void launch_narrow(wk_dev *dev, const seg_product &p, int64_t rows, bool forward) {
    const int height = narrow<TI, true, NB>::rows;
    const unsigned tiles = (unsigned)seg_tiles(rows, p.segs, height);
    const size_t bytes = forward ? narrow<TI, true, NB>::bytes : narrow<TI, false, NB>::bytes;
    if (forward) {
        WK_ALLOW_SHARED((narrow_k<TI, TO, true, NB, VEC>), bytes);
        LAUNCH(dev, (narrow_k<TI, TO, true, NB, VEC>), tiles, LORA_THREADS, bytes, p);
    } else {
        WK_ALLOW_SHARED((narrow_k<TI, TO, false, NB, VEC>), bytes);
        LAUNCH(dev, (narrow_k<TI, TO, false, NB, VEC>), tiles, LORA_THREADS, bytes, p);
    }
}

template <class TI, class TO, int KT, bool VEC>
static void launch_wide(wk_dev *dev, const seg_product &p, int64_t rows, bool forward) {
    const dim3 grid((unsigned)seg_tiles(rows, p.segs, WIDE_ROWS),
                    (unsigned)ceil_div(p.n, WIDE_COLS));
    if (forward) {
        WK_ALLOW_SHARED((wide_k<TI, TO, true, KT, VEC>), (wide<true, KT>::bytes));
        LAUNCH(dev, (wide_k<TI, TO, true, KT, VEC>), grid, LORA_THREADS, (wide<true, KT>::bytes),
               p);
    } else {
        WK_ALLOW_SHARED((wide_k<TI, TO, false, KT, VEC>), (wide<false, KT>::bytes));
        LAUNCH(dev, (wide_k<TI, TO, false, KT, VEC>), grid, LORA_THREADS, (wide<false, KT>::bytes),
               p);
    }
}

/* Every slab and tile of these kernels sums the same 16 elements of k in one mma and those in order
 * of k, so the choice among them does not show in the result. Only LoRA's own dtypes are tuned. */
template <class TI, class TO>
static void launch(wk_dev *dev, const seg_product &p, int64_t rows, bool forward, bool aligned) {
    if (p.n <= 64) {
        if (sizeof(TI) != 2 || sizeof(TO) != 4 || !aligned)
            launch_narrow<TI, TO, 8, false>(dev, p, rows, forward);
        else if (p.n <= 8)
            launch_narrow<bf16, float, 1, true>(dev, p, rows, forward);
        else if (p.n <= 16)
            launch_narrow<bf16, float, 2, true>(dev, p, rows, forward);
        else if (p.n <= 32)
            launch_narrow<bf16, float, 4, true>(dev, p, rows, forward);
        else
            launch_narrow<bf16, float, 8, true>(dev, p, rows, forward);
        return;
    }
    aligned = aligned && p.n % 8 == 0 && (uintptr_t)p.out % 16 == 0 &&
              p.out_ld * (int64_t)sizeof(TO) % 16 == 0;
    if (!aligned)
        launch_wide<TI, TO, 4, false>(dev, p, rows, forward);
    else if (sizeof(TI) != 4 || p.k > 32)
        launch_wide<TI, TO, 4, true>(dev, p, rows, forward);
    else if (p.k > 16)
        launch_wide<float, bf16, 2, true>(dev, p, rows, forward);
    else
        launch_wide<float, bf16, 1, true>(dev, p, rows, forward);
}

void lora_mma_product(wk_dev *dev, const seg_product &p, int64_t rows, wk_dtype in, wk_dtype out,
                      bool forward, bool aligned) {
    if (in == WK_F32)
        launch<float, bf16>(dev, p, rows, forward, aligned);
    else if (out == WK_F32)
        launch<bf16, float>(dev, p, rows, forward, aligned);
    else
        launch<bf16, bf16>(dev, p, rows, forward, aligned);
}
