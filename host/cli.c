#include "host/cli.h"

#include "host/names.h"
#include "host/number.h"

#include <string.h>

typedef struct flag_row {
    unsigned bit; /* 0: every verb has it */
    const char *name;
    char letter;         /* 0: none */
    const char *operand; /* NULL: takes none */
    const char *help;
} flag_row;

/* The order is the order of the help texts. */
static const flag_row FLAGS[] = {
    {WH_FLAG_SET, "--set", 0, "KEY=VALUE", "set an option; the same as the plain word key=value"},
    {WH_FLAG_DRY_RUN, "--dry-run", 0, NULL, "check everything and print the plan; train nothing"},
    {WH_FLAG_RESUME, "--resume", 0, "auto|PATH",
     "go on from a checkpoint: auto: of run.name, or begin when there is none"},
    {WH_FLAG_RANKS, "--ranks", 0, "N",
     "train with N processes on this host; default: one, or one for each GPU"},
    {WH_FLAG_ADAPTER, "--adapter", 0, "PATH", "PEFT adapter folder to use"},
    {WH_FLAG_SPLIT, "--split", 0, "NAME", "rows to evaluate: test (default) or train"},
    {WH_FLAG_PREDICTIONS, "--predictions", 0, "FILE",
     "write one JSON line per row: row, label, logits"},
    {WH_FLAG_OUTPUT, "--output", 'o', "FILE", "where to write"},
    {WH_FLAG_PLOT, "--plot", 0, "FILE.html", "also draw it, as one page that needs nothing else"},
    {WH_FLAG_MARKDOWN, "--markdown", 0, NULL, "print the reference page of all options"},
    {WH_FLAG_POINTS, "--count", 0, NULL, "print the number of points"},
    {WH_FLAG_POINTS, "--list", 0, NULL, "print what each point sets, one line a point"},
    {WH_FLAG_POINTS, "--task", 0, "N", "run point N alone, from 0: an index of a Slurm array"},
    {WH_FLAG_POINTS, "--collect", 0, NULL, "run nothing, print the table of the runs there are"},
    {WH_FLAG_FORMAT, "--format", 0, "text|json", "how to print the result; default text"},
    {WH_FLAG_QUIET, "--quiet", 'q', NULL, "no log and no progress on stderr, only errors"},
    {WH_FLAG_NO_PROGRESS, "--no-progress", 0, NULL, "no live progress line"},
    {0, "--help", 'h', NULL, "this text"},
};
/* What weft slurm alone has; listed before the others. */
static const flag_row SLURM[WH_SLURM_FLAGS] = {
#define ROW(name, operand, help)                                                                   \
    { WH_FLAG_SLURM, name, 0, operand, help }
    [WH_SLURM_NODES] = ROW("--nodes", "N", "nodes; default 1"),
    [WH_SLURM_GPUS] = ROW("--gpus-per-node", "N",
                          "GPUs of each node, with a task for each; default 0: a task on the CPU"),
    [WH_SLURM_CPUS] =
        ROW("--cpus-per-task", "N", "cores of a task, and its threads; default run.threads, or 4"),
    [WH_SLURM_MEM] =
        ROW("--mem", "SIZE", "memory of each node, such as 16G; default: the cluster's"),
    [WH_SLURM_TIME] =
        ROW("--time", "LIMIT", "minutes, H:M:S, D-H or D-H:M:S; default: the partition's limit"),
    [WH_SLURM_PARTITION] = ROW("--partition", "NAME", "where to queue; default: the cluster's"),
    [WH_SLURM_ACCOUNT] = ROW("--account", "NAME", "who pays; default: yours"),
    [WH_SLURM_NAME] = ROW("--name", "NAME", "of the job; default run.name, or the job file's"),
    [WH_SLURM_SIGNAL] = ROW("--signal-seconds", "N",
                            "how long before the time limit to stop and save; default 120"),
    [WH_SLURM_ARRAY] =
        ROW("--array", "N[%MOST]", "an array over the N tasks of weft sweep, MOST at a time"),
    [WH_SLURM_WEFT] = ROW("--weft", "PATH", "the program on the nodes; default: this one"),
#undef ROW
};
enum {
    N_FLAGS = WH_SLURM_FLAGS + (int)(sizeof FLAGS / sizeof FLAGS[0]),
    MAX_LISTED = 32,
};

