/* For tests that read small tables: a table from a string, by way of a file in temp_folder. */
#ifndef WEFT_TESTS_TEMP_TABLE_H
#define WEFT_TESTS_TEMP_TABLE_H

#include "host/table.h"
#include "tests/host/temp_folder.h"

/* Reads `bytes` as the file `name`; the path in the options does not matter. */
static inline weft_status temp_table_n(wh_table **out, const char *name, const char *bytes,
                                       size_t n, wh_table_options options, weft_error *err) {
    options.path = temp_path(name);
    temp_write(options.path, bytes, n);
    return wh_table_open(out, &options, err);
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
