/* weft info: the program, this machine, and what a model folder holds. */
#include "host/model_folder.h"
#include "host/model_summary.h"
#include "host/mpi_plugin.h"
#include "host/output.h"
#include "host/plugin.h"
#include "host/run_folder.h"
#include "host/text_table.h"
#include "host/units.h"
#include "host/verbs.h"

#include <stdio.h>
#include <string.h>

/* The vector instructions that matter here, from a line of /proc/cpuinfo; "" when there is none. */
static void cpu_features(wh_text *to) {
    static const char *const WANTED[] = {"avx2",        "fma",         "f16c",    "avx512f",
                                         "avx512_vnni", "avx512_bf16", "amx_bf16"};
    static char line[1 << 14];
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file) return;
    bool found = false;
    while (!found && fgets(line, sizeof line, file)) found = strncmp(line, "flags", 5) == 0;
    (void)fclose(file);
    for (size_t i = 0; found && i < sizeof WANTED / sizeof WANTED[0]; i++) {
        size_t n = strlen(WANTED[i]);
        const char *hit = strstr(line, WANTED[i]);
        while (hit && !(hit[-1] == ' ' && (hit[n] == ' ' || hit[n] == '\n'))) {
            hit = strstr(hit + 1, WANTED[i]);
        }
        if (hit) wh_text_addf(to, "%s%s", to->len ? " " : "", WANTED[i]);
    }
}

static void add_pair(wh_text_table *t, const char *name, const char *value) {
    wh_text_table_cell(t, "%s", name);
    wh_text_table_cell(t, "%s", value);
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "unknown";
}

/* The part of env.json that says what machine this is. */
static void machine_rows(wh_text_table *t, const json_t *e) {
    char memory[32];
    wh_text_table_cell(t, "compiler");
    wh_text_table_cell(t, "%s", text_of(e, "compiler"));
    wh_text_table_cell(t, "system");
    wh_text_table_cell(t, "%s %s, %s", text_of(e, "system"), text_of(e, "kernel"),
                       text_of(e, "machine"));
    wh_text_table_cell(t, "processor");
    wh_text_table_cell(t, "%s, %" JSON_INTEGER_FORMAT " cores online", text_of(e, "cpu"),
                       json_integer_value(json_object_get(e, "cores_online")));
    wh_text_table_cell(t, "memory");
    wh_text_table_cell(
        t, "%s",
        wh_units_memory(memory, sizeof memory,
                        (double)json_integer_value(json_object_get(e, "memory_bytes"))));
}

enum { N_PARTS = 5 };

/* What there is to choose from. */
typedef struct part_row {
    const char *kind, *name;
    char text[360];
} part_row;

static void find_parts(part_row row[N_PARTS]) {
    wh_plugin cuda;
    wh_mpi_plugin mpi;
    wh_plugin_open(&cuda, NULL, NULL);
    wh_mpi_plugin_open(&mpi, NULL);
    row[0] = (part_row){"backend", "cpu", "available"};
    row[1] = (part_row){"backend", "ref", "available; plain loops in double precision, for checks"};
    row[2] = (part_row){.kind = "backend", .name = "cuda"};
    (void)snprintf(row[2].text, sizeof row[2].text, "%s%s",
                   cuda.backend ? "available: " : "not available: ", cuda.note);
    row[3] = (part_row){"exchange", "tcp", "available"};
    row[4] = (part_row){.kind = "exchange", .name = "mpi"};
    (void)snprintf(row[4].text, sizeof row[4].text, "%s%s",
                   mpi.table ? "available: " : "not available: ", mpi.note);
}

static weft_status print_text(const wh_model_summary *model, weft_error *err) {
    wh_text text = {0}, features = {0};
    wh_text_table t;
    json_t *environment = wh_environment(NULL);
    part_row part[N_PARTS];
    find_parts(part);
    cpu_features(&features);
    wh_text_addf(&text, "weft %s\n", WEFT_VERSION);
    wh_text_table_init(&t, "ll");
    machine_rows(&t, environment);
    add_pair(&t, "instructions", features.data ? features.data : "unknown");
    for (int i = 0; i < N_PARTS; i++) {
        wh_text_table_cell(&t, "%s %s", part[i].kind, part[i].name);
        wh_text_table_cell(&t, "%s", part[i].text);
    }
    wh_text_table_add(&text, &t, "  ");
    wh_text_table_fini(&t);
    wh_text_free(&features);
    json_decref(environment);
    if (model) {
        wh_text_addf(&text, "\n");
        wh_model_summary_text(&text, model);
    }
    return wh_output_text(&text, err);
}

static weft_status print_json(const wh_model_summary *model, weft_error *err) {
    wh_text features = {0};
    cpu_features(&features);
    json_t *root =
        json_pack("{s:s, s:s, s:o}", "weft_version", WEFT_VERSION, "cpu_features",
                  features.data ? features.data : "", "environment", wh_environment(NULL));
    wh_text_free(&features);
    part_row row[N_PARTS];
    find_parts(row);
    json_t *backends = json_object(), *exchanges = json_object();
    for (int i = 0; i < N_PARTS; i++) {
        const bool is_backend = strcmp(row[i].kind, "backend") == 0;
        (void)json_object_set_new(is_backend ? backends : exchanges, row[i].name,
                                  json_string(row[i].text));
    }
    bool fine = root && json_object_set(root, "backends", backends) == 0 &&
                json_object_set(root, "exchanges", exchanges) == 0;
    json_decref(backends);
    json_decref(exchanges);
    if (fine && (!model || json_object_set_new(root, "model", wh_model_summary_json(model)) == 0)) {
        return wh_output_json(root, err);
    }
    json_decref(root);
    return wh_output_json(NULL, err);
}

static weft_status run(const wh_cli *cli, weft_error *err) {
    wh_model_folder *folder = NULL;
    wh_model_summary *model = NULL;
    weft_status st = WEFT_OK;
    if (cli->n_words) {
        WEFT_TRY(wh_model_folder_open(&folder, cli->word[0], true, err));
        WEFT_TRY_GOTO(st, wh_model_summary_build(&model, folder, err), out);
    }
    st = cli->json ? print_json(model, err) : print_text(model, err);
out:
    wh_model_summary_free(model);
    wh_model_folder_close(folder);
    return st;
}

const wh_verb wh_verb_info = {
    .name = "info",
    .words = "[MODEL]",
    .summary = "describe this program, this machine, and a model folder",
    .details =
        "Version and build, processor and memory, the backends and what can carry exchanges of\n"
        "ranks, and why one is missing. With a model folder: its architecture, its parameters and\n"
        "the linear layers that lora.target_modules can name.",
    .example = "weft info\n"
               "weft info models/all-minilm-l6-v2",
    .max_words = 1,
    .flags = WH_FLAG_FORMAT,
    .run = run,
};
