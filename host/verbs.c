#include "host/verbs.h"

const wh_verb *const *wh_verbs(size_t *n) {
    static const wh_verb *const VERBS[] = {
        &wh_verb_train, &wh_verb_sweep,     &wh_verb_eval,    &wh_verb_plan,
        &wh_verb_bench, &wh_verb_partition, &wh_verb_compare, &wh_verb_report,
        &wh_verb_slurm, &wh_verb_config,    &wh_verb_info,
    };
    *n = sizeof VERBS / sizeof VERBS[0];
    return VERBS;
}
