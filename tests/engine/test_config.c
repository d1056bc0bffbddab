/* labels: unit */
#include "tests/check.h"

#include "engine/config.h"

#include <math.h>
#include <string.h>

static weft_config *fresh(void) {
    weft_config *c = NULL;
    weft_error err = {0};
    check_ok(weft_config_new(&c, &err), &err);
    return c;
}

static void set(weft_config *c, const char *key, const char *value) {
    weft_error err = {0};
    check_ok(weft_config_set(c, key, value, NULL, &err), &err);
}

/* ---- table ---- */

static void the_table_is_sound(void **state) {
    (void)state;
    assert_int_equal(weft_option_count(), WE_OPTION_COUNT);
    assert_null(weft_option_at(WE_OPTION_COUNT));
    for (size_t i = 0; i < weft_option_count(); i++) {
        const weft_option *o = weft_option_at(i);
        size_t section = strlen(o->section);
        assert_memory_equal(o->key, o->section, section);
        assert_int_equal(o->key[section], '.');
        assert_true(o->title[0] && o->help[0]);
        assert_ptr_equal(weft_option_find(o->key, NULL), o);
        assert_int_equal(o->kind == WEFT_OPTION_ENUM, o->choices != NULL);
        /* Every default passes its own bounds. */
        weft_config *c = fresh();
        assert_string_equal(weft_config_text(c, o->key), o->preset);
        assert_false(weft_config_is_set(c, o->key));
        set(c, o->key, o->preset);
        assert_string_equal(weft_config_text(c, o->key), o->preset);
        assert_true(weft_config_is_set(c, o->key));
        weft_config_free(c);
        /* No name is used twice. */
        char names[256];
        (void)snprintf(names, sizeof names, "%s", o->aliases);
        for (char *name = names; *name;) {
            size_t n = strcspn(name, " ");
            bool last = name[n] == '\0';
            name[n] = '\0';
            assert_ptr_equal(weft_option_find(name, NULL), o);
            name += last ? n : n + 1;
        }
    }
    const weft_option *seed = weft_option_find("run.seed", NULL);
    assert_string_equal(seed->title, "The run");
    assert_string_equal(weft_option_find("lora.r", NULL)->preset, "8");
    assert_true(weft_option_find("lora.r", NULL)->max == 1024);
    assert_string_equal(weft_option_find("fl.strategy", NULL)->preset, "fedavg");
}

