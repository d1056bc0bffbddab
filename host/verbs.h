/* The commands of the program. A new one is a file cmd_<verb>.c, a line here and a line in verbs.c.
 */
#ifndef WEFT_HOST_VERBS_H
#define WEFT_HOST_VERBS_H

#include "host/cli.h"

extern const wh_verb wh_verb_train;
extern const wh_verb wh_verb_sweep;
extern const wh_verb wh_verb_eval;
extern const wh_verb wh_verb_plan;
extern const wh_verb wh_verb_bench;
extern const wh_verb wh_verb_partition;
extern const wh_verb wh_verb_compare;
extern const wh_verb wh_verb_report;
extern const wh_verb wh_verb_slurm;
extern const wh_verb wh_verb_config;
extern const wh_verb wh_verb_info;

/* In the order of the help text. */
const wh_verb *const *wh_verbs(size_t *n);

#endif
