/* Linked with NVIDIA's NCCL, where kernels/cuda/nccl.c opens it: that the library has every
 * function that is called there, with the types of the header, and that opening it finds the same
 * ones. */
#define _GNU_SOURCE /* dladdr */

#include "kernels/cuda/nccl_calls.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    const cuda_nccl linked = {
#define X(name) .name = name,
        CUDA_NCCL_CALLS(X)
#undef X
    };
    int version = 0, failed = 0;
    Dl_info where = {0};
    void *library = dlopen(CUDA_NCCL_LIBRARY, RTLD_NOW | RTLD_LOCAL), *at = NULL;
    if (!library) {
        printf("FAIL %s\n", dlerror());
        return 1;
    }
#define X(name)                                                                                    \
    at = dlsym(library, #name);                                                                    \
    if (memcmp(&linked.name, &at, sizeof at) != 0) {                                               \
        printf("FAIL %s: the linker and dlsym find different ones\n", #name);                      \
        failed = 1;                                                                                \
    }
    CUDA_NCCL_CALLS(X)
#undef X
    if (linked.ncclGetVersion(&version) != ncclSuccess || version < CUDA_NCCL_OLDEST) {
        printf("FAIL its version is %d\n", version);
        failed = 1;
    }
    if (strcmp(linked.ncclGetErrorString(ncclSuccess), "no error") != 0) {
        printf("FAIL success is \"%s\"\n", linked.ncclGetErrorString(ncclSuccess));
        failed = 1;
    }
    (void)dladdr(at, &where);
    printf("NCCL %d of %s, header %d: %s\n", version, where.dli_fname ? where.dli_fname : "?",
           NCCL_VERSION_CODE, failed ? "failed" : "all checks held");
    return failed;
}
