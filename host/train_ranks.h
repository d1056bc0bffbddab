/* How many processes train a job: what the launcher, --ranks and the visible GPUs say. */
#ifndef WEFT_HOST_TRAIN_RANKS_H
#define WEFT_HOST_TRAIN_RANKS_H

#include "host/cli.h"
#include "host/ranks.h"

/* *out is NULL for one. Errors as of wh_ranks_open. */
WEFT_NODISCARD weft_status wh_train_ranks_open(wh_ranks **out, const wh_cli *cli,
                                               const weft_config *config, weft_error *err);

#endif
