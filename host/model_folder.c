#include "host/model_folder.h"

#include "host/json_util.h"
#include "host/safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct meta_entry {
    char *key, *value;
} meta_entry;

typedef struct weight_entry { /* where a tensor is; the name lives in its shard */
    const char *name;
    wh_safetensors *shard;
    const wh_tensor_info *info;
} weight_entry;

struct wh_model_folder {
    char *path, *id;
    bool has_weights;
    meta_entry *meta;
    size_t n_meta, cap_meta;
    wh_safetensors **shard;
    size_t n_shards;
    weight_entry *weight;
    size_t n_weights;
};

static const size_t max_config = 16u << 20, max_index = 64u << 20;

static weft_status no_memory(const wh_model_folder *m, weft_error *err) {
    return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while opening model %s",
                     m->path ? m->path : "");
}

/* ---- finding the folder ---- */

static bool has_folder(const char *folder, const char *name) {
    char inside[512]; /* names in a folder are shorter than 256 */
    int n = snprintf(inside, sizeof inside, "%s/.", name);
    return n > 0 && (size_t)n < sizeof inside && wh_folder_has(folder, inside);
}

/* The revision of refs/main, or the only snapshot. *name is *own*ed. */
static weft_status pick_snapshot(char **name, const char *path, const char *snapshots,
                                 weft_error *err) {
    char *ref = wh_path_join(path, "refs/main"), *text = NULL;
    size_t bytes = 0;
    weft_status st = ref ? wh_file_read(&text, &bytes, ref, 256, NULL) : WEFT_E_MEM;
    free(ref);
    if (st == WEFT_OK) {
        text[strcspn(text, " \r\n")] = '\0';
        if (*text && !strchr(text, '/') && has_folder(snapshots, text)) {
            *name = text;
            return WEFT_OK;
        }
        free(text);
    }
    DIR *dir = opendir(snapshots);
    if (!dir) return WEFT_FAIL(err, WEFT_E_DATA, "cannot open %s: %s", snapshots, strerror(errno));
    int found = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.' || !has_folder(snapshots, e->d_name)) continue;
        free(found++ ? *name : NULL);
        *name = strdup(e->d_name);
    }
    (void)closedir(dir);
    if (found == 1 && *name) return WEFT_OK;
    if (found == 1) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while opening %s", snapshots);
    free(found ? *name : NULL);
    *name = NULL;
    return WEFT_FAIL(err, WEFT_E_DATA,
                     "%s holds %d snapshots and refs/main names none of them: give the path of one",
                     snapshots, found);
}

/* "…/models--org--name" -> "org/name"; NULL when the path is not of that form. *Own*ed. */
static char *hub_id(const char *path) {
    static const char prefix[] = "models--";
    const char *at = NULL;
    for (const char *p = path; (p = strstr(p, prefix)) != NULL; p++)
        if (p == path || p[-1] == '/') at = p + sizeof prefix - 1;
    if (!at) return NULL;
    wh_text id = {0};
    for (; *at && *at != '/'; at++) {
        bool slash = at[0] == '-' && at[1] == '-';
        wh_text_add_n(&id, slash ? "/" : at, 1);
        at += slash;
    }
    return wh_text_take(&id);
}

