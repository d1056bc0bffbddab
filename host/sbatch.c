#include "host/sbatch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

/* ---- reading the flags ---- */

static weft_status read_count(int64_t *out, const char *flag, const char *text, int64_t preset,
                              int64_t min, int64_t max, weft_error *err) {
    *out = preset;
    if (!text) return WEFT_OK;
    if (wh_parse_int64(text, out) == WH_NUMBER_OK && *out >= min && *out <= max) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_CONFIG,
                     "%s takes a whole number from %" PRId64 " to %" PRId64 ", got '%.80s'", flag,
                     min, max, text);
}

/* Words that stand behind #SBATCH, where no shell takes quotes away. */
static weft_status check_word(const char *flag, const char *text, const char *also,
                              weft_error *err) {
    const char *c = text ? text : "";
    while (*c && (strchr(LETTERS DIGITS, *c) || strchr(also, *c))) c++;
    if (!*c) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_CONFIG, "%s takes letters, digits and %s, got '%.80s'", flag, also,
                     text);
}

/* A number of at most 9 digits; moves *at behind it. */
static bool number(const char **at, int64_t *out) {
    size_t n = strspn(*at, DIGITS);
    if (n == 0 || n > 9) return false;
    *out = 0;
    for (; n; n--) *out = *out * 10 + (*(*at)++ - '0');
    return true;
}

int64_t wh_sbatch_seconds(const char *limit) {
    enum { DAY = 86400, HOUR = 3600, MINUTE = 60 };
    int64_t part[3] = {0}, days = 0;
    const char *at = limit;
    bool has_days = strchr(limit, '-') != NULL;
    if (has_days && (!number(&at, &days) || *at++ != '-')) return -1;
    int n = 0;
    do {
        if (n == 3 || !number(&at, &part[n++])) return -1;
    } while (*at == ':' && *at++);
    if (*at) return -1;
    if (has_days) return days * DAY + part[0] * HOUR + part[1] * MINUTE + part[2];
    if (n == 1) return part[0] * MINUTE;
    if (n == 2) return part[0] * MINUTE + part[1];
    return part[0] * HOUR + part[1] * MINUTE + part[2];
}

static weft_status read_time(wh_sbatch *s, weft_error *err) {
    if (!s->time) return WEFT_OK;
    int64_t seconds = wh_sbatch_seconds(s->time);
    if (seconds < 0) {
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "--time takes minutes, M:S, H:M:S, D-H, D-H:M or D-H:M:S, got '%.80s'",
                         s->time);
    }
    if (seconds <= s->signal_seconds) {
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "--time %.40s is no longer than the %" PRId64
                         " s before its end at which the run stops and saves; raise it or lower "
                         "--signal-seconds",
                         s->time, s->signal_seconds);
    }
    return WEFT_OK;
}

static weft_status check_mem(const char *mem, weft_error *err) {
    int64_t size;
    const char *at = mem;
    if (!mem || (number(&at, &size) && (!*at || (strchr("KMGT", *at) && !at[1])))) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_CONFIG, "--mem takes a number with K, M, G or T, got '%.80s'",
                     mem);
}

/* "8" or "8%2". */
static weft_status read_array(wh_sbatch *s, const char *text, weft_error *err) {
    if (!text) return WEFT_OK;
    const char *at = text;
    if (number(&at, &s->array) && s->array > 0 &&
        (!*at || (*at++ == '%' && number(&at, &s->array_most) && s->array_most > 0 && !*at)))
        return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_CONFIG,
                     "--array takes the number of tasks (weft sweep job.yaml --count), and %%M for "
                     "at most M at a time, got '%.80s'",
                     text);
}

/* A run that waits in a queue should not learn there that it asked for the wrong node. */
static weft_status check_device(const wh_sbatch *s, const char *device, weft_error *err) {
    bool cuda = strncmp(device, "cuda", 4) == 0, cpu = !cuda && strcmp(device, "auto") != 0;
    if (s->gpus > 0 && cpu) {
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "--gpus-per-node asks for GPUs, but run.device is %.40s", device);
    }
    if (s->gpus > 0 && cuda && strcmp(device, "cuda") != 0 && strcmp(device, "cuda:0") != 0) {
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "run.device is %.40s, but each task takes the GPU of its number on the "
                         "node; write cuda",
                         device);
    }
    if (s->gpus == 0 && cuda) {
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "run.device is %.40s, but no GPU is asked for; add --gpus-per-node 1",
                         device);
    }
    return WEFT_OK;
}

