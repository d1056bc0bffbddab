/* The writing half of safetensors.h, and conversion to float. */
#include "host/safetensors.h"

#include "host/atomic_file.h"
#include "host/json_util.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- conversion ---- */

static float bf16_value(uint16_t h) {
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* IEEE 754 binary16: sign, 5 bits of exponent (bias 15), 10 of mantissa. */
static float f16_value(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u,
             mantissa = h & 0x3ffu;
    uint32_t u;
    float f;
    if (exponent == 0) { /* zero and subnormals: mantissa * 2^-24 */
        f = (float)mantissa * 0x1p-24f;
        memcpy(&u, &f, sizeof u);
        u |= sign;
    } else {
        u = sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | mantissa << 13;
    }
    memcpy(&f, &u, sizeof f);
    return f;
}

weft_status wh_safetensors_floats(wh_safetensors *file, const wh_tensor_info *t, float *out,
                                  weft_error *err) {
    const void *data = NULL;
    WEFT_TRY(wh_safetensors_data(file, t, &data, err));
    size_t n = t->bytes / wh_dtype_bytes(t->dtype);
    if (t->dtype == WEFT_F32) {
        if (n) memcpy(out, data, t->bytes);
    } else if (t->dtype == WEFT_F64) {
        const double *in = data;
        for (size_t i = 0; i < n; i++) out[i] = (float)in[i];
    } else if (t->dtype == WEFT_BF16) {
        const uint16_t *in = data;
        for (size_t i = 0; i < n; i++) out[i] = bf16_value(in[i]);
    } else if (t->dtype == WEFT_F16) {
        const uint16_t *in = data;
        for (size_t i = 0; i < n; i++) out[i] = f16_value(in[i]);
    } else {
        return WEFT_FAIL(err, WEFT_E_DATA,
                         "%s: tensor %s has dtype %s, a floating-point one is needed",
                         wh_safetensors_path(file), t->name, t->dtype_name);
    }
    return WEFT_OK;
}

/* ---- writing ---- */

static const char *format_name(weft_dtype dtype) {
    switch (dtype) {
    case WEFT_F32:
        return "F32";
    case WEFT_F64:
        return "F64";
    case WEFT_BF16:
        return "BF16";
    case WEFT_F16:
        return "F16";
    case WEFT_I32:
        return "I32";
    case WEFT_U8:
        return "U8";
    case WEFT_I64:
        return "I64";
    }
    return "?";
}

static size_t out_bytes(const wh_tensor_out *t) {
    size_t bytes = wh_dtype_bytes(t->dtype);
    for (int32_t i = 0; i < t->ndim; i++) bytes *= (size_t)t->dim[i];
    return bytes;
}

static int file_order(const void *a, const void *b) {
    const wh_tensor_out *x = a, *y = b;
    size_t m = wh_dtype_bytes(x->dtype), n = wh_dtype_bytes(y->dtype);
    if (m != n) return m > n ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void compose_header(wh_text *header, const wh_tensor_out *tensors, size_t n) {
    size_t offset = 0;
    wh_text_add(header, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < n; i++) {
        const wh_tensor_out *t = &tensors[i];
        wh_text_add(header, ",");
        wh_json_add_string(header, t->name);
        wh_text_addf(header, ":{\"dtype\":\"%s\",\"shape\":[", format_name(t->dtype));
        for (int32_t d = 0; d < t->ndim; d++)
            wh_text_addf(header, "%s%" PRId64, d ? "," : "", t->dim[d]);
        wh_text_addf(header, "],\"data_offsets\":[%zu,%zu]}", offset, offset + out_bytes(t));
        offset += out_bytes(t);
    }
    wh_text_add(header, "}");
    while (header->len % 8 && !header->failed) wh_text_add(header, " ");
}

struct wh_safetensors_writer {
    wh_atomic_file *file;
    char *path;
    size_t left; /* bytes of data to come */
};

static void writer_free(wh_safetensors_writer *w) {
    free(w->path);
    free(w);
}

static weft_status write_header(wh_safetensors_writer *w, const wh_tensor_out *tensors, size_t n,
                                weft_error *err) {
    unsigned char length[8];
    wh_text header = {0};
    compose_header(&header, tensors, n);
    weft_status st = wh_text_check(&header, w->path, err);
    if (st == WEFT_OK) {
        for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)header.len >> (8 * i));
        st = wh_atomic_append(w->file, length, sizeof length, err);
    }
    if (st == WEFT_OK) st = wh_atomic_append(w->file, header.data, header.len, err);
    wh_text_free(&header);
    return st;
}

