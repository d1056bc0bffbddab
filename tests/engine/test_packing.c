/* labels: dist */
/* A client's trajectory does not depend on who shares its pack: the same federated run, bit for
 * bit, for any number of slots, any pack size, any number of threads, and twice in a row. */
#include "tests/check.h"
#include "tests/engine/packing_run.h"

#include <stdlib.h>
#include <string.h>

/* One client at a time on one thread is the oracle. */
static void check_backend(const char *device, const char *const *more, size_t n_more) {
    packing_setup setup = {device, NULL, "1", "1", "1", more, n_more, NULL, 0};
    packing_outcome alone = packing_run(&setup);
    static const char *const slots[] = {"1", "3", "8", "17"}, *const threads[] = {"1", "2"};
    /* Packs of one client, of some and of all; the slow backend shows the last. */
    static const char *const packs[] = {"4096", "150", "1"};
    const size_t n_packs = strcmp(device, "ref") == 0 ? 1 : 3;
    int64_t fewest = alone.packs;
    for (size_t s = 0; s < 4; s++)
        for (size_t t = 0; t < 2; t++)
            for (size_t p = 0; p < n_packs; p++) {
                char name[96];
                (void)snprintf(name, sizeof name, "%s: %s slots, %s threads, packs of %s tokens",
                               device, slots[s], threads[t], packs[p]);
                setup.slots = slots[s], setup.threads = threads[t], setup.pack_tokens = packs[p];
                packing_outcome packed = packing_run(&setup);
                assert_true(packing_same(name, &packed, &alone));
                if (packed.packs < fewest) fewest = packed.packs;
                free(packed.adapter);
            }
    assert_true(fewest * 4 < alone.packs); /* packs were indeed shared */
    free(alone.adapter);
}

static void test_ref(void **state) {
    (void)state;
    check_backend("ref", NULL, 0);
}

static void test_cpu(void **state) {
    (void)state;
    check_backend("cpu", NULL, 0);
}

static void test_cpu_micro_batches(void **state) {
    (void)state;
    static const char *const more[] = {"client.micro_batch_size", "2",  "client.optimizer", "sgd",
                                       "client.momentum",         "0.9"};
    check_backend("cpu", more, 6);
}

static void test_cpu_bf16(void **state) {
    (void)state;
    static const char *const more[] = {"run.dtype", "bf16"};
    check_backend("cpu", more, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ref),
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_cpu_micro_batches),
        cmocka_unit_test(test_cpu_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
