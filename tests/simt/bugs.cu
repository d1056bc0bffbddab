/* Deliberately wrong kernels, each a mistake that compiles and often gives the right numbers.
 * bugs.sh runs them under every tool and compares what is caught with a table.
 *
 *   simt_bugs NAME [ORDER]   runs one and prints a checksum
 *   simt_bugs                lists the names */
#include "tests/simt/both.h"

#if defined(__has_feature)
#    if __has_feature(memory_sanitizer)
#        include <sanitizer/msan_interface.h>
#        define CHECK_WRITTEN(p, bytes) __msan_check_mem_is_initialized(p, bytes)
#    endif
#endif
#ifndef CHECK_WRITTEN
#    define CHECK_WRITTEN(p, bytes) (void)0
#endif

#define FULL 0xffffffffu

/* What every kernel is given: 1024 floats of zeros to write and 256 floats to read. */
struct room {
    const float *x;
    float *o;
};

/* ---- bounds ---- */

__global__ void static_end_k(float *o) {
    WK_SHARED(float, s, [64]);
    const unsigned t = threadIdx.x;
    s[t + 1] = (float)t; /* s[64] */
    __syncthreads();
    o[t] = s[t];
}
static void static_end(const room &r) {
    WK_LAUNCH(static_end_k, 1, 64, 0, nullptr, r.o);
}

__global__ void dynamic_end_k(float *o) {
    WK_DYN_SHARED(float, s);
    const unsigned t = threadIdx.x;
    s[t] = (float)t;
    __syncthreads();
    o[t] = s[t + 1]; /* s[64] */
}
static void dynamic_end(const room &r) {
    WK_LAUNCH(dynamic_end_k, 1, 64, 64 * sizeof(float), nullptr, r.o);
}

__global__ void global_end_k(const float *x, float *o, int n) {
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i <= n) o[i] = x[i]; /* x[n] */
}
static void global_end(const room &r) {
    WK_LAUNCH(global_end_k, 3, 128, 0, nullptr, r.x, r.o, 256);
}

__global__ void misaligned_k(const float *x, float *o) {
    const float4 *p = reinterpret_cast<const float4 *>(x + 1);
    o[threadIdx.x] = p[threadIdx.x].y;
}
static void misaligned(const room &r) {
    WK_LAUNCH(misaligned_k, 1, 32, 0, nullptr, r.x, r.o);
}

/* ---- races ---- */

__global__ void missing_sync_k(float *o) {
    WK_SHARED(float, s, [256]);
    const unsigned t = threadIdx.x;
    s[t] = (float)t; /* no barrier */
    o[t] = s[255 - t];
}
static void missing_sync(const room &r) {
    WK_LAUNCH(missing_sync_k, 1, 256, 0, nullptr, r.o);
}

__global__ void missing_syncwarp_k(float *o) {
    WK_SHARED(float, s, [32]);
    const unsigned t = threadIdx.x;
    s[t] = (float)t; /* lanes do not move together since Volta */
    o[t] = s[t ^ 1];
}
static void missing_syncwarp(const room &r) {
    WK_LAUNCH(missing_syncwarp_k, 1, 32, 0, nullptr, r.o);
}

/* Lanes meet in a shuffle, but it orders no memory. */
__global__ void shuffle_no_sync_k(float *o) {
    WK_SHARED(float, s, [32]);
    const unsigned t = threadIdx.x;
    s[t] = __shfl_xor_sync(FULL, (float)t, 1);
    const float v = __shfl_xor_sync(FULL, (float)t, 2);
    o[t] = s[t ^ 1] + v;
}
static void shuffle_no_sync(const room &r) {
    WK_LAUNCH(shuffle_no_sync_k, 1, 32, 0, nullptr, r.o);
}

