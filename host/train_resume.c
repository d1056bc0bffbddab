#define _XOPEN_SOURCE 700 /* realpath */
#include "host/train_resume.h"

#include "host/checkpoint.h"
#include "host/json_util.h"
#include "host/train_note.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static weft_status no_memory(weft_error *err) {
    return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while resuming");
}

/* Cuts the last part of a path off; what it was, or NULL when there is none. */
static char *cut_last(char *path) {
    char *slash = strrchr(path, '/');
    if (!slash || slash == path) return NULL;
    *slash = '\0';
    return slash + 1;
}

weft_status wh_resume_locate(wh_resume *out, const char *path, weft_error *err) {
    char *real = realpath(path, NULL);
    if (!real)
        return WEFT_FAIL(err, WEFT_E_RESUME, "cannot resume from %s: there is no such folder",
                         path);
    *out = (wh_resume){.round = -1};
    if (wh_folder_has(real, "config.resolved.yaml")) {
        free(real);
        out->run = strdup(path); /* as the user calls it */
        if (!out->run) return no_memory(err);
        for (size_t n = strlen(out->run); n > 1 && out->run[n - 1] == '/';) out->run[--n] = '\0';
        return WEFT_OK;
    }
    if (wh_folder_has(real, "state.json")) {
        char *name = cut_last(real);
        if (name && sscanf(name, "round_%" SCNd64, &out->round) == 1 && cut_last(real) &&
            wh_folder_has(real, "config.resolved.yaml")) {
            out->run = real;
            return WEFT_OK;
        }
    }
    free(real);
    return WEFT_FAIL(err, WEFT_E_RESUME,
                     "cannot resume from %s: it is neither a run folder nor one of its "
                     "checkpoints/round_...",
                     path);
}

void wh_resume_free(wh_resume *r) {
    free(r->run);
    r->run = NULL;
}

char *wh_resume_config(const wh_resume *r) {
    return wh_path_join(r->run, "config.resolved.yaml");
}

weft_status wh_resume_is_possible(bool *out, bool *ended, const char *path, weft_error *err) {
    int64_t *rounds = NULL;
    size_t n = 0;
    *out = *ended = false;
    if (!wh_folder_has(path, "config.resolved.yaml")) return WEFT_OK;
    *ended = wh_folder_has(path, "summary.json");
    WEFT_TRY(wh_checkpoint_rounds(&rounds, &n, path, err));
    *out = n > 0;
    free(rounds);
    return WEFT_OK;
}

/* ---- one checkpoint ---- */

/* The engine's state and the run's note are of one moment. */
static weft_status check_same_round(const wh_train_run *run, const weft_state *state,
                                    const char *folder, weft_error *err) {
    const wh_summary *s = &run->summary;
    if (s->rounds_done == state->rounds_done && s->local_steps == state->local_steps_total)
        return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_DATA,
                     "%s: the summary counts %" PRId64 " rounds and %" PRId64
                     " local steps, the state %" PRId64 " and %" PRId64,
                     folder, s->rounds_done, s->local_steps, state->rounds_done,
                     state->local_steps_total);
}

/* *fatal: another checkpoint of this run would not help. */
static weft_status take(wh_train_run *run, const char *folder, json_t **files, bool *fatal,
                        weft_error *err) {
    wh_checkpoint c = {0};
    json_t *lengths = NULL;
    *fatal = false;
    weft_status st = wh_checkpoint_open(&c, folder, err);
    if (st == WEFT_OK) {
        st = wh_train_note_check(run, c.note, folder, err);
        *fatal = st != WEFT_OK;
    }
    if (st == WEFT_OK) st = wh_train_note_read(run, c.note, folder, err);
    if (st == WEFT_OK) st = check_same_round(run, &c.state, folder, err);
    if (st == WEFT_OK) st = wh_json_child(c.note, folder, "files", JSON_OBJECT, &lengths, err);
    if (st == WEFT_OK) {
        st = wh_checkpoint_restore(&c, run->engine, err);
        *fatal = st != WEFT_OK && st != WEFT_E_RESUME; /* the engine may be half restored */
    }
    if (st == WEFT_OK && !(*files = json_deep_copy(lengths))) {
        st = no_memory(err);
        *fatal = true;
    }
    wh_checkpoint_close(&c);
    if (st == WEFT_E_DATA) {
        st = WEFT_E_RESUME;
        if (err) err->status = st;
    }
    return st;
}

weft_status wh_train_resume(wh_train_run *run, const char *folder, int64_t round, json_t **files,
                            weft_error *err) {
    int64_t *rounds = NULL, took = -1;
    size_t n = 0;
    weft_error first = {0};
    WEFT_TRY(wh_checkpoint_rounds(&rounds, &n, folder, err));
    for (size_t i = 0; i < n && took < 0; i++) {
        if (round >= 0 && rounds[i] != round) continue;
        weft_error local = {0};
        bool fatal = true;
        char *path = wh_checkpoint_path(folder, rounds[i]);
        weft_status st = path ? take(run, path, files, &fatal, &local) : no_memory(&local);
        if (st == WEFT_OK) took = rounds[i];
        if (st != WEFT_OK && first.status == WEFT_OK) first = local;
        if (st != WEFT_OK && !fatal && round < 0)
            wh_log_warn(&run->job->log, "passing over %s: %s", path, local.text);
        free(path);
        if (st != WEFT_OK && fatal) break;
    }
    free(rounds);
    if (took >= 0) return run->folder ? wh_checkpoint_drop_after(folder, took, err) : WEFT_OK;
    if (first.status == WEFT_OK)
        return WEFT_FAIL(err, WEFT_E_RESUME, "%s holds no checkpoint to resume from", folder);
    if (err) *err = first;
    return first.status;
}
