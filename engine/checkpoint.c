/* The state of a training engine between two rounds, out and in again. What crosses: the global
 * adapter, what the server optimizer keeps, the optimizer state of clients that have one
 * (client.optimizer_state=keep), and what fl.sync has to know of rounds before. */
#include "engine/engine.h"
#include "engine/fingerprint.h"
#include "kernels/dev.h"

#include <math.h>
#include <string.h>

/* Rounds and steps of a state, at most: more than any run has, and one more is no overflow. */
#define MOST_COUNTED ((int64_t)1 << 53)

/* In the order of the list: larger elements first, then by name. */
typedef enum part {
    CLIENT_STEPS,     /* (n) i64: optimizer steps behind each client */
    SERVER_M,         /* (P) f64 */
    SERVER_V,         /* (P) f64 */
    CLIENT_IDS,       /* (n) i32, ascending */
    CLIENT_MOMENTS,   /* (n, 1 or 2, P) f32 */
    GLOBAL_ADAPTER,   /* (P) f32 */
    PREVIOUS_ADAPTER, /* (P) f32 */
    CLIENTS_SEEN,     /* (clients) u8: 1 where the client has taken part */
    N_PARTS
} part;

static const char *const names[N_PARTS] = {"client_steps",     "server_m",       "server_v",
                                           "client_ids",       "client_moments", "global_adapter",
                                           "previous_adapter", "clients_seen"};

static part part_of(const weft_state_tensor *t) {
    part i = 0;
    while (i < N_PARTS && strcmp(names[i], t->name) != 0) i++;
    return i;
}

static size_t row_bytes(const weft_state_tensor *t) {
    size_t bytes = wk_dtype_size((wk_dtype)t->dtype);
    for (int32_t i = 1; i < t->ndim; i++) bytes *= (size_t)t->dim[i];
    return bytes;
}

/* ---- what there is ---- */

static void add(weft_state *s, part which, weft_dtype dtype, int32_t ndim, int64_t a, int64_t b,
                int64_t c) {
    s->tensor[s->n_tensors++] =
        (weft_state_tensor){.name = names[which], .dtype = dtype, .ndim = ndim, .dim = {a, b, c}};
}

/* The tensors of this engine with the state of n clients. */
static void list_tensors(const weft_engine *e, weft_state *s, int64_t n) {
    const int64_t p = e->model.lora.size;
    const bool keeps = e->pager.banks > 0;
    const int64_t moments = wk_given(e->slots.v) ? 2 : 1;
    s->n_tensors = 0;
    if (keeps) add(s, CLIENT_STEPS, WEFT_I64, 1, n, 1, 1);
    if (wk_given(e->server.m)) add(s, SERVER_M, WEFT_F64, 1, p, 1, 1);
    if (wk_given(e->server.v)) add(s, SERVER_V, WEFT_F64, 1, p, 1, 1);
    if (keeps) add(s, CLIENT_IDS, WEFT_I32, 1, n, 1, 1);
    if (keeps) add(s, CLIENT_MOMENTS, WEFT_F32, 3, n, moments, p);
    add(s, GLOBAL_ADAPTER, WEFT_F32, 1, p, 1, 1);
    if (e->fda.previous) add(s, PREVIOUS_ADAPTER, WEFT_F32, 1, p, 1, 1);
    if (e->fda.seen) add(s, CLIENTS_SEEN, WEFT_U8, 1, e->fda.clients, 1, 1);
}

/* Hashing all rows takes a moment when there are many: once. */
static weft_identity identity(weft_engine *e) {
    if (!e->identity.base)
        e->identity = (weft_identity){.base = e->model.fingerprint | 1,
                                      .train = we_fingerprint_rows(e->train),
                                      .test = we_fingerprint_rows(e->test),
                                      .partition = we_fingerprint_partition(e->partition)};
    return e->identity;
}

static weft_status check_trains(weft_engine *e) {
    if (e->slots.n > 0) return WEFT_OK;
    return WEFT_FAIL(&e->ctx.err, WEFT_E_ARG,
                     "this engine was opened for evaluation only: it has no state to save or load");
}

