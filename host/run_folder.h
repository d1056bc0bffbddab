/* The folder of one run, runs/<name>/: made here, refused when it exists, gone on with, and filled
 * with what is written once (config, environment, command, partition, summary). What grows by the
 * round is run_log.h. */
#ifndef WH_RUN_FOLDER_H
#define WH_RUN_FOLDER_H

#include "engine/weft.h"

#include <jansson.h>
#include <stdbool.h>
#include <time.h>

/* Parts of the default name, the pattern that OpenFedLLM made common. */
typedef struct wh_run_title {
    const char *model, *dataset, *strategy;
    int32_t n_clients, cohort;
    int64_t local_steps, local_epochs; /* the one that is not 0 is shown: i<steps> or e<epochs> */
    int32_t batch_size, accumulation, max_length, r;
    double alpha;
} wh_run_title;

/* "<model>_<dataset>_<strategy>_c<N>s<K>_i<steps>_b<B>a<A>_l<len>_r<r>a<alpha>_<yyyymmddHHMMSS>",
 * UTC; characters outside [A-Za-z0-9.-] of the texts become '-'. *Own*ed (free); NULL when memory
 * is out. */
char *wh_run_name(const wh_run_title *title, time_t now);

typedef struct wh_run_folder wh_run_folder;

/* Makes output_dir/name. An existing folder is refused, unless it is empty, or overwrite is set and
 * it looks like a run folder (it holds config.resolved.yaml); then its content is removed first.
 * WEFT_E_OUTPUT names the option that helps, or says that another process works there: a handle
 * keeps others out until it is closed or its process ends. WEFT_E_CONFIG: the name is empty, "..",
 * or holds a '/'. */
WEFT_NODISCARD weft_status wh_run_folder_create(wh_run_folder **out, const char *output_dir,
                                                const char *name, bool overwrite, weft_error *err);
/* An existing one, to go on in it; what killed writers left is removed. WEFT_E_RESUME: it is no run
 * folder; WEFT_E_OUTPUT: another process works there. */
WEFT_NODISCARD weft_status wh_run_folder_open(wh_run_folder **out, const char *path,
                                              weft_error *err);
void wh_run_folder_close(wh_run_folder *run);

const char *wh_run_folder_path(const wh_run_folder *run);
/* Path of a file inside, *own*ed (free); NULL when memory is out. */
char *wh_run_folder_file(const wh_run_folder *run, const char *name);

/* Write a file of the folder atomically: from text, or from a JSON value (which stays the
 * caller's). */
WEFT_NODISCARD weft_status wh_run_folder_write(const wh_run_folder *run, const char *name,
                                               const char *text, weft_error *err);
WEFT_NODISCARD weft_status wh_run_folder_write_json(const wh_run_folder *run, const char *name,
                                                    const json_t *value, weft_error *err);

/* command.txt: the folder it ran in and the command, quoted for a POSIX shell; after those of
 * earlier processes that worked in the folder. */
WEFT_NODISCARD weft_status wh_run_folder_write_command(const wh_run_folder *run, int argc,
                                                       char *const *argv, weft_error *err);

/* env.json: host, processor, cores, memory, build, device and why, Slurm ids. info may be NULL. */
WEFT_NODISCARD weft_status wh_run_folder_write_env(const wh_run_folder *run,
                                                   const weft_engine_info *info, weft_error *err);

/* The object of env.json, *own*ed; also what `weft info` can show. NULL when memory is out. */
json_t *wh_environment(const weft_engine_info *info);

#endif
