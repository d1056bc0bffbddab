/* Where a configuration comes from, weakest first: the defaults of the table, WEFT_<SECTION>_<KEY>
 * in the environment, the job file, key=value on the command line. */
#ifndef WEFT_HOST_CONFIG_LOAD_H
#define WEFT_HOST_CONFIG_LOAD_H

#include "host/cli.h"
#include "host/sweep.h"

/* Read all sources and finish the configuration. `path` may be NULL: no job file. *out is *owned*:
 * weft_config_free. WEFT_E_CONFIG names the source of the value. */
WEFT_NODISCARD weft_status wh_config_load(weft_config **out, const char *path, const wh_cli *cli,
                                          weft_error *err);
/* The same, and what the file's section `sweep` lists (*sweep zero-initialised; free it after a
 * failure too). The section changes no option. */
WEFT_NODISCARD weft_status wh_config_load_sweep(weft_config **out, wh_sweep *sweep,
                                                const char *path, const wh_cli *cli,
                                                weft_error *err);

#endif
