/* Which segment or sequence a row belongs to, found on the device. */
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

#endif
