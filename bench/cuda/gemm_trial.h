/* One product with a frozen weight through cuBLASLt, for benchmarks: every algorithm that the
 * heuristic proposes, not only the first as in kernels/cuda/gemm_plan.c. */
#ifndef BENCH_GEMM_TRIAL_H
#define BENCH_GEMM_TRIAL_H

#include <cublasLt.h>
#include <stdbool.h>
#include <stdint.h>

#define TRIAL_CANDIDATES 8
#define TRIAL_WORKSPACE  ((size_t)32 << 20)

/* rows x inner by inner x width, all contiguous and row-major; how: see linear_fwd and linear_dx.
 */
typedef struct trial_shape {
    int64_t rows, width, inner;
    bool forward; /* W (width, inner), transposed; else W (inner, width) */
    bool add;     /* + c */
    bool bias;    /* BIAS epilogue */
} trial_shape;

typedef struct trial {
    trial_shape shape;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t w, in, out;
    cublasLtMatmulHeuristicResult_t found[TRIAL_CANDIDATES];
    int count;
} trial;

/* bfloat16 operands, float32 sums. Close it whatever the status. */
cublasStatus_t trial_open(trial *t, cublasLtHandle_t lt, const trial_shape *shape);
void trial_close(trial *t);
cublasStatus_t trial_run(trial *t, cublasLtHandle_t lt, int candidate, const void *w,
                         const void *in, const void *bias, const void *c, void *out,
                         void *workspace, void *stream);

#endif
