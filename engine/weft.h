/* Weft: public C API.
 *
 * One frozen transformer stays in memory; many simulated federated clients train LoRA adapters on
 * it at once. The nouns: an ADAPTER is all trainable tensors of one client, one flat float vector
 * with named views; a ROUND samples clients, trains them from the global adapter, and folds their
 * updates back into it. The library reads no files, no environment and no arguments: rows, weights
 * and options come in through this header, reports go out. The command `weft` (host/) is its first
 * user.
 *
 * Conventions. Every function that can fail returns a weft_status and fills *err (may be NULL) with
 * one line for people; on failure outputs are left untouched. Getters do not fail. Handles are
 * opaque; NULL is fine for every close/free. Strings are UTF-8. Unless the word *own* appears,
 * pointers stay the caller's and what is returned lives as long as the handle. A handle may be used
 * by one thread at a time. */
#ifndef WEFT_H
#define WEFT_H

#include "kernels/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- configuration ---- */

/* Options are rows of one table (engine/config.def), set and read by dotted name. */

typedef struct weft_config weft_config;

typedef enum weft_option_kind {
    WEFT_OPTION_INT = 0,
    WEFT_OPTION_UINT = 1,
    WEFT_OPTION_REAL = 2,
    WEFT_OPTION_BOOL = 3,
    WEFT_OPTION_TEXT = 4,
    WEFT_OPTION_ENUM = 5,
} weft_option_kind;

typedef struct weft_option {
    const char *key;     /* "client.learning_rate" */
    const char *section; /* "client" */
    const char *title;   /* of the section, for help */
    weft_option_kind kind;
    const char *preset;  /* the default, as text */
    double min, max;     /* INT, UINT, REAL; inclusive */
    const char *choices; /* ENUM: "sgd|adamw"; else NULL */
    const char *aliases; /* other accepted names, separated by a space; may be "" */
    const char *help;
} weft_option;

size_t weft_option_count(void);
const weft_option *weft_option_at(size_t index); /* NULL past the end */
/* The row for a key or alias, else NULL; then *nearest (may be NULL) is the most similar known key.
 */
const weft_option *weft_option_find(const char *key, const char **nearest);

WEFT_NODISCARD weft_status weft_config_new(weft_config **out, weft_error *err);
void weft_config_free(weft_config *config);
/* Parse, check bounds and set. `where` ("job.yaml:12:5", may be NULL) opens the message.
 * WEFT_E_CONFIG: unknown key (with the nearest), bad value, out of bounds. */
WEFT_NODISCARD weft_status weft_config_set(weft_config *config, const char *key, const char *value,
                                           const char *where, weft_error *err);
/* Fill what presets decide and check the rules that span options. Call once after the last set. */
WEFT_NODISCARD weft_status weft_config_finish(weft_config *config, weft_error *err);
/* Set by the user, not by a default or preset. */
bool weft_config_is_set(const weft_config *config, const char *key);
/* The value as canonical text; the pointer lives until the next set of that key. "" for unknown
 * keys. */
const char *weft_config_text(const weft_config *config, const char *key);
int64_t weft_config_int(const weft_config *config, const char *key);
double weft_config_real(const weft_config *config, const char *key);
bool weft_config_bool(const weft_config *config, const char *key);

/* ---- what goes in ---- */

/* Numbers equal wk_dtype. */
typedef enum weft_dtype {
    WEFT_F32 = 0,
    WEFT_F64 = 1,
    WEFT_BF16 = 2,
    WEFT_F16 = 3,
    WEFT_I32 = 4,
    WEFT_U8 = 5,
    WEFT_I64 = 6,
} weft_dtype;

typedef struct weft_source_tensor {
    const void *data; /* row-major, contiguous, aligned to its element; NULL: no such tensor */
    weft_dtype dtype;
    int32_t ndim;
    int64_t dim[8];
} weft_source_tensor;

/* A pretrained model, as the host found it. Called only inside weft_engine_open and
 * weft_plan_build. */
