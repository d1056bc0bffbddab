/* Models of real shapes with random weights, and rows of random tokens: what a benchmark needs and
 * no download gives. */
#ifndef WEFT_BENCH_SYNTHETIC_H
#define WEFT_BENCH_SYNTHETIC_H

#include "engine/weft.h"

typedef struct synthetic_shape {
    const char *name; /* "roberta-base" */
    const char *type; /* config.json model_type */
    int layers, d, heads, ffn, vocab, max_pos, types;
} synthetic_shape;

/* NULL for an unknown name; `known` lists them for messages. */
const synthetic_shape *synthetic_find(const char *name);
const char *synthetic_known(void);

typedef struct synthetic_model {
    const synthetic_shape *shape;
    float *noise, *ones; /* the largest tensor; rows of norms */
    char text[16];
} synthetic_model;

/* False when memory is out. The source borrows the model. */
bool synthetic_open(synthetic_model *m, const synthetic_shape *shape);
void synthetic_close(synthetic_model *m);
weft_model_source synthetic_source(synthetic_model *m);

/* `clients` clients with `batch` rows each, all of `length` tokens, or, when ragged, as long as
 * texts of GLUE are: log-normal around 48 tokens, from 8 to `length`. Free with
 * synthetic_rows_free. */
typedef struct synthetic_rows {
    int clients, batch, length;
    bool ragged;
} synthetic_rows;
bool synthetic_rows_make(weft_rows *out, const synthetic_rows *what, int vocab);
void synthetic_rows_free(weft_rows *rows);

#endif
