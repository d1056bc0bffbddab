/* labels: unit */
/* Opening devices by name and from a plugin's backend, moving bytes, and what the dry device
 * counts. */
#include "kernels/arena.h"
#include "kernels/backends.h"
#include "tests/check.h"

#include <string.h>

static wk_ctx ctx;

static wk_dev *open_device(const char *backend, int threads) {
    wk_dev *dev = NULL;
    check_ok(wk_dev_open(&dev, &ctx, &(wk_dev_options){.backend = backend, .threads = threads}),
             &ctx.err);
    return dev;
}

static int init(void **state) {
    (void)state;
    wk_ctx_init(&ctx, NULL);
    return 0;
}

static void opening_by_name(void **state) {
    (void)state;
    const char *const names[] = {"ref", "cpu", "dry"};
    for (int i = 0; i < 3; i++) {
        wk_dev *dev = open_device(names[i], 0);
        assert_string_equal(dev->backend->name, names[i]);
        assert_true(dev->threads >= 1);
        assert_int_equal(dev->dry, i == 2);
        wk_dev_close(dev);
    }
    wk_dev *dev = open_device("ref", 3);
    assert_int_equal(dev->threads, 3);
    wk_dev_close(dev);
    wk_dev_close(NULL);

    assert_int_equal(wk_dev_open(&dev, &ctx, &(wk_dev_options){.backend = "gpu", .threads = 1}),
                     WEFT_E_CONFIG);
    assert_null(dev);
    assert_string_equal(ctx.err.text, "unknown backend \"gpu\"; known: ref, cpu, dry");
    assert_int_equal(wk_dev_open(&dev, &ctx, &(wk_dev_options){0}), WEFT_E_CONFIG);
    assert_int_equal(wk_dev_open(&dev, &ctx, &(wk_dev_options){.backend = "ref", .threads = -1}),
                     WEFT_E_CONFIG);
    assert_non_null(strstr(ctx.err.text, "threads is -1"));
}

static int opened, closed;

static weft_status open_counted(wk_dev *dev) {
    opened++;
    return dev->threads == 9 ? WEFT_FAIL(&dev->ctx->err, WEFT_E_DEVICE, "no such card") : WEFT_OK;
}

static void close_counted(wk_dev *dev) {
    (void)dev;
    closed++;
}

static void fill_all_but_one(wk_ops *table) {
    wk_backend_ref.fill_ops(table);
    table->mse = NULL;
}

static void opening_a_plugin(void **state) {
    (void)state;
    wk_backend plugin = wk_backend_ref;
    wk_dev *dev = NULL;
    plugin.name = "plugin", plugin.open = open_counted, plugin.close = close_counted;
    check_ok(wk_dev_open_backend(&dev, &ctx, &plugin, &(wk_dev_options){.threads = 1}), &ctx.err);
    wk_dev_close(dev);
    assert_true(opened == 1 && closed == 1);
    assert_int_equal(wk_dev_open_backend(&dev, &ctx, &plugin, &(wk_dev_options){.threads = 9}),
                     WEFT_E_DEVICE);
    assert_true(!dev && opened == 2 && closed == 1);
    plugin.fill_ops = fill_all_but_one;
    assert_int_equal(wk_dev_open_backend(&dev, &ctx, &plugin, &(wk_dev_options){.threads = 1}),
                     WEFT_E_UNSUPPORTED);
    assert_string_equal(ctx.err.text, "backend plugin has no op mse");
    assert_true(!dev && opened == 3 && closed == 2);
}

static void bytes_go_there_and_back(void **state) {
    (void)state;
    float sent[12], got[12];
    check_randn(sent, 12, 1, 1, 1);
    for (int dry = 0; dry < 2; dry++) {
        wk_dev *dev = open_device(dry ? "dry" : "ref", 1);
        wk_arena a;
        wk_tensor t;
        check_ok(wk_arena_open(&a, dev, "a", 4096), &ctx.err);
        check_ok(wk_arena_mat(&a, &t, "t", WK_F32, 3, 4), &ctx.err);
        memset(got, 1, sizeof got);
        check_ok(wk_upload(dev, t, sent), &ctx.err);
        check_ok(wk_download(dev, got, t), &ctx.err);
        if (dry) memset(sent, 0, sizeof sent);
        check_same("downloaded", got, sent, sizeof got);
        assert_int_equal(wk_download(dev, got, wk_cols(t, 0, 2)), WEFT_E_SHAPE);
        assert_int_equal(wk_upload(dev, wk_cols(t, 0, 2), sent), WEFT_E_SHAPE);
        wk_arena_close(&a);
        wk_dev_close(dev);
    }
}

static size_t pack_bytes(wk_dev *dev, int64_t o, int64_t d, wk_dtype dtype, bool dx) {
    (void)dev, (void)dtype;
    return (size_t)(o * d) * (dx ? 2 : 3);
}

static void fill_packing(wk_ops *table) {
    wk_backend_ref.fill_ops(table);
    table->weight_pack_bytes = pack_bytes;
}

static void dry_counts(void **state) {
    (void)state;
    wk_dev *dry = open_device("dry", 1), *target = NULL;
    wk_arena a;
    check_ok(wk_arena_open(&a, dry, "a", (size_t)1 << 40), &ctx.err); /* no machine has that */
    wk_tensor x, y, w;
    check_ok(wk_arena_mat(&a, &x, "x", WK_F32, 70, 512), &ctx.err);
    check_ok(wk_arena_mat(&a, &y, "y", WK_F32, 70, 384), &ctx.err);
    check_ok(wk_arena_mat(&a, &w, "w", WK_F32, 384, 512), &ctx.err);
    wk_weight weight = {.w = w, .o = 384, .d = 512};
    check_ok(wk_linear_fwd(dry, &(wk_linear_fwd_args){.y = y, .x = x, .w = &weight}), &ctx.err);
    assert_true(dry->count.flops == 2.0 * 70 * 384 * 512);
    assert_true(dry->count.bytes == 4.0 * (70 * 512 + 70 * 384 + 384 * 512));
    assert_int_equal(dry->count.ops, 1);
    x.dim[1] = 511;
    assert_int_equal(wk_linear_fwd(dry, &(wk_linear_fwd_args){.y = y, .x = x, .w = &weight}),
                     WEFT_E_SHAPE);
    assert_int_equal(dry->count.ops, 1);
    wk_arena_close(&a);

    wk_backend packing = wk_backend_ref;
    packing.fill_ops = fill_packing;
    check_ok(wk_dev_open_backend(&target, &ctx, &packing, &(wk_dev_options){.threads = 1}),
             &ctx.err);
    assert_int_equal(wk_weight_pack_bytes(dry, 10, 20, WK_F32, false), 0);
    wk_dev_dry_plan_for(dry, target);
    assert_int_equal(wk_weight_pack_bytes(dry, 10, 20, WK_F32, false), 600);
    assert_int_equal(wk_weight_pack_bytes(dry, 10, 20, WK_F32, true), 400);
    wk_dev_close(dry), wk_dev_close(target);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_by_name),
        cmocka_unit_test(opening_a_plugin),
        cmocka_unit_test(bytes_go_there_and_back),
        cmocka_unit_test(dry_counts),
    };
    return cmocka_run_group_tests(tests, init, NULL);
}
