/* weft_config_finish: what presets decide, and the rules that span options, one function each. A
 * rule looks at values, not at who set them, so that a resolved configuration passes when it is
 * read back. */
#include "engine/config.h"

#include "engine/parse.h"

#include <inttypes.h>
#include <string.h>

/* ---- presets: only what the user left open ---- */

static bool is_adaptive(we_strategy_kind strategy) {
    return strategy == WE_STRATEGY_FEDADAGRAD || strategy == WE_STRATEGY_FEDADAM ||
           strategy == WE_STRATEGY_FEDYOGI;
}

/* Reddi et al. 2021, "Adaptive federated optimization" (no bias correction, v starts at tau^2), or
 * what torch.optim.AdamW, Adagrad and SGD do by default, as FDA-Opt uses them on the server. */
static void fill_server(weft_config *c) {
    bool torch = c->server_preset == WE_PRESET_TORCH;
    we_strategy_kind strategy = c->fl_strategy;
    if (!c->set.server_learning_rate)
        we_config_put_real(c, WE_OPTION_server_learning_rate, is_adaptive(strategy) ? 0.01 : 1.0);
    if (!c->set.server_beta2) we_config_put_real(c, WE_OPTION_server_beta2, torch ? 0.999 : 0.99);
    if (!c->set.server_tau) {
        double torch_tau = strategy == WE_STRATEGY_FEDADAGRAD ? 1e-10 : 1e-8;
        we_config_put_real(c, WE_OPTION_server_tau, torch ? torch_tau : 1e-3);
    }
    if (!c->set.server_initial_v) /* after tau */
        we_config_put_real(c, WE_OPTION_server_initial_v,
                           torch ? 0.0 : c->server_tau * c->server_tau);
    if (!c->set.server_bias_correction)
        we_config_put_bool(c, WE_OPTION_server_bias_correction, torch);
    if (!c->set.server_weight_decay)
        we_config_put_real(c, WE_OPTION_server_weight_decay,
                           torch && strategy == WE_STRATEGY_FEDADAM ? 0.01 : 0.0);
}

static void fill_prox(weft_config *c) {
    if (!c->set.client_prox_mu)
        we_config_put_real(c, WE_OPTION_client_prox_mu,
                           c->fl_strategy == WE_STRATEGY_FEDPROX ? 0.01 : 0.0);
}

/* The number of clients is known only with the data. */
static bool clients_come_from_data(const weft_config *c) {
    return c->partition_kind == WE_PARTITION_NATURAL || c->partition_file[0];
}

/* A small federation takes part as a whole unless the user says otherwise. */
static void fill_cohort(weft_config *c) {
    const int64_t usual = 10;
    if (c->set.fl_clients_per_round) return;
    bool small = !clients_come_from_data(c) && c->fl_num_clients < usual;
    we_config_put_int(c, WE_OPTION_fl_clients_per_round, small ? c->fl_num_clients : usual);
}

bool we_config_device(const char *text, we_device_choice *out) {
    static const char *const names[] = {"auto", "cpu", "ref", "cuda"};
    *out = (we_device_choice){WE_DEVICE_AUTO, 0};
    for (int i = 0; i < 4; i++)
        if (strcmp(text, names[i]) == 0) {
            out->kind = (we_device_kind)i;
            return true;
        }
    int64_t ordinal = -1;
    if (strncmp(text, "cuda:", 5) != 0 || we_parse_i64(text + 5, &ordinal)) return false;
    *out = (we_device_choice){WE_DEVICE_CUDA, (int)ordinal};
    return ordinal >= 0 && ordinal < 1024;
}

/* ---- rules ---- */

static weft_status check_device(const weft_config *c, weft_error *err) {
    we_device_choice choice;
    if (we_config_device(c->run_device, &choice)) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_CONFIG, "run.device=%s is none of auto, cpu, cuda, cuda:N and ref",
                     c->run_device);
}

static weft_status check_cohort(const weft_config *c, weft_error *err) {
    if (clients_come_from_data(c) || c->fl_clients_per_round <= c->fl_num_clients) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_CONFIG,
                     "fl.clients_per_round=%" PRId64 " is more than fl.num_clients=%" PRId64
                     ": lower the first or raise the second",
                     c->fl_clients_per_round, c->fl_num_clients);
}

static weft_status check_local_length(const weft_config *c, weft_error *err) {
    if (c->client_local_steps == 0 || c->client_local_epochs == 1) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_CONFIG,
                     "client.local_steps=%" PRId64 " and client.local_epochs=%" PRId64
                     " exclude each other: drop one of them",
                     c->client_local_steps, c->client_local_epochs);
}

static weft_status check_micro_batch(const weft_config *c, weft_error *err) {
    if (c->client_micro_batch_size <= c->client_batch_size) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_CONFIG,
                     "client.micro_batch_size=%" PRId64 " is more than client.batch_size=%" PRId64
                     ": set it to 0 or lower it",
                     c->client_micro_batch_size, c->client_batch_size);
}

