/* The one gate between callers and the float32 code of this backend: a call whose hidden operands
 * are float32 goes to the overrides, any other to the reference. */
#include "kernels/cpu/cpu.h"

/* Those of the operands that are given are float32. */
static bool all_float32(const wk_tensor *t, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (wk_given(t[i]) && t[i].dtype != WK_F32) return false;
    return true;
}

/* An op with its hidden operands; of those that share a dtype, one that is always given. */
#define GATE(op, ...)                                                                              \
    static weft_status op(wk_dev *dev, const wk_##op##_args *a) {                                  \
        const wk_tensor hidden[] = {__VA_ARGS__};                                                  \
        const cpu_impl *impl = dev->impl;                                                          \
        if (all_float32(hidden, sizeof hidden / sizeof *hidden)) return impl->fast.op(dev, a);     \
        return ref_##op(dev, a);                                                                   \
    }

GATE(embed_fwd, a->y, a->word)
GATE(weight_pack, a->weight->w)
GATE(seg_linear_fwd, a->x, a->y)
GATE(seg_linear_dx, a->dx, a->dy)
GATE(seg_linear_dw, a->dy, a->x)
GATE(dropout, a->x)
GATE(layernorm_fwd, a->x, a->y)
GATE(layernorm_bwd, a->dz, a->dy, a->z)
GATE(act_fwd, a->x)
GATE(act_bwd, a->x)
GATE(attn_fwd, a->q)
GATE(attn_bwd, a->q)

/* The layouts of this backend are float32, and the reference packs nothing: only the plain copy
 * serves other dtypes. */
static weft_status need_plain(wk_dev *dev, const wk_weight *w) {
    if (wk_given(w->w)) return WEFT_OK;
    return WEFT_FAIL(&dev->ctx->err, WEFT_E_UNSUPPORTED,
                     "bfloat16 products need the plain copy of W on the cpu backend");
}

static weft_status linear_fwd(wk_dev *dev, const wk_linear_fwd_args *a) {
    const cpu_impl *impl = dev->impl;
    if (a->x.dtype == WK_F32) return impl->fast.linear_fwd(dev, a);
    WEFT_TRY(need_plain(dev, a->w));
    return ref_linear_fwd(dev, a);
}

static weft_status linear_dx(wk_dev *dev, const wk_linear_dx_args *a) {
    const cpu_impl *impl = dev->impl;
    if (a->dy.dtype == WK_F32) return impl->fast.linear_dx(dev, a);
    WEFT_TRY(need_plain(dev, a->w));
    return ref_linear_dx(dev, a);
}

void cpu_gate(wk_ops *table) {
    table->embed_fwd = embed_fwd;
    table->weight_pack = weight_pack;
    table->linear_fwd = linear_fwd;
    table->linear_dx = linear_dx;
    table->seg_linear_fwd = seg_linear_fwd;
    table->seg_linear_dx = seg_linear_dx;
    table->seg_linear_dw = seg_linear_dw;
    table->dropout = dropout;
    table->layernorm_fwd = layernorm_fwd;
    table->layernorm_bwd = layernorm_bwd;
    table->act_fwd = act_fwd;
    table->act_bwd = act_bwd;
    table->attn_fwd = attn_fwd;
    table->attn_bwd = attn_bwd;
}