typedef struct weft_model_source {
    void *ud;
    const char *name; /* for messages, e.g. the folder */
    /* Value of a flattened config.json key ("num_hidden_layers", "a.b") as text: numbers and
     * booleans as JSON writes them, strings without quotes, arrays as JSON text; NULL when absent.
     */
    const char *(*meta)(void *ud, const char *key);
    /* Fill *out for a tensor name; absent is WEFT_OK with out->data NULL. */
    weft_status (*tensor)(void *ud, const char *name, weft_source_tensor *out, weft_error *err);
} weft_model_source;

/* Tokenised rows. Borrowed until the engine is closed. */
typedef struct weft_rows {
    int64_t n_rows;
    const int64_t *offset; /* (n_rows+1) into token and type */
    const int32_t *token;  /* with special tokens, already truncated */
    const uint8_t *type;   /* token type ids, NULL: all 0 */
    const int32_t *label;  /* (n_rows) class in [0, num_labels); NULL for regression */
    const float *target;   /* (n_rows) for regression; NULL for classification */
    const int32_t *client; /* (n_rows) natural client in [0, n_clients); NULL: none */
    int32_t n_clients;
    int32_t num_labels; /* 1 for regression */
} weft_rows;

/* Which training rows each client holds: client c owns row[offset[c]] … row[offset[c+1]-1]. */
typedef struct weft_partition {
    int32_t n_clients;
    int64_t *offset; /* (n_clients+1) */
    int32_t *row;    /* (offset[n_clients]), ascending within a client */
} weft_partition;

/* Split rows over clients as partition.* says. *Owned* by the caller: weft_partition_free.
 * WEFT_E_CONFIG: more clients than rows, a client that would stay empty, natural split without
 * client ids. */
WEFT_NODISCARD weft_status weft_partition_build(weft_partition **out, const weft_config *config,
                                                const weft_rows *rows, weft_error *err);
/* Check a partition read from outside against the rows: ranges, no row twice, no empty client. */
WEFT_NODISCARD weft_status weft_partition_check(const weft_partition *partition,
                                                const weft_rows *rows, weft_error *err);
void weft_partition_free(weft_partition *partition);

/* What a small printed table says about a partition. */
typedef struct weft_partition_stats {
    int32_t n_clients;
    int64_t rows, rows_unused;               /* given out; left over */
    int64_t rows_min, rows_median, rows_max; /* of a client; the lower median */
    int32_t classes_min, classes_max;        /* of a client; 0 for regression */
    double classes_mean;
    /* Mean over clients of the total variation distance between the client's label shares and those
     * of all rows given out: 0 for equal shares, towards 1 for clients of one class among many. */
    double label_skew;
} weft_partition_stats;
/* Of a partition that was built or checked. WEFT_E_MEM. */
WEFT_NODISCARD weft_status weft_partition_stats_get(weft_partition_stats *out,
                                                    const weft_partition *partition,
                                                    const weft_rows *rows, weft_error *err);

typedef enum weft_log_level {
    WEFT_LOG_ERROR = 0,
    WEFT_LOG_WARN = 1,
    WEFT_LOG_INFO = 2,
    WEFT_LOG_DEBUG = 3,
} weft_log_level;

typedef enum weft_phase {
    WEFT_PHASE_TRAIN = 0, /* done/total: client steps of the round */
    WEFT_PHASE_EVAL = 1,  /* rows */
    WEFT_PHASE_PROBE = 2, /* rows, then optimizer iterations */
} weft_phase;

/* Everything the library may call back. All optional. */
typedef struct weft_hooks {
    void *ud;
    void *(*alloc)(void *ud, size_t bytes); /* both or neither; default: the C library */
    void (*release)(void *ud, void *ptr);
    void (*log)(void *ud, weft_log_level level, const char *module, const char *text);
    /* Called often from the calling thread; return false to stop with WEFT_E_STOPPED. */
    bool (*tick)(void *ud, weft_phase phase, int64_t done, int64_t total);
    /* A place for what does not fit engine.state_pool_mib, both or neither: records 0, 1, … of one
     * size, private to the engine. write replaces record `record` (WEFT_E_OUTPUT: no room), read
     * gives back what was last written there (WEFT_E_DATA: it is gone). Called only inside
     * weft_engine_round. */
    weft_status (*store_write)(void *ud, int64_t record, const void *data, size_t bytes,
                               weft_error *err);
    weft_status (*store_read)(void *ud, int64_t record, void *data, size_t bytes, weft_error *err);
} weft_hooks;