/* The values in config.h are in the order of the choices in config.def. */
static void enums_match_their_choices(void **state) {
    (void)state;
    static const struct {
        const char *key, *choice;
        int value;
    } cases[] = {
        {"run.dtype", "auto", WE_DTYPE_AUTO},
        {"run.dtype", "f32", WE_DTYPE_F32},
        {"run.dtype", "bf16", WE_DTYPE_BF16},
        {"run.deterministic", "repeat", WE_DETERMINISTIC_REPEAT},
        {"run.deterministic", "placement", WE_DETERMINISTIC_PLACEMENT},
        {"data.format", "auto", WE_FORMAT_AUTO},
        {"data.format", "jsonl", WE_FORMAT_JSONL},
        {"data.format", "csv", WE_FORMAT_CSV},
        {"data.format", "tsv", WE_FORMAT_TSV},
        {"data.task", "classification", WE_TASK_CLASSIFICATION},
        {"data.task", "regression", WE_TASK_REGRESSION},
        {"data.on_bad_row", "fail", WE_BAD_ROW_FAIL},
        {"data.on_bad_row", "skip", WE_BAD_ROW_SKIP},
        {"partition.kind", "iid", WE_PARTITION_IID},
        {"partition.kind", "dirichlet", WE_PARTITION_DIRICHLET},
        {"partition.kind", "pathological", WE_PARTITION_PATHOLOGICAL},
        {"partition.kind", "shards", WE_PARTITION_SHARDS},
        {"partition.kind", "quantity", WE_PARTITION_QUANTITY},
        {"partition.kind", "natural", WE_PARTITION_NATURAL},
        {"run.sums", "auto", WE_SUMS_AUTO},
        {"run.sums", "host", WE_SUMS_HOST},
        {"fl.sampling", "independent", WE_SAMPLING_INDEPENDENT},
        {"fl.sampling", "pass", WE_SAMPLING_PASS},
        {"fl.strategy", "fedavg", WE_STRATEGY_FEDAVG},
        {"fl.strategy", "fedavgm", WE_STRATEGY_FEDAVGM},
        {"fl.strategy", "fedadagrad", WE_STRATEGY_FEDADAGRAD},
        {"fl.strategy", "fedadam", WE_STRATEGY_FEDADAM},
        {"fl.strategy", "fedyogi", WE_STRATEGY_FEDYOGI},
        {"fl.strategy", "fedprox", WE_STRATEGY_FEDPROX},
        {"fl.weighting", "examples", WE_WEIGHTING_EXAMPLES},
        {"fl.weighting", "uniform", WE_WEIGHTING_UNIFORM},
        {"server.preset", "reddi", WE_PRESET_REDDI},
        {"server.preset", "torch", WE_PRESET_TORCH},
        {"client.optimizer", "adamw", WE_CLIENT_ADAMW},
        {"client.optimizer", "sgd", WE_CLIENT_SGD},
        {"client.optimizer_state", "reset", WE_STATE_RESET},
        {"client.optimizer_state", "keep", WE_STATE_KEEP},
        {"fl.sync", "fixed", WE_SYNC_FIXED},
        {"fl.sync", "fda", WE_SYNC_FDA},
        {"fl.sync", "fda-opt", WE_SYNC_FDA_OPT},
        {"client.epoch_length", "own", WE_EPOCH_OWN},
        {"client.epoch_length", "longest", WE_EPOCH_LONGEST},
        {"client.epoch_length", "shortest", WE_EPOCH_SHORTEST},
        {"fda.estimator", "sketch", WE_ESTIMATOR_SKETCH},
        {"fda.estimator", "linear", WE_ESTIMATOR_LINEAR},
        {"fda.estimator", "naive", WE_ESTIMATOR_NAIVE},
        {"fda.estimator", "exact", WE_ESTIMATOR_EXACT},
        {"fda.rule", "fixed", WE_RULE_FIXED},
        {"fda.rule", "adaptive", WE_RULE_ADAPTIVE},
        {"fda.rule", "always", WE_RULE_ALWAYS},
        {"fda.theta_from", "variance", WE_THETA_FROM_VARIANCE},
        {"fda.theta_from", "estimate", WE_THETA_FROM_ESTIMATE},
        {"fda.sketch", "hash", WE_SKETCH_HASH},
        {"fda.sketch", "hash-xor", WE_SKETCH_HASH_XOR},
        {"fda.sketch", "xor", WE_SKETCH_XOR},
        {"fda.variance", "checks", WE_VARIANCE_CHECKS},
        {"fda.variance", "rounds", WE_VARIANCE_ROUNDS},
        {"fda.verdict", "flag", WE_VERDICT_FLAG},
        {"fda.verdict", "estimate", WE_VERDICT_ESTIMATE},
        {"ledger.topology", "star", WE_TOPOLOGY_STAR},
        {"ledger.topology", "allreduce", WE_TOPOLOGY_ALLREDUCE},
        {"client.lr_scheduler", "constant", WE_SCHEDULE_CONSTANT},
        {"client.lr_scheduler", "linear", WE_SCHEDULE_LINEAR},
        {"client.lr_scheduler", "cosine", WE_SCHEDULE_COSINE},
    };
    const size_t n = sizeof cases / sizeof *cases;
    size_t choices = 0;
    for (size_t i = 0; i < weft_option_count(); i++) {
        const char *at = weft_option_at(i)->choices;
        for (; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) choices++;
    }
    assert_int_equal(choices, n); /* a new choice needs a line above */
    weft_config *c = fresh();
    for (size_t i = 0; i < n; i++) {
        set(c, cases[i].key, cases[i].choice);
        assert_int_equal(weft_config_int(c, cases[i].key), cases[i].value);
        assert_string_equal(weft_config_text(c, cases[i].key), cases[i].choice);
    }
    assert_int_equal(c->client_lr_scheduler, WE_SCHEDULE_COSINE);
    weft_config_free(c);
}