__global__ void overwritten_k(float *o) {
    WK_SHARED(float, s, [64]);
    const unsigned t = threadIdx.x;
    float sum = 0;
    for (unsigned round = 0; round < 4; round++) {
        s[t] = (float)(t * round); /* no barrier after the last round's read */
        __syncthreads();
        sum += s[63 - t];
    }
    o[t] = sum;
}
static void overwritten(const room &r) {
    WK_LAUNCH(overwritten_k, 1, 64, 0, nullptr, r.o);
}

__global__ void shared_sum_k(float *o) {
    if (threadIdx.x == 0) *o += 1.f; /* by every block */
}
static void shared_sum(const room &r) {
    WK_LAUNCH(shared_sum_k, 4, 64, 0, nullptr, r.o);
}

/* The second stage of a sum in the kernel of the first: a barrier does not order blocks. */
__global__ void two_stages_k(float *o) {
    if (threadIdx.x == 0) o[1 + blockIdx.x] = (float)blockIdx.x;
    __syncthreads();
    if (blockIdx.x == gridDim.x - 1 && threadIdx.x == 0)
        for (unsigned i = 0; i < gridDim.x; i++) o[0] += o[1 + i];
}
static void two_stages(const room &r) {
    WK_LAUNCH(two_stages_k, 4, 32, 0, nullptr, r.o);
}

/* ---- asynchronous copies ---- */

__global__ void copy_no_wait_k(const float *x, float *o) {
    WK_SHARED(float4, s, [32]);
    const unsigned t = threadIdx.x;
    cp_async16(&s[t], x + 4 * t);
    cp_async_commit(); /* no wait */
    __syncthreads();
    o[t] = s[(t + 1) % 32].x;
    cp_async_wait<0>();
}
static void copy_no_wait(const room &r) {
    WK_LAUNCH(copy_no_wait_k, 1, 32, 0, nullptr, r.x, r.o);
}

__global__ void copy_no_sync_k(const float *x, float *o) {
    WK_SHARED(float4, s, [32]);
    const unsigned t = threadIdx.x;
    cp_async16(&s[t], x + 4 * t);
    cp_async_commit();
    cp_async_wait<0>(); /* waits for the own copies only: no barrier */
    o[t] = s[(t + 1) % 32].x;
}
static void copy_no_sync(const room &r) {
    WK_LAUNCH(copy_no_sync_k, 1, 32, 0, nullptr, r.x, r.o);
}

__global__ void copy_misaligned_k(const float *x, float *o) {
    WK_SHARED(float4, s, [33]);
    const unsigned t = threadIdx.x;
    float *to = &s[0].x + 4 * t + 1;
    cp_async16(to, x + 4 * t);
    cp_async_commit();
    cp_async_wait<0>();
    o[t] = *to;
}
static void copy_misaligned(const room &r) {
    WK_LAUNCH(copy_misaligned_k, 1, 32, 0, nullptr, r.x, r.o);
}

__global__ void ldmatrix_global_k(const float *x, float *o) {
    uint32_t f[4];
    ldmatrix_x4(f, x + threadIdx.x * 4); /* not shared memory */
    o[threadIdx.x] = (float)(f[0] + f[1] + f[2] + f[3]);
}
static void ldmatrix_global(const room &r) {
    WK_LAUNCH(ldmatrix_global_k, 1, 32, 0, nullptr, r.x, r.o);
}

/* ---- divergence ---- */

__global__ void divergent_k(float *o) {
    if (threadIdx.x < 32) __syncthreads();
    o[threadIdx.x] = 1.f;
}
static void divergent(const room &r) {
    WK_LAUNCH(divergent_k, 1, 64, 0, nullptr, r.o);
}

__global__ void early_return_k(float *o, unsigned n) {
    WK_SHARED(float, s, [64]);
    const unsigned t = threadIdx.x;
    if (t >= n) return;
    s[t] = 1.f;
    __syncthreads();
    o[t] = s[0];
}
static void early_return(const room &r) {
    WK_LAUNCH(early_return_k, 1, 64, 0, nullptr, r.o, 50u);
}

