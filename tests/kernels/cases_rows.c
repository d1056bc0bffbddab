/* Cases of the ops that move rows and multiply them. The formulas follow ops.h, in double. */
#include "kernels/rng.h"
#include "tests/kernels/op_run.h"

#define FOR(i, n) for (int64_t i = 0; i < (n); i++)

/* ---- memory ---- */

static weft_status run_fill(op_run *r) {
    op_buf *y = op_output(r, op_typed(r, "y", (wk_dtype)r->s->kind, r->s->n, r->s->d));
    FOR (i, r->s->n)
        FOR (j, r->s->d) op_want(y, i, j, 3.0);
    WEFT_TRY(op_upload(r));
    return wk_fill(r->dev, &(wk_fill_args){y->t, 3.0});
}

static weft_status run_copy(op_run *r) {
    op_buf *x = op_typed(r, "x", (wk_dtype)r->s->kind, r->s->n, r->s->d);
    op_buf *y = op_output(r, op_typed(r, "y", r->s->full ? WK_BF16 : WK_F32, r->s->n, r->s->d));
    FOR (i, r->s->n)
        FOR (j, r->s->d) {
            float value = (float)op_at(x, i, j);
            op_want(y, i, j, (double)(r->s->full ? wk_bf16_to_f32(wk_f32_to_bf16(value)) : value));
        }
    WEFT_TRY(op_upload(r));
    return wk_copy(r->dev, &(wk_copy_args){.y = y->t, .x = x->t});
}

static weft_status run_axpy(op_run *r) {
    op_buf *x = op_in(r, "x", r->s->n, r->s->d), *y = op_out(r, "y", r->s->n, r->s->d);
    FOR (i, r->s->n)
        FOR (j, r->s->d) op_want(y, i, j, op_at(y, i, j) + (double)r->s->p * op_at(x, i, j));
    WEFT_TRY(op_upload(r));
    return wk_axpy(r->dev, &(wk_axpy_args){.y = y->t, .x = x->t, .alpha = r->s->p});
}

/* Seven rows, to or from n: in no order, one of them twice when they are read, two of them nowhere.
 */
static weft_status run_move_rows(op_run *r, bool gather) {
    const int32_t n = r->s->n, idx[] = {n - 1, 0, -1, 2, gather ? 0 : 3, 1, -7};
    const int64_t moved = sizeof idx / sizeof *idx;
    op_buf *few = op_hidden_in(r, 0, "few", moved, r->s->d),
           *many = op_hidden_in(r, 1, "many", n, r->s->d);
    op_buf *index = op_ints(r, "idx", idx, moved), *y = op_output(r, gather ? few : many);
    FOR (i, moved)
        FOR (j, r->s->d) {
            if (gather) op_want(y, i, j, idx[i] < 0 ? 0 : op_at(many, idx[i], j));
            if (!gather && idx[i] >= 0) op_want(y, idx[i], j, op_at(few, i, j));
        }
    WEFT_TRY(op_upload(r));
    if (gather) return wk_gather_rows(r->dev, &(wk_gather_rows_args){y->t, many->t, index->t});
    return wk_scatter_rows(r->dev, &(wk_scatter_rows_args){y->t, few->t, index->t});
}

static weft_status run_gather_rows(op_run *r) {
    return run_move_rows(r, true);
}

static weft_status run_scatter_rows(op_run *r) {
    return run_move_rows(r, false);
}

static weft_status run_mean_pool(op_run *r) {
    const op_segs *q = r->s->segs;
    op_buf *x = op_hidden_in(r, 0, "x", r->s->n, r->s->d), *y = op_out(r, "y", q->n, r->s->d);
    wk_tensor seq_off = op_seq_off(r);
    FOR (i, q->n)
        FOR (j, r->s->d) {
            double sum = 0, count = q->off[i + 1] - q->off[i];
            for (int64_t t = q->off[i]; t < q->off[i + 1]; t++) sum += op_at(x, t, j);
            op_want(y, i, j, count > 0 ? sum / count : 0);
        }
    WEFT_TRY(op_upload(r));
    return wk_mean_pool(r->dev, &(wk_mean_pool_args){y->t, x->t, seq_off});
}

