/* Gradients of the per-client linears: dm += alpha dy^T x and dbias += sum of dy over the rows of a
 * segment. A block sums at most LORA_CHUNK rows, counted from the segment's first; the chunks of a
 * longer segment go to scratch and are added in order by a second kernel. Which of the two a
 * segment takes depends on its own length. */
#include "kernels/cuda/lora.cuh"

#define LORA_CHUNK 512

/* Chunks of segments of more than one chunk have numbers from begin / 256 on, which do not meet,
 * since ceil(length / 512) <= floor(length / 256) where length > 512. */
WK_DEVICE int64_t part_number(int begin, int index) {
    return begin / (LORA_CHUNK / 2) + index;
}
static int64_t most_parts(int64_t rows) {
    return rows > LORA_CHUNK ? rows / (LORA_CHUNK / 2) + 1 : 0;
}

/* The place of element (w, n) of a chunk's sum: in dm, which it is added to, or in scratch. */
struct grad_to {
    float *base;
    int64_t wide_step, narrow_step;
    bool part;
};
WK_DEVICE grad_to grad_target(const seg_gradient &g, const seg_tile &tile) {
    const int begin = g.off[tile.seg];
    grad_to to;
    to.part = g.off[tile.seg + 1] - begin > LORA_CHUNK;
    to.wide_step = to.part ? g.part_wide_step : g.wide_step;
    to.narrow_step = to.part ? g.part_narrow_step : g.narrow_step;
    to.base = to.part ? g.part + part_number(begin, tile.index) * g.part_ld
                      : g.dm + g.slot[tile.seg] * g.dm_ld;
    return to;
}

/* ---- tensor cores ---- */

/* Floor: W and N once, and dm read and written once per segment; LoRA: 2 D + 4 R bytes per row. A
 * segment of more than one chunk adds 8 R D bytes of scratch per 512 rows.
 * A block has one chunk, 64 WT columns of W and 8 NB of N, and streams slabs of 32 rows. W's
 * columns are the rows of the mma. */
template <class TW, int NB> struct grad {
    static constexpr int wt = NB >= 4 ? 2 : 1, wide = 64 * wt, cols = 8 * NB, ks = 32;
    static constexpr int stages = has_lo<TW>::value ? 3 : 4;
    static constexpr int w_ld = wide + (has_lo<TW>::value ? 4 : 8);
    static constexpr int n_ld = cols + (NB == 1 ? 12 : 4);
    template <class TN> static constexpr size_t bytes() {
        return (size_t)stages * ks * (w_ld * sizeof(TW) + n_ld * sizeof(TN));
    }
};

/* The transpose of a tile: columns col + (g, g+8), rows k + (2t.., 2t+8..). */
template <int LD>
WK_DEVICE void load_at(uint32_t (&hi)[4], uint32_t (&lo)[4], const bf16 *tile, int col, int k) {
    const int lane = (int)(threadIdx.x % WARP), i = lane / 8;
    ldmatrix_x4_trans(hi, tile + (k + lane % 8 + i / 2 * 8) * LD + col + i % 2 * 8);
#pragma unroll
    for (int j = 0; j < 4; j++) lo[j] = 0;
}
template <int LD>
WK_DEVICE void load_at(uint32_t (&hi)[4], uint32_t (&lo)[4], const float *tile, int col, int k) {
    const int lane = (int)(threadIdx.x % WARP);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float *at = tile + (k + lane % 4 * 2 + i / 2 * 8) * LD + col + lane / 4 + i % 2 * 8;
        split_bf16(at[0], at[LD], hi[i], lo[i]);
    }
}

