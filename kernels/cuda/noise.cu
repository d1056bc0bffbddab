/* Gaussian noise on a vector. */
#include "kernels/cuda/fed.cuh"
#include "kernels/cuda/normal.cuh"

/* A thread a Philox block, which is four numbers. 8 B/param. */
template <bool VECTOR>
__global__ __launch_bounds__(THREADS) void noise_k(float *y, int64_t p, float sigma, uint64_t key,
                                                   uint32_t step, uint32_t round,
                                                   uint32_t client) {
    const int64_t block = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    const int n = four_below(4 * block, p);
    if (n == 0) return;
    const normal4 z = normal4_of(wk_philox4(key, (uint32_t)block, step, round, client));
    float v[4];
    load4<VECTOR>(v, y + 4 * block, n);
#pragma unroll
    for (int c = 0; c < 4; c++) v[c] = fmaf(sigma, z.v[c], v[c]);
    store4<VECTOR>(y + 4 * block, v, n);
}

weft_status cuda_noise(wk_dev *dev, const wk_noise_args *a) {
    const int64_t p = a->y.dim[0];
    const unsigned blocks = (unsigned)ceil_div(p, 4 * THREADS);
    if (p > 0 && rows_aligned(a->y, 16))
        LAUNCH(dev, noise_k<true>, blocks, THREADS, 0, (float *)a->y.data, p, a->sigma, a->key,
               a->step, a->round, a->client);
    else if (p > 0)
        LAUNCH(dev, noise_k<false>, blocks, THREADS, 0, (float *)a->y.data, p, a->sigma, a->key,
               a->step, a->round, a->client);
    return cuda_launched(dev, "noise");
}
