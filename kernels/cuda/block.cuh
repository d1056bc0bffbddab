/* Rows that one or several warps of a block hold in registers: how columns are dealt to lanes, and
 * sums over a row.
 *
 * Column groups of V elements go to lanes in turn, so the order of a row's sum follows from its
 * width and dtypes, whether or not the accesses are vectors. */
#ifndef CUDA_BLOCK_CUH
#define CUDA_BLOCK_CUH

#include "kernels/cuda/device.cuh"

#define ROW_WARPS 16 /* at most, for one row */

/* What a launcher chooses from the width; the same in all threads. */
struct row_plan {
    int64_t rows;
    int width, warps; /* warps that share a row */
    bool vector;      /* width is a multiple of V and all rows are aligned to it */
};

/* Blocks are of one row, or of four when a warp suffices. */
static inline dim3 plan_block(row_plan p) {
    return dim3(WARP, p.warps > 1 ? p.warps : 4);
}
static inline unsigned plan_grid(row_plan p) {
    return (unsigned)(p.warps > 1 ? p.rows : ceil_div(p.rows, 4));
}
/* The fewest warps that hold a row of `width` with `held` elements a lane, or as many as may. */
static inline row_plan plan_rows(int64_t rows, int64_t width, int held, bool vector) {
    const int64_t warps = ceil_div(width, held * WARP);
    return row_plan{rows, (int)width, (int)(warps < ROW_WARPS ? warps : ROW_WARPS), vector};
}

/* The row of this thread; -1: none. */
WK_DEVICE int64_t plan_row(const row_plan &p) {
    const int64_t row = p.warps > 1 ? blockIdx.x : blockIdx.x * (int64_t)4 + threadIdx.y;
    return row < p.rows ? row : -1;
}
/* First column of this thread, and columns from one of its groups to the next. */
template <int V> WK_DEVICE int first_column(const row_plan &p) {
    return ((p.warps > 1 ? threadIdx.y * WARP : 0) + threadIdx.x) * V;
}
template <int V> WK_DEVICE int column_step(const row_plan &p) {
    return p.warps * WARP * V;
}

/* G groups from column j on; zeros behind the row's end. */
template <int G, int V, class T>
WK_DEVICE void read_groups(float (&v)[G][V], const T *row, int j, const row_plan &p) {
    const int step = column_step<V>(p);
    if (p.vector) {
#pragma unroll
        for (int g = 0; g < G; g++) {
            const bool inside = j + g * step < p.width;
            if (inside) load<V>(v[g], row + j + g * step);
#pragma unroll
            for (int k = 0; k < V; k++) v[g][k] = inside ? v[g][k] : 0.0f;
        }
    } else {
#pragma unroll
        for (int g = 0; g < G; g++)
#pragma unroll
            for (int k = 0; k < V; k++)
                v[g][k] = j + g * step + k < p.width ? to_float(row[j + g * step + k]) : 0.0f;
    }
}

/* One group at column j, whose elements inside the row are written. */
template <int V, class T>
WK_DEVICE void write_group(T *row, int j, const float (&v)[V], const row_plan &p) {
    if (p.vector) {
        if (j < p.width) store<V>(row + j, v);
    } else {
#pragma unroll
        for (int k = 0; k < V; k++)
            if (j + k < p.width) set(row[j + k], v[k]);
    }
}
template <int V, class T>
WK_DEVICE void read_group(float (&v)[V], const T *row, int j, const row_plan &p) {
    if (p.vector) {
        if (j < p.width) load<V>(v, row + j);
    } else {
#pragma unroll
        for (int k = 0; k < V; k++)
            if (j + k < p.width) v[k] = to_float(row[j + k]);
    }
}

/* Sums of a row over its threads, the same bits in all of them. With several warps a block has one
 * row and all its threads call; part is shared memory of the call alone. */
WK_DEVICE float row_sum(float x, const row_plan &p, float *part) {
    x = warp_sum(x);
    if (p.warps == 1) return x;
    if (threadIdx.x == 0) part[threadIdx.y] = x;
    __syncthreads();
    x = part[0];
    for (int w = 1; w < p.warps; w++) x += part[w];
    return x;
}

#endif