/* ---- ranks ---- */

#define WEFT_MAX_RANKS 1024

/* How several engines, on as many threads, processes or machines, work as one job. They are opened
 * with the same options, comm apart, and the same calls are made on all of them in the same order:
 * weft_engine_round and weft_engine_eval then exchange what is needed, and all return the same
 * reports, metrics and adapters, to the bit those of one engine alone (`packs`, which are fuller on
 * one, and `swap`, which is the rank's own, apart). So does weft_plan_build. A failure on one rank
 * ends the call on all, with its status and its text. WEFT_E_COMM: a rank cannot be reached.
 *
 * Both functions are called by all ranks alike and block. They return WEFT_OK, or fill *err. */
typedef struct weft_comm {
    int32_t rank, size;
    const char *name; /* for messages */
    void *ud;
    /* in (bytes) of every rank → out (size, bytes), by rank. `in` may be its place in out. */
    weft_status (*allgather)(void *ud, const void *in, size_t bytes, void *out, weft_error *err);
    /* words (n) = the sum over ranks, modulo 2^64. */
    weft_status (*sum)(void *ud, int64_t *words, int64_t n, weft_error *err);
    /* Vectors on devices may be summed between these where they can do it (NCCL), instead of by
     * `sum`: run.sums. Opening an engine is then an exchange too: it opens on all ranks or on none.
     * The same on all ranks; needs ranks that can wait for each other run.comm_timeout seconds. */
    bool on_devices;
} weft_comm;

/* Ranks that are threads of this process. *Owned* by the caller; close after all engines. */
typedef struct weft_comm_threads weft_comm_threads;
WEFT_NODISCARD weft_status weft_comm_threads_open(weft_comm_threads **out, int32_t n,
                                                  weft_error *err);
const weft_comm *weft_comm_threads_rank(const weft_comm_threads *threads, int32_t rank);
void weft_comm_threads_close(weft_comm_threads *threads);

/* ---- engine ---- */

typedef struct weft_engine weft_engine;
struct wk_backend;

typedef struct weft_engine_options {
    size_t size; /* sizeof(weft_engine_options): WEFT_ENGINE_OPTIONS_INIT */
    const weft_config *config;
    weft_model_source model;
    const weft_rows *train;          /* may be NULL when only evaluating */
    const weft_rows *test;           /* may be NULL: no server evaluation */
    const weft_partition *partition; /* NULL with train NULL */
    weft_hooks hooks;
    /* A backend that a plugin brought (libweft_cuda), for run.device auto and cuda; or NULL and why
     * there is none, one line, for messages. Both live as long as the engine. */
    const struct wk_backend *backend;
    const char *backend_note;
    const weft_comm *comm; /* NULL: this engine works alone; lives as long as the engine */
} weft_engine_options;

#define WEFT_ENGINE_OPTIONS_INIT                                                                   \
    { .size = sizeof(weft_engine_options) }

/* Loads the frozen base, lays out adapters, takes all memory. After it, memory does not grow.
 * Errors: WEFT_E_DATA (model, rows or partition), WEFT_E_CONFIG, WEFT_E_MEM, WEFT_E_DEVICE, and
 * WEFT_E_COMM where opening is an exchange (weft_comm.on_devices). */
WEFT_NODISCARD weft_status weft_engine_open(weft_engine **out, const weft_engine_options *options,
                                            weft_error *err);
void weft_engine_close(weft_engine *engine);

