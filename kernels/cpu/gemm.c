/* The frozen linears of the cpu backend: our own GEMM or, in float32, oneDNN, weights packed for
 * the one chosen; the reference where a weight was not packed. */
#include "kernels/cpu/cpu.h"

#include <stdio.h>

weft_status cpu_gemm_select(wk_dev *dev, cpu_gemm_kind kind) {
    cpu_impl *impl = dev->impl;
    cpu_gemm_close(dev);
    if (kind == CPU_GEMM_DNNL) WEFT_TRY(cpu_dnnl_open(dev, &impl->dnnl));
    const char *const half = dev->hidden != WK_BF16 ? ""
                             : impl->own->pairs     ? ", bfloat16 multiplied as such"
                                                    : ", bfloat16 widened to float32";
    if (impl->dnnl)
        (void)snprintf(dev->note, sizeof dev->note, "instruction set %s, GEMM oneDNN %s%s",
                       impl->own->isa, cpu_dnnl_name(impl->dnnl), half);
    else
        (void)snprintf(dev->note, sizeof dev->note, "instruction set %s, GEMM own%s",
                       impl->own->isa, half);
    return WEFT_OK;
}

void cpu_gemm_close(wk_dev *dev) {
    cpu_impl *impl = dev->impl;
    cpu_dnnl_close(dev, impl->dnnl);
    impl->dnnl = NULL;
}

static bool by_dnnl(const cpu_impl *impl, wk_dtype dtype) {
    return impl->dnnl && dtype == WK_F32;
}

/* Forward: in (M, d) times the transpose of w (o, d). Gradient: in (M, o) times w. */
static size_t weight_pack_bytes(wk_dev *dev, int64_t o, int64_t d, wk_dtype dtype, bool dx) {
    cpu_impl *impl = dev->impl;
    const int64_t n = dx ? d : o, k = dx ? o : d;
    return by_dnnl(impl, dtype) ? cpu_dnnl_bytes(dev, impl->dnnl, n, k)
                                : impl->own->bytes(n, k, dtype);
}

static weft_status pack(wk_dev *dev, wk_tensor w, wk_tensor packed, bool dx) {
    cpu_impl *impl = dev->impl;
    if (!by_dnnl(impl, w.dtype)) {
        impl->own->pack(dev, packed.data, w, !dx);
        return WEFT_OK;
    }
    const int64_t n = w.dim[dx ? 1 : 0], k = w.dim[dx ? 0 : 1];
    const void *plan;
    WEFT_TRY(cpu_dnnl_plan(dev, impl->dnnl, n, k, &plan));
    return cpu_dnnl_pack(dev, impl->dnnl, plan, packed.data, w, !dx);
}

static weft_status weight_pack(wk_dev *dev, const wk_weight_pack_args *a) {
    const wk_weight *w = a->weight;
    if (wk_given(w->fwd)) WEFT_TRY(pack(dev, w->w, w->fwd, false));
    if (wk_given(w->dx)) WEFT_TRY(pack(dev, w->w, w->dx, true));
    return WEFT_OK;
}

static weft_status run(wk_dev *dev, cpu_gemm_call *call) {
    cpu_impl *impl = dev->impl;
    if (call->in.dim[0] == 0) return WEFT_OK;
    if (!by_dnnl(impl, call->in.dtype)) {
        impl->own->run(dev, call);
        return WEFT_OK;
    }
    WEFT_TRY(cpu_dnnl_plan(dev, impl->dnnl, call->n, call->k, &call->plan)); /* found, never made */
    return cpu_dnnl_run(dev, impl->dnnl, call);
}

static weft_status linear_fwd(wk_dev *dev, const wk_linear_fwd_args *a) {
    if (!wk_given(a->w->fwd)) return ref_linear_fwd(dev, a);
    cpu_gemm_call call = {.out = a->y,
                          .in = a->x,
                          .bias = a->bias,
                          .residual = a->residual,
                          .packed = a->w->fwd.data,
                          .n = a->w->o,
                          .k = a->w->d};
    return run(dev, &call);
}

static weft_status linear_dx(wk_dev *dev, const wk_linear_dx_args *a) {
    if (!wk_given(a->w->dx)) return ref_linear_dx(dev, a);
    cpu_gemm_call call = {.out = a->dx,
                          .in = a->dy,
                          .packed = a->w->dx.data,
                          .n = a->w->d,
                          .k = a->w->o,
                          .accumulate = a->accumulate};
    return run(dev, &call);
}

void cpu_gemm_fill(wk_ops *table) {
    table->weight_pack_bytes = weight_pack_bytes;
    table->weight_pack = weight_pack;
    table->linear_fwd = linear_fwd;
    table->linear_dx = linear_dx;
}
