/* Between the files of the federation ops. */
#ifndef CUDA_FED_CUH
#define CUDA_FED_CUH

#include "kernels/cuda/chunks.cuh"

weft_status cuda_weighted_sum(wk_dev *dev, const wk_weighted_sum_args *a);
weft_status cuda_order_stat(wk_dev *dev, const wk_order_stat_args *a);
weft_status cuda_noise(wk_dev *dev, const wk_noise_args *a);

#endif
