/* The registry of architectures and the checked reading of config.json. */
#include "engine/models/arch.h"

#include "engine/parse.h"

#include <stdio.h>
#include <string.h>

static const we_arch *const registry[] = {&we_arch_bert, &we_arch_roberta, &we_arch_distilbert};

weft_status we_arch_find(wk_ctx *ctx, const weft_model_source *source, const we_arch **out) {
    const char *type = source->meta(source->ud, "model_type");
    if (!type)
        return WEFT_FAIL(&ctx->err, WEFT_E_DATA, "%s: config.json has no model_type", source->name);
    char known[128] = "";
    for (size_t i = 0; i < sizeof registry / sizeof *registry; i++) {
        if (strcmp(type, registry[i]->name) == 0) {
            *out = registry[i];
            return WEFT_OK;
        }
        size_t used = strlen(known);
        (void)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", registry[i]->name);
    }
    return WEFT_FAIL(&ctx->err, WEFT_E_DATA, "%s: model_type %s is not supported; supported are %s",
                     source->name, type, known);
}

weft_status we_meta_int(wk_ctx *ctx, const weft_model_source *source, const char *key, int64_t min,
                        int64_t max, int32_t *out) {
    const char *text = source->meta(source->ud, key);
    int64_t value = 0;
    if (!text)
        return WEFT_FAIL(&ctx->err, WEFT_E_DATA, "%s: config.json lacks %s", source->name, key);
    if (we_parse_i64(text, &value) || value < min || value > max)
        return WEFT_FAIL(&ctx->err, WEFT_E_DATA,
                         "%s: config.json: %s is %s, expected an integer in [%lld, %lld]",
                         source->name, key, text, (long long)min, (long long)max);
    *out = (int32_t)value;
    return WEFT_OK;
}

weft_status we_meta_real(wk_ctx *ctx, const weft_model_source *source, const char *key,
                         double fallback, float *out) {
    const char *text = source->meta(source->ud, key);
    double value = fallback;
    if (text && (we_parse_f64(text, &value) || !(value > 0)))
        return WEFT_FAIL(&ctx->err, WEFT_E_DATA, "%s: config.json: %s is %s, expected a number > 0",
                         source->name, key, text);
    *out = (float)value;
    return WEFT_OK;
}

bool we_meta_is(const weft_model_source *source, const char *key, const char *value) {
    const char *text = source->meta(source->ud, key);
    return text && strcmp(text, value) == 0;
}

weft_status we_meta_act(wk_ctx *ctx, const weft_model_source *source, const char *key,
                        wk_act *out) {
    /* HF's names; gelu_new and gelu_pytorch_tanh are the same tanh form. */
    static const struct {
        const char *name;
        wk_act act;
    } known[] = {{"gelu", WK_ACT_GELU},
                 {"gelu_new", WK_ACT_GELU_TANH},
                 {"gelu_pytorch_tanh", WK_ACT_GELU_TANH},
                 {"relu", WK_ACT_RELU}};
    const char *text = source->meta(source->ud, key);
    for (size_t i = 0; text && i < sizeof known / sizeof *known; i++)
        if (strcmp(text, known[i].name) == 0) {
            *out = known[i].act;
            return WEFT_OK;
        }
    return WEFT_FAIL(
        &ctx->err, WEFT_E_DATA,
        "%s: config.json: %s is %s, supported are gelu, gelu_new, gelu_pytorch_tanh and relu",
        source->name, key, text ? text : "missing");
}
