/* labels: fed */
/* FDA and FDA-Opt in the engine: identities with FedOpt that hold bit for bit, the order of the
 * estimators, decisions, the rule for theta, and what may not change any of it. */
#include "engine/fda.h"
#include "tests/engine/fda_run.h"
#include "tests/engine/state_blob.h"
#include "tests/golden/bert_regression.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- identities with FedOpt ---- */

static void test_one_check_is_one_epoch(void **state) {
    (void)state;
    static const char *const strategies[] = {"fedavg", "fedavgm", "fedadam", "fedyogi"};
    static const char *const lengths[] = {"own", "longest", "shortest"};
    for (size_t s = 0; s < 4; s++) {
        const char *length = lengths[s % 3];
        outcome *fda = RUN(3, RESET, "fl.strategy", strategies[s], "client.epoch_length", length,
                           "fl.sync", "fda-opt", "fda.max_checks", "1");
        outcome *fed = RUN(3, RESET, "fl.strategy", strategies[s], "client.epoch_length", length);
        same_adapters(strategies[s], fda, fed);
        for (int r = 0; r < 3; r++) {
            assert_int_equal(fda->round[r].n_checks, 1);
            assert_int_equal(fed->round[r].n_checks, 0);
            assert_int_equal(fda->round[r].local_steps, fed->round[r].local_steps);
            assert_true(fda->round[r].loss == fed->round[r].loss);
            assert_int_equal(fda->round[r].wire.model_up, fed->round[r].wire.up);
            assert_int_equal(fed->round[r].barriers, 1);
        }
        outcome_free(fda), outcome_free(fed);
    }
}

static void test_no_threshold_is_all_epochs(void **state) {
    (void)state;
    outcome *fda = RUN(2, RESET, "fl.sync", "fda-opt", "fda.rule", "fixed", "fda.theta", "1e300",
                       "fda.max_checks", "3", "fl.strategy", "fedadam");
    outcome *fed = RUN(2, RESET, "client.local_epochs", "3", "fl.strategy", "fedadam");
    same_adapters("three epochs", fda, fed);
    assert_int_equal(fda->round[0].n_checks, 3);
    outcome_free(fda), outcome_free(fed);
    fda = RUN(2, "fl.sync", "fda", "fda.theta", "1e300", "fda.max_checks", "6");
    fed = RUN(2, "client.local_steps", "6"); /* both keep the optimizers' state */
    same_adapters("six steps", fda, fed);
    outcome_free(fda), outcome_free(fed);
    fda = RUN(2, RESET, "fl.sync", "fda-opt", "fda.rule", "fixed", "fda.theta", "1e300",
              "fda.max_checks", "3", "client.local_steps", "2");
    fed = RUN(2, RESET, "client.local_steps", "6");
    same_adapters("three times two steps", fda, fed);
    outcome_free(fda), outcome_free(fed);
    fda = RUN(2, "fl.sync", "fda", "fda.theta", "1e300", "fda.max_checks", "2", "fda.check_every",
              "3");
    fed = RUN(2, "client.local_steps", "6");
    same_adapters("checks every third step", fda, fed);
    for (int r = 0; r < 2; r++) {
        assert_int_equal(fda->round[r].n_checks, 2);
        for (int i = 0; i < 2; i++) assert_int_equal(fda->check[r][i].steps, 3 * (i + 1));
    }
    outcome_free(fda), outcome_free(fed);
}

/* FDA that synchronises at every step is averaging at every step. */
static void test_no_patience_is_every_step(void **state) {
    (void)state;
    outcome *fda = RUN(5, "fl.sync", "fda", "fda.theta", "-1e300");
    outcome *fed = RUN(5, "client.local_steps", "1");
    same_adapters("every step", fda, fed);
    for (int r = 0; r < 5; r++) {
        assert_int_equal(fda->round[r].n_checks, 1);
        assert_int_equal(fda->round[r].local_steps, 1);
        assert_int_equal(fda->round[r].local_steps_total, r + 1);
    }
    outcome_free(fda), outcome_free(fed);
}

/* ---- estimates ---- */

/* The last check of a round against what the round did: with plain averaging the global adapter
 * moves by the mean update. */
