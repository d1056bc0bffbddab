#include "host/checkpoint.h"

#include "host/folder.h"
#include "host/json_util.h"
#include "host/wire_kinds.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FORMAT = 2, MAX_NOTE = 256 << 20 };

static const char folder_name[] = "checkpoints";
static const char tensors_file[] = "state.safetensors";
static const char note_file[] = "state.json";

static weft_status no_memory(weft_error *err) {
    return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for a checkpoint");
}

/* ---- names ---- */

char *wh_checkpoint_path(const char *run, int64_t round) {
    wh_text path = {0};
    wh_text_addf(&path, "%s/%s/round_%06" PRId64, run, folder_name, round);
    return wh_text_take(&path);
}

/* "round_000050" -> 50; -1 for anything else. */
static int64_t round_of(const char *name) {
    int64_t round = 0;
    int used = 0;
    if (sscanf(name, "round_%" SCNd64 "%n", &round, &used) != 1 || name[used]) return -1;
    return round;
}

typedef struct round_list {
    int64_t *round;
    size_t n, room;
} round_list;

static weft_status add_round(void *ud, const char *name, weft_error *err) {
    round_list *list = ud;
    const int64_t round = round_of(name);
    if (round < 0) return WEFT_OK;
    if (list->n == list->room) {
        const size_t room = list->room ? 2 * list->room : 16;
        int64_t *more = realloc(list->round, room * sizeof *more);
        if (!more) return no_memory(err);
        list->round = more, list->room = room;
    }
    list->round[list->n++] = round;
    return WEFT_OK;
}

