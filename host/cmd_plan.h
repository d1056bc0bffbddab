/* `weft plan` as a function: `weft train --dry-run` is the same. */
#ifndef WEFT_HOST_CMD_PLAN_H
#define WEFT_HOST_CMD_PLAN_H

#include "host/cli.h"

WEFT_NODISCARD weft_status wh_plan_run(const wh_cli *cli, weft_error *err);

#endif
