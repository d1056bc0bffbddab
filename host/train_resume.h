/* Going on with a run from its checkpoints: which folder, which checkpoint, and everything back as
 * it was when that was made. */
#ifndef WH_TRAIN_RESUME_H
#define WH_TRAIN_RESUME_H

#include "host/train_run.h"

/* What --resume PATH names: a run folder, or a checkpoint in one. */
typedef struct wh_resume { /* zero-initialise */
    char *run;             /* the run's folder */
    int64_t round;         /* the checkpoint's; -1: the newest */
} wh_resume;

/* WEFT_E_RESUME: it is neither. */
WEFT_NODISCARD weft_status wh_resume_locate(wh_resume *out, const char *path, weft_error *err);
void wh_resume_free(wh_resume *r);
/* The configuration that the run was started with, *own*ed (free); NULL when memory is out. */
char *wh_resume_config(const wh_resume *r);

/* For --resume auto: whether the run folder `path` has a checkpoint, and whether a run ended in it.
 */
WEFT_NODISCARD weft_status wh_resume_is_possible(bool *out, bool *ended, const char *path,
                                                 weft_error *err);

/* Into run->engine, run->summary and the pending round, from a checkpoint of the run folder `path`:
 * that of `round`, or with -1 the newest that is whole (damaged ones are warned of and passed
 * over). The one who writes in the folder removes later checkpoints. *files, *own*ed (json_decref,
 * after a failure too): how long the growing files were. WEFT_E_RESUME. */
WEFT_NODISCARD weft_status wh_train_resume(wh_train_run *run, const char *path, int64_t round,
                                           json_t **files, weft_error *err);

#endif