/* Whether the state of clients lies spread over ranks. */
static bool is_spread(const weft_engine *e) {
    return e->ranks.comm && e->pager.is_open;
}

static weft_status describe(weft_engine *e, weft_state *s) {
    int64_t clients = we_pager_count(&e->pager);
    WEFT_TRY(check_trains(e));
    if (is_spread(e)) WEFT_TRY(we_ranks_sum(e, &clients, 1));
    memset(s, 0, sizeof *s);
    s->rounds_done = e->rounds_done;
    s->local_steps_total = e->local_steps_total;
    s->wire_total = e->wire_total;
    s->theta = e->fda.theta;
    s->identity = identity(e);
    list_tensors(e, s, clients);
    return WEFT_OK;
}

weft_status weft_engine_state(weft_engine *e, weft_state *out, weft_error *err) {
    weft_state s;
    e->ranks.parted = false;
    weft_status st = describe(e, &s);
    if (st == WEFT_OK) *out = s;
    if (st != WEFT_OK && err) *err = e->ctx.err;
    return st;
}

/* ---- out ---- */

typedef struct saver {
    weft_engine *e;
    weft_state_write write;
    void *ud;
    uint64_t checksum;
    int64_t *steps; /* (clients) of all that have trained; NULL: no state of clients is kept */
    int64_t *row;   /* moments of one */
    size_t row_words;
} saver;

static weft_status put(saver *s, const void *data, size_t bytes) {
    weft_error err = {0};
    s->checksum = we_fingerprint(s->checksum, data, bytes);
    const weft_status st = s->write(s->ud, data, bytes, &err);
    if (st != WEFT_OK) s->e->ctx.err = err, s->e->ctx.err.status = st;
    return st;
}

static weft_status put_vector(saver *s, wk_tensor t) {
    void *copy = NULL;
    const size_t bytes = (size_t)wk_numel(t) * wk_dtype_size(t.dtype);
    WEFT_TRY(wk_host_alloc(&s->e->ctx, &copy, bytes, 1, "checkpoint"));
    weft_status st = wk_download(s->e->dev, copy, t);
    if (st == WEFT_OK) st = put(s, copy, bytes);
    wk_host_free(&s->e->ctx, copy);
    return st;
}

/* The moments of a client into s->row, on all ranks: the others add nothing to what its home has.
 */
static weft_status look(saver *s, int32_t client, size_t row) {
    we_pager *p = &s->e->pager;
    const void *moments = NULL;
    weft_status st = WEFT_OK;
    memset(s->row, 0, s->row_words * sizeof *s->row);
    if (we_pager_steps(p, client) > 0) st = we_pager_look(p, client, &moments);
    if (moments) memcpy(s->row, moments, row);
    WEFT_TRY(st); /* the others hear of it at the meeting before their sum */
    return we_ranks_sum(s->e, s->row, (int64_t)s->row_words);
}

/* One of the three tensors of the clients, a row each. */
static weft_status put_clients(saver *s, part which, size_t row) {
    for (int32_t c = 0; c < s->e->pager.clients; c++) {
        if (s->steps[c] == 0) continue;
        if (which == CLIENT_MOMENTS) WEFT_TRY(look(s, c, row));
        const void *data = which == CLIENT_MOMENTS ? (const void *)s->row
                           : which == CLIENT_IDS   ? (const void *)&c
                                                   : &s->steps[c];
        WEFT_TRY(put(s, data, row));
    }
    return WEFT_OK;
}

static weft_status put_all(saver *s, const weft_state *state) {
    const weft_engine *e = s->e;
    for (int32_t i = 0; i < state->n_tensors; i++) {
        const weft_state_tensor *t = &state->tensor[i];
        const part which = part_of(t);
        if (which == GLOBAL_ADAPTER)
            WEFT_TRY(put_vector(s, wk_vec(e->server.x.data, WK_F32, e->model.lora.size)));
        else if (which == SERVER_M || which == SERVER_V)
            WEFT_TRY(put_vector(s, which == SERVER_M ? e->server.m : e->server.v));
        else if (which == PREVIOUS_ADAPTER)
            WEFT_TRY(put(s, e->fda.previous, (size_t)e->model.lora.size * sizeof(float)));
        else if (which == CLIENTS_SEEN)
            WEFT_TRY(put(s, e->fda.seen, (size_t)e->fda.clients));
        else
            WEFT_TRY(put_clients(s, which, row_bytes(t)));
    }
    return WEFT_OK;
}

