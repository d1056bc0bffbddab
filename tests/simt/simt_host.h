/* The emulator's half of kernels/cuda/port.h: CUDA's names for a plain C++ compiler. Every thread
 * of a block runs as a fiber on one OS thread; barriers, shuffles, votes, mma and ldmatrix are
 * meetings of fibers. The scheduler is simt.cpp. No toolkit is needed. */
#ifndef SIMT_HOST_H
#define SIMT_HOST_H
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <tuple>
#include <utility>
struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(2) bf16 {
    uint16_t u;
};
struct alignas(2) f16 {
    uint16_t u;
};
static inline float __half2float(f16 h) {
    const uint32_t sign = (uint32_t)(h.u & 0x8000u) << 16, exp = (h.u >> 10) & 31u;
    const float man = (float)(h.u & 0x3ffu) / 1024.0f;
    float f = exp == 31 ? (man > 0 ? NAN : INFINITY)
                        : ldexpf(exp ? 1.0f + man : man, (int)(exp ? exp : 1) - 15);
    uint32_t w;
    memcpy(&w, &f, 4);
    w |= sign;
    memcpy(&f, &w, 4);
    return f;
}
static inline float __bfloat162float(bf16 b) {
    uint32_t w = (uint32_t)b.u << 16;
    float f;
    memcpy(&f, &w, 4);
    return f;
}
static inline uint16_t __bfloat16_as_ushort(bf16 b) {
    return b.u;
}
static inline bf16 __ushort_as_bfloat16(uint16_t u) {
    return bf16{u};
}
static inline bf16 __float2bfloat16(float f) {
    uint32_t w;
    memcpy(&w, &f, 4);
    if ((w & 0x7fffffffu) > 0x7f800000u) return bf16{0x7fff};
    return bf16{(uint16_t)((w + 0x7fffu + ((w >> 16) & 1)) >> 16)};
}
static inline uint32_t pack_bf16(float lo, float hi) {
    return (uint32_t)__float2bfloat16(hi).u << 16 | __float2bfloat16(lo).u;
}
static inline float2 make_float2(float x, float y) {
    return float2{x, y};
}
static inline float4 make_float4(float x, float y, float z, float w) {
    return float4{x, y, z, w};
}
#define __restrict__ __restrict
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define WK_DEVICE static inline

namespace simt {
enum { OP_SHFL = 1, OP_VOTE, OP_SYNCWARP, OP_MMA, OP_LDMATRIX };
struct Slot {
    uint32_t w[8];
    const void *p;
};
struct Ctx {
    uint3 tid;
    unsigned lane, warp;
}; /* what a running fiber sees of itself */
extern Ctx *cur;
extern uint3 block_idx;
extern dim3 grid_dim, block_dim;
extern void *dyn_smem;
void launch_raw(const char *name, dim3 g, dim3 b, size_t smem, void (*fn)(void *), void *arg);
void barrier_block();
int barrier_block_count(int pred);
const Slot *rendezvous(int op, unsigned mask,
                       const Slot &mine); /* all lanes of mask meet; returns their 32 slots */
void *shared_static(const void *tag, size_t bytes);
void async_copy16(void *dst, const void *src);
void async_commit();
void async_wait(int pending);
void set_order(int mode, unsigned seed); /* 0 forward, 1 reversed, 2 random */
struct Stats {
    unsigned long long switches, rendezvous, barriers, blocks;
};
extern Stats stats;

template <class... P, class... A>
void launch(const char *name, dim3 g, dim3 b, size_t smem, void (*k)(P...), A &&...a) {
    struct Pack {
        void (*k)(P...);
        std::tuple<P...> t;
    } pk{k, std::tuple<P...>(std::forward<A>(a)...)};
    launch_raw(
        name, g, b, smem,
        [](void *v) {
            Pack *p = (Pack *)v;
            std::apply(p->k, p->t);
        },
        &pk);
}
template <class T> inline T shfl(unsigned mask, T v, unsigned src, bool valid) {
    static_assert(sizeof(T) <= sizeof(uint32_t) * 8, "shuffle type too large");
    Slot s;
    memcpy(s.w, &v, sizeof v);
    const Slot *e = rendezvous(OP_SHFL, mask, s);
    if (valid) memcpy(&v, e[src].w, sizeof v);
    return v;
}
inline unsigned vote(unsigned mask, int pred) {
    Slot s;
    s.w[0] = pred != 0;
    const Slot *e = rendezvous(OP_VOTE, mask, s);
    unsigned r = 0;
    for (unsigned i = 0; i < 32; i++)
        if (mask >> i & 1) r |= e[i].w[0] << i;
    return r;
}
} // namespace simt

