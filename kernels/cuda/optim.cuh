/* Between the files of the local optimizers. */
#ifndef CUDA_OPTIM_CUH
#define CUDA_OPTIM_CUH

#include "kernels/cuda/chunks.cuh"

weft_status cuda_adamw_step(wk_dev *dev, const wk_adamw_step_args *a);
weft_status cuda_drift(wk_dev *dev, const wk_drift_args *a);

/* Factor that brings slot k's gradient down to norm `clip`. */
WK_DEVICE double clip_factor(const slot_view &s, int k, float clip) {
    if (!(clip > 0.0f)) return 1.0;
    return fmin(1.0, (double)clip / (sqrt(s.sqnorm[k]) + 1e-6));
}

/* How many slots one launch may take when each chunk leaves `bytes` in the scratch. */
static inline int64_t slots_at_once(wk_dev *dev, int64_t p, size_t bytes) {
    const size_t slot = (size_t)ceil_div(p, chunk_length(p)) * bytes;
    const size_t n = slot ? cuda_lane_of(dev)->scratch_bytes / slot : MOST_SLOTS;
    return n < MOST_SLOTS ? (int64_t)n : MOST_SLOTS;
}

#endif
