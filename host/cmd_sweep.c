/* weft sweep: all points of a job's sweep, one run after another, and their table. */
#include "host/child.h"
#include "host/exit_code.h"
#include "host/json_util.h"
#include "host/launch.h"
#include "host/log.h"
#include "host/output.h"
#include "host/sweep_points.h"
#include "host/verbs.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct sweep_run {
    wh_sweep_job job;
    wh_log log;
    int64_t n_failed, first_failed;
    int first_code;
} sweep_run;

static weft_status no_memory(weft_error *err) {
    return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the sweep");
}

/* ---- what there is ---- */

static weft_status print_count(const wh_sweep_job *job, weft_error *err) {
    if (job->cli->json) return wh_output_json(json_integer(job->sweep.n_points), err);
    wh_text text = {0};
    wh_text_addf(&text, "%" PRId64 "\n", job->sweep.n_points);
    return wh_output_text(&text, err);
}

/* A line a point: arguments of weft train. JSON also has the folder. */
static weft_status print_list(const wh_sweep_job *job, weft_error *err) {
    wh_text text = {0};
    json_t *list = job->cli->json ? json_array() : NULL;
    for (int64_t i = 0; i < job->sweep.n_points; i++) {
        if (!job->cli->json) {
            wh_sweep_words(&text, &job->sweep, i);
            wh_text_add(&text, "\n");
            continue;
        }
        char *folder = wh_sweep_folder(job, i);
        json_t *row = json_pack("{s:I, s:s}", "task", (json_int_t)i, "folder", folder);
        free(folder);
        row = wh_json_with(row, "point", wh_sweep_point_json(job, i));
        if (json_array_append_new(list, row) != 0) {
            json_decref(list);
            return no_memory(err);
        }
    }
    return job->cli->json ? wh_output_json(list, err) : wh_output_text(&text, err);
}

/* ---- runs ---- */

/* "point 3 of 12: lora.r=8", and what comes of it. */
static void tell(sweep_run *s, weft_log_level level, int64_t index, const char *what) {
    wh_text words = {0};
    wh_sweep_words(&words, &s->job.sweep, index);
    wh_log_write(&s->log, level, "point %" PRId64 " of %" PRId64 ": %.600s%s", index + 1,
                 s->job.sweep.n_points, words.data && words.data[0] ? words.data : "the base job",
                 what);
    wh_text_free(&words);
}

static weft_status stopped(const sweep_run *s, int64_t done, weft_error *err) {
    return WEFT_FAIL(err, WEFT_E_STOPPED,
                     "the sweep stopped at point %" PRId64 " of %" PRId64 "; the same command goes "
                     "on",
                     done + 1, s->job.sweep.n_points);
}

static void count_failure(sweep_run *s, int64_t index, int code) {
    char what[96];
    (void)snprintf(what, sizeof what, " failed, %s %d",
                   code > WH_EXIT_SIGNAL ? "killed by signal" : "exit code",
                   code > WH_EXIT_SIGNAL ? code - WH_EXIT_SIGNAL : code);
    tell(s, WEFT_LOG_ERROR, index, what);
    if (s->n_failed++ == 0) s->first_failed = index, s->first_code = code;
}

/* WEFT_E_STOPPED: nothing more is to be run. A run that fails is only counted. */
static weft_status run_point(sweep_run *s, int64_t index, weft_error *err) {
    bool ended = false;
    int code = 0;
    WEFT_TRY(wh_sweep_has_ended(&ended, &s->job, index, err));
    tell(s, WEFT_LOG_INFO, index, ended ? " (done before)" : "");
    if (ended) return WEFT_OK;
    char **argv = wh_sweep_command(&s->job, index);
    if (!argv) return no_memory(err);
    const weft_status st = wh_child_run(argv, &code, err);
    wh_sweep_command_free(argv);
    WEFT_TRY(st);
    if (code == WH_EXIT_RESUME_LATER || (code != 0 && wh_child_stop()))
        return stopped(s, index, err);
    if (code != 0) count_failure(s, index, code);
    return WEFT_OK;
}

/* The runs may have ranks of their own (one for each GPU), but several of these would run each
 * point several times. */
