/* Warp operations: meetings of the lanes that a mask names. All of them must call the same
 * operation with the same mask, else the emulator aborts with a report. There is no __activemask:
 * what it returns is the hardware's choice. */
#ifndef SIMT_WARP_H
#define SIMT_WARP_H

#include "simt_block.h"

#define warpSize 32

namespace simt {

enum warp_op {
    SHFL,
    SHFL_UP,
    SHFL_DOWN,
    SHFL_XOR,
    BALLOT,
    ANY,
    ALL,
    SYNCWARP,
    MMA,
    LDMATRIX,
};

/* What a lane brings to a meeting. */
struct offer {
    uint32_t word[8];
    const void *address;
};

/* Waits for the others of `mask`; what the 32 lanes brought, valid until this lane's next but one
 * meeting. Lanes that the mask does not name brought fresh memory (simt_fresh_byte). */
const offer *meet_warp(warp_op op, unsigned mask, const offer &mine);

/* The value of lane `from`, or the own one when `from` lies outside the lane's segment. */
template <class T> T shuffle(warp_op op, unsigned mask, T value, unsigned from, bool inside) {
    static_assert(sizeof(T) <= sizeof(offer::word), "too large for a shuffle");
    offer mine;
    memcpy(mine.word, &value, sizeof value);
    const offer *all = meet_warp(op, mask, mine);
    if (inside) memcpy(&value, all[from].word, sizeof value);
    return value;
}

static inline unsigned vote(warp_op op, unsigned mask, bool predicate) {
    offer mine;
    mine.word[0] = predicate;
    const offer *all = meet_warp(op, mask, mine);
    unsigned votes = 0;
    for (unsigned i = 0; i < 32; i++)
        if (mask >> i & 1) votes |= all[i].word[0] << i;
    return votes;
}

} // namespace simt

static inline void __syncwarp(unsigned mask = 0xffffffffu) {
    simt::offer nothing;
    nothing.word[0] = 0;
    simt::meet_warp(simt::SYNCWARP, mask, nothing);
}

/* `width` lanes, a power of two, form a segment. */
template <class T> static inline T __shfl_sync(unsigned mask, T v, int from, int width = 32) {
    const unsigned last = (unsigned)width - 1;
    return simt::shuffle(simt::SHFL, mask, v, (simt::here->lane & ~last) + ((unsigned)from & last),
                         true);
}
template <class T> static inline T __shfl_up_sync(unsigned mask, T v, unsigned d, int width = 32) {
    const unsigned lane = simt::here->lane, last = (unsigned)width - 1;
    return simt::shuffle(simt::SHFL_UP, mask, v, (lane - d) & 31, (lane & last) >= d);
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T v, unsigned d, int width = 32) {
    const unsigned lane = simt::here->lane, last = (unsigned)width - 1;
    return simt::shuffle(simt::SHFL_DOWN, mask, v, (lane + d) & 31, (lane & last) + d <= last);
}
/* PTX ISA, shfl.bfly: lanes of earlier segments can be read, of later ones not. */
template <class T> static inline T __shfl_xor_sync(unsigned mask, T v, int x, int width = 32) {
    const unsigned lane = simt::here->lane, last = (unsigned)width - 1, from = lane ^ (unsigned)x;
    return simt::shuffle(simt::SHFL_XOR, mask, v, from & 31, from <= (lane | last));
}

static inline unsigned __ballot_sync(unsigned mask, int p) {
    return simt::vote(simt::BALLOT, mask, p != 0);
}
static inline int __any_sync(unsigned mask, int p) {
    return simt::vote(simt::ANY, mask, p != 0) != 0;
}
static inline int __all_sync(unsigned mask, int p) {
    return simt::vote(simt::ALL, mask, p != 0) == mask;
}

#endif
