/* What the fuzz targets share: files of a scratch folder, and the properties that every refusal
 * must have. A target is a file fuzz_<format>.c with LLVMFuzzerTestOneInput; libFuzzer drives it,
 * or replay_main.c where there is none. */
#ifndef WEFT_TESTS_FUZZ_H
#define WEFT_TESTS_FUZZ_H

#include "engine/weft.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A path inside this process's scratch folder, which goes when the process ends. The same name
 * gives the same path; it lives until the process ends. */
const char *fuzz_path(const char *name);
/* Writes a file of the scratch folder anew and returns its path. */
const char *fuzz_file(const char *name, const void *data, size_t size);
/* A whole file, *own*ed (free), NUL-terminated. */
char *fuzz_read(const char *path, size_t *size);
/* Splits the input at the first NUL byte, for targets that need two files; *rest may be empty. The
 * length of the first part. */
size_t fuzz_split(const uint8_t *data, size_t size, const uint8_t **rest, size_t *rest_size);

/* Aborts with the text: a property that does not hold is a finding. */
#define FUZZ_CHECK(ok, ...)                                                                        \
    do {                                                                                           \
        if (!(ok)) fuzz_fail(__FILE__, __LINE__, __VA_ARGS__);                                     \
    } while (0)
_Noreturn void fuzz_fail(const char *file, int line, const char *format, ...) WEFT_PRINTF(3, 4);

/* What a person sees of a refused input: a status that is the input's fault (not Weft's, not
 * memory: inputs are small), and exactly one line that is not empty and holds `named`. */
void fuzz_refused(weft_status st, const weft_error *err, const char *named);

#endif