static weft_status check_alone(weft_error *err) {
    wh_launch launch;
    WEFT_TRY(wh_launch_own(&launch, err));
    if (launch.size == 1) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_CONFIG,
                     "%s started %d of weft sweep, which runs one point after another: start one, "
                     "or give each job a point (--task)",
                     wh_launcher_name(launch.by), launch.size);
}

static weft_status run_all(sweep_run *s, weft_error *err) {
    WEFT_TRY(check_alone(err));
    wh_child_setup();
    for (int64_t i = 0; i < s->job.sweep.n_points; i++) {
        if (wh_child_stop()) return stopped(s, i, err);
        WEFT_TRY(run_point(s, i, err));
    }
    WEFT_TRY(wh_sweep_collect(&s->job, err));
    if (s->n_failed == 0) return WEFT_OK;
    return WEFT_FAIL(err, wh_exit_status(s->first_code),
                     "%" PRId64 " of %" PRId64 " points failed, the first of them point %" PRId64
                     "; the same command tries them again",
                     s->n_failed, s->job.sweep.n_points, s->first_failed + 1);
}

/* One point becomes weft train itself, so that signals and exit code are those of a run. */
static weft_status run_task(sweep_run *s, int64_t index, weft_error *err) {
    bool ended = false;
    if (index >= s->job.sweep.n_points)
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "--task %" PRId64 ": the sweep has %" PRId64 " points, from 0 to %" PRId64,
                         index, s->job.sweep.n_points, s->job.sweep.n_points - 1);
    WEFT_TRY(wh_sweep_has_ended(&ended, &s->job, index, err));
    tell(s, WEFT_LOG_INFO, index, ended ? " (done before)" : "");
    if (ended) return WEFT_OK;
    char **argv = wh_sweep_command(&s->job, index);
    if (!argv) return no_memory(err);
    const weft_status st = wh_child_become(argv, err);
    wh_sweep_command_free(argv);
    return st;
}

static weft_status run(const wh_cli *cli, weft_error *err) {
    sweep_run s = {0};
    wh_log_init(&s.log, cli->quiet);
    weft_status st = wh_sweep_job_open(&s.job, cli, err);
    if (st == WEFT_OK) {
        st = cli->count       ? print_count(&s.job, err)
             : cli->list      ? print_list(&s.job, err)
             : cli->collect   ? wh_sweep_collect(&s.job, err)
             : cli->task >= 0 ? run_task(&s, cli->task, err)
                              : run_all(&s, err);
    }
    wh_sweep_job_close(&s.job);
    wh_log_fini(&s.log);
    return st;
}

const wh_verb wh_verb_sweep = {
    .name = "sweep",
    .words = "job.yaml",
    .summary = "train all points of a job's sweep and compare them",
    .details =
        "The section `sweep` of the job file lists the points: grid, options with lists of\n"
        "values, all combinations, the last key varies fastest; list, mappings of options, one\n"
        "point each, combined with the grid and varying slowest.\n"
        "Each point is one run, as `weft train job.yaml <point> --resume auto` makes it, in a\n"
        "folder of its own below run.output_dir/<run.name, or the name of the job file>, named\n"
        "by what the point sets. The same command again goes on where it stopped, runs no point\n"
        "twice that has ended, tries those again that failed, and runs what was added to the\n"
        "sweep. A point that fails does not stop the others; the exit code is that of the first.\n"
        "Ctrl-C, SIGTERM and SIGUSR1 stop the sweep after a checkpoint, with 75.\n"
        "At the end, and with --collect at any time, a table of all runs there are. In a Slurm\n"
        "array, --task $SLURM_ARRAY_TASK_ID runs one point in each task.",
    .example = "weft sweep job.yaml\n"
               "weft sweep job.yaml fl.num_rounds=5 run.name=short\n"
               "weft sweep job.yaml --count\n"
               "weft sweep job.yaml --task 3\n"
               "weft sweep job.yaml --collect --format json",
    .min_words = 1,
    .max_words = 1,
    .flags = WH_FLAG_SET | WH_FLAG_POINTS | WH_FLAG_FORMAT | WH_FLAG_QUIET | WH_FLAG_NO_PROGRESS,
    .goes_on = true,
    .run = run,
};
