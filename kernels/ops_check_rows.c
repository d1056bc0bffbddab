/* Checks of the ops that move rows and multiply them: memory, frozen and per-client linear,
 * dropout. */
#include "kernels/ops_check.h"

/* ---- memory ---- */

weft_status wk_check_fill(wk_dev *dev, const wk_fill_args *a) {
    wk_check c = {dev, "fill", WEFT_OK};
    wk_require(&c, wk_given(a->y), WEFT_E_ARG, "y is not given");
    wk_need(&c, WK_ARG(y), a->y.dtype, a->y.ndim);
    wk_require(&c, a->y.dtype != WK_F16, WEFT_E_SHAPE, "y is float16, which is a source only");
    return c.st;
}

static bool is_float(wk_dtype t) {
    return t == WK_F32 || t == WK_BF16 || t == WK_F16;
}

weft_status wk_check_copy(wk_dev *dev, const wk_copy_args *a) {
    wk_check c = {dev, "copy", WEFT_OK};
    wk_need(&c, WK_ARG(x), a->x.dtype, a->x.ndim);
    wk_need(&c, WK_ARG(y), a->y.dtype, a->y.ndim);
    wk_same_shape(&c, WK_ARG(y), WK_ARG(x));
    bool possible = a->x.dtype == a->y.dtype ||
                    (is_float(a->x.dtype) && is_float(a->y.dtype) && a->y.dtype != WK_F16);
    wk_require(&c, possible, WEFT_E_SHAPE, "cannot convert x %s to y %s", wk_dtype_name(a->x.dtype),
               wk_dtype_name(a->y.dtype));
    wk_apart(&c, WK_ARG(y), WK_ARG(x));
    return c.st;
}

weft_status wk_check_axpy(wk_dev *dev, const wk_axpy_args *a) {
    wk_check c = {dev, "axpy", WEFT_OK};
    wk_require(&c, a->y.ndim <= 2, WEFT_E_SHAPE, "y has %d dimensions, at most 2 are possible",
               (int)a->y.ndim);
    wk_need(&c, WK_ARG(x), WK_F32, a->x.ndim);
    wk_need(&c, WK_ARG(y), WK_F32, a->y.ndim);
    wk_same_shape(&c, WK_ARG(y), WK_ARG(x));
    wk_apart(&c, WK_ARG(y), WK_ARG(x));
    return c.st;
}

weft_status wk_check_gather_rows(wk_dev *dev, const wk_gather_rows_args *a) {
    wk_check c = {dev, "gather_rows", WEFT_OK};
    wk_need_hidden(&c, WK_ARG(x), 2);
    wk_need_hidden(&c, WK_ARG(y), 2);
    wk_need(&c, WK_ARG(idx), WK_I32, 1);
    wk_same_dim(&c, WK_ARG(y), 1, WK_ARG(x), 1);
    wk_same_dim(&c, WK_ARG(y), 0, WK_ARG(idx), 0);
    wk_apart(&c, WK_ARG(y), WK_ARG(x));
    return c.st;
}

weft_status wk_check_scatter_rows(wk_dev *dev, const wk_scatter_rows_args *a) {
    wk_check c = {dev, "scatter_rows", WEFT_OK};
    wk_need_hidden(&c, WK_ARG(x), 2);
    wk_need_hidden(&c, WK_ARG(y), 2);
    wk_need(&c, WK_ARG(idx), WK_I32, 1);
    wk_same_dim(&c, WK_ARG(y), 1, WK_ARG(x), 1);
    wk_same_dim(&c, WK_ARG(x), 0, WK_ARG(idx), 0);
    wk_apart(&c, WK_ARG(y), WK_ARG(x));
    return c.st;
}

