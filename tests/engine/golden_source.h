/* A golden set as the engine wants it: model source, rows, configuration. */
#ifndef WEFT_TESTS_GOLDEN_SOURCE_H
#define WEFT_TESTS_GOLDEN_SOURCE_H

#include "engine/weft.h"
#include "tests/golden/golden.h"

/* Ends the program with a line on stderr when a call did not return WEFT_OK. */
void golden_must(weft_status st, const weft_error *err, const char *what);

/* Settings as config.json, "base/…" tensors as the weights. Borrows `g`. */
weft_model_source golden_source(golden_file *g);

/* lora.* as recorded; everything else at its default, no clipping. */
weft_config *golden_config(const golden_set *set);
/* Set "key=value" pairs, then finish. */
void golden_set_options(weft_config *config, const char *const *pairs, size_t n);

/* n labelled rows of 2 to `lengths` + 1 random tokens, for jobs on the recorded BERT; another site,
 * other rows. Free with golden_rows_free. */
weft_rows golden_ragged_rows(int n, int lengths, uint32_t site);

/* Rows of both recorded clients, first client 0's. Free with golden_rows_free. */
weft_rows golden_rows(const golden_file *g);
void golden_rows_free(weft_rows *rows);

/* The tensor of a flat adapter's view: "cN/<what>/base_model.model.<module>.<tensor>". */
const float *golden_view(const golden_file *g, int client, const char *what, const weft_view *view);

#endif