static weft_status run_embed_fwd(op_run *r) {
    const int32_t n = r->s->n, vocab = 11, tok[] = {0, 10, 3, 3, 7, 1, 2},
                  pos[] = {0, 1, 2, 0, 1, 4, 3}, type[] = {0, 0, 1, 1, 0, 1, 0};
    op_buf *y = op_hidden_out(r, 0, "y", n, r->s->d),
           *word = op_hidden_in(r, 1, "word", vocab, r->s->d),
           *place = op_hidden_in(r, 1, "pos", 5, r->s->d),
           *kind = op_hidden_in(r, 1, "type", 2, r->s->d);
    op_buf *t = op_ints(r, "tok", tok, n), *p = op_ints(r, "pos_id", pos, n),
           *k = op_ints(r, "type_id", type, n);
    FOR (i, n)
        FOR (j, r->s->d)
            op_want(y, i, j,
                    op_at(word, tok[i], j) + op_at(place, pos[i], j) +
                        (r->s->full ? op_at(kind, type[i], j) : 0));
    WEFT_TRY(op_upload(r));
    wk_embed_fwd_args a = {
        .y = y->t, .tok = t->t, .pos_id = p->t, .word = word->t, .pos = place->t};
    if (r->s->full) a.type = kind->t, a.type_id = k->t;
    return wk_embed_fwd(r->dev, &a);
}

/* ---- frozen linear ---- */

static weft_status run_linear_fwd(op_run *r) {
    const op_shape *s = r->s;
    op_buf *x = op_hidden_in(r, 0, "x", s->n, s->d), *w = op_hidden_in(r, 0, "w", s->o, s->d),
           *bias = op_hidden_in(r, 0, "bias", s->o, 0), *y = op_hidden_out(r, 0, "y", s->n, s->o),
           *res = s->in_place ? y : op_hidden_in(r, 0, "residual", s->n, s->o);
    FOR (i, s->n)
        FOR (o, s->o) {
            double sum = s->bias ? op_at(bias, o, 0) : 0;
            if (s->residual) sum += op_at(res, i, o);
            FOR (j, s->d) sum += op_at(x, i, j) * op_at(w, o, j);
            op_want(y, i, o, sum);
        }
    WEFT_TRY(op_upload(r));
    wk_weight weight;
    WEFT_TRY(op_pack(r, &weight, w));
    wk_linear_fwd_args a = {.y = y->t, .x = x->t, .w = &weight};
    if (s->bias) a.bias = bias->t;
    if (s->residual) a.residual = res->t;
    return wk_linear_fwd(r->dev, &a);
}

static weft_status run_linear_dx(op_run *r) {
    const op_shape *s = r->s;
    op_buf *dy = op_hidden_in(r, 0, "dy", s->n, s->o), *w = op_hidden_in(r, 0, "w", s->o, s->d),
           *dx = op_hidden_out(r, 0, "dx", s->n, s->d);
    FOR (i, s->n)
        FOR (j, s->d) {
            double sum = s->accumulate ? op_at(dx, i, j) : 0;
            FOR (o, s->o) sum += op_at(dy, i, o) * op_at(w, o, j);
            op_want(dx, i, j, sum);
        }
    WEFT_TRY(op_upload(r));
    wk_weight weight;
    WEFT_TRY(op_pack(r, &weight, w));
    return wk_linear_dx(
        r->dev,
        &(wk_linear_dx_args){.dx = dx->t, .dy = dy->t, .w = &weight, .accumulate = s->accumulate});
}

/* ---- per-client linear ---- */

static weft_status run_seg_linear_fwd(op_run *r) {
    const op_shape *s = r->s;
    op_buf *x = op_hidden_in(r, 0, "x", s->n, s->d), *m = op_stacked(r, "m", s->k, s->o, s->d),
           *bias = op_stacked(r, "bias", s->k, 1, s->o), *y = op_hidden_out(r, 1, "y", s->n, s->o);
    wk_segs segs = op_segs_of(r);
    FOR (g, s->segs->n)
        for (int64_t t = s->segs->off[g]; t < s->segs->off[g + 1]; t++)
            FOR (o, s->o) {
                int64_t k = s->segs->slot[g];
                double sum = 0;
                FOR (j, s->d) sum += op_at(m, k, o * s->d + j) * op_at(x, t, j);
                op_want(y, t, o,
                        (s->accumulate ? op_at(y, t, o) : 0) + (double)s->p * sum +
                            (s->bias ? op_at(bias, k, o) : 0));
            }
    WEFT_TRY(op_upload(r));
    wk_seg_linear_fwd_args a = {
        .y = y->t, .x = x->t, .m = m->t, .segs = segs, .alpha = s->p, .accumulate = s->accumulate};
    if (s->bias) {
        a.bias = bias->t;
        a.bias.ndim = 2, a.bias.dim[1] = s->o;
    }
    return wk_seg_linear_fwd(r->dev, &a);
}

