/* For tests that read small files: a folder that is removed at the end, and a table from a string.
 */
#ifndef WEFT_TESTS_TEMP_TABLE_H
#define WEFT_TESTS_TEMP_TABLE_H

#include "host/table.h"
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char temp_folder[64];
static char temp_path[128]; /* of the file last written */

static inline int temp_folder_make(void **state) {
    (void)state;
    (void)snprintf(temp_folder, sizeof temp_folder, "/tmp/weft-test-XXXXXX");
    return mkdtemp(temp_folder) ? 0 : -1;
}

static inline int temp_folder_remove(void **state) {
    (void)state;
    return rmdir(temp_folder);
}

static inline void temp_write(const char *name, const char *bytes, size_t n) {
    (void)snprintf(temp_path, sizeof temp_path, "%s/%s", temp_folder, name);
    FILE *file = fopen(temp_path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

/* Reads `bytes` as the file `name`; path, when NULL in the options, is that file's. */
static inline weft_status temp_table_n(wh_table **out, const char *name, const char *bytes,
                                       size_t n, wh_table_options options, weft_error *err) {
    temp_write(name, bytes, n);
    options.path = temp_path;
    weft_status st = wh_table_open(out, &options, err);
    assert_int_equal(unlink(temp_path), 0);
    return st;
}

static inline weft_status temp_table(wh_table **out, const char *name, const char *bytes,
                                     wh_table_options options, weft_error *err) {
    return temp_table_n(out, name, bytes, strlen(bytes), options, err);
}

/* The message is one line and holds the words. */
static inline void check_message(const weft_error *err, const char *words) {
    if (!strstr(err->text, words) || strchr(err->text, '\n'))
        fail_msg("message \"%s\", expected one line with \"%s\"", err->text, words);
}

#endif
