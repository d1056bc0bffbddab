/* Model folders: config.json, a NUL byte, model.safetensors.index.json; the shards are fixed, one
 * of them named as one would not expect. What opens is planned, which runs the engine's code for
 * the architecture that config.json claims: no size in it may lead to more memory than its plan. */
#include "host/model_folder.h"
#include "host/safetensors.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

static void make_shards(void) {
    weft_error err;
    static const float numbers[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const wh_tensor_out a[] = {{"a", WEFT_F32, 2, {2, 2}, numbers},
                                      {"b", WEFT_F32, 1, {3}, numbers}};
    static const wh_tensor_out c[] = {{"c", WEFT_F32, 1, {8}, numbers}};
    FUZZ_CHECK(wh_safetensors_write(fuzz_path("model/m-1.safetensors"), a, 2, &err) == WEFT_OK &&
                   wh_safetensors_write(fuzz_path("model/..."), c, 1, &err) == WEFT_OK,
               "%s", err.text);
}

static void plan(wh_model_folder *model) {
    static const int64_t offset[] = {0, 3, 6};
    static const int32_t token[] = {0, 1, 2, 0, 2, 1}, label[] = {0, 1};
    static const weft_rows rows = {
        .n_rows = 2, .offset = offset, .token = token, .label = label, .num_labels = 2};
    weft_error err = {0};
    weft_config *config = NULL;
    weft_partition *partition = NULL;
    FUZZ_CHECK(weft_config_new(&config, &err) == WEFT_OK &&
                   weft_config_set(config, "fl.num_clients", "2", NULL, &err) == WEFT_OK &&
                   weft_config_set(config, "fl.clients_per_round", "2", NULL, &err) == WEFT_OK &&
                   weft_config_finish(config, &err) == WEFT_OK &&
                   weft_partition_build(&partition, config, &rows, &err) == WEFT_OK,
               "%s", err.text);
    weft_engine_options options = WEFT_ENGINE_OPTIONS_INIT;
    options.config = config;
    options.model = wh_model_folder_source(model);
    options.train = &rows;
    options.partition = partition;
    weft_plan result;
    weft_status st = weft_plan_build(&result, &options, &err);
    /* A model too large for anything is the file's fault, whatever the code says of it. */
    if (st == WEFT_E_MEM)
        FUZZ_CHECK(err.text[0], "no message");
    else if (st != WEFT_OK)
        fuzz_refused(st, &err, "");
    weft_partition_free(partition);
    weft_config_free(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool made;
    if (!made) make_shards();
    made = true;
    const uint8_t *index;
    size_t n_index, n_config = fuzz_split(data, size, &index, &n_index);
    char folder[128];
    const char *path = fuzz_file("model/config.json", data, n_config);
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    (void)fuzz_file("model/model.safetensors.index.json", index, n_index);
    weft_error err = {0};
    wh_model_folder *model = NULL;
    weft_status st = wh_model_folder_open(&model, folder, true, &err);
    if (st == WEFT_OK) {
        weft_model_source source = wh_model_folder_source(model);
        const char *name;
        for (size_t i = 0; (name = wh_model_folder_tensor_name(model, i)) != NULL; i++) {
            weft_source_tensor t = {0};
            FUZZ_CHECK(source.tensor(source.ud, name, &t, &err) == WEFT_OK && t.data, "%s", name);
        }
        wh_model_folder_close(model);
    } else {
        fuzz_refused(st, &err, ".json");
    }
    err = (weft_error){0};
    st = wh_model_folder_open(&model, folder, false, &err);
    if (st == WEFT_OK) {
        plan(model);
        wh_model_folder_close(model);
    } else {
        fuzz_refused(st, &err, "config.json");
    }
    return 0;
}
