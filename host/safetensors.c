#include "host/safetensors.h"

#include "host/json_util.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const size_t max_header = 100000000; /* as the reference implementation */

struct wh_safetensors {
    char *path;
    unsigned char *map; /* of the whole file */
    size_t map_bytes;
    const unsigned char *data; /* the data section, inside map */
    size_t data_bytes;
    json_t *header; /* owns the names */
    wh_tensor_info *tensor;
    void **copy; /* of misaligned tensors, by index; NULL: none */
    size_t n;
};

/* bits of an element of every dtype that the format knows, and ours where there is one */
static const struct {
    const char *name;
    unsigned bits;
    int dtype; /* -1: none */
} dtypes[] = {
    {"F64", 64, WEFT_F64},  {"F32", 32, WEFT_F32},  {"F16", 16, WEFT_F16}, {"BF16", 16, WEFT_BF16},
    {"I64", 64, WEFT_I64},  {"I32", 32, WEFT_I32},  {"I16", 16, -1},       {"I8", 8, -1},
    {"U64", 64, -1},        {"U32", 32, -1},        {"U16", 16, -1},       {"U8", 8, WEFT_U8},
    {"BOOL", 8, -1},        {"F8_E4M3", 8, -1},     {"F8_E5M2", 8, -1},    {"F8_E8M0", 8, -1},
    {"F8_E4M3FNUZ", 8, -1}, {"F8_E5M2FNUZ", 8, -1}, {"C64", 64, -1},       {"F4", 4, -1},
    {"F6_E2M3", 6, -1},     {"F6_E3M2", 6, -1},
};

size_t wh_dtype_bytes(weft_dtype dtype) {
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (dtypes[i].dtype == (int)dtype) return dtypes[i].bits / 8;
    return 0;
}

/* ---- header ---- */

static weft_status parse_offset(const json_t *value, size_t *out) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) return WEFT_E_DATA;
    *out = (size_t)json_integer_value(value);
    return WEFT_OK;
}

static weft_status parse_tensor(const wh_safetensors *f, wh_tensor_info *t, const json_t *spec,
                                weft_error *err) {
    const char *dtype = json_string_value(json_object_get(spec, "dtype"));
    if (!dtype) return WEFT_FAIL(err, WEFT_E_DATA, "%s: tensor %s has no dtype", f->path, t->name);
    size_t kind = 0;
    while (kind < sizeof dtypes / sizeof *dtypes && strcmp(dtypes[kind].name, dtype) != 0) kind++;
    if (kind == sizeof dtypes / sizeof *dtypes)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: tensor %s has unknown dtype %.32s", f->path,
                         t->name, dtype);
    t->dtype_name = dtypes[kind].name;
    t->supported = dtypes[kind].dtype >= 0;
    t->dtype = t->supported ? (weft_dtype)dtypes[kind].dtype : WEFT_U8;

    const json_t *shape = json_object_get(spec, "shape");
    if (!json_is_array(shape) || json_array_size(shape) > WH_SAFETENSORS_MAX_DIMS)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: tensor %s needs a shape of at most %d dimensions",
                         f->path, t->name, WH_SAFETENSORS_MAX_DIMS);
    t->ndim = (int32_t)json_array_size(shape);
    uint64_t bits = dtypes[kind].bits;
    for (int32_t i = 0; i < t->ndim; i++) {
        size_t d = 0;
        if (parse_offset(json_array_get(shape, (size_t)i), &d) != WEFT_OK ||
            (d && bits > UINT64_MAX / d))
            return WEFT_FAIL(err, WEFT_E_DATA, "%s: tensor %s has an impossible shape", f->path,
                             t->name);
        t->dim[i] = (int64_t)d;
        bits *= d;
    }

    const json_t *range = json_object_get(spec, "data_offsets");
    size_t begin = 0, end = 0;
    if (json_array_size(range) != 2 || parse_offset(json_array_get(range, 0), &begin) != WEFT_OK ||
        parse_offset(json_array_get(range, 1), &end) != WEFT_OK)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: tensor %s needs two data_offsets", f->path,
                         t->name);
    if (begin > end || end > f->data_bytes)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: tensor %s is at bytes %zu to %zu of %zu: the file is cut or damaged, "
                         "fetch it again",
                         f->path, t->name, begin, end, f->data_bytes);
    if (bits % 8 || bits / 8 != end - begin)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: tensor %s of dtype %s needs %" PRIu64 " bytes by its shape, has %zu",
                         f->path, t->name, dtype, bits / 8, end - begin);
    t->offset = begin;
    t->bytes = end - begin;
    return WEFT_OK;
}