weft_status wk_check_mean_pool(wk_dev *dev, const wk_mean_pool_args *a) {
    wk_check c = {dev, "mean_pool", WEFT_OK};
    wk_need_hidden(&c, WK_ARG(x), 2);
    wk_need(&c, WK_ARG(y), WK_F32, 2);
    wk_need(&c, WK_ARG(seq_off), WK_I32, 1);
    wk_same_dim(&c, WK_ARG(y), 1, WK_ARG(x), 1);
    wk_require(&c, a->seq_off.dim[0] == a->y.dim[0] + 1, WEFT_E_SHAPE,
               "seq_off (%lld) but y has %lld rows; seq_off has one more",
               (long long)a->seq_off.dim[0], (long long)a->y.dim[0]);
    wk_apart(&c, WK_ARG(y), WK_ARG(x));
    return c.st;
}

weft_status wk_check_embed_fwd(wk_dev *dev, const wk_embed_fwd_args *a) {
    wk_check c = {dev, "embed_fwd", WEFT_OK};
    wk_need_hidden(&c, WK_ARG(y), 2);
    wk_need(&c, WK_ARG(tok), WK_I32, 1);
    wk_need(&c, WK_ARG(pos_id), WK_I32, 1);
    wk_need_opt(&c, WK_ARG(type_id), WK_I32, 1);
    wk_need_hidden(&c, WK_ARG(word), 2);
    wk_need_hidden(&c, WK_ARG(pos), 2);
    wk_need_hidden_opt(&c, WK_ARG(type), 2);
    wk_same_dtype(&c, WK_ARG(pos), WK_ARG(word));
    wk_same_dtype(&c, WK_ARG(type), WK_ARG(word));
    wk_require(&c, wk_given(a->type) == wk_given(a->type_id), WEFT_E_ARG,
               "type and type_id must be given together");
    wk_same_dim(&c, WK_ARG(tok), 0, WK_ARG(y), 0);
    wk_same_dim(&c, WK_ARG(pos_id), 0, WK_ARG(y), 0);
    wk_same_dim(&c, WK_ARG(type_id), 0, WK_ARG(y), 0);
    wk_same_dim(&c, WK_ARG(word), 1, WK_ARG(y), 1);
    wk_same_dim(&c, WK_ARG(pos), 1, WK_ARG(y), 1);
    wk_same_dim(&c, WK_ARG(type), 1, WK_ARG(y), 1);
    wk_apart(&c, WK_ARG(y), WK_ARG(word));
    wk_apart(&c, WK_ARG(y), WK_ARG(pos));
    wk_apart(&c, WK_ARG(y), WK_ARG(type));
    return c.st;
}

/* ---- frozen linear ---- */

static wk_tensor weight_shape(const wk_weight *w) {
    return wk_mat(NULL, WK_F32, w->o, w->d);
}

static void need_weight(wk_check *c, const wk_weight *w) {
    wk_require(c, w != NULL, WEFT_E_ARG, "W is not given");
    if (c->st != WEFT_OK) return;
    wk_require(c, w->o > 0 && w->d > 0, WEFT_E_SHAPE, "W is (%lld,%lld)", (long long)w->o,
               (long long)w->d);
    wk_need_hidden_opt(c, "weight.w", w->w, 2);
    wk_need_opt(c, "weight.fwd", w->fwd, WK_U8, 1);
    wk_need_opt(c, "weight.dx", w->dx, WK_U8, 1);
    wk_same_shape(c, "weight.w", w->w, "W", weight_shape(w));
}

weft_status wk_check_weight_pack(wk_dev *dev, const wk_weight_pack_args *a) {
    wk_check c = {dev, "weight_pack", WEFT_OK};
    need_weight(&c, a->weight);
    if (c.st != WEFT_OK) return c.st;
    const wk_weight *w = a->weight;
    wk_require(&c, wk_given(w->w), WEFT_E_ARG, "weight.w is not given");
    for (int dx = 0; dx < 2; dx++) {
        wk_tensor t = dx ? w->dx : w->fwd;
        size_t want = wk_weight_pack_bytes(dev, w->o, w->d, w->w.dtype, dx != 0);
        wk_require(&c, !wk_given(t) || (size_t)t.dim[0] >= want, WEFT_E_SHAPE,
                   "weight.%s has %lld bytes, wk_weight_pack_bytes asks for %zu", dx ? "dx" : "fwd",
                   (long long)t.dim[0], want);
    }
    return c.st;
}

