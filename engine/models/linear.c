#include "engine/models/linear.h"

#include "kernels/dev.h"
#include "kernels/rng.h"

/* The input of an adapter: x, or in training x after dropout (redrawn in backward, never stored).
 */
static weft_status adapter_input(const we_pass *p, const we_linear *lin, const wk_segs *segs,
                                 wk_tensor x, wk_tensor *out) {
    const we_lora *lora = &p->m->lora;
    *out = x;
    if (!p->train || lora->dropout <= 0) return WEFT_OK;
    *out = wk_mat(p->acts->dropped.data, x.dtype, x.dim[0], x.dim[1]);
    wk_dropout_args drop = {.y = *out,
                            .x = x,
                            .rng = p->batch->rng,
                            .segs = *segs,
                            .key = wk_rng_key(p->seed, WK_RNG_DROPOUT, lin->site),
                            .p = lora->dropout};
    return wk_dropout(p->m->dev, &drop);
}

weft_status we_group_fwd(const we_pass *p, const we_group *g, const wk_segs *segs, wk_tensor y,
                         wk_tensor x, wk_tensor residual, const wk_tensor *s) {
    wk_dev *dev = p->m->dev;
    const we_lora *lora = &p->m->lora;
    wk_linear_fwd_args base = {
        .y = y, .x = x, .bias = g->bias, .residual = residual, .w = &g->weight};
    WEFT_TRY(wk_linear_fwd(dev, &base));
    if (!p->adapters) return WEFT_OK;
    for (int32_t i = 0; i < g->n; i++) {
        const we_linear *lin = &g->part[i];
        if (lin->a < 0) continue;
        wk_tensor in;
        WEFT_TRY(adapter_input(p, lin, segs, x, &in));
        wk_tensor a = we_slot_mat(p->adapters->w, lin->a, lora->r, lin->in);
        wk_tensor b = we_slot_mat(p->adapters->w, lin->b, lin->out, lora->r);
        wk_seg_linear_fwd_args shrink = {.y = s[i], .x = in, .m = a, .segs = *segs, .alpha = 1.0f};
        wk_seg_linear_fwd_args expand = {.y = wk_cols(y, lin->col, lin->out),
                                         .x = s[i],
                                         .m = b,
                                         .segs = *segs,
                                         .alpha = lora->scale,
                                         .accumulate = true};
        WEFT_TRY(wk_seg_linear_fwd(dev, &shrink));
        WEFT_TRY(wk_seg_linear_fwd(dev, &expand));
    }
    return WEFT_OK;
}

/* dx += dropout mask of ds A. */
static weft_status add_dx(const we_pass *p, const we_linear *lin, const wk_segs *segs, wk_tensor dx,
                          wk_tensor ds, wk_tensor a) {
    wk_dev *dev = p->m->dev;
    const we_lora *lora = &p->m->lora;
    bool drop = p->train && lora->dropout > 0;
    wk_tensor out = dx;
    if (drop) out = wk_mat(p->acts->dropped.data, dx.dtype, dx.dim[0], dx.dim[1]);
    wk_seg_linear_dx_args back = {
        .dx = out, .dy = ds, .m = a, .segs = *segs, .alpha = 1.0f, .accumulate = !drop};
    WEFT_TRY(wk_seg_linear_dx(dev, &back));
    if (!drop) return WEFT_OK;
    wk_dropout_args mask = {.y = dx,
                            .x = out,
                            .rng = p->batch->rng,
                            .segs = *segs,
                            .key = wk_rng_key(p->seed, WK_RNG_DROPOUT, lin->site),
                            .p = lora->dropout,
                            .accumulate = true};
    return wk_dropout(dev, &mask);
}

weft_status we_group_bwd(const we_pass *p, const we_group *g, const wk_segs *segs, wk_tensor dx,
                         wk_tensor dy, wk_tensor x, const wk_tensor *s, bool accumulate) {
    wk_dev *dev = p->m->dev;
    const we_lora *lora = &p->m->lora;
    if (wk_given(dx)) {
        wk_linear_dx_args base = {.dx = dx, .dy = dy, .w = &g->weight, .accumulate = accumulate};
        WEFT_TRY(wk_linear_dx(dev, &base));
    }
    for (int32_t i = 0; i < g->n; i++) {
        const we_linear *lin = &g->part[i];
        if (lin->a < 0) continue;
        wk_tensor a = we_slot_mat(p->adapters->w, lin->a, lora->r, lin->in);
        wk_tensor b = we_slot_mat(p->adapters->w, lin->b, lin->out, lora->r);
        wk_tensor da = we_slot_mat(p->adapters->g, lin->a, lora->r, lin->in);
        wk_tensor db = we_slot_mat(p->adapters->g, lin->b, lin->out, lora->r);
        wk_tensor dy_part = wk_cols(dy, lin->col, lin->out), in;
        wk_tensor ds = wk_mat(p->acts->ds.data, WK_F32, dy.dim[0], lora->r);

        wk_seg_linear_dw_args grad_b = {
            .dm = db, .dy = dy_part, .x = s[i], .segs = *segs, .alpha = lora->scale};
        WEFT_TRY(wk_seg_linear_dw(dev, &grad_b));
        wk_seg_linear_dx_args back = {
            .dx = ds, .dy = dy_part, .m = b, .segs = *segs, .alpha = lora->scale};
        WEFT_TRY(wk_seg_linear_dx(dev, &back));
        WEFT_TRY(adapter_input(p, lin, segs, x, &in));
        wk_seg_linear_dw_args grad_a = {.dm = da, .dy = ds, .x = in, .segs = *segs, .alpha = 1.0f};
        WEFT_TRY(wk_seg_linear_dw(dev, &grad_a));
        if (wk_given(dx)) WEFT_TRY(add_dx(p, lin, segs, dx, ds, a));
    }
    return WEFT_OK;
}
