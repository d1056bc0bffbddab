/* The recorded encoders on the device, in float32 and bfloat16, against PyTorch, transformers and
 * peft: hidden states, losses, LoRA gradients, ten AdamW and five SGD steps. */
#include "tests/device/device.h"
#include "tests/engine/golden_bed.h"
#include "tests/golden/bert.h"
#include "tests/golden/bert_regression.h"
#include "tests/golden/distilbert.h"
#include "tests/golden/roberta.h"

#include <stdio.h>
#include <string.h>

static int ran, failed;

static void record(const char *set, const char *dtype, const char *what, bool good) {
    printf("%s %s: %s: %s\n", set, dtype, what, good ? "ok" : "FAILED");
    ran++;
    failed += !good;
}

int main(int argc, char **argv) {
    static const golden_set *const sets[] = {&golden_bert, &golden_roberta, &golden_distilbert,
                                             &golden_bert_regression};
    const wk_backend *plugin = device_under_test();
    if (!plugin) return 77;
    const char *only = argc > 1 ? argv[1] : "";
    for (int half = 0; half < 2; half++)
        for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
            const golden_device device = {plugin->name, plugin, half ? WK_BF16 : WK_F32};
            const golden_bounds bounds = half ? GOLDEN_BOUNDS_BF16 : GOLDEN_BOUNDS_F32;
            const char *dtype = wk_dtype_name(device.hidden), *file = sets[s]->file;
            if (*only && strcmp(only, file) != 0) continue;
            record(file, dtype, "forward and backward",
                   golden_forward_backward(&device, sets[s], bounds));
            record(file, dtype, "AdamW", golden_steps(&device, sets[s], "adamw", bounds));
            if (sets[s] == &golden_bert)
                record(file, dtype, "SGD", golden_steps(&device, sets[s], "sgd", bounds));
        }
    printf("%d comparisons, %d failed\n", ran, failed);
    return failed || !ran;
}
