/* What nccl.c calls of NCCL. The library is opened when ranks ask for it, so that one GPU needs
 * none; tests/cuda/nccl/link.c is linked with it and shows that it has all of this. */
#ifndef CUDA_NCCL_CALLS_H
#define CUDA_NCCL_CALLS_H

#include <nccl.h>

#define CUDA_NCCL_LIBRARY "libnccl.so.2"
#define CUDA_NCCL_OLDEST  NCCL_VERSION(2, 19, 1) /* the first with ncclCommRegister */

#define CUDA_NCCL_CALLS(X)                                                                         \
    X(ncclGetVersion)                                                                              \
    X(ncclGetErrorString)                                                                          \
    X(ncclGetLastError)                                                                            \
    X(ncclGetUniqueId)                                                                             \
    X(ncclCommInitRankConfig)                                                                      \
    X(ncclCommGetAsyncError)                                                                       \
    X(ncclCommRegister)                                                                            \
    X(ncclCommDeregister)                                                                          \
    X(ncclAllReduce)                                                                               \
    X(ncclCommFinalize)                                                                            \
    X(ncclCommDestroy)                                                                             \
    X(ncclCommAbort)

typedef struct cuda_nccl {
#define X(name) __typeof__(name) *name;
    CUDA_NCCL_CALLS(X)
#undef X
} cuda_nccl;

#endif
