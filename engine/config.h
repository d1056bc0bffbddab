/* The configuration as the engine reads it: one typed field per row of config.def. The public
 * access by name is in weft.h; rules that span options are in config_check.c. */
#ifndef WE_CONFIG_H
#define WE_CONFIG_H

#include "engine/weft.h"
#include "kernels/base.h"

/* Values in the order of the choices in config.def. */
typedef enum we_dtype_choice { WE_DTYPE_AUTO, WE_DTYPE_F32, WE_DTYPE_BF16 } we_dtype_choice;
typedef enum we_sums {
    WE_SUMS_AUTO = 0,
    WE_SUMS_HOST = 1,
} we_sums;

typedef enum we_deterministic {
    WE_DETERMINISTIC_REPEAT,
    WE_DETERMINISTIC_PLACEMENT,
} we_deterministic;
typedef enum we_data_format {
    WE_FORMAT_AUTO,
    WE_FORMAT_JSONL,
    WE_FORMAT_CSV,
    WE_FORMAT_TSV,
} we_data_format;
typedef enum we_task { WE_TASK_CLASSIFICATION, WE_TASK_REGRESSION } we_task;
typedef enum we_bad_row { WE_BAD_ROW_FAIL, WE_BAD_ROW_SKIP } we_bad_row;
typedef enum we_partition_kind {
    WE_PARTITION_IID,
    WE_PARTITION_DIRICHLET,
    WE_PARTITION_PATHOLOGICAL,
    WE_PARTITION_SHARDS,
    WE_PARTITION_QUANTITY,
    WE_PARTITION_NATURAL,
} we_partition_kind;
typedef enum we_sampling { WE_SAMPLING_INDEPENDENT, WE_SAMPLING_PASS } we_sampling;
typedef enum we_strategy_kind {
    WE_STRATEGY_FEDAVG,
    WE_STRATEGY_FEDAVGM,
    WE_STRATEGY_FEDADAGRAD,
    WE_STRATEGY_FEDADAM,
    WE_STRATEGY_FEDYOGI,
    WE_STRATEGY_FEDPROX,
} we_strategy_kind;
typedef enum we_weighting { WE_WEIGHTING_EXAMPLES, WE_WEIGHTING_UNIFORM } we_weighting;
typedef enum we_server_preset { WE_PRESET_REDDI, WE_PRESET_TORCH } we_server_preset;
typedef enum we_client_optimizer { WE_CLIENT_ADAMW, WE_CLIENT_SGD } we_client_optimizer;
typedef enum we_client_state { WE_STATE_RESET, WE_STATE_KEEP } we_client_state;
typedef enum we_schedule {
    WE_SCHEDULE_CONSTANT,
    WE_SCHEDULE_LINEAR,
    WE_SCHEDULE_COSINE,
} we_schedule;

typedef enum we_sync { WE_SYNC_FIXED, WE_SYNC_FDA, WE_SYNC_FDA_OPT } we_sync;

typedef enum we_epoch_length { WE_EPOCH_OWN, WE_EPOCH_LONGEST, WE_EPOCH_SHORTEST } we_epoch_length;

typedef enum we_estimator {
    WE_ESTIMATOR_SKETCH,
    WE_ESTIMATOR_LINEAR,
    WE_ESTIMATOR_NAIVE,
    WE_ESTIMATOR_EXACT,
} we_estimator;

typedef enum we_theta_rule { WE_RULE_FIXED, WE_RULE_ADAPTIVE, WE_RULE_ALWAYS } we_theta_rule;

typedef enum we_theta_from { WE_THETA_FROM_VARIANCE, WE_THETA_FROM_ESTIMATE } we_theta_from;

typedef enum we_sketch_kind { WE_SKETCH_HASH, WE_SKETCH_HASH_XOR, WE_SKETCH_XOR } we_sketch_kind;

typedef enum we_variance_when { WE_VARIANCE_CHECKS, WE_VARIANCE_ROUNDS } we_variance_when;

typedef enum we_verdict { WE_VERDICT_FLAG, WE_VERDICT_ESTIMATE } we_verdict;

typedef enum we_topology { WE_TOPOLOGY_STAR, WE_TOPOLOGY_ALLREDUCE } we_topology;

/* WE_OPTION_<field>: the row's index, the same as in weft_option_at. */
enum {
#define SECTION(name, title)
#define I(key, field, ...) WE_OPTION_##field,
#define U(key, field, ...) WE_OPTION_##field,
#define F(key, field, ...) WE_OPTION_##field,
#define B(key, field, ...) WE_OPTION_##field,
#define S(key, field, ...) WE_OPTION_##field,
#define E(key, field, ...) WE_OPTION_##field,
#include "engine/config.def"
    WE_OPTION_COUNT
};

#define WE_VALUE_TEXT 32 /* bytes for a number, boolean or choice as text */

/* Read the fields; write them only through weft_config_set and the we_config_put functions, which
 * keep the text in step. Strings are never NULL and belong to the config. */
struct weft_config {
#define SECTION(name, title)
#define I(key, field, ...)            int64_t field;
#define U(key, field, ...)            uint64_t field;
#define F(key, field, ...)            double field;
#define B(key, field, ...)            bool field;
#define S(key, field, ...)            const char *field;
#define E(key, field, def, type, ...) type field;
#include "engine/config.def"
    /* Set by the user: config->set.client_learning_rate. */
    struct {
#define SECTION(name, title)
#define I(key, field, ...) bool field;
#define U(key, field, ...) bool field;
#define F(key, field, ...) bool field;
#define B(key, field, ...) bool field;
#define S(key, field, ...) bool field;
#define E(key, field, ...) bool field;
#include "engine/config.def"
    } set;
    bool finished; /* weft_config_finish passed and nothing was set since */
    wk_ctx ctx;
    char text[WE_OPTION_COUNT][WE_VALUE_TEXT]; /* canonical; of all but strings */
    char *string[WE_OPTION_COUNT];             /* owned; NULL: the default */
};

/* run.device, read. */
typedef enum we_device_kind {
    WE_DEVICE_AUTO,
    WE_DEVICE_CPU,
    WE_DEVICE_REF,
    WE_DEVICE_CUDA,
} we_device_kind;
typedef struct we_device_choice {
    we_device_kind kind;
    int ordinal; /* of WE_DEVICE_CUDA */
} we_device_choice;

/* False when the text is none of auto, cpu, ref, cuda, cuda:N. */
bool we_config_device(const char *text, we_device_choice *out);

/* What a preset decides; the option does not count as set by the user.
 *     we_config_put_real(config, WE_OPTION_server_tau, 1e-8); */
void we_config_put_int(weft_config *config, int option, int64_t value);
void we_config_put_real(weft_config *config, int option, double value);
void we_config_put_bool(weft_config *config, int option, bool value);
void we_config_put_choice(weft_config *config, int option, int value); /* of an enum */

/* Parts of weft_config_finish: what fl.sync decides, after what client.* is; the rules. */
void we_config_fill_fda(weft_config *config);
WEFT_NODISCARD weft_status we_config_check_fda(const weft_config *config, weft_error *err);

#endif
