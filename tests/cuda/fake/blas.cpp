/* A stand-in for cuBLASLt on the host: descriptors, a heuristic and products as its documentation
 * has them (column-major, ld in elements, one rounding at the end), for what kernels/cuda calls.
 *
 * Its algorithms differ in the order in which they sum, in the number of rows that they take and in
 * what they need, and its heuristic prefers others for few rows than for many. So a plan that
 * follows the heuristic where it may not, or promises an alignment that an operand does not have,
 * shows. */
#include "kernels/tensor.h"
#include "tests/cuda/fake/stream.h"

#include <cublasLt.h>

#include <cstring>
#include <vector>

namespace {
struct Desc {
    int32_t transposed = 0, bias_type = -1;
    uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    const void *bias = nullptr;
};
struct Layout {
    cudaDataType type;
    uint64_t rows, cols;
    int64_t ld;
};
struct Preference {
    uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_MASK, align[4] = {256, 256, 256, 256};
    uint64_t workspace = 0;
};
/* What stands in a cublasLtMatmulAlgo_t. */
struct Algo {
    int32_t kind, splits;
    uint32_t scheme;
    uint16_t align[4], align_bias;
};
static_assert(sizeof(Algo) <= sizeof(cublasLtMatmulAlgo_t), "does not fit");

enum {
    FORWARD,    /* sums from the first to the last */
    BACKWARD,   /* from the last to the first */
    MANY,       /* forward in pairs, from 8 columns of the result on only */
    IN_PARTS,   /* four parts, kept in float32 in the workspace */
    IN_OUTPUT,  /* four parts, each rounded to the output's type */
    WORKSPACED, /* as backward, but wants a workspace */
};

Desc &desc_of(cublasLtMatmulDesc_t d) {
    return *(Desc *)(void *)d;
}
Layout &layout_of(cublasLtMatrixLayout_t l) {
    return *(Layout *)(void *)l;
}
Algo algo_of(const cublasLtMatmulAlgo_t *a) {
    Algo out;
    std::memcpy(&out, a, sizeof out);
    return out;
}
size_t size_of(cudaDataType t) {
    return t == CUDA_R_16BF ? 2 : 4;
}
float get(const void *p, cudaDataType t, size_t i) {
    uint16_t h;
    float f;
    if (t == CUDA_R_16BF) {
        std::memcpy(&h, (const char *)p + 2 * i, 2);
        return wk_bf16_to_f32(h);
    }
    std::memcpy(&f, (const char *)p + 4 * i, 4);
    return f;
}
float rounded(float f, cudaDataType t) {
    return t == CUDA_R_16BF ? wk_bf16_to_f32(wk_f32_to_bf16(f)) : f;
}
void set(void *p, cudaDataType t, size_t i, float f) {
    const uint16_t h = wk_f32_to_bf16(f);
    if (t == CUDA_R_16BF)
        std::memcpy((char *)p + 2 * i, &h, 2);
    else
        std::memcpy((char *)p + 4 * i, &f, 4);
}

struct Product {
    Desc desc;
    Layout a, b, c, d;
    Algo algo;
    uint64_t inner() const { return b.rows; }
    float term(const void *pa, const void *pb, uint64_t i, uint64_t j, uint64_t k) const {
        const uint64_t at = desc.transposed ? i * (uint64_t)a.ld + k : k * (uint64_t)a.ld + i;
        return get(pa, a.type, at) * get(pb, b.type, j * (uint64_t)b.ld + k);
    }
    float sum(const void *pa, const void *pb, uint64_t i, uint64_t j) const {
        const uint64_t n = inner();
        float total = 0;
        if (algo.splits > 1) {
            for (int s = 0; s < algo.splits; s++) {
                float part = 0;
                for (uint64_t k = n * s / algo.splits; k < n * (s + 1) / algo.splits; k++)
                    part += term(pa, pb, i, j, k);
                total += algo.kind == IN_OUTPUT ? rounded(part, d.type) : part;
            }
            return total;
        }
        if (algo.kind == FORWARD)
            for (uint64_t k = 0; k < n; k++) total += term(pa, pb, i, j, k);
        else if (algo.kind == MANY)
            for (uint64_t k = 0; k < n; k += 2)
                total += term(pa, pb, i, j, k) + (k + 1 < n ? term(pa, pb, i, j, k + 1) : 0);
        else
            for (uint64_t k = n; k-- > 0;) total += term(pa, pb, i, j, k);
        return total;
    }
};

bool fits(const Product &p) {
    const uint64_t m = p.desc.transposed ? p.a.cols : p.a.rows;
    const uint64_t k = p.desc.transposed ? p.a.rows : p.a.cols;
    for (const Layout *l : {&p.a, &p.b, &p.c, &p.d})
        if (l->ld < (int64_t)l->rows || l->type != p.d.type) return false;
    return k == p.b.rows && m == p.d.rows && p.b.cols == p.d.cols && p.c.rows == p.d.rows &&
           p.c.cols == p.d.cols;
}

bool aligned(const void *p, uint32_t to) {
    return (uintptr_t)p % to == 0;
}
uint64_t workspace_of(const Algo &a) {
    return a.kind == IN_PARTS || a.kind == WORKSPACED ? 1 << 20 : 0;
}
bool takes(const Algo &a, const Layout &d) {
    return a.kind != MANY || d.cols >= 8;
}
} // namespace

