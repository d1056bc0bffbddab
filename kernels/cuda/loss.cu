#include "kernels/cuda/device.cuh"

void cuda_fill_loss(wk_ops *table) {
    (void)table;
}
