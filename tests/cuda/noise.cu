/* The normal numbers of `noise` against cuRAND's curand_normal4 at the same place of the same
 * stream. cuRAND's inline source is compiled for the host too, so that `noise` needs no GPU;
 * `noise device` runs the op's kernel and cuRAND's device code on one.
 * Exit code: 0 equal within rounding, 1 different, 77 no device. */
#include "curand_place.h"

#include "kernels/cuda/fed.cuh"
#include "kernels/cuda/normal.cuh"

#include <cmath>
#include <cstdio>
#include <vector>

/* Of numbers up to 6.8. cuRAND takes the angle, up to 2 pi, as a float, and on a device the fast
 * sine (2^-21 and more): so the two agree in formula, not in bits. */
static const double host_tolerance = 4e-6, device_tolerance = 2e-5;
static const int blocks = 65536;

/* What the op's file asks of the backend; the stream is the default one. */
extern "C" weft_status cuda_launched(wk_dev *, const char *) {
    return cudaDeviceSynchronize() == cudaSuccess ? WEFT_OK : WEFT_E_DEVICE;
}

__host__ __device__ static place nth(uint32_t block) {
    place p = {0x243f6a8885a308d3ull, block * 4, 17, 1009, 23};
    return p;
}

__host__ __device__ static void curand_four(float *out, uint32_t block) {
    curandStatePhilox4_32_10_t state = curand_at(nth(block));
    const float4 z = curand_normal4(&state);
    out[0] = z.x, out[1] = z.y, out[2] = z.z, out[3] = z.w;
}

__host__ __device__ static void our_four(float *out, uint32_t block) {
    const place p = nth(block);
    const normal4 z = normal4_of(wk_philox4(p.key, p.index >> 2, p.step, p.round, p.client));
    for (int i = 0; i < 4; i++) out[i] = z.v[i];
}

__global__ void curand_k(float *out) {
    const uint32_t block = blockIdx.x * blockDim.x + threadIdx.x;
    curand_four(out + 4 * block, block);
}

/* 0 when all agree and are what normal numbers are. */
static int compare(const char *where, const std::vector<float> &ours,
                   const std::vector<float> &theirs, double tolerance) {
    double worst = 0, square = 0, largest = 0;
    for (size_t i = 0; i < ours.size(); i++) {
        const double diff = std::fabs((double)ours[i] - (double)theirs[i]);
        if (!(diff <= worst)) worst = diff;
        square += (double)ours[i] * (double)ours[i];
        largest = std::fmax(largest, std::fabs((double)ours[i]));
    }
    const double variance = square / (double)ours.size();
    const bool fine = worst <= tolerance && std::fabs(variance - 1) < 0.02 && largest > 4;
    std::printf("%s: %zu numbers up to %.2f, variance %.4f, off cuRAND's by %.2g at most%s\n",
                where, ours.size(), largest, variance, worst, fine ? "" : ": DIFFERENT");
    return !fine;
}

static int on_host() {
    std::vector<float> ours(4 * blocks), theirs(4 * blocks);
    for (int b = 0; b < blocks; b++) {
        our_four(&ours[4 * b], (uint32_t)b);
        curand_four(&theirs[4 * b], (uint32_t)b);
    }
    return compare("host", ours, theirs, host_tolerance);
}

static int on_device() {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        std::printf("skipped: no CUDA device\n");
        return 77;
    }
    const size_t bytes = 4 * blocks * sizeof(float);
    std::vector<float> ours(4 * blocks), host(4 * blocks), theirs(4 * blocks);
    float *y = nullptr, *curand = nullptr;
    if (cudaMalloc(&y, bytes) != cudaSuccess || cudaMalloc(&curand, bytes) != cudaSuccess ||
        cudaMemset(y, 0, bytes) != cudaSuccess)
        return 1;
    cuda_lane lane = {};
    wk_dev dev = {};
    dev.impl = &lane;
    const place p = nth(0);
    wk_noise_args a = {};
    a.y = wk_vec(y, WK_F32, 4 * blocks);
    a.key = p.key, a.step = p.step, a.round = p.round, a.client = p.client, a.sigma = 1.0f;
    if (cuda_noise(&dev, &a) != WEFT_OK) return 1;
    curand_k<<<blocks / 256, 256>>>(curand);
    if (cudaMemcpy(ours.data(), y, bytes, cudaMemcpyDeviceToHost) != cudaSuccess ||
        cudaMemcpy(theirs.data(), curand, bytes, cudaMemcpyDeviceToHost) != cudaSuccess)
        return 1;
    for (int b = 0; b < blocks; b++) our_four(&host[4 * b], (uint32_t)b);
    int bad = compare("device", ours, theirs, device_tolerance);
    bad |= compare("device, ours on the host for cuRAND's", ours, host, host_tolerance);
    return bad;
}

int main(int argc, char **) {
    return argc > 1 ? on_device() : on_host();
}