static int newest_first(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

weft_status wh_checkpoint_rounds(int64_t **out, size_t *n, const char *run, weft_error *err) {
    round_list list = {0};
    char *folder = wh_path_join(run, folder_name);
    weft_status st = folder ? wh_folder_each(folder, add_round, &list, err) : no_memory(err);
    free(folder);
    if (st != WEFT_OK) {
        free(list.round);
        return st;
    }
    if (list.n) qsort(list.round, list.n, sizeof *list.round, newest_first);
    *out = list.round, *n = list.n;
    return WEFT_OK;
}

static weft_status drop(const char *run, int64_t round, weft_error *err) {
    char *path = wh_checkpoint_path(run, round);
    weft_status st = path ? wh_folder_remove(path, true, NULL, err) : no_memory(err);
    free(path);
    return st;
}

static weft_status drop_leftover(void *ud, const char *name, weft_error *err) {
    if (!wh_is_temporary(name)) return WEFT_OK;
    char *path = wh_path_join(ud, name);
    if (!path) return no_memory(err);
    weft_status st = WEFT_OK;
    if (unlink(path) != 0) st = wh_folder_remove(path, true, NULL, err); /* it is a folder */
    free(path);
    return st;
}

static weft_status link_latest(const char *run, int64_t round, weft_error *err) {
    wh_text link = {0}, target = {0};
    wh_text_addf(&link, "%s/%s/latest", run, folder_name);
    wh_text_addf(&target, "round_%06" PRId64, round);
    weft_status st = link.failed || target.failed ? no_memory(err)
                                                  : wh_link_replace(link.data, target.data, err);
    wh_text_free(&target);
    wh_text_free(&link);
    return st;
}

weft_status wh_checkpoint_drop_after(const char *run, int64_t round, weft_error *err) {
    int64_t *rounds = NULL;
    size_t n = 0;
    WEFT_TRY(wh_checkpoint_rounds(&rounds, &n, run, err));
    weft_status st = WEFT_OK;
    for (size_t i = 0; st == WEFT_OK && i < n && rounds[i] > round; i++)
        st = drop(run, rounds[i], err);
    free(rounds);
    char *folder = wh_path_join(run, folder_name);
    if (st == WEFT_OK)
        st = folder ? wh_folder_each(folder, drop_leftover, folder, err) : no_memory(err);
    free(folder);
    return st == WEFT_OK ? link_latest(run, round, err) : st;
}

/* ---- saving ---- */

static weft_status write_piece(void *ud, const void *data, size_t bytes, weft_error *err) {
    return wh_safetensors_append(ud, data, bytes, err);
}

static weft_status save_tensors(const char *path, weft_engine *engine, weft_state *state,
                                weft_error *err) {
    wh_tensor_out list[WEFT_STATE_TENSORS] = {0};
    wh_safetensors_writer *writer = NULL;
    WEFT_TRY(weft_engine_state(engine, state, err));
    for (int32_t i = 0; i < state->n_tensors; i++) {
        const weft_state_tensor *t = &state->tensor[i];
        list[i] = (wh_tensor_out){.name = t->name, .dtype = t->dtype, .ndim = t->ndim};
        for (int32_t d = 0; d < t->ndim; d++) list[i].dim[d] = t->dim[d];
    }
    WEFT_TRY(wh_safetensors_create(&writer, path, list, (size_t)state->n_tensors, err));
    weft_status st = weft_engine_state_save(engine, state, write_piece, writer, err);
    if (st == WEFT_OK) return wh_safetensors_commit(writer, err);
    wh_safetensors_discard(writer);
    return st;
}

static weft_status write_nowhere(void *ud, const void *data, size_t bytes, weft_error *err) {
    (void)ud, (void)data, (void)bytes, (void)err;
    return WEFT_OK;
}

/* The calls of save_tensors. */
weft_status wh_checkpoint_help(weft_engine *engine, weft_error *err) {
    weft_state state;
    WEFT_TRY(weft_engine_state(engine, &state, err));
    return weft_engine_state_save(engine, &state, write_nowhere, NULL, err);
}

/* 64 bits do not fit a JSON integer. */
static json_t *hex(uint64_t value) {
    return json_sprintf("%016" PRIx64, value);
}

static json_t *state_json(const weft_state *s, const json_t *note) {
    json_t *identity = wh_json_with(json_object(), "base", hex(s->identity.base));
    identity = wh_json_with(identity, "train", hex(s->identity.train));
    identity = wh_json_with(identity, "test", hex(s->identity.test));
    identity = wh_json_with(identity, "partition", hex(s->identity.partition));
    json_t *o = wh_json_with(json_object(), "format", json_integer(FORMAT));
    o = wh_json_with(o, "weft_version", json_string(WEFT_VERSION));
    o = wh_json_with(o, "round", json_integer(s->rounds_done));
    o = wh_json_with(o, "wire_down_total_bytes", json_integer((json_int_t)s->wire_total.down));
    o = wh_json_with(o, "wire_up_total_bytes", json_integer((json_int_t)s->wire_total.up));
    o = wh_json_with(o, "wire_total_bytes", wh_wire_json(&s->wire_total));
    o = wh_json_with(o, "local_steps_total", json_integer(s->local_steps_total));
    o = wh_json_with(o, "theta", wh_json_real(s->theta));
    o = wh_json_with(o, "identity", identity);
    o = wh_json_with(o, "checksum", hex(s->checksum));
    return wh_json_with(o, "note", json_deep_copy(note));
}

static weft_status fill(const char *folder, const wh_job *job, weft_engine *engine,
                        const json_t *note, const char *card, weft_error *err) {
    weft_state state;
    char *tensors = wh_path_join(folder, tensors_file),
         *json_path = wh_path_join(folder, note_file);
    json_t *json = NULL;
    weft_status st = tensors && json_path ? WEFT_OK : no_memory(err);
    if (st == WEFT_OK) st = wh_job_export_adapter(job, engine, folder, card, err);
    if (st == WEFT_OK) st = save_tensors(tensors, engine, &state, err);
    if (st == WEFT_OK && !(json = state_json(&state, note))) st = no_memory(err);
    if (st == WEFT_OK) st = wh_json_save(json_path, json, err);
    json_decref(json);
    free(json_path);
    free(tensors);
    return st;
}

static weft_status prune(const char *run, int64_t limit, weft_error *err) {
    int64_t *rounds = NULL;
    size_t n = 0;
    if (limit <= 0) return WEFT_OK;
    WEFT_TRY(wh_checkpoint_rounds(&rounds, &n, run, err));
    weft_status st = WEFT_OK;
    for (size_t i = (size_t)limit; st == WEFT_OK && i < n; i++) st = drop(run, rounds[i], err);
    free(rounds);
    return st;
}

weft_status wh_checkpoint_save(const char *run, const wh_job *job, weft_engine *engine,
                               const json_t *note, const char *card, int64_t limit,
                               weft_error *err) {
    wh_text temp = {0};
    const int64_t round = weft_engine_rounds_done(engine);
    char *path = wh_checkpoint_path(run, round);
    wh_text_addf(&temp, "%s.tmp-%ld", path ? path : "", (long)getpid());
    weft_status st = path && !temp.failed ? WEFT_OK : no_memory(err);
    if (st == WEFT_OK) {
        st = wh_folder_make(temp.data, err);
        if (st == WEFT_OK) st = fill(temp.data, job, engine, note, card, err);
        if (st == WEFT_OK) st = wh_folder_publish(temp.data, path, err);
        weft_status ignored = wh_folder_remove(temp.data, true, NULL, NULL); /* is gone if good */
        (void)ignored;
    }
    if (st == WEFT_OK) st = link_latest(run, round, err);
    if (st == WEFT_OK) st = prune(run, limit, err);
    wh_text_free(&temp);
    free(path);
    return st;
}

/* ---- reading ---- */

static weft_status get_hex(const json_t *object, const char *where, const char *key, uint64_t *out,
                           weft_error *err) {
    const char *text = NULL;
    int used = 0;
    WEFT_TRY(wh_json_string(object, where, key, &text, err));
    if (strlen(text) != 16 || sscanf(text, "%16" SCNx64 "%n", out, &used) != 1 || used != 16)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: %s is not a number of 16 hexadecimal digits", where,
                         key);
    return WEFT_OK;
}

