/* Plans: cuBLASLt's descriptors and the algorithm for one product, made once and kept.
 *
 * R1, the same bits in every run: the algorithm is the first that cuBLASLt's heuristic proposes for
 * the exact shape, which depends on the library and the card and on nothing that is measured.
 * Split sums are allowed only where the parts are kept in float32 in the workspace and added in a
 * fixed order (COMPUTE_TYPE); the in-place and output-type schemes would round them to bfloat16.
 *
 * R2, options.placement, bits of a row that do not depend on the number of rows: one algorithm per
 * (dtype, op, width, inner, epilogue, alignment), chosen for REFERENCE_ROWS rows and then used for
 * every number of rows. It may not split the sum, nor use a workspace (which is where parts of sums
 * would lie): then each number of the result is one chain of multiply-adds along the inner
 * dimension, the same wherever its row lies in a tile. A candidate must pass cuBLASLt's check at
 * all PROBE_ROWS; a number of rows that it then refuses is an error, never another algorithm.
 * cuBLAS does not promise this; tests/cuda/gpu_ops.c checks the bits on the card at hand. */
#include "kernels/cuda/impl.h"

#include <string.h>

#define REFERENCE_ROWS 4096
#define CANDIDATES     32

static const int64_t PROBE_ROWS[] = {1, 2, 7, 16, 100, 1000, REFERENCE_ROWS, 65536};

/* ---- descriptors ---- */

static void plan_drop(cuda_plan *p) {
    if (p->desc) (void)cublasLtMatmulDescDestroy(p->desc);
    if (p->w) (void)cublasLtMatrixLayoutDestroy(p->w);
    if (p->in) (void)cublasLtMatrixLayoutDestroy(p->in);
    if (p->c) (void)cublasLtMatrixLayoutDestroy(p->c);
    if (p->out) (void)cublasLtMatrixLayoutDestroy(p->out);
}

static cublasStatus_t set_desc(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                               const void *value, size_t bytes) {
    return cublasLtMatmulDescSetAttribute(desc, attribute, value, bytes);
}