/* The job file without folder and suffix. */
static char *job_stem(const char *path) {
    const char *slash = strrchr(path, '/');
    const char *file = slash ? slash + 1 : path;
    const char *dot = strrchr(file, '.');
    return dot && dot > file ? strndup(file, (size_t)(dot - file)) : strdup(file);
}

/* %x of --output is the job's name, so it must be a plain file name, and quotes would stay. */
static void make_plain(char *name) {
    for (; *name; name++) {
        if (!strchr(LETTERS DIGITS "._-", *name)) *name = '_';
    }
}

static weft_status read_names(wh_sbatch *s, const char *run_name, const char *given,
                              weft_error *err) {
    WEFT_TRY(check_word("--name", given, "._-", err));
    s->run_name = run_name[0] ? strdup(run_name) : given ? strdup(given) : job_stem(s->job);
    const char *name = given ? given : s->run_name;
    s->name = name ? strdup(name) : NULL;
    if (!s->name) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while naming the job");
    make_plain(s->name);
    return WEFT_OK;
}

static weft_status read_flags(wh_sbatch *s, const wh_cli *cli, const weft_config *config,
                              weft_error *err) {
    enum { MOST_NODES = 65536, MOST_GPUS = 64, MOST_CPUS = 1024, MOST_SIGNAL = 65535, CPUS = 4 };
    const char *const *flag = cli->slurm;
    int64_t threads = weft_config_int(config, "run.threads");
    WEFT_TRY(read_count(&s->nodes, "--nodes", flag[WH_SLURM_NODES], 1, 1, MOST_NODES, err));
    WEFT_TRY(read_count(&s->gpus, "--gpus-per-node", flag[WH_SLURM_GPUS], 0, 0, MOST_GPUS, err));
    WEFT_TRY(read_count(&s->cpus, "--cpus-per-task", flag[WH_SLURM_CPUS], threads ? threads : CPUS,
                        1, MOST_CPUS, err));
    WEFT_TRY(read_count(&s->signal_seconds, "--signal-seconds", flag[WH_SLURM_SIGNAL], 120, 1,
                        MOST_SIGNAL, err));
    WEFT_TRY(read_array(s, flag[WH_SLURM_ARRAY], err));
    WEFT_TRY(read_time(s, err));
    WEFT_TRY(check_mem(s->mem, err));
    WEFT_TRY(check_word("--partition", s->partition, "._-,", err));
    WEFT_TRY(check_word("--account", s->account, "._-", err));
    WEFT_TRY(check_device(s, weft_config_text(config, "run.device"), err));
    return read_names(s, weft_config_text(config, "run.name"), flag[WH_SLURM_NAME], err);
}

weft_status wh_sbatch_read(wh_sbatch *out, const wh_cli *cli, const weft_config *config,
                           const char *program, weft_error *err) {
    const char *const *flag = cli->slurm;
    *out = (wh_sbatch){.job = cli->word[0],
                       .weft = flag[WH_SLURM_WEFT] ? flag[WH_SLURM_WEFT] : program,
                       .time = flag[WH_SLURM_TIME],
                       .mem = flag[WH_SLURM_MEM],
                       .partition = flag[WH_SLURM_PARTITION],
                       .account = flag[WH_SLURM_ACCOUNT],
                       .set = cli->set,
                       .n_sets = cli->n_sets};
    weft_status st = read_flags(out, cli, config, err);
    if (st != WEFT_OK) wh_sbatch_free(out);
    return st;
}

void wh_sbatch_free(wh_sbatch *sbatch) {
    free(sbatch->run_name);
    free(sbatch->name);
    *sbatch = (wh_sbatch){0};
}

/* ---- the script ---- */

static void add_text(wh_text *text, const char *option, const char *value) {
    if (value) wh_text_addf(text, "#SBATCH --%s=%s\n", option, value);
}

static void add_count(wh_text *text, const char *option, int64_t value) {
    wh_text_addf(text, "#SBATCH --%s=%" PRId64 "\n", option, value);
}

