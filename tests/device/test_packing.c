/* Reproducibility on the device. R1: the same job twice gives the same bits. R2, with
 * run.deterministic=placement: packed clients give the bits of one client at a time, for any number
 * of slots and any pack size. Without placement the products may take another kernel for another
 * number of rows, so packed and alone agree within a bound only.
 *
 *   test_packing [f32|bf16|fda …]    all */
#include "tests/device/device.h"
#include "tests/engine/packing_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed;

static packing_outcome run(const wk_backend *plugin, const char *slots, const char *pack,
                           const char *dtype, const char *deterministic) {
    const char *const more[] = {"run.dtype",           dtype, "run.deterministic", deterministic,
                                "client.local_epochs", "1"};
    const packing_setup setup = {"cuda", plugin, slots, "1", pack, more, 6, NULL, 0};
    return packing_run(&setup);
}

static void expect(bool good, const char *what) {
    printf("%s: %s\n", what, good ? "ok" : "FAILED");
    failed += !good;
}

static double distance(const packing_outcome *a, const packing_outcome *b) {
    double worst = 0, scale = 0;
    for (int64_t i = 0; i < a->size; i++) {
        worst = fmax(worst, fabs((double)a->adapter[i] - (double)b->adapter[i]));
        scale = fmax(scale, fabs((double)a->adapter[i]));
    }
    return worst / scale;
}

static void check(const wk_backend *plugin, const char *dtype) {
    char what[96];
    packing_outcome alone = run(plugin, "1", "1", dtype, "placement");
    packing_outcome some = run(plugin, "3", "150", dtype, "placement");
    packing_outcome all = run(plugin, "17", "4096", dtype, "placement");
    (void)snprintf(what, sizeof what, "%s, placement: 3 slots, packs of 150 tokens = alone", dtype);
    expect(packing_same(what, &some, &alone), what);
    (void)snprintf(what, sizeof what, "%s, placement: all clients in a pack = alone", dtype);
    expect(packing_same(what, &all, &alone) && all.packs * 4 < alone.packs, what);
    packing_outcome once = run(plugin, "8", "300", dtype, "repeat");
    packing_outcome again = run(plugin, "8", "300", dtype, "repeat");
    (void)snprintf(what, sizeof what, "%s, repeat: the same job twice", dtype);
    expect(packing_same(what, &once, &again), what);
    /* Adam's steps have the size of the learning rate whatever the gradient's, so a difference in
     * rounding can become one of a step where a gradient is nothing but rounding. */
    const double apart = distance(&once, &alone);
    (void)snprintf(what, sizeof what, "%s: repeat and placement are %.1e apart", dtype, apart);
    expect(apart < 0.2, what);
    free(alone.adapter), free(some.adapter), free(all.adapter);
    free(once.adapter), free(again.adapter);
}

/* FDA decides the same whatever the packing. */
static void check_fda(const wk_backend *plugin, const char *estimator, const char *sketch) {
    char what[96];
    packing_outcome out[2];
    for (int i = 0; i < 2; i++) {
        const char *const more[] = {"run.dtype",      "f32",     "run.deterministic",   "placement",
                                    "fl.sync",        "fda-opt", "client.local_epochs", "1",
                                    "fda.max_checks", "2",       "fda.sketch",          sketch,
                                    "fda.estimator",  estimator};
        const packing_setup setup = {"cuda", plugin, "17", "1", i ? "4096" : "150",
                                     more,   14,     NULL, 0};
        out[i] = packing_run(&setup);
    }
    (void)snprintf(what, sizeof what, "fda-opt, %s, %s: any packing", estimator, sketch);
    expect(packing_same(what, &out[0], &out[1]), what);
    free(out[0].adapter), free(out[1].adapter);
}

int main(int argc, char **argv) {
    const wk_backend *plugin = device_under_test();
    if (!plugin) return 77;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "fda") == 0) {
            check_fda(plugin, "sketch", "hash");
            check_fda(plugin, "sketch", "xor");
            check_fda(plugin, "linear", "hash");
        } else {
            check(plugin, argv[i]);
        }
    if (argc > 1) return failed != 0;
    check(plugin, "f32");
    check(plugin, "bf16");
    check_fda(plugin, "sketch", "hash");
    check_fda(plugin, "sketch", "xor");
    check_fda(plugin, "linear", "hash");
    return failed != 0;
}
