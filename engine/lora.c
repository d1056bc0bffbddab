#include "engine/lora.h"

#include "engine/config.h"
#include "engine/models/model.h"
#include "kernels/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define VIEW_ALIGN 16

/* `name` equals the module or its last dotted parts, as PEFT matches. */
static bool has_suffix(const char *module, const char *name, size_t n) {
    size_t len = strlen(module);
    return len >= n && memcmp(module + len - n, name, n) == 0 &&
           (len == n || module[len - n - 1] == '.');
}

/* `name` names the module or one of the modules that contain it. */
static bool covers(const char *module, const char *name, size_t n) {
    char parent[WE_MODULE_NAME];
    (void)snprintf(parent, sizeof parent, "%s", module);
    for (char *dot = parent; dot; dot = strrchr(parent, '.')) {
        if (dot != parent) *dot = 0;
        if (has_suffix(parent, name, n)) return true;
    }
    return false;
}

/* Next item of a comma separated list, trimmed; NULL at the end. */
static const char *next_name(const char **list, size_t *n) {
    const char *p = *list;
    while (*p == ',' || *p == ' ') p++;
    if (!*p) return NULL;
    const char *start = p;
    while (*p && *p != ',') p++;
    *list = p;
    while (p > start && p[-1] == ' ') p--;
    *n = (size_t)(p - start);
    return start;
}

static void append_name(char *list, size_t size, const char *name, size_t n) {
    size_t used = strlen(list);
    if (used + n + 2 > size) return; /* only for messages and reports */
    (void)snprintf(list + used, size - used, "%s%.*s", used ? "," : "", (int)n, name);
}

static const char *last_part(const char *module) {
    const char *dot = strrchr(module, '.');
    return dot ? dot + 1 : module;
}

/* Distinct last parts of all linears, for messages. */
static void list_linears(we_model *m, char *out, size_t size) {
    out[0] = 0;
    for (int32_t i = 0; i < we_model_linear_count(m); i++) {
        const char *name = last_part(we_model_linear(m, i)->module);
        bool seen = false;
        const char *list = out;
        size_t n = 0;
        for (const char *p = next_name(&list, &n); p; p = next_name(&list, &n))
            if (strlen(name) == n && memcmp(p, name, n) == 0) seen = true;
        if (!seen) append_name(out, size, name, strlen(name));
    }
}

static weft_status choose_saved(we_model *m, const weft_config *config) {
    wk_ctx *ctx = m->ctx;
    const char *spec = config->lora_modules_to_save;
    if (strcmp(spec, "none") == 0) return WEFT_OK;
    if (strcmp(spec, "default") == 0) spec = m->arch->default_saved;
    size_t n = 0;
    for (const char *p = next_name(&spec, &n); p; p = next_name(&spec, &n)) {
        bool hidden = covers(m->arch->head.hidden, p, n), out = covers(m->arch->head.out, p, n);
        if (!hidden && !out)
            return WEFT_FAIL(&ctx->err, WEFT_E_CONFIG,
                             "lora.modules_to_save: %.*s cannot be trained whole; %s has %s and %s",
                             (int)n, p, m->arch->name, m->arch->head.hidden, m->arch->head.out);
        m->hidden.is_trained |= hidden;
        m->out.is_trained |= out;
        append_name(m->lora.saved, sizeof m->lora.saved, p, n);
    }
    return WEFT_OK;
}

static weft_status choose_targets(we_model *m, const weft_config *config) {
    wk_ctx *ctx = m->ctx;
    const char *spec = config->lora_target_modules;
    bool all = strcmp(spec, "all-linear") == 0;
    if (strcmp(spec, "default") == 0) spec = m->arch->default_targets;
    int32_t count = we_model_linear_count(m);
    if (all) {
        for (int32_t i = 0; i < count; i++) we_model_linear(m, i)->a = 0;
        list_linears(m, m->lora.targets, sizeof m->lora.targets);
        return WEFT_OK;
    }
    size_t n = 0;
    for (const char *p = next_name(&spec, &n); p; p = next_name(&spec, &n)) {
        bool found = false;
        for (int32_t i = 0; i < count; i++) {
            we_linear *lin = we_model_linear(m, i);
            if (!has_suffix(lin->module, p, n)) continue;
            lin->a = 0; /* chosen; the offset follows */
            found = true;
        }
        if (!found) {
            char known[256];
            list_linears(m, known, sizeof known);
            return WEFT_FAIL(&ctx->err, WEFT_E_CONFIG,
                             "lora.target_modules: %.*s matches no linear of %s; it has %s", (int)n,
                             p, m->arch->name, known);
        }
        append_name(m->lora.targets, sizeof m->lora.targets, p, n);
    }
    if (!m->lora.targets[0])
        return WEFT_FAIL(
            &ctx->err, WEFT_E_CONFIG,
            "lora.target_modules is empty; name modules, or set lora.r=0 to train only "
            "lora.modules_to_save");
    return WEFT_OK;
}

