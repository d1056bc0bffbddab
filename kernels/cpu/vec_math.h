/* exp, erf and tanh on vectors. Polynomials are our own near-minimax fits (reweighted least squares
 * on Chebyshev nodes, in double, rounded to float); the reductions are the textbook ones: Cody and
 * Waite 1980 for exp, Abramowitz and Stegun 7.1 for erf, 4.5 for tanh. Errors against double are
 * asserted in tests/kernels/test_ops_cpu.c. */
#ifndef CPU_VEC_MATH_H
#define CPU_VEC_MATH_H

#include "kernels/cpu/vec.h"

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2; exp(r) = 1 + r + r^2 E(r), E of
 * degree 4. Relative error 2e-7 at most. 0 below -87.3 (no subnormals), infinite above 88.37; NaN
 * stays NaN. */
VEC_INLINE vf vf_exp(vf x) {
    const float lo = -87.3365f, hi = 88.3762f;
    vf c = vf_select(x > hi, vf_set(hi), x);
    c = vf_select(c < lo, vf_set(lo), c);
    const vf magic = vf_set(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    vf t = c * 1.44269504f + magic;
    vf n = t - magic;
    vf r = c - n * 0.693359375f; /* ln 2 in two parts, the first exact in few bits */
    r = r - n * -2.12194440e-4f;
    vf e = r * 1.395048622e-03f + 8.368887863e-03f;
    e = e * r + 4.166620587e-02f;
    e = e * r + 1.666651885e-01f;
    e = e * r + 5.000000095e-01f;
    vf p = e * (r * r) + r + 1.0f;
    vi power = ((vi)t - (vi)magic + 127) << 23;
    vf y = p * (vf)power;
    y = vf_select(x < lo, vf_set(0.0f), y);
    return vf_select(x > hi, vf_set(__builtin_inff()), y);
}

/* The normal distribution function 0.5 (1 + erf(u)) with u = x / sqrt(2), without cancellation in
 * the left tail. |u| < 1: erf(u) = u P(u^2), P of degree 6; else erfc(|u|) = exp(Q(|u|)), Q of
 * degree 6 on [1, 4], and 0 beyond, where 0.5 erfc < 1e-8. Absolute error 1e-7 at most. */
VEC_INLINE vf vf_normal_cdf(vf x) {
    vf u = x * 0.707106781f, a = vf_abs(u), z = u * u;
    vf p = z * 7.889119531e-05f + -8.020841280e-04f;
    p = p * z + 5.189535339e-03f;
    p = p * z + -2.685444459e-02f;
    p = p * z + 1.128360018e-01f;
    p = p * z + -3.761262714e-01f;
    p = p * z + 1.128379166e+00f;
    vf inner = p * (u * 0.5f) + 0.5f;
    vf q = a * 1.855748948e-04f + -2.939615750e-03f;
    q = q * a + 2.180535121e-02f;
    q = q * a + -1.030374356e-01f;
    q = q * a + -6.382256022e-01f;
    q = q * a + -1.127040080e+00f;
    q = q * a + -3.537089092e-04f;
    vf tail = vf_exp(q) * 0.5f;
    tail = vf_select(a > 4.0f, vf_set(0.0f), tail);
    vf outer = vf_select(u < 0.0f, tail, 1.0f - tail);
    return vf_select(a < 1.0f, inner, outer);
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
