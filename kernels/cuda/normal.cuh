/* Four normal numbers from one Philox block, for the host too, so that a test can hold the formula
 * against cuRAND's without a GPU. */
#ifndef CUDA_NORMAL_CUH
#define CUDA_NORMAL_CUH

#include "kernels/cuda/port.h"
#include "kernels/rng.h"

typedef struct normal4 {
    float v[4];
} normal4;

/* cuRAND's _curand_box_muller, with the angle in half turns: its sine and cosine then need no
 * reduction and are good to the last bit, where cuRAND's device code takes __sincosf. */
WK_HD void box_muller(float *first, float *second, uint32_t x, uint32_t y) {
    const float u = (float)x * 0x1p-32f + 0x1p-33f, half_turns = (float)y * 0x1p-31f + 0x1p-32f;
    const float radius = sqrtf(-2.0f * logf(u));
    float sine, cosine;
    sincospif(half_turns, &sine, &cosine);
    *first = radius * sine;
    *second = radius * cosine;
}

/* As curand_normal4 of the block's words. */
WK_HD normal4 normal4_of(wk_philox block) {
    normal4 r;
    box_muller(&r.v[0], &r.v[1], block.v[0], block.v[1]);
    box_muller(&r.v[2], &r.v[3], block.v[2], block.v[3]);
    return r;
}

#endif
