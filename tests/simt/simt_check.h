/* For programs that hold CUDA kernels on the emulator against formulas: numbers that depend on
 * their place only, memory with poison between rows, comparisons that say where. */
#ifndef SIMT_SIMT_CHECK_H
#define SIMT_SIMT_CHECK_H

#include "kernels/rng.h"
#include "tests/simt/dev_simt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOR(i, n) for (int64_t i = 0; i < (n); i++)

/* A block of threads takes milliseconds under the address sanitizer: there, tests reach every line
 * of a kernel but repeat nothing. */
#ifdef __SANITIZE_ADDRESS__
#    define SANITIZED 1
#else
#    define SANITIZED 0
#endif

#define POISON 0x7fc0deadu /* a NaN: what reads it shows it */

static int checks_failed;

#define EXPECT(holds, ...)                                                                         \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            checks_failed++;                                                                       \
            (void)printf("FAIL %s:%d: ", __FILE__, __LINE__);                                      \
            (void)printf(__VA_ARGS__);                                                             \
            (void)printf("\n");                                                                    \
        }                                                                                          \
    } while (0)

/* An op must succeed. */
#define DO(call) EXPECT((call) == WEFT_OK, "%s", #call)

/* 256-byte aligned, as device memory is. */
static inline void *take(size_t bytes) {
    void *p = NULL;
    if (posix_memalign(&p, 256, bytes ? bytes : 1)) abort();
    return p;
}

/* In (-1, 1). */
static inline float value_of(uint32_t tensor, uint32_t row, int64_t j) {
    const uint32_t u = wk_rng_u32(wk_rng_key(11, WK_RNG_TEST, tensor), (uint32_t)j, row, 0, 0);
    return 2.0f * wk_u32_to_unit(u) - 1.0f;
}

/* Largest |got - want| over the largest |want|. */
typedef struct worst {
    double diff, scale;
} worst;

static inline void compare(worst *w, double got, double want) {
    const double diff = got == want || (isnan(got) && isnan(want)) ? 0 : fabs(got - want);
    if (!(diff <= w->diff)) w->diff = diff; /* NaN too */
    if (isfinite(want)) w->scale = fmax(w->scale, fabs(want));
}
static inline bool within(worst w, double tolerance) {
    return w.diff <= tolerance * w.scale;
}

#endif
