/* Arguments of the program: `weft <verb> [words] [key=value …] [flags]`.
 *
 * The parser is pure: it looks at the words and a table of verbs, opens nothing and prints nothing.
 * Every verb is one wh_verb, defined in its cmd_<verb>.c and listed in verbs.c; help texts are made
 * from the same tables that the parser reads, so they cannot disagree. */
#ifndef WEFT_HOST_CLI_H
#define WEFT_HOST_CLI_H

#include "engine/weft.h"

#include <stdio.h>

#define WH_CLI_MAX_WORDS 64  /* positional words, e.g. runs to compare */
#define WH_CLI_MAX_SETS  256 /* key=value */
#define WH_CLI_MAX_KEY   96

/* Flags, as bits of wh_verb.flags. --help is understood by every verb. */
typedef enum wh_flag {
    WH_FLAG_SET = 1 << 0,
    WH_FLAG_DRY_RUN = 1 << 1,
    WH_FLAG_FORMAT = 1 << 2,
    WH_FLAG_QUIET = 1 << 3,
    WH_FLAG_NO_PROGRESS = 1 << 4,
    WH_FLAG_SPLIT = 1 << 5,
    WH_FLAG_PREDICTIONS = 1 << 6,
    WH_FLAG_ADAPTER = 1 << 7,
    WH_FLAG_OUTPUT = 1 << 8,
    WH_FLAG_MARKDOWN = 1 << 9,
    WH_FLAG_RESUME = 1 << 10,
    WH_FLAG_PLOT = 1 << 11,
    WH_FLAG_SLURM = 1 << 12,  /* all of wh_slurm_flag */
    WH_FLAG_POINTS = 1 << 13, /* --count, --list, --task, --collect */
    WH_FLAG_RANKS = 1 << 14,
} wh_flag;

/* What `weft slurm` asks of the cluster: flags under one bit, whose values are kept as text and
 * read by sbatch.c. */
typedef enum wh_slurm_flag {
    WH_SLURM_NAME,
    WH_SLURM_NODES,
    WH_SLURM_GPUS,
    WH_SLURM_CPUS,
    WH_SLURM_MEM,
    WH_SLURM_TIME,
    WH_SLURM_PARTITION,
    WH_SLURM_ACCOUNT,
    WH_SLURM_SIGNAL,
    WH_SLURM_ARRAY,
    WH_SLURM_WEFT,
    WH_SLURM_FLAGS, /* how many */
} wh_slurm_flag;

typedef struct wh_cli_set {
    char key[WH_CLI_MAX_KEY];
    const char *value; /* borrowed from argv */
} wh_cli_set;

typedef struct wh_verb wh_verb;

typedef enum wh_cli_action {
    WH_CLI_RUN = 0,  /* run cli->verb */
    WH_CLI_HELP = 1, /* help of cli->verb; of the program when it is NULL */
    WH_CLI_VERSION = 2,
} wh_cli_action;

typedef struct wh_cli {
    int argc; /* the whole command, for command.txt; filled by main */
    char *const *argv;
    wh_cli_action action;
    const wh_verb *verb;
    const char *word[WH_CLI_MAX_WORDS]; /* borrowed from argv */
    int n_words;
    wh_cli_set set[WH_CLI_MAX_SETS];
    int n_sets;
    bool dry_run, json, quiet, no_progress, markdown;
    weft_split split;        /* --split; WEFT_SPLIT_TEST when absent */
    const char *predictions; /* NULL when absent, as those below */
    const char *adapter;
    const char *output;
    const char *plot;
    const char *resume; /* "auto" or a path */
    const char *slurm[WH_SLURM_FLAGS];
    bool count, list, collect;
    int64_t task;  /* --task; -1 when absent */
    int64_t ranks; /* --ranks; 0 when absent */
} wh_cli;

struct wh_verb {
    const char *name;
    const char *words;   /* synopsis of the positional words, "[job.yaml]" */
    const char *summary; /* one line, lower case, no full stop */
    const char *details; /* paragraphs for -h */
    const char *example; /* command lines, one a line */
    int min_words, max_words;
    unsigned flags; /* of wh_flag */
    bool goes_on;   /* stopped by a signal it can be resumed: its exit code says so */
    weft_status (*run)(const wh_cli *cli, weft_error *err);
};

/* Parse argv without the program's name. WEFT_E_CONFIG (usage): unknown verb or flag, named with
 * the nearest known one; too few or too many words; a flag without its value. *out is large: give
 * it static or heap storage. `argv` must outlive it. */
WEFT_NODISCARD weft_status wh_cli_parse(wh_cli *out, const wh_verb *const *verbs, size_t n_verbs,
                                        int argc, const char *const *argv, weft_error *err);

/* What `weft help` and `weft <verb> -h` say. */
void wh_cli_print_overview(FILE *to, const wh_verb *const *verbs, size_t n_verbs);
void wh_cli_print_verb(FILE *to, const wh_verb *verb);

#endif
