/* Where a frozen weight, its bias, the clients' LoRA factors and dropout meet. Architectures call
 * these, never the LoRA ops. */
#ifndef WE_MODELS_LINEAR_H
#define WE_MODELS_LINEAR_H

#include "engine/models/encoder.h"

/* y = x W^T + b (+ residual), then for each adapted part: s = A x', y_part += scale * B s, with x'
 * = x after dropout in training. s: one (N, R) tensor per part, ignored for parts without adapter.
 */
WEFT_NODISCARD weft_status we_group_fwd(const we_pass *p, const we_group *g, const wk_segs *segs,
                                        wk_tensor y, wk_tensor x, wk_tensor residual,
                                        const wk_tensor *s);

/* The gradients of A and B of each adapted part, and dx (if given) = dy W + LoRA's share, added to
 * what dx holds when `accumulate`. */
WEFT_NODISCARD weft_status we_group_bwd(const we_pass *p, const we_group *g, const wk_segs *segs,
                                        wk_tensor dx, wk_tensor dy, wk_tensor x, const wk_tensor *s,
                                        bool accumulate);

#endif
