/* The custom kernels of the backend as one table. */
#include "kernels/cuda/cuda.h"

void cuda_fill_kernels(wk_ops *table) {
    cuda_fill_rows(table);
    cuda_fill_embed(table);
    cuda_fill_norm(table);
    cuda_fill_act(table);
    cuda_fill_loss(table);
    cuda_fill_attn(table);
    cuda_fill_lora(table);
    cuda_fill_optim(table);
    cuda_fill_variance(table);
    cuda_fill_fed(table);
}
