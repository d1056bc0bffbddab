/* What every handle of the kernels layer reaches: the error slot, the log sink, host allocation.
 * Not here: devices (dev.h), tensors (tensor.h). */
#ifndef WK_BASE_H
#define WK_BASE_H

#include "kernels/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#    define WEFT_RESTRICT __restrict__
extern "C" {
#else
#    define WEFT_RESTRICT restrict
#endif

typedef enum wk_log_level {
    WK_LOG_ERROR = 0,
    WK_LOG_WARN = 1,
    WK_LOG_INFO = 2,
    WK_LOG_DEBUG = 3,
} wk_log_level;

/* Host allocation and logging, injected by the owner of the context. Zero members mean the C
 * library's allocator and silence. `alloc` returns NULL when memory is out; `release` takes NULL.
 */
typedef struct wk_hooks {
    void *ud;
    void *(*alloc)(void *ud, size_t bytes);
    void (*release)(void *ud, void *ptr);
    void (*log)(void *ud, wk_log_level level, const char *module, const char *text);
} wk_hooks;

/* One per engine; not shared between threads that fail concurrently. */
typedef struct wk_ctx {
    weft_error err;
    wk_hooks hooks;
} wk_ctx;

void wk_ctx_init(wk_ctx *ctx, const wk_hooks *hooks); /* hooks may be NULL */
void wk_log(wk_ctx *ctx, wk_log_level level, const char *module, const char *format, ...)
    WEFT_PRINTF(4, 5);

/* Zeroed host memory for `count` items of `size` bytes; *out is NULL for count 0.
 * WEFT_E_MEM names `what` and the bytes asked for. */
WEFT_NODISCARD weft_status wk_host_alloc(wk_ctx *ctx, void **out, size_t count, size_t size,
                                         const char *what);
void wk_host_free(wk_ctx *ctx, void *ptr);

/* a*b, or WEFT_E_ARG on overflow: for sizes that come from input. */
WEFT_NODISCARD weft_status wk_mul_size(wk_ctx *ctx, size_t a, size_t b, size_t *out);

#ifdef __cplusplus
}
#endif
#endif