static void devices_are_named(void **state) {
    (void)state;
    static const struct {
        const char *text;
        we_device_kind kind;
        int ordinal;
    } good[] = {{"auto", WE_DEVICE_AUTO, 0},   {"cpu", WE_DEVICE_CPU, 0},
                {"ref", WE_DEVICE_REF, 0},     {"cuda", WE_DEVICE_CUDA, 0},
                {"cuda:0", WE_DEVICE_CUDA, 0}, {"cuda:13", WE_DEVICE_CUDA, 13}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        we_device_choice choice = {WE_DEVICE_REF, -1};
        assert_true(we_config_device(good[i].text, &choice));
        assert_true(choice.kind == good[i].kind && choice.ordinal == good[i].ordinal);
    }
    static const char *const bad[] = {"", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:9999", "CPU"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(we_config_device(bad[i], &(we_device_choice){WE_DEVICE_AUTO, 0}));
}

static void unknown_keys_name_the_nearest(void **state) {
    (void)state;
    static const struct {
        const char *key, *nearest;
    } cases[] = {{"client.learning_rat", "client.learning_rate"},
                 {"client.lr", "client.learning_rate"},
                 {"Lora.R", "lora.r"},
                 {"lora.lora_dropout", "lora.dropout"},
                 {"fl.rounds", "fl.num_rounds"},
                 {"local_step", "client.local_steps"},
                 {"sed", "run.seed"}};
    const char *nearest = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(weft_option_find(cases[i].key, &nearest));
        assert_string_equal(nearest, cases[i].nearest);
    }
    nearest = NULL;
    assert_null(weft_option_find("", &nearest));
    assert_non_null(nearest);
    char huge[5000];
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    weft_config *c = fresh();
    weft_error err = {0};
    assert_int_equal(weft_config_set(c, huge, "1", NULL, &err), WEFT_E_CONFIG);
    assert_non_null(strstr(err.text, "xxx...'; did you mean "));
    assert_int_equal(weft_config_set(c, "lr", huge, huge, &err), WEFT_E_CONFIG);
    weft_config_free(c);
}

/* ---- setting ---- */

static void values_are_kept(void **state) {
    (void)state;
    weft_config *c = fresh();
    assert_true(c->client_learning_rate == 1e-3);
    set(c, "lr", "2e-4"); /* an alias */
    assert_true(c->client_learning_rate == 2e-4 && c->set.client_learning_rate);
    assert_true(weft_config_is_set(c, "client.learning_rate") && weft_config_is_set(c, "lr"));
    assert_string_equal(weft_config_text(c, "client.learning_rate"), "0.0002");
    assert_true(weft_config_real(c, "client.learning_rate") == 2e-4);
    set(c, "run.seed", "18446744073709551615");
    assert_true(c->run_seed == UINT64_MAX);
    assert_string_equal(weft_config_text(c, "seed"), "18446744073709551615");
    assert_true(weft_config_real(c, "seed") == 18446744073709551616.0);
    char model[] = "models/minilm";
    set(c, "model.path", model);
    model[0] = 'X'; /* the config holds its own copy */
    assert_string_equal(c->model_path, "models/minilm");
    set(c, "model.path", weft_config_text(c, "model.path")); /* from itself */
    assert_string_equal(c->model_path, "models/minilm");
    set(c, "model.path", "");
    assert_string_equal(c->model_path, "");
    assert_true(c->set.model_path);
    set(c, "lora.use_rslora", "true");
    assert_true(c->lora_use_rslora && weft_config_bool(c, "lora.use_rslora"));
    assert_string_equal(weft_config_text(c, "no.such.key"), "");
    assert_false(weft_config_is_set(c, "no.such.key"));
    assert_int_equal(weft_config_int(c, "no.such.key"), 0);
    weft_config_free(c);
    weft_config_free(NULL);
}