typedef struct weft_engine_info {
    const char *architecture;  /* "bert" */
    const char *backend;       /* "cpu" */
    const char *backend_note;  /* instruction set, GEMM implementation; the card */
    const char *hidden_dtype;  /* of the base's weights and activations: "float32", "bfloat16" */
    const char *device_reason; /* why this device and dtype, one line */
    int threads;
    int64_t base_parameters;
    int64_t adapter_numel; /* trainable numbers that travel */
    int64_t adapter_size;  /* floats of the flat vector, alignment gaps included */
    int32_t n_views;
    int32_t lora_r;
    double lora_alpha, lora_scale; /* scale = alpha/r or alpha/sqrt(r) */
    const char *target_modules; /* what was adapted, comma separated suffixes, e.g. "query,value" */
    const char *modules_to_save; /* comma separated, e.g. "classifier" */
    int32_t num_labels;
    int32_t slots;
    int64_t pack_tokens;
    int64_t device_bytes; /* held on the device: base, adapters, activations, workspace */
    /* How ranks sum vectors, and why not otherwise: "NCCL 2.28.9", "through host memory (tcp):
     * ranks 0 and 1 share a GPU"; "" alone. The same on all ranks. */
    const char *sums;
} weft_engine_info;

void weft_engine_info_get(const weft_engine *engine, weft_engine_info *out);

/* ---- training ---- */

/* Ledger: bytes that a deployment would send, to the clients and from them. Exact; adapters travel
 * as float32. By kind:
 *   model    global adapters and updates
 *   state    what clients send so that the variance between them can be estimated (fl.sync)
 *   verdict  whether to go on, after each such check
 *   once     what a client needs the first time it takes part: the sketch's hash functions */
typedef struct weft_wire {
    uint64_t down, up; /* sums of the following */
    uint64_t model_down, model_up, state_down, state_up, verdict_down, once_down;
} weft_wire;

typedef struct weft_client_report {
    int32_t client;
    int64_t rows;     /* it holds */
    int64_t steps;    /* optimizer steps done */
    int64_t examples; /* rows seen */
    int64_t tokens;
    double weight;    /* share in the mean; 0 when skipped */
    double loss;      /* mean training loss over its steps */
    double last_loss; /* of its last step */
    double update_norm;
    bool skipped;   /* its gradient or update was not finite */
    int32_t checks; /* that it answered */
    weft_wire wire; /* the model down; its update up, unless skipped; what checks take */
} weft_client_report;

/* The groups of an adapter whose variance is told apart. */
typedef enum weft_group {
    WEFT_GROUP_A = 0, /* LoRA A factors */
    WEFT_GROUP_B = 1,
    WEFT_GROUP_SAVED = 2, /* lora.modules_to_save */
    WEFT_GROUPS = 3,
} weft_group;

/* A look at the variance between the clients of a round (fl.sync=fda, fda-opt):
 * Var = mean |u_k|^2 - |mean u_k|^2 over their updates u_k so far, the means weighted as the
 * aggregation, groups weighted by fda.weight_*. */
typedef struct weft_check {
    int64_t steps;             /* local steps since the round began, of the client with the most */
    double estimate;           /* what decides; NaN or infinite: not finite, synchronise */
    double variance;           /* exact; NaN where fda.variance=rounds leaves it out */
    double group[WEFT_GROUPS]; /* of each group, unweighted; as variance */
    double mean_sqnorm;        /* mean |u_k|^2 */
    double theta;
    int32_t clients; /* that answered */
    bool synchronise;
} weft_check;

/* Optimizer state of clients on its way (client.optimizer_state=keep), in records of one client
 * each. Copies run beside the training; some belong to the round that follows. */
typedef struct weft_swap {
    uint64_t record_bytes;
    uint64_t in, out;       /* to the device, from it */
    uint64_t stayed;        /* visits that found the state still in their slot */
    uint64_t read, written; /* of the host's store */
} weft_swap;