static const flag_row *flag_at(int i) {
    return i < WH_SLURM_FLAGS ? &SLURM[i] : &FLAGS[i - WH_SLURM_FLAGS];
}

static bool flag_allowed(const flag_row *row, const wh_verb *verb) {
    return row->bit == 0 || (verb && (verb->flags & row->bit));
}

static const wh_verb *verb_find(const wh_verb *const *verbs, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(verbs[i]->name, name) == 0) return verbs[i];
    }
    return NULL;
}

static weft_status fail_verb(const wh_verb *const *verbs, size_t n, const char *name,
                             weft_error *err) {
    const char *list[MAX_LISTED];
    size_t listed = 0;
    for (; listed < n && listed < MAX_LISTED; listed++) list[listed] = verbs[listed]->name;
    const char *nearest = wh_nearest(name, list, listed);
    if (nearest) {
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "unknown command '%.80s'; did you mean '%s'? (weft help)", name, nearest);
    }
    return WEFT_FAIL(err, WEFT_E_CONFIG, "unknown command '%.80s'; weft help lists the commands",
                     name);
}

static weft_status fail_flag(const wh_verb *verb, const char *word, size_t length,
                             weft_error *err) {
    char name[64];
    if (length > sizeof name - 1) length = sizeof name - 1;
    memcpy(name, word, length);
    name[length] = '\0';
    const char *verb_name = verb ? verb->name : "help";
    const char *list[N_FLAGS];
    size_t listed = 0;
    for (int i = 0; i < N_FLAGS; i++) {
        if (strcmp(flag_at(i)->name, name) == 0) {
            return WEFT_FAIL(err, WEFT_E_CONFIG, "'%s' has no flag %s (weft %s -h)", verb_name,
                             name, verb_name);
        }
        if (flag_allowed(flag_at(i), verb)) list[listed++] = flag_at(i)->name;
    }
    const char *nearest = wh_nearest(name, list, listed);
    if (nearest) {
        return WEFT_FAIL(err, WEFT_E_CONFIG, "unknown flag %s; did you mean %s? (weft %s -h)", name,
                         nearest, verb_name);
    }
    return WEFT_FAIL(err, WEFT_E_CONFIG, "unknown flag %s (weft %s -h)", name, verb_name);
}

/* Length of the key when the word has the form key=value, else 0. A path like a/b=c is no key. */
static size_t assignment(const char *word) {
    size_t n = 0;
    for (; word[n] && word[n] != '='; n++) {
        char c = word[n];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool later = (c >= '0' && c <= '9') || c == '.' || c == '-';
        if (!letter && !(n > 0 && later)) return 0;
    }
    return word[n] == '=' ? n : 0;
}

static weft_status add_set(wh_cli *cli, const char *word, weft_error *err) {
    size_t n = assignment(word);
    if (n == 0) return WEFT_FAIL(err, WEFT_E_CONFIG, "'%.80s' is not of the form key=value", word);
    if (!(cli->verb->flags & WH_FLAG_SET)) {
        return WEFT_FAIL(err, WEFT_E_CONFIG, "'%s' takes no options, got '%.80s'", cli->verb->name,
                         word);
    }
    if (n >= WH_CLI_MAX_KEY || cli->n_sets == WH_CLI_MAX_SETS) {
        return WEFT_FAIL(err, WEFT_E_CONFIG, "too long or too many options at '%.80s'", word);
    }
    wh_cli_set *set = &cli->set[cli->n_sets++];
    memcpy(set->key, word, n);
    set->key[n] = '\0';
    set->value = word + n + 1;
    return WEFT_OK;
}

static weft_status add_word(wh_cli *cli, const char *word, weft_error *err) {
    if (word[0] == '\0') {
        return WEFT_FAIL(err, WEFT_E_CONFIG, "empty argument (an unset shell variable?)");
    }
    int max = cli->verb->max_words < WH_CLI_MAX_WORDS ? cli->verb->max_words : WH_CLI_MAX_WORDS;
    if (cli->n_words >= max) {
        return WEFT_FAIL(err, WEFT_E_CONFIG, "'%s' takes at most %d argument%s, got '%.80s' too",
                         cli->verb->name, max, max == 1 ? "" : "s", word);
    }
    cli->word[cli->n_words++] = word;
    return WEFT_OK;
}

