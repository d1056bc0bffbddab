/* A few rounds of the job of kept_job.h, for tests of FDA: everything that they tell and leave. */
#ifndef WEFT_TESTS_FDA_RUN_H
#define WEFT_TESTS_FDA_RUN_H

#include "tests/engine/kept_job.h"

#define MAX_CHECKS 24

typedef struct outcome {
    weft_round_report round[ROUNDS];
    weft_check check[ROUNDS][MAX_CHECKS];
    weft_client_report client[ROUNDS][COHORT];
    float *adapter[ROUNDS + 1]; /* before the first round, and after each */
    size_t bytes;               /* of an adapter */
    int64_t numel;
    int rounds;
} outcome;

outcome *fda_run(int rounds, const char *const *pairs, size_t n); /* *owned* */
void outcome_free(outcome *o);

#define RUN(rounds, ...)                                                                           \
    fda_run((rounds), (const char *const[]){__VA_ARGS__},                                          \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

#define RESET "client.optimizer_state", "reset"

void same_adapters(const char *what, const outcome *a, const outcome *b);
/* Bit for bit, NaN being NaN. */
void same_checks(const char *what, const outcome *a, const outcome *b);

#endif
