/* Kept optimizer state on the device: moments that cross beside the training, in two banks, give
 * the bits of a run in which they never leave their slots. What the first round's waves send away
 * comes back in the second and, once it was exchanged slot by slot, in the third: a copy in the
 * wrong order is a wrong adapter. */
#include "tests/device/device.h"
#include "tests/engine/packing_run.h"

#include <stdio.h>
#include <stdlib.h>

static packing_outcome run(const wk_backend *plugin, const char *slots) {
    const char *const more[] = {"run.dtype",
                                "f32",
                                "run.deterministic",
                                "placement",
                                "client.optimizer_state",
                                "keep",
                                "client.local_epochs",
                                "1"};
    const packing_setup setup = {.device = "cuda",
                                 .backend = plugin,
                                 .slots = slots,
                                 .threads = "1",
                                 .pack_tokens = "4096",
                                 .more = more,
                                 .n_more = 8,
                                 .rounds_before = 1};
    return packing_run(&setup);
}

int main(int argc, char **argv) {
    int failed = 0;
    const wk_backend *plugin = device_under_test();
    if (!plugin) return 77;
    (void)argc, (void)argv;
    packing_outcome still = run(plugin, "17");
    static const char *const slots[] = {"3", "8"};
    for (int i = 0; i < 2; i++) {
        packing_outcome got = run(plugin, slots[i]);
        const bool good = packing_same(slots[i], &got, &still);
        printf("%s slots = a slot for each client: %s\n", slots[i], good ? "ok" : "FAILED");
        failed += !good;
        free(got.adapter);
    }
    free(still.adapter);
    return failed != 0;
}
