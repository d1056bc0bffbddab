/* Recorded reference tensors: reading a set made by record_encoder.py.
 *
 * A set is a file of raw little-endian tensors, back to back, and a generated header that names
 * them. The reader is plain C without a test framework, so that GPU programs can use it as well.
 *
 *     golden_file g;
 *     if (!golden_load(WEFT_TEST_DIR "/golden", &golden_bert, &g))
 *         ...                                            // said why on stderr
 *     const float *logits = golden_f32(&g, "c0/logits", NULL);
 *     golden_free(&g);
 */
#ifndef WEFT_TESTS_GOLDEN_H
#define WEFT_TESTS_GOLDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { GOLDEN_F32, GOLDEN_I32 } golden_dtype;

/* Row-major; dim[ndim..3] are 1; a scalar has ndim 0. `offset` is in bytes, a multiple of 4. */
typedef struct {
    const char *name;
    golden_dtype dtype;
    int ndim;
    int dim[4];
    size_t offset;
} golden_tensor;

/* One setting as text: numbers as JSON writes them, arrays as JSON, nested keys joined by '.'. */
typedef struct {
    const char *key;
    const char *value;
} golden_setting;

typedef struct {
    const char *file; /* beside the header */
    size_t bytes;
    const golden_tensor *tensors;
    size_t num_tensors;
    const golden_setting *settings;
    size_t num_settings;
} golden_set;

typedef struct {
    const golden_set *set;
    unsigned char *data; /* set->bytes bytes, owned */
} golden_file;

/* Reads <dir>/<set->file> whole. False, with a line on stderr, when it cannot be read or has
 * another size. */
bool golden_load(const char *dir, const golden_set *set, golden_file *out);
void golden_free(golden_file *g);

/* NULL when the set has no such tensor. */
const golden_tensor *golden_find(const golden_set *set, const char *name);
size_t golden_count(const golden_tensor *t);

/* Data of a tensor that must exist with this type; a missing one ends the program with a line on
 * stderr. The pointer lives as long as `g`. `info`, when not NULL, gets the tensor's table entry.
 */
const float *golden_f32(const golden_file *g, const char *name, const golden_tensor **info);
const int32_t *golden_i32(const golden_file *g, const char *name, const golden_tensor **info);

/* NULL when the set has no such setting. */
const char *golden_text(const golden_set *set, const char *key);
/* A setting that must exist and be a number; otherwise ends the program with a line on stderr. */
double golden_number(const golden_set *set, const char *key);

#endif
