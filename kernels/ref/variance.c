/* What clients tell about their drift, each row by itself. */
#include "kernels/ref/ref.h"

weft_status ref_range_sqdist(wk_dev *dev, const wk_range_sqdist_args *a) {
    const int32_t *off = a->off.data;
    const float *single = a->center.data;
    const double *wide = a->center.data;
    const bool is_wide = a->center.dtype == WK_F64;
    WK_PARALLEL_FOR(dev)
    for (int64_t k = 0; k < a->w.dim[0]; k++)
        for (int64_t s = 0; s < a->out.dim[1]; s++) {
            double sum = 0;
            for (int64_t i = off[s]; i < off[s + 1]; i++) {
                const double d =
                    (double)ref_row(a->w, k)[i] - (is_wide ? wide[i] : (double)single[i]);
                sum += d * d;
            }
            ((double *)wk_row_ptr(a->out, k))[s] = sum;
        }
    return WEFT_OK;
}

weft_status ref_project(wk_dev *dev, const wk_project_args *a) {
    const float *anchor = a->anchor.data, *dir = a->dir.data;
    WK_PARALLEL_FOR(dev)
    for (int64_t k = 0; k < a->w.dim[0]; k++) {
        double sum = 0;
        for (int64_t i = 0; i < a->w.dim[1]; i++)
            sum += (double)dir[i] * ((double)ref_row(a->w, k)[i] - (double)anchor[i]);
        ((double *)a->out.data)[k] = sum;
    }
    return WEFT_OK;
}

weft_status ref_table_sketch(wk_dev *dev, const wk_table_sketch_args *a) {
    const float *anchor = a->anchor.data, *scale = a->scale.data;
    const int64_t rows = a->sketch.dim[1], width = a->sketch.dim[2];
    WK_PARALLEL_FOR(dev)
    for (int64_t k = 0; k < a->w.dim[0]; k++)
        for (int64_t j = 0; j < rows; j++) {
            const int32_t *entry = wk_row_ptr(a->entry, j), *start = wk_row_ptr(a->start, j);
            for (int64_t b = 0; b < width; b++) {
                double sum = 0;
                for (int32_t n = start[b]; n < start[b + 1]; n++) {
                    const int32_t i = entry[n] >> 1;
                    const double by = wk_given(a->scale) ? (double)scale[i] : 1;
                    const double d = by * ((double)ref_row(a->w, k)[i] - (double)anchor[i]);
                    sum += entry[n] & 1 ? -d : d;
                }
                ref_row(a->sketch, k)[j * width + b] = (float)sum;
            }
        }
    return WEFT_OK;
}