static void add_header(wh_text *text, const wh_sbatch *s) {
    wh_text_add(text, "#!/bin/sh\n");
    add_text(text, "job-name", s->name);
    add_text(text, "output", s->array ? "%x-%A_%a.out" : "%x-%j.out");
    wh_text_add(text, "#SBATCH --open-mode=append\n"); /* a restart must not wipe the file */
    if (s->array) {
        wh_text_addf(text, "#SBATCH --array=0-%" PRId64, s->array - 1);
        if (s->array_most) wh_text_addf(text, "%%%" PRId64, s->array_most);
        wh_text_add(text, "\n");
    }
    add_count(text, "nodes", s->nodes);
    add_count(text, "ntasks-per-node", s->gpus ? s->gpus : 1);
    /* Not one for each task: what a task cannot see it cannot exchange with directly. */
    if (s->gpus) add_count(text, "gpus-per-node", s->gpus);
    add_count(text, "cpus-per-task", s->cpus);
    add_text(text, "mem", s->mem);
    add_text(text, "time", s->time);
    add_text(text, "partition", s->partition);
    add_text(text, "account", s->account);
    wh_text_addf(text, "#SBATCH --requeue\n#SBATCH --signal=USR1@%" PRId64 "\n", s->signal_seconds);
}

/* A word that begins with '-' would be a flag. */
static void add_path(wh_text *text, const char *path) {
    wh_text whole = {0};
    wh_text_addf(&whole, "%s%s", path[0] == '-' ? "./" : "", path);
    if (whole.failed) text->failed = true;
    if (!whole.failed) wh_text_add_shell_word(text, whole.data);
    wh_text_free(&whole);
}

static void add_set(wh_text *text, const char *key, const char *value) {
    wh_text whole = {0};
    wh_text_addf(&whole, "%s=%s", key, value);
    if (whole.failed) text->failed = true;
    wh_text_add(text, " ");
    if (!whole.failed) wh_text_add_shell_word(text, whole.data);
    wh_text_free(&whole);
}

static void add_command(wh_text *text, const wh_sbatch *s) {
    const bool ranks = s->nodes > 1 || s->gpus > 1;
    /* srun does not take over --cpus-per-task from sbatch, from Slurm 22.05 on. */
    wh_text_add(text, "srun --cpus-per-task=\"$SLURM_CPUS_PER_TASK\"");
    /* Ranks that stop do not end at the same instant, and none may be killed over its checkpoint;
     * but when one has died the others must not wait for it until the time limit. */
    if (ranks) wh_text_add(text, " --kill-on-bad-exit=0 --wait=60");
    wh_text_add(text, " \\\n    ");
    add_path(text, s->weft);
    wh_text_add(text, s->array ? " sweep " : " train ");
    add_path(text, s->job);
    for (int i = 0; i < s->n_sets; i++) add_set(text, s->set[i].key, s->set[i].value);
    wh_text_add(text, " \\\n   ");
    if (!s->array) add_set(text, "run.name", s->run_name);
    wh_text_add(text, " run.threads=\"$SLURM_CPUS_PER_TASK\"");
    if (s->gpus) wh_text_add(text, " run.device=cuda"); /* fail rather than use the CPU */
    /* A task of a sweep has a folder of its own, where it goes on by itself. */
    wh_text_add(text, s->array ? " --task \"$SLURM_ARRAY_TASK_ID\"" : " --resume auto");
    wh_text_add(text, " || code=$?\n");
}

void wh_sbatch_write(wh_text *text, const wh_sbatch *s) {
    add_header(text, s);
    wh_text_addf(
        text,
        "\n# Written by weft slurm; submit it with sbatch from the folder that the paths below "
        "are\n"
        "# relative to.\n"
        "#\n"
        "# %" PRId64 " s before the time limit Slurm sends USR1 to the program, which saves a\n"
        "# checkpoint and ends with exit code 75. This script then puts itself back into the "
        "queue\n"
        "# and, started again, goes on from there. Any other exit code is that of the job.\n\n",
        s->signal_seconds);
    /* In an array the job id of the last task is that of the whole array. */
    wh_text_add(text, s->array ? "id=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID\n"
                               : "id=$SLURM_JOB_ID\n");
    wh_text_add(text, "code=0\n"
                      "trap : TERM # scancel and preemption reach this shell too: let the program "
                      "save first\n");
    add_command(text, s);
    wh_text_add(
        text,
        "\n# A job that was cancelled, or that Slurm itself requeues, is no longer RUNNING here.\n"
        "if [ \"$code\" = 75 ] && scontrol show job --oneliner \"$id\" | grep -q "
        "' JobState=RUNNING '; then\n"
        "    echo \"stopped with a good checkpoint: job $id goes back into the queue\"\n"
        "    scontrol requeue \"$id\"\n"
        "fi\n"
        "exit \"$code\"\n");
}
