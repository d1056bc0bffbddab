/* Ranks that would not do the same work are found out before they begin: each compares with what
 * rank 0 has, and the first that differs says in what. */
#include "host/ranks.h"

#include "host/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t fnv1a(uint64_t hash, const void *data, size_t bytes) {
    const unsigned char *at = data;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ at[i]) * 1099511628211u;
    return hash;
}

static const uint64_t FNV_START = 14695981039346656037u;

/* ---- program and options ---- */

/* 0: it cannot be read, which is no reason to stop. */
static uint64_t hash_program(void) {
    char block[1 << 14];
    uint64_t hash = FNV_START;
    FILE *file = fopen("/proc/self/exe", "rbe");
    if (!file) return 0;
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;) hash = fnv1a(hash, block, n);
    const bool whole = !ferror(file);
    (void)fclose(file);
    return whole ? hash : 0;
}

/* These may differ: what one rank alone does or how fast, and where a host keeps its files; what is
 * in the files is compared later. */
static bool may_differ(const char *key) {
    static const char *const KEYS[] = {
        "run.name",   "run.output_dir", "run.overwrite", "run.device",     "run.threads",
        "model.path", "data.train",     "data.test",     "partition.file", "lora.init_from"};
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++)
        if (strcmp(key, KEYS[i]) == 0) return true;
    return false;
}

static void write_options(wh_text *to, const weft_config *config) {
    for (size_t i = 0; i < weft_option_count(); i++) {
        const weft_option *option = weft_option_at(i);
        if (may_differ(option->key)) continue;
        wh_text_addf(to, "%s %s\n", option->key, weft_config_text(config, option->key));
    }
}

/* The first line of both texts that differs. */
static weft_status compare_options(const char *own, const char *first, weft_error *err) {
    while (*own && *first) {
        const size_t n = strcspn(own, "\n"), m = strcspn(first, "\n"), key = strcspn(own, " ");
        if (n != m || strncmp(own, first, n) != 0)
            return WEFT_FAIL(err, WEFT_E_CONFIG,
                             "%.*s is '%.*s' here and '%.*s' on rank 0: give all ranks the same "
                             "options",
                             (int)key, own, (int)(n - key > 80 ? 80 : n - key - 1), own + key + 1,
                             (int)(m - key > 80 ? 80 : m - key - 1), first + key + 1);
        own += n + 1, first += m + 1;
    }
    return WEFT_OK;
}

/* Rank 0's text; *own*ed by the caller. */
static weft_status share_text(wh_ranks *ranks, char **out, const wh_text *own, weft_error *err) {
    int64_t length = (int64_t)own->len;
    WEFT_TRY(wh_ranks_share(ranks, &length, sizeof length, err));
    char *text = calloc((size_t)(length > (int64_t)own->len ? length : (int64_t)own->len) + 1, 1);
    const weft_status had = text ? WEFT_OK : WEFT_FAIL(err, WEFT_E_MEM, "out of memory for ranks");
    weft_status st = wh_ranks_agree(ranks, had, err);
    if (st == WEFT_OK) {
        memcpy(text, own->data, own->len);
        st = wh_ranks_share(ranks, text, (size_t)length, err);
        text[length] = '\0';
    }
    if (st == WEFT_OK)
        *out = text;
    else
        free(text);
    return st;
}

weft_status wh_ranks_check_config(wh_ranks *ranks, const weft_config *config, weft_error *err) {
    wh_text own = {0};
    char *first = NULL;
    if (!ranks) return WEFT_OK;
    uint64_t program = hash_program();
    const uint64_t mine = program;
    WEFT_TRY(wh_ranks_share(ranks, &program, sizeof program, err));
    weft_status st = WEFT_OK;
    if (mine && program && mine != program)
        st = WEFT_FAIL(err, WEFT_E_CONFIG,
                       "its program is of another build than that of rank 0: start one and the "
                       "same everywhere");
    if (st == WEFT_OK) {
        write_options(&own, config);
        st = wh_text_check(&own, "the options", err);
    }
    st = wh_ranks_agree(ranks, st, err);
    if (st == WEFT_OK) st = share_text(ranks, &first, &own, err);
    if (st == WEFT_OK) st = wh_ranks_agree(ranks, compare_options(own.data, first, err), err);
    free(first);
    wh_text_free(&own);
    return st;
}

