/* Places of threads, barriers, atomics and warp operations against straightforward models. */
#include "tests/simt/both.h"

#define FULL 0xffffffffu

/* ---- places ---- */

__global__ void places_k(unsigned *o) {
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    const unsigned size = blockDim.x * blockDim.y * blockDim.z;
    o[block * size + thread] += block * size + thread;
}

static void test_places() {
    const dim3 grid(3, 2, 5), block(5, 3, 4);
    const unsigned n = 3 * 2 * 5 * 5 * 3 * 4;
    array<unsigned> o(n);
    for (unsigned i = 0; i < n; i++) o[i] = 7;
    WK_LAUNCH(places_k, grid, block, 0, nullptr, o.p);
    finish("places");
    for (unsigned i = 0; i < n; i++) expect("places", i, o[i], i + 7);
}

/* ---- barriers and atomics ---- */

enum { COUNT, OR, AND, NONE_OR, ALL_AND, REVERSED, BARRIER_ROWS };

__global__ void barriers_k(int *o, int *total, unsigned *calls) {
    WK_SHARED(int, turned, [256]);
    const int t = (int)threadIdx.x, n = (int)blockDim.x;
    o[COUNT * n + t] = __syncthreads_count(t % 3 == 0);
    o[OR * n + t] = __syncthreads_or(t == n - 1) != 0;
    o[AND * n + t] = __syncthreads_and(t != n - 1) != 0;
    o[NONE_OR * n + t] = __syncthreads_or(0) != 0;
    o[ALL_AND * n + t] = __syncthreads_and(1) != 0;
    turned[t] = t;
    __syncthreads();
    o[REVERSED * n + t] = turned[n - 1 - t];
    atomicAdd(total, t);
    atomicAdd(calls, 1u);
}

static void test_barriers() {
    for (int n : {1, 31, 32, 100, 256}) {
        array<int> o((size_t)BARRIER_ROWS * (size_t)n), total(1);
        array<unsigned> calls(1);
        total[0] = 0, calls[0] = 0;
        /* The rows are written by one block alone, so that there is no race on them. */
        for (int block = 0; block < 3; block++)
            WK_LAUNCH(barriers_k, 1, n, 0, nullptr, o.p, total.p, calls.p);
        finish("barriers");
        for (int t = 0; t < n; t++) {
            expect("__syncthreads_count", t, o[COUNT * n + t], (n + 2) / 3);
            expect("__syncthreads_or", t, o[OR * n + t], 1);
            expect("__syncthreads_and", t, o[AND * n + t], 0);
            expect("__syncthreads_or", t, o[NONE_OR * n + t], 0);
            expect("__syncthreads_and", t, o[ALL_AND * n + t], 1);
            expect("shared memory", t, o[REVERSED * n + t], n - 1 - t);
        }
        expect("atomicAdd int", n, total[0], 3.0 * n * (n - 1) / 2);
        expect("atomicAdd unsigned", n, calls[0], 3.0 * n);
    }
}

__global__ void atomics_k(int *total) {
    atomicAdd(total, 1 - 2 * (int)(threadIdx.x & 1) + (int)blockIdx.x);
}

static void test_atomics() {
    array<int> total(1);
    total[0] = 5;
    WK_LAUNCH(atomics_k, 4, 64, 0, nullptr, total.p);
    finish("atomics");
    expect("atomicAdd between blocks", 0, total[0], 5 + 64 * (0 + 1 + 2 + 3));
}

/* ---- warp operations ---- */

enum { IDX, UP, DOWN, XOR, WIDE, BALLOT, HALVES, ANY_ALL, EXCHANGE, WARP_ROWS };

__global__ void warp_k(int *o, int width, int d) {
    WK_SHARED(int, swap, [256]);
    const int t = (int)threadIdx.x, n = (int)blockDim.x;
    o[IDX * n + t] = __shfl_sync(FULL, t * 10, d, width);
    o[UP * n + t] = __shfl_up_sync(FULL, t * 10, (unsigned)d, width);
    o[DOWN * n + t] = __shfl_down_sync(FULL, t * 10, (unsigned)d, width);
    o[XOR * n + t] = __shfl_xor_sync(FULL, t * 10, d, width);
    /* 64 bits, by their difference from what is wanted. */
    o[WIDE * n + t] = (int)(__shfl_xor_sync(FULL, 1e10 + t, 1) - 1e10);
    o[BALLOT * n + t] = (int)__ballot_sync(FULL, t % 3 == 0);
    /* Two halves of a warp in the two arms of a branch. */
    const unsigned half = t & 16 ? 0xffff0000u : 0x0000ffffu;
    if (t & 16)
        o[HALVES * n + t] = (int)__ballot_sync(half, t & 1);
    else
        o[HALVES * n + t] = __shfl_xor_sync(half, t, 1);
    __syncwarp();
    o[ANY_ALL * n + t] = (__any_sync(FULL, t == 5) != 0) + 2 * (__all_sync(FULL, t < 1000) != 0) +
                         4 * (__all_sync(FULL, t != 40) != 0);
    swap[t] = t;
    __syncwarp();
    o[EXCHANGE * n + t] = swap[t ^ 31];
}

static void test_warp(int n, int width, int d) {
    array<int> o((size_t)WARP_ROWS * (size_t)n);
    WK_LAUNCH(warp_k, 1, n, 0, nullptr, o.p, width, d);
    finish("warp");
    for (int t = 0; t < n; t++) {
        const int lane = t % 32, warp = t - lane, segment = lane / width * width;
        const int up = lane - d, down = lane + d, other = lane ^ d, end = segment + width;
        int ballot = 0;
        for (int i = 0; i < 32; i++)
            if ((warp + i) % 3 == 0) ballot |= (int)(1u << i);
        expect("__shfl_sync", t, o[IDX * n + t], (warp + segment + d % width) * 10);
        expect("__shfl_up_sync", t, o[UP * n + t], (up >= segment ? warp + up : t) * 10);
        expect("__shfl_down_sync", t, o[DOWN * n + t], (down < end ? warp + down : t) * 10);
        expect("__shfl_xor_sync", t, o[XOR * n + t], (other < end ? warp + other : t) * 10);
        expect("shuffled double", t, o[WIDE * n + t], t ^ 1);
        expect("__ballot_sync", t, o[BALLOT * n + t], ballot);
        expect("half warps", t, o[HALVES * n + t], lane & 16 ? (int)0xaaaa0000u : t ^ 1);
        expect("votes", t, o[ANY_ALL * n + t], (warp == 0) + 2 + 4 * (warp != 32));
        expect("__syncwarp", t, o[EXCHANGE * n + t], t ^ 31);
    }
}

static void all() {
    test_places();
    test_barriers();
    test_atomics();
    for (int n : {32, 64, 256})
        for (int width : {32, 16, 8, 4, 2})
            for (int d = 0; d < 32; d += 3)
                if (!few || (n == 64 && d % 9 == 0)) test_warp(n, width, d);
}

int main(int argc, char **argv) {
    return run_both(all, argc, argv);
}
