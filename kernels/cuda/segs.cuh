/* Which segment a row belongs to, and which rows a block works on, found on the device.
 *
 * Finding work in segments: a kernel over the rows of segments is launched with as many blocks as
 * the rows and segments of the call could need, and each block finds its place here from the
 * offsets, which only the device knows. Tiles of rows are counted from their segment's first row,
 * so that no tile crosses a segment and a segment's tiles are the same wherever it lies.
 *
 * Tile j of segment s has the number off[s] / height + s + j. That needs no sum over the segments
 * before it, and numbers do not meet:  off[s+1] / height + 1 - off[s] / height >=
 * ceil((off[s+1] - off[s]) / height).  Some numbers name no tile. */
#ifndef CUDA_SEGS_CUH
#define CUDA_SEGS_CUH

#include "kernels/cuda/device.cuh"

/* The segment s with off[s] <= row < off[s+1], -1 when there is none. off has segments + 1 entries,
 * ascending; empty segments repeat one. */
WK_DEVICE int segment_of(const int32_t *off, int segments, int64_t row) {
    int low = 0, high = segments + 1; /* the first entry above `row` lies in [low, high] */
    while (low < high) {
        const int mid = (low + high) / 2;
        if (off[mid] <= row)
            low = mid + 1;
        else
            high = mid;
    }
    return low > segments ? -1 : low - 1;
}

/* Rows [row, row + rows) of segment seg, the index-th tile of it. */
struct seg_tile {
    int seg, index, rows;
    int64_t row;
};

/* Numbers that tiles of n rows in s segments can have: what to launch. */
static inline int64_t seg_tiles(int64_t n, int64_t s, int height) {
    return s > 0 ? n / height + s : 0;
}

/* The largest s in [0, n) with at(s) <= key, or -1; at ascends. All lanes of a warp call it alike:
 * each round looks at 32 places. */
template <class At> WK_DEVICE int seg_search(int n, int64_t key, At at) {
    const int lane = (int)(threadIdx.x % WARP);
    int first = 0;
    for (int step = n; step > 1;) {
        step = (n + WARP - 1) / WARP;
        const bool below = lane * step < n && at(first + lane * step) <= key;
        const int count = __popc(__ballot_sync(FULL, below));
        if (count == 0) return -1; /* in the first round only */
        first += (count - 1) * step;
        n -= (count - 1) * step;
        if (n > step) n = step;
    }
    return n > 0 && at(first) <= key ? first : -1;
}

/* The tile of that number; false when there is none. By all threads of a warp, to the same end. */
WK_DEVICE bool seg_tile_at(const int32_t *off, int segs, int height, int64_t number,
                           seg_tile *tile) {
    const int s = seg_search(segs, number, [=](int i) { return (int64_t)(off[i] / height + i); });
    if (s < 0) return false;
    const int begin = off[s], index = (int)(number - begin / height - s);
    const int rows = off[s + 1] - begin - index * height;
    tile->seg = s;
    tile->index = index;
    tile->rows = rows < height ? rows : height;
    tile->row = begin + (int64_t)index * height;
    return rows > 0;
}

#endif