template <class TW, class TN, int NB, bool VEC>
__global__ void __launch_bounds__(LORA_THREADS, NB == 8 ? 2 : 3) grad_mma_k(const seg_gradient p) {
    using C = grad<TW, NB>;
    WK_DYN_SHARED(unsigned char, shared);
    seg_tile tile;
    if (!seg_tile_at(p.off, p.segs, LORA_CHUNK, blockIdx.x, &tile)) return;
    const int lane = (int)(threadIdx.x % WARP), warp = (int)(threadIdx.x / WARP);
    const int slabs = (tile.rows + C::ks - 1) / C::ks;
    const int wide0 = (int)blockIdx.y * C::wide, narrow0 = (int)blockIdx.z * C::cols;
    const TW *w = (const TW *)p.w + tile.row * p.w_ld + wide0;
    const TN *n = (const TN *)p.n + tile.row * p.n_ld + narrow0;
    TW *w_at = (TW *)shared;
    TN *n_at = (TN *)(w_at + C::stages * C::ks * C::w_ld);

    auto fetch = [&](int slab) {
        const int row = slab * C::ks, stage = slab % C::stages;
        if (slab < slabs) {
            load_tile<VEC, C::ks, C::wide, C::w_ld>(w_at + stage * C::ks * C::w_ld,
                                                    w + row * p.w_ld, p.w_ld, tile.rows - row,
                                                    p.wide - wide0);
            load_tile<VEC, C::ks, C::cols, C::n_ld>(n_at + stage * C::ks * C::n_ld,
                                                    n + row * p.n_ld, p.n_ld, tile.rows - row,
                                                    p.narrow - narrow0);
        }
        cp_async_commit();
    };

    float sum[C::wt][NB][4] = {};
#pragma unroll
    for (int i = 0; i < C::stages - 1; i++) fetch(i);
    for (int slab = 0; slab < slabs; slab++) {
        cp_async_wait<C::stages - 2>();
        __syncthreads(); /* all have this slab, and are done with the one before */
        fetch(slab + C::stages - 1);
        const TW *ww = w_at + slab % C::stages * C::ks * C::w_ld;
        const TN *nn = n_at + slab % C::stages * C::ks * C::n_ld;
#pragma unroll
        for (int k = 0; k < C::ks; k += 16) {
            uint32_t a[C::wt][4], a_lo[C::wt][4];
#pragma unroll
            for (int i = 0; i < C::wt; i++)
                load_at<C::w_ld>(a[i], a_lo[i], ww, 16 * (warp * C::wt + i), k);
#pragma unroll
            for (int j = 0; j < NB; j++) {
                uint32_t b[2], b_lo[2];
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    const TN *at = nn + (k + lane % 4 * 2 + 8 * i) * C::n_ld + 8 * j + lane / 4;
                    pair(at[0], at[C::n_ld], b[i], b_lo[i]);
                }
#pragma unroll
                for (int i = 0; i < C::wt; i++)
                    mma_terms<TW, TN>(sum[i][j], a[i], a_lo[i], b, b_lo);
            }
        }
    }

    const grad_to to = grad_target(p, tile);
#pragma unroll
    for (int i = 0; i < C::wt; i++)
#pragma unroll
        for (int j = 0; j < NB; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int col = wide0 + 16 * (warp * C::wt + i) + lane / 4 + e / 2 * 8;
                const int other = narrow0 + 8 * j + lane % 4 * 2 + e % 2;
                if (col >= p.wide || other >= p.narrow) continue;
                float *y = to.base + col * to.wide_step + other * to.narrow_step;
                *y = to.part ? sum[i][j][e] : fmaf(p.alpha, sum[i][j][e], *y);
            }
}

/* ---- float ---- */

/* Floor: W and N once, and dm read and written once per segment; for a head of few rows that is dm,
 * 8 O D bytes per segment.
 * A block has one chunk, WIDE columns of W and NARROW of N; a thread UW x UN of them, UW and UN
 * apart, so that neighbours in a warp write to neighbours. A sum is in order of rows, by FFMA. */