/* Steps of all clients, on all ranks. */
static weft_status take_steps(saver *s) {
    weft_engine *e = s->e;
    void *memory = NULL;
    if (!e->pager.is_open) return WEFT_OK;
    WEFT_TRY(
        wk_host_alloc(&e->ctx, &memory, (size_t)e->pager.clients, sizeof *s->steps, "checkpoint"));
    s->steps = memory;
    s->row_words = e->pager.record_bytes / sizeof *s->row; /* a multiple of its alignment */
    WEFT_TRY(wk_host_alloc(&e->ctx, &memory, s->row_words, sizeof *s->row, "checkpoint"));
    s->row = memory;
    for (int32_t c = 0; c < e->pager.clients; c++) s->steps[c] = we_pager_steps(&e->pager, c);
    return we_ranks_sum(e, s->steps, e->pager.clients);
}

weft_status weft_engine_state_save(weft_engine *e, weft_state *state, weft_state_write write,
                                   void *ud, weft_error *err) {
    saver s = {.e = e, .write = write, .ud = ud};
    e->ranks.parted = false;
    weft_status st = describe(e, state);
    if (st == WEFT_OK) st = take_steps(&s);
    if (st == WEFT_OK) st = put_all(&s, state);
    if (is_spread(e)) st = we_ranks_meet(e, st); /* saved for all, or for none */
    wk_host_free(&e->ctx, s.steps);
    wk_host_free(&e->ctx, s.row);
    state->checksum = s.checksum;
    if (st != WEFT_OK && err) *err = e->ctx.err;
    return st;
}

/* ---- in ---- */

typedef struct restorer {
    weft_engine *e;
    const weft_state *state;
    weft_state_read read;
    void *ud;
    void *row;           /* of any tensor */
    int32_t at[N_PARTS]; /* in state->tensor; -1: not there */
} restorer;

static weft_status mismatch(weft_engine *e, const char *what, const char *option) {
    return WEFT_FAIL(&e->ctx.err, WEFT_E_RESUME,
                     "%s not the one that the checkpoint was made with: give back the old %s, or "
                     "start a new run",
                     what, option);
}

static weft_status check_identity(weft_engine *e, const weft_identity *was) {
    const weft_identity now = identity(e);
    if (now.base != was->base) return mismatch(e, "the base model is", "model.path");
    if (now.train != was->train)
        return mismatch(e, "the set of training rows is", "data.train and tokenizer");
    if (now.test != was->test)
        return mismatch(e, "the set of test rows is", "data.test and tokenizer");
    if (now.partition != was->partition) return mismatch(e, "the partition is", "partition.*");
    return WEFT_OK;
}

