/* Embedding of tokens, and dropout. Bound by memory; the floor of each is at its kernel. */
#include "kernels/cuda/map.cuh"
#include "kernels/cuda/segs.cuh"
#include "kernels/rng.h"

#include <math.h>

/* ---- embed_fwd: reads an element of two or three tables, writes one; the position and type rows
 * come from the cache ---- */

template <class Y, class W> struct embed_f {
    Y *y;
    const int32_t *tok, *pos_id, *type_id; /* type_id: NULL without types */
    const W *word, *pos, *type;
    int64_t ldy, ld_word, ld_pos, ld_type;
    template <int N> __device__ __forceinline__ void at(int64_t t, int64_t j) const {
        float sum[N], more[N];
        load<N>(sum, word + tok[t] * ld_word + j);
        load<N>(more, pos + pos_id[t] * ld_pos + j);
#pragma unroll
        for (int i = 0; i < N; i++) sum[i] += more[i];
        if (type_id) {
            load<N>(more, type + type_id[t] * ld_type + j);
#pragma unroll
            for (int i = 0; i < N; i++) sum[i] += more[i];
        }
        store<N>(y + t * ldy + j, sum);
    }
};

template <class Y, class W> static void embed(wk_dev *dev, const wk_embed_fwd_args *a) {
    const int n = width_of<Y, W>::n;
    const bool vector = rows_aligned(a->y, n) && rows_aligned(a->word, n) &&
                        rows_aligned(a->pos, n) && rows_aligned(a->type, n);
    const embed_f<Y, W> f = {(Y *)a->y.data,
                             (const int32_t *)a->tok.data,
                             (const int32_t *)a->pos_id.data,
                             wk_given(a->type) ? (const int32_t *)a->type_id.data : NULL,
                             (const W *)a->word.data,
                             (const W *)a->pos.data,
                             (const W *)a->type.data,
                             a->y.ld,
                             a->word.ld,
                             a->pos.ld,
                             a->type.ld};
    MAP(dev, vector, n, a->y.dim[0], a->y.dim[1], f);
}

static weft_status cuda_embed_fwd(wk_dev *dev, const wk_embed_fwd_args *a) {
    WITH_DTYPE(a->y.dtype, Y, WITH_DTYPE(a->word.dtype, W, embed<Y, W>(dev, a)));
    return cuda_launched(dev, "embed_fwd");
}

/* ---- dropout: reads and writes an element once (and reads y when it accumulates) ----
 *
 * One warp a row. A call of Philox gives the words of four consecutive indices, so groups of four
 * are counted from the segment's first element: where D is no multiple of 4 they straddle rows, and
 * both rows draw the group. Its 20 wide products for four elements come close to the bytes in
 * bfloat16. */

struct dropout_mask {
    uint64_t key;
    uint32_t limit; /* keep where word >= limit = ceil(p 2^32) */
    float scale;    /* 1 / (1 - p) */
};

template <class T> struct dropout_rows {
    T *y;
    const T *x;
    const int32_t *off, *rng;
    int64_t rows, width, ldy, ldx, ld_rng;
    int segments;
    bool accumulate;
};

/* y = x keep / (1 - p) of N elements whose words are given. */
template <int N, class T>
WK_DEVICE void drop(T *y, const T *x, const uint32_t (&word)[N], const dropout_mask &m,
                    bool accumulate) {
    float v[N], old[N];
    load<N>(v, x);
    if (accumulate) load<N>(old, y);
#pragma unroll
    for (int i = 0; i < N; i++) {
        const bool keep = word[i] >= m.limit;
        if (accumulate)
            v[i] = keep ? fmaf(v[i], m.scale, old[i]) : old[i];
        else
            v[i] = keep ? v[i] * m.scale : 0.0f;
    }
    store<N>(y, v);
}