__global__ void two_barriers_k(float *o) {
    const unsigned t = threadIdx.x;
    if (t < 32)
        __syncthreads();
    else
        o[t] = (float)__syncthreads_or(1);
}
static void two_barriers(const room &r) {
    WK_LAUNCH(two_barriers_k, 1, 64, 0, nullptr, r.o);
}

__global__ void half_shuffle_k(float *o) {
    float v = (float)threadIdx.x;
    if (threadIdx.x & 1) v = __shfl_xor_sync(FULL, v, 2);
    o[threadIdx.x] = v;
}
static void half_shuffle(const room &r) {
    WK_LAUNCH(half_shuffle_k, 1, 32, 0, nullptr, r.o);
}

__global__ void two_shuffles_k(float *o) {
    float v = (float)threadIdx.x;
    if (threadIdx.x & 1)
        v = __shfl_xor_sync(FULL, v, 1);
    else
        v = __shfl_down_sync(FULL, v, 1);
    o[threadIdx.x] = v;
}
static void two_shuffles(const room &r) {
    WK_LAUNCH(two_shuffles_k, 1, 32, 0, nullptr, r.o);
}

/* A tree over a warp that is not full: reads lanes that are not there. */
__global__ void absent_lane_k(float *o) {
    float v = 1.f;
    for (unsigned d = 16; d > 0; d /= 2) v += __shfl_down_sync(FULL, v, d);
    if (threadIdx.x == 0) o[0] = v;
}
static void absent_lane(const room &r) {
    WK_LAUNCH(absent_lane_k, 1, 20, 0, nullptr, r.o);
}

/* ---- uninitialised memory ---- */

__global__ void unwritten_k(float *o) {
    WK_SHARED(float, s, [64]);
    const unsigned t = threadIdx.x;
    if (t < 63) s[t] = 1.f;
    __syncthreads();
    float sum = 0;
    for (unsigned i = 0; i < 64; i++) sum += s[i];
    o[t] = sum;
}
static void unwritten(const room &r) {
    WK_LAUNCH(unwritten_k, 1, 64, 0, nullptr, r.o);
}

/* fmaxf passes over what is not a number, so one fill pattern alone would not show this. */
__global__ void unwritten_max_k(float *o) {
    WK_DYN_SHARED(float, s);
    const unsigned t = threadIdx.x;
    if (t < 63) s[t] = (float)t;
    __syncthreads();
    float most = 0;
    for (unsigned i = 0; i < 64; i++) most = fmaxf(most, s[i]);
    o[t] = most;
}
static void unwritten_max(const room &r) {
    WK_LAUNCH(unwritten_max_k, 1, 64, 64 * sizeof(float), nullptr, r.o);
}

/* Decides by a number in device memory that nobody has written. */
__global__ void unwritten_global_k(const float *x, float *o) {
    o[threadIdx.x] = x[threadIdx.x] > 0.f ? 1.f : 2.f;
}
static void unwritten_global(const room &r) {
    array<float> y(32);
    WK_LAUNCH(unwritten_global_k, 1, 32, 0, nullptr, y.p, r.o);
    for (int i = 0; i < 32; i++)
        if (r.o[i] > 1.5f) r.o[900] += 1;
}

/* ---- launches that fail on a GPU ---- */

__global__ void idle_k(float *o) {
    WK_DYN_SHARED(float, s);
    s[threadIdx.x] = 1.f;
    o[threadIdx.x] = s[threadIdx.x];
}
static void shared_unasked(const room &r) {
    WK_LAUNCH(idle_k, 1, 32, 60 << 10, nullptr, r.o);
}
static void shared_too_much(const room &r) {
    WK_ALLOW_SHARED(idle_k, 64 << 10);
    WK_LAUNCH(idle_k, 1, 32, 65 << 10, nullptr, r.o);
}
static void shared_beyond_device(const room &r) {
    simt_shared_limit(99 << 10);
    WK_ALLOW_SHARED(idle_k, 100 << 10);
    WK_LAUNCH(idle_k, 1, 32, 100 << 10, nullptr, r.o);
}

