/* One pass over the frozen base for what the pack holds: upload, forward, loss and, in training,
 * backward. Between the upload and the next one there is no decision on the host, so a device that
 * replays records each shape once (a CUDA graph). */
#include "engine/engine.h"
#include "kernels/dev.h"

#include <string.h>

static weft_status body(void *ud) {
    const we_pass *pass = ud;
    WEFT_TRY(we_encoder_forward(pass));
    weft_status st = pass->adapters ? we_encoder_loss(pass) : we_encoder_pool(pass);
    if (st == WEFT_OK && pass->train) st = we_encoder_backward(pass);
    wk_range(pass->m->dev, NULL);
    return st;
}

/* All that the recorded work depends on; the rest (model, buffers, dropout's seed) is fixed. */
typedef struct pass_key {
    int64_t tokens, rows, segments, max_len, slots, train;
    uintptr_t w, g;
} pass_key;

weft_status we_engine_pass(weft_engine *e, const we_adapters *adapters, bool train) {
    WEFT_TRY(we_batch_upload(&e->batch, &e->pack, e->dev));
    we_pass pass = {.m = &e->model,
                    .batch = &e->batch,
                    .acts = &e->acts,
                    .adapters = adapters,
                    .seed = e->cfg->run_seed,
                    .train = train};
    if (e->model.watch) return body(&pass); /* what watches wants to be called */
    we_encoder_cut(&pass);
    pass_key key;
    memset(&key, 0, sizeof key);
    key.tokens = e->batch.n_tokens, key.rows = e->batch.n_rows, key.max_len = e->batch.max_len;
    key.segments = e->batch.n_segments, key.train = train;
    if (adapters) {
        key.slots = adapters->w.dim[0];
        key.w = (uintptr_t)adapters->w.data, key.g = (uintptr_t)adapters->g.data;
    }
    return wk_replay(e->dev, &key, sizeof key, body, &pass);
}
