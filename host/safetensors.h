/* safetensors files (https://github.com/huggingface/safetensors): 8 bytes little-endian header
 * length, a JSON header {"name": {"dtype", "shape", "data_offsets"}, "__metadata__": {…}}, then the
 * data.
 *
 * The reader maps the file and trusts nothing in it: lengths and offsets are checked against the
 * file, the tensors must cover the data without gap or overlap (as the reference implementation
 * demands), and shape times element size must be the byte range. A file must not be cut while it is
 * open (the kernel would raise SIGBUS). All numbers are little-endian, and so must the machine be.
 */
#ifndef WH_SAFETENSORS_H
#define WH_SAFETENSORS_H

#include "engine/weft.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WH_SAFETENSORS_MAX_DIMS = 8 };

typedef struct wh_safetensors wh_safetensors;

typedef struct wh_tensor_info {
    const char *name;
    const char *dtype_name; /* as the file says: "F32", "BF16", … */
    bool supported; /* false: a dtype the engine does not know; `dtype` is then meaningless */
    weft_dtype dtype;
    int32_t ndim; /* 0: a scalar */
    int64_t dim[WH_SAFETENSORS_MAX_DIMS];
    size_t offset, bytes; /* within the data section */
} wh_tensor_info;

/* WEFT_E_DATA names the file, the tensor and both values. */
WEFT_NODISCARD weft_status wh_safetensors_open(wh_safetensors **out, const char *path,
                                               weft_error *err);
void wh_safetensors_close(wh_safetensors *file);

const char *wh_safetensors_path(const wh_safetensors *file);
size_t wh_safetensors_count(const wh_safetensors *file);
const wh_tensor_info *wh_safetensors_at(const wh_safetensors *file, size_t index); /* by name */
const wh_tensor_info *wh_safetensors_find(const wh_safetensors *file,
                                          const char *name); /* or NULL */

/* The elements, row-major, aligned to their size: in the mapping, or, where the file has them
 * misaligned, in a copy made at the first call. Lives as long as the file. WEFT_E_DATA: unsupported
 * dtype. */
WEFT_NODISCARD weft_status wh_safetensors_data(wh_safetensors *file, const wh_tensor_info *tensor,
                                               const void **out, weft_error *err);

/* The elements of an F32, F16, BF16 or F64 tensor as float. Widening is exact; F64 is rounded. */
WEFT_NODISCARD weft_status wh_safetensors_floats(wh_safetensors *file, const wh_tensor_info *tensor,
                                                 float *out, weft_error *err);

/* ---- writing ---- */

typedef struct wh_tensor_out {
    const char *name;
    weft_dtype dtype;
    int32_t ndim;
    int64_t dim[WH_SAFETENSORS_MAX_DIMS];
    const void *data; /* row-major */
} wh_tensor_out;

/* Writes atomically, byte for byte as the reference implementation does: larger elements first,
 * then by name; metadata {"format":"pt"}; header padded with spaces to 8 bytes. WEFT_E_ARG: two
 * tensors of one name. */
WEFT_NODISCARD weft_status wh_safetensors_write(const char *path, const wh_tensor_out *tensors,
                                                size_t n, weft_error *err);

/* The same for data that comes in pieces: `tensors` without data, in the order of the file (larger
 * elements first, then by name; WEFT_E_ARG otherwise), then their bytes one tensor after the other.
 * Exactly one of commit and discard ends it, also when append has failed; commit is WEFT_E_ARG when
 * the bytes are not as many as the header says. */
typedef struct wh_safetensors_writer wh_safetensors_writer;
WEFT_NODISCARD weft_status wh_safetensors_create(wh_safetensors_writer **out, const char *path,
                                                 const wh_tensor_out *tensors, size_t n,
                                                 weft_error *err);
WEFT_NODISCARD weft_status wh_safetensors_append(wh_safetensors_writer *writer, const void *data,
                                                 size_t bytes, weft_error *err);
WEFT_NODISCARD weft_status wh_safetensors_commit(wh_safetensors_writer *writer, weft_error *err);
void wh_safetensors_discard(wh_safetensors_writer *writer); /* NULL is fine */

size_t wh_dtype_bytes(weft_dtype dtype);

#endif