static void check_identity(const outcome *o, int r) {
    const weft_check *c = &o->check[r][o->round[r].n_checks - 1];
    double norms = 0, mean = 0;
    for (int32_t i = 0; i < o->round[r].n_clients; i++) {
        const weft_client_report *k = &o->client[r][i];
        norms += k->weight * k->update_norm * k->update_norm;
    }
    for (size_t i = 0; i < o->bytes / sizeof(float); i++) {
        const double d = (double)o->adapter[r + 1][i] - (double)o->adapter[r][i];
        mean += d * d;
    }
    assert_true(fabs(c->mean_sqnorm / norms - 1) < 1e-6);       /* numbers travel as float32 */
    assert_true(fabs(c->variance / (norms - mean) - 1) < 1e-4); /* the adapter is float32 */
    const double parts = c->group[0] + c->group[1] + c->group[2];
    assert_true(fabs(parts / c->variance - 1) < 1e-12);
}

static void test_estimators(void **state) {
    (void)state;
    static const char *const kinds[] = {"exact", "naive", "linear", "sketch", "sketch", "sketch"};
    static const char *const layouts[] = {"hash", "hash", "hash", "hash", "hash-xor", "xor"};
    static const char *const weightings[] = {"examples", "uniform"};
    for (size_t w = 0; w < 2; w++) {
        outcome *o[6];
        for (size_t i = 0; i < 6; i++) {
            o[i] = RUN(3, RESET, "fl.sync", "fda-opt", "fda.rule", "fixed", "fda.theta", "1e300",
                       "fda.max_checks", "4", "fda.estimator", kinds[i], "fda.sketch", layouts[i],
                       "fl.weighting", weightings[w]);
            same_adapters("decisions alike", o[i], o[0]);
            for (int r = 0; r < 3; r++) check_identity(o[i], r);
        }
        for (int r = 0; r < 3; r++)
            for (int c = 0; c < 4; c++) {
                const weft_check *exact = &o[0]->check[r][c], *naive = &o[1]->check[r][c];
                const weft_check *linear = &o[2]->check[r][c];
                const double v = exact->variance, slack = 1e-6 * naive->mean_sqnorm;
                assert_true(exact->estimate == v && naive->estimate == naive->mean_sqnorm);
                assert_true(naive->estimate >= linear->estimate);
                assert_true(linear->estimate >= v - slack);
                if (r > 0) assert_true(linear->estimate < naive->estimate);
                for (int i = 1; i < 6; i++) {
                    assert_true(o[i]->check[r][c].variance == v);
                    assert_int_equal(o[i]->check[r][c].steps, exact->steps);
                }
                const double mean = naive->mean_sqnorm - v; /* |mean update|^2 */
                for (int i = 3; i < 6; i++)                 /* six deviations of a row */
                    assert_true(fabs(o[i]->check[r][c].estimate - v) < mean * 6 * sqrt(2.0 / 250));
            }
        for (size_t i = 0; i < 6; i++) outcome_free(o[i]);
    }
}

static void test_weights_of_groups(void **state) {
    (void)state;
    static const char *const kinds[] = {"exact", "naive", "linear", "sketch"};
    for (size_t i = 0; i < 4; i++) {
        outcome *whole = RUN(2, RESET, "fl.sync", "fda-opt", "fda.rule", "fixed", "fda.theta",
                             "1e300", "fda.max_checks", "2", "fda.estimator", kinds[i]);
        outcome *only = RUN(2, RESET, "fl.sync", "fda-opt", "fda.rule", "fixed", "fda.theta",
                            "1e300", "fda.max_checks", "2", "fda.estimator", kinds[i],
                            "fda.weight_a", "4", "fda.weight_saved", "0");
        for (int r = 0; r < 2; r++) {
            const weft_check *a = &whole->check[r][1], *b = &only->check[r][1];
            assert_memory_equal(a->group, b->group, sizeof a->group);
            assert_true(fabs(b->variance / (4 * a->group[0] + a->group[1]) - 1) < 1e-12);
            assert_true(b->estimate >= b->variance * (kinds[i][0] == 's' ? 0.7 : 1 - 1e-6));
            assert_true(b->estimate <= b->mean_sqnorm * (1 + 1e-6));
        }
        outcome_free(whole), outcome_free(only);
    }
}

/* ---- decisions ---- */

