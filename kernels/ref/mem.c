/* Filling, copying, adding and moving rows; pooling and embedding. */
#include "kernels/ref/ref.h"

weft_status ref_fill(wk_dev *dev, const wk_fill_args *a) {
    const int64_t width = wk_row_numel(a->y);
    WK_PARALLEL_FOR(dev)
    for (int64_t i = 0; i < a->y.dim[0]; i++) {
        void *row = wk_row_ptr(a->y, i);
        for (int64_t j = 0; j < width; j++) {
            switch (a->y.dtype) {
            case WK_F32:
                ((float *)row)[j] = (float)a->value;
                break;
            case WK_F64:
                ((double *)row)[j] = a->value;
                break;
            case WK_BF16:
                ((uint16_t *)row)[j] = wk_f32_to_bf16((float)a->value);
                break;
            case WK_F16:
                break; /* a source only, see wk_check_fill */
            case WK_I32:
                ((int32_t *)row)[j] = (int32_t)a->value;
                break;
            case WK_U8:
                ((uint8_t *)row)[j] = (uint8_t)a->value;
                break;
            case WK_I64:
                ((int64_t *)row)[j] = (int64_t)a->value;
                break;
            }
        }
    }
    return WEFT_OK;
}

static float load_float(const void *row, wk_dtype dtype, int64_t j) {
    if (dtype == WK_BF16) return wk_bf16_to_f32(((const uint16_t *)row)[j]);
    if (dtype == WK_F16) return wk_f16_to_f32(((const uint16_t *)row)[j]);
    return ((const float *)row)[j];
}

weft_status ref_copy(wk_dev *dev, const wk_copy_args *a) {
    const int64_t width = wk_row_numel(a->y);
    const wk_dtype from = a->x.dtype, to = a->y.dtype;
    WK_PARALLEL_FOR(dev)
    for (int64_t i = 0; i < a->y.dim[0]; i++) {
        void *y = wk_row_ptr(a->y, i);
        const void *x = wk_row_ptr(a->x, i);
        if (from == to)
            memcpy(y, x, (size_t)width * wk_dtype_size(to));
        else if (to == WK_BF16)
            for (int64_t j = 0; j < width; j++)
                ((uint16_t *)y)[j] = wk_f32_to_bf16(load_float(x, from, j));
        else
            for (int64_t j = 0; j < width; j++) ((float *)y)[j] = load_float(x, from, j);
    }
    return WEFT_OK;
}

weft_status ref_axpy(wk_dev *dev, const wk_axpy_args *a) {
    const int64_t width = wk_row_numel(a->y);
    WK_PARALLEL_FOR(dev)
    for (int64_t i = 0; i < a->y.dim[0]; i++) {
        float *y = ref_row(a->y, i);
        const float *x = ref_row(a->x, i);
        for (int64_t j = 0; j < width; j++)
            y[j] = (float)((double)y[j] + (double)a->alpha * (double)x[j]);
    }
    return WEFT_OK;
}

static void copy_row(ref_hidden y, ref_hidden x, int64_t width) {
    for (int64_t j = 0; j < width; j++) ref_put(y, j, ref_get(x, j));
}

weft_status ref_gather_rows(wk_dev *dev, const wk_gather_rows_args *a) {
    const int32_t *idx = ref_i32(a->idx);
    WK_PARALLEL_FOR(dev)
    for (int64_t i = 0; i < a->y.dim[0]; i++) {
        if (idx[i] >= 0)
            copy_row(ref_hidden_at(a->y, i, 0), ref_hidden_at(a->x, idx[i], 0), a->y.dim[1]);
        else
            memset(wk_row_ptr(a->y, i), 0, (size_t)a->y.dim[1] * wk_dtype_size(a->y.dtype));
    }
    return WEFT_OK;
}

weft_status ref_scatter_rows(wk_dev *dev, const wk_scatter_rows_args *a) {
    const int32_t *idx = ref_i32(a->idx);
    WK_PARALLEL_FOR(dev)
    for (int64_t i = 0; i < a->x.dim[0]; i++)
        if (idx[i] >= 0)
            copy_row(ref_hidden_at(a->y, idx[i], 0), ref_hidden_at(a->x, i, 0), a->x.dim[1]);
    return WEFT_OK;
}

weft_status ref_mean_pool(wk_dev *dev, const wk_mean_pool_args *a) {
    const int32_t *off = ref_i32(a->seq_off);
    WK_PARALLEL_FOR(dev)
    for (int64_t q = 0; q < a->y.dim[0]; q++) {
        float *y = ref_row(a->y, q);
        const int32_t count = off[q + 1] - off[q];
        for (int64_t j = 0; j < a->y.dim[1]; j++) {
            double sum = 0;
            for (int64_t t = off[q]; t < off[q + 1]; t++)
                sum += ref_get(ref_hidden_at(a->x, t, j), 0);
            y[j] = count > 0 ? (float)(sum / count) : 0.0f;
        }
    }
    return WEFT_OK;
}

weft_status ref_embed_fwd(wk_dev *dev, const wk_embed_fwd_args *a) {
    const bool typed = wk_given(a->type);
    WK_PARALLEL_FOR(dev)
    for (int64_t t = 0; t < a->y.dim[0]; t++) {
        const ref_hidden y = ref_hidden_at(a->y, t, 0);
        const ref_hidden word = ref_hidden_at(a->word, ref_i32(a->tok)[t], 0);
        const ref_hidden pos = ref_hidden_at(a->pos, ref_i32(a->pos_id)[t], 0);
        const ref_hidden type = ref_hidden_at(a->type, typed ? ref_i32(a->type_id)[t] : 0, 0);
        for (int64_t j = 0; j < a->y.dim[1]; j++)
            ref_put(y, j, ref_get(word, j) + ref_get(pos, j) + (typed ? ref_get(type, j) : 0.0));
    }
    return WEFT_OK;
}
