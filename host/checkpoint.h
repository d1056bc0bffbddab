/* Checkpoints of a run: checkpoints/round_000050/ in its folder, with
 *   adapter_config.json, adapter_model.safetensors, README.md   the global adapter as a PEFT folder
 *   state.safetensors   the engine's state (weft_engine_state_save)
 *   state.json          the rest: round, hashes, the caller's note
 * and checkpoints/latest, a link to the newest. A checkpoint is there at once and whole or not at
 * all: it is filled under a temporary name, synced and renamed. */
#ifndef WH_CHECKPOINT_H
#define WH_CHECKPOINT_H

#include "host/job.h"
#include "host/safetensors.h"

#include <jansson.h>

/* Saves what the engine is at as checkpoints/round_<rounds done> of the run folder `run`, replacing
 * one of that name, and removes all but the newest `limit` (0: keeps all). `note` is an object that
 * stays the caller's; `card` as in wh_job_export_adapter. On failure older checkpoints are as they
 * were. WEFT_E_OUTPUT, WEFT_E_MEM. */
WEFT_NODISCARD weft_status wh_checkpoint_save(const char *run, const wh_job *job,
                                              weft_engine *engine, const json_t *note,
                                              const char *card, int64_t limit, weft_error *err);

/* What the ranks that write nothing do while rank 0 saves: where they keep the state of clients,
 * hand it over. */
WEFT_NODISCARD weft_status wh_checkpoint_help(weft_engine *engine, weft_error *err);

/* Rounds that have a checkpoint, newest first. *out is *own*ed (free), NULL when there are none. */
WEFT_NODISCARD weft_status wh_checkpoint_rounds(int64_t **out, size_t *n, const char *run,
                                                weft_error *err);
/* Its folder, *own*ed (free); NULL when memory is out. */
char *wh_checkpoint_path(const char *run, int64_t round);
/* Removes those after a round, and what killed writers left; `latest` is then that round's. */
WEFT_NODISCARD weft_status wh_checkpoint_drop_after(const char *run, int64_t round,
                                                    weft_error *err);

typedef struct wh_checkpoint { /* zero-initialise */
    json_t *json;              /* state.json */
    const json_t *note;        /* in it */
    wh_safetensors *tensors;
    weft_state state;
} wh_checkpoint;

/* Reads and checks a checkpoint's folder; close it in any case. WEFT_E_RESUME: it is damaged, or of
 * another version. */
WEFT_NODISCARD weft_status wh_checkpoint_open(wh_checkpoint *c, const char *folder,
                                              weft_error *err);
void wh_checkpoint_close(wh_checkpoint *c);
/* Its state into an engine that has not trained; as weft_engine_state_load. */
WEFT_NODISCARD weft_status wh_checkpoint_restore(wh_checkpoint *c, weft_engine *engine,
                                                 weft_error *err);

#endif