static weft_status run_seg_linear_dx(op_run *r) {
    const op_shape *s = r->s;
    op_buf *dy = op_hidden_in(r, 0, "dy", s->n, s->o), *m = op_stacked(r, "m", s->k, s->o, s->d),
           *dx = op_hidden_out(r, 1, "dx", s->n, s->d);
    wk_segs segs = op_segs_of(r);
    FOR (g, s->segs->n)
        for (int64_t t = s->segs->off[g]; t < s->segs->off[g + 1]; t++)
            FOR (j, s->d) {
                double sum = 0;
                FOR (o, s->o) sum += op_at(dy, t, o) * op_at(m, s->segs->slot[g], o * s->d + j);
                op_want(dx, t, j, (s->accumulate ? op_at(dx, t, j) : 0) + (double)s->p * sum);
            }
    WEFT_TRY(op_upload(r));
    return wk_seg_linear_dx(r->dev, &(wk_seg_linear_dx_args){.dx = dx->t,
                                                             .dy = dy->t,
                                                             .m = m->t,
                                                             .segs = segs,
                                                             .alpha = s->p,
                                                             .accumulate = s->accumulate});
}

static weft_status run_seg_linear_dw(op_run *r) {
    const op_shape *s = r->s;
    op_buf *dy = op_hidden_in(r, 0, "dy", s->n, s->o), *x = op_hidden_in(r, 1, "x", s->n, s->d),
           *dm = op_output(r, op_stacked(r, "dm", s->k, s->o, s->d)),
           *dbias = op_output(r, op_stacked(r, "dbias", s->k, 1, s->o));
    wk_segs segs = op_segs_of(r);
    FOR (g, s->segs->n)
        FOR (o, s->o) {
            int64_t k = s->segs->slot[g], begin = s->segs->off[g], end = s->segs->off[g + 1];
            double sum_dy = 0;
            for (int64_t t = begin; t < end; t++) sum_dy += op_at(dy, t, o);
            if (s->bias) op_want(dbias, k, o, op_at(dbias, k, o) + sum_dy);
            FOR (j, s->d) {
                double sum = 0;
                for (int64_t t = begin; t < end; t++) sum += op_at(dy, t, o) * op_at(x, t, j);
                op_want(dm, k, o * s->d + j, op_at(dm, k, o * s->d + j) + (double)s->p * sum);
            }
        }
    WEFT_TRY(op_upload(r));
    wk_seg_linear_dw_args a = {.dm = dm->t, .dy = dy->t, .x = x->t, .segs = segs, .alpha = s->p};
    if (s->bias) {
        a.dbias = dbias->t;
        a.dbias.ndim = 2, a.dbias.dim[1] = s->o;
    }
    return wk_seg_linear_dw(r->dev, &a);
}