static cublasStatus_t make_desc(cuda_plan *p, const cuda_gemm *g, cudaDataType_t type) {
    const int32_t transposed = g->transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const uint32_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const int32_t bias_type = type;
    /* The heuristic reads an alignment off the address; this one has that of every bias of the
     * plan and no more. */
    const uintptr_t bias = 4096 + (uintptr_t)g->align_bias;
    cublasStatus_t s = cublasLtMatmulDescCreate(&p->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (s) return s;
    s = set_desc(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
    if (s || !g->bias) return s;
    s = set_desc(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (s) return s;
    s = set_desc(p->desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &bias_type, sizeof bias_type);
    if (s) return s;
    return set_desc(p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
}

/* W' is (D, O) in both directions: width and inner are the other way round in linear_dx. */
static cublasStatus_t make_layouts(cuda_plan *p, const cuda_gemm *g, cudaDataType_t type) {
    const uint64_t width = (uint64_t)g->width, inner = (uint64_t)g->inner, rows = (uint64_t)g->rows;
    const uint64_t d = g->transposed ? inner : width, o = g->transposed ? width : inner;
    cublasStatus_t s = cublasLtMatrixLayoutCreate(&p->w, type, d, o, g->ld_w);
    if (!s) s = cublasLtMatrixLayoutCreate(&p->in, type, inner, rows, g->ld_in);
    if (!s) s = cublasLtMatrixLayoutCreate(&p->c, type, width, rows, g->ld_c);
    if (!s) s = cublasLtMatrixLayoutCreate(&p->out, type, width, rows, g->ld_out);
    return s;
}

/* Destroy the plan in any case. */
static cublasStatus_t make_descriptors(cuda_plan *p, const cuda_gemm *g) {
    const cudaDataType_t type = g->dtype == WK_BF16 ? CUDA_R_16BF : CUDA_R_32F;
    memset(p, 0, sizeof *p);
    const cublasStatus_t s = make_desc(p, g, type);
    return s ? s : make_layouts(p, g, type);
}

/* ---- choosing ---- */

static cublasStatus_t set_preference(cublasLtMatmulPreference_t preference, const cuda_gemm *g,
                                     bool placement) {
    const uint32_t schemes =
        placement ? CUBLASLT_REDUCTION_SCHEME_NONE : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const uint64_t workspace = placement ? 0 : CUDA_WORKSPACE_BYTES;
    const struct {
        cublasLtMatmulPreferenceAttributes_t attribute;
        int64_t align;
    } alignment[] = {
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, g->align_w},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, g->align_in},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, g->align_c},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, g->align_out},
    };
    cublasStatus_t s = cublasLtMatmulPreferenceSetAttribute(
        preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes);
    if (!s)
        s = cublasLtMatmulPreferenceSetAttribute(
            preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    for (int i = 0; i < 4 && !s; i++) {
        const uint32_t bytes = (uint32_t)alignment[i].align;
        s = cublasLtMatmulPreferenceSetAttribute(preference, alignment[i].attribute, &bytes,
                                                 sizeof bytes);
    }
    return s;
}

/* What the heuristic proposes, best first. */
static cublasStatus_t ask(wk_dev *dev, const cuda_plan *p, const cuda_gemm *g, bool placement,
                          cublasLtMatmulHeuristicResult_t *found, int *count) {
    cublasLtMatmulPreference_t preference = NULL;
    *count = 0;
    cublasStatus_t s = cublasLtMatmulPreferenceCreate(&preference);
    if (s) return s;
    s = set_preference(preference, g, placement);
    if (!s)
        s = cublasLtMatmulAlgoGetHeuristic(cuda_impl_of(dev)->lt, p->desc, p->w, p->in, p->c,
                                           p->out, preference, CANDIDATES, found, count);
    (void)cublasLtMatmulPreferenceDestroy(preference);
    return s;
}

static bool whole_sums(const cublasLtMatmulAlgo_t *algo) {
    int32_t splits = 0;
    uint32_t scheme = 0;
    size_t written = 0;
    return !cublasLtMatmulAlgoConfigGetAttribute(algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits,
                                                 sizeof splits, &written) &&
           !cublasLtMatmulAlgoConfigGetAttribute(algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
                                                 &scheme, sizeof scheme, &written) &&
           (splits == 0 || splits == 1) && scheme == CUBLASLT_REDUCTION_SCHEME_NONE;
}

/* cuBLASLt would run this algorithm on the plan's shape, without a workspace. */
static bool runs(wk_dev *dev, const cuda_plan *p, const cublasLtMatmulAlgo_t *algo) {
    cublasLtMatmulHeuristicResult_t result;
    return !cublasLtMatmulAlgoCheck(cuda_impl_of(dev)->lt, p->desc, p->w, p->in, p->c, p->out, algo,
                                    &result) &&
           result.workspaceSize == 0;
}

static bool runs_for_all(wk_dev *dev, const cuda_gemm *g, const cublasLtMatmulAlgo_t *algo) {
    bool good = true;
    for (size_t i = 0; i < sizeof PROBE_ROWS / sizeof *PROBE_ROWS && good; i++) {
        cuda_gemm probe = *g;
        cuda_plan p;
        probe.rows = PROBE_ROWS[i];
        good = !make_descriptors(&p, &probe) && runs(dev, &p, algo);
        plan_drop(&p);
    }
    return good;
}

static weft_status none_fits(wk_dev *dev, const cuda_gemm *g, const char *op, const char *why) {
    return WEFT_FAIL(&dev->ctx->err, WEFT_E_UNSUPPORTED,
                     "%s: cuBLASLt has no algorithm for %lld rows, %lld from %lld in %s%s", op,
                     (long long)g->rows, (long long)g->width, (long long)g->inner,
                     wk_dtype_name((wk_dtype)g->dtype), why);
}

/* The shape whose algorithm serves all numbers of rows: rows as close together as the alignment
 * allows. */
static cuda_gemm reference_of(const cuda_gemm *g) {
    cuda_gemm r = *g;
    const int64_t size = (int64_t)wk_dtype_size((wk_dtype)g->dtype);
    const struct {
        int64_t *ld, width;
        int64_t align;
    } operand[] = {
        {&r.ld_w, g->transposed ? g->inner : g->width, g->align_w},
        {&r.ld_in, g->inner, g->align_in},
        {&r.ld_c, g->width, g->align_c},
        {&r.ld_out, g->width, g->align_out},
    };
    for (int i = 0; i < 4; i++) {
        const int64_t step = operand[i].align / size;
        *operand[i].ld = (operand[i].width + step - 1) / step * step;
    }
    r.rows = REFERENCE_ROWS;
    return r;
}

static weft_status choose_for_all(wk_dev *dev, const cuda_gemm *r, const char *op,
                                  cublasLtMatmulAlgo_t *algo) {
    cublasLtMatmulHeuristicResult_t found[CANDIDATES];
    cuda_plan p;
    int count = 0;
    cublasStatus_t s = make_descriptors(&p, r);
    if (!s) s = ask(dev, &p, r, true, found, &count);
    plan_drop(&p);
    if (s && s != CUBLAS_STATUS_NOT_SUPPORTED) return cuda_try_lt(dev, s, op);
    for (int i = 0; i < count; i++) {
        if (found[i].state || !whole_sums(&found[i].algo)) continue;
        if (!runs_for_all(dev, r, &found[i].algo)) continue;
        *algo = found[i].algo;
        return WEFT_OK;
    }
    return none_fits(dev, r, op,
                     " that sums alike for any number of rows; set "
                     "run.deterministic=repeat");
}

/* Of all numbers of rows the same algorithm. */
static weft_status choose_placed(wk_dev *dev, cuda_plan *p, const cuda_gemm *g, const char *op) {
    cuda_impl *impl = cuda_impl_of(dev);
    const cuda_gemm reference = reference_of(g);
    cublasLtMatmulAlgo_t *algo = cuda_lru_find(&impl->choices, &reference, sizeof reference);
    if (!algo) {
        void *memory = NULL, *evicted = NULL;
        WEFT_TRY(wk_host_alloc(dev->ctx, &memory, 1, sizeof *algo, "a GEMM choice"));
        algo = memory;
        weft_status st = choose_for_all(dev, &reference, op, algo);
        if (st == WEFT_OK)
            st = cuda_lru_add(&impl->choices, dev->ctx, &reference, sizeof reference, algo,
                              &evicted);
        wk_host_free(dev->ctx, st == WEFT_OK ? evicted : memory);
        WEFT_TRY(st);
    }
    p->algo = *algo;
    if (runs(dev, p, algo)) return WEFT_OK;
    return none_fits(dev, g, op,
                     " other than for some numbers of rows; set run.deterministic=repeat");
}

static weft_status choose(wk_dev *dev, cuda_plan *p, const cuda_gemm *g, const char *op) {
    cublasLtMatmulHeuristicResult_t found[CANDIDATES];
    int count = 0;
    const cublasStatus_t s = ask(dev, p, g, false, found, &count);
    if (s && s != CUBLAS_STATUS_NOT_SUPPORTED) return cuda_try_lt(dev, s, op);
    for (int i = 0; i < count; i++) {
        if (found[i].state || found[i].workspaceSize > CUDA_WORKSPACE_BYTES) continue;
        p->algo = found[i].algo;
        return WEFT_OK;
    }
    return none_fits(dev, g, op, "");
}

/* ---- the tables ---- */

static void drop_plan(void *ud, void *value) {
    wk_dev *dev = ud;
    plan_drop(value);
    wk_host_free(dev->ctx, value);
}

static void drop_choice(void *ud, void *value) {
    wk_dev *dev = ud;
    wk_host_free(dev->ctx, value);
}

weft_status cuda_gemm_open(wk_dev *dev) {
    cuda_impl *impl = cuda_impl_of(dev);
    WEFT_TRY(cuda_try_lt(dev, cublasLtCreate(&impl->lt), "cublasLtCreate"));
    WEFT_TRY(cuda_lru_open(&impl->plans, dev->ctx, CUDA_PLANS));
    return cuda_lru_open(&impl->choices, dev->ctx, CUDA_CHOICES);
}

void cuda_gemm_close(wk_dev *dev) {
    cuda_impl *impl = cuda_impl_of(dev);
    cuda_lru_close(&impl->plans, dev->ctx, drop_plan, dev);
    cuda_lru_close(&impl->choices, dev->ctx, drop_choice, dev);
    if (impl->lt) (void)cublasLtDestroy(impl->lt);
}

static weft_status make_plan(wk_dev *dev, cuda_plan *p, const cuda_gemm *g, const char *op) {
    WEFT_TRY(cuda_try_lt(dev, make_descriptors(p, g), op));
    return dev->options.placement ? choose_placed(dev, p, g, op) : choose(dev, p, g, op);
}

weft_status cuda_plan_for(wk_dev *dev, cuda_plan **out, const cuda_gemm *g, const char *op) {
    cuda_impl *impl = cuda_impl_of(dev);
    *out = cuda_lru_find(&impl->plans, g, sizeof *g);
    if (*out) return WEFT_OK;
    void *memory = NULL, *evicted = NULL;
    WEFT_TRY(wk_host_alloc(dev->ctx, &memory, 1, sizeof(cuda_plan), "a GEMM plan"));
    weft_status st = make_plan(dev, memory, g, op);
    if (st == WEFT_OK) st = cuda_lru_add(&impl->plans, dev->ctx, g, sizeof *g, memory, &evicted);
    if (st != WEFT_OK) {
        drop_plan(dev, memory);
        return st;
    }
    if (evicted) drop_plan(dev, evicted);
    *out = memory;
    return WEFT_OK;
}
