/* CUDA's types, qualifiers and scalar functions. Vectors have CUDA's alignment, so that UBSan sees
 * a misaligned access. */
#ifndef SIMT_TYPES_H
#define SIMT_TYPES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define WK_DEVICE static inline

/* ---- vectors ---- */

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
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
static inline float2 make_float2(float x, float y) {
    return float2{x, y};
}
static inline float4 make_float4(float x, float y, float z, float w) {
    return float4{x, y, z, w};
}
static inline uint2 make_uint2(unsigned x, unsigned y) {
    return uint2{x, y};
}
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
    return uint4{x, y, z, w};
}

/* port.h: 16 aligned bytes to device memory. */
static inline void store_global16(void *to, const uint32_t (&x)[4]) {
    *static_cast<uint4 *>(to) = make_uint4(x[0], x[1], x[2], x[3]);
}

/* ---- bits ---- */

static inline unsigned __float_as_uint(float f) {
    unsigned u;
    memcpy(&u, &f, sizeof u);
    return u;
}
static inline float __uint_as_float(unsigned u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
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

/* ---- bfloat16: as cuda_bf16.h, NaN becomes 0x7fff ---- */

struct alignas(2) bf16 {
    uint16_t u;
};
static inline float __bfloat162float(bf16 b) {
    return __uint_as_float((uint32_t)b.u << 16);
}
static inline bf16 __float2bfloat16(float f) {
    const uint32_t w = __float_as_uint(f);
    if ((w & 0x7fffffffu) > 0x7f800000u) return bf16{0x7fff};
    return bf16{(uint16_t)((w + 0x7fffu + ((w >> 16) & 1)) >> 16)};
}
static inline uint16_t __bfloat16_as_ushort(bf16 b) {
    return b.u;
}
static inline bf16 __ushort_as_bfloat16(uint16_t u) {
    return bf16{u};
}
static inline uint32_t pack_bf16(float lo, float hi) {
    return (uint32_t)__float2bfloat16(hi).u << 16 | __float2bfloat16(lo).u;
}

/* ---- half precision, read only ---- */

struct alignas(2) f16 {
    uint16_t u;
};
static inline float __half2float(f16 h) {
    const uint32_t exp = (h.u >> 10) & 31u;
    const float man = (float)(h.u & 0x3ffu) / 1024.0f;
    const float f = exp == 31 ? (man > 0 ? NAN : INFINITY)
                              : ldexpf(exp ? 1.0f + man : man, (int)(exp ? exp : 1) - 15);
    return __uint_as_float(__float_as_uint(f) | (uint32_t)(h.u & 0x8000u) << 16);
}

/* ---- arithmetic; the approximate forms are exact here ---- */

static inline float __fdividef(float a, float b) {
    return a / b;
}
static inline float rsqrtf(float x) {
    return 1.0f / sqrtf(x);
}
/* Rounded by themselves, never contracted with another operation. */
static inline double __dadd_rn(double a, double b) {
    return a + b;
}
static inline double __dmul_rn(double a, double b) {
    return a * b;
}
static inline void sincospif(float x, float *sine, float *cosine) {
    *sine = (float)sin(M_PI * (double)x);
    *cosine = (float)cos(M_PI * (double)x);
}
/* Subnormal results are flushed to zero; NaN passes. */
static inline float exp2_approx(float x) {
    const float y = exp2f(x);
    return y < 1.17549435e-38f ? 0.0f : y;
}
#define __expf(x)  expf(x) /* macros, since glibc declares functions of these names */
#define __logf(x)  logf(x)
#define __exp2f(x) exp2f(x)

#endif
