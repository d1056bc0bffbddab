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

/* A call that must give this status. */
#define EXPECT(ctx, call, status)                                                                  \
    do {                                                                                           \
        const weft_status got_ = (call);                                                           \
        if (got_ != (status)) {                                                                    \
            gpu_failures++;                                                                        \
            printf("FAIL %s:%d: %s gives %d, not %d: %s\n", __FILE__, __LINE__, #call, (int)got_,  \
                   (int)(status), got_ ? (ctx)->err.text : "");                                    \
        }                                                                                          \
    } while (0)
#define OK(ctx, call) EXPECT(ctx, call, WEFT_OK)

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
