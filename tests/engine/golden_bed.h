/* The recorded encoders on any device: forward, backward and optimizer steps against PyTorch,
 * transformers and peft. Plain C without a test framework, so that programs for devices that are
 * not everywhere use it as well. */
#ifndef WEFT_TESTS_GOLDEN_BED_H
#define WEFT_TESTS_GOLDEN_BED_H

#include "kernels/dev.h"
#include "tests/golden/golden.h"

typedef struct golden_device {
    const char *name;
    const wk_backend *plugin; /* NULL: the built-in one of that name */
    wk_dtype hidden;
} golden_device;

/* Per tensor: max|got - want| / max|want|. */
typedef struct golden_bounds {
    double activation, gradient, loss;
    double adam_steps; /* of adapters after ten AdamW steps */
} golden_bounds;

/* The device computes in float32: both sides round differently, by a few 1e-7 of the largest value.
 * Adam divides a gradient by its own size, so where one is all rounding, so is the step. */
#define GOLDEN_BOUNDS_F32                                                                          \
    (golden_bounds) {                                                                              \
        1e-5, 1e-4, 1e-5, 1e-3                                                                     \
    }
/* Hidden states, and factors of their products, are rounded to bfloat16, 2^-9 each, through two or
 * three layers whose random weights are large. The worst that `ref` shows, which rounds on store
 * only: 0.041, 0.12, 0.012; losses of ten steps with a large rate drift by up to 0.045. */
#define GOLDEN_BOUNDS_BF16                                                                         \
    (golden_bounds) {                                                                              \
        6e-2, 0.2, 6e-2, 0.5                                                                       \
    }

/* Both print what is out of bounds on stderr and then return false. Watched, every layer computes
 * all rows and shows them; unwatched, the last layer computes only the rows that the head reads.
 * The reference's loss and gradients must come out both ways. */
bool golden_forward_backward(const golden_device *device, const golden_set *set,
                             golden_bounds bounds);
/* Ten steps of "adamw", five clipped ones of "sgd" with momentum. */
bool golden_steps(const golden_device *device, const golden_set *set, const char *optimizer,
                  golden_bounds bounds);

#endif
