/* Bump arenas: all tensor memory of the engine. An arena owns its bytes; tensors are views.
 *
 * In measure mode an arena hands out addresses that nobody may read and only counts: run the real
 * code on the dry device, read `peak`, then open the real arena with exactly that. A real arena
 * never grows. */
#ifndef WK_ARENA_H
#define WK_ARENA_H

#include "kernels/dev.h"

#define WK_ARENA_ALIGN 256

typedef struct wk_arena {
    wk_dev *dev;
    const char *name; /* static string, for messages and the plan */
    uintptr_t base;
    size_t capacity, used, peak;
    bool measure;
} wk_arena;

/* Takes `bytes` from the device at once. WEFT_E_MEM names the arena and the bytes. */
WEFT_NODISCARD weft_status wk_arena_open(wk_arena *a, wk_dev *dev, const char *name, size_t bytes);
void wk_arena_open_measure(wk_arena *a, wk_dev *dev, const char *name);
void wk_arena_close(wk_arena *a); /* fine on a zeroed arena */

/* A tensor of the given shape, contiguous, 256-byte aligned, contents undefined.
 * WEFT_E_MEM when a real arena is full (a planning bug: the message names `what`). */
WEFT_NODISCARD weft_status wk_arena_tensor(wk_arena *a, wk_tensor *out, const char *what,
                                           wk_dtype dtype, int32_t ndim, const int64_t *dim);
WEFT_NODISCARD weft_status wk_arena_vec(wk_arena *a, wk_tensor *out, const char *what,
                                        wk_dtype dtype, int64_t n);
WEFT_NODISCARD weft_status wk_arena_mat(wk_arena *a, wk_tensor *out, const char *what,
                                        wk_dtype dtype, int64_t rows, int64_t cols);

/* Stack discipline: everything taken since the mark is given back. */
static inline size_t wk_arena_mark(const wk_arena *a) {
    return a->used;
}
static inline void wk_arena_reset(wk_arena *a, size_t mark) {
    a->used = mark;
}

#endif