static weft_status check_tensors(restorer *r) {
    weft_engine *e = r->e;
    weft_state want = {0};
    int64_t clients = 0;
    for (int i = 0; i < N_PARTS; i++) r->at[i] = -1;
    if (r->state->n_tensors < 0 || r->state->n_tensors > WEFT_STATE_TENSORS)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_RESUME,
                         "the checkpoint holds %d tensors, at most %d "
                         "are known",
                         r->state->n_tensors, WEFT_STATE_TENSORS);
    for (int32_t i = 0; i < r->state->n_tensors; i++) {
        const part which = part_of(&r->state->tensor[i]);
        if (which == N_PARTS || r->at[which] >= 0)
            return WEFT_FAIL(&e->ctx.err, WEFT_E_RESUME, "the checkpoint holds a %s tensor %.64s",
                             which == N_PARTS ? "strange" : "second", r->state->tensor[i].name);
        r->at[which] = i;
        if (which == CLIENT_IDS) clients = r->state->tensor[i].dim[0];
    }
    if (clients < 0 || clients > e->partition->n_clients)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_RESUME,
                         "the checkpoint has the state of %lld clients, there are %d",
                         (long long)clients, e->partition->n_clients);
    list_tensors(e, &want, clients);
    for (int32_t i = 0; i < want.n_tensors; i++) {
        const weft_state_tensor *w = &want.tensor[i];
        const int32_t at = r->at[part_of(w)];
        if (at < 0)
            return WEFT_FAIL(&e->ctx.err, WEFT_E_RESUME, "the checkpoint has no tensor %s",
                             w->name);
        const weft_state_tensor *t = &r->state->tensor[at];
        bool same = t->dtype == w->dtype && t->ndim == w->ndim;
        for (int32_t d = 0; same && d < w->ndim; d++) same = t->dim[d] == w->dim[d];
        if (!same)
            return WEFT_FAIL(&e->ctx.err, WEFT_E_RESUME,
                             "tensor %s of the checkpoint has another shape: (%lld, ...), (%lld, "
                             "...) is needed",
                             w->name, (long long)t->dim[0], (long long)w->dim[0]);
    }
    if (want.n_tensors != r->state->n_tensors)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_RESUME,
                         "the checkpoint holds %d tensors, this job has %d", r->state->n_tensors,
                         want.n_tensors);
    return WEFT_OK;
}

/* Row `i` of a tensor into *into, all of it at once for a vector of numbers of the server. */
static weft_status get(restorer *r, part which, int64_t i, size_t bytes, void *into) {
    weft_error err = {0};
    const weft_status st = r->read(r->ud, r->at[which], (uint64_t)i * bytes, into, bytes, &err);
    if (st != WEFT_OK) r->e->ctx.err = err, r->e->ctx.err.status = st;
    return st;
}

static weft_status check_client(restorer *r, part which, int64_t i, int32_t *last) {
    weft_engine *e = r->e;
    if (which == CLIENT_STEPS) {
        int64_t steps;
        memcpy(&steps, r->row, sizeof steps);
        if (steps < 1 || steps > INT32_MAX)
            return WEFT_FAIL(&e->ctx.err, WEFT_E_RESUME,
                             "client_steps[%lld] of the checkpoint is %lld", (long long)i,
                             (long long)steps);
    } else if (which == CLIENT_IDS) {
        int32_t id;
        memcpy(&id, r->row, sizeof id);
        if (id <= *last || id >= e->partition->n_clients)
            return WEFT_FAIL(&e->ctx.err, WEFT_E_RESUME,
                             "client_ids[%lld] of the checkpoint is %d: they must ascend below %d",
                             (long long)i, id, e->partition->n_clients);
        *last = id;
    }
    return WEFT_OK;
}

static weft_status check_seen(restorer *r) {
    const uint8_t *seen = r->row;
    for (int32_t c = 0; c < r->e->fda.clients; c++)
        if (seen[c] > 1)
            return WEFT_FAIL(&r->e->ctx.err, WEFT_E_RESUME,
                             "clients_seen[%d] of the checkpoint is %d: 0 or 1 is needed", c,
                             seen[c]);
    return WEFT_OK;
}

/* Bytes of the largest piece that is read at once. */
static size_t largest_piece(const weft_engine *e) {
    const size_t vector = (size_t)e->model.lora.size * sizeof(double); /* or two of float */
    return (size_t)e->fda.clients > vector ? (size_t)e->fda.clients : vector;
}

/* Reads everything once, in the order in which it was saved. */
static weft_status check_contents(restorer *r) {
    weft_engine *e = r->e;
    uint64_t checksum = 0;
    for (part which = 0; which < N_PARTS; which++) {
        if (r->at[which] < 0) continue;
        const weft_state_tensor *t = &r->state->tensor[r->at[which]];
        const bool whole = t->ndim == 1 && which != CLIENT_IDS && which != CLIENT_STEPS;
        const size_t bytes = row_bytes(t) * (size_t)(whole ? t->dim[0] : 1);
        int32_t last = -1;
        for (int64_t i = 0; i < (whole ? 1 : t->dim[0]); i++) {
            WEFT_TRY(get(r, which, i, bytes, r->row));
            WEFT_TRY(check_client(r, which, i, &last));
            if (which == CLIENTS_SEEN) WEFT_TRY(check_seen(r));
            checksum = we_fingerprint(checksum, r->row, bytes);
        }
    }
    if (checksum != r->state->checksum)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_RESUME,
                         "the tensors of the checkpoint do not fit its checksum: they were changed "
                         "or damaged");
    return WEFT_OK;
}

