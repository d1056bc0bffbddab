#include "host/train_ranks.h"

#include "host/plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Without a launcher: a process for each GPU that this one sees, and the cohort can feed. */
static int32_t count_gpus(const weft_config *config) {
    const char *device = weft_config_text(config, "run.device");
    const int64_t cohort = weft_config_int(config, "fl.clients_per_round");
    wh_plugin plugin;
    if (strcmp(device, "auto") != 0 && strcmp(device, "cuda") != 0) return 0;
    wh_plugin_open(&plugin, NULL, NULL);
    if (!plugin.backend) return 0;
    return plugin.devices < cohort ? (int32_t)plugin.devices : (int32_t)cohort;
}

weft_status wh_train_ranks_open(wh_ranks **out, const wh_cli *cli, const weft_config *config,
                                weft_error *err) {
    wh_ranks_options options = {.wanted = (int32_t)cli->ranks,
                                .argv = cli->argv,
                                .timeout = (double)weft_config_int(config, "run.comm_timeout")};
    WEFT_TRY(wh_launch_own(&options.launch, err));
    const wh_launch *l = &options.launch;
    if (options.wanted == 0 && l->by == WH_LAUNCH_NONE) options.wanted = count_gpus(config);
    if (l->by == WH_LAUNCH_SLURM && l->size == 1 && l->n_tasks > 1 && !getenv("SLURM_STEP_ID"))
        fprintf(stderr,
                "weft: warning: this job has %d tasks, but without srun before the command one "
                "process works\n",
                l->n_tasks);
    return wh_ranks_open(out, &options, err);
}
