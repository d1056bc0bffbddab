/* Copies, sums and embedding rows: bound by memory, so they only stream. */
#include "kernels/cpu/vec.h"

#include <string.h>

static weft_status copy(wk_dev *dev, const wk_copy_args *a) {
    const wk_dtype from = a->x.dtype, to = a->y.dtype;
    const int64_t n = a->x.dim[0], d = wk_row_numel(a->x);
    const bool same = from == to, widen = from == WK_BF16 && to == WK_F32;
    if (!same && !widen && !(from == WK_F32 && to == WK_BF16)) return ref_copy(dev, a);
    const bool flat = d == 1 && a->x.ld == 1 && a->y.ld == 1;
    const int64_t rows = flat ? 1 : n, cols = flat ? n : d;
    CPU_PARALLEL_ROWS(cpu_threads(dev, n * d))
    for (int64_t i = 0; i < rows; i++) {
        void *y = wk_row_ptr(a->y, i);
        const void *x = wk_row_ptr(a->x, i);
        if (same) {
            memcpy(y, x, (size_t)cols * wk_dtype_size(from));
        } else if (widen) {
            const uint16_t *restrict u = x;
            float *restrict v = y;
            for (int64_t j = 0; j < cols; j++) v[j] = wk_bf16_to_f32(u[j]);
        } else {
            const float *restrict u = x;
            uint16_t *restrict v = y;
            for (int64_t j = 0; j < cols; j++) v[j] = wk_f32_to_bf16(u[j]);
        }
    }
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

static weft_status embed_fwd(wk_dev *dev, const wk_embed_fwd_args *a) {
    const int64_t n = a->y.dim[0], d = a->y.dim[1];
    const int32_t *tok = a->tok.data, *pos_id = a->pos_id.data;
    const int32_t *type_id = wk_given(a->type) ? a->type_id.data : NULL;
    CPU_PARALLEL_ROWS(cpu_threads(dev, n * d))
    for (int64_t i = 0; i < n; i++) {
        float *y = cpu_row(a->y, i);
        const float *word = cpu_row(a->word, tok[i]), *pos = cpu_row(a->pos, pos_id[i]);
        const float *type = type_id ? cpu_row(a->type, type_id[i]) : NULL;
        for (int64_t j = 0; j < d; j += VL) {
            vf v = vf_at(word, j, d) + vf_at(pos, j, d);
            if (type) v += vf_at(type, j, d);
            vf_put(y, j, d, v);
        }
    }
    return WEFT_OK;
}

void WK_VEC(cpu_fill_move)(wk_ops *table) {
    table->copy = copy;
    table->axpy = axpy;
    table->embed_fwd = embed_fwd;
}
