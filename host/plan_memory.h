/* What a run takes of the host beside the engine, as items of a plan. */
#ifndef WH_PLAN_MEMORY_H
#define WH_PLAN_MEMORY_H

#include "host/job.h"

/* Adds to a plan of the job: the program with its vocabulary, and what reading the rows takes at
 * its highest beyond everything else, when there is such. Then bytes_total is the highest anonymous
 * memory of a run on the CPU (host/memory.h). */
void wh_plan_add_host(weft_plan *plan, const wh_job *job);

#endif