static weft_status take_vector(restorer *r, part which, wk_tensor t) {
    if (!wk_given(t)) return WEFT_OK;
    WEFT_TRY(get(r, which, 0, (size_t)wk_numel(t) * wk_dtype_size(t.dtype), r->row));
    return wk_upload(r->e->dev, t, r->row);
}

static weft_status take_clients(restorer *r) {
    if (r->at[CLIENT_IDS] < 0) return WEFT_OK;
    const weft_state_tensor *t = &r->state->tensor[r->at[CLIENT_MOMENTS]];
    for (int64_t i = 0; i < t->dim[0]; i++) {
        int32_t id;
        int64_t steps;
        void *moments;
        WEFT_TRY(get(r, CLIENT_IDS, i, sizeof id, &id));
        WEFT_TRY(get(r, CLIENT_STEPS, i, sizeof steps, &steps));
        if (!we_ranks_is_home(&r->e->ranks, id)) continue;
        WEFT_TRY(we_pager_give(&r->e->pager, id, steps, &moments));
        WEFT_TRY(get(r, CLIENT_MOMENTS, i, row_bytes(t), moments));
    }
    return WEFT_OK;
}

static weft_status load(restorer *r) {
    weft_engine *e = r->e;
    WEFT_TRY(check_trains(e));
    if (e->rounds_done > 0)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_ARG,
                         "a state can only be loaded before the first round, %lld were run",
                         (long long)e->rounds_done);
    if (r->state->rounds_done < 0 || r->state->rounds_done > MOST_COUNTED)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_RESUME, "the checkpoint is of round %lld",
                         (long long)r->state->rounds_done);
    WEFT_TRY(check_identity(e, &r->state->identity));
    WEFT_TRY(check_tensors(r));
    if (r->state->local_steps_total < 0 || r->state->local_steps_total > MOST_COUNTED ||
        !isfinite(r->state->theta))
        return WEFT_FAIL(&e->ctx.err, WEFT_E_RESUME,
                         "the checkpoint has %lld local steps and theta %f",
                         (long long)r->state->local_steps_total, r->state->theta);
    WEFT_TRY(wk_host_alloc(&e->ctx, &r->row, largest_piece(e), 1, "checkpoint"));
    WEFT_TRY(check_contents(r));
    WEFT_TRY(take_vector(r, GLOBAL_ADAPTER, e->server.x));
    WEFT_TRY(take_vector(r, SERVER_M, e->server.m));
    WEFT_TRY(take_vector(r, SERVER_V, e->server.v));
    WEFT_TRY(take_clients(r));
    if (e->fda.previous)
        WEFT_TRY(get(r, PREVIOUS_ADAPTER, 0, (size_t)e->model.lora.size * sizeof(float),
                     e->fda.previous));
    if (e->fda.seen) WEFT_TRY(get(r, CLIENTS_SEEN, 0, (size_t)e->fda.clients, e->fda.seen));
    e->fda.theta = r->state->theta;
    e->rounds_done = r->state->rounds_done;
    e->local_steps_total = r->state->local_steps_total;
    e->wire_total = r->state->wire_total;
    return WEFT_OK;
}

weft_status weft_engine_state_load(weft_engine *e, const weft_state *state, weft_state_read read,
                                   void *ud, weft_error *err) {
    restorer r = {.e = e, .state = state, .read = read, .ud = ud};
    const weft_status st = load(&r);
    wk_host_free(&e->ctx, r.row);
    if (st != WEFT_OK && err) *err = e->ctx.err;
    return st;
}
