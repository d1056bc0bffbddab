/* Which device a job runs on: the built-in ones by name, or the backend that the host brought from
 * a plugin. */
#include "engine/engine.h"
#include "kernels/dev.h"

#include <stdio.h>

static const char *kind_name(we_device_kind kind) {
    return kind == WE_DEVICE_REF ? "ref" : "cpu";
}

static const char *no_backend(const weft_engine *e) {
    return e->backend_note ? e->backend_note : "the program brought no CUDA backend";
}

/* For reports: what was asked for, and what decided where that was left open. */
static void give_reason(weft_engine *e, we_device_kind kind) {
    const weft_config *cfg = e->cfg;
    const bool open = kind == WE_DEVICE_AUTO;
    (void)snprintf(e->device_reason, sizeof e->device_reason,
                   "run.device=%.40s%s%.280s; run.dtype=%s", cfg->run_device,
                   open ? (e->backend ? ", there is a CUDA device" : ", no CUDA: ") : "",
                   open && !e->backend ? no_backend(e) : "",
                   cfg->run_dtype == WE_DTYPE_BF16  ? "bf16"
                   : cfg->run_dtype == WE_DTYPE_F32 ? "f32"
                                                    : "auto");
}

weft_status we_engine_open_device(weft_engine *e, wk_dev **out) {
    const weft_config *cfg = e->cfg;
    we_device_choice choice = {WE_DEVICE_AUTO, 0};
    if (!we_config_device(cfg->run_device, &choice))
        return WEFT_FAIL(&e->ctx.err, WEFT_E_CONFIG, "run.device=%s is unknown", cfg->run_device);
    bool plugin = choice.kind == WE_DEVICE_CUDA || (choice.kind == WE_DEVICE_AUTO && e->backend);
    if (plugin && !e->backend)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_DEVICE,
                         "run.device=%s, but there is no CUDA device: %s; use run.device=cpu",
                         cfg->run_device, no_backend(e));
    const bool half =
        cfg->run_dtype == WE_DTYPE_BF16 ||
        (cfg->run_dtype == WE_DTYPE_AUTO && plugin && (e->backend->traits & WK_TRAIT_PREFERS_BF16));
    const wk_dev_options options = {
        .backend = kind_name(choice.kind),
        .threads = (int)cfg->run_threads,
        .hidden = half ? WK_BF16 : WK_F32,
        .ordinal = choice.ordinal,
        .placement = cfg->run_deterministic == WE_DETERMINISTIC_PLACEMENT,
        .check = cfg->run_check,
    };
    give_reason(e, choice.kind);
    if (plugin) return wk_dev_open_backend(out, &e->ctx, e->backend, &options);
    return wk_dev_open(out, &e->ctx, &options);
}
