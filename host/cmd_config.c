/* weft config: the options there are, and whether a job file is right. */
#include "host/config_load.h"
#include "host/config_write.h"
#include "host/output.h"
#include "host/verbs.h"

#include <jansson.h>
#include <string.h>

static json_t *option_value(const weft_option *option, const weft_config *config) {
    switch (option->kind) {
    case WEFT_OPTION_INT:
        return json_integer(weft_config_int(config, option->key));
    case WEFT_OPTION_REAL:
        return json_real(weft_config_real(config, option->key));
    case WEFT_OPTION_BOOL:
        return json_boolean(weft_config_bool(config, option->key));
    case WEFT_OPTION_UINT: /* a seed may not fit a JSON integer */
    case WEFT_OPTION_TEXT:
    case WEFT_OPTION_ENUM:
        break;
    }
    return json_string(weft_config_text(config, option->key));
}

/* Dotted keys and typed values. */
static json_t *config_json(const weft_config *config) {
    json_t *object = json_object();
    for (size_t i = 0; i < weft_option_count(); i++) {
        const weft_option *option = weft_option_at(i);
        if (json_object_set_new(object, option->key, option_value(option, config)) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *table_json(void) {
    json_t *list = json_array();
    for (size_t i = 0; i < weft_option_count(); i++) {
        const weft_option *o = weft_option_at(i);
        json_t *row = json_pack("{s:s, s:s, s:s, s:s}", "key", o->key, "default", o->preset,
                                "aliases", o->aliases, "help", o->help);
        if (row && o->choices) (void)json_object_set_new(row, "choices", json_string(o->choices));
        if (json_array_append_new(list, row) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static bool looks_like_file(const char *word) {
    size_t n = strlen(word);
    return strchr(word, '/') || (n > 5 && strcmp(word + n - 5, ".yaml") == 0) ||
           (n > 4 && strcmp(word + n - 4, ".yml") == 0);
}

/* The configuration a run would get, checked. */
static weft_status print_resolved(const wh_cli *cli, const char *path, weft_error *err) {
    weft_config *config = NULL;
    WEFT_TRY(wh_config_load(&config, path, cli, err));
    weft_status st;
    if (cli->json) {
        st = wh_output_json(config_json(config), err);
    } else {
        wh_text text = {0};
        wh_config_write(&text, config, false);
        st = wh_output_text(&text, err);
    }
    weft_config_free(config);
    return st;
}

static weft_status run(const wh_cli *cli, weft_error *err) {
    const char *word = cli->n_words ? cli->word[0] : NULL;
    if ((word && looks_like_file(word)) || (!word && cli->n_sets)) {
        return print_resolved(cli, word, err);
    }
    if (cli->json) return wh_output_json(table_json(), err);
    wh_text text = {0};
    if (cli->markdown) {
        wh_config_markdown(&text);
    } else {
        WEFT_TRY(wh_config_list(&text, word ? word : "", err));
    }
    return wh_output_text(&text, err);
}

const wh_verb wh_verb_config = {
    .name = "config",
    .words = "[job.yaml | prefix]",
    .summary = "list the options, or check a job file and print it resolved",
    .details =
        "Without arguments: every option with its default and meaning; with a prefix such as\n"
        "'server' only those. With a job file (or key=value alone): check it as train would\n"
        "and print the complete configuration.",
    .example = "weft config lora\n"
               "weft config job.yaml fl.num_rounds=5",
    .max_words = 1,
    .flags = WH_FLAG_SET | WH_FLAG_FORMAT | WH_FLAG_MARKDOWN,
    .run = run,
};