static weft_status check_momentum(const weft_config *c, weft_error *err) {
    if (c->client_optimizer == WE_CLIENT_SGD) {
        if (!c->client_nesterov || c->client_momentum > 0) return WEFT_OK;
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "client.nesterov=true needs client.momentum above 0, e.g. 0.9");
    }
    if (c->client_momentum > 0 || c->client_nesterov)
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "%s is for sgd, but client.optimizer is adamw: drop it or set "
                         "client.optimizer=sgd",
                         c->client_nesterov ? "client.nesterov" : "client.momentum");
    return WEFT_OK;
}

static weft_status check_optimizer_state(const weft_config *c, weft_error *err) {
    if (c->client_optimizer_state == WE_STATE_RESET || c->client_optimizer == WE_CLIENT_ADAMW ||
        c->client_momentum > 0)
        return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_CONFIG,
                     "client.optimizer_state=keep, but sgd without momentum has no state: drop it, "
                     "or set client.momentum above 0 or client.optimizer=adamw");
}

static weft_status check_prox(const weft_config *c, weft_error *err) {
    if (c->client_prox_mu <= 0 || c->fl_strategy == WE_STRATEGY_FEDPROX) return WEFT_OK;
    char mu[WE_F64_TEXT];
    we_format_f64(mu, c->client_prox_mu);
    return WEFT_FAIL(
        err, WEFT_E_CONFIG,
        "client.prox_mu=%s is for fl.strategy=fedprox, but it is %s: drop it or change "
        "the strategy",
        mu, weft_config_text(c, "fl.strategy"));
}

static weft_status check_server_tau(const weft_config *c, weft_error *err) {
    if (!is_adaptive(c->fl_strategy) || c->server_tau > 0) return WEFT_OK;
    return WEFT_FAIL(
        err, WEFT_E_CONFIG,
        "server.tau=0 divides by zero where an update is 0: set it above 0, e.g. 1e-8");
}

static weft_status check_server_decay(const weft_config *c, weft_error *err) {
    if (is_adaptive(c->fl_strategy) || c->server_weight_decay <= 0) return WEFT_OK;
    char decay[WE_F64_TEXT];
    we_format_f64(decay, c->server_weight_decay);
    return WEFT_FAIL(err, WEFT_E_CONFIG,
                     "server.weight_decay=%s is for fedadagrad, fedadam and fedyogi, but "
                     "fl.strategy is %s: drop it or change the strategy",
                     decay, weft_config_text(c, "fl.strategy"));
}

static weft_status check_trainable(const weft_config *c, weft_error *err) {
    if (c->lora_r > 0) {
        if (c->lora_alpha > 0) return WEFT_OK;
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "lora.alpha=0 switches the adapters off: raise it, or set lora.r=0 to "
                         "train only lora.modules_to_save");
    }
    if (c->lora_modules_to_save[0] && strcmp(c->lora_modules_to_save, "none") != 0) return WEFT_OK;
    return WEFT_FAIL(
        err, WEFT_E_CONFIG,
        "lora.r=0 with lora.modules_to_save=%s leaves nothing to train: raise lora.r or "
        "set lora.modules_to_save=default",
        c->lora_modules_to_save[0] ? c->lora_modules_to_save : "''");
}

static weft_status check_natural(const weft_config *c, weft_error *err) {
    if (c->partition_kind != WE_PARTITION_NATURAL || c->partition_file[0] ||
        c->data_client_column[0])
        return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_CONFIG,
                     "partition.kind=natural needs data.client_column: name the column that holds "
                     "the client of a row");
}

static weft_status check_columns(const weft_config *c, weft_error *err) {
    const struct {
        const char *key, *name;
    } column[] = {{"data.text_column", c->data_text_column},
                  {"data.label_column", c->data_label_column},
                  {"data.text_pair_column", c->data_text_pair_column},
                  {"data.client_column", c->data_client_column}};
    for (size_t i = 0; i < 2; i++)
        if (!column[i].name[0])
            return WEFT_FAIL(err, WEFT_E_CONFIG, "%s is empty: name the column", column[i].key);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < i; j++) {
            if (!column[i].name[0] || strcmp(column[i].name, column[j].name) != 0) continue;
            /* A client may well be the rows of one class. */
            if (i == 3 && j == 1) continue;
            return WEFT_FAIL(err, WEFT_E_CONFIG, "%s and %s are both '%.80s': name two columns",
                             column[j].key, column[i].key, column[i].name);
        }
    return WEFT_OK;
}

static weft_status check_labels(const weft_config *c, weft_error *err) {
    if (c->data_task != WE_TASK_REGRESSION || !c->data_labels[0]) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_CONFIG,
                     "data.labels names classes, but data.task is regression: drop one of them");
}

weft_status weft_config_finish(weft_config *config, weft_error *err) {
    static weft_status (*const rules[])(const weft_config *, weft_error *) = {
        check_device,       check_cohort,       check_local_length,    check_micro_batch,
        check_momentum,     check_prox,         check_optimizer_state, check_server_tau,
        check_server_decay, check_trainable,    check_natural,         check_columns,
        check_labels,       we_config_check_fda};
    fill_server(config);
    fill_prox(config);
    fill_cohort(config);
    we_config_fill_fda(config);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) WEFT_TRY(rules[i](config, err));
    config->finished = true;
    return WEFT_OK;
}