weft_status wk_check_linear_fwd(wk_dev *dev, const wk_linear_fwd_args *a) {
    wk_check c = {dev, "linear_fwd", WEFT_OK};
    need_weight(&c, a->w);
    if (c.st != WEFT_OK) return c.st;
    wk_tensor w = weight_shape(a->w);
    wk_require(&c, wk_given(a->w->w) || wk_given(a->w->fwd), WEFT_E_ARG,
               "W has neither its plain copy nor fwd");
    wk_need_hidden(&c, WK_ARG(x), 2);
    wk_need_hidden(&c, WK_ARG(y), 2);
    wk_need_hidden_opt(&c, WK_ARG(bias), 1);
    wk_need_hidden_opt(&c, WK_ARG(residual), 2);
    wk_same_dtype(&c, WK_ARG(y), WK_ARG(x));
    wk_same_dtype(&c, WK_ARG(bias), WK_ARG(x));
    wk_same_dtype(&c, WK_ARG(residual), WK_ARG(x));
    wk_same_dtype(&c, "weight.w", a->w->w, WK_ARG(x));
    wk_same_dim(&c, WK_ARG(x), 1, "W", w, 1);
    wk_same_dim(&c, WK_ARG(y), 1, "W", w, 0);
    wk_same_dim(&c, WK_ARG(y), 0, WK_ARG(x), 0);
    wk_same_dim(&c, WK_ARG(bias), 0, "W", w, 0);
    wk_same_shape(&c, WK_ARG(residual), WK_ARG(y));
    wk_apart(&c, WK_ARG(y), WK_ARG(x));
    wk_apart(&c, WK_ARG(y), WK_ARG(bias));
    wk_apart(&c, WK_ARG(y), "W", a->w->w);
    wk_apart_or_same(&c, WK_ARG(y), WK_ARG(residual));
    return c.st;
}

weft_status wk_check_linear_dx(wk_dev *dev, const wk_linear_dx_args *a) {
    wk_check c = {dev, "linear_dx", WEFT_OK};
    need_weight(&c, a->w);
    if (c.st != WEFT_OK) return c.st;
    wk_tensor w = weight_shape(a->w);
    wk_require(&c, wk_given(a->w->w) || wk_given(a->w->dx), WEFT_E_ARG,
               "W has neither its plain copy nor dx");
    wk_need_hidden(&c, WK_ARG(dy), 2);
    wk_need_hidden(&c, WK_ARG(dx), 2);
    wk_same_dtype(&c, WK_ARG(dx), WK_ARG(dy));
    wk_same_dtype(&c, "weight.w", a->w->w, WK_ARG(dy));
    wk_same_dim(&c, WK_ARG(dy), 1, "W", w, 0);
    wk_same_dim(&c, WK_ARG(dx), 1, "W", w, 1);
    wk_same_dim(&c, WK_ARG(dx), 0, WK_ARG(dy), 0);
    wk_apart(&c, WK_ARG(dx), WK_ARG(dy));
    wk_apart(&c, WK_ARG(dx), "W", a->w->w);
    return c.st;
}

/* ---- per-client linear ---- */

weft_status wk_check_seg_linear_fwd(wk_dev *dev, const wk_seg_linear_fwd_args *a) {
    wk_check c = {dev, "seg_linear_fwd", WEFT_OK};
    wk_need_segs(&c, a->segs);
    wk_need_hidden(&c, WK_ARG(x), 2);
    wk_need_hidden(&c, WK_ARG(y), 2);
    wk_need(&c, WK_ARG(m), WK_F32, 3);
    wk_need_opt(&c, WK_ARG(bias), WK_F32, 2);
    wk_same_dim(&c, WK_ARG(x), 1, WK_ARG(m), 2);
    wk_same_dim(&c, WK_ARG(y), 1, WK_ARG(m), 1);
    wk_same_dim(&c, WK_ARG(y), 0, WK_ARG(x), 0);
    wk_same_dim(&c, WK_ARG(bias), 0, WK_ARG(m), 0);
    wk_same_dim(&c, WK_ARG(bias), 1, WK_ARG(m), 1);
    wk_apart(&c, WK_ARG(y), WK_ARG(x));
    wk_apart(&c, WK_ARG(y), WK_ARG(m));
    wk_apart(&c, WK_ARG(y), WK_ARG(bias));
    return c.st;
}

