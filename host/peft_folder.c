#include "host/peft_folder.h"

#include "host/atomic_file.h"
#include "host/folder.h"
#include "host/json_util.h"
#include "host/peft_config.h"
#include "host/safetensors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char config_file[] = "adapter_config.json";
static const char weights_file[] = "adapter_model.safetensors";
static const char card_file[] = "README.md";
static const char key_prefix[] = "base_model.model.";

static int64_t view_numel(const weft_view *v) {
    return v->ndim == 2 ? v->dim[0] * v->dim[1] : v->dim[0];
}

/* ---- export ---- */

static weft_status write_weights(const char *path, const weft_view *views, int32_t n_views,
                                 const float *flat, weft_error *err) {
    wh_tensor_out *tensor = calloc((size_t)n_views + 1, sizeof *tensor);
    char **name = calloc((size_t)n_views + 1, sizeof *name);
    bool ok = tensor && name;
    for (int32_t i = 0; i < n_views && ok; i++) {
        const weft_view *v = &views[i];
        wh_text key = {0};
        wh_text_addf(&key, "%s%s.%s", key_prefix, v->module, v->tensor);
        ok = (name[i] = wh_text_take(&key)) != NULL;
        tensor[i] = (wh_tensor_out){.name = name[i],
                                    .dtype = WEFT_F32,
                                    .ndim = v->ndim,
                                    .dim = {v->dim[0], v->dim[1]},
                                    .data = flat + v->offset};
    }
    weft_status st = ok ? wh_safetensors_write(path, tensor, (size_t)n_views, err)
                        : WEFT_FAIL(err, WEFT_E_MEM, "out of memory while writing %s", path);
    for (int32_t i = 0; name && i < n_views; i++) free(name[i]);
    free(name);
    free(tensor);
    return st;
}

static void compose_card(wh_text *card, const wh_peft_info *info) {
    wh_text_add(card, "---\nbase_model: ");
    wh_json_add_string(card, info->base_model); /* a JSON string is a YAML string */
    wh_text_add(card, "\nlibrary_name: peft\ntags:\n- lora\n- federated-learning\n- weft\n---\n\n"
                      "# LoRA adapter trained with Weft\n\n");
    wh_text_addf(card, "Base model: `%s`. r %d, alpha ", info->base_model, info->r);
    wh_text_add_real(card, info->alpha);
    wh_text_addf(card, "%s, target modules `%s`, fully trained: `%s`.\n\n",
                 info->use_rslora ? " (rsLoRA scale)" : "", info->target_modules,
                 info->modules_to_save);
    if (info->card && *info->card) wh_text_addf(card, "%s\n\n", info->card);
    if (info->r == 0) {
        wh_text_add(card,
                    "This folder holds no LoRA factors (r = 0), only the trained head: Weft loads "
                    "it, PEFT does not.\n");
        return;
    }
    wh_text_add(card, "```python\nfrom peft import AutoPeftModelForSequenceClassification\n\n"
                      "model = AutoPeftModelForSequenceClassification.from_pretrained(\n"
                      "    \"path/of/this/folder\", num_labels=NUM_LABELS)\n```\n");
}

static weft_status write_card(const char *path, const wh_peft_info *info, weft_error *err) {
    wh_text card = {0};
    compose_card(&card, info);
    weft_status st = wh_text_check(&card, path, err);
    if (st == WEFT_OK) st = wh_file_write(path, card.data, card.len, err);
    wh_text_free(&card);
    return st;
}

static weft_status write_config(const char *path, const wh_peft_info *info, const weft_view *views,
                                int32_t n_views, weft_error *err) {
    json_t *config = wh_peft_config_new(info, views, n_views);
    if (!config) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while writing %s", path);
    weft_status st = wh_json_save(path, config, err);
    json_decref(config);
    return st;
}

