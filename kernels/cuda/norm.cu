#include "kernels/cuda/device.cuh"

void cuda_fill_norm(wk_ops *table) {
    (void)table;
}