static void bad_values_give_one_clear_line(void **state) {
    (void)state;
    static const struct {
        const char *key, *value, *message; /* after "job.yaml:12:5: " */
    } cases[] = {
        {"client.learning_rate", "9999", "client.learning_rate: 9999 is outside [0, 1000]"},
        {"lr", "-1", "lr: -1 is outside [0, 1000]"},
        {"lr", "1e999", "lr: 1e999 is outside [0, 1000]"},
        {"lr", "fast", "lr: 'fast' is not a number (write it as 0.5 or 1e-3)"},
        {"lr", "nan", "lr: 'nan' is not a number (write it as 0.5 or 1e-3)"},
        {"lr", "", "lr: '' is not a number (write it as 0.5 or 1e-3)"},
        {"lora.r", "8.0", "lora.r: '8.0' is not a whole number"},
        {"lora.r", "2000", "lora.r: 2000 is outside [0, 1024]"},
        {"lora.r", "99999999999999999999", "lora.r: 99999999999999999999 is outside [0, 1024]"},
        {"seed", "-1", "seed: -1 is outside [0, 18446744073709551615]"},
        {"seed", "18446744073709551616",
         "seed: 18446744073709551616 is outside [0, 18446744073709551615]"},
        {"seed", "x", "seed: 'x' is not a whole number"},
        {"nesterov", "yes", "nesterov: 'yes' is not a boolean here; write true"},
        {"nesterov", "Off", "nesterov: 'Off' is not a boolean here; write false"},
        {"nesterov", "1", "nesterov: '1' is not a boolean here; write true"},
        {"nesterov", "True", "nesterov: 'True' is not a boolean here; write true"},
        {"nesterov", "maybe", "nesterov: 'maybe' is neither true nor false"},
        {"server.preset", "keras", "server.preset: 'keras' is not one of reddi or torch"},
        {"data.format", "xml", "data.format: 'xml' is not one of auto, jsonl, csv or tsv"},
        {"data.format", "js", "data.format: 'js' is not one of auto, jsonl, csv or tsv"},
        {"data.format", "csv|tsv", "data.format: 'csv|tsv' is not one of auto, jsonl, csv or tsv"},
        {"data.format", "", "data.format: '' is not one of auto, jsonl, csv or tsv"},
        {"data.format", "a\nb", "data.format: 'a?b' is not one of auto, jsonl, csv or tsv"},
        {"client.batchsize", "4",
         "unknown option 'client.batchsize'; did you mean client.batch_size?"},
    };
    weft_config *c = fresh();
    weft_error err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char want[256];
        (void)snprintf(want, sizeof want, "job.yaml:12:5: %s", cases[i].message);
        assert_int_equal(weft_config_set(c, cases[i].key, cases[i].value, "job.yaml:12:5", &err),
                         WEFT_E_CONFIG);
        assert_string_equal(err.text, want);
        assert_int_equal(weft_config_set(c, cases[i].key, cases[i].value, NULL, &err),
                         WEFT_E_CONFIG);
        assert_string_equal(err.text, cases[i].message);
        assert_false(weft_config_is_set(c, cases[i].key)); /* nothing was touched */
        const weft_option *o = weft_option_find(cases[i].key, NULL);
        if (o) assert_string_equal(weft_config_text(c, o->key), o->preset);
    }
    assert_int_equal(weft_config_set(c, "lr", NULL, NULL, &err), WEFT_E_ARG);
    assert_int_equal(weft_config_set(c, "lr", "x", NULL, NULL), WEFT_E_CONFIG);
    weft_config_free(c);
}

/* ---- presets ---- */

static weft_config *finished(const char *const *pairs) {
    weft_config *c = fresh();
    weft_error err = {0};
    for (; *pairs; pairs += 2) set(c, pairs[0], pairs[1]);
    check_ok(weft_config_finish(c, &err), &err);
    assert_true(c->finished);
    return c;
}

