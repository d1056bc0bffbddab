/* For the programs that test the cuda device: plain C, so that a machine with a GPU, a compiler and
 * the toolkit can run them. Exit code 0: all checks held, 1: one did not, 77: no CUDA device. */
#ifndef WEFT_TESTS_GPU_H
#define WEFT_TESTS_GPU_H

#include "kernels/cuda/cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int gpu_failures;

/* A condition that must hold; says where it did not. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            gpu_failures++;                                                                        \
            printf("FAIL %s:%d: %s\n", __FILE__, __LINE__, #condition);                            \
        }                                                                                          \
    } while (0)

static inline weft_status gpu_expect(const wk_ctx *ctx, weft_status got, weft_status want,
                                     const char *call, int line) {
    if (got == want) return got;
    gpu_failures++;
    printf("FAIL line %d: %s gives %d, not %d: %s\n", line, call, (int)got, (int)want,
           got ? ctx->err.text : "");
    return got;
}

/* A call that must give this status. */
#define EXPECT(ctx, call, status) ((void)gpu_expect(ctx, call, status, #call, __LINE__))
/* A call that must succeed: after a failure of the device itself nothing more can be learned. */
#define OK(ctx, call)                                                                              \
    do {                                                                                           \
        if (gpu_expect(ctx, call, WEFT_OK, #call, __LINE__) == WEFT_E_DEVICE) exit(1);             \
    } while (0)

/* The error text holds these words. */
#define SAYS(ctx, words)                                                                           \
    do {                                                                                           \
        if (!strstr((ctx)->err.text, words)) {                                                     \
            gpu_failures++;                                                                        \
            printf("FAIL %s:%d: \"%s\" does not say \"%s\"\n", __FILE__, __LINE__,                 \
                   (ctx)->err.text, words);                                                        \
        }                                                                                          \
    } while (0)

/* The device, or the end of the program: 77 when there is none, 1 when it does not open. */
static inline wk_dev *gpu_open(wk_ctx *ctx, wk_dev_options options) {
    wk_dev *dev = NULL;
    options.threads = 1;
    if (wk_dev_open_backend(&dev, ctx, &wk_backend_cuda, &options) == WEFT_OK) return dev;
    const bool none = strncmp(ctx->err.text, "no CUDA device", 14) == 0;
    printf("%s%s\n", none ? "skipped: " : "FAIL: ", ctx->err.text);
    exit(none ? 77 : 1);
}

static inline int gpu_end(const char *what) {
    printf("%s: %s\n", what, gpu_failures ? "failed" : "all checks held");
    return gpu_failures ? 1 : 0;
}

#endif
