/* The emulator's half of kernels/cuda/port.h: CUDA's names for a plain C++ compiler, as far as our
 * kernels use them. No toolkit is needed. README.md says what this finds and what it cannot. */
#ifndef SIMT_HOST_H
#define SIMT_HOST_H

#include "simt_block.h"
#include "simt_tensor.h"
#include "simt_types.h"
#include "simt_warp.h"

#endif
