/* What every vec_*.c shares: lanes of the instruction set that the file is compiled for, loads and
 * stores of hidden operands, and the list of what it exports.
 *
 * CMake compiles each vec_*.c once per instruction set with WK_ISA = base, v3 (AVX2, FMA), v4
 * (AVX-512) or v4bf16 (that and AVX512_BF16); WK_VEC(name) gives a non-static symbol its suffix.
 * dev_cpu.c picks one set when the device opens. The number of lanes is fixed per set, and every
 * sum has one order: bits depend on the instruction set, never on threads or on the place of a row.
 */
#ifndef CPU_VEC_H
#define CPU_VEC_H

#include "kernels/cpu/cpu.h"

#define WK_PASTE_(a, b) a##_##b
#define WK_PASTE(a, b)  WK_PASTE_(a, b)
#define WK_VEC(name)    WK_PASTE(name, WK_ISA)

#if defined(__AVX512F__)
#    define VL 16
#elif defined(__AVX__)
#    define VL 8
#else
#    define VL 4
#endif

#define VEC_INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(4 * VL)));
typedef int32_t vi __attribute__((vector_size(4 * VL)));
typedef uint32_t vu __attribute__((vector_size(4 * VL)));
typedef float vf_unaligned __attribute__((vector_size(4 * VL), aligned(4), may_alias));

VEC_INLINE vf vf_set(float s) {
    return s - (vf){0}; /* minus keeps -0 */
}

/* v as a number of its own: a product that is not contracted with what follows. */
VEC_INLINE vf vf_rounded(vf v) {
#if defined(__x86_64__)
    __asm__("" : "+x"(v));
#elif defined(__aarch64__)
    __asm__("" : "+w"(v));
#endif
    return v;
}

VEC_INLINE vf vf_load(const float *p) {
    return *(const vf_unaligned *)p;
}

VEC_INLINE void vf_store(float *p, vf v) {
    *(vf_unaligned *)p = v;
}

/* The first n < VL lanes; the others read as `pad`. */
VEC_INLINE vf vf_load_part(const float *p, int64_t n, float pad) {
    float lane[VL];
    for (int i = 0; i < VL; i++) lane[i] = i < n ? p[i] : pad;
    return vf_load(lane);
}

VEC_INLINE void vf_store_part(float *p, vf v, int64_t n) {
    float lane[VL];
    vf_store(lane, v);
    for (int64_t i = 0; i < n; i++) p[i] = lane[i];
}

/* Elements [j, j + VL) of a row of d; beyond its end they read as zero and are not written. */
VEC_INLINE vf vf_at(const float *p, int64_t j, int64_t d) {
    return d - j >= VL ? vf_load(p + j) : vf_load_part(p + j, d - j, 0.0f);
}

VEC_INLINE void vf_put(float *p, int64_t j, int64_t d, vf v) {
    if (d - j >= VL)
        vf_store(p + j, v);
    else
        vf_store_part(p + j, v, d - j);
}

/* Lanes of a where the mask is set, of b elsewhere. */
VEC_INLINE vf vf_select(vi mask, vf a, vf b) {
    return (vf)(((vi)a & mask) | ((vi)b & ~mask));
}

/* b where a is NaN. */
VEC_INLINE vf vf_max(vf a, vf b) {
    return vf_select(a > b, a, b);
}

VEC_INLINE vf vf_abs(vf a) {
    return (vf)((vi)a & 0x7fffffff);
}

/* Sum of the lanes, by halves. */
typedef float vf_four __attribute__((vector_size(16)));
#if VL == 16
typedef float vf_eight __attribute__((vector_size(32)));
#endif

VEC_INLINE float vf_sum(vf v) {
#if VL == 16
    const vf_eight w = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                       __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
#elif VL == 8
    const vf w = v;
#endif
#if VL > 4
    vf_four x =
        __builtin_shufflevector(w, w, 0, 1, 2, 3) + __builtin_shufflevector(w, w, 4, 5, 6, 7);
#else
    vf_four x = v;
#endif
    x += __builtin_shufflevector(x, x, 2, 3, 0, 1);
    return x[0] + x[1];
}

VEC_INLINE float vf_max_lane(vf v) {
    float lane[VL];
    vf_store(lane, v);
    for (int half = VL / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] = lane[i] > lane[i + half] ? lane[i] : lane[i + half];
    return lane[0];
}

