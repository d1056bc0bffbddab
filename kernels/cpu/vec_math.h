/* exp, erf and tanh on vectors. Polynomials are our own near-minimax fits (reweighted least squares
 * on Chebyshev nodes, in double, rounded to float); the reductions are the textbook ones: Cody and
 * Waite 1980 for exp, Abramowitz and Stegun 7.1 for erf, 4.5 for tanh. Errors against double are
 * asserted in tests/kernels/test_ops_cpu.c. */
#ifndef CPU_VEC_MATH_H
#define CPU_VEC_MATH_H

#include "kernels/cpu/vec.h"

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2; exp(r) = 1 + r + r^2 E(r), E of
 * degree 4. Relative error 2e-7 at most for -87.3 <= x <= 88.37; outside any number; NaN stays NaN.
 */
VEC_INLINE vf vf_exp_inside(vf x) {
    const vf magic = vf_set(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    vf t = x * 1.44269504f + magic;
    vf n = t - magic;
    vf r = x - n * 0.693359375f; /* ln 2 in two parts, the first exact in few bits */
    r = r - n * -2.12194440e-4f;
    vf r2 = r * r;
    vf low = r * 1.666651885e-01f + 5.000000095e-01f;
    vf high = r * 8.368887863e-03f + 4.166620587e-02f;
    vf e = (r2 * 1.395048622e-03f + high) * r2 + low;
    vf p = e * r2 + (r + 1.0f);
    return p * (vf)(((vu)t - (vu)magic + 127u) << 23); /* unsigned: outside, anything may wrap */
}

/* x <= 0 (softmax, densities): 0 below -87.3, without subnormals. */
VEC_INLINE vf vf_exp_negative(vf x) {
    return vf_select(x < -87.3365f, vf_set(0.0f), vf_exp_inside(x));
}

/* Any x: infinite above 88.37. */
VEC_INLINE vf vf_exp(vf x) {
    return vf_select(x > 88.3762f, vf_set(__builtin_inff()), vf_exp_negative(x));
}

/* The normal distribution function 0.5 (1 + erf(u)) with u = x / sqrt(2), without cancellation in
 * the left tail, and exp(-x^2 / 2), which it goes through. |u| < 1: erf(u) = u P(u^2), P of degree
 * 6; else 0.5 erfc(|u|) = exp(-u^2) Q(|u|), Q of degree 6 on [1, 4.3], and 0 beyond 4, where
 * 0.5 erfc < 1e-8. Absolute error 1e-7 at most. */
typedef struct vf_normal {
    vf cdf, bell;
} vf_normal;

VEC_INLINE vf_normal vf_normal_at(vf x) {
    vf u = x * 0.707106781f, a = vf_abs(u), z = u * u;
    vf z2 = z * z;
    vf p = (z * -2.685444459e-02f + 1.128360018e-01f) * z2 +
           (z * -3.761262714e-01f + 1.128379166e+00f);
    vf p_high = z2 * 7.889119531e-05f + (z * -8.020841280e-04f + 5.189535339e-03f);
    p = p_high * (z2 * z2) + p;
    vf inner = p * (u * 0.5f) + 0.5f;
    vf q =
        (a * -1.645116642e-01f + 3.478941142e-01f) * z + (a * -4.992426954e-01f + 4.876928121e-01f);
    vf q_high = z * 6.713196697e-04f + (a * -8.785009510e-03f + 5.007280935e-02f);
    q = q_high * z2 + q;
    vf bell = vf_exp_negative(-z);
    vf tail = vf_select(a > 4.0f, vf_set(0.0f), q * bell);
    vf outer = vf_select(u < 0.0f, tail, 1.0f - tail);
    return (vf_normal){vf_select(a < 1.0f, inner, outer), bell};
}

/* |x| < 0.625: x + x^3 T(x^2), T of degree 4; else sign(x) (1 - 2 / (exp(2|x|) + 1)).
 * Relative error 3e-7 at most. */
VEC_INLINE vf vf_tanh(vf x) {
    vf a = vf_abs(x), z = x * x;
    vf t = z * -5.717036548e-03f + 2.065057899e-02f;
    t = t * z + -5.374349526e-02f;
    t = t * z + 1.333149125e-01f;
    t = t * z + -3.333328392e-01f;
    vf inner = t * (z * x) + x;
    vf outer = 1.0f - 2.0f / (vf_exp(a + a) + 1.0f);
    outer = (vf)((vi)outer | ((vi)x & (int32_t)0x80000000));
    return vf_select(a < 0.625f, inner, outer);
}

#endif