static void test_decisions(void **state) {
    (void)state;
    static const char *const kinds[] = {"exact", "naive", "linear", "sketch"};
    for (size_t k = 0; k < 4; k++) {
        outcome *o = RUN(5, RESET, "fl.sync", "fda-opt", "fda.estimator", kinds[k]);
        bool before_cap = false;
        for (int r = 0; r < 5; r++) {
            const weft_round_report *report = &o->round[r];
            const weft_check *last = &o->check[r][report->n_checks - 1];
            if (r == 0) assert_int_equal(report->n_checks, 1);
            if (r == 0) assert_true(isnan(report->theta));
            if (r > 0) assert_true(report->theta == o->round[r - 1].theta_next);
            assert_true(report->theta_next == 5.0 / report->n_checks * last->variance);
            assert_false(report->kept_theta);
            assert_int_equal(report->barriers, report->n_checks + 1);
            for (int32_t i = 0; i < report->n_checks; i++) {
                const weft_check *c = &o->check[r][i];
                const bool is_last = i + 1 == report->n_checks;
                assert_int_equal(c->synchronise, is_last);
                assert_int_equal(c->clients, COHORT);
                if (r > 0 && !is_last) assert_true(!(c->estimate > report->theta));
                if (r > 0 && is_last && report->n_checks < 10)
                    assert_true(c->estimate > report->theta);
            }
            before_cap = before_cap || (r > 0 && report->n_checks < 10);
        }
        assert_true(before_cap); /* else nothing was decided */
        outcome_free(o);
    }
}

/* A client alone does not differ from the mean: no positive threshold is exceeded, nor is 0, which
 * the adaptive rule then arrives at. Its norm alone does exceed it. */
static void test_one_client_alone(void **state) {
    (void)state;
    static const char *const rules[] = {"fixed", "adaptive"};
    for (int i = 0; i < 2; i++) {
        outcome *o = RUN(3, RESET, "fl.sync", "fda-opt", "fl.clients_per_round", "1",
                         "fda.estimator", "exact", "fda.max_checks", "4", "fda.rule", rules[i],
                         "fda.theta", i ? "0" : "1e-300");
        for (int r = 0; r < 3; r++) {
            assert_int_equal(o->round[r].n_checks, i && r == 0 ? 1 : 4);
            for (int32_t c = 0; c < o->round[r].n_checks; c++) {
                assert_true(o->check[r][c].estimate == 0 && o->check[r][c].variance == 0);
                assert_true(o->check[r][c].mean_sqnorm > 0);
            }
            if (i) assert_true(o->round[r].theta_next == 0 && !o->round[r].kept_theta);
        }
        outcome_free(o);
    }
    outcome *o = RUN(3, RESET, "fl.sync", "fda-opt", "fl.clients_per_round", "1", "fda.estimator",
                     "naive", "fda.max_checks", "4");
    assert_true(o->round[0].theta_next == 0);
    for (int r = 0; r < 3; r++) assert_int_equal(o->round[r].n_checks, 1);
    outcome_free(o);
}

static void test_rules(void **state) {
    (void)state;
    outcome *o = RUN(4, RESET, "fl.sync", "fda-opt", "fda.rule", "always", "fda.target", "3");
    for (int r = 0; r < 4; r++) assert_int_equal(o->round[r].n_checks, r == 0 ? 1 : 3);
    outcome_free(o);
    o = RUN(3, RESET, "fl.sync", "fda-opt", "fda.theta_from", "estimate", "fda.estimator", "naive",
            "fda.target", "2", "fda.variance", "rounds");
    for (int r = 0; r < 3; r++) {
        const int32_t n = o->round[r].n_checks;
        assert_true(o->round[r].theta_next == 2.0 / n * o->check[r][n - 1].estimate);
        assert_true(isfinite(o->check[r][n - 1].variance));
        for (int32_t i = 0; i + 1 < n; i++) assert_true(isnan(o->check[r][i].variance));
    }
    outcome_free(o);
}

