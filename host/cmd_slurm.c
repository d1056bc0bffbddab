/* weft slurm: a job as a batch script for Slurm. */
#include "host/atomic_file.h"
#include "host/config_load.h"
#include "host/output.h"
#include "host/sbatch.h"
#include "host/verbs.h"

#include <limits.h>
#include <unistd.h>

/* This program's own path, since the nodes of a cluster may have no weft on PATH. */
static const char *own_path(char *out, size_t size) {
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    if (n <= 0 || (size_t)n == size - 1) return "weft";
    out[n] = '\0';
    return out;
}

static weft_status deliver(const wh_cli *cli, wh_text *text, weft_error *err) {
    if (!cli->output) return wh_output_text(text, err);
    weft_status st = wh_text_check(text, "the script", err);
    if (st == WEFT_OK) st = wh_file_write(cli->output, text->data, text->len, err);
    wh_text_free(text);
    return st;
}

static weft_status run(const wh_cli *cli, weft_error *err) {
    weft_config *config = NULL;
    WEFT_TRY(wh_config_load(&config, cli->word[0], cli, err));
    char path[PATH_MAX];
    wh_sbatch sbatch;
    weft_status st = wh_sbatch_read(&sbatch, cli, config, own_path(path, sizeof path), err);
    if (st == WEFT_OK) {
        wh_text text = {0};
        wh_sbatch_write(&text, &sbatch);
        st = deliver(cli, &text, err);
        wh_sbatch_free(&sbatch);
    }
    weft_config_free(config);
    return st;
}

const wh_verb wh_verb_slurm = {
    .name = "slurm",
    .words = "job.yaml",
    .summary = "write a batch script for Slurm that saves and requeues itself in time",
    .details =
        "Checks the job's options and prints a script for sbatch; the queue is not touched.\n"
        "Without flags: one task on the CPU. --gpus-per-node N: a task for each GPU. --nodes N:\n"
        "so many of these nodes. The tasks train together, each a part of the clients of a round.\n"
        "--array N: the tasks of weft sweep, each a job of its own.\n"
        "Shortly before the time limit the program is told to stop (USR1), saves a checkpoint and\n"
        "ends with 75; the script then requeues itself and goes on from there. Other exit codes\n"
        "are those of the job; scancel saves a checkpoint and ends it.\n"
        "A round must fit into the time limit: checkpoints are those of whole rounds.\n"
        "Paths stay as they are given: submit from this folder, on a file system that the nodes\n"
        "share. The options alone are checked; weft plan job.yaml checks model and rows too.",
    .example = "weft slurm job.yaml --time 4:00:00 --cpus-per-task 16 -o job.sbatch\n"
               "sbatch job.sbatch\n"
               "weft slurm job.yaml --gpus-per-node 1 --partition gpu --mem 32G | sbatch\n"
               "weft slurm job.yaml --nodes 2 --gpus-per-node 8 --time 1-0\n"
               "weft slurm job.yaml --array $(weft sweep job.yaml --count)%4",
    .min_words = 1,
    .max_words = 1,
    .flags = WH_FLAG_SET | WH_FLAG_OUTPUT | WH_FLAG_SLURM,
    .run = run,
};
