/* What a checkpoint says beside the engine's state (the note in state.json): the configuration, how
 * far the run's growing files reached, what the summary has counted, and a round that was trained
 * but not yet evaluated when a signal came. */
#ifndef WH_TRAIN_NOTE_H
#define WH_TRAIN_NOTE_H

#include "host/train_run.h"

/* `files`: of wh_run_log_offsets, before the lines of a round that is not yet evaluated. *Own*ed;
 * NULL when memory is out. */
json_t *wh_train_note(const wh_train_run *run, const json_t *files);

/* Whether an option only says how a run is carried out and kept (engine.*, checkpoint.*, log.*,
 * run.name, run.threads ...): it changes no bit of what the run computes or writes for comparison.
 */
bool wh_option_is_conduct(const weft_option *option);

/* Whether a run with this configuration and engine may go on from the note; `where` opens the
 * messages. WEFT_E_RESUME names the first option that differs and both values. Options that change
 * no result (engine.*, checkpoint.*, log.*, run.threads …) may differ, files may lie elsewhere
 * (their content is compared, weft_engine_state_load), and fl.num_rounds may change unless the
 * learning rate depends on it. Another processor or version is warned of: bits may then differ. */
WEFT_NODISCARD weft_status wh_train_note_check(const wh_train_run *run, const json_t *note,
                                               const char *where, weft_error *err);
/* Takes over the counts, the metrics and the round that is not yet evaluated. WEFT_E_DATA: the
 * note is not what wh_train_note makes. */
WEFT_NODISCARD weft_status wh_train_note_read(wh_train_run *run, const json_t *note,
                                              const char *where, weft_error *err);

#endif
