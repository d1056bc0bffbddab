#include "host/config_load.h"

#include "host/config_write.h"
#include "host/config_yaml.h"

#include <stdlib.h>

static weft_status from_environment(weft_config *config, weft_error *err) {
    for (size_t i = 0; i < weft_option_count(); i++) {
        const weft_option *option = weft_option_at(i);
        char name[WH_CLI_MAX_KEY], where[WH_CLI_MAX_KEY + 16];
        wh_config_env_name(name, sizeof name, option);
        const char *value = getenv(name);
        if (!value) continue;
        (void)snprintf(where, sizeof where, "environment %s", name);
        WEFT_TRY(weft_config_set(config, option->key, value, where, err));
    }
    return WEFT_OK;
}

weft_status wh_config_load(weft_config **out, const char *path, const wh_cli *cli,
                           weft_error *err) {
    return wh_config_load_sweep(out, NULL, path, cli, err);
}

weft_status wh_config_load_sweep(weft_config **out, wh_sweep *sweep, const char *path,
                                 const wh_cli *cli, weft_error *err) {
    weft_config *config = NULL;
    WEFT_TRY(weft_config_new(&config, err));
    weft_status st;
    WEFT_TRY_GOTO(st, from_environment(config, err), out);
    if (path) WEFT_TRY_GOTO(st, wh_config_yaml_read(config, sweep, path, err), out);
    for (int i = 0; i < cli->n_sets; i++) {
        const wh_cli_set *set = &cli->set[i];
        WEFT_TRY_GOTO(st, weft_config_set(config, set->key, set->value, "command line", err), out);
    }
    WEFT_TRY_GOTO(st, weft_config_finish(config, err), out);
    *out = config;
    config = NULL;
out:
    weft_config_free(config);
    return st;
}
