/* labels: unit */
#include "kernels/arena.h"
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

static wk_ctx ctx;

static wk_dev *open_device(const char *backend) {
    wk_dev *dev = NULL;
    check_ok(wk_dev_open(&dev, &ctx, &(wk_dev_options){.backend = backend, .threads = 1}),
             &ctx.err);
    return dev;
}

static void tensors_are_aligned_and_apart(void **state) {
    (void)state;
    wk_ctx_init(&ctx, NULL);
    wk_dev *dev = open_device("ref");
    wk_arena a;
    check_ok(wk_arena_open(&a, dev, "work", 1 << 16), &ctx.err);
    assert_int_equal(dev->held, 1 << 16);
    wk_tensor t[3];
    check_ok(wk_arena_mat(&a, &t[0], "one", WK_F32, 3, 5), &ctx.err);
    check_ok(wk_arena_vec(&a, &t[1], "two", WK_U8, 257), &ctx.err);
    check_ok(wk_arena_tensor(&a, &t[2], "three", WK_F64, 3, (const int64_t[]){2, 3, 4}), &ctx.err);
    for (int i = 0; i < 3; i++) {
        assert_int_equal((uintptr_t)t[i].data % WK_ARENA_ALIGN, 0);
        memset(t[i].data, i, (size_t)wk_numel(t[i]) * wk_dtype_size(t[i].dtype));
    }
    assert_true(t[0].ld == 5 && t[1].ld == 1 && t[2].ld == 12 && t[2].ndim == 3);
    assert_true(((unsigned char *)t[0].data)[59] == 0 && ((unsigned char *)t[1].data)[256] == 1);
    assert_int_equal(a.used, 256 + 512 + 256);

    size_t mark = wk_arena_mark(&a);
    wk_tensor u, v;
    check_ok(wk_arena_vec(&a, &u, "scratch", WK_F32, 100), &ctx.err);
    wk_arena_reset(&a, mark);
    check_ok(wk_arena_vec(&a, &v, "again", WK_F32, 10), &ctx.err);
    assert_ptr_equal(u.data, v.data);
    assert_int_equal(a.peak, 1024 + 512);
    wk_arena_close(&a);
    assert_int_equal(dev->held, 0);
    wk_arena_close(&a); /* and once more on a zeroed arena */
    wk_dev_close(dev);
}

static void a_full_arena_says_so(void **state) {
    (void)state;
    wk_ctx_init(&ctx, NULL);
    wk_dev *dev = open_device("ref");
    wk_arena a;
    check_ok(wk_arena_open(&a, dev, "slots", 1024), &ctx.err);
    wk_tensor t;
    check_ok(wk_arena_vec(&a, &t, "first", WK_F32, 128), &ctx.err);
    assert_int_equal(wk_arena_vec(&a, &t, "gradient", WK_F32, 200), WEFT_E_MEM);
    assert_string_equal(ctx.err.text,
                        "arena slots is full: gradient needs 1024 bytes, 512 of 1024 are left");
    check_ok(wk_arena_vec(&a, &t, "rest", WK_F32, 128), &ctx.err);
    check_ok(wk_arena_vec(&a, &t, "nothing", WK_F32, 0), &ctx.err);
    assert_int_equal(wk_arena_mat(&a, &t, "huge", WK_F32, INT64_MAX / 2, 8), WEFT_E_ARG);
    assert_int_equal(wk_arena_mat(&a, &t, "minus", WK_F32, -1, 8), WEFT_E_ARG);
    assert_int_equal(wk_arena_tensor(&a, &t, "flat", WK_F32, 0, NULL), WEFT_E_ARG);
    wk_arena_close(&a);
    wk_dev_close(dev);
}

/* The same calls in measure mode give the bytes that a real arena needs, and no byte less will do.
 */
static weft_status take(wk_arena *a) {
    wk_tensor t;
    WEFT_TRY(wk_arena_mat(a, &t, "x", WK_F32, 33, 7));
    size_t mark = wk_arena_mark(a);
    WEFT_TRY(wk_arena_mat(a, &t, "y", WK_F64, 100, 3));
    wk_arena_reset(a, mark);
    return wk_arena_vec(a, &t, "z", WK_U8, 1);
}

static void measuring_gives_the_size(void **state) {
    (void)state;
    wk_ctx_init(&ctx, NULL);
    wk_dev *dry = open_device("dry"), *ref = open_device("ref");
    wk_arena measured, other, real;
    wk_arena_open_measure(&measured, dry, "work");
    wk_arena_open_measure(&other, dry, "other");
    check_ok(take(&measured), &ctx.err);
    assert_int_equal(measured.peak, 1024 + 2560);
    assert_int_equal(dry->held, 0);
    wk_tensor a, b;
    check_ok(wk_arena_vec(&measured, &a, "a", WK_F32, (int64_t)1 << 38), &ctx.err);
    check_ok(wk_arena_vec(&other, &b, "b", WK_F32, (int64_t)1 << 38), &ctx.err);
    check_ok(wk_copy(dry, &(wk_copy_args){.y = a, .x = b}), &ctx.err); /* arenas do not overlap */
    wk_arena_close(&measured);
    wk_arena_close(&other);
    check_ok(wk_arena_open(&real, ref, "work", 1024 + 2560), &ctx.err);
    check_ok(take(&real), &ctx.err);
    wk_arena_close(&real);
    check_ok(wk_arena_open(&real, ref, "work", 1024 + 2559), &ctx.err);
    assert_int_equal(take(&real), WEFT_E_MEM);
    wk_arena_close(&real);
    wk_dev_close(dry), wk_dev_close(ref);
}

/* ---- allocation failure ---- */

static int allocations_left, live;

static void *counted_alloc(void *ud, size_t bytes) {
    (void)ud;
    if (allocations_left-- <= 0) return NULL;
    live++;
    return malloc(bytes);
}

static void counted_release(void *ud, void *ptr) {
    (void)ud;
    live -= ptr != NULL;
    free(ptr);
}

static void no_memory_is_reported(void **state) {
    (void)state;
    const wk_hooks hooks = {.alloc = counted_alloc, .release = counted_release};
    wk_ctx_init(&ctx, &hooks);
    wk_dev *dev = NULL;
    wk_arena a;
    allocations_left = 0;
    assert_int_equal(wk_dev_open(&dev, &ctx, &(wk_dev_options){.backend = "ref", .threads = 1}),
                     WEFT_E_MEM);
    assert_null(dev);
    assert_non_null(strstr(ctx.err.text, "device"));
    allocations_left = 1;
    check_ok(wk_dev_open(&dev, &ctx, &(wk_dev_options){.backend = "ref", .threads = 1}), &ctx.err);
    assert_int_equal(wk_arena_open(&a, dev, "weights", 4096), WEFT_E_MEM);
    assert_string_equal(ctx.err.text, "no memory for arena weights (4096 bytes) on device ref");
    wk_arena_close(&a);
    assert_int_equal(dev->held, 0);
    allocations_left = 1;
    assert_int_equal(wk_arena_open(&a, dev, "weights", SIZE_MAX - 8), WEFT_E_MEM);
    assert_int_equal(allocations_left, 1); /* an impossible size is not even asked for */
    check_ok(wk_arena_open(&a, dev, "weights", 4096), &ctx.err);
    wk_arena_close(&a);
    wk_dev_close(dev);
    assert_int_equal(live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_aligned_and_apart),
        cmocka_unit_test(a_full_arena_says_so),
        cmocka_unit_test(measuring_gives_the_size),
        cmocka_unit_test(no_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
