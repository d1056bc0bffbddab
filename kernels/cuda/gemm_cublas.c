/* The frozen linears through cuBLASLt, from the plain copy of W in dev->hidden: weight_pack has
 * nothing to do, since both products read the same row-major W. Sums are float32, TF32 is off, and
 * with bfloat16 operands bias and residual are added before the one rounding. Mapping: impl.h. */
#include "kernels/cuda/impl.h"

#include <stdio.h>

static size_t weight_pack_bytes(wk_dev *dev, int64_t o, int64_t d, wk_dtype dtype, bool dx) {
    (void)dev, (void)o, (void)d, (void)dtype, (void)dx;
    return 0;
}

static weft_status weight_pack(wk_dev *dev, const wk_weight_pack_args *a) {
    (void)a;
    return cuda_ready(dev);
}

/* Elements between rows; what a view of one row says there need not make sense. */
static int64_t ld_of(wk_tensor t) {
    const int64_t width = wk_row_numel(t);
    return t.dim[0] > 1 || t.ld > width ? t.ld : width;
}

static int64_t align_of(wk_tensor t) {
    return cuda_gemm_align(t.data, ld_of(t) * (int64_t)wk_dtype_size(t.dtype));
}

/* out = in W^T or in W, + bias, + c. */
static weft_status product(wk_dev *dev, const char *op, bool transposed, wk_tensor out,
                           wk_tensor in, wk_tensor w, wk_tensor bias, wk_tensor c) {
    cuda_impl *impl = cuda_impl_of(dev);
    const bool add = wk_given(c);
    if (in.dim[0] == 0 || out.dim[1] == 0) return WEFT_OK;
    if (!add) c = out;
    cuda_gemm g = {
        .width = out.dim[1],
        .inner = in.dim[1],
        .rows = in.dim[0],
        .ld_w = ld_of(w),
        .ld_in = ld_of(in),
        .ld_c = ld_of(c),
        .ld_out = ld_of(out),
        .dtype = (int64_t)out.dtype,
        .transposed = transposed,
        .bias = wk_given(bias),
        .add = add,
        .align_w = align_of(w),
        .align_in = align_of(in),
        .align_c = align_of(c),
        .align_out = align_of(out),
        .align_bias = wk_given(bias) ? cuda_gemm_align(bias.data, 0) : 0,
    };
    cuda_plan *plan = NULL;
    WEFT_TRY(cuda_plan_for(dev, &plan, &g, op));
    const float one = 1, beta = add ? 1 : 0;
    cublasStatus_t s = CUBLAS_STATUS_SUCCESS;
    if (g.bias)
        s = cublasLtMatmulDescSetAttribute(plan->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                           &bias.data, sizeof bias.data);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = cublasLtMatmul(impl->lt, plan->desc, &one, w.data, plan->w, in.data, plan->in, &beta,
                           c.data, plan->c, out.data, plan->out, &plan->algo, impl->workspace,
                           CUDA_WORKSPACE_BYTES, impl->stream);
    dev->launches++;
    if (s == CUBLAS_STATUS_SUCCESS) return cuda_launched(dev, op);
    char what[128];
    (void)snprintf(what, sizeof what, "%s of %lld rows, %lld from %lld", op, (long long)g.rows,
                   (long long)g.width, (long long)g.inner);
    return cuda_try_lt(dev, s, what);
}

static weft_status linear_fwd(wk_dev *dev, const wk_linear_fwd_args *a) {
    return product(dev, "linear_fwd", true, a->y, a->x, a->w->w, a->bias, a->residual);
}

static weft_status linear_dx(wk_dev *dev, const wk_linear_dx_args *a) {
    const wk_tensor none = {0};
    return product(dev, "linear_dx", false, a->dx, a->dy, a->w->w, none,
                   a->accumulate ? a->dx : none);
}

void cuda_fill_gemm(wk_ops *table) {
    table->weight_pack_bytes = weight_pack_bytes;
    table->weight_pack = weight_pack;
    table->linear_fwd = linear_fwd;
    table->linear_dx = linear_dx;
}
