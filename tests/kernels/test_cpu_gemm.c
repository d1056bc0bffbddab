/* labels: fault */
/* The frozen linears of the cpu backend while host allocations fail in turn: the size of a packed
 * weight is always the same, the failing call says WEFT_E_MEM, and everything is given back. */
#include "kernels/arena.h"
#include "kernels/cpu/cpu.h"
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

#define M 50
#define O 33
#define D 70

typedef struct counter {
    int calls, live, fail_at;
} counter;

static void *count_alloc(void *ud, size_t bytes) {
    counter *c = ud;
    if (++c->calls == c->fail_at) return NULL;
    c->live++;
    return malloc(bytes);
}

static void count_release(void *ud, void *ptr) {
    counter *c = ud;
    c->live -= ptr != NULL;
    free(ptr);
}

static wk_ctx ctx;

static weft_status forward(wk_dev *dev, wk_arena *arena, const size_t *bytes) {
    wk_weight w = {.o = O, .d = D};
    wk_tensor x, y;
    WEFT_TRY(wk_arena_mat(arena, &w.w, "w", WK_F32, O, D));
    WEFT_TRY(wk_arena_mat(arena, &x, "x", WK_F32, M, D));
    WEFT_TRY(wk_arena_mat(arena, &y, "y", WK_F32, M, O));
    WEFT_TRY(wk_arena_vec(arena, &w.fwd, "fwd", WK_U8, (int64_t)bytes[0]));
    WEFT_TRY(wk_arena_vec(arena, &w.dx, "dx", WK_U8, (int64_t)bytes[1]));
    check_randn(w.w.data, O * D, 1, 0, 1.0f);
    check_randn(x.data, M * D, 1, 1, 1.0f);
    WEFT_TRY(wk_weight_pack(dev, &(wk_weight_pack_args){.weight = &w}));
    return wk_linear_fwd(dev, &(wk_linear_fwd_args){.y = y, .x = x, .w = &w});
}

static weft_status job(cpu_gemm_kind kind, size_t *bytes) {
    wk_dev *dev = NULL;
    wk_arena arena = {0};
    WEFT_TRY(wk_dev_open(&dev, &ctx, &(wk_dev_options){.backend = "cpu", .threads = 2}));
    weft_status st = cpu_gemm_select(dev, kind);
    for (int dx = 0; st == WEFT_OK && dx < 2; dx++)
        bytes[dx] = wk_weight_pack_bytes(dev, O, D, WK_F32, dx != 0);
    if (st == WEFT_OK) st = wk_arena_open(&arena, dev, "operands", 1 << 20);
    if (st == WEFT_OK) st = forward(dev, &arena, bytes);
    wk_arena_close(&arena);
    wk_dev_close(dev);
    return st;
}

static void allocations_fail(cpu_gemm_kind kind) {
    counter c = {0};
    wk_hooks hooks = {.ud = &c, .alloc = count_alloc, .release = count_release};
    wk_ctx_init(&ctx, &hooks);
    size_t want[2] = {0}, got[2];
    const weft_status st = job(kind, want);
    if (st == WEFT_E_UNSUPPORTED) check_skip("built without oneDNN");
    check_ok(st, &ctx.err);
    assert_true(want[0] >= O * D * sizeof(float) && want[1] >= O * D * sizeof(float));
    const int calls = c.calls;
    assert_true(calls >= 3); /* device, its state, arena */
    for (int at = 1; at <= calls; at++) {
        c = (counter){.fail_at = at};
        memcpy(got, want, sizeof got);
        assert_int_equal(job(kind, got), WEFT_E_MEM);
        assert_non_null(strstr(ctx.err.text, "memory"));
        assert_memory_equal(got, want, sizeof got);
        assert_int_equal(c.live, 0);
    }
}

static void own(void **state) {
    (void)state;
    allocations_fail(CPU_GEMM_OWN);
}

static void dnnl(void **state) {
    (void)state;
    allocations_fail(CPU_GEMM_DNNL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(own), cmocka_unit_test(dnnl)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