typedef struct weft_round_report {
    int64_t round; /* 1-based */
    int32_t n_clients, n_skipped;
    const weft_client_report *clients; /* (n_clients) in cohort order; until the next round */
    double loss;                       /* weighted as the aggregation */
    double learning_rate;              /* of the clients in this round */
    int64_t steps, examples, tokens;
    int64_t packs; /* forward/backward passes over the base */
    weft_wire wire, wire_total;
    /* Local steps of the client with the most, in this round and in all: the time that a
     * deployment's clients train. */
    int64_t local_steps, local_steps_total;
    int64_t barriers; /* times that all clients wait for each other */
    /* fl.sync=fda, fda-opt; else none and 0. */
    const weft_check *checks; /* (n_checks) until the next round; the last one ended the round */
    int32_t n_checks;
    double theta, theta_next; /* of this round and the next, if there is a threshold */
    bool kept_theta; /* an estimate or the variance was not finite, so theta was not adapted */
    weft_swap swap;  /* since the last report; all 0 when nothing is kept */
} weft_round_report;

/* One round, blocking. WEFT_E_DIVERGED when every client of the cohort failed; WEFT_E_STOPPED from
 * tick; WEFT_E_OUTPUT and WEFT_E_DATA from the store. The global adapter and the state of clients
 * are then those of the last complete round, and the round can be had again. */
WEFT_NODISCARD weft_status weft_engine_round(weft_engine *engine, weft_round_report *report,
                                             weft_error *err);
int64_t weft_engine_rounds_done(const weft_engine *engine);
/* All of fl.num_rounds or fl.total_steps is done. */
bool weft_engine_is_done(const weft_engine *engine);

/* ---- evaluation ---- */

typedef struct weft_metrics {
    int64_t n;
    double loss;
    double accuracy, f1_macro, f1_binary, matthews; /* classification; f1_binary for two classes */
    double pearson, spearman, mse;                  /* regression */
    bool is_regression;
} weft_metrics;

typedef enum weft_split { WEFT_SPLIT_TRAIN = 0, WEFT_SPLIT_TEST = 1 } weft_split;

typedef struct weft_eval_options {
    weft_split split;
    const int32_t *rows; /* NULL: all rows of the split */
    int64_t n_rows;
    /* Optional: outputs (num_labels floats) of each row, in order. */
    void (*output)(void *ud, int64_t row, const float *logits, int32_t n);
    void *ud;
} weft_eval_options;

/* Evaluate the global adapter. Does not change training. */
WEFT_NODISCARD weft_status weft_engine_eval(weft_engine *engine, const weft_eval_options *options,
                                            weft_metrics *out, weft_error *err);

/* What a model without adapters reaches: the most frequent training class (or training mean), and a
 * linear probe: L2-regularised multinomial logistic (ridge) regression on frozen mean-pooled
 * features, trained on all training rows in one place, its strength chosen on a fifth of them. */
typedef struct weft_baselines {
    weft_metrics majority, probe;
    double probe_c; /* inverse regularisation strength chosen */
} weft_baselines;
WEFT_NODISCARD weft_status weft_engine_baselines(weft_engine *engine, weft_baselines *out,
                                                 weft_error *err);

/* ---- adapter in and out ---- */

typedef struct weft_view {
    const char *module;   /* HF module path, e.g. "bert.encoder.layer.0.attention.self.query" */
    const char *tensor;   /* "lora_A.weight", "lora_B.weight", "weight", "bias" */
    int32_t ndim;         /* 1 or 2 */
    int64_t dim[2];       /* lora_A (r, in), lora_B (out, r) as PEFT stores them */
    int64_t offset;       /* into the flat vector, in floats */
    bool is_saved_module; /* belongs to modules_to_save */
} weft_view;

const weft_view *weft_engine_view(const weft_engine *engine, int32_t index); /* NULL past the end */
/* Copy the global adapter out of / into the engine: adapter_size floats; gaps are ignored.
 * Writing resets no optimizer state and is refused with WEFT_E_ARG after the first round. */
WEFT_NODISCARD weft_status weft_engine_adapter_read(weft_engine *engine, float *flat,
                                                    weft_error *err);
WEFT_NODISCARD weft_status weft_engine_adapter_write(weft_engine *engine, const float *flat,
                                                     weft_error *err);

/* ---- checkpoints ---- */

