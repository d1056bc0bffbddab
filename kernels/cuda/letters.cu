/* Letters to the host: a few numbers that it may read while the device goes on. */
#include "kernels/cuda/device.cuh"

/* One block. Every thread's bytes are on their way to the host before it meets the others, so the
 * number follows all of them. */
__global__ void post_letter_k(unsigned char *dst, volatile uint64_t *sign, const unsigned char *src,
                              unsigned bytes, uint64_t number) {
    for (unsigned i = threadIdx.x; i < bytes; i += blockDim.x) dst[i] = src[i];
    __threadfence_system();
    __syncthreads();
    if (threadIdx.x == 0) *sign = number;
}

void cuda_post_letter(wk_dev *dev, void *dst, uint64_t *sign, const void *src, size_t bytes,
                      uint64_t number) {
    LAUNCH(dev, post_letter_k, 1, 128, 0, (unsigned char *)dst, sign, (const unsigned char *)src,
           (unsigned)bytes, number);
}