static weft_status find_folder(wh_model_folder *m, const char *path, weft_error *err) {
    struct stat info;
    if (stat(path, &info) != 0)
        return WEFT_FAIL(
            err, WEFT_E_DATA,
            "model folder %s: %s; Weft downloads nothing, give a folder with config.json "
            "and *.safetensors (e.g. from `hf download`)",
            path, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return WEFT_FAIL(err, WEFT_E_DATA, "model path %s is a file: give the folder it lies in",
                         path);
    if (!wh_folder_has(path, "config.json") && has_folder(path, "snapshots")) {
        char *snapshots = wh_path_join(path, "snapshots"), *name = NULL;
        weft_status st = snapshots ? pick_snapshot(&name, path, snapshots, err) : no_memory(m, err);
        if (st == WEFT_OK) m->path = wh_path_join(snapshots, name);
        free(snapshots);
        free(name);
        WEFT_TRY(st);
    } else {
        m->path = strdup(path);
    }
    m->id = hub_id(path);
    if (!m->id) m->id = strdup(path);
    if (!m->path || !m->id) return no_memory(m, err);
    for (size_t n = strlen(m->id); n > 1 && m->id[n - 1] == '/'; n--) m->id[n - 1] = '\0';
    return WEFT_OK;
}

/* ---- config.json ---- */

static int by_key(const void *a, const void *b) {
    const meta_entry *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static weft_status add_meta(wh_model_folder *m, const char *key, const json_t *value,
                            weft_error *err) {
    if (m->n_meta == m->cap_meta) {
        size_t cap = m->cap_meta ? 2 * m->cap_meta : 64;
        meta_entry *grown = realloc(m->meta, cap * sizeof *grown);
        if (!grown) return no_memory(m, err);
        m->meta = grown, m->cap_meta = cap;
    }
    wh_text text = {0};
    if (json_is_string(value))
        wh_text_add(&text, json_string_value(value));
    else
        wh_json_add(&text, value, 0);
    meta_entry e = {strdup(key), wh_text_take(&text)};
    m->meta[m->n_meta++] = e;
    return e.key && e.value ? WEFT_OK : no_memory(m, err);
}

/* Objects open into "outer.inner"; null counts as absent. */
static weft_status flatten(wh_model_folder *m, const char *prefix, json_t *object,
                           weft_error *err) {
    const char *key;
    json_t *value;
    weft_status st = WEFT_OK;
    json_object_foreach(object, key, value) {
        wh_text path = {0};
        wh_text_addf(&path, "%s%s%s", prefix, *prefix ? "." : "", key);
        if (path.failed)
            st = no_memory(m, err);
        else if (json_is_object(value))
            st = flatten(m, path.data, value, err);
        else if (!json_is_null(value))
            st = add_meta(m, path.data, value, err);
        wh_text_free(&path);
        if (st != WEFT_OK) break;
    }
    return st;
}

static weft_status read_config(wh_model_folder *m, weft_error *err) {
    if (!wh_folder_has(m->path, "config.json"))
        return WEFT_FAIL(
            err, WEFT_E_DATA,
            "no config.json in %s: a model folder holds config.json, tokenizer.json and "
            "model.safetensors",
            m->path);
    char *path = wh_path_join(m->path, "config.json");
    if (!path) return no_memory(m, err);
    json_t *root = NULL;
    weft_status st = wh_json_load(&root, path, max_config, err);
    if (st == WEFT_OK && !json_is_object(root))
        st = WEFT_FAIL(err, WEFT_E_DATA, "%s must hold a JSON object", path);
    if (st == WEFT_OK) st = flatten(m, "", root, err);
    if (st == WEFT_OK && m->n_meta) qsort(m->meta, m->n_meta, sizeof *m->meta, by_key);
    json_decref(root);
    free(path);
    return st;
}

/* ---- weights ---- */

static int by_weight(const void *a, const void *b) {
    const weight_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static weft_status open_shard(wh_model_folder *m, const char *file, weft_error *err) {
    wh_safetensors **grown = realloc(m->shard, (m->n_shards + 1) * sizeof(wh_safetensors *));
    char *path = wh_path_join(m->path, file);
    if (grown) m->shard = grown;
    weft_status st =
        grown && path ? wh_safetensors_open(&m->shard[m->n_shards], path, err) : no_memory(m, err);
    if (st == WEFT_OK) m->n_shards++;
    free(path);
    return st;
}

static wh_safetensors *find_shard(const wh_model_folder *m, const char *file) {
    for (size_t i = 0; i < m->n_shards; i++) {
        const char *path = wh_safetensors_path(m->shard[i]), *slash = strrchr(path, '/');
        if (strcmp(slash ? slash + 1 : path, file) == 0) return m->shard[i];
    }
    return NULL;
}

static weft_status single_file(wh_model_folder *m, weft_error *err) {
    WEFT_TRY(open_shard(m, "model.safetensors", err));
    size_t n = wh_safetensors_count(m->shard[0]);
    m->weight = calloc(n + 1, sizeof *m->weight);
    if (!m->weight) return no_memory(m, err);
    for (size_t i = 0; i < n; i++) {
        const wh_tensor_info *info = wh_safetensors_at(m->shard[0], i);
        m->weight[i] = (weight_entry){info->name, m->shard[0], info};
    }
    m->n_weights = n;
    return WEFT_OK;
}

/* All shards that the map names and the folder lacks, in one message. */
static weft_status check_shards_exist(const wh_model_folder *m, const char *index, json_t *map,
                                      weft_error *err) {
    const char *tensor;
    json_t *file;
    json_t *missing = json_object(); /* used as a set in order of appearance */
    if (!missing) return no_memory(m, err);
    weft_status st = WEFT_OK;
    json_object_foreach(map, tensor, file) {
        const char *name = json_string_value(file);
        const bool is_folder = name && (strcmp(name, ".") == 0 || strcmp(name, "..") == 0);
        if (!name || !*name || strchr(name, '/') || is_folder) {
            st = WEFT_FAIL(err, WEFT_E_DATA, "%s: weight_map of %s must name a file of this folder",
                           index, tensor);
            break;
        }
        if (!wh_folder_has(m->path, name)) (void)json_object_set_new(missing, name, json_true());
    }
    if (st == WEFT_OK && json_object_size(missing)) {
        wh_text list = {0};
        const char *name;
        json_object_foreach(missing, name, file)
            wh_text_addf(&list, "%s%s", list.len ? ", " : "", name);
        st = WEFT_FAIL(err, WEFT_E_DATA, "%zu shards named in %s are missing: %s",
                       json_object_size(missing), index, list.data ? list.data : "");
        wh_text_free(&list);
    }
    json_decref(missing);
    return st;
}

static weft_status map_weights(wh_model_folder *m, const char *index, json_t *map,
                               weft_error *err) {
    WEFT_TRY(check_shards_exist(m, index, map, err));
    m->weight = calloc(json_object_size(map) + 1, sizeof *m->weight);
    if (!m->weight) return no_memory(m, err);
    const char *tensor;
    json_t *file;
    json_object_foreach(map, tensor, file) {
        const char *name = json_string_value(file);
        wh_safetensors *shard = find_shard(m, name);
        if (!shard) {
            WEFT_TRY(open_shard(m, name, err));
            shard = m->shard[m->n_shards - 1];
        }
        const wh_tensor_info *info = wh_safetensors_find(shard, tensor);
        if (!info)
            return WEFT_FAIL(err, WEFT_E_DATA, "%s places tensor %s in %s, which does not hold it",
                             index, tensor, name);
        m->weight[m->n_weights++] = (weight_entry){info->name, shard, info};
    }
    if (m->n_weights) qsort(m->weight, m->n_weights, sizeof *m->weight, by_weight);
    return WEFT_OK;
}

static weft_status sharded_files(wh_model_folder *m, weft_error *err) {
    char *index = wh_path_join(m->path, "model.safetensors.index.json");
    if (!index) return no_memory(m, err);
    json_t *root = NULL, *map = NULL;
    weft_status st = wh_json_load(&root, index, max_index, err);
    if (st == WEFT_OK) st = wh_json_child(root, index, "weight_map", JSON_OBJECT, &map, err);
    if (st == WEFT_OK) st = map_weights(m, index, map, err);
    json_decref(root);
    free(index);
    return st;
}

static weft_status open_weights(wh_model_folder *m, weft_error *err) {
    if (wh_folder_has(m->path, "model.safetensors")) return single_file(m, err);
    if (wh_folder_has(m->path, "model.safetensors.index.json")) return sharded_files(m, err);
    if (wh_folder_has(m->path, "pytorch_model.bin") ||
        wh_folder_has(m->path, "pytorch_model.bin.index.json"))
        return WEFT_FAIL(
            err, WEFT_E_DATA,
            "%s has only pytorch_model.bin, a pickle that can run code: convert it once "
            "with transformers, AutoModel.from_pretrained(folder).save_pretrained(new, "
            "safe_serialization=True)",
            m->path);
    return WEFT_FAIL(err, WEFT_E_DATA,
                     "no weights in %s: neither model.safetensors nor model.safetensors.index.json",
                     m->path);
}

/* ---- public ---- */

weft_status wh_model_folder_open(wh_model_folder **out, const char *path, bool with_weights,
                                 weft_error *err) {
    wh_model_folder *m = calloc(1, sizeof *m);
    if (!m) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while opening model %s", path);
    weft_status st = find_folder(m, path, err);
    if (st == WEFT_OK) st = read_config(m, err);
    if (st == WEFT_OK && with_weights) st = open_weights(m, err);
    m->has_weights = with_weights;
    if (st != WEFT_OK) {
        wh_model_folder_close(m);
        return st;
    }
    *out = m;
    return WEFT_OK;
}

void wh_model_folder_close(wh_model_folder *m) {
    if (!m) return;
    for (size_t i = 0; i < m->n_meta; i++) {
        free(m->meta[i].key);
        free(m->meta[i].value);
    }
    for (size_t i = 0; i < m->n_shards; i++) wh_safetensors_close(m->shard[i]);
    free(m->meta);
    free(m->shard);
    free(m->weight);
    free(m->path);
    free(m->id);
    free(m);
}

const char *wh_model_folder_path(const wh_model_folder *m) {
    return m->path;
}

const char *wh_model_folder_id(const wh_model_folder *m) {
    return m->id;
}

const char *wh_model_folder_short_name(const wh_model_folder *m) {
    const char *slash = strrchr(m->id, '/');
    return slash && slash[1] ? slash + 1 : m->id;
}

const char *wh_model_folder_meta(const wh_model_folder *m, const char *key) {
    meta_entry wanted = {(char *)(uintptr_t)key, NULL}, *found = NULL;
    if (m->n_meta) found = bsearch(&wanted, m->meta, m->n_meta, sizeof wanted, by_key);
    return found ? found->value : NULL;
}

char *wh_model_folder_file(const wh_model_folder *m, const char *name) {
    return wh_folder_has(m->path, name) ? wh_path_join(m->path, name) : NULL;
}

const char *wh_model_folder_tensor_name(const wh_model_folder *m, size_t index) {
    return index < m->n_weights ? m->weight[index].name : NULL;
}

static const char *source_meta(void *ud, const char *key) {
    return wh_model_folder_meta(ud, key);
}

static weft_status source_tensor(void *ud, const char *name, weft_source_tensor *out,
                                 weft_error *err) {
    const wh_model_folder *m = ud;
    weight_entry wanted = {.name = name}, *found = NULL;
    if (m->n_weights) found = bsearch(&wanted, m->weight, m->n_weights, sizeof wanted, by_weight);
    weft_source_tensor t = {0};
    if (found) {
        WEFT_TRY(wh_safetensors_data(found->shard, found->info, &t.data, err));
        t.dtype = found->info->dtype;
        t.ndim = found->info->ndim;
        memcpy(t.dim, found->info->dim, sizeof t.dim);
    }
    *out = t;
    return WEFT_OK;
}

weft_model_source wh_model_folder_source(wh_model_folder *m) {
    return (weft_model_source){.ud = m,
                               .name = m->path,
                               .meta = source_meta,
                               .tensor = m->has_weights ? source_tensor : NULL};
}
