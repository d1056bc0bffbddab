/* What a run would take: weft_plan as a table or as JSON. `weft plan` and `train --dry-run`. */
#ifndef WEFT_HOST_PLAN_REPORT_H
#define WEFT_HOST_PLAN_REPORT_H

#include "host/text.h"

#include <jansson.h>

/* Rounds that the run will have: fl.num_rounds, or about as many as make fl.total_steps. */
int64_t wh_plan_rounds(const weft_plan *plan, const weft_config *config);
void wh_plan_text(wh_text *to, const weft_plan *plan, const weft_config *config);
/* The memory items alone, with their total. */
void wh_plan_memory_text(wh_text *to, const weft_plan *plan);
/* *Owned*; NULL when memory is out. The second: bytes by item. */
json_t *wh_plan_json(const weft_plan *plan, const weft_config *config);
json_t *wh_plan_memory_json(const weft_plan *plan);

#endif
