#include "tests/engine/fda_run.h"

#include <stdlib.h>
#include <string.h>

void outcome_free(outcome *o) {
    for (int i = 0; i <= ROUNDS; i++) free(o->adapter[i]);
    free(o);
}

outcome *fda_run(int rounds, const char *const *pairs, size_t n) {
    outcome *o = calloc(1, sizeof *o);
    job j;
    kept_prepare(&j, pairs, n, false);
    kept_start(&j);
    o->rounds = rounds;
    o->bytes = (size_t)j.info.adapter_size * sizeof(float);
    o->numel = j.info.adapter_numel;
    o->adapter[0] = kept_adapter(&j);
    for (int r = 0; r < rounds; r++) {
        o->round[r] = kept_round(&j);
        assert_true(o->round[r].n_checks <= MAX_CHECKS);
        for (int32_t i = 0; i < o->round[r].n_checks; i++) o->check[r][i] = o->round[r].checks[i];
        memcpy(o->client[r], o->round[r].clients,
               (size_t)o->round[r].n_clients * sizeof(weft_client_report));
        o->adapter[r + 1] = kept_adapter(&j);
    }
    kept_finish(&j);
    return o;
}

void same_adapters(const char *what, const outcome *a, const outcome *b) {
    assert_int_equal(a->bytes, b->bytes);
    for (int r = 0; r <= a->rounds; r++) check_same(what, a->adapter[r], b->adapter[r], a->bytes);
}

void same_checks(const char *what, const outcome *a, const outcome *b) {
    for (int r = 0; r < a->rounds; r++) {
        assert_int_equal(a->round[r].n_checks, b->round[r].n_checks);
        for (int32_t i = 0; i < a->round[r].n_checks; i++)
            check_same(what, &a->check[r][i], &b->check[r][i], sizeof(weft_check));
        check_same("theta", &a->round[r].theta_next, &b->round[r].theta_next, sizeof(double));
    }
}
