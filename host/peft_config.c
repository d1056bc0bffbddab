#include "host/peft_config.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ---- */

static int by_text(const void *a, const void *b) {
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static json_t *adapted_modules(const weft_view *views, int32_t n_views) {
    const char **name = calloc((size_t)n_views + 1, sizeof *name);
    json_t *list = json_array();
    size_t n = 0;
    for (int32_t i = 0; name && i < n_views; i++)
        if (!views[i].is_saved_module && strcmp(views[i].tensor, "lora_A.weight") == 0)
            name[n++] = views[i].module;
    if (n) qsort(name, n, sizeof *name, by_text);
    bool ok = name && list;
    for (size_t i = 0; i < n && ok; i++)
        ok = json_array_append_new(list, json_string(name[i])) == 0;
    free(name);
    if (ok) return list;
    json_decref(list);
    return NULL;
}

static json_t *split_list(const char *text) {
    json_t *list = json_array();
    bool ok = list != NULL;
    while (ok && text && *text) {
        size_t n = strcspn(text, ",");
        if (n) ok = json_array_append_new(list, json_stringn(text, n)) == 0;
        text += n + (text[n] == ',');
    }
    if (ok && json_array_size(list) == 0) {
        json_decref(list);
        return json_null();
    }
    if (ok) return list;
    json_decref(list);
    return NULL;
}

static json_t *whole_or_real(double value) {
    return value == floor(value) && fabs(value) < 1e15 ? json_integer((json_int_t)value)
                                                       : wh_json_real(value);
}

json_t *wh_peft_config_new(const wh_peft_info *info, const weft_view *views, int32_t n_views) {
    return json_pack(
        "{s:o, s:n, s:s, s:s, s:b, s:b, s:b, s:o, s:o, s:o, s:s, s:i, s:o, s:n, s:o, s:s, "
        "s:b, s:b}",
        "alpha_pattern", json_object(), "auto_mapping", "base_model_name_or_path", info->base_model,
        "bias", "none", "fan_in_fan_out", 0, "inference_mode", 1, "init_lora_weights", 1,
        "lora_alpha", whole_or_real(info->alpha), "lora_dropout", wh_json_real(info->dropout),
        "modules_to_save", split_list(info->modules_to_save), "peft_type", "LORA", "r",
        (int)info->r, "rank_pattern", json_object(), "revision", "target_modules",
        adapted_modules(views, n_views), "task_type", info->task_type, "use_dora", 0, "use_rslora",
        (int)info->use_rslora);
}

/* ---- checking ---- */

/* Settings that say nothing about the numbers, or that the tensors themselves will show. */
static const char *const harmless[] = {
    "auto_mapping",
    "base_model_name_or_path",
    "ensure_weight_tying",
    "exclude_modules",
    "inference_mode",
    "lora_dropout",
    "megatron_core",
    "modules_to_save",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules",
    "eva_config",
};
/* Settings checked one by one below. */
static const char *const checked[] = {
    "bias", "init_lora_weights", "lora_alpha", "peft_type", "r", "task_type", "use_rslora",
};

static bool listed(const char *key, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(key, list[i]) == 0) return true;
    return false;
}

/* null, false, {} and [] switch a feature off in every version of PEFT. */
static bool is_off(const json_t *value) {
    return json_is_null(value) || json_is_false(value) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static weft_status check_features(const json_t *config, const char *path, weft_error *err) {
    const char *key;
    json_t *value;
    json_t *object = json_incref((json_t *)(uintptr_t)config); /* the iterator wants it mutable */
    weft_status st = WEFT_OK;
    json_object_foreach(object, key, value) {
        char text[64];
        if (listed(key, harmless, sizeof harmless / sizeof *harmless) ||
            listed(key, checked, sizeof checked / sizeof *checked) || is_off(value))
            continue;
        st = WEFT_FAIL(err, WEFT_E_DATA,
                       "%s: %s is %s: Weft reads plain LoRA adapters and does not support this",
                       path, key, wh_json_brief(text, sizeof text, value));
        break;
    }
    json_decref(object);
    return st;
}

/* These start from the base weights minus what the adapter holds: the base is no longer the plain
 * model. */
static weft_status check_init(const json_t *config, const char *path, weft_error *err) {
    const json_t *init = json_object_get(config, "init_lora_weights");
    const char *name = json_string_value(init);
    if (!name || strcmp(name, "gaussian") == 0 || strcmp(name, "eva") == 0 ||
        strcmp(name, "orthogonal") == 0)
        return WEFT_OK;
    return WEFT_FAIL(
        err, WEFT_E_DATA,
        "%s: init_lora_weights is \"%.40s\", which changes the base weights: convert the "
        "adapter to plain LoRA with PEFT first",
        path, name);
}

static weft_status check_text(const json_t *config, const char *path, const char *key,
                              const char *wanted, bool optional, weft_error *err) {
    const char *value = NULL;
    if (optional && !wh_json_has(config, key)) return WEFT_OK;
    WEFT_TRY(wh_json_string(config, path, key, &value, err));
    if (strcmp(value, wanted) == 0) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_DATA, "%s: %s is \"%.40s\", this needs \"%s\"", path, key, value,
                     wanted);
}

weft_status wh_peft_config_check(const json_t *config, const char *path,
                                 const wh_peft_info *expected, weft_error *err) {
    if (!json_is_object(config))
        return WEFT_FAIL(err, WEFT_E_DATA, "%s must hold a JSON object", path);
    WEFT_TRY(check_text(config, path, "peft_type", "LORA", false, err));
    WEFT_TRY(check_text(config, path, "task_type", expected->task_type, true, err));
    WEFT_TRY(check_text(config, path, "bias", "none", true, err));
    WEFT_TRY(check_features(config, path, err));
    WEFT_TRY(check_init(config, path, err));
    int64_t r = 0;
    double alpha = 0;
    bool rslora = false;
    WEFT_TRY(wh_json_int(config, path, "r", 0, INT32_MAX, &r, err));
    if (r != expected->r)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: r is %" PRId64 ", this run has lora.r=%d: set lora.r=%" PRId64, path,
                         r, expected->r, r);
    if (r == 0) return WEFT_OK; /* no LoRA, so no scale */
    WEFT_TRY(wh_json_number(config, path, "lora_alpha", &alpha, err));
    if (alpha < expected->alpha || alpha > expected->alpha) {
        char theirs[WH_NUMBER_TEXT], ours[WH_NUMBER_TEXT];
        (void)wh_real_text(theirs, alpha);
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: lora_alpha is %s, this run has lora.alpha=%s: set lora.alpha=%s",
                         path, theirs, wh_real_text(ours, expected->alpha), theirs);
    }
    if (wh_json_has(config, "use_rslora"))
        WEFT_TRY(wh_json_bool(config, path, "use_rslora", &rslora, err));
    if (rslora != expected->use_rslora)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: use_rslora is %s, this run has the opposite: set lora.use_rslora=%s",
                         path, rslora ? "true" : "false", rslora ? "true" : "false");
    return WEFT_OK;
}