static int by_offset(const void *a, const void *b) {
    const wh_tensor_info *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_name(const void *a, const void *b) {
    const wh_tensor_info *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* The tensors, in order of their offsets, must cover the data section exactly. */
static weft_status check_cover(wh_safetensors *f, weft_error *err) {
    if (f->n) qsort(f->tensor, f->n, sizeof *f->tensor, by_offset);
    size_t end = 0;
    for (size_t i = 0; i < f->n; i++) {
        const wh_tensor_info *t = &f->tensor[i];
        if (t->offset != end)
            return WEFT_FAIL(err, WEFT_E_DATA,
                             "%s: tensor %s starts at byte %zu, but %s ends at byte %zu: %s",
                             f->path, t->name, t->offset, i ? f->tensor[i - 1].name : "the header",
                             end, t->offset < end ? "they overlap" : "there is a gap");
        end += t->bytes;
    }
    if (end != f->data_bytes)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: the header describes %zu bytes of data, the file has %zu", f->path,
                         end, f->data_bytes);
    return WEFT_OK;
}

static weft_status parse_header(wh_safetensors *f, weft_error *err) {
    static const char lfs[] = "version https://git-lfs";
    if (f->map_bytes >= sizeof lfs - 1 && memcmp(f->map, lfs, sizeof lfs - 1) == 0)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s is a Git LFS pointer, not the file itself: run `git lfs pull`",
                         f->path);
    if (f->map_bytes < 8)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: %zu bytes are too few for a safetensors file",
                         f->path, f->map_bytes);
    uint64_t bytes = 0;
    for (int i = 7; i >= 0; i--) bytes = bytes << 8 | f->map[i];
    if (bytes > max_header)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: header length %" PRIu64 " is above %zu: not a safetensors file",
                         f->path, bytes, max_header);
    if (bytes > f->map_bytes - 8)
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: the header needs %" PRIu64
                         " bytes, the file has %zu: it is cut, fetch "
                         "it again",
                         f->path, bytes, f->map_bytes - 8);
    f->data = f->map + 8 + bytes;
    f->data_bytes = f->map_bytes - 8 - (size_t)bytes;

    const char *text = (const char *)f->map + 8;
    if (bytes < 2 || text[0] != '{')
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: the header is not a JSON object", f->path);
    WEFT_TRY(wh_json_parse(&f->header, text, (size_t)bytes, f->path, err));
    size_t room = json_object_size(f->header);
    f->tensor = calloc(room + 1, sizeof *f->tensor);
    f->copy = calloc(room + 1, sizeof *f->copy);
    if (!f->tensor || !f->copy)
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the %zu tensors of %s", room, f->path);
    const char *name;
    json_t *spec;
    json_object_foreach(f->header, name, spec) {
        if (strcmp(name, "__metadata__") == 0) continue;
        f->tensor[f->n].name = name;
        WEFT_TRY(parse_tensor(f, &f->tensor[f->n], spec, err));
        f->n++;
    }
    WEFT_TRY(check_cover(f, err));
    if (f->n) qsort(f->tensor, f->n, sizeof *f->tensor, by_name);
    return WEFT_OK;
}

/* ---- file ---- */

weft_status wh_safetensors_open(wh_safetensors **out, const char *path, weft_error *err) {
    wh_safetensors *f = calloc(1, sizeof *f);
    if (!f || !(f->path = strdup(path))) {
        free(f);
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while opening %s", path);
    }
    weft_status st = WEFT_OK;
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0)
        st = WEFT_FAIL(err, WEFT_E_DATA, "cannot open %s: %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        st = WEFT_FAIL(err, WEFT_E_DATA, "%s is not a regular file", path);
    else if (info.st_size > 0) {
        f->map_bytes = (size_t)info.st_size;
        void *map = mmap(NULL, f->map_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
            st = WEFT_FAIL(err, WEFT_E_DATA, "cannot map %s: %s", path, strerror(errno));
        else
            f->map = map;
    }
    if (fd >= 0) (void)close(fd);
    if (st == WEFT_OK) st = parse_header(f, err);
    if (st != WEFT_OK) {
        wh_safetensors_close(f);
        return st;
    }
    *out = f;
    return WEFT_OK;
}

void wh_safetensors_close(wh_safetensors *f) {
    if (!f) return;
    for (size_t i = 0; f->copy && i < f->n; i++) free(f->copy[i]);
    free(f->copy);
    free(f->tensor);
    json_decref(f->header);
    if (f->map) (void)munmap(f->map, f->map_bytes);
    free(f->path);
    free(f);
}

const char *wh_safetensors_path(const wh_safetensors *f) {
    return f->path;
}

size_t wh_safetensors_count(const wh_safetensors *f) {
    return f->n;
}

const wh_tensor_info *wh_safetensors_at(const wh_safetensors *f, size_t index) {
    return index < f->n ? &f->tensor[index] : NULL;
}

const wh_tensor_info *wh_safetensors_find(const wh_safetensors *f, const char *name) {
    wh_tensor_info key = {.name = name};
    return f->n ? bsearch(&key, f->tensor, f->n, sizeof key, by_name) : NULL;
}

weft_status wh_safetensors_data(wh_safetensors *f, const wh_tensor_info *t, const void **out,
                                weft_error *err) {
    if (!t->supported)
        return WEFT_FAIL(err, WEFT_E_DATA, "%s: tensor %s has dtype %s, which Weft does not read",
                         f->path, t->name, t->dtype_name);
    const unsigned char *at = f->data + t->offset;
    size_t index = (size_t)(t - f->tensor);
    if ((uintptr_t)at % wh_dtype_bytes(t->dtype) == 0) {
        *out = at;
        return WEFT_OK;
    }
    if (!f->copy[index]) {
        if (!(f->copy[index] = malloc(t->bytes ? t->bytes : 1)))
            return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for an aligned copy of %s (%zu bytes)",
                             t->name, t->bytes);
        memcpy(f->copy[index], at, t->bytes);
    }
    *out = f->copy[index];
    return WEFT_OK;
}
