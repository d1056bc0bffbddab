/* weft eval: metrics of an adapter on the rows of a job. */
#include "host/atomic_file.h"
#include "host/interrupt.h"
#include "host/job.h"
#include "host/json_util.h"
#include "host/output.h"
#include "host/report.h"
#include "host/run_log.h"
#include "host/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Which configuration and which adapter the words name; both *owned*. */
typedef struct eval_paths {
    char *config, *adapter;
} eval_paths;

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static weft_status find_paths(eval_paths *out, const wh_cli *cli, weft_error *err) {
    const char *first = cli->word[0], *second = cli->n_words > 1 ? cli->word[1] : NULL;
    const char *config = second ? second : first, *adapter = cli->adapter;
    const char *run = NULL;
    if (is_folder(first)) {
        if (wh_folder_has(first, "config.resolved.yaml")) {
            run = first;
        } else if (!wh_folder_has(first, "adapter_config.json")) {
            return WEFT_FAIL(err, WEFT_E_DATA,
                             "%s: neither a run folder (config.resolved.yaml) nor an adapter "
                             "(adapter_config.json)",
                             first);
        } else if (!second) {
            return WEFT_FAIL(err, WEFT_E_CONFIG,
                             "an adapter folder needs a job: weft eval %s job.yaml", first);
        } else if (!adapter) {
            adapter = first;
        }
    } else if (access(first, F_OK) != 0) {
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: %s", first, strerror(errno));
    } else if (second) {
        return WEFT_FAIL(err, WEFT_E_CONFIG, "%s: not a folder; give a run or an adapter first",
                         first);
    } else if (!adapter) {
        return WEFT_FAIL(err, WEFT_E_CONFIG, "%s: which adapter? add --adapter PATH", first);
    }
    out->config = run && !second ? wh_path_join(run, "config.resolved.yaml") : strdup(config);
    out->adapter = run && !adapter ? wh_path_join(run, "adapter")
                   : adapter       ? strdup(adapter)
                                   : NULL;
    if (!out->config || !out->adapter)
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while opening %s", first);
    if (!wh_folder_has(out->adapter, "adapter_config.json")) {
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: no adapter there (adapter_config.json is missing)",
                         out->adapter);
    }
    return WEFT_OK;
}

/* ---- predictions ---- */

typedef struct predictions {
    wh_atomic_file *file;
    const weft_rows *rows;
    weft_status status; /* of the first failed line */
    weft_error err;
} predictions;

static int32_t largest(const float *logits, int32_t n) {
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++) {
        if (logits[i] > logits[best]) best = i;
    }
    return best;
}

static void write_row(void *ud, int64_t row, const float *logits, int32_t n) {
    predictions *p = ud;
    if (p->status != WEFT_OK) return;
    wh_text line = {0};
    char number[WH_NUMBER_TEXT];
    wh_text_addf(&line, "{\"row\": %" PRId64 ", ", row);
    if (p->rows->label) {
        wh_text_addf(&line, "\"label\": %d, \"prediction\": %d, ", p->rows->label[row],
                     largest(logits, n));
    } else {
        wh_text_addf(&line, "\"label\": %s, ", wh_float_text(number, p->rows->target[row]));
    }
    wh_text_addf(&line, "\"logits\": [");
    for (int32_t i = 0; i < n; i++) {
        wh_text_add(&line, i > 0 ? ", " : "");
        wh_text_add(&line, isfinite(logits[i]) ? wh_float_text(number, logits[i]) : "null");
    }
    wh_text_addf(&line, "]}\n");
    p->status = wh_text_check(&line, "predictions", &p->err);
    if (p->status == WEFT_OK) p->status = wh_atomic_append(p->file, line.data, line.len, &p->err);
    wh_text_free(&line);
}

/* ---- the command ---- */