/* Running sums within a chunk of long sums in double, and their total. */
#define VEC_SUMS 8
VEC_INLINE double vec_total(const double sum[VEC_SUMS]) {
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

/* ---- hidden operands ----
 *
 * float32 or bfloat16 in memory (ops.h), float32 in registers. Code is written once, for a `hid`
 * whose `half` is a constant in each instance (HALF_1 and so on make them), so the dtype is decided
 * outside the loops. */

typedef uint16_t vh __attribute__((vector_size(2 * VL)));
typedef uint16_t vh_unaligned __attribute__((vector_size(2 * VL), aligned(2), may_alias));

VEC_INLINE vf vf_from_bf16(vh h) {
    return (vf)(__builtin_convertvector(h, vu) << 16);
}

/* wk_f32_to_bf16 in lanes: to nearest even, NaN to 0x7fff. */
VEC_INLINE vh vf_to_bf16(vf f) {
    const vu u = (vu)f, rounded = (u + (0x7fffu + ((u >> 16) & 1u))) >> 16, nan = (vu)(f != f);
    return __builtin_convertvector((rounded & ~nan) | (nan & 0x7fffu), vh);
}

/* Numbers of a row of a hidden operand, from some column on. */
typedef struct hid {
    void *at;
    bool half;
} hid;

static inline bool is_half(wk_tensor t) {
    return t.dtype == WK_BF16;
}

/* Row i of t from column j on; `half` says what is_half(t) says. */
VEC_INLINE hid hid_row(wk_tensor t, int64_t i, int64_t j, bool half) {
    return half ? (hid){(uint16_t *)t.data + i * t.ld + j, true}
                : (hid){(float *)t.data + i * t.ld + j, false};
}

VEC_INLINE hid hid_from(hid p, int64_t j) {
    return p.half ? (hid){(uint16_t *)p.at + j, true} : (hid){(float *)p.at + j, false};
}

VEC_INLINE float hid_get(hid p, int64_t j) {
    return p.half ? wk_bf16_to_f32(((const uint16_t *)p.at)[j]) : ((const float *)p.at)[j];
}

VEC_INLINE void hid_set(hid p, int64_t j, float v) {
    if (p.half)
        ((uint16_t *)p.at)[j] = wk_f32_to_bf16(v);
    else
        ((float *)p.at)[j] = v;
}

VEC_INLINE vf hid_load(hid p, int64_t j) {
    return p.half ? vf_from_bf16(*(const vh_unaligned *)((const uint16_t *)p.at + j))
                  : vf_load((const float *)p.at + j);
}

VEC_INLINE void hid_store(hid p, int64_t j, vf v) {
    if (p.half)
        *(vh_unaligned *)((uint16_t *)p.at + j) = vf_to_bf16(v);
    else
        vf_store((float *)p.at + j, v);
}

/* As vf_at and vf_put, for a row of d. */
VEC_INLINE vf hid_at(hid p, int64_t j, int64_t d) {
    if (!p.half) return vf_at(p.at, j, d);
    if (d - j >= VL) return hid_load(p, j);
    float lane[VL];
    for (int i = 0; i < VL; i++) lane[i] = i < d - j ? hid_get(p, j + i) : 0.0f;
    return vf_load(lane);
}

VEC_INLINE void hid_put(hid p, int64_t j, int64_t d, vf v) {
    if (d - j >= VL) {
        hid_store(p, j, v);
        return;
    }
    float lane[VL];
    vf_store(lane, v);
    for (int64_t i = 0; i < d - j; i++) hid_set(p, j + i, lane[i]);
}

/* f(…, halves) with every dtype a constant. */
#define HALF_1(f, a, ...) ((a) ? f(__VA_ARGS__, true) : f(__VA_ARGS__, false))
#define HALF_2(f, a, b, ...)                                                                       \
    ((a) ? HALF_1(f, b, __VA_ARGS__, true) : HALF_1(f, b, __VA_ARGS__, false))
#define HALF_3(f, a, b, c, ...)                                                                    \
    ((a) ? HALF_2(f, b, c, __VA_ARGS__, true) : HALF_2(f, b, c, __VA_ARGS__, false))

/* One table per family; each overrides its slots of the op table. */
#define CPU_VEC_FAMILIES(X)                                                                        \
    X(move) X(dropout) X(lora) X(norm) X(act) X(attn) X(attn_bwd) X(loss) X(optim) X(variance)
#define X(family) void WK_VEC(cpu_fill_##family)(wk_ops * table);
CPU_VEC_FAMILIES(X)
#undef X

void WK_VEC(cpu_fill_vec)(wk_ops *table);
extern const cpu_gemm_kernels WK_VEC(cpu_gemm);

#endif
