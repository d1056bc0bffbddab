#include "tests/engine/state_blob.h"

#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

weft_status blob_write(void *ud, const void *data, size_t bytes, weft_error *err) {
    blob *b = ud;
    if (++b->calls == b->fail_at) return WEFT_FAIL(err, WEFT_E_OUTPUT, "state: no space");
    if (b->bytes + bytes > b->room) {
        b->room = 2 * (b->bytes + bytes);
        b->data = realloc(b->data, b->room);
    }
    memcpy(b->data + b->bytes, data, bytes);
    b->bytes += bytes;
    return WEFT_OK;
}

size_t blob_tensor_bytes(const weft_state_tensor *t) {
    static const size_t element[] = {4, 8, 2, 2, 4, 1, 8};
    size_t bytes = element[t->dtype];
    for (int32_t d = 0; d < t->ndim; d++) bytes *= (size_t)t->dim[d];
    return bytes;
}

size_t blob_tensor_offset(const weft_state *s, int32_t tensor) {
    size_t offset = 0;
    for (int32_t i = 0; i < tensor; i++) offset += blob_tensor_bytes(&s->tensor[i]);
    return offset;
}

weft_status blob_read(void *ud, int32_t tensor, uint64_t offset, void *data, size_t bytes,
                      weft_error *err) {
    blob *b = ud;
    if (++b->calls == b->fail_at) return WEFT_FAIL(err, WEFT_E_DATA, "state: cut");
    const size_t from = blob_tensor_offset(&b->state, tensor) + (size_t)offset;
    assert_true(offset + bytes <= blob_tensor_bytes(&b->state.tensor[tensor]));
    assert_true(from + bytes <= b->bytes);
    memcpy(data, b->data + from, bytes);
    return WEFT_OK;
}

blob blob_save(weft_engine *engine) {
    weft_error err = {0};
    blob b = {0};
    weft_state told;
    check_ok(weft_engine_state_save(engine, &b.state, blob_write, &b, &err), &err);
    check_ok(weft_engine_state(engine, &told, &err), &err);
    assert_int_equal(told.n_tensors, b.state.n_tensors);
    assert_int_equal(blob_tensor_offset(&told, told.n_tensors), b.bytes);
    return b;
}

void blob_load(weft_engine *engine, blob *b) {
    weft_error err = {0};
    check_ok(weft_engine_state_load(engine, &b->state, blob_read, b, &err), &err);
    assert_int_equal(weft_engine_rounds_done(engine), b->state.rounds_done);
}