weft_status wh_peft_export(const char *folder, const wh_peft_info *info, const weft_view *views,
                           int32_t n_views, const float *flat, weft_error *err) {
    WEFT_TRY(wh_folder_make(folder, err));
    char *weights = wh_path_join(folder, weights_file), *card = wh_path_join(folder, card_file);
    char *config = wh_path_join(folder, config_file);
    weft_status st = WEFT_OK;
    if (!weights || !card || !config)
        st = WEFT_FAIL(err, WEFT_E_MEM, "out of memory while writing %s", folder);
    else if (unlink(config) != 0 && errno != ENOENT) /* an old folder is invalid from here */
        st = WEFT_FAIL(err, WEFT_E_OUTPUT, "cannot replace %s: %s", config, strerror(errno));
    if (st == WEFT_OK) {
        st = write_weights(weights, views, n_views, flat, err);
        if (st == WEFT_OK) st = write_card(card, info, err);
        if (st == WEFT_OK) st = write_config(config, info, views, n_views, err);
        if (st != WEFT_OK) {
            (void)unlink(weights);
            (void)unlink(card);
            (void)unlink(config);
            (void)rmdir(folder); /* only goes when nothing else is in it */
        }
    }
    free(weights);
    free(card);
    free(config);
    return st;
}

/* ---- import ---- */

/* Drops ".modules_to_save.<adapter>" and the adapter name in ".lora_A.<adapter>.weight", so that
 * keys of every PEFT version look like those it saves now. Returns the part after
 * "base_model.model.", *own*ed. */
static weft_status plain_key(char **out, const char *path, const char *key, weft_error *err) {
    static const char saved[] = ".modules_to_save.";
    if (strncmp(key, key_prefix, sizeof key_prefix - 1) != 0)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: tensor %s does not begin with %s", path, key,
                         key_prefix);
    const char *rest = key + sizeof key_prefix - 1, *at;
    wh_text plain = {0};
    if ((at = strstr(rest, saved)) != NULL) {
        const char *adapter = at + sizeof saved - 1, *after = strchr(adapter, '.');
        bool has_adapter = after != NULL;
        wh_text_add_n(&plain, rest, (size_t)(at - rest));
        wh_text_addf(&plain, "%s%s", has_adapter ? "" : ".", has_adapter ? after : adapter);
    } else if ((at = strstr(rest, ".lora_")) != NULL && strlen(at) > 8 && at[7] == '.') {
        const char *tail = strrchr(at, '.'); /* ".weight" */
        wh_text_add_n(&plain, rest, (size_t)(at + 7 - rest));
        wh_text_add(&plain, tail);
    } else {
        wh_text_add(&plain, rest);
    }
    *out = wh_text_take(&plain);
    return *out ? WEFT_OK : WEFT_FAIL(err, WEFT_E_MEM, "out of memory while reading %s", path);
}

static int32_t find_view(const weft_view *views, int32_t n_views, const char *plain) {
    for (int32_t i = 0; i < n_views; i++) {
        size_t n = strlen(views[i].module);
        if (strncmp(plain, views[i].module, n) == 0 && plain[n] == '.' &&
            strcmp(plain + n + 1, views[i].tensor) == 0)
            return i;
    }
    return -1;
}

static void shape_text(char out[64], int32_t ndim, const int64_t *dim) {
    size_t at = 0;
    out[0] = '\0';
    for (int32_t i = 0; i < ndim && at < 40; i++)
        at += (size_t)snprintf(out + at, 64 - at, "%s%" PRId64, i ? ", " : "", dim[i]);
}