__global__ void both_parts_k(float *o) {
    WK_DYN_SHARED(float, s);
    WK_SHARED(float, fixed, [4096]);
    const unsigned t = threadIdx.x;
    fixed[t] = s[t] = 1.f;
    o[t] = s[t] + fixed[t];
}
static void shared_both_parts(const room &r) {
    WK_LAUNCH(both_parts_k, 1, 32, 40 << 10, nullptr, r.o);
}

static void grid_y(const room &r) {
    WK_LAUNCH(idle_k, dim3(1, 65536), 32, 128, nullptr, r.o);
}
static void block_size(const room &r) {
    WK_LAUNCH(idle_k, 1, 1025, 8192, nullptr, r.o);
}

/* ---- nothing wrong ---- */

__global__ void no_bugs_k(const float *x, float *o, int *warps) {
    WK_SHARED(float, s, [256]);
    WK_SHARED(float4, four, [64]);
    const unsigned t = threadIdx.x;
    s[t] = (float)t;
    __syncthreads();
    o[blockIdx.x * 256 + t] = s[255 - t];
    __syncthreads();
    s[t] = 0.5f;
    float sum = s[t];
    for (int d = 16; d > 0; d /= 2) sum += __shfl_xor_sync(FULL, sum, d);
    if (t % 32 == 0) atomicAdd(warps, (int)sum);
    if (t < 64) cp_async16(&four[t], x + 4 * t);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    if (blockIdx.x == 0) o[768 + t] = four[t / 4].x;
}
static void no_bugs(const room &r) {
    array<int> warps(1);
    warps[0] = 0;
    WK_LAUNCH(no_bugs_k, 3, 256, 0, nullptr, r.x, r.o, warps.p);
    WK_ALLOW_SHARED(idle_k, 64 << 10);
    WK_LAUNCH(idle_k, dim3(1, 1, 1), 32, 64 << 10, nullptr, r.o);
    r.o[1] += (float)warps[0];
}

static const struct {
    const char *name;
    void (*run)(const room &r);
} all[] = {
#define BUG(name)                                                                                  \
    { #name, name }
    BUG(no_bugs),        BUG(static_end),      BUG(dynamic_end),          BUG(global_end),
    BUG(misaligned),     BUG(missing_sync),    BUG(missing_syncwarp),     BUG(shuffle_no_sync),
    BUG(overwritten),    BUG(shared_sum),      BUG(two_stages),           BUG(copy_no_wait),
    BUG(copy_no_sync),   BUG(copy_misaligned), BUG(ldmatrix_global),      BUG(divergent),
    BUG(early_return),   BUG(two_barriers),    BUG(half_shuffle),         BUG(two_shuffles),
    BUG(absent_lane),    BUG(unwritten),       BUG(unwritten_max),        BUG(unwritten_global),
    BUG(shared_unasked), BUG(shared_too_much), BUG(shared_beyond_device), BUG(shared_both_parts),
    BUG(grid_y),         BUG(block_size),
};

int main(int argc, char **argv) {
    for (const auto &bug : all) {
        if (argc < 2) printf("%s\n", bug.name);
        if (argc < 2 || strcmp(argv[1], bug.name) != 0) continue;
        array<float> x(256), o(1024);
        for (int i = 0; i < 256; i++) x[i] = (float)i;
        memset(o, 0, 1024 * sizeof(float));
        simt_order(argc > 2 ? atoi(argv[2]) : 0, 3);
        bug.run(room{x, o});
        CHECK_WRITTEN(o.p, 1024 * sizeof(float)); /* what bringing it to the host would do */
        double sum = 0;
        for (int i = 0; i < 1024; i++) sum += (double)o[i] * (i + 1);
        printf("checksum %.9g\n", sum);
        return 0;
    }
    return argc >= 2; /* no such bug */
}