/* N > 1: the width is a multiple of N, N of 4, and all rows are aligned. */
template <int N, class T>
__global__ void __launch_bounds__(MAP_THREADS) dropout_k(dropout_rows<T> a, dropout_mask m) {
    const int lane = threadIdx.x;
    for (int64_t row = blockIdx.x * (int64_t)blockDim.y + threadIdx.y; row < a.rows;
         row += (int64_t)gridDim.x * blockDim.y) {
        T *y = a.y + row * a.ldy;
        const T *x = a.x + row * a.ldx;
        const int s = segment_of(a.off, a.segments, row);
        if (s < 0) {
            if (a.accumulate || x == y) continue;
            for (int64_t j = lane * N; j < a.width; j += WARP * N) move<N>(y + j, x + j);
            continue;
        }
        const uint32_t step = (uint32_t)a.rng[s * a.ld_rng],
                       round = (uint32_t)a.rng[s * a.ld_rng + 1],
                       client = (uint32_t)a.rng[s * a.ld_rng + 2];
        const uint32_t first = (uint32_t)((row - a.off[s]) * a.width); /* index of column 0 */
        if (N > 1) {
            for (int64_t j = lane * N; j < a.width; j += WARP * N) {
                uint32_t word[N];
#pragma unroll
                for (int i = 0; i + 4 <= N; i += 4) {
                    const wk_philox four = wk_philox4(m.key, (first + (uint32_t)j + i) / 4, step,
                                                      round, client);
#pragma unroll
                    for (int k = 0; k < 4; k++) word[i + k] = four.v[k];
                }
                drop<N>(y + j, x + j, word, m, a.accumulate);
            }
        } else {
            const int64_t lead = first % 4;
            for (int64_t group = lane; group * 4 < lead + a.width; group += WARP) {
                const wk_philox four =
                    wk_philox4(m.key, first / 4 + (uint32_t)group, step, round, client);
#pragma unroll
                for (int k = 0; k < 4; k++) {
                    const int64_t j = group * 4 + k - lead;
                    const uint32_t word[1] = {four.v[k]};
                    if (j >= 0 && j < a.width) drop<1>(y + j, x + j, word, m, a.accumulate);
                }
            }
        }
    }
}

template <int N, class T>
static void launch_dropout(wk_dev *dev, dropout_rows<T> rows, dropout_mask mask) {
    const int64_t blocks = ceil_div(rows.rows, MAP_THREADS / WARP);
    const dim3 block(WARP, MAP_THREADS / WARP);
    LAUNCH(dev, (dropout_k<N, T>), (unsigned)(blocks < INT32_MAX ? blocks : INT32_MAX), block, 0,
           rows, mask);
}

template <class T> static void dropout(wk_dev *dev, const wk_dropout_args *a) {
    const int n = width_of<T, T>::n;
    const double p = (double)a->p;
    const dropout_mask mask = {a->key, (uint32_t)ceil(p * 4294967296.0), (float)(1.0 / (1.0 - p))};
    const dropout_rows<T> rows = {(T *)a->y.data,
                                  (const T *)a->x.data,
                                  (const int32_t *)a->segs.off.data,
                                  (const int32_t *)a->rng.data,
                                  a->x.dim[0],
                                  a->x.dim[1],
                                  a->y.ld,
                                  a->x.ld,
                                  a->rng.ld,
                                  (int)a->segs.slot.dim[0],
                                  a->accumulate};
    if (rows.rows == 0 || rows.width == 0) return;
    if (can_vector(a->x, n) && can_vector(a->y, n))
        launch_dropout<n>(dev, rows, mask);
    else
        launch_dropout<1>(dev, rows, mask);
}

static weft_status cuda_dropout(wk_dev *dev, const wk_dropout_args *a) {
    WITH_DTYPE(a->x.dtype, T, dropout<T>(dev, a));
    return cuda_launched(dev, "dropout");
}

void cuda_fill_embed(wk_ops *table) {
    table->embed_fwd = cuda_embed_fwd;
    table->dropout = cuda_dropout;
}