template <int WIDE, int NARROW, int UW, int UN, bool VEC>
__global__ void __launch_bounds__(LORA_THREADS, VEC ? 4 : 3) grad_f32_k(const seg_gradient p) {
    constexpr int ks = 16, stages = 3, tn = NARROW / UN, tw = WIDE / UW;
    static_assert(tn * tw == LORA_THREADS && UW % 2 == 0, "one thread for each");
    WK_SHARED(float4, w_shared, [stages * ks * WIDE / 4]);
    WK_SHARED(float4, n_shared, [stages * ks * NARROW / 4]);
    float *const w_at = (float *)w_shared, *const n_at = (float *)n_shared;
    seg_tile tile;
    if (!seg_tile_at(p.off, p.segs, LORA_CHUNK, blockIdx.x, &tile)) return;
    const int slabs = (tile.rows + ks - 1) / ks;
    const int wide0 = (int)blockIdx.y * WIDE, narrow0 = (int)blockIdx.z * NARROW;
    const float *w = (const float *)p.w + tile.row * p.w_ld + wide0;
    const float *n = (const float *)p.n + tile.row * p.n_ld + narrow0;

    auto fetch = [&](int slab) {
        const int row = slab * ks, stage = slab % stages;
        if (slab < slabs) {
            load_tile<VEC, ks, WIDE, WIDE>(w_at + stage * ks * WIDE, w + row * p.w_ld, p.w_ld,
                                           tile.rows - row, p.wide - wide0);
            load_tile<VEC, ks, NARROW, NARROW>(n_at + stage * ks * NARROW, n + row * p.n_ld, p.n_ld,
                                               tile.rows - row, p.narrow - narrow0);
        }
        cp_async_commit();
    };

    const int my_w = (int)threadIdx.x / tn, my_n = (int)threadIdx.x % tn;
    float sum[UW][UN] = {};
#pragma unroll
    for (int i = 0; i < stages - 1; i++) fetch(i);
    for (int slab = 0; slab < slabs; slab++) {
        cp_async_wait<stages - 2>();
        __syncthreads(); /* all have this slab, and are done with the one before */
        fetch(slab + stages - 1);
        const float *ww = w_at + slab % stages * ks * WIDE + my_w;
        const float *nn = n_at + slab % stages * ks * NARROW + my_n;
#pragma unroll 2
        for (int k = 0; k < ks; k++) {
            float a[UW], b[UN];
#pragma unroll
            for (int i = 0; i < UW; i++) a[i] = ww[k * WIDE + tw * i];
#pragma unroll
            for (int j = 0; j < UN; j++) b[j] = nn[k * NARROW + tn * j];
#pragma unroll
            for (int i = 0; i < UW; i++)
#pragma unroll
                for (int j = 0; j < UN; j++) sum[i][j] = fmaf(a[i], b[j], sum[i][j]);
        }
    }

    const grad_to to = grad_target(p, tile);
    float *y = to.base + (wide0 + my_w) * to.wide_step + (narrow0 + my_n) * to.narrow_step;
#pragma unroll
    for (int first = 0; first < UW; first += 2) {
        auto each = [&](auto body) {
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int j = 0; j < UN; j++)
                    if (wide0 + my_w + tw * (first + i) < p.wide &&
                        narrow0 + my_n + tn * j < p.narrow)
                        body(i, j, y + tw * (first + i) * to.wide_step + tn * j * to.narrow_step);
        };
        if (to.part) {
            each([&](int i, int j, float *at) { *at = sum[first + i][j]; });
        } else { /* loads before stores, so that they are under way together */
            float old[2][UN];
            each([&](int i, int j, float *at) { old[i][j] = *at; });
            each([&](int i, int j, float *at) {
                *at = fmaf(p.alpha, sum[first + i][j], old[i][j]);
            });
        }
    }
}

/* ---- bias ---- */

/* Columns of W summed over a chunk, by 4 threads each, over rows t, t + 4, …; floor: W once. */
template <class T> __global__ void grad_bias_k(const seg_gradient p) {
    WK_SHARED(float, sums, [LORA_WARPS][WARP]);
    seg_tile tile;
    if (!seg_tile_at(p.off, p.segs, LORA_CHUNK, blockIdx.x, &tile)) return;
    const int lane = (int)(threadIdx.x % WARP), group = (int)(threadIdx.x / WARP);
    const int col = (int)blockIdx.y * WARP + lane;
    const T *w = (const T *)p.w + tile.row * p.w_ld + col;
    float sum = 0.0f;
    if (col < p.wide)
#pragma unroll 8
        for (int row = group; row < tile.rows; row += LORA_WARPS)
            sum += to_float(w[row * p.w_ld]);
    sums[group][lane] = sum;
    __syncthreads();
    if (group > 0 || col >= p.wide) return;
#pragma unroll
    for (int i = 1; i < LORA_WARPS; i++) sum += sums[i][lane];
    const grad_to to = grad_target(p, tile);
    float *y = to.base + col * to.wide_step;
    *y = to.part ? sum : fmaf(p.alpha, sum, *y);
}

/* ---- second stage ---- */

/* Adds up the chunks, in order, of the segment whose first multiple of LORA_CHUNK the block has:
 * every segment of more than one chunk has such a row. Floor: 4 bytes per element and chunk, and 8
 * per element of dm. */
