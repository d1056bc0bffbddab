/* PEFT adapter folders: adapter_config.json, a NUL byte, adapter_model.safetensors. What is refused
 * leaves the adapter as it was; what is read and written again is the same numbers. */
#include "host/peft_folder.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N_VIEWS = 6, FLAT = 96 };
static const weft_view views[N_VIEWS] = {
    {"enc.query", "lora_A.weight", 2, {2, 3}, 0, false},
    {"enc.query", "lora_B.weight", 2, {4, 2}, 16, false},
    {"enc.dense", "lora_A.weight", 2, {2, 4}, 32, false},
    {"enc.dense", "lora_B.weight", 2, {3, 2}, 48, false},
    {"score", "weight", 2, {2, 3}, 64, true},
    {"score", "bias", 1, {2, 0}, 80, true},
};
static const wh_peft_info info = {.base_model = "tiny",
                                  .task_type = "SEQ_CLS",
                                  .r = 2,
                                  .alpha = 4,
                                  .target_modules = "query,dense",
                                  .modules_to_save = "score"};

static void folder_of(char out[128], const char *file) {
    (void)snprintf(out, 128, "%.*s", (int)(strrchr(file, '/') - file), file);
}

static void round_trip(const float *flat) {
    char folder[128];
    weft_error err = {0};
    float again[FLAT];
    for (int i = 0; i < FLAT; i++) again[i] = -7;
    folder_of(folder, fuzz_path("again/adapter_config.json"));
    FUZZ_CHECK(wh_peft_export(folder, &info, views, N_VIEWS, flat, &err) == WEFT_OK, "%s",
               err.text);
    FUZZ_CHECK(wh_peft_import(folder, &info, views, N_VIEWS, again, &err) == WEFT_OK, "%s",
               err.text);
    FUZZ_CHECK(memcmp(flat, again, sizeof again) == 0, "the adapter came back differently");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *weights;
    size_t n_weights, n_config = fuzz_split(data, size, &weights, &n_weights);
    char folder[128];
    folder_of(folder, fuzz_file("adapter/adapter_config.json", data, n_config));
    (void)fuzz_file("adapter/adapter_model.safetensors", weights, n_weights);
    weft_error err = {0};
    float flat[FLAT];
    for (int i = 0; i < FLAT; i++) flat[i] = -7;
    weft_status st = wh_peft_import(folder, &info, views, N_VIEWS, flat, &err);
    bool covered[FLAT] = {false};
    for (int v = 0; v < N_VIEWS; v++) {
        int64_t n = views[v].dim[0] * (views[v].ndim == 2 ? views[v].dim[1] : 1);
        for (int64_t i = 0; i < n; i++) covered[views[v].offset + i] = true;
    }
    for (int i = 0; i < FLAT; i++)
        FUZZ_CHECK((st == WEFT_OK && covered[i]) || (flat[i] >= -7 && flat[i] <= -7),
                   "number %d was written", i);
    if (st == WEFT_OK)
        round_trip(flat);
    else
        fuzz_refused(st, &err, "adapter");
    return 0;
}
