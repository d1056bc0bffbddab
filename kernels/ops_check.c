/* The primitives of the shared checks: shapes, strides, overlap, and their messages. */
#include "kernels/ops_check.h"

#include <stdarg.h>
#include <stdio.h>

typedef struct shape_text {
    char s[96];
} shape_text;

/* "(70,384)"; "absent" for an operand that is not given. */
static shape_text shape_of(wk_tensor t) {
    shape_text text = {"absent"};
    size_t at = 0;
    for (int32_t i = 0; i < t.ndim && i < WK_MAX_DIMS; i++) {
        int n =
            snprintf(text.s + at, sizeof text.s - at, "%c%lld", i ? ',' : '(', (long long)t.dim[i]);
        at += (size_t)n;
    }
    if (at) (void)snprintf(text.s + at, sizeof text.s - at, ")");
    return text;
}

void wk_require(wk_check *c, bool holds, weft_status status, const char *format, ...) {
    if (c->st != WEFT_OK || holds) return;
    char text[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->st = WEFT_FAIL(&c->dev->ctx->err, status, "%s: %s", c->op, text);
}

static void mismatch(wk_check *c, const char *a_name, wk_tensor a, const char *b_name,
                     wk_tensor b) {
    wk_require(c, false, WEFT_E_SHAPE, "%s %s but %s is %s", a_name, shape_of(a).s, b_name,
               shape_of(b).s);
}

/* Dimensions, stride and address of an operand that is given. */
static void need_sane(wk_check *c, const char *name, wk_tensor t, int32_t ndim) {
    wk_require(c, t.ndim == ndim, WEFT_E_SHAPE, "%s is %s, needed are %d dimensions", name,
               shape_of(t).s, (int)ndim);
    for (int32_t i = 0; i < t.ndim && i < WK_MAX_DIMS; i++)
        wk_require(c, t.dim[i] >= 0, WEFT_E_SHAPE, "%s is %s", name, shape_of(t).s);
    if (c->st != WEFT_OK) return;
    wk_require(
        c, t.ndim == 1 ? t.ld == 1 || t.dim[0] <= 1 : t.ld >= wk_row_numel(t) || t.dim[0] <= 1,
        WEFT_E_SHAPE, "%s %s has a row stride of %lld", name, shape_of(t).s, (long long)t.ld);
    wk_require(c, t.data || wk_numel(t) == 0, WEFT_E_ARG, "%s %s has no address", name,
               shape_of(t).s);
}

static void need_given(wk_check *c, const char *name, wk_tensor t) {
    wk_require(c, wk_given(t), WEFT_E_ARG, "%s is not given", name);
}

void wk_need_opt(wk_check *c, const char *name, wk_tensor t, wk_dtype dtype, int32_t ndim) {
    if (!wk_given(t)) return;
    wk_require(c, t.dtype == dtype, WEFT_E_SHAPE, "%s is %s, needed is %s", name,
               wk_dtype_name(t.dtype), wk_dtype_name(dtype));
    need_sane(c, name, t, ndim);
}

void wk_need(wk_check *c, const char *name, wk_tensor t, wk_dtype dtype, int32_t ndim) {
    need_given(c, name, t);
    wk_need_opt(c, name, t, dtype, ndim);
}

void wk_need_hidden_opt(wk_check *c, const char *name, wk_tensor t, int32_t ndim) {
    if (!wk_given(t)) return;
    wk_require(c, t.dtype == WK_F32 || t.dtype == WK_BF16, WEFT_E_SHAPE,
               "%s is %s, needed is float32 or bfloat16", name, wk_dtype_name(t.dtype));
    need_sane(c, name, t, ndim);
}

void wk_need_hidden(wk_check *c, const char *name, wk_tensor t, int32_t ndim) {
    need_given(c, name, t);
    wk_need_hidden_opt(c, name, t, ndim);
}

void wk_same_dtype(wk_check *c, const char *a_name, wk_tensor a, const char *b_name, wk_tensor b) {
    if (!wk_given(a) || !wk_given(b)) return;
    wk_require(c, a.dtype == b.dtype, WEFT_E_SHAPE, "%s is %s but %s is %s", a_name,
               wk_dtype_name(a.dtype), b_name, wk_dtype_name(b.dtype));
}

void wk_same_dim(wk_check *c, const char *a_name, wk_tensor a, int i, const char *b_name,
                 wk_tensor b, int j) {
    if (!wk_given(a) || !wk_given(b) || a.dim[i] == b.dim[j]) return;
    mismatch(c, a_name, a, b_name, b);
}

void wk_same_shape(wk_check *c, const char *a_name, wk_tensor a, const char *b_name, wk_tensor b) {
    if (!wk_given(a) || !wk_given(b)) return;
    bool same = a.ndim == b.ndim;
    for (int32_t i = 0; same && i < a.ndim; i++) same = a.dim[i] == b.dim[i];
    if (!same) mismatch(c, a_name, a, b_name, b);
}

/* Bytes of one row and from row to row. */
static void extents(wk_tensor t, uintptr_t *row, uintptr_t *stride) {
    uintptr_t size = wk_dtype_size(t.dtype);
    *row = (uintptr_t)wk_row_numel(t) * size;
    *stride = t.dim[0] > 1 ? (uintptr_t)t.ld * size : 0; /* 0: a single row, any stride fits */
}

/* Exact for views with the same row stride, such as column slices of one buffer; else ranges count.
 */
static bool overlap(wk_tensor a, wk_tensor b) {
    if (wk_numel(a) == 0 || wk_numel(b) == 0) return false;
    if ((uintptr_t)a.data > (uintptr_t)b.data) {
        wk_tensor swap = a;
        a = b, b = swap;
    }
    uintptr_t a_row, a_stride, b_row, b_stride;
    extents(a, &a_row, &a_stride);
    extents(b, &b_row, &b_stride);
    uintptr_t distance = (uintptr_t)b.data - (uintptr_t)a.data;
    if (distance >= (uintptr_t)(a.dim[0] - 1) * a_stride + a_row) return false;
    uintptr_t stride = a_stride ? a_stride : b_stride;
    if (stride == 0 || (b_stride && b_stride != stride)) return true;
    uintptr_t column = distance % stride;
    return column < a_row || column + b_row > stride;
}

void wk_apart(wk_check *c, const char *a_name, wk_tensor a, const char *b_name, wk_tensor b) {
    if (c->st != WEFT_OK || !wk_given(a) || !wk_given(b)) return;
    wk_require(c, !overlap(a, b), WEFT_E_ARG, "%s %s overlaps %s %s", a_name, shape_of(a).s, b_name,
               shape_of(b).s);
}

void wk_apart_or_same(wk_check *c, const char *a_name, wk_tensor a, const char *b_name,
                      wk_tensor b) {
    bool same = a.data == b.data && a.dtype == b.dtype && (a.ld == b.ld || a.dim[0] <= 1);
    if (same)
        wk_same_shape(c, a_name, a, b_name, b);
    else
        wk_apart(c, a_name, a, b_name, b);
}

void wk_need_segs(wk_check *c, wk_segs segs) {
    wk_need(c, "segs.off", segs.off, WK_I32, 1);
    wk_need(c, "segs.slot", segs.slot, WK_I32, 1);
    wk_require(c, segs.off.dim[0] == segs.slot.dim[0] + 1, WEFT_E_SHAPE,
               "segs.off %s but segs.slot is %s; off has one more", shape_of(segs.off).s,
               shape_of(segs.slot).s);
}

void wk_need_slots(wk_check *c, wk_slot_state slots, const char *w_name, wk_tensor w) {
    wk_need(c, "slots.step", slots.step, WK_I32, 1);
    wk_need(c, "slots.lr", slots.lr, WK_F32, 1);
    wk_need(c, "slots.sqnorm", slots.sqnorm, WK_F64, 1);
    wk_need(c, "slots.dead", slots.dead, WK_I32, 1);
    wk_same_dim(c, "slots.step", slots.step, 0, w_name, w, 0);
    wk_same_dim(c, "slots.lr", slots.lr, 0, w_name, w, 0);
    wk_same_dim(c, "slots.sqnorm", slots.sqnorm, 0, w_name, w, 0);
    wk_same_dim(c, "slots.dead", slots.dead, 0, w_name, w, 0);
}
