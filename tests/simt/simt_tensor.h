/* Tensor cores and asynchronous copies: the twins of the PTX wrappers in kernels/cuda/port.h, which
 * documents them. */
#ifndef SIMT_TENSOR_H
#define SIMT_TENSOR_H

#include "simt_warp.h"

namespace simt {

/* Aborts unless 16 aligned bytes of this block's shared memory lie at p. */
void want_shared16(const char *what, const void *p);

/* Copies are performed when they are waited for, as late as the hardware may, so that a missing
 * wait shows as stale data. NULL as source stands for zeros. */
void async_copy16(void *dst, const void *src);
void async_commit();
void async_wait(int groups_left);

static inline float bf16_half(uint32_t two, unsigned high) {
    return __uint_as_float(high ? two & 0xffff0000u : two << 16);
}

static inline const offer *meet_ldmatrix(const void *row) {
    want_shared16("ldmatrix", row);
    offer mine;
    mine.address = row;
    /* Whether the lane that gives a row's address reads it or those that receive it is the
     * hardware's choice, so for TSan both do. */
    const volatile uint32_t *words = static_cast<const volatile uint32_t *>(row);
    for (int i = 0; i < 4; i++) (void)words[i];
    return meet_warp(LDMATRIX, 0xffffffffu, mine);
}

} // namespace simt

/* Lane 4r + c/2 holds element (r, c) of A's upper left 8x8 in a[0]; a[1] is the lower half, a[2]
 * and a[3] the same for columns 8 on. B is the same with (n, k) for (r, c). */
static inline void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    simt::offer mine;
    for (int i = 0; i < 4; i++) mine.word[i] = a[i];
    for (int i = 0; i < 2; i++) mine.word[4 + i] = b[i];
    const simt::offer *all = simt::meet_warp(simt::MMA, 0xffffffffu, mine);
    for (unsigned i = 0; i < 4; i++) {
        const unsigned row = simt::here->lane / 4, lower = i / 2;
        const unsigned n = 2 * (simt::here->lane % 4) + i % 2;
        float sum = 0.f;
        for (unsigned k = 0; k < 16; k++) {
            const unsigned right = k / 8, c = k % 8;
            sum += simt::bf16_half(all[4 * row + c / 2].word[lower + 2 * right], c % 2) *
                   simt::bf16_half(all[4 * n + c / 2].word[4 + right], c % 2);
        }
        d[i] += sum;
    }
}

static inline void ldmatrix_x4(uint32_t (&r)[4], const void *row) {
    const simt::offer *all = simt::meet_ldmatrix(row);
    const unsigned lane = simt::here->lane;
    for (unsigned i = 0; i < 4; i++)
        r[i] = static_cast<const uint32_t *>(all[8 * i + lane / 4].address)[lane % 4];
}
static inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row) {
    const simt::offer *all = simt::meet_ldmatrix(row);
    const unsigned first = 2 * (simt::here->lane % 4), column = simt::here->lane / 4;
    for (unsigned i = 0; i < 4; i++) {
        const uint16_t *lo = static_cast<const uint16_t *>(all[8 * i + first].address);
        const uint16_t *hi = static_cast<const uint16_t *>(all[8 * i + first + 1].address);
        r[i] = lo[column] | (uint32_t)hi[column] << 16;
    }
}

static inline void cp_async16(void *dst, const void *src) {
    simt::async_copy16(dst, src);
}
static inline void cp_async16(void *dst, const void *src, bool valid) {
    simt::async_copy16(dst, valid ? src : nullptr);
}
static inline void cp_async_commit() {
    simt::async_commit();
}
template <int N> static inline void cp_async_wait() {
    simt::async_wait(N);
}

#endif