/* Rounds end after `checks` where the variance grows as checks^power. */
static void test_theta_rule(void **state) {
    (void)state;
    assert_true(we_theta_next(5, 1, 0.08) == 0.4 && we_theta_next(5, 5, 0.64) == 0.64);
    assert_true(we_theta_next(5, 10, 0.5) == 0.25);
    assert_true(fabs(we_theta_next(5, 1, 0.0033475) - 0.0167375) < 1e-15);
    static const struct {
        double power;
        int most, want[7];
    } toy[] = {{1, 10, {1, 6, 6, 6, 6, 6, 6}},
               {2, 10, {1, 3, 4, 5, 6, 6, 6}},
               {3, 10, {1, 2, 3, 4, 5, 6, 6}},
               {0.6, 10, {1, 10, 4, 6, 5, 6, 5}},
               {1.5, 18, {1, 5, 8, 9, 10, 10, 10}}};
    for (size_t i = 0; i < sizeof toy / sizeof *toy; i++)
        for (double scale = 1; scale > 1e-12;
             scale *= 0x1p-10) { /* of variances: decides nothing */
            double theta = 0;
            for (int r = 0; r < 7; r++) {
                int e = 1;
                while (r > 0 && e < toy[i].most && !(scale * pow(e, toy[i].power) > theta)) e++;
                assert_int_equal(e, toy[i].want[r]);
                theta = we_theta_next(toy[i].most / 2, e, scale * pow(e, toy[i].power));
            }
        }
    /* A long run has M/2 checks a round, and up to one more since they are whole. */
    for (double power = 1; power <= 2; power += 0.25)
        for (int most = 10; most <= 68; most += 2) {
            double theta = 0;
            int64_t sum = 0;
            for (int r = 0; r < 200; r++) {
                int e = 1;
                while (r > 0 && e < most && !(pow(e, power) > theta)) e++;
                theta = we_theta_next(most / 2, e, pow(e, power));
                if (r >= 20) sum += e;
            }
            const double mean = (double)sum / 180;
            assert_true(mean >= most / 2.0 && mean <= most / 2.0 + 1.5);
        }
}

/* ---- what may not change anything ---- */

static void test_same_decisions_everywhere(void **state) {
    (void)state;
    static const char *const kinds[] = {"sketch", "linear", "exact"};
    static const char *const layouts[] = {"xor", "hash", "hash"};
    for (size_t k = 0; k < 3; k++) {
        outcome *o = RUN(4, "fl.sync", "fda-opt", "fda.estimator", kinds[k], "fda.sketch",
                         layouts[k], "fl.strategy", "fedadam");
        outcome *packed =
            RUN(4, "fl.sync", "fda-opt", "fda.estimator", kinds[k], "fda.sketch", layouts[k],
                "fl.strategy", "fedadam", "engine.pack_tokens", "16", "run.threads", "3");
        same_checks("packs and threads", packed, o);
        same_adapters("packs and threads", packed, o);
        outcome_free(o), outcome_free(packed);
    }
}

static void test_resume(void **state) {
    (void)state;
    static const char *const jobs[][8] = {
        {"fl.sync", "fda-opt", "fda.estimator", "linear", "fl.strategy", "fedadam", "run.seed",
         "7"},
        {"fl.sync", "fda-opt", "fda.sketch", "xor", "fda.verdict", "estimate", "run.seed", "8"},
        {"fl.sync", "fda", "fda.theta", "2e-3", "fda.max_checks", "9", "fl.total_steps", "31"}};
    for (size_t i = 0; i < 3; i++) {
        outcome *whole = fda_run(4, jobs[i], 8);
        for (int stop = 0; stop < 4; stop++) {
            job a, b;
            kept_prepare(&a, jobs[i], 8, false), kept_start(&a);
            for (int r = 0; r < stop; r++) (void)kept_round(&a);
            blob saved = blob_save(a.engine);
            kept_finish(&a);
            kept_prepare(&b, jobs[i], 8, false), kept_start(&b);
            blob_load(b.engine, &saved);
            for (int r = stop; r < 4; r++) {
                const weft_round_report got = kept_round(&b);
                assert_int_equal(got.n_checks, whole->round[r].n_checks);
                for (int32_t c = 0; c < got.n_checks; c++)
                    check_same("check", &got.checks[c], &whole->check[r][c], sizeof(weft_check));
                check_same("ledger", &got.wire_total, &whole->round[r].wire_total,
                           sizeof got.wire_total);
                assert_int_equal(got.local_steps_total, whole->round[r].local_steps_total);
            }
            float *end = kept_adapter(&b);
            check_same("adapter", end, whole->adapter[4], whole->bytes);
            free(end), free(saved.data);
            kept_finish(&b);
        }
        outcome_free(whole);
    }
}

/* ---- lengths ---- */

