#include "bench/cuda/gemm_trial.h"

#include <string.h>

/* As in kernels/cuda/impl.h: column-major there, so each matrix of ours is its transpose. */
static cublasStatus_t describe(trial *t) {
    const trial_shape *s = &t->shape;
    const int32_t transposed = s->forward ? CUBLAS_OP_T : CUBLAS_OP_N;
    const uint32_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const int32_t type = CUDA_R_16BF;
    const uint64_t width = (uint64_t)s->width, inner = (uint64_t)s->inner, rows = (uint64_t)s->rows;
    const uint64_t d = s->forward ? inner : width, o = s->forward ? width : inner;
    cublasStatus_t st = cublasLtMatmulDescCreate(&t->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (!st)
        st = cublasLtMatmulDescSetAttribute(t->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                            sizeof transposed);
    if (!st && s->bias)
        st = cublasLtMatmulDescSetAttribute(t->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                            sizeof epilogue);
    if (!st && s->bias)
        st = cublasLtMatmulDescSetAttribute(t->desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type,
                                            sizeof type);
    if (!st) st = cublasLtMatrixLayoutCreate(&t->w, CUDA_R_16BF, d, o, (int64_t)d);
    if (!st) st = cublasLtMatrixLayoutCreate(&t->in, CUDA_R_16BF, inner, rows, s->inner);
    if (!st) st = cublasLtMatrixLayoutCreate(&t->out, CUDA_R_16BF, width, rows, s->width);
    return st;
}

/* The same preferences as gemm_plan.c without placement; operands here are 256-byte aligned. */
static cublasStatus_t propose(trial *t, cublasLtHandle_t lt) {
    const uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const uint64_t workspace = TRIAL_WORKSPACE;
    const uintptr_t bias = 4096; /* only its alignment is read */
    cublasLtMatmulPreference_t p = NULL;
    cublasStatus_t st = cublasLtMatmulPreferenceCreate(&p);
    if (st) return st;
    st = cublasLtMatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                              &schemes, sizeof schemes);
    if (!st)
        st = cublasLtMatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                  &workspace, sizeof workspace);
    if (!st && t->shape.bias)
        st = cublasLtMatmulDescSetAttribute(t->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                            sizeof bias);
    if (!st)
        st = cublasLtMatmulAlgoGetHeuristic(lt, t->desc, t->w, t->in, t->out, t->out, p,
                                            TRIAL_CANDIDATES, t->found, &t->count);
    (void)cublasLtMatmulPreferenceDestroy(p);
    return st;
}

cublasStatus_t trial_open(trial *t, cublasLtHandle_t lt, const trial_shape *shape) {
    memset(t, 0, sizeof *t);
    t->shape = *shape;
    const cublasStatus_t st = describe(t);
    return st ? st : propose(t, lt);
}

void trial_close(trial *t) {
    if (t->desc) (void)cublasLtMatmulDescDestroy(t->desc);
    if (t->w) (void)cublasLtMatrixLayoutDestroy(t->w);
    if (t->in) (void)cublasLtMatrixLayoutDestroy(t->in);
    if (t->out) (void)cublasLtMatrixLayoutDestroy(t->out);
}

cublasStatus_t trial_run(trial *t, cublasLtHandle_t lt, int candidate, const void *w,
                         const void *in, const void *bias, const void *c, void *out,
                         void *workspace, void *stream) {
    const float one = 1, beta = t->shape.add ? 1 : 0;
    const cublasLtMatmulHeuristicResult_t *r = &t->found[candidate];
    cublasStatus_t st = r->state;
    if (!st && t->shape.bias)
        st = cublasLtMatmulDescSetAttribute(t->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                            sizeof bias);
    if (st) return st;
    return cublasLtMatmul(lt, t->desc, &one, w, t->w, in, t->in, &beta, t->shape.add ? c : out,
                          t->out, out, t->out, &r->algo, workspace, TRIAL_WORKSPACE,
                          (cudaStream_t)stream);
}
