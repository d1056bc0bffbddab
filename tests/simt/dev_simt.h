/* A device whose kernels are those of kernels/cuda, run by the emulator: the op cases and whole
 * training steps go through the CUDA code without a GPU. Its memory is the host's. Products with
 * the frozen base, which are cuBLASLt's on a GPU, are ref's here. Orders, limits and counts:
 * control.h. */
#ifndef SIMT_DEV_SIMT_H
#define SIMT_DEV_SIMT_H

#include "kernels/dev.h"
#include "tests/simt/control.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const wk_backend wk_backend_simt;

#ifdef __cplusplus
}
#endif
#endif
