/* Fills, copies, sums and rows by index: bound by memory, so they only stream. */
#include "kernels/cpu/vec.h"

#include <math.h>
#include <string.h>

VEC_INLINE void convert(hid y, hid x, int64_t d) {
    for (int64_t j = 0; j < d; j += VL) hid_put(y, j, d, hid_at(x, j, d));
}

/* d numbers of a hidden operand or of any dtype that stays the same; the rows do not overlap. */
static void move(void *y, wk_dtype to, void *x, wk_dtype from, int64_t d) {
    if (from == to)
        memcpy(y, x, (size_t)d * wk_dtype_size(from));
    else if (from == WK_BF16)
        convert((hid){y, false}, (hid){x, true}, d);
    else
        convert((hid){y, true}, (hid){x, false}, d);
}

/* Zeros, which every step needs; other values are the reference's. */
static weft_status fill(wk_dev *dev, const wk_fill_args *a) {
    if (a->value != 0.0 || signbit(a->value)) return ref_fill(dev, a);
    const int64_t n = a->y.dim[0], width = wk_row_numel(a->y),
                  row = width * (int64_t)wk_dtype_size(a->y.dtype);
    const bool dense = a->y.ld == width; /* cut anywhere */
    const int64_t chunk = dense ? 1 << 16 : row, chunks = dense ? cpu_ceil_div(n * row, chunk) : n;
    CPU_PARALLEL_ROWS(cpu_threads(dev, n * width))
    for (int64_t i = 0; i < chunks; i++) {
        if (dense)
            memset((char *)a->y.data + i * chunk, 0, (size_t)cpu_min(chunk, n * row - i * chunk));
        else
            memset(wk_row_ptr(a->y, i), 0, (size_t)row);
    }
    return WEFT_OK;
}

static weft_status copy(wk_dev *dev, const wk_copy_args *a) {
    const wk_dtype from = a->x.dtype, to = a->y.dtype;
    const int64_t n = a->x.dim[0], d = wk_row_numel(a->x);
    if (from != to && (from == WK_F16 || to == WK_F16)) return ref_copy(dev, a);
    const bool flat = d == 1 && a->x.ld == 1 && a->y.ld == 1;
    const int64_t rows = flat ? 1 : n, cols = flat ? n : d;
    CPU_PARALLEL_ROWS(cpu_threads(dev, n * d))
    for (int64_t i = 0; i < rows; i++)
        move(wk_row_ptr(a->y, i), to, wk_row_ptr(a->x, i), from, cols);
    return WEFT_OK;
}

static void axpy_row(float *y, const float *x, int64_t d, float alpha) {
    for (int64_t j = 0; j < d; j += VL) vf_put(y, j, d, vf_at(x, j, d) * alpha + vf_at(y, j, d));
}

static weft_status axpy(wk_dev *dev, const wk_axpy_args *a) {
    const int64_t n = a->x.dim[0], d = wk_row_numel(a->x);
    if (a->x.ndim == 1 && a->x.ld == 1 && a->y.ld == 1) { /* one long row: cut at multiples of VL */
        const int64_t chunk = 16384;
        CPU_PARALLEL_ROWS(cpu_threads(dev, n))
        for (int64_t j = 0; j < n; j += chunk)
            axpy_row((float *)a->y.data + j, (const float *)a->x.data + j, cpu_min(chunk, n - j),
                     a->alpha);
        return WEFT_OK;
    }
    CPU_PARALLEL_ROWS(cpu_threads(dev, n * d))
    for (int64_t i = 0; i < n; i++) axpy_row(cpu_row(a->y, i), cpu_row(a->x, i), d, a->alpha);
    return WEFT_OK;
}

static weft_status gather_rows(wk_dev *dev, const wk_gather_rows_args *a) {
    const int64_t n = a->y.dim[0], d = a->y.dim[1];
    const int32_t *idx = a->idx.data;
    CPU_PARALLEL_ROWS(cpu_threads(dev, n * d))
    for (int64_t i = 0; i < n; i++) {
        if (idx[i] >= 0)
            move(wk_row_ptr(a->y, i), a->y.dtype, wk_row_ptr(a->x, idx[i]), a->x.dtype, d);
        else
            memset(wk_row_ptr(a->y, i), 0, (size_t)d * wk_dtype_size(a->y.dtype));
    }
    return WEFT_OK;
}

static weft_status scatter_rows(wk_dev *dev, const wk_scatter_rows_args *a) {
    const int64_t n = a->x.dim[0], d = a->x.dim[1];
    const int32_t *idx = a->idx.data;
    CPU_PARALLEL_ROWS(cpu_threads(dev, n * d))
    for (int64_t i = 0; i < n; i++)
        if (idx[i] >= 0)
            move(wk_row_ptr(a->y, idx[i]), a->y.dtype, wk_row_ptr(a->x, i), a->x.dtype, d);
    return WEFT_OK;
}

VEC_INLINE void embed_row(const wk_embed_fwd_args *a, int64_t i, bool y_half, bool half) {
    const int64_t d = a->y.dim[1];
    const bool typed = wk_given(a->type);
    const hid y = hid_row(a->y, i, 0, y_half);
    const hid word = hid_row(a->word, ((const int32_t *)a->tok.data)[i], 0, half);
    const hid pos = hid_row(a->pos, ((const int32_t *)a->pos_id.data)[i], 0, half);
    const hid type =
        typed ? hid_row(a->type, ((const int32_t *)a->type_id.data)[i], 0, half) : word;
    for (int64_t j = 0; j < d; j += VL) {
        vf v = hid_at(word, j, d) + hid_at(pos, j, d);
        if (typed) v += hid_at(type, j, d);
        hid_put(y, j, d, v);
    }
}

static weft_status embed_fwd(wk_dev *dev, const wk_embed_fwd_args *a) {
    const int64_t n = a->y.dim[0];
    const bool y_half = is_half(a->y), half = is_half(a->word);
    CPU_PARALLEL_ROWS(cpu_threads(dev, n * a->y.dim[1]))
    for (int64_t i = 0; i < n; i++) HALF_2(embed_row, y_half, half, a, i);
    return WEFT_OK;
}

void WK_VEC(cpu_fill_move)(wk_ops *table) {
    table->fill = fill;
    table->copy = copy;
    table->axpy = axpy;
    table->gather_rows = gather_rows;
    table->scatter_rows = scatter_rows;
    table->embed_fwd = embed_fwd;
}