/* Reddi et al. 2021, and the defaults of torch.optim.AdamW and Adagrad. */
static void presets_fill_the_server(void **state) {
    (void)state;
    static const struct {
        const char *preset, *strategy;
        double lr, beta2, tau, initial_v, decay, mu;
        bool correction;
    } cases[] = {
        {"reddi", "fedavg", 1, 0.99, 1e-3, 1e-6, 0, 0, false},
        {"reddi", "fedavgm", 1, 0.99, 1e-3, 1e-6, 0, 0, false},
        {"reddi", "fedprox", 1, 0.99, 1e-3, 1e-6, 0, 0.01, false},
        {"reddi", "fedadagrad", 0.01, 0.99, 1e-3, 1e-6, 0, 0, false},
        {"reddi", "fedadam", 0.01, 0.99, 1e-3, 1e-6, 0, 0, false},
        {"reddi", "fedyogi", 0.01, 0.99, 1e-3, 1e-6, 0, 0, false},
        {"torch", "fedavg", 1, 0.999, 1e-8, 0, 0, 0, true},
        {"torch", "fedadagrad", 0.01, 0.999, 1e-10, 0, 0, 0, true},
        {"torch", "fedadam", 0.01, 0.999, 1e-8, 0, 0.01, 0, true},
        {"torch", "fedyogi", 0.01, 0.999, 1e-8, 0, 0, 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const pairs[] = {"server.preset", cases[i].preset, "fl.strategy",
                                     cases[i].strategy, NULL};
        weft_config *c = finished(pairs);
        assert_true(c->server_learning_rate == cases[i].lr);
        assert_true(c->server_momentum == 0.9 && c->server_beta1 == 0.9);
        assert_true(c->server_beta2 == cases[i].beta2);
        assert_true(c->server_tau == cases[i].tau);
        assert_true(fabs(c->server_initial_v - cases[i].initial_v) <= 1e-20);
        assert_true(c->server_weight_decay == cases[i].decay);
        assert_int_equal(c->server_bias_correction, cases[i].correction);
        assert_true(c->client_prox_mu == cases[i].mu);
        assert_false(weft_config_is_set(c, "server.tau"));
        weft_config_free(c);
    }
}

/* FDA (2405.20988) and FDA-Opt (2505.04535, M = 2 E + 8). */
static void synchronising_by_variance_has_its_defaults(void **state) {
    (void)state;
    static const struct {
        const char *epochs;
        int64_t most;
    } opt[] = {{"1", 10}, {"3", 14}, {"5", 18}, {"10", 28}, {"15", 38}, {"20", 48}, {"30", 68}};
    for (size_t i = 0; i < sizeof opt / sizeof *opt; i++) {
        const char *const pairs[] = {"fl.sync", "fda-opt", "client.local_epochs", opt[i].epochs,
                                     NULL};
        weft_config *c = finished(pairs);
        assert_int_equal(c->fda_max_checks, opt[i].most);
        assert_int_equal(c->fda_target, opt[i].most / 2);
        assert_int_equal(c->fda_rule, WE_RULE_ADAPTIVE);
        assert_int_equal(c->fda_estimator, WE_ESTIMATOR_SKETCH);
        assert_int_equal(c->fda_check_every, 0); /* an epoch */
        assert_int_equal(c->fda_sketch_depth, 3);
        assert_int_equal(c->fda_sketch_width, 500);
        assert_true(c->fda_epsilon == 1 / sqrt(500.0));
        assert_int_equal(c->client_optimizer_state, WE_STATE_RESET);
        weft_config_free(c);
    }
    const char *const fda[] = {"fl.sync", "fda", "fda.theta", "0.5", NULL};
    weft_config *c = finished(fda);
    assert_int_equal(c->fda_rule, WE_RULE_FIXED);
    assert_int_equal(c->fda_check_every, 1); /* every step */
    assert_int_equal(c->fda_max_checks, 10000);
    assert_int_equal(c->fda_sketch_depth, 5);
    assert_int_equal(c->fda_sketch_width, 250);
    assert_true(c->fda_epsilon == 1 / sqrt(250.0));
    assert_int_equal(c->client_optimizer_state, WE_STATE_KEEP);
    weft_config_free(c);
    const char *const own[] = {"fl.sync",
                               "fda-opt",
                               "fda.target",
                               "3",
                               "fda.sketch_depth",
                               "5",
                               "fda.sketch_width",
                               "400",
                               "fda.failure",
                               "0.01",
                               "fda.max_checks",
                               "7",
                               NULL};
    c = finished(own);
    assert_int_equal(c->fda_target, 3);
    assert_int_equal(c->fda_max_checks, 7);
    assert_true(fabs(c->fda_epsilon - 1.77 / 20) < 3e-4);
    weft_config_free(c);
}

static void presets_leave_what_the_user_set(void **state) {
    (void)state;
    const char *const torch[] = {"server.preset",
                                 "torch",
                                 "fl.strategy",
                                 "fedadam",
                                 "server.tau",
                                 "0.5",
                                 "server.beta2",
                                 "0.5",
                                 "server.bias_correction",
                                 "false",
                                 "server.weight_decay",
                                 "0",
                                 "server.initial_v",
                                 "0.125",
                                 "server_lr",
                                 "3",
                                 NULL};
    weft_config *c = finished(torch);
    assert_true(c->server_tau == 0.5 && c->server_beta2 == 0.5 && !c->server_bias_correction);
    assert_true(c->server_weight_decay == 0 && c->server_learning_rate == 3);
    assert_true(c->server_initial_v == 0.125);
    weft_config_free(c);
    const char *const reddi[] = {"fl.strategy", "fedadam", "server.tau", "0.1", NULL};
    c = finished(reddi);
    assert_true(fabs(c->server_initial_v - 0.01) < 1e-15); /* follows the user's tau */
    assert_string_equal(weft_config_text(c, "server.learning_rate"), "0.01");
    weft_config_free(c);
    const char *const prox[] = {"fl.strategy", "fedprox", "client.prox_mu", "0", NULL};
    c = finished(prox);
    assert_true(c->client_prox_mu == 0);
    weft_config_free(c);
}

static void a_small_federation_takes_part_as_a_whole(void **state) {
    (void)state;
    const char *const small[] = {"fl.num_clients", "4", NULL};
    weft_config *c = finished(small);
    assert_int_equal(c->fl_clients_per_round, 4);
    weft_error err = {0};
    set(c, "fl.num_clients", "50");
    assert_false(c->finished);
    check_ok(weft_config_finish(c, &err), &err);
    assert_int_equal(c->fl_clients_per_round, 10);
    weft_config_free(c);
}

/* A resolved configuration sets every key; it must pass and mean the same. */
static void a_resolved_configuration_reads_back(void **state) {
    (void)state;
    const char *const pairs[] = {
        "server.preset",  "torch", "fl.strategy", "fedadam", "client.local_steps", "7",
        "fl.num_clients", "3",     NULL};
    weft_config *first = finished(pairs), *second = fresh();
    weft_error err = {0};
    for (size_t i = 0; i < weft_option_count(); i++)
        set(second, weft_option_at(i)->key, weft_config_text(first, weft_option_at(i)->key));
    check_ok(weft_config_finish(second, &err), &err);
    for (size_t i = 0; i < weft_option_count(); i++) {
        const char *key = weft_option_at(i)->key;
        assert_string_equal(weft_config_text(first, key), weft_config_text(second, key));
    }
    weft_config_free(first);
    weft_config_free(second);
}

/* ---- rules ---- */

static void rules_name_both_sides_and_the_fix(void **state) {
    (void)state;
    static const struct {
        const char *pairs[7];
        const char *message;
    } cases[] = {
        {{"run.device", "gpu"}, "run.device=gpu is none of auto, cpu, cuda, cuda:N and ref"},
        {{"fl.num_clients", "5", "fl.clients_per_round", "6"},
         "fl.clients_per_round=6 is more than fl.num_clients=5: lower the first or raise the "
         "second"},
        {{"client.local_steps", "10", "client.local_epochs", "2"},
         "client.local_steps=10 and client.local_epochs=2 exclude each other: drop one of them"},
        {{"client.batch_size", "8", "client.micro_batch_size", "16"},
         "client.micro_batch_size=16 is more than client.batch_size=8: set it to 0 or lower it"},
        {{"client.optimizer", "sgd", "client.optimizer_state", "keep"},
         "client.optimizer_state=keep, but sgd without momentum has no state: drop it, or set "
         "client.momentum above 0 or client.optimizer=adamw"},
        {{"client.optimizer", "sgd", "client.nesterov", "true"},
         "client.nesterov=true needs client.momentum above 0, e.g. 0.9"},
        {{"client.momentum", "0.9"},
         "client.momentum is for sgd, but client.optimizer is adamw: drop it or set "
         "client.optimizer=sgd"},
        {{"client.prox_mu", "0.1", "fl.strategy", "fedadam"},
         "client.prox_mu=0.1 is for fl.strategy=fedprox, but it is fedadam: drop it or change the "
         "strategy"},
        {{"server.tau", "0", "fl.strategy", "fedyogi"},
         "server.tau=0 divides by zero where an update is 0: set it above 0, e.g. 1e-8"},
        {{"server.weight_decay", "0.1", "fl.strategy", "fedavgm"},
         "server.weight_decay=0.1 is for fedadagrad, fedadam and fedyogi, but fl.strategy is "
         "fedavgm: drop it or change the strategy"},
        {{"lora.alpha", "0"},
         "lora.alpha=0 switches the adapters off: raise it, or set lora.r=0 to train only "
         "lora.modules_to_save"},
        {{"lora.r", "0", "lora.modules_to_save", "none"},
         "lora.r=0 with lora.modules_to_save=none leaves nothing to train: raise lora.r or set "
         "lora.modules_to_save=default"},
        {{"partition.kind", "natural"},
         "partition.kind=natural needs data.client_column: name the column that holds the client "
         "of a row"},
        {{"data.text_column", ""}, "data.text_column is empty: name the column"},
        {{"data.text_pair_column", "text"},
         "data.text_column and data.text_pair_column are both 'text': name two columns"},
        {{"data.task", "regression", "data.labels", "a,b"},
         "data.labels names classes, but data.task is regression: drop one of them"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weft_config *c = fresh();
        weft_error err = {0};
        for (size_t j = 0; cases[i].pairs[j]; j += 2)
            set(c, cases[i].pairs[j], cases[i].pairs[j + 1]);
        assert_int_equal(weft_config_finish(c, &err), WEFT_E_CONFIG);
        assert_string_equal(err.text, cases[i].message);
        assert_false(c->finished);
        weft_config_free(c);
    }
}

static void rules_let_sound_settings_pass(void **state) {
    (void)state;
    static const char *const cases[][9] = {
        {"partition.kind", "natural", "data.client_column", "user", "fl.clients_per_round", "500"},
        {"partition.file", "partition.json", "fl.clients_per_round", "500"},
        {"optim", "sgd", "momentum", "0.9", "nesterov", "true"},
        {"optim", "sgd", "momentum", "0.9", "client.optimizer_state", "keep"},
        {"lora.r", "0", "lora.alpha", "0"},
        {"data.client_column", "label", "partition.kind", "natural"},
        {"client.local_steps", "10", "client.local_epochs", "1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) weft_config_free(finished(cases[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(enums_match_their_choices),
        cmocka_unit_test(devices_are_named),
        cmocka_unit_test(unknown_keys_name_the_nearest),
        cmocka_unit_test(values_are_kept),
        cmocka_unit_test(bad_values_give_one_clear_line),
        cmocka_unit_test(presets_fill_the_server),
        cmocka_unit_test(synchronising_by_variance_has_its_defaults),
        cmocka_unit_test(presets_leave_what_the_user_set),
        cmocka_unit_test(a_small_federation_takes_part_as_a_whole),
        cmocka_unit_test(a_resolved_configuration_reads_back),
        cmocka_unit_test(rules_name_both_sides_and_the_fix),
        cmocka_unit_test(rules_let_sound_settings_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