/* What weft sweep is to do: one of four, --task with a value. */
static weft_status apply_points(wh_cli *cli, const char *name, const char *value, weft_error *err) {
    if (cli->count || cli->list || cli->collect || cli->task >= 0) {
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "%s: of --count, --list, --task and --collect take one", name);
    }
    cli->count = strcmp(name, "--count") == 0;
    cli->list = strcmp(name, "--list") == 0;
    cli->collect = strcmp(name, "--collect") == 0;
    if (!value) return WEFT_OK;
    if (wh_parse_int64(value, &cli->task) != WH_NUMBER_OK || cli->task < 0) {
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "--task takes the number of a point, from 0, got '%.80s'", value);
    }
    return WEFT_OK;
}

static weft_status apply_flag(wh_cli *cli, const flag_row *row, const char *value,
                              weft_error *err) {
    switch ((wh_flag)row->bit) {
    case WH_FLAG_SET:
        return add_set(cli, value, err);
    case WH_FLAG_DRY_RUN:
        cli->dry_run = true;
        break;
    case WH_FLAG_QUIET:
        cli->quiet = true;
        break;
    case WH_FLAG_NO_PROGRESS:
        cli->no_progress = true;
        break;
    case WH_FLAG_MARKDOWN:
        cli->markdown = true;
        break;
    case WH_FLAG_POINTS:
        return apply_points(cli, row->name, value, err);
    case WH_FLAG_RANKS:
        if (wh_parse_int64(value, &cli->ranks) == WH_NUMBER_OK && cli->ranks >= 1 &&
            cli->ranks <= WEFT_MAX_RANKS)
            break;
        return WEFT_FAIL(err, WEFT_E_CONFIG, "--ranks takes a number from 1 to %d, got '%.80s'",
                         WEFT_MAX_RANKS, value);
    case WH_FLAG_PREDICTIONS:
        cli->predictions = value;
        break;
    case WH_FLAG_ADAPTER:
        cli->adapter = value;
        break;
    case WH_FLAG_OUTPUT:
        cli->output = value;
        break;
    case WH_FLAG_RESUME:
        cli->resume = value;
        break;
    case WH_FLAG_PLOT:
        cli->plot = value;
        break;
    case WH_FLAG_SLURM:
        cli->slurm[row - SLURM] = value;
        break;
    case WH_FLAG_FORMAT:
        if (strcmp(value, "text") != 0 && strcmp(value, "json") != 0) {
            return WEFT_FAIL(err, WEFT_E_CONFIG, "--format takes text or json, got '%.80s'", value);
        }
        cli->json = value[0] == 'j';
        break;
    case WH_FLAG_SPLIT:
        if (strcmp(value, "test") != 0 && strcmp(value, "train") != 0) {
            return WEFT_FAIL(err, WEFT_E_CONFIG, "--split takes test or train, got '%.80s'", value);
        }
        cli->split = strcmp(value, "train") == 0 ? WEFT_SPLIT_TRAIN : WEFT_SPLIT_TEST;
        break;
    default:
        cli->action = WH_CLI_HELP;
        break; /* --help has no bit */
    }
    return WEFT_OK;
}

/* A word that starts with '-'; *i moves on when the flag's value is the next word. */
static weft_status parse_flag(wh_cli *cli, int argc, const char *const *argv, int *i,
                              weft_error *err) {
    const char *word = argv[*i];
    bool is_long = word[1] == '-';
    size_t length = is_long ? strcspn(word, "=") : strlen(word);
    const flag_row *row = NULL;
    for (int f = 0; f < N_FLAGS && !row; f++) {
        const flag_row *at = flag_at(f);
        bool same = is_long ? strlen(at->name) == length && strncmp(at->name, word, length) == 0
                            : length == 2 && at->letter && at->letter == word[1];
        if (same && flag_allowed(at, cli->verb)) row = at;
    }
    if (!row) return fail_flag(cli->verb, word, length, err);
    const char *value = is_long && word[length] == '=' ? word + length + 1 : NULL;
    if (!row->operand && value) {
        return WEFT_FAIL(err, WEFT_E_CONFIG, "%s takes no value, got '%.80s'", row->name, value);
    }
    if (row->operand && !value) {
        if (*i + 1 >= argc || !argv[*i + 1]) {
            return WEFT_FAIL(err, WEFT_E_CONFIG, "%s needs a value: %s %s", row->name, row->name,
                             row->operand);
        }
        value = argv[++*i];
    }
    if (row->operand && value[0] == '\0') {
        return WEFT_FAIL(err, WEFT_E_CONFIG, "%s got an empty value", row->name);
    }
    return apply_flag(cli, row, value, err);
}