/* The whole state of a training engine between two rounds: what a later process needs to go on as
 * if there had been no other. What is drawn (cohorts, orders of rows, dropout) is a function of the
 * seed and the round's number and needs no state. */

#define WEFT_STATE_TENSORS 8

/* One array of it. Moved row by row, a row being everything below dim[0]. */
typedef struct weft_state_tensor {
    const char *name; /* "global_adapter", "server_m", "client_moments", … */
    weft_dtype dtype;
    int32_t ndim; /* 1 to 3 */
    int64_t dim[3];
} weft_state_tensor;

/* Hashes of what must be the same when training goes on; 0: there is none. */
typedef struct weft_identity {
    uint64_t base, train, test, partition;
} weft_identity;

typedef struct weft_state {
    int64_t rounds_done, local_steps_total;
    weft_wire wire_total;
    double theta; /* of the next round, where fl.sync adapts it; else 0 */
    weft_identity identity;
    int32_t n_tensors;
    weft_state_tensor tensor[WEFT_STATE_TENSORS]; /* larger elements first, then by name */
    uint64_t checksum;                            /* of all bytes; filled by save */
} weft_state;

/* What the engine is at now, checksum apart. After a round that failed or was stopped: the last
 * complete one. WEFT_E_ARG: it was opened for evaluation only. On several ranks, where
 * client.optimizer_state is keep, this and the next are called on all of them: each has the state
 * of its own clients, and all write the same. */
WEFT_NODISCARD weft_status weft_engine_state(weft_engine *engine, weft_state *out, weft_error *err);

typedef weft_status (*weft_state_write)(void *ud, const void *data, size_t bytes, weft_error *err);
/* Hands out all tensors of weft_engine_state, in its order, row by row, without gaps. Errors of
 * `write` end it and are passed on; those of the store as in weft_engine_round. Training can go on
 * after it, as if it had not been called, whether it failed or not. */
WEFT_NODISCARD weft_status weft_engine_state_save(weft_engine *engine, weft_state *state,
                                                  weft_state_write write, void *ud,
                                                  weft_error *err);

/* `bytes` of state->tensor[tensor] from `offset` on. */
typedef weft_status (*weft_state_read)(void *ud, int32_t tensor, uint64_t offset, void *data,
                                       size_t bytes, weft_error *err);
/* Takes a state over, before the first round. The tensors may come in any order. Everything is
 * read and checked before anything is changed, except where client states need the store:
 * WEFT_E_RESUME: another base, other rows, another partition, missing or misshapen tensors, a
 * checksum that does not fit, impossible values. After another failure the engine is good for
 * closing only. */
WEFT_NODISCARD weft_status weft_engine_state_load(weft_engine *engine, const weft_state *state,
                                                  weft_state_read read, void *ud, weft_error *err);

/* ---- measuring ---- */

#define WEFT_PROFILE_PHASES 32

typedef struct weft_phase_cost {
    const char *name; /* "forward: attention", … */
    double seconds;   /* on the device */
    double flops;     /* multiply and add count as two */
    double bytes;     /* each operand of each operation once */
    uint64_t ops, launches;
} weft_phase_cost;

/* A round by phase. With replays a recorded pass is one phase, "passes", and what is neither it nor
 * another phase, "other", is the device waiting or receiving. */
typedef struct weft_profile {
    int32_t n;
    weft_phase_cost phase[WEFT_PROFILE_PHASES]; /* in order of first use */
    weft_phase_cost total;
} weft_profile;

/* What the device reaches at best, measured now: a large product in the dtype of the base, FLOP/s,
 * and a large copy, bytes read plus written per second. Takes memory for the time of the call. */
typedef struct weft_ceilings {
    double flops, bytes;
} weft_ceilings;
WEFT_NODISCARD weft_status weft_engine_ceilings(weft_engine *engine, weft_ceilings *out,
                                                weft_error *err);

/* ---- plugins ---- */

/* Number of the interface between this library and a backend that a plugin brings; the plugin must
 * have been built for the same one. */
uint32_t weft_backend_interface(void);

/* ---- plan ---- */