static int64_t add_view(we_lora *lora, const char *module, const char *tensor, int32_t ndim,
                        int64_t rows, int64_t cols, bool saved) {
    weft_view *v = &lora->view[lora->n_views++];
    int64_t n = ndim == 2 ? rows * cols : rows;
    *v = (weft_view){.module = module,
                     .tensor = tensor,
                     .ndim = ndim,
                     .dim = {rows, ndim == 2 ? cols : 0},
                     .offset = lora->size,
                     .is_saved_module = saved};
    lora->size += (n + VIEW_ALIGN - 1) / VIEW_ALIGN * VIEW_ALIGN;
    lora->numel += n;
    return v->offset;
}

static void add_saved(we_model *m, we_head_layer *layer, const char *module, int64_t out,
                      int64_t in) {
    if (!layer->is_trained) return;
    layer->weight = add_view(&m->lora, module, "weight", 2, out, in, true);
    layer->bias = add_view(&m->lora, module, "bias", 1, out, 0, true);
}

weft_status we_lora_describe(we_model *m, const weft_config *config) {
    we_lora *lora = &m->lora;
    lora->r = (int32_t)config->lora_r;
    lora->alpha = config->lora_alpha;
    lora->dropout = (float)config->lora_dropout;
    if (lora->r > 0) {
        double rank = (double)lora->r;
        lora->scale = (float)(lora->alpha / (config->lora_use_rslora ? sqrt(rank) : rank));
    }
    WEFT_TRY(choose_saved(m, config));
    if (lora->r > 0) WEFT_TRY(choose_targets(m, config));

    int32_t count = we_model_linear_count(m);
    void *views = NULL;
    WEFT_TRY(
        wk_host_alloc(m->ctx, &views, (size_t)(2 * count + 4), sizeof(weft_view), "adapter views"));
    lora->view = views;
    for (int32_t i = 0; i < count; i++) {
        we_linear *lin = we_model_linear(m, i);
        if (lin->a < 0) continue;
        lin->a = add_view(lora, lin->module, "lora_A.weight", 2, lora->r, lin->in, false);
        lin->b = add_view(lora, lin->module, "lora_B.weight", 2, lin->out, lora->r, false);
    }
    add_saved(m, &m->hidden, m->arch->head.hidden, m->hp.d, m->hp.d);
    add_saved(m, &m->out, m->arch->head.out, m->num_labels, m->hp.d);
    if (lora->n_views == 0)
        return WEFT_FAIL(&m->ctx->err, WEFT_E_CONFIG,
                         "nothing to train: lora.r is 0 and lora.modules_to_save is none");
    lora->size = (lora->size + 63) / 64 * 64;
    return WEFT_OK;
}

weft_group we_view_group(const weft_view *view) {
    if (view->is_saved_module) return WEFT_GROUP_SAVED;
    return strcmp(view->tensor, "lora_A.weight") == 0 ? WEFT_GROUP_A : WEFT_GROUP_B;
}

void we_lora_fini(we_model *m) {
    wk_host_free(m->ctx, m->lora.view);
    m->lora.view = NULL;
}

void we_lora_init(const we_model *m, uint64_t seed, float *flat) {
    const we_lora *lora = &m->lora;
    memset(flat, 0, (size_t)lora->size * sizeof *flat);
    for (int32_t i = 0; i < lora->n_views; i++) {
        const weft_view *v = &lora->view[i];
        if (strcmp(v->tensor, "lora_A.weight") != 0) continue;
        float bound = (float)(1.0 / sqrt((double)v->dim[1]));
        uint64_t key = wk_rng_key(seed, WK_RNG_INIT, (uint32_t)i);
        for (int64_t j = 0; j < v->dim[0] * v->dim[1]; j++) {
            float u = wk_u32_to_unit(wk_rng_u32(key, (uint32_t)j, 0, 0, 0));
            flat[v->offset + j] = (2.0f * u - 1.0f) * bound;
        }
    }
}

void we_normal_init(uint64_t seed, uint32_t site, float deviation, float *out, int64_t n) {
    uint64_t key = wk_rng_key(seed, WK_RNG_INIT, site);
    for (int64_t i = 0; i < n; i++) { /* Box and Muller 1958; one draw of two is kept */
        wk_philox p = wk_philox4(key, (uint32_t)i, (uint32_t)((uint64_t)i >> 32), 1, 0);
        double u = ((double)p.v[0] + 1.0) / 4294967296.0, v = (double)p.v[1] / 4294967296.0;
        out[i] = (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586476925 * v)) * deviation;
    }
}

void we_round_to_bf16(float *values, int64_t n) {
    for (int64_t i = 0; i < n; i++) { /* number i is written behind what is still to be read */
        const uint16_t half = wk_f32_to_bf16(values[i]);
        memcpy((char *)values + 2 * i, &half, sizeof half);
    }
}