static void test_total_steps(void **state) {
    (void)state;
    weft_error err = {0};
    weft_round_report r;
    job j;
    const char *const pairs[] = {"fl.sync",        "fda", "fda.theta",      "1e300",
                                 "fda.max_checks", "4",   "fl.total_steps", "10",
                                 "fl.num_rounds",  "100"};
    kept_prepare(&j, pairs, sizeof pairs / sizeof *pairs, false);
    kept_start(&j);
    const int64_t want[] = {4, 8, 10};
    for (int i = 0; i < 3; i++) {
        assert_false(weft_engine_is_done(j.engine));
        r = kept_round(&j);
        assert_int_equal(r.local_steps_total, want[i]);
        assert_int_equal(r.n_checks, i < 2 ? 4 : 2);
    }
    assert_true(weft_engine_is_done(j.engine));
    assert_int_equal(weft_engine_round(j.engine, &r, &err), WEFT_E_ARG);
    kept_finish(&j);
}

/* A run that ends within an epoch: what its last round tells is not of whole epochs, so theta stays
 * as it was, and a flag says so. */
static void test_theta_is_kept(void **state) {
    (void)state;
    const char *const pairs[] = {"fl.sync", "fda-opt",       RESET, "fl.total_steps",
                                 "31",      "fl.num_rounds", "100"};
    weft_round_report r = {0};
    double theta = 0;
    job j;
    kept_prepare(&j, pairs, sizeof pairs / sizeof *pairs, false);
    kept_start(&j);
    while (!weft_engine_is_done(j.engine)) {
        theta = r.theta_next;
        r = kept_round(&j);
        assert_int_equal(r.kept_theta, r.local_steps_total == 31);
    }
    assert_true(r.kept_theta && r.theta == theta && r.theta_next == theta);
    kept_finish(&j);
}

static void test_epoch_length(void **state) {
    (void)state;
    outcome *own = RUN(3, RESET), *longest = RUN(3, RESET, "client.epoch_length", "longest"),
            *shortest = RUN(3, RESET, "client.epoch_length", "shortest");
    for (int r = 0; r < 3; r++) {
        int64_t most = 0, fewest = INT64_MAX;
        for (int32_t i = 0; i < COHORT; i++) {
            const int64_t steps = own->client[r][i].steps;
            assert_int_equal(steps, (own->client[r][i].rows + 3) / 4);
            most = steps > most ? steps : most, fewest = steps < fewest ? steps : fewest;
        }
        assert_true(most > fewest);
        for (int32_t i = 0; i < COHORT; i++) {
            assert_int_equal(longest->client[r][i].steps, most);
            assert_int_equal(shortest->client[r][i].steps, fewest);
        }
    }
    outcome_free(own), outcome_free(longest), outcome_free(shortest);
}

/* ---- numbers that are not finite ---- */

/* A regression job whose client 0 has targets of one size, the others of another. */
static void prepare_targets(job *j, float first, float others) {
    static const char *const pairs[] = {"run.threads",
                                        "1",
                                        "fl.num_clients",
                                        "3",
                                        "fl.clients_per_round",
                                        "3",
                                        "fl.sync",
                                        "fda",
                                        "fda.theta",
                                        "1e300",
                                        "fda.max_checks",
                                        "3",
                                        "client.optimizer",
                                        "sgd",
                                        "client.max_grad_norm",
                                        "0",
                                        "client.learning_rate",
                                        "1",
                                        "data.task",
                                        "regression"};
    weft_error err = {0};
    memset(j, 0, sizeof *j);
    assert_true(golden_load(WEFT_TEST_DIR "/golden", &golden_bert_regression, &j->golden));
    j->rows = golden_rows(&j->golden);
    j->config = golden_config(&golden_bert_regression);
    golden_set_options(j->config, pairs, sizeof pairs / sizeof *pairs);
    check_ok(weft_partition_build(&j->part, j->config, &j->rows, &err), &err);
    float *target = (float *)(uintptr_t)j->rows.target;
    for (int32_t c = 0; c < 3; c++)
        for (int64_t i = j->part->offset[c]; i < j->part->offset[c + 1]; i++)
            target[j->part->row[i]] = c == 0 ? first : others;
    j->options = (weft_engine_options)WEFT_ENGINE_OPTIONS_INIT;
    j->options.config = j->config, j->options.model = golden_source(&j->golden);
    j->options.train = j->options.test = &j->rows, j->options.partition = j->part;
}

