/* Job files. What is accepted and written again must be read as the same configuration, and what a
 * sweep's points set must be accepted as options; the message of what is refused names the file. */
#include "host/config_write.h"
#include "host/config_yaml.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static const char name[] = "job.yaml";

static weft_config *new_config(void) {
    weft_error err;
    weft_config *config = NULL;
    FUZZ_CHECK(weft_config_new(&config, &err) == WEFT_OK, "%s", err.text);
    return config;
}

static void written(wh_text *text, const weft_config *config) {
    weft_error err;
    wh_config_write(text, config, false);
    FUZZ_CHECK(wh_text_check(text, name, &err) == WEFT_OK, "%s", err.text);
}

static void round_trip(const weft_config *config) {
    weft_error err;
    wh_text first = {0}, second = {0};
    weft_config *again = new_config();
    written(&first, config);
    FUZZ_CHECK(wh_config_yaml_parse(again, NULL, first.data, first.len, name, &err) == WEFT_OK,
               "what was written is refused: %s\n%s", err.text, first.data);
    written(&second, again);
    FUZZ_CHECK(strcmp(first.data, second.data) == 0, "written twice:\n%s\n%s", first.data,
               second.data);
    wh_text_free(&first);
    wh_text_free(&second);
    weft_config_free(again);
}

static void set_point(const wh_sweep *sweep, int64_t index) {
    weft_error err;
    const wh_sweep_set *set[WH_SWEEP_MAX_KEYS];
    const int n = wh_sweep_point(sweep, index, set);
    wh_text folder = {0}, words = {0};
    weft_config *config = new_config();
    for (int i = 0; i < n; i++) {
        const char *key = set[i]->option->key;
        FUZZ_CHECK(!weft_config_is_set(config, key), "%s is set twice", key);
        FUZZ_CHECK(weft_config_set(config, key, set[i]->value, "sweep", &err) == WEFT_OK, "%s",
                   err.text);
    }
    wh_sweep_name(&folder, sweep, index);
    wh_sweep_words(&words, sweep, index);
    FUZZ_CHECK(!folder.failed && folder.len > 0 && folder.len < 200 && !strchr(folder.data, '/'),
               "a folder of %zu bytes: %s", folder.len, folder.data);
    FUZZ_CHECK(!words.failed, "no words of point %d", (int)index);
    wh_text_free(&folder);
    wh_text_free(&words);
    weft_config_free(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    weft_error err = {0};
    wh_sweep sweep = {0};
    weft_config *config = new_config();
    weft_status st = wh_config_yaml_parse(config, &sweep, (const char *)data, size, name, &err);
    if (st == WEFT_OK) {
        if (sweep.n_points > 0) set_point(&sweep, 0);
        if (sweep.n_points > 1) set_point(&sweep, sweep.n_points - 1);
        round_trip(config);
        st = weft_config_finish(config, &err);
        /* Rules that span options name the options, wherever the values came from. */
        if (st == WEFT_OK)
            round_trip(config);
        else
            fuzz_refused(st, &err, ".");
    } else {
        fuzz_refused(st, &err, name);
    }
    weft_config_free(config);
    wh_sweep_free(&sweep);
    return 0;
}