extern "C" {
const char *cublasLtGetStatusName(cublasStatus_t s) {
    return s == CUBLAS_STATUS_INVALID_VALUE ? "CUBLAS_STATUS_INVALID_VALUE"
                                            : "CUBLAS_STATUS_OF_THE_STAND_IN";
}
const char *cublasLtGetStatusString(cublasStatus_t) {
    return "an error of the stand-in";
}
cublasStatus_t cublasLtCreate(cublasLtHandle_t *h) {
    *h = (cublasLtHandle_t) new int;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t h) {
    delete (int *)(void *)h;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    *d = (cublasLtMatmulDesc_t)(void *)new Desc;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) {
    delete &desc_of(d);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                              cublasLtMatmulDescAttributes_t what,
                                              const void *value, size_t bytes) {
    Desc &to = desc_of(d);
    void *field = what == CUBLASLT_MATMUL_DESC_TRANSA           ? (void *)&to.transposed
                  : what == CUBLASLT_MATMUL_DESC_EPILOGUE       ? (void *)&to.epilogue
                  : what == CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE ? (void *)&to.bias_type
                  : what == CUBLASLT_MATMUL_DESC_BIAS_POINTER   ? (void *)&to.bias
                                                                : nullptr;
    if (!field || bytes != (what == CUBLASLT_MATMUL_DESC_BIAS_POINTER ? 8 : 4))
        return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(field, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld) {
    *l = (cublasLtMatrixLayout_t)(void *)new Layout{type, rows, cols, ld};
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) {
    delete &layout_of(l);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p) {
    *p = (cublasLtMatmulPreference_t)(void *)new Preference;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) {
    delete (Preference *)(void *)p;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                    cublasLtMatmulPreferenceAttributes_t what,
                                                    const void *value, size_t bytes) {
    Preference &to = *(Preference *)(void *)p;
    const int first = CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
    void *field = what == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK ? (void *)&to.schemes
                  : what == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES ? (void *)&to.workspace
                  : (int)what >= first && (int)what < first + 4 ? (void *)&to.align[what - first]
                                                                : nullptr;
    if (!field || bytes != (what == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES ? 8 : 4))
        return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(field, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t *found, int *count) {
    const Preference &pref = *(const Preference *)(void *)preference;
    const Product p{desc_of(desc), layout_of(a), layout_of(b), layout_of(c), layout_of(d), {}};
    *count = 0;
    if (!fits(p)) return CUBLAS_STATUS_INVALID_VALUE;
    uint16_t align_bias = 1;
    while (p.desc.bias && align_bias < 256 && aligned(p.desc.bias, align_bias * 2u))
        align_bias *= 2;
    const bool few = p.d.cols < 64;
    const int32_t few_first[] = {IN_OUTPUT, IN_PARTS, MANY, WORKSPACED, BACKWARD, FORWARD},
                  many_first[] = {IN_OUTPUT, WORKSPACED, MANY, FORWARD, IN_PARTS, BACKWARD};
    for (int32_t kind : few ? few_first : many_first) {
        Algo algo = {kind,
                     kind == IN_PARTS || kind == IN_OUTPUT ? 4 : 1,
                     kind == IN_PARTS    ? (uint32_t)CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
                     : kind == IN_OUTPUT ? (uint32_t)CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE
                                         : 0u,
                     {},
                     align_bias};
        for (int i = 0; i < 4; i++) algo.align[i] = (uint16_t)pref.align[i];
        if ((algo.scheme & ~pref.schemes) || workspace_of(algo) > pref.workspace) continue;
        if (*count == wanted) break;
        cublasLtMatmulHeuristicResult_t &r = found[(*count)++];
        std::memset(&r, 0, sizeof r);
        std::memcpy(&r.algo, &algo, sizeof algo);
        r.workspaceSize = workspace_of(algo);
        r.state = takes(algo, p.d) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
    }
    return *count ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}
cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t what,
                                                    void *value, size_t bytes, size_t *written) {
    const Algo a = algo_of(algo);
    if (bytes != 4) return CUBLAS_STATUS_INVALID_VALUE;
    if (what == CUBLASLT_ALGO_CONFIG_SPLITK_NUM)
        std::memcpy(value, &a.splits, 4);
    else if (what == CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME)
        std::memcpy(value, &a.scheme, 4);
    else
        return CUBLAS_STATUS_INVALID_VALUE;
    *written = 4;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t *algo,
                                       cublasLtMatmulHeuristicResult_t *result) {
    const Product p{desc_of(desc), layout_of(a), layout_of(b),
                    layout_of(c),  layout_of(d), algo_of(algo)};
    std::memset(result, 0, sizeof *result);
    result->workspaceSize = workspace_of(p.algo);
    if (!fits(p)) return CUBLAS_STATUS_INVALID_VALUE;
    return takes(p.algo, p.d) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *pa, cublasLtMatrixLayout_t a, const void *pb,
                              cublasLtMatrixLayout_t b, const void *beta, const void *pc,
                              cublasLtMatrixLayout_t c, void *pd, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t bytes,
                              cudaStream_t stream) {
    const Product p{desc_of(desc), layout_of(a), layout_of(b),
                    layout_of(c),  layout_of(d), algo_of(algo)};
    const void *const operand[] = {pa, pb, pc, pd};
    const Layout *const layout[] = {&p.a, &p.b, &p.c, &p.d};
    const float times = *(const float *)alpha, plus = *(const float *)beta;
    const bool bias = p.desc.epilogue == CUBLASLT_EPILOGUE_BIAS;
    if (!fits(p) || !takes(p.algo, p.d) || workspace_of(p.algo) > bytes || !aligned(workspace, 256))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (bias &&
        (p.desc.bias_type != (int32_t)p.d.type || !aligned(p.desc.bias, p.algo.align_bias) ||
         !fake::on_device(p.desc.bias, p.d.rows * size_of(p.d.type))))
        return CUBLAS_STATUS_INVALID_VALUE;
    for (int i = 0; i < 4; i++) {
        const Layout &l = *layout[i];
        const uint64_t last = (l.cols - 1) * (uint64_t)l.ld + l.rows, size = size_of(l.type);
        if (!aligned(operand[i], p.algo.align[i]) ||
            (l.cols > 1 && (uint64_t)l.ld * size % p.algo.align[i]) ||
            !fake::on_device(operand[i], last * size))
            return CUBLAS_STATUS_INVALID_VALUE;
    }
    fake::enqueue(stream, [=] {
        for (uint64_t j = 0; j < p.d.cols; j++)
            for (uint64_t i = 0; i < p.d.rows; i++) {
                float v = times * p.sum(pa, pb, i, j);
                if (plus != 0) v += plus * get(pc, p.c.type, j * (uint64_t)p.c.ld + i);
                if (bias) v += get(p.desc.bias, p.d.type, i);
                set(pd, p.d.type, j * (uint64_t)p.d.ld + i, v);
            }
    });
    return CUBLAS_STATUS_SUCCESS;
}
}