__global__ void grad_sum_k(const seg_gradient p, int64_t places) {
    for (int64_t place = blockIdx.y; place < places; place += gridDim.y) {
        const int s = segment_of(p.off, p.segs, place * LORA_CHUNK);
        if (s < 0) continue;
        const int begin = p.off[s], rows = p.off[s + 1] - begin;
        if (rows <= LORA_CHUNK || (begin + LORA_CHUNK - 1) / LORA_CHUNK != place) continue;
        const int64_t at = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
        if (at >= (int64_t)p.wide * p.narrow) continue;
        const int chunks = (rows + LORA_CHUNK - 1) / LORA_CHUNK;
        const float *part = p.part + part_number(begin, 0) * p.part_ld + at;
        float sum = part[0];
#pragma unroll 4
        for (int c = 1; c < chunks; c++) sum += part[c * p.part_ld];
        const bool by_wide = p.part_wide_step == 1; /* what is next to each other in scratch */
        const int64_t run = by_wide ? p.part_narrow_step : p.part_wide_step;
        const int64_t wide = by_wide ? at % run : at / run, narrow = by_wide ? at / run : at % run;
        float *y = p.dm + p.slot[s] * p.dm_ld + wide * p.wide_step + narrow * p.narrow_step;
        *y = fmaf(p.alpha, sum, *y);
    }
}

/* ---- launchers ---- */

template <class TW, class TN, int NB, bool VEC>
static void launch_mma(wk_dev *dev, const seg_gradient &g, unsigned chunks) {
    using C = grad<TW, NB>;
    const size_t bytes = C::template bytes<TN>();
    const dim3 grid(chunks, (unsigned)ceil_div(g.wide, C::wide),
                    (unsigned)ceil_div(g.narrow, C::cols));
    WK_ALLOW_SHARED((grad_mma_k<TW, TN, NB, VEC>), bytes);
    LAUNCH(dev, (grad_mma_k<TW, TN, NB, VEC>), grid, LORA_THREADS, bytes, g);
}

template <int WIDE, int NARROW, int UW, int UN>
static void launch_f32(wk_dev *dev, const seg_gradient &g, unsigned chunks, bool aligned) {
    const dim3 grid(chunks, (unsigned)ceil_div(g.wide, WIDE), (unsigned)ceil_div(g.narrow, NARROW));
    if (aligned)
        LAUNCH(dev, (grad_f32_k<WIDE, NARROW, UW, UN, true>), grid, LORA_THREADS, 0, g);
    else
        LAUNCH(dev, (grad_f32_k<WIDE, NARROW, UW, UN, false>), grid, LORA_THREADS, 0, g);
}

/* Only LoRA's own dtypes, bf16 by float, are tuned. The choice does not show in the result: all
 * sum rows in the same order, 16 in one mma. */
static void launch(wk_dev *dev, const seg_gradient &g, unsigned chunks, wk_dtype wide,
                   wk_dtype narrow, bool aligned) {
    if (wide == WK_F32 && narrow == WK_F32) {
        if (g.narrow <= 32)
            launch_f32<128, 16, 4, 4>(dev, g, chunks, aligned);
        else
            launch_f32<64, 64, 8, 4>(dev, g, chunks, aligned);
    } else if (wide == WK_F32) {
        launch_mma<float, bf16, 8, false>(dev, g, chunks);
    } else if (narrow == WK_BF16) {
        launch_mma<bf16, bf16, 8, false>(dev, g, chunks);
    } else if (!aligned) {
        launch_mma<bf16, float, 8, false>(dev, g, chunks);
    } else if (g.narrow <= 8) {
        launch_mma<bf16, float, 1, true>(dev, g, chunks);
    } else if (g.narrow <= 16) {
        launch_mma<bf16, float, 2, true>(dev, g, chunks);
    } else if (g.narrow <= 32) {
        launch_mma<bf16, float, 4, true>(dev, g, chunks);
    } else {
        launch_mma<bf16, float, 8, true>(dev, g, chunks);
    }
}

static void launch_sum(wk_dev *dev, const seg_gradient &g, int64_t rows) {
    if (rows <= LORA_CHUNK) return;
    const int64_t places = ceil_div(rows, LORA_CHUNK);
    const dim3 grid((unsigned)ceil_div((int64_t)g.wide * g.narrow, 256),
                    (unsigned)(places < 65535 ? places : 65535));
    LAUNCH(dev, grad_sum_k, grid, 256, 0, g, places);
}

/* Lays out the chunks' sums such that the second stage reads and writes along rows of dm. */
static void place_parts(seg_gradient *g) {
    g->part_ld = (int64_t)g->wide * g->narrow;
    const bool by_wide = g->wide_step == 1;
    g->part_wide_step = by_wide ? 1 : g->narrow;
    g->part_narrow_step = by_wide ? g->wide : 1;
}

