/* Rows of a table as tokens: what the engine trains on and is tested with.
 *
 * Training and test rows share the label vocabulary: it is taken from data.labels or from the
 * training rows, and a test label that it lacks is an error. */
#ifndef WEFT_HOST_DATASET_H
#define WEFT_HOST_DATASET_H

#include "host/labels.h"
#include "host/tokenizer.h"

typedef struct wh_dataset {
    weft_rows rows;          /* views of the buffers below */
    int64_t n_skipped;       /* malformed rows, data.on_bad_row=skip */
    char first_skipped[256]; /* what was wrong with the first of them */
    int64_t n_full;          /* rows as long as data.max_length: cut, or just fitting */
    int64_t *offset;
    int32_t *token;
    uint8_t *type; /* NULL when all are 0 */
    int32_t *label;
    float *target;
    int32_t *client;
    int64_t held_bytes;    /* of the buffers above */
    int64_t reading_bytes; /* at the highest while they were made: the table of texts too */
} wh_dataset;

/* Read data.train (or data.test) and tokenise it with `n_threads` threads; the result does not
 * depend on their number. `labels` is filled when it is empty, else used; ignored for regression.
 * WEFT_E_DATA names file and line, or the column that a row lacks. */
WEFT_NODISCARD weft_status wh_dataset_load(wh_dataset *out, const weft_config *config,
                                           weft_split split, const wh_tokenizer *tokenizer,
                                           wh_labels **labels, int n_threads, weft_error *err);
void wh_dataset_free(wh_dataset *dataset);

#endif