static weft_status evaluate(wh_job *job, const wh_cli *cli, const char *adapter,
                            weft_metrics *metrics, weft_error *err) {
    weft_engine *engine = NULL;
    weft_engine_options options = wh_job_engine_options(job);
    weft_eval_options eval = {.split = cli->split};
    predictions p = {.rows = cli->split == WEFT_SPLIT_TRAIN ? &job->train.rows : &job->test.rows};
    weft_status st;
    WEFT_TRY(weft_engine_open(&engine, &options, err));
    weft_engine_info info;
    weft_engine_info_get(engine, &info);
    wh_job_tell_device(job, &info);
    WEFT_TRY_GOTO(st, wh_job_import_adapter(job, engine, adapter, err), out);
    if (cli->predictions) {
        WEFT_TRY_GOTO(st, wh_atomic_open(&p.file, cli->predictions, err), out);
        eval.output = write_row;
        eval.ud = &p;
    }
    WEFT_TRY_GOTO(st, weft_engine_eval(engine, &eval, metrics, err), out);
    if (p.status != WEFT_OK) {
        st = p.status;
        if (err) *err = p.err;
        goto out;
    }
    if (p.file) {
        st = wh_atomic_commit(p.file, err);
        p.file = NULL;
    }
out:
    wh_atomic_discard(p.file);
    weft_engine_close(engine);
    wh_progress_end(&job->progress);
    return st;
}

static weft_status print(const wh_cli *cli, const wh_job *job, const weft_metrics *metrics,
                         weft_error *err) {
    const weft_rows *rows = cli->split == WEFT_SPLIT_TRAIN ? &job->train.rows : &job->test.rows;
    bool binary = rows->num_labels == 2 && rows->label;
    if (cli->json) return wh_output_json(wh_metrics_json(metrics, binary), err);
    wh_text text = {0};
    wh_metrics_text(&text, metrics, binary);
    return wh_output_text(&text, err);
}

static weft_status run(const wh_cli *cli, weft_error *err) {
    eval_paths paths = {0};
    wh_job job = {0};
    bool opened = false;
    weft_metrics metrics;
    weft_status st;
    WEFT_TRY_GOTO(st, find_paths(&paths, cli, err), out);
    unsigned rows = cli->split == WEFT_SPLIT_TRAIN ? WH_JOB_TRAIN : WH_JOB_TEST;
    WEFT_TRY_GOTO(st, wh_job_open(&job, paths.config, cli, WH_JOB_WEIGHTS | rows, err), out);
    opened = true;
    wh_interrupt_install();
    if (cli->split == WEFT_SPLIT_TEST && !job.has_test) {
        st = WEFT_FAIL(err, WEFT_E_CONFIG, "data.test is not set; --split train uses data.train");
        goto out;
    }
    WEFT_TRY_GOTO(st, evaluate(&job, cli, paths.adapter, &metrics, err), out);
    st = print(cli, &job, &metrics, err);
out:
    if (opened) wh_job_close(&job);
    free(paths.config);
    free(paths.adapter);
    return st;
}

const wh_verb wh_verb_eval = {
    .name = "eval",
    .words = "RUN | ADAPTER job.yaml | job.yaml --adapter PATH",
    .summary = "evaluate the adapter of a run, or any PEFT adapter",
    .details =
        "With a run folder: its config.resolved.yaml and its adapter/. With an adapter folder:\n"
        "the job says which model and rows. Paths inside a job are relative to where you\n"
        "are, as in train.",
    .example = "weft eval runs/first\n"
               "weft eval runs/first data.test=other.csv --predictions out.jsonl\n"
               "weft eval my-peft-adapter job.yaml --split train",
    .min_words = 1,
    .max_words = 2,
    .flags = WH_FLAG_SET | WH_FLAG_ADAPTER | WH_FLAG_SPLIT | WH_FLAG_PREDICTIONS | WH_FLAG_FORMAT |
             WH_FLAG_QUIET | WH_FLAG_NO_PROGRESS,
    .run = run,
};
