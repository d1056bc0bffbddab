/* The device that the programs of this folder are linked for: the kernel emulator (tests/simt) or a
 * GPU (tests/cuda). Plain C without a test framework. */
#ifndef WEFT_TESTS_DEVICE_H
#define WEFT_TESTS_DEVICE_H

#include "kernels/dev.h"

/* NULL, with a line on stdout, when this machine has none: the program then ends with 77. */
const wk_backend *device_under_test(void);

#endif