weft_status wh_cli_parse(wh_cli *out, const wh_verb *const *verbs, size_t n_verbs, int argc,
                         const char *const *argv, weft_error *err) {
    memset(out, 0, sizeof *out);
    out->split = WEFT_SPLIT_TEST;
    out->task = -1;
    if (argc < 1) {
        return WEFT_FAIL(err, WEFT_E_CONFIG, "no command given; weft help lists the commands");
    }
    const char *name = argv[0];
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        out->action = WH_CLI_VERSION;
        return WEFT_OK;
    }
    bool is_help = strcmp(name, "help") == 0;
    if (is_help || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        out->action = WH_CLI_HELP;
        if (!is_help || argc < 2 || argv[1][0] == '-') return WEFT_OK;
        out->verb = verb_find(verbs, n_verbs, argv[1]);
        return out->verb ? WEFT_OK : fail_verb(verbs, n_verbs, argv[1], err);
    }
    out->verb = verb_find(verbs, n_verbs, name);
    if (!out->verb) return fail_verb(verbs, n_verbs, name, err);

    bool only_words = false; /* after "--" */
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
        } else if (!only_words && word[0] == '-' && word[1]) {
            WEFT_TRY(parse_flag(out, argc, argv, &i, err));
            if (out->action == WH_CLI_HELP) return WEFT_OK;
        } else if (!only_words && assignment(word)) {
            WEFT_TRY(add_set(out, word, err));
        } else {
            WEFT_TRY(add_word(out, word, err));
        }
    }
    if (out->n_words < out->verb->min_words) {
        return WEFT_FAIL(err, WEFT_E_CONFIG, "'%s' needs %s (weft %s -h)", name, out->verb->words,
                         name);
    }
    return WEFT_OK;
}

/* ---- help ---- */

static void print_indented(FILE *to, const char *text) {
    while (*text) {
        size_t n = strcspn(text, "\n");
        fprintf(to, "  %.*s\n", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

void wh_cli_print_overview(FILE *to, const wh_verb *const *verbs, size_t n_verbs) {
    fprintf(to,
            "weft %s: federated LoRA fine-tuning of frozen transformers\n\n"
            "usage: weft <command> [job.yaml] [key=value ...] [flags]\n\ncommands:\n",
            WEFT_VERSION);
    for (size_t i = 0; i < n_verbs; i++) {
        fprintf(to, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
    }
    fprintf(to, "  %-10s %s\n\n", "help", "this text, or the help of one command");
    fputs("Options are dotted keys (weft config lists them). A job file sets them, key=value on\n"
          "the command line wins over it, and WEFT_<SECTION>_<KEY> in the environment (such as\n"
          "WEFT_RUN_THREADS) is the weakest source. Results go to stdout, log and progress to\n"
          "stderr.\n\n"
          "exit codes: 0 ok, 1 a bug in weft, 2 usage or configuration, 3 model or data,\n"
          "4 out of memory, 5 diverged, 6 device, 7 resume mismatch, 8 output cannot be written,\n"
          "75 training stopped by a signal with a good checkpoint, 130/143 another command "
          "stopped\n\n"
          "weft <command> -h says more; weft --version prints the version.\n",
          to);
}

void wh_cli_print_verb(FILE *to, const wh_verb *verb) {
    fprintf(to, "usage: weft %s%s%s%s [flags]\n\n", verb->name, verb->words[0] ? " " : "",
            verb->words, verb->flags & WH_FLAG_SET ? " [key=value ...]" : "");
    print_indented(to, verb->details);
    fputs("\nflags:\n", to);
    for (int i = 0; i < N_FLAGS; i++) {
        const flag_row *row = flag_at(i);
        if (!flag_allowed(row, verb)) continue;
        char left[48];
        char letter[5] = "";
        if (row->letter) (void)snprintf(letter, sizeof letter, "-%c, ", row->letter);
        (void)snprintf(left, sizeof left, "%s%s%s%s", letter, row->name, row->operand ? " " : "",
                       row->operand ? row->operand : "");
        fprintf(to, "  %-20s %s\n", left, row->help);
    }
    fputs("\nexample:\n", to);
    print_indented(to, verb->example);
}
