/* safetensors files. Tensors must lie inside the file and cover it; what can be written again must
 * be read as the same tensors. */
#include "host/safetensors.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static const void *data_of(wh_safetensors *file, const wh_tensor_info *t) {
    weft_error err = {0};
    const void *data = NULL;
    weft_status st = wh_safetensors_data(file, t, &data, &err);
    if (t->supported) {
        FUZZ_CHECK(st == WEFT_OK, "%s", err.text);
        FUZZ_CHECK((uintptr_t)data % wh_dtype_bytes(t->dtype) == 0, "%s is misaligned", t->name);
        return data;
    }
    FUZZ_CHECK(st != WEFT_OK, "a dtype that Weft does not know was given out");
    fuzz_refused(st, &err, "model.safetensors");
    return NULL;
}

static void check_floats(wh_safetensors *file, const wh_tensor_info *t) {
    weft_error err = {0};
    size_t n = 1;
    for (int32_t i = 0; i < t->ndim; i++) n *= (size_t)t->dim[i];
    FUZZ_CHECK(!t->supported || n * wh_dtype_bytes(t->dtype) == t->bytes, "%s: size", t->name);
    bool is_float = t->supported && (t->dtype == WEFT_F32 || t->dtype == WEFT_F64 ||
                                     t->dtype == WEFT_BF16 || t->dtype == WEFT_F16);
    float *out = malloc(((is_float ? n : 0) + 1) * sizeof *out);
    FUZZ_CHECK(out, "no memory");
    weft_status st = wh_safetensors_floats(file, t, out, &err);
    FUZZ_CHECK((st == WEFT_OK) == is_float, "floats of %s: %s", t->dtype_name, err.text);
    if (st != WEFT_OK) fuzz_refused(st, &err, "model.safetensors");
    free(out);
}

static void round_trip(wh_safetensors *file) {
    weft_error err = {0};
    size_t n = wh_safetensors_count(file);
    wh_tensor_out *tensors = calloc(n + 1, sizeof *tensors);
    FUZZ_CHECK(tensors, "no memory");
    for (size_t i = 0; i < n; i++) {
        const wh_tensor_info *t = wh_safetensors_at(file, i);
        tensors[i] = (wh_tensor_out){t->name, t->dtype, t->ndim, {0}, data_of(file, t)};
        memcpy(tensors[i].dim, t->dim, sizeof t->dim);
    }
    const char *path = fuzz_path("again.safetensors");
    FUZZ_CHECK(wh_safetensors_write(path, tensors, n, &err) == WEFT_OK, "%s", err.text);
    wh_safetensors *again = NULL;
    FUZZ_CHECK(wh_safetensors_open(&again, path, &err) == WEFT_OK, "written, but refused: %s",
               err.text);
    FUZZ_CHECK(wh_safetensors_count(again) == n, "%zu tensors came back as %zu", n,
               wh_safetensors_count(again));
    for (size_t i = 0; i < n; i++) {
        const wh_tensor_info *t = wh_safetensors_at(file, i),
                             *u = wh_safetensors_find(again, t->name);
        FUZZ_CHECK(u && u->dtype == t->dtype && u->ndim == t->ndim && u->bytes == t->bytes &&
                       memcmp(u->dim, t->dim, (size_t)t->ndim * sizeof *t->dim) == 0 &&
                       memcmp(data_of(again, u), tensors[i].data, t->bytes) == 0,
                   "%s came back differently", t->name);
    }
    wh_safetensors_close(again);
    free(tensors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    weft_error err = {0};
    wh_safetensors *file = NULL;
    weft_status st = wh_safetensors_open(&file, fuzz_file("model.safetensors", data, size), &err);
    if (st != WEFT_OK) {
        fuzz_refused(st, &err, "model.safetensors");
        return 0;
    }
    bool all_known = true;
    size_t bytes = 0;
    for (size_t i = 0; i < wh_safetensors_count(file); i++) {
        const wh_tensor_info *t = wh_safetensors_at(file, i);
        FUZZ_CHECK(t->offset <= size && t->bytes <= size - t->offset, "%s is outside", t->name);
        FUZZ_CHECK(wh_safetensors_find(file, t->name) == t, "%s is not found", t->name);
        const unsigned char *at = data_of(file, t);
        unsigned char sum = 0; /* every byte can be read */
        for (size_t k = 0; at && k < t->bytes; k++) sum = (unsigned char)(sum + at[k]);
        (void)sum;
        check_floats(file, t);
        bytes += t->bytes;
        all_known = all_known && t->supported;
    }
    FUZZ_CHECK(bytes <= size, "%zu bytes of tensors in a file of %zu", bytes, size);
    if (all_known) round_trip(file);
    wh_safetensors_close(file);
    return 0;
}
