/* rng.h against cuRAND's Philox 4x32-10: the same key and counter give the same words. cuRAND's inline source
 * is compiled for the host too, so that `philox` needs no GPU; `philox device` draws on one.
 * Exit code: 0 equal, 1 different, 77 no device. */
#include "curand_place.h"

#include <cstdio>

__host__ __device__ static int differs(place p) {
    curandStatePhilox4_32_10_t state = curand_at(p);
    uint4 theirs = curand4(&state);
    wk_philox ours = wk_philox4(p.key, p.index >> 2, p.step, p.round, p.client);
    return ours.v[0] != theirs.x || ours.v[1] != theirs.y || ours.v[2] != theirs.z ||
           ours.v[3] != theirs.w;
}

__host__ __device__ static place nth(uint32_t i) {
    place p = {wk_rng_key(i * 7919u, i % 7u, i), i * 2654435761u, i * 40503u % 1000003u, i % 1009u, i * 977u};
    return p;
}

__global__ void compare(int *bad) {
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (differs(nth(i))) *bad = 1;
}

static int on_host() {
    for (uint32_t i = 0; i < 65536; i++)
        if (differs(nth(i))) {
            std::printf("host: draw %u differs from cuRAND\n", i);
            return 1;
        }
    std::printf("host: 65536 draws equal cuRAND's\n");
    return 0;
}

static int on_device() {
    int devices = 0, *bad = nullptr, result = 1;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        std::printf("skipped: no CUDA device\n");
        return 77;
    }
    cudaMalloc(&bad, sizeof *bad);
    cudaMemset(bad, 0, sizeof *bad);
    compare<<<256, 256>>>(bad);
    if (cudaMemcpy(&result, bad, sizeof result, cudaMemcpyDeviceToHost) != cudaSuccess) result = 1;
    std::printf("device: %s\n", result ? "draws differ from cuRAND" : "65536 draws equal cuRAND's");
    return result;
}

int main(int argc, char **) {
    return argc > 1 ? on_device() : on_host();
}
