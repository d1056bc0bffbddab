/* Running one op on one device with checked memory: plain C, no test framework, so that every
 * backend's tests (and programs on machines without one) can use it.
 *
 * A case declares its operands, writes the expected results from a formula in double, uploads,
 * calls the op. Every operand lies in storage of its own with padding between rows and a guard
 * behind. Afterwards inputs, padding and guards must hold what they held, outputs what the formula
 * says; an element for which the formula says nothing must be left as it was. */
#ifndef WEFT_TESTS_OP_RUN_H
#define WEFT_TESTS_OP_RUN_H

#include "kernels/arena.h"

#define OP_RUN_BUFS 24

typedef struct op_buf {
    const char *name;
    wk_tensor t;                   /* the view that the op is given */
    wk_tensor storage;             /* all bytes around it, on the device */
    size_t first;                  /* elements of the storage before the view */
    unsigned char *before, *after; /* the storage on the host, before and after the op */
    double *want;                  /* (rows, row elements); NULL for an input */
} op_buf;

/* Segments of client slots, or sequences (slot unused). */
typedef struct op_segs {
    int32_t n, off[9], slot[8];
} op_segs;

/* What a case varies; a field that an op does not have is ignored. */
typedef struct op_shape {
    int32_t n, d, o, k;      /* rows, width (D, P), output width (O, C), slots */
    int32_t heads, kv_heads; /* d is then the head width */
    int32_t pad;             /* elements between rows */
    const op_segs *segs;
    int kind;                                                /* wk_act, wk_server_kind, dtype … */
    float p;                                                 /* dropout, alpha, momentum … */
    bool bias, residual, accumulate, in_place, causal, full; /* full: with every optional operand */
} op_shape;

typedef struct op_run {
    wk_dev *dev;
    const op_shape *s;
    unsigned halves; /* bit g: hidden operands of group g are bfloat16 */
    int groups;      /* one above the highest group that was declared */
    wk_arena arena;
    int count;
    op_buf buf[OP_RUN_BUFS];
    weft_status st; /* first failure of set-up; later calls do nothing */
} op_run;

typedef struct op_case {
    const char *op, *name;
    weft_status (*run)(op_run *r); /* declares, expects, uploads, calls */
    op_shape s;
} op_case;

/* ---- for cases ---- */

/* (rows, cols), rows `pad` apart as the shape says. Inputs are normal random numbers that depend on
 * the order of declaration only; outputs begin as such too. cols 0: a vector. */
op_buf *op_in(op_run *r, const char *name, int64_t rows, int64_t cols);
op_buf *op_out(op_run *r, const char *name, int64_t rows, int64_t cols);
/* The same for hidden operands, which ops.h marks (h) or (H). Those of one group share a dtype,
 * which the run chooses; groups count from 0. As bfloat16 their numbers are rounded before the
 * formula sees them. */
op_buf *op_hidden_in(op_run *r, int group, const char *name, int64_t rows, int64_t cols);
op_buf *op_hidden_out(op_run *r, int group, const char *name, int64_t rows, int64_t cols);
/* (k, o, d) inside every row of a stacked (k, P) buffer. */
op_buf *op_stacked(op_run *r, const char *name, int64_t k, int64_t o, int64_t d);
op_buf *op_typed(op_run *r, const char *name, wk_dtype dtype, int64_t rows, int64_t cols);
/* An integer vector. */
op_buf *op_ints(op_run *r, const char *name, const int32_t *values, int64_t n);
/* Declares that the op writes to it: expected is what it holds, until op_want says otherwise. */
op_buf *op_output(op_run *r, op_buf *b);
/* What the operand is before the op: row i, element j of the row. */
double op_at(const op_buf *b, int64_t i, int64_t j);
void op_set(op_buf *b, int64_t i, int64_t j, double value);
void op_want(op_buf *b, int64_t i, int64_t j, double value);
/* The value as the operand stores it, for formulas that go on from what was stored. */
double op_rounded(const op_buf *b, double value);
wk_segs op_segs_of(op_run *r);
wk_tensor op_seq_off(op_run *r);
/* Packs a frozen weight as the device likes it. Call it after op_upload. */
weft_status op_pack(op_run *r, wk_weight *weight, const op_buf *w);
weft_status op_upload(op_run *r);

/* ---- for tests ---- */

/* Runs the case in float32 and brings everything back. Close it in any case. */
weft_status op_run_case(op_run *r, wk_dev *dev, const op_case *c);
/* The same with bfloat16 for the groups whose bit is set in `halves`. All ways to run a case:
 * for (unsigned h = 0; h < op_variants(c); h++) */
weft_status op_run_case_as(op_run *r, wk_dev *dev, const op_case *c, unsigned halves);
unsigned op_variants(const op_case *c);
/* The op multiplies matrices: with a bfloat16 operand it may round all factors to bfloat16
 * (ops.h). */
bool op_multiplies(const op_case *c);
/* Inputs, padding and guards are untouched, outputs within max|got-want| <= tol * max|want| per
 * tensor; an element stored as bfloat16 may be off by half a unit in its last place besides, which
 * is the rounding on store. So with a tiny tol a backend has to store the nearest bfloat16 of the
 * formula's value. The message (in the device's context) names operand, place and both values.
 * *worst, if not NULL, becomes the least tol that would have passed. */
weft_status op_check(op_run *r, double tol, double *worst);
/* Both runs left the same bytes everywhere. */
weft_status op_same_bits(op_run *a, const op_run *b);
void op_close(op_run *r);

/* ---- all cases ---- */

extern const op_case op_cases_rows[], op_cases_layers[], op_cases_train[], op_cases_variance[];
/* The i-th case of all, NULL behind the last. */
const op_case *op_case_at(int i);

#endif
