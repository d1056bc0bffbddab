/* labels: fed */
/* The bytes of rounds under FDA by kind, against the formulas of the papers and of a ring. */
#include "tests/engine/fda_run.h"

#include <string.h>

static void test_ledger(void **state) {
    (void)state;
    static const struct {
        const char *kind, *layout;
        uint64_t state, once;
    } row[] = {{"naive", "hash", 4, 0},
               {"linear", "hash", 8, 0},
               {"sketch", "hash", 4 * (3 * 500 + 1), 72},
               {"sketch", "xor", 4 * (3 * 256 + 1), 72},
               {"exact", "hash", 0, 0}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        outcome *o = RUN(4, RESET, "fl.sync", "fda-opt", "fda.estimator", row[i].kind, "fda.sketch",
                         row[i].layout);
        const uint64_t adapter = 4 * (uint64_t)o->numel,
                       size = row[i].state ? row[i].state : adapter;
        bool seen[CLIENTS] = {0}, there[CLIENTS] = {0};
        uint64_t total = 0;
        for (int r = 0; r < 4; r++) {
            const weft_wire *w = &o->round[r].wire;
            const uint64_t e = (uint64_t)o->round[r].n_checks;
            uint64_t fresh = 0, came = 0;
            bool here[CLIENTS] = {0};
            for (int32_t k = 0; k < COHORT; k++) {
                const int32_t c = o->client[r][k].client;
                fresh += !seen[c], came += r > 0 && !there[c];
                seen[c] = here[c] = true;
                assert_int_equal(o->client[r][k].checks, e);
            }
            memcpy(there, here, sizeof here);
            const uint64_t more = row[i].kind[0] == 'l' ? came * adapter : 0;
            assert_int_equal(w->model_down, COHORT * adapter + more);
            assert_int_equal(w->model_up, COHORT * adapter);
            assert_int_equal(w->state_up, COHORT * e * size);
            assert_int_equal(w->state_down, 0);
            assert_int_equal(w->verdict_down, COHORT * e);
            assert_int_equal(w->once_down, fresh * row[i].once);
            assert_int_equal(w->up, w->model_up + w->state_up);
            assert_int_equal(w->down, w->model_down + w->verdict_down + w->once_down);
            total += w->up;
            assert_int_equal(o->round[r].wire_total.up, total);
        }
        outcome_free(o);
    }
}

static void test_ledger_of_a_ring(void **state) {
    (void)state;
    outcome *o = RUN(3, RESET, "fl.sync", "fda-opt", "ledger.topology", "allreduce",
                     "fl.clients_per_round", "17");
    outcome *fed = RUN(3, RESET, "ledger.topology", "allreduce", "fl.clients_per_round", "17");
    const uint64_t adapter = 4 * (uint64_t)o->numel, c = 17;
    for (int r = 0; r < 3; r++) {
        const weft_wire *w = &o->round[r].wire;
        assert_int_equal(w->model_up, 2 * (c - 1) * adapter);
        assert_int_equal(w->model_down, 2 * (c - 1) * adapter + (r == 0 ? c * adapter : 0));
        assert_int_equal(w->state_up, 2 * (c - 1) * 6004 * (uint64_t)o->round[r].n_checks);
        assert_int_equal(w->state_down, w->state_up);
        assert_int_equal(w->verdict_down, 0);
        assert_int_equal(fed->round[r].wire.model_up, w->model_up);
        assert_int_equal(fed->round[r].wire.state_up, 0);
    }
    outcome_free(o), outcome_free(fed);
}

static void test_verdict_as_estimate(void **state) {
    (void)state;
    outcome *o = RUN(2, RESET, "fl.sync", "fda-opt", "fda.verdict", "estimate");
    for (int r = 0; r < 2; r++)
        assert_int_equal(o->round[r].wire.verdict_down,
                         COHORT * 4u * (uint64_t)(o->round[r].n_checks + 1));
    outcome_free(o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ledger),
        cmocka_unit_test(test_ledger_of_a_ring),
        cmocka_unit_test(test_verdict_as_estimate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
