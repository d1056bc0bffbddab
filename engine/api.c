/* The rest of weft.h: what an engine tells about itself, and its adapter in and out. */
#include "engine/engine.h"
#include "kernels/dev.h"

#include <math.h>
#include <string.h>

void weft_engine_info_get(const weft_engine *e, weft_engine_info *out) {
    const we_lora *lora = &e->model.lora;
    *out = (weft_engine_info){.architecture = e->model.arch->name,
                              .backend = e->dev->backend->name,
                              .backend_note = e->dev->note,
                              .hidden_dtype = wk_dtype_name(e->dev->hidden),
                              .device_reason = e->device_reason,
                              .threads = e->dev->threads,
                              .base_parameters = e->model.base_parameters,
                              .adapter_numel = lora->numel,
                              .adapter_size = lora->size,
                              .n_views = lora->n_views,
                              .lora_r = lora->r,
                              .lora_alpha = lora->alpha,
                              .lora_scale = (double)lora->scale,
                              .target_modules = lora->targets,
                              .modules_to_save = lora->saved,
                              .num_labels = e->model.num_labels,
                              .slots = e->slots.n,
                              .pack_tokens = e->limits.tokens,
                              .device_bytes = (int64_t)e->dev->held,
                              .sums = e->ranks.sums};
}

uint32_t weft_backend_interface(void) {
    return WK_ABI;
}

int64_t weft_engine_rounds_done(const weft_engine *e) {
    return e->rounds_done;
}

bool weft_engine_is_done(const weft_engine *e) {
    const int64_t steps = e->cfg->fl_total_steps;
    return e->rounds_done >= e->cfg->fl_num_rounds || (steps > 0 && e->local_steps_total >= steps);
}

const weft_view *weft_engine_view(const weft_engine *e, int32_t index) {
    return index >= 0 && index < e->model.lora.n_views ? &e->model.lora.view[index] : NULL;
}

weft_status weft_engine_adapter_read(weft_engine *e, float *flat, weft_error *err) {
    weft_status st = wk_download(e->dev, flat, e->server.x);
    if (st != WEFT_OK && err) *err = e->ctx.err;
    return st;
}

weft_status weft_engine_adapter_write(weft_engine *e, const float *flat, weft_error *err) {
    const we_lora *lora = &e->model.lora;
    weft_status st = WEFT_OK;
    void *copy = NULL;
    if (e->rounds_done > 0) {
        st = WEFT_FAIL(&e->ctx.err, WEFT_E_ARG,
                       "an adapter can only be set before the first round, %lld were run",
                       (long long)e->rounds_done);
        goto out;
    }
    WEFT_TRY_GOTO(st, wk_host_alloc(&e->ctx, &copy, (size_t)lora->size, sizeof *flat, "adapter"),
                  out);
    for (int32_t i = 0; i < lora->n_views; i++) { /* gaps between views stay zero */
        const weft_view *v = &lora->view[i];
        int64_t n = v->ndim == 2 ? v->dim[0] * v->dim[1] : v->dim[0];
        memcpy((float *)copy + v->offset, flat + v->offset, (size_t)n * sizeof *flat);
        for (int64_t j = 0; j < n; j++)
            if (!isfinite(flat[v->offset + j])) {
                st = WEFT_FAIL(&e->ctx.err, WEFT_E_DATA, "adapter: %s.%s[%lld] is %f", v->module,
                               v->tensor, (long long)j, (double)flat[v->offset + j]);
                goto out;
            }
    }
    WEFT_TRY_GOTO(st, wk_upload(e->dev, e->server.x, copy), out);
out:
    wk_host_free(&e->ctx, copy);
    if (st != WEFT_OK && err) *err = e->ctx.err;
    return st;
}
