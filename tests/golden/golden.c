/* The reader of golden.h. */
#include "tests/golden/golden.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool golden_load(const char *dir, const golden_set *set, golden_file *out) {
    char path[1024];
    int len = snprintf(path, sizeof path, "%s/%s", dir, set->file);
    if (len < 0 || (size_t)len >= sizeof path) {
        fprintf(stderr, "golden: the path %s/%s is too long\n", dir, set->file);
        return false;
    }
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "golden: cannot open %s: %s\n", path, strerror(errno));
        return false;
    }
    /* One byte more than expected, so that a longer file is noticed. */
    unsigned char *data = malloc(set->bytes + 1);
    size_t got = data ? fread(data, 1, set->bytes + 1, f) : 0;
    fclose(f);
    if (got != set->bytes) {
        fprintf(stderr, "golden: %s does not have the %zu bytes of its header: record both again\n",
                path, set->bytes);
        free(data);
        return false;
    }
    out->set = set;
    out->data = data;
    return true;
}

void golden_free(golden_file *g) {
    free(g->data);
    g->data = NULL;
}

const golden_tensor *golden_find(const golden_set *set, const char *name) {
    for (size_t i = 0; i < set->num_tensors; i++)
        if (strcmp(set->tensors[i].name, name) == 0) return &set->tensors[i];
    return NULL;
}

size_t golden_count(const golden_tensor *t) {
    size_t n = 1;
    for (int i = 0; i < t->ndim; i++) n *= (size_t)t->dim[i];
    return n;
}

static const void *must_find(const golden_file *g, const char *name, golden_dtype dtype,
                             const golden_tensor **info) {
    const golden_tensor *t = golden_find(g->set, name);
    if (!t || t->dtype != dtype) {
        fprintf(stderr, "golden: %s has no tensor '%s' of type %s\n", g->set->file, name,
                dtype == GOLDEN_F32 ? "f32" : "i32");
        abort();
    }
    if (info) *info = t;
    return g->data + t->offset;
}

const float *golden_f32(const golden_file *g, const char *name, const golden_tensor **info) {
    return must_find(g, name, GOLDEN_F32, info);
}

const int32_t *golden_i32(const golden_file *g, const char *name, const golden_tensor **info) {
    return must_find(g, name, GOLDEN_I32, info);
}

const char *golden_text(const golden_set *set, const char *key) {
    for (size_t i = 0; i < set->num_settings; i++)
        if (strcmp(set->settings[i].key, key) == 0) return set->settings[i].value;
    return NULL;
}

double golden_number(const golden_set *set, const char *key) {
    const char *text = golden_text(set, key);
    char *end = NULL;
    double value = text ? strtod(text, &end) : 0;
    if (!text || end == text || *end) {
        fprintf(stderr, "golden: %s has no number '%s' (it is %s)\n", set->file, key,
                text ? text : "absent");
        abort();
    }
    return value;
}