static void test_a_lost_client(void **state) {
    (void)state;
    job j;
    prepare_targets(&j, FLT_MAX, 0.5f); /* its gradient overflows in the first step */
    kept_start(&j);
    const weft_round_report r = kept_round(&j);
    assert_int_equal(r.n_skipped, 1);
    assert_int_equal(r.n_checks, 3);
    for (int32_t i = 0; i < 3; i++) {
        assert_int_equal(r.checks[i].clients, 2);
        assert_true(isfinite(r.checks[i].estimate) && isfinite(r.checks[i].variance));
    }
    for (int32_t i = 0; i < 3; i++)
        assert_int_equal(r.clients[i].checks, r.clients[i].skipped ? 0 : 3);
    kept_finish(&j);
}

static void test_all_clients_lost(void **state) {
    (void)state;
    weft_error err = {0};
    weft_round_report r;
    job j;
    prepare_targets(&j, FLT_MAX, FLT_MAX);
    kept_start(&j);
    for (int again = 0; again < 2; again++)
        assert_int_equal(weft_engine_round(j.engine, &r, &err), WEFT_E_DIVERGED);
    assert_int_equal(weft_engine_rounds_done(j.engine), 0);
    kept_finish(&j);
}

/* A round whose clients all diverge does not count, and its theta is that of the round before. */
static void test_a_lost_round_keeps_theta(void **state) {
    (void)state;
    weft_error err = {0};
    weft_round_report r;
    weft_state s;
    job j;
    prepare_targets(&j, 0.25f, 0.5f);
    check_ok(weft_config_set(j.config, "fda.rule", "adaptive", NULL, &err), &err);
    check_ok(weft_config_set(j.config, "fda.theta", "0", NULL, &err), &err);
    check_ok(weft_config_set(j.config, "client.learning_rate", "0.01", NULL, &err), &err);
    check_ok(weft_config_finish(j.config, &err), &err);
    kept_start(&j);
    const double theta = kept_round(&j).theta_next;
    assert_true(theta > 0);
    float *target = (float *)(uintptr_t)j.rows.target;
    for (int64_t i = 0; i < j.rows.n_rows; i++) target[i] = FLT_MAX;
    assert_int_equal(weft_engine_round(j.engine, &r, &err), WEFT_E_DIVERGED);
    check_ok(weft_engine_state(j.engine, &s, &err), &err);
    assert_true(s.theta == theta);
    assert_int_equal(weft_engine_rounds_done(j.engine), 1);
    kept_finish(&j);
}

/* An update that a float32 can hold and that cannot be added up (kernels/exact_sum.h): its client
 * is left out, and what the others say decides. */
static void test_an_update_far_too_large(void **state) {
    (void)state;
    weft_error err = {0};
    job j;
    prepare_targets(&j, 1e19f, 0.5f);
    check_ok(weft_config_set(j.config, "fda.rule", "adaptive", NULL, &err), &err);
    check_ok(weft_config_set(j.config, "fda.theta", "0", NULL, &err), &err);
    check_ok(weft_config_finish(j.config, &err), &err);
    kept_start(&j);
    const weft_round_report r = kept_round(&j);
    assert_int_equal(r.n_checks, 1);
    assert_true(isfinite(r.checks[0].estimate) && r.checks[0].synchronise);
    assert_int_equal(r.checks[0].clients, r.n_clients - r.n_skipped);
    assert_in_range(r.n_skipped, 1, r.n_clients - 1);
    assert_true(!r.kept_theta && r.theta_next > 0);
    weft_state s;
    check_ok(weft_engine_state(j.engine, &s, &err), &err);
    assert_true(s.theta == r.theta_next);
    kept_finish(&j);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_check_is_one_epoch),
        cmocka_unit_test(test_no_threshold_is_all_epochs),
        cmocka_unit_test(test_no_patience_is_every_step),
        cmocka_unit_test(test_estimators),
        cmocka_unit_test(test_weights_of_groups),
        cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_one_client_alone),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_theta_rule),
        cmocka_unit_test(test_same_decisions_everywhere),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_total_steps),
        cmocka_unit_test(test_theta_is_kept),
        cmocka_unit_test(test_epoch_length),
        cmocka_unit_test(test_a_lost_client),
        cmocka_unit_test(test_all_clients_lost),
        cmocka_unit_test(test_a_lost_round_keeps_theta),
        cmocka_unit_test(test_an_update_far_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
