/* Rows of memory: filling and copying, gathering, embedding, dropout. */
#include "kernels/cuda/device.cuh"

template <class T> __global__ void fill_k(T *y, int64_t rows, int64_t width, int64_t ld, T value) {
    for (int64_t row = blockIdx.y; row < rows; row += gridDim.y)
        for (int64_t j = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; j < width;
             j += (int64_t)gridDim.x * blockDim.x)
            y[row * ld + j] = value;
}

template <class T> static void launch_fill(wk_dev *dev, wk_tensor y, T value) {
    const int64_t rows = y.dim[0], width = wk_row_numel(y);
    const int64_t x = ceil_div(width, 256), most = 8 * cuda_lane_of(dev)->sms;
    if (rows == 0 || width == 0) return;
    const dim3 grid((unsigned)(x < most ? x : most), (unsigned)(rows < 65535 ? rows : 65535));
    LAUNCH(dev, (fill_k<T>), grid, 256, 0, (T *)y.data, rows, width, y.ld, value);
}

static weft_status cuda_fill(wk_dev *dev, const wk_fill_args *a) {
    switch (a->y.dtype) {
    case WK_F32:
        launch_fill(dev, a->y, (float)a->value);
        break;
    case WK_F64:
        launch_fill(dev, a->y, a->value);
        break;
    case WK_BF16:
        launch_fill(dev, a->y, wk_f32_to_bf16((float)a->value));
        break;
    case WK_I32:
        launch_fill(dev, a->y, (int32_t)a->value);
        break;
    case WK_U8:
        launch_fill(dev, a->y, (uint8_t)a->value);
        break;
    case WK_I64:
        launch_fill(dev, a->y, (int64_t)a->value);
        break;
    case WK_F16:
        break;
    }
    return cuda_launched(dev, "fill");
}

void cuda_fill_rows(wk_ops *table) {
    table->fill = cuda_fill;
}
