#include "kernels/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *libc_alloc(void *ud, size_t bytes) {
    (void)ud;
    return malloc(bytes);
}

static void libc_release(void *ud, void *ptr) {
    (void)ud;
    free(ptr);
}

void wk_ctx_init(wk_ctx *ctx, const wk_hooks *hooks) {
    memset(ctx, 0, sizeof *ctx);
    if (hooks) ctx->hooks = *hooks;
    if (!ctx->hooks.alloc || !ctx->hooks.release) {
        ctx->hooks.alloc = libc_alloc;
        ctx->hooks.release = libc_release;
    }
}

void wk_log(wk_ctx *ctx, wk_log_level level, const char *module, const char *format, ...) {
    if (!ctx->hooks.log) return;
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ctx->hooks.log(ctx->hooks.ud, level, module, text);
}

weft_status wk_mul_size(wk_ctx *ctx, size_t a, size_t b, size_t *out) {
    if (__builtin_mul_overflow(a, b, out))
        return WEFT_FAIL(&ctx->err, WEFT_E_ARG, "size %zu x %zu overflows", a, b);
    return WEFT_OK;
}

weft_status wk_host_alloc(wk_ctx *ctx, void **out, size_t count, size_t size, const char *what) {
    *out = NULL;
    if (count == 0 || size == 0) return WEFT_OK;
    size_t bytes = 0;
    WEFT_TRY(wk_mul_size(ctx, count, size, &bytes));
    void *ptr = ctx->hooks.alloc(ctx->hooks.ud, bytes);
    if (!ptr) return WEFT_FAIL(&ctx->err, WEFT_E_MEM, "no memory for %s (%zu bytes)", what, bytes);
    memset(ptr, 0, bytes);
    *out = ptr;
    return WEFT_OK;
}

void wk_host_free(wk_ctx *ctx, void *ptr) {
    if (ptr) ctx->hooks.release(ctx->hooks.ud, ptr);
}
