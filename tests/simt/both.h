/* For tests that run on the emulator and, compiled by nvcc, on a GPU, where they show that the
 * wrappers of kernels/cuda/port.h mean what their comments and their twins here say. */
#ifndef SIMT_BOTH_H
#define SIMT_BOTH_H

#include "kernels/cuda/port.h"
#include "tests/simt/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Memory that kernels and the host use in turn. */
template <class T> struct array {
    T *p = nullptr;
    explicit array(size_t n) {
#ifdef __CUDACC__
        if (cudaMallocManaged(&p, n * sizeof(T)) != cudaSuccess) p = nullptr;
#else
        void *m = nullptr;
        if (posix_memalign(&m, 256, n * sizeof(T)) == 0) p = static_cast<T *>(m);
#endif
        if (!p) {
            (void)fprintf(stderr, "no memory\n");
            exit(1);
        }
    }
    ~array() {
#ifdef __CUDACC__
        (void)cudaFree(p);
#else
        free(p);
#endif
    }
    array(const array &) = delete;
    array &operator=(const array &) = delete;
    operator T *() const {
        return p;
    }
};

static long checked, wrong;

/* Counts; the first few differences are shown. */
static inline void expect(const char *what, long at, double got, double want) {
    checked++;
    if (got == want) return;
    if (wrong++ < 10) printf("%s [%ld]: got %.9g, want %.9g\n", what, at, got, want);
}

/* After a launch, before its results are read. */
static inline void finish(const char *what) {
#ifdef __CUDACC__
    const cudaError_t e = cudaDeviceSynchronize();
    if (e != cudaSuccess) {
        printf("%s: %s\n", what, cudaGetErrorString(e));
        exit(1);
    }
#else
    (void)what;
#endif
}

/* Given the argument "few": the smallest sizes in one order, for builds where threads are dear. */
static bool few;

/* Runs all() on the GPU, or in each order of the emulator; 77 without a GPU. */
static inline int run_both(void (*all)(), int argc, char **argv) {
    few = argc > 1 && strcmp(argv[1], "few") == 0;
#ifdef __CUDACC__
    int n = 0;
    const cudaError_t e = cudaGetDeviceCount(&n);
    if (e != cudaSuccess || n == 0) {
        printf("skipped: %s\n", e == cudaSuccess ? "no GPU" : cudaGetErrorString(e));
        return 77;
    }
    all();
#else
    for (int order = SIMT_FORWARD; order <= (few ? SIMT_FORWARD : SIMT_RANDOM); order++) {
        simt_order(order, 3);
        all();
    }
#endif
    printf("%ld checks, %ld wrong\n", checked, wrong);
    return wrong != 0 || checked == 0;
}

#endif
