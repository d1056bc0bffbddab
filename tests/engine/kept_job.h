/* A small federated job on the recorded BERT whose clients keep their optimizer state, with a store
 * behind it that can be full or broken and a tick that can stop it. For the tests of what such
 * state survives. A call that fails fails the test. */
#ifndef WEFT_TESTS_KEPT_JOB_H
#define WEFT_TESTS_KEPT_JOB_H

#include "engine/weft.h"
#include "tests/check.h"
#include "tests/engine/golden_source.h"

#define CLIENTS     17
#define COHORT      11
#define ROWS        120
#define ROUNDS      5
#define MAX_RECORDS 64

/* In memory. */
typedef struct store {
    unsigned char *record[MAX_RECORDS];
    size_t bytes;
    int64_t writes, reads, fail_write, fail_read; /* fail from this call on; 0: never */
    int64_t ticks, stop_at;
} store;

typedef struct job {
    golden_file golden;
    weft_rows rows;
    weft_config *config;
    weft_partition *part;
    weft_engine_options options;
    weft_engine *engine;
    weft_engine_info info;
    store store;
} job;

/* The engine's reads of it, for jobs that have no writes. */
weft_status kept_store_read(void *ud, int64_t record, void *data, size_t bytes, weft_error *err);

/* Everything but opening: the usual settings, then pairs[0..n). The job must not move. */
void kept_prepare(job *j, const char *const *pairs, size_t n, bool with_store);
void kept_prepare_rows(job *j, const char *const *pairs, size_t n, bool with_store, int64_t n_rows);
void kept_start(job *j); /* opens the engine */
void kept_finish(job *j);

weft_round_report kept_round(job *j);
/* The global adapter, *owned* by the caller. */
float *kept_adapter(job *j);

#endif