#define WEFT_PLAN_ITEMS    24
#define WEFT_DEVICE_REASON 400 /* bytes */

typedef struct weft_plan_item {
    const char *name; /* "base weights", "activations", … */
    uint64_t bytes;
} weft_plan_item;

typedef struct weft_plan {
    int32_t n_items;
    weft_plan_item item[WEFT_PLAN_ITEMS];
    uint64_t bytes_total;
    int64_t base_parameters, adapter_numel;
    int32_t slots;
    int64_t pack_tokens; /* capacity of a pack */
    /* Of a round, as means over cohorts; packs and FLOPs are round 1's, scaled by tokens. */
    double tokens, examples, steps, packs;
    double flops; /* of the base, LoRA and head */
    double wire_down, wire_up;
    /* Of round 1, counted: FLOPs and bytes by phase; tokens; optimizer steps, each of all clients
     * of a wave. */
    weft_profile profile;
    int64_t profile_tokens, profile_steps;
    bool profile_is_sampled; /* counted over the same share of each visit, and scaled */
    /* Of round 1: what the job needs whoever computes it (engine/work.h says how it is defined),
     * where `profile` has what this engine computes. */
    double model_flops;
    const char *backend, *hidden_dtype; /* that the plan is for; as in weft_engine_info */
    char device_reason[WEFT_DEVICE_REASON];
} weft_plan;

/* What a run would take, from the configuration, the model's config and the rows; touches no
 * weights and no device memory (source.tensor may be NULL). Runs the real engine code on the dry
 * backend. */
WEFT_NODISCARD weft_status weft_plan_build(weft_plan *out, const weft_engine_options *options,
                                           weft_error *err);

/* ---- benchmark ---- */

#define WEFT_BENCH_MIN_STEPS 4 /* optimizer steps of a round: fewer give no median */

/* What the passes of a phase cost, per optimizer step. */
typedef struct weft_bench_phase {
    const char *name;
    double seconds, share; /* measured, with passes issued piece by piece; of all phases */
    double flops, bytes;   /* counted by the plan */
    double flops_per_second, bytes_per_second; /* 0 where no time passed */
    /* The larger of FLOPs and bytes at the ceilings; its share of the seconds, 1 is the device's
     * limit (caches and a phase's other dtypes can pass it). */
    double floor_seconds, floor_share;
    double launches;
} weft_bench_phase;

typedef struct weft_bench {
    /* Of the timed round. */
    double seconds, tokens, client_steps;
    double steps;                 /* optimizer steps, each of all clients of a wave */
    double step_median, step_p95; /* seconds from one step's end to the next's */
    double loss;
    int64_t packs;
    weft_swap swap;
    /* Of the rounds after it. */
    weft_profile passes;      /* with replays */
    double waiting_share;     /* of the device's time, neither in a pass nor in the optimizer */
    double launches_per_step; /* without replays */
    int32_t n_phases;
    weft_bench_phase phase[WEFT_PROFILE_PHASES];
    weft_ceilings ceilings;
    /* Derived. */
    double tokens_per_second, client_steps_per_second;
    double flops_per_second;       /* plan.profile.total.flops over seconds: what the device did */
    double flops_share;            /* of the ceiling */
    double model_flops_per_second; /* plan.model_flops over seconds: what the job needed */
    double frozen_mfu;             /* of the ceiling */
    int64_t device_bytes;          /* held on the device */
} weft_bench;

/* Runs the first round four times, same clients and rows: to warm up (a device that replays meets
 * its shapes), timed, and profiled with and without replays; then measures the ceilings. `plan` is
 * of the same options: its FLOPs and bytes are that round's. WEFT_E_ARG: a round was run before,
 * the plan is of another job, or it has fewer than WEFT_BENCH_MIN_STEPS steps. Afterwards the
 * engine is good for closing only. */
WEFT_NODISCARD weft_status weft_engine_bench(weft_engine *engine, const weft_plan *plan,
                                             weft_bench *out, weft_error *err);

#ifdef __cplusplus
}
#endif
#endif