static weft_status run_dropout(op_run *r) {
    const op_shape *s = r->s;
    const uint64_t key = wk_rng_key(3, WK_RNG_DROPOUT, 5);
    op_buf *x = op_hidden_in(r, 0, "x", s->n, s->d),
           *rng = op_typed(r, "rng", WK_I32, s->segs->n, 3);
    op_buf *y = s->in_place ? op_output(r, x) : op_hidden_out(r, 0, "y", s->n, s->d);
    wk_segs segs = op_segs_of(r);
    FOR (g, s->segs->n)
        FOR (c, 3) op_set(rng, g, c, (double)(10 * g + c));
    if (!s->accumulate)
        FOR (t, s->n)
            FOR (j, s->d) op_want(y, t, j, op_at(x, t, j));
    FOR (g, s->segs->n)
        for (int64_t t = s->segs->off[g]; t < s->segs->off[g + 1]; t++)
            FOR (j, s->d) {
                uint32_t index = (uint32_t)((t - s->segs->off[g]) * s->d + j);
                wk_philox four = wk_philox4(key, index / 4, (uint32_t)(10 * g),
                                            (uint32_t)(10 * g + 1), (uint32_t)(10 * g + 2));
                bool keep = (double)four.v[index % 4] >= (double)s->p * 4294967296.0;
                op_want(y, t, j,
                        (s->accumulate ? op_at(y, t, j) : 0) +
                            (keep ? op_at(x, t, j) / (1 - (double)s->p) : 0));
            }
    WEFT_TRY(op_upload(r));
    return wk_dropout(r->dev, &(wk_dropout_args){.y = y->t,
                                                 .x = x->t,
                                                 .rng = rng->t,
                                                 .segs = segs,
                                                 .key = key,
                                                 .p = s->p,
                                                 .accumulate = s->accumulate});
}

/* ---- the table ---- */

/* Rows before and behind the segments belong to nobody; one segment is empty, slots are in no
 * order. */
static const op_segs ragged = {5, {2, 5, 5, 16, 17, 40}, {3, 0, 4, 1, 2}};
static const op_segs whole = {1, {0, 44}, {0}};
static const op_segs pairs = {4, {0, 11, 22, 33, 44}, {1, 3, 2, 0}};
static const op_segs none = {0, {0}, {0}};