/* The sums are there for people, and must be those of the kinds. */
static weft_status read_wire(weft_wire *wire, const json_t *json, const char *path,
                             weft_error *err) {
    int64_t down = 0, up = 0;
    json_t *kinds = NULL;
    WEFT_TRY(wh_json_int(json, path, "wire_down_total_bytes", 0, INT64_MAX, &down, err));
    WEFT_TRY(wh_json_int(json, path, "wire_up_total_bytes", 0, INT64_MAX, &up, err));
    WEFT_TRY(wh_json_child(json, path, "wire_total_bytes", JSON_OBJECT, &kinds, err));
    WEFT_TRY(wh_wire_read(wire, kinds, path, err));
    if (wire->down == (uint64_t)down && wire->up == (uint64_t)up) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_DATA,
                     "%s: wire_total_bytes add up to %" PRIu64 " down and %" PRIu64
                     " up, expected %" PRId64 " and %" PRId64,
                     path, wire->down, wire->up, down, up);
}

static weft_status read_json(wh_checkpoint *c, const char *path, weft_error *err) {
    int64_t format = 0;
    json_t *identity = NULL, *note = NULL;
    weft_state *s = &c->state;
    WEFT_TRY(wh_json_load(&c->json, path, MAX_NOTE, err));
    WEFT_TRY(wh_json_int(c->json, path, "format", 1, INT32_MAX, &format, err));
    if (format != FORMAT)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: checkpoint format %" PRId64 ", this is %d", path,
                         format, FORMAT);
    WEFT_TRY(wh_json_int(c->json, path, "round", 0, INT64_MAX, &s->rounds_done, err));
    WEFT_TRY(read_wire(&s->wire_total, c->json, path, err));
    WEFT_TRY(
        wh_json_int(c->json, path, "local_steps_total", 0, INT64_MAX, &s->local_steps_total, err));
    WEFT_TRY(wh_json_number(c->json, path, "theta", &s->theta, err));
    if (!isfinite(s->theta)) return WEFT_FAIL(err, WEFT_E_DATA, "%s: theta is not finite", path);
    WEFT_TRY(wh_json_child(c->json, path, "identity", JSON_OBJECT, &identity, err));
    WEFT_TRY(get_hex(identity, path, "base", &s->identity.base, err));
    WEFT_TRY(get_hex(identity, path, "train", &s->identity.train, err));
    WEFT_TRY(get_hex(identity, path, "test", &s->identity.test, err));
    WEFT_TRY(get_hex(identity, path, "partition", &s->identity.partition, err));
    WEFT_TRY(get_hex(c->json, path, "checksum", &s->checksum, err));
    WEFT_TRY(wh_json_child(c->json, path, "note", JSON_OBJECT, &note, err));
    c->note = note;
    return WEFT_OK;
}