/* Which tensor of the file fills which view: source[v]. */
static weft_status match(const wh_tensor_info **source, wh_safetensors *file,
                         const wh_peft_info *expected, const weft_view *views, int32_t n_views,
                         weft_error *err) {
    const char *path = wh_safetensors_path(file);
    for (size_t i = 0; i < wh_safetensors_count(file); i++) {
        const wh_tensor_info *t = wh_safetensors_at(file, i);
        char *plain = NULL;
        WEFT_TRY(plain_key(&plain, path, t->name, err));
        int32_t v = find_view(views, n_views, plain);
        free(plain);
        if (v < 0)
            return WEFT_FAIL(err, WEFT_E_DATA,
                             "%s: tensor %s belongs to nothing that this run trains "
                             "(lora.target_modules=%s, lora.modules_to_save=%s)",
                             path, t->name, expected->target_modules, expected->modules_to_save);
        if (source[v])
            return WEFT_FAIL(err, WEFT_E_DATA, "%s: tensors %s and %s are the same weight", path,
                             source[v]->name, t->name);
        if (t->ndim != views[v].ndim ||
            memcmp(t->dim, views[v].dim, (size_t)t->ndim * sizeof *t->dim) != 0) {
            char theirs[64], ours[64];
            shape_text(theirs, t->ndim, t->dim);
            shape_text(ours, views[v].ndim, views[v].dim);
            return WEFT_FAIL(err, WEFT_E_DATA,
                             "%s: tensor %s has shape (%s), this model needs (%s)", path, t->name,
                             theirs, ours);
        }
        source[v] = t;
    }
    for (int32_t v = 0; v < n_views; v++)
        if (!source[v])
            return WEFT_FAIL(
                err, WEFT_E_DATA,
                "%s: no tensor %s%s.%s: the adapter was made with other modules than this "
                "run (lora.target_modules=%s, lora.modules_to_save=%s)",
                path, key_prefix, views[v].module, views[v].tensor, expected->target_modules,
                expected->modules_to_save);
    return WEFT_OK;
}

/* Into a scratch copy first, so that flat keeps its values when anything fails. */
static weft_status read_tensors(wh_safetensors *file, const wh_tensor_info **source,
                                const weft_view *views, int32_t n_views, float *flat,
                                weft_error *err) {
    int64_t total = 0;
    for (int32_t v = 0; v < n_views; v++) total += view_numel(&views[v]);
    float *scratch = malloc((size_t)(total ? total : 1) * sizeof *scratch), *at = scratch;
    if (!scratch)
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the %" PRId64 " numbers of %s", total,
                         wh_safetensors_path(file));
    weft_status st = WEFT_OK;
    for (int32_t v = 0; v < n_views && st == WEFT_OK; v++, at += view_numel(&views[v - 1]))
        st = wh_safetensors_floats(file, source[v], at, err);
    at = scratch;
    for (int32_t v = 0; v < n_views && st == WEFT_OK; v++) {
        size_t n = (size_t)view_numel(&views[v]);
        memcpy(flat + views[v].offset, at, n * sizeof *flat);
        at += n;
    }
    free(scratch);
    return st;
}

weft_status wh_peft_import(const char *folder, const wh_peft_info *expected, const weft_view *views,
                           int32_t n_views, float *flat, weft_error *err) {
    char *config_path = wh_path_join(folder, config_file);
    char *weights_path = wh_path_join(folder, weights_file);
    const wh_tensor_info **source = calloc((size_t)n_views + 1, sizeof *source);
    json_t *config = NULL;
    wh_safetensors *file = NULL;
    weft_status st;
    if (!config_path || !weights_path || !source) {
        st = WEFT_FAIL(err, WEFT_E_MEM, "out of memory while reading %s", folder);
        goto done;
    }
    WEFT_TRY_GOTO(st, wh_json_load(&config, config_path, 16u << 20, err), done);
    WEFT_TRY_GOTO(st, wh_peft_config_check(config, config_path, expected, err), done);
    WEFT_TRY_GOTO(st, wh_safetensors_open(&file, weights_path, err), done);
    WEFT_TRY_GOTO(st, match(source, file, expected, views, n_views, err), done);
    st = read_tensors(file, source, views, n_views, flat, err);
done:
    wh_safetensors_close(file);
    json_decref(config);
    free(source);
    free(weights_path);
    free(config_path);
    return st;
}
