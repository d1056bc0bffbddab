/* A checkpoint in memory, whose writes and reads can fail. A call that fails fails the test, unless
 * it was asked to. */
#ifndef WEFT_TESTS_STATE_BLOB_H
#define WEFT_TESTS_STATE_BLOB_H

#include "engine/weft.h"

typedef struct blob {
    weft_state state;
    unsigned char *data;
    size_t bytes, room;
    int64_t calls, fail_at; /* fail at this call; 0: never */
} blob;

/* For weft_engine_state_save and _load; ud is the blob. */
weft_status blob_write(void *ud, const void *data, size_t bytes, weft_error *err);
weft_status blob_read(void *ud, int32_t tensor, uint64_t offset, void *data, size_t bytes,
                      weft_error *err);
size_t blob_tensor_bytes(const weft_state_tensor *t);
size_t blob_tensor_offset(const weft_state *s, int32_t tensor);

/* Free the data. */
blob blob_save(weft_engine *engine);
void blob_load(weft_engine *engine, blob *b);

#endif
