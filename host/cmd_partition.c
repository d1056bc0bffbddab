/* weft partition: split the training rows over the clients, show the split, save it. */
#include "host/job.h"
#include "host/output.h"
#include "host/partition_file.h"
#include "host/partition_note.h"
#include "host/verbs.h"

/* Rows of each client; label counts stay in the file that -o writes. */
static json_t *sizes_json(const wh_job *job) {
    const weft_partition *p = job->partition;
    json_t *rows = json_array();
    for (int32_t c = 0; c < p->n_clients; c++) {
        if (json_array_append_new(rows, json_integer(p->offset[c + 1] - p->offset[c])) != 0) {
            json_decref(rows);
            return NULL;
        }
    }
    return json_pack("{s:s, s:i, s:I, s:o}", "kind",
                     weft_config_text(job->config, "partition.kind"), "num_clients", p->n_clients,
                     "train_rows", (json_int_t)job->train.rows.n_rows, "rows_per_client", rows);
}

static weft_status run(const wh_cli *cli, weft_error *err) {
    wh_job job;
    WEFT_TRY(wh_job_open(&job, cli->n_words ? cli->word[0] : NULL, cli, WH_JOB_TRAIN, err));
    weft_status st = WEFT_OK;
    if (cli->output) {
        wh_partition_note note = wh_partition_note_of(job.config);
        WEFT_TRY_GOTO(
            st, wh_partition_save(cli->output, job.partition, &job.train.rows, &note, err), out);
        wh_log_info(&job.log, "wrote %s", cli->output);
    }
    if (cli->json) {
        st = wh_output_json(sizes_json(&job), err);
    } else {
        st = wh_partition_print(stdout, job.partition, &job.train.rows,
                                weft_config_text(job.config, "partition.kind"), err);
    }
out:
    wh_job_close(&job);
    return st;
}

const wh_verb wh_verb_partition = {
    .name = "partition",
    .words = "[job.yaml]",
    .summary = "split the training rows over the clients, show and save the split",
    .details =
        "Draws the split that train would draw (partition.* and run.seed) and prints a small\n"
        "table. With --output it is saved; partition.file=FILE makes a job use it.",
    .example = "weft partition job.yaml partition.kind=dirichlet partition.alpha=0.1 -o split.json",
    .min_words = 0,
    .max_words = 1,
    .flags = WH_FLAG_SET | WH_FLAG_OUTPUT | WH_FLAG_FORMAT | WH_FLAG_QUIET,
    .run = run,
};