weft_status wk_check_seg_linear_dx(wk_dev *dev, const wk_seg_linear_dx_args *a) {
    wk_check c = {dev, "seg_linear_dx", WEFT_OK};
    wk_need_segs(&c, a->segs);
    wk_need_hidden(&c, WK_ARG(dy), 2);
    wk_need_hidden(&c, WK_ARG(dx), 2);
    wk_need(&c, WK_ARG(m), WK_F32, 3);
    wk_same_dim(&c, WK_ARG(dy), 1, WK_ARG(m), 1);
    wk_same_dim(&c, WK_ARG(dx), 1, WK_ARG(m), 2);
    wk_same_dim(&c, WK_ARG(dx), 0, WK_ARG(dy), 0);
    wk_apart(&c, WK_ARG(dx), WK_ARG(dy));
    wk_apart(&c, WK_ARG(dx), WK_ARG(m));
    return c.st;
}

weft_status wk_check_seg_linear_dw(wk_dev *dev, const wk_seg_linear_dw_args *a) {
    wk_check c = {dev, "seg_linear_dw", WEFT_OK};
    wk_need_segs(&c, a->segs);
    wk_need_hidden(&c, WK_ARG(dy), 2);
    wk_need_hidden(&c, WK_ARG(x), 2);
    wk_need(&c, WK_ARG(dm), WK_F32, 3);
    wk_need_opt(&c, WK_ARG(dbias), WK_F32, 2);
    wk_same_dim(&c, WK_ARG(dy), 0, WK_ARG(x), 0);
    wk_same_dim(&c, WK_ARG(dy), 1, WK_ARG(dm), 1);
    wk_same_dim(&c, WK_ARG(x), 1, WK_ARG(dm), 2);
    wk_same_dim(&c, WK_ARG(dbias), 0, WK_ARG(dm), 0);
    wk_same_dim(&c, WK_ARG(dbias), 1, WK_ARG(dm), 1);
    wk_apart(&c, WK_ARG(dm), WK_ARG(dy));
    wk_apart(&c, WK_ARG(dm), WK_ARG(x));
    wk_apart(&c, WK_ARG(dbias), WK_ARG(dy));
    wk_apart(&c, WK_ARG(dbias), WK_ARG(x));
    wk_apart(&c, WK_ARG(dbias), WK_ARG(dm));
    return c.st;
}

weft_status wk_check_dropout(wk_dev *dev, const wk_dropout_args *a) {
    wk_check c = {dev, "dropout", WEFT_OK};
    wk_need_segs(&c, a->segs);
    wk_need_hidden(&c, WK_ARG(x), 2);
    wk_need_hidden(&c, WK_ARG(y), 2);
    wk_need(&c, WK_ARG(rng), WK_I32, 2);
    wk_same_dtype(&c, WK_ARG(y), WK_ARG(x));
    wk_same_shape(&c, WK_ARG(y), WK_ARG(x));
    wk_same_dim(&c, WK_ARG(rng), 0, "segs.slot", a->segs.slot, 0);
    wk_require(&c, a->rng.dim[1] == 3, WEFT_E_SHAPE, "rng has %lld columns, needed are 3",
               (long long)a->rng.dim[1]);
    wk_require(&c, a->p >= 0 && a->p < 1, WEFT_E_ARG, "p is %g, needed is 0 <= p < 1",
               (double)a->p);
    if (a->accumulate)
        wk_apart(&c, WK_ARG(y), WK_ARG(x));
    else
        wk_apart_or_same(&c, WK_ARG(y), WK_ARG(x));
    return c.st;
}