weft_status wh_safetensors_create(wh_safetensors_writer **out, const char *path,
                                  const wh_tensor_out *tensors, size_t n, weft_error *err) {
    for (size_t i = 0; i + 1 < n; i++)
        if (file_order(&tensors[i], &tensors[i + 1]) >= 0)
            return WEFT_FAIL(err, WEFT_E_ARG, "%s: tensor %s is out of order", path,
                             tensors[i + 1].name);
    wh_safetensors_writer *w = calloc(1, sizeof *w);
    if (!w || !(w->path = strdup(path))) {
        free(w);
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while writing %s", path);
    }
    for (size_t i = 0; i < n; i++) w->left += out_bytes(&tensors[i]);
    weft_status st = wh_atomic_open(&w->file, path, err);
    if (st == WEFT_OK) st = write_header(w, tensors, n, err);
    if (st != WEFT_OK) {
        wh_safetensors_discard(w);
        return st;
    }
    *out = w;
    return WEFT_OK;
}

weft_status wh_safetensors_append(wh_safetensors_writer *w, const void *data, size_t bytes,
                                  weft_error *err) {
    if (bytes > w->left)
        return WEFT_FAIL(err, WEFT_E_ARG, "%s: more bytes than its header says", w->path);
    w->left -= bytes;
    return wh_atomic_append(w->file, data, bytes, err);
}

weft_status wh_safetensors_commit(wh_safetensors_writer *w, weft_error *err) {
    if (w->left) {
        weft_status st = WEFT_FAIL(err, WEFT_E_ARG, "%s: %zu bytes are missing", w->path, w->left);
        wh_safetensors_discard(w);
        return st;
    }
    weft_status st = wh_atomic_commit(w->file, err);
    writer_free(w);
    return st;
}

void wh_safetensors_discard(wh_safetensors_writer *w) {
    if (!w) return;
    wh_atomic_discard(w->file);
    writer_free(w);
}

static weft_status write_sorted(const char *path, const wh_tensor_out *sorted, size_t n,
                                weft_error *err) {
    wh_safetensors_writer *w = NULL;
    WEFT_TRY(wh_safetensors_create(&w, path, sorted, n, err));
    weft_status st = WEFT_OK;
    for (size_t i = 0; st == WEFT_OK && i < n; i++)
        st = wh_safetensors_append(w, sorted[i].data, out_bytes(&sorted[i]), err);
    if (st == WEFT_OK) return wh_safetensors_commit(w, err);
    wh_safetensors_discard(w);
    return st;
}

weft_status wh_safetensors_write(const char *path, const wh_tensor_out *tensors, size_t n,
                                 weft_error *err) {
    wh_tensor_out *sorted = calloc(n + 1, sizeof *sorted);
    if (!sorted) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while writing %s", path);
    if (n) memcpy(sorted, tensors, n * sizeof *sorted);
    if (n) qsort(sorted, n, sizeof *sorted, file_order);
    weft_status st = WEFT_OK;
    for (size_t i = 0; i < n; i++) /* equal names may stand apart: the dtype sorts first */
        for (size_t j = 0; j < i && st == WEFT_OK; j++)
            if (strcmp(sorted[j].name, sorted[i].name) == 0)
                st = WEFT_FAIL(err, WEFT_E_ARG, "%s: two tensors are named %s", path,
                               sorted[i].name);
    if (st == WEFT_OK) st = write_sorted(path, sorted, n, err);
    free(sorted);
    return st;
}