/* ---- the engine ---- */

typedef struct facts {
    weft_identity identity;
    char dtype[16], backend[16], note[160];
} facts;

static weft_status differs(const char *what, const char *where, weft_error *err) {
    return WEFT_FAIL(err, WEFT_E_DATA, "%s not the same here as on rank 0 (%s)", what, where);
}

static weft_status compare_facts(const facts *own, const facts *first, weft_error *err) {
    const weft_identity *a = &own->identity, *b = &first->identity;
    if (a->base != b->base) return differs("the model is", "model.path", err);
    if (a->train != b->train) return differs("the training rows are", "data.train", err);
    if (a->test != b->test) return differs("the test rows are", "data.test", err);
    if (a->partition != b->partition) return differs("the partition is", "partition.file", err);
    if (strcmp(own->backend, first->backend) != 0 || strcmp(own->dtype, first->dtype) != 0 ||
        strcmp(own->note, first->note) != 0)
        return WEFT_FAIL(err, WEFT_E_DEVICE,
                         "it computes on %s (%.80s) in %s, rank 0 on %s (%.80s) in %s, and they "
                         "would drift apart: use hosts of one kind",
                         own->backend, own->note, own->dtype, first->backend, first->note,
                         first->dtype);
    return WEFT_OK;
}

weft_status wh_ranks_check_engine(wh_ranks *ranks, weft_engine *engine, weft_error *err) {
    facts own;
    weft_state state;
    weft_engine_info info;
    if (!ranks) return WEFT_OK;
    weft_status st = weft_engine_state(engine, &state, err);
    weft_engine_info_get(engine, &info);
    memset(&own, 0, sizeof own);
    if (st == WEFT_OK) own.identity = state.identity;
    (void)snprintf(own.dtype, sizeof own.dtype, "%s", info.hidden_dtype);
    (void)snprintf(own.backend, sizeof own.backend, "%s", info.backend);
    (void)snprintf(own.note, sizeof own.note, "%s", info.backend_note);
    facts first = own;
    WEFT_TRY(wh_ranks_agree(ranks, st, err));
    WEFT_TRY(wh_ranks_share(ranks, &first, sizeof first, err));
    return wh_ranks_agree(ranks, compare_facts(&own, &first, err), err);
}

typedef struct start {
    int64_t rounds, steps;
    uint64_t adapter;
} start;

weft_status wh_ranks_check_start(wh_ranks *ranks, weft_engine *engine, weft_error *err) {
    weft_state state = {0};
    weft_engine_info info;
    if (!ranks) return WEFT_OK;
    weft_engine_info_get(engine, &info);
    float *flat = calloc((size_t)info.adapter_size + 1, sizeof *flat);
    weft_status st = flat ? weft_engine_adapter_read(engine, flat, err)
                          : WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the adapter");
    if (st == WEFT_OK) st = weft_engine_state(engine, &state, err);
    start own = {state.rounds_done, state.local_steps_total, 0};
    if (flat) own.adapter = fnv1a(FNV_START, flat, (size_t)info.adapter_size * sizeof *flat);
    free(flat);
    start first = own;
    WEFT_TRY(wh_ranks_agree(ranks, st, err));
    WEFT_TRY(wh_ranks_share(ranks, &first, sizeof first, err));
    if (own.rounds != first.rounds || own.steps != first.steps)
        st = WEFT_FAIL(err, WEFT_E_RESUME,
                       "it goes on after round %" PRId64 ", rank 0 after %" PRId64
                       ": the run folder must lie where all ranks see it",
                       own.rounds, first.rounds);
    else if (own.adapter != first.adapter)
        st = differs("the adapter to start from is", "lora.init_from, or the checkpoint", err);
    return wh_ranks_agree(ranks, st, err);
}