static bool aligned16(wk_tensor x) {
    return can_vector(x, 16 / (int64_t)wk_dtype_size(x.dtype));
}

/* dm in slices whose chunks' sums fit the scratch memory; slices are whole tiles. */
static bool run_weight(wk_dev *dev, seg_gradient g, unsigned chunks, int64_t rows, wk_tensor w,
                       wk_tensor n, int64_t scratch) {
    const int64_t parts = most_parts(rows), wide = w.dim[1], narrow = n.dim[1];
    int64_t some_n = narrow, some_w = wide;
    if (parts * some_n * some_w > scratch) {
        if (some_n > 64 && parts * some_n * 128 > scratch) some_n = 64;
        some_w = scratch / (parts * some_n) / 128 * 128;
        if (some_w == 0) return false;
    }
    const bool aligned = aligned16(w) && aligned16(n);
    float *const dm = g.dm;
    for (int64_t n0 = 0; n0 < narrow; n0 += some_n)
        for (int64_t w0 = 0; w0 < wide; w0 += some_w) {
            g.wide = (int)(wide - w0 < some_w ? wide - w0 : some_w);
            g.narrow = (int)(narrow - n0 < some_n ? narrow - n0 : some_n);
            g.w = wk_cols(w, w0, g.wide).data;
            g.n = wk_cols(n, n0, g.narrow).data;
            g.dm = dm + w0 * g.wide_step + n0 * g.narrow_step;
            place_parts(&g);
            launch(dev, g, chunks, w.dtype, n.dtype, aligned);
            launch_sum(dev, g, rows);
        }
    return true;
}

static bool run_bias(wk_dev *dev, seg_gradient g, unsigned chunks, int64_t rows,
                     const wk_seg_linear_dw_args *a, int64_t scratch) {
    g.w = a->dy.data, g.w_ld = a->dy.ld, g.wide = (int)a->dy.dim[1], g.narrow = 1;
    g.dm = (float *)a->dbias.data, g.dm_ld = a->dbias.ld;
    g.wide_step = 1, g.narrow_step = 0, g.alpha = 1.0f;
    place_parts(&g);
    if (most_parts(rows) * g.part_ld > scratch) return false;
    const dim3 grid(chunks, (unsigned)ceil_div(g.wide, WARP));
    WITH_DTYPE(a->dy.dtype, T, LAUNCH(dev, (grad_bias_k<T>), grid, LORA_THREADS, 0, g));
    launch_sum(dev, g, rows);
    return true;
}

weft_status cuda_seg_linear_dw(wk_dev *dev, const wk_seg_linear_dw_args *a) {
    const cuda_lane *lane = cuda_lane_of(dev);
    const int64_t rows = a->x.dim[0], o = a->dy.dim[1], d = a->x.dim[1];
    const int64_t scratch = (int64_t)(lane->scratch_bytes / sizeof(float));
    seg_gradient g = {};
    g.off = (const int32_t *)a->segs.off.data, g.slot = (const int32_t *)a->segs.slot.data;
    g.segs = (int)a->segs.slot.dim[0];
    g.alpha = a->alpha, g.part = (float *)lane->scratch;
    if (rows == 0 || g.segs == 0) return WEFT_OK;
    const unsigned chunks = (unsigned)seg_tiles(rows, g.segs, LORA_CHUNK);
    /* The wider is W, whose columns a block has more of; of two wide floats, dy, as grad_f32_k
     * writes along N. */
    const bool floats = a->dy.dtype == WK_F32 && a->x.dtype == WK_F32;
    const bool dy_is_w = o >= d || (floats && o > 32);
    const wk_tensor w = dy_is_w ? a->dy : a->x, n = dy_is_w ? a->x : a->dy;
    g.w_ld = w.ld, g.n_ld = n.ld;
    g.dm = (float *)a->dm.data, g.dm_ld = a->dm.ld;
    g.wide_step = dy_is_w ? d : 1, g.narrow_step = dy_is_w ? 1 : d;
    bool fits = run_weight(dev, g, chunks, rows, w, n, scratch);
    if (fits && wk_given(a->dbias)) fits = run_bias(dev, g, chunks, rows, a, scratch);
    if (!fits)
        return WEFT_FAIL(&dev->ctx->err, WEFT_E_UNSUPPORTED,
                         "seg_linear_dw: %lld rows need more than %zu bytes of scratch memory",
                         (long long)rows, lane->scratch_bytes);
    return cuda_launched(dev, "seg_linear_dw");
}