#define threadIdx (simt::cur->tid)
#define blockIdx  (simt::block_idx)
#define blockDim  (simt::block_dim)
#define gridDim   (simt::grid_dim)
#define warpSize  32
#define WK_LAUNCH(kernel, grid, block, smem, stream, ...)                                          \
    simt::launch(#kernel, grid, block, smem, kernel, __VA_ARGS__)
#define WK_ALLOW_SHARED(kernel, bytes) (void)(kernel)
#define WK_SHARED(T, name, dims)                                                                   \
    typedef T name##_simt_t dims;                                                                  \
    static const char name##_simt_tag = 0;                                                         \
    name##_simt_t &name =                                                                          \
        *(name##_simt_t *)simt::shared_static(&name##_simt_tag, sizeof(name##_simt_t))
#define WK_DYN_SHARED(T, name) T *name = (T *)simt::dyn_smem

static inline void __syncthreads() {
    simt::barrier_block();
}
static inline int __syncthreads_count(int p) {
    return simt::barrier_block_count(p);
}
static inline int __syncthreads_or(int p) {
    return simt::barrier_block_count(p) != 0;
}
static inline void __syncwarp(unsigned m = 0xffffffffu) {
    simt::Slot s;
    s.w[0] = 0;
    simt::rendezvous(simt::OP_SYNCWARP, m, s);
}
static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __threadfence_system() {}
template <class T> static inline T __shfl_sync(unsigned m, T v, int src, int width = 32) {
    unsigned l = simt::cur->lane, base = l & ~(unsigned)(width - 1);
    return simt::shfl(m, v, base + ((unsigned)src & (unsigned)(width - 1)), true);
}
template <class T> static inline T __shfl_xor_sync(unsigned m, T v, int x, int width = 32) {
    unsigned l = simt::cur->lane, s = l ^ (unsigned)x;
    return simt::shfl(m, v, s & 31, s < (l & ~(unsigned)(width - 1)) + (unsigned)width);
}
template <class T> static inline T __shfl_down_sync(unsigned m, T v, unsigned d, int width = 32) {
    unsigned l = simt::cur->lane;
    return simt::shfl(m, v, (l + d) & 31, (l & (unsigned)(width - 1)) + d < (unsigned)width);
}
template <class T> static inline T __shfl_up_sync(unsigned m, T v, unsigned d, int width = 32) {
    unsigned l = simt::cur->lane;
    return simt::shfl(m, v, (l - d) & 31, (l & (unsigned)(width - 1)) >= d);
}
static inline unsigned __ballot_sync(unsigned m, int p) {
    return simt::vote(m, p);
}
static inline int __any_sync(unsigned m, int p) {
    return simt::vote(m, p) != 0;
}
static inline int __all_sync(unsigned m, int p) {
    return simt::vote(m, p) == m;
}
static inline unsigned __activemask() {
    return 0xffffffffu;
}
static inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
static inline int __ffs(int x) {
    return __builtin_ffs(x);
}
static inline int __clz(int x) {
    return x ? __builtin_clz((unsigned)x) : 32;
}
static inline float __fdividef(float a, float b) {
    return a / b;
}
static inline float rsqrtf(float x) {
    return 1.0f / sqrtf(x);
}
static inline double __dadd_rn(double a, double b) { /* rounded, never contracted */
    return a + b;
}
static inline double __dmul_rn(double a, double b) {
    return a * b;
}
static inline void sincospif(float x, float *sine, float *cosine) {
    *sine = (float)sin(M_PI * (double)x);
    *cosine = (float)cos(M_PI * (double)x);
}
static inline unsigned __float_as_uint(float f) {
    unsigned u;
    memcpy(&u, &f, 4);
    return u;
}
static inline float __uint_as_float(unsigned u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}
template <class T> static inline T __ldg(const T *p) {
    return *p;
}
#define __expf(x)  expf(x) /* glibc declares __expf, so these are macros */
#define __logf(x)  logf(x)
#define __exp2f(x) exp2f(x)
static inline float atomicAdd(float *p,
                              float v) { /* real atomics, so that TSan knows they are atomic */
    uint32_t *u = (uint32_t *)p, o = __atomic_load_n(u, __ATOMIC_ACQUIRE), n;
    float f;
    do {
        memcpy(&f, &o, 4);
        f += v;
        memcpy(&n, &f, 4);
    } while (!__atomic_compare_exchange_n(u, &o, n, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return f - v;
}
static inline int atomicAdd(int *p, int v) {
    return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
}
static inline unsigned atomicAdd(unsigned *p, unsigned v) {
    return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
}
static inline int atomicCAS(int *p, int c, int v) {
    __atomic_compare_exchange_n(p, &c, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    return c;
}

/* PTX ISA fragment layout of mma.m16n8k16 (.bf16): g = lane/4, t = lane%4
 *   A: a[0]=(g,2t..) a[1]=(g+8,2t..) a[2]=(g,2t+8..) a[3]=(g+8,2t+8..)   (row, col), two bf16 a
 * register, low half first B: b[0]=(2t..,g) b[1]=(2t+8..,g) (k, n) C/D: d[0]=(g,2t) d[1]=(g,2t+1)
 * d[2]=(g+8,2t) d[3]=(g+8,2t+1)                                                    */
static inline float simt_half_(uint32_t r, unsigned hi) {
    return __uint_as_float(hi ? r & 0xffff0000u : r << 16);
}
static inline void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    simt::Slot s;
    for (int i = 0; i < 4; i++) s.w[i] = a[i];
    s.w[4] = b[0];
    s.w[5] = b[1];
    const simt::Slot *e = simt::rendezvous(simt::OP_MMA, 0xffffffffu, s);
    unsigned g = simt::cur->lane / 4, t = simt::cur->lane % 4;
    for (int i = 0; i < 4; i++) {
        unsigned hirow = i / 2, n = 2 * t + (i & 1);
        float acc = 0.f;
        for (unsigned k = 0; k < 16; k++) {
            unsigned kk = k % 8, hi = k / 8;
            acc += simt_half_(e[g * 4 + kk / 2].w[hirow + 2 * hi], kk & 1) *
                   simt_half_(e[n * 4 + kk / 2].w[4 + hi], kk & 1);
        }
        d[i] += acc;
    }
}
static inline void ldmatrix_x4(uint32_t (&r)[4], const void *row) {
    simt::Slot s;
    s.p = row;
    const simt::Slot *e = simt::rendezvous(simt::OP_LDMATRIX, 0xffffffffu, s);
    unsigned l = simt::cur->lane;
    for (unsigned i = 0; i < 4; i++) r[i] = ((const uint32_t *)e[i * 8 + l / 4].p)[l % 4];
}
static inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row) {
    simt::Slot s;
    s.p = row;
    const simt::Slot *e = simt::rendezvous(simt::OP_LDMATRIX, 0xffffffffu, s);
    unsigned l = simt::cur->lane, row0 = 2 * (l % 4), col = l / 4;
    for (unsigned i = 0; i < 4; i++)
        r[i] = ((const uint16_t *)e[i * 8 + row0].p)[col] |
               (uint32_t)((const uint16_t *)e[i * 8 + row0 + 1].p)[col] << 16;
}
static inline void store_global16(void *to, const uint32_t (&x)[4]) {
    *(uint4 *)to = uint4{x[0], x[1], x[2], x[3]};
}
static inline float exp2_approx(float x) {
    const float y = exp2f(x);
    return y < 1.17549435e-38f ? 0.0f : y; /* ftz; NaN passes */
}
static inline void cp_async16(void *dst, const void *src) {
    simt::async_copy16(dst, src);
}
static inline void cp_async16(void *dst, const void *src, bool valid) {
    static const uint32_t zeros[4] __attribute__((aligned(16))) = {0, 0, 0, 0};
    simt::async_copy16(dst, valid ? src : zeros);
}
static inline void cp_async_commit() {
    simt::async_commit();
}
template <int N> static inline void cp_async_wait() {
    simt::async_wait(N);
}
#endif
