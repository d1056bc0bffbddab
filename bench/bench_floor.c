#include "bench/bench_floor.h"

#include "kernels/parallel.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#    include <immintrin.h>
#endif

#ifdef _OPENMP
#    define PARALLEL_FOR(threads)                                                                  \
        WK_PRAGMA(omp parallel for num_threads(threads) schedule(static, 1))
#else
#    define PARALLEL_FOR(threads) (void)(threads);
#endif

double bench_now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#define CHAINS 12 /* more than latency times units of the processors we know */
#define STEPS  2000000

/* One function per instruction set: CHAINS independent chains of multiply-adds, all in registers.
 * The sum goes to *sink so that nothing is optimised away. */
#define PEAK(name, isa, bytes)                                                                     \
    isa static void name(float *sink) {                                                            \
        typedef float vec __attribute__((vector_size(bytes)));                                     \
        vec x[CHAINS], a = {0}, b = {0}, sum = {0};                                                \
        a += 0.999f, b += 0.001f;                                                                  \
        for (int i = 0; i < CHAINS; i++) x[i] = b * (float)i;                                      \
        for (int s = 0; s < STEPS; s++)                                                            \
            for (int i = 0; i < CHAINS; i++) x[i] = x[i] * a + b;                                  \
        for (int i = 0; i < CHAINS; i++) sum += x[i];                                              \
        *sink = sum[0];                                                                            \
    }
PEAK(peak_base, , 16)
#if defined(__x86_64__)
PEAK(peak_v3, __attribute__((target("avx2,fma"))), 32)
PEAK(peak_v4, __attribute__((target("avx512f"))), 64)

/* The same with products of pairs of bfloat16. */
__attribute__((target("avx512f,avx512bf16"))) static void peak_v4bf16(float *sink) {
    __m512 x[CHAINS], sum = _mm512_setzero_ps();
    const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5f), _mm512_set1_ps(0.5f));
    for (int i = 0; i < CHAINS; i++) x[i] = _mm512_set1_ps((float)i);
    for (int s = 0; s < STEPS; s++)
        for (int i = 0; i < CHAINS; i++) x[i] = _mm512_dpbf16_ps(x[i], a, a);
    for (int i = 0; i < CHAINS; i++) sum = _mm512_add_ps(sum, x[i]);
    *sink = _mm512_cvtss_f32(sum);
}
#endif

double bench_peak_flops(int threads, wk_dtype dtype) {
    void (*peak)(float *) = peak_base;
    double width = 4;
    (void)dtype;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2")) peak = peak_v3, width = 8;
    if (__builtin_cpu_supports("avx512f")) peak = peak_v4, width = 16;
    if (dtype == WK_BF16 && __builtin_cpu_supports("avx512bf16")) peak = peak_v4bf16, width = 32;
#endif
    double best = 0; /* of many short rounds: virtual processors are taken away now and then */
    for (int round = 0; round < 40; round++) {
        const double start = bench_now();
        PARALLEL_FOR(threads)
        for (int t = 0; t < threads; t++) {
            float sink;
            peak(&sink);
            volatile float keep = sink;
            (void)keep;
        }
        const double rate = 2.0 * width * CHAINS * STEPS * threads / (bench_now() - start);
        if (rate > best) best = rate;
    }
    return best;
}

double bench_copy_rate(int threads, size_t bytes) {
    const size_t least = (size_t)32 << 20; /* of a round: long enough for the clock */
    const int again = bytes < least ? (int)(least / bytes) : 1;
    char *from = malloc(bytes * (size_t)threads), *to = malloc(bytes * (size_t)threads);
    double best = 0;
    for (int round = 0; from && to && round < 6; round++) {
        const double start = bench_now();
        PARALLEL_FOR(threads)
        for (int t = 0; t < threads; t++) {
            char *a = from + bytes * (size_t)t, *b = to + bytes * (size_t)t;
            if (round == 0) memset(a, 1, bytes);
            for (int i = 0; i < again; i++) { /* neither copy makes the other needless */
                a[i % 64] = (char)i;
                memcpy(b, a, bytes);
            }
        }
        const double rate = 2.0 * (double)bytes * again * threads / (bench_now() - start);
        if (round > 0 && rate > best) best = rate;
    }
    free(from), free(to);
    return best;
}

double bench_copy_bandwidth(int threads) {
    return bench_copy_rate(threads, (size_t)96 << 20);
}