/* clang-format off */
const op_case op_cases_rows[] = {
    {"fill", "f32 strided", run_fill, {.n = 7, .d = 5, .pad = 3, .kind = WK_F32}},
    {"fill", "f64", run_fill, {.n = 3, .d = 33, .kind = WK_F64}},
    {"fill", "i32", run_fill, {.n = 4, .d = 9, .pad = 1, .kind = WK_I32}},
    {"fill", "bf16", run_fill, {.n = 4, .d = 9, .pad = 1, .kind = WK_BF16}},
    {"copy", "f32 to f32 strided", run_copy, {.n = 6, .d = 19, .pad = 5, .kind = WK_F32}},
    {"copy", "bf16 to f32", run_copy, {.n = 6, .d = 65, .kind = WK_BF16}},
    {"copy", "f16 to f32", run_copy, {.n = 6, .d = 19, .pad = 2, .kind = WK_F16}},
    {"copy", "f32 to bf16", run_copy, {.n = 6, .d = 67, .kind = WK_F32, .full = true}},
    {"copy", "f16 to bf16", run_copy, {.n = 6, .d = 5, .kind = WK_F16, .full = true}},
    {"axpy", "strided", run_axpy, {.n = 9, .d = 37, .pad = 3, .p = -1.7f}},
    {"axpy", "contiguous", run_axpy, {.n = 30, .d = 64, .p = 0.3f}},
    {"gather_rows", "strided", run_gather_rows, {.n = 12, .d = 21, .pad = 3}},
    {"gather_rows", "aligned", run_gather_rows, {.n = 12, .d = 64}},
    {"scatter_rows", "strided", run_scatter_rows, {.n = 12, .d = 21, .pad = 3}},
    {"scatter_rows", "aligned", run_scatter_rows, {.n = 12, .d = 72, .pad = 8}},
    {"mean_pool", "ragged", run_mean_pool, {.n = 44, .d = 17, .pad = 2, .segs = &ragged}},
    {"mean_pool", "aligned", run_mean_pool, {.n = 44, .d = 264, .segs = &ragged}},
    {"embed_fwd", "word and position", run_embed_fwd, {.n = 7, .d = 24}},
    {"embed_fwd", "with type", run_embed_fwd, {.n = 7, .d = 19, .pad = 4, .full = true}},

    {"linear_fwd", "one number", run_linear_fwd, {.n = 1, .d = 1, .o = 1}},
    {"linear_fwd", "bias", run_linear_fwd, {.n = 70, .d = 96, .o = 33, .bias = true}},
    {"linear_fwd", "residual", run_linear_fwd, {.n = 13, .d = 64, .o = 64, .pad = 8, .residual = true}},
    {"linear_fwd", "bias, residual", run_linear_fwd, {.n = 7, .d = 384, .o = 65, .bias = true, .residual = true}},
    {"linear_fwd", "residual in place", run_linear_fwd, {.n = 66, .d = 40, .o = 48, .bias = true, .residual = true, .in_place = true}},
    {"linear_fwd", "MiniLM block", run_linear_fwd, {.n = 21, .d = 384, .o = 384, .bias = true}},
    {"linear_fwd", "no rows", run_linear_fwd, {.n = 0, .d = 8, .o = 8, .bias = true}},
    {"linear_dx", "one number", run_linear_dx, {.n = 1, .d = 1, .o = 1}},
    {"linear_dx", "overwrite", run_linear_dx, {.n = 70, .d = 96, .o = 33, .pad = 3}},
    {"linear_dx", "accumulate", run_linear_dx, {.n = 13, .d = 31, .o = 130, .accumulate = true}},
    {"linear_dx", "MiniLM block", run_linear_dx, {.n = 21, .d = 384, .o = 384, .accumulate = true}},

    {"seg_linear_fwd", "down, ragged", run_seg_linear_fwd, {.n = 44, .d = 48, .o = 8, .k = 5, .segs = &ragged, .p = 1.0f}},
    {"seg_linear_fwd", "up, ragged, add", run_seg_linear_fwd, {.n = 44, .d = 4, .o = 50, .k = 6, .pad = 3, .segs = &ragged, .p = 2.0f, .accumulate = true}},
    {"seg_linear_fwd", "rank 1", run_seg_linear_fwd, {.n = 44, .d = 1, .o = 17, .k = 5, .segs = &ragged, .p = 0.5f, .accumulate = true}},
    {"seg_linear_fwd", "rank 16 of 384", run_seg_linear_fwd, {.n = 44, .d = 384, .o = 16, .k = 4, .segs = &pairs, .p = 1.0f}},
    {"seg_linear_fwd", "head with bias", run_seg_linear_fwd, {.n = 44, .d = 37, .o = 3, .k = 5, .pad = 1, .segs = &ragged, .p = 1.0f, .bias = true}},
    {"seg_linear_fwd", "no segments", run_seg_linear_fwd, {.n = 4, .d = 5, .o = 3, .k = 2, .segs = &none, .p = 1.0f}},
    {"seg_linear_dx", "overwrite", run_seg_linear_dx, {.n = 44, .d = 48, .o = 8, .k = 5, .pad = 2, .segs = &ragged, .p = 1.0f}},
    {"seg_linear_dx", "add", run_seg_linear_dx, {.n = 44, .d = 384, .o = 16, .k = 4, .segs = &pairs, .p = -0.5f, .accumulate = true}},
    {"seg_linear_dx", "odd", run_seg_linear_dx, {.n = 44, .d = 5, .o = 50, .k = 5, .segs = &ragged, .p = 2.0f, .accumulate = true}},
    {"seg_linear_dw", "down", run_seg_linear_dw, {.n = 44, .d = 48, .o = 8, .k = 5, .segs = &ragged, .p = 1.0f}},
    {"seg_linear_dw", "up", run_seg_linear_dw, {.n = 44, .d = 4, .o = 50, .k = 6, .pad = 3, .segs = &ragged, .p = 2.0f}},
    {"seg_linear_dw", "rank 16 of 384", run_seg_linear_dw, {.n = 44, .d = 384, .o = 16, .k = 1, .segs = &whole, .p = 0.5f}},
    {"seg_linear_dw", "head with bias", run_seg_linear_dw, {.n = 44, .d = 37, .o = 3, .k = 5, .segs = &ragged, .p = 1.0f, .bias = true}},

    {"dropout", "ragged", run_dropout, {.n = 44, .d = 13, .pad = 3, .segs = &ragged, .p = 0.25f}},
    {"dropout", "in place", run_dropout, {.n = 44, .d = 32, .segs = &ragged, .p = 0.5f, .in_place = true}},
    {"dropout", "add", run_dropout, {.n = 44, .d = 7, .segs = &ragged, .p = 0.1f, .accumulate = true}},
    {"dropout", "add, aligned", run_dropout, {.n = 44, .d = 264, .pad = 8, .segs = &ragged, .p = 0.1f, .accumulate = true}},
    {"dropout", "p 0", run_dropout, {.n = 44, .d = 8, .segs = &whole, .p = 0.0f}},
    {0},
};
