#include "host/plan_memory.h"

/* Data of the libraries, stacks, the configuration and the tables of a run's files: what a run of a
 * model of a few kilobytes holds beyond the items of its plan. */
#define PROGRAM_BYTES ((uint64_t)7 << 18)

static void add_item(weft_plan *plan, const char *name, uint64_t bytes) {
    if (bytes == 0 || plan->n_items == WEFT_PLAN_ITEMS) return;
    plan->item[plan->n_items++] = (weft_plan_item){name, bytes};
    plan->bytes_total += bytes;
}

void wh_plan_add_host(weft_plan *plan, const wh_job *job) {
    const uint64_t program = PROGRAM_BYTES + wh_tokenizer_bytes(job->tokenizer);
    add_item(plan, "host: program and vocabulary", program);
    const uint64_t train = (uint64_t)job->train.reading_bytes;
    const uint64_t test = (uint64_t)(job->train.held_bytes + job->test.reading_bytes);
    const uint64_t reading = program + (train > test ? train : test);
    if (reading > plan->bytes_total)
        add_item(plan, "host: reading rows, beyond the above", reading - plan->bytes_total);
}