static weft_status read_tensors(wh_checkpoint *c, const char *path, weft_error *err) {
    WEFT_TRY(wh_safetensors_open(&c->tensors, path, err));
    const size_t n = wh_safetensors_count(c->tensors);
    if (n > WEFT_STATE_TENSORS)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s holds %zu tensors, at most %d are known", path, n,
                         WEFT_STATE_TENSORS);
    for (size_t i = 0; i < n; i++) {
        const wh_tensor_info *t = wh_safetensors_at(c->tensors, i);
        if (!t->supported || t->ndim < 1 || t->ndim > 3)
            return WEFT_FAIL(err, WEFT_E_DATA, "%s: tensor %s has dtype %s and %d dimensions", path,
                             t->name, t->dtype_name, t->ndim);
        weft_state_tensor *to = &c->state.tensor[c->state.n_tensors++];
        *to = (weft_state_tensor){.name = t->name, .dtype = t->dtype, .ndim = t->ndim};
        for (int32_t d = 0; d < t->ndim; d++) to->dim[d] = t->dim[d];
    }
    return WEFT_OK;
}

weft_status wh_checkpoint_open(wh_checkpoint *c, const char *folder, weft_error *err) {
    char *json = wh_path_join(folder, note_file), *tensors = wh_path_join(folder, tensors_file);
    weft_error local = {0};
    weft_status st = json && tensors ? WEFT_OK : no_memory(&local);
    if (st == WEFT_OK) st = read_json(c, json, &local);
    if (st == WEFT_OK) st = read_tensors(c, tensors, &local);
    free(tensors);
    free(json);
    if (st == WEFT_E_DATA) st = local.status = WEFT_E_RESUME;
    if (st != WEFT_OK && err) *err = local;
    return st;
}

void wh_checkpoint_close(wh_checkpoint *c) {
    wh_safetensors_close(c->tensors);
    json_decref(c->json);
    memset(c, 0, sizeof *c);
}

static weft_status read_piece(void *ud, int32_t tensor, uint64_t offset, void *data, size_t bytes,
                              weft_error *err) {
    const wh_checkpoint *c = ud;
    const wh_tensor_info *t = wh_safetensors_at(c->tensors, (size_t)tensor);
    const void *from = NULL;
    WEFT_TRY(wh_safetensors_data(c->tensors, t, &from, err));
    if (offset > t->bytes || bytes > t->bytes - offset)
        return WEFT_FAIL(err, WEFT_E_RESUME, "%s: tensor %s is too short",
                         wh_safetensors_path(c->tensors), t->name);
    memcpy(data, (const char *)from + offset, bytes);
    return WEFT_OK;
}

weft_status wh_checkpoint_restore(wh_checkpoint *c, weft_engine *engine, weft_error *err) {
    return weft_engine_state_load(engine, &c->state, read_piece, c, err);
}
