#include "tests/kernels/op_run.h"

#include "kernels/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GUARD_BYTES  64
#define ARENA_BYTES  ((size_t)24 << 20)
#define STACK_BEFORE 5 /* numbers of other views in a row of a stacked buffer */
#define STACK_AFTER  3

/* ---- operands ---- */

static op_buf no_buf; /* what set-up returns after a failure */

/* Standard normal numbers, a pure function of the operand's place in the case (Box and Muller
 * 1958). */
static void fill_random(op_buf *b, uint32_t site) {
    wk_stream s = wk_stream_at(wk_rng_key(7, WK_RNG_TEST, site), 0, 0, 0);
    size_t n = (size_t)b->storage.dim[0] / wk_dtype_size(b->t.dtype);
    for (size_t i = 0; i < n; i++) {
        double u = 1.0 - wk_stream_f64(&s), v = wk_stream_f64(&s);
        float value = (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
        uint16_t half = wk_f32_to_bf16(value);
        double wide = (double)value;
        if (b->t.dtype == WK_F32) memcpy(b->before + 4 * i, &value, 4);
        if (b->t.dtype == WK_F64) memcpy(b->before + 8 * i, &wide, 8);
        if (b->t.dtype == WK_BF16 || b->t.dtype == WK_F16) memcpy(b->before + 2 * i, &half, 2);
    }
}

static op_buf *add(op_run *r, const char *name, wk_dtype dtype, int64_t rows, int64_t cols,
                   size_t before, size_t after) {
    if (r->st != WEFT_OK) return &no_buf;
    if (r->count == OP_RUN_BUFS) {
        r->st = WEFT_FAIL(&r->dev->ctx->err, WEFT_E_ARG, "%s: too many operands", name);
        return &no_buf;
    }
    op_buf *b = &r->buf[r->count];
    const size_t size = wk_dtype_size(dtype), ld = before + after + (size_t)(cols ? cols : 1);
    const size_t bytes = (size_t)rows * ld * size + GUARD_BYTES;
    r->st = wk_arena_vec(&r->arena, &b->storage, name, WK_U8, (int64_t)bytes);
    if (r->st != WEFT_OK) return &no_buf;
    b->name = name;
    b->first = before;
    b->before = calloc(1, bytes);
    b->after = calloc(1, bytes);
    if (!b->before || !b->after) r->st = WEFT_E_MEM;
    void *at = (void *)((uintptr_t)b->storage.data + before * size);
    b->t = cols ? wk_mat(at, dtype, rows, cols) : wk_vec(at, dtype, rows);
    b->t.ld = (int64_t)ld;
    r->count++;
    if (r->st == WEFT_OK) fill_random(b, (uint32_t)r->count);
    return b;
}

op_buf *op_typed(op_run *r, const char *name, wk_dtype dtype, int64_t rows, int64_t cols) {
    return add(r, name, dtype, rows, cols, 0, cols ? (size_t)r->s->pad : 0);
}

op_buf *op_in(op_run *r, const char *name, int64_t rows, int64_t cols) {
    return op_typed(r, name, WK_F32, rows, cols);
}

op_buf *op_hidden_in(op_run *r, int group, const char *name, int64_t rows, int64_t cols) {
    if (r->groups <= group) r->groups = group + 1;
    return op_typed(r, name, r->halves >> group & 1u ? WK_BF16 : WK_F32, rows, cols);
}

op_buf *op_hidden_out(op_run *r, int group, const char *name, int64_t rows, int64_t cols) {
    return op_output(r, op_hidden_in(r, group, name, rows, cols));
}

op_buf *op_output(op_run *r, op_buf *b) {
    if (r->st != WEFT_OK || b->want) return b;
    const int64_t width = wk_row_numel(b->t);
    b->want = calloc((size_t)wk_numel(b->t) + 1, sizeof *b->want);
    if (!b->want) {
        r->st = WEFT_E_MEM;
        return b;
    }
    for (int64_t i = 0; i < b->t.dim[0]; i++)
        for (int64_t j = 0; j < width; j++) b->want[i * width + j] = op_at(b, i, j);
    return b;
}

op_buf *op_out(op_run *r, const char *name, int64_t rows, int64_t cols) {
    return op_output(r, op_in(r, name, rows, cols));
}

op_buf *op_stacked(op_run *r, const char *name, int64_t k, int64_t o, int64_t d) {
    op_buf *b = add(r, name, WK_F32, k, o * d, STACK_BEFORE, STACK_AFTER);
    b->t.ndim = 3, b->t.dim[1] = o, b->t.dim[2] = d;
    return b;
}

op_buf *op_ints(op_run *r, const char *name, const int32_t *values, int64_t n) {
    op_buf *b = op_typed(r, name, WK_I32, n, 0);
    for (int64_t i = 0; i < n; i++) op_set(b, i, 0, values[i]);
    return b;
}

static unsigned char *element(const op_buf *b, unsigned char *storage, int64_t i, int64_t j) {
    return storage + ((size_t)(i * b->t.ld + j) + b->first) * wk_dtype_size(b->t.dtype);
}

static double load(const op_buf *b, unsigned char *storage, int64_t i, int64_t j) {
    const unsigned char *at = element(b, storage, i, j);
    float f;
    double d;
    uint16_t h;
    int32_t n;
    int64_t l;
    uint8_t u;
    switch (b->t.dtype) {
    case WK_F32:
        memcpy(&f, at, sizeof f);
        return (double)f;
    case WK_F64:
        memcpy(&d, at, sizeof d);
        return d;
    case WK_BF16:
        memcpy(&h, at, sizeof h);
        return (double)wk_bf16_to_f32(h);
    case WK_F16:
        memcpy(&h, at, sizeof h);
        return (double)wk_f16_to_f32(h);
    case WK_I32:
        memcpy(&n, at, sizeof n);
        return n;
    case WK_U8:
        memcpy(&u, at, sizeof u);
        return u;
    case WK_I64:
        memcpy(&l, at, sizeof l);
        return (double)l;
    }
    return (double)NAN;
}

double op_at(const op_buf *b, int64_t i, int64_t j) {
    return b->before ? load(b, b->before, i, j) : 0.0;
}

void op_set(op_buf *b, int64_t i, int64_t j, double value) {
    if (!b->before) return;
    unsigned char *at = element(b, b->before, i, j);
    const float f = (float)value;
    const uint16_t h = wk_f32_to_bf16(f);
    const int32_t n = b->t.dtype == WK_I32 || b->t.dtype == WK_U8 ? (int32_t)value : 0;
    const uint8_t u = (uint8_t)n;
    const int64_t l = b->t.dtype == WK_I64 ? (int64_t)value : 0;
    if (b->t.dtype == WK_F32) memcpy(at, &f, sizeof f);
    if (b->t.dtype == WK_F64) memcpy(at, &value, sizeof value);
    if (b->t.dtype == WK_BF16) memcpy(at, &h, sizeof h);
    if (b->t.dtype == WK_I32) memcpy(at, &n, sizeof n);
    if (b->t.dtype == WK_U8) memcpy(at, &u, sizeof u);
    if (b->t.dtype == WK_I64) memcpy(at, &l, sizeof l);
    if (b->want) b->want[i * wk_row_numel(b->t) + j] = op_at(b, i, j);
}

void op_want(op_buf *b, int64_t i, int64_t j, double value) {
    if (b->want) b->want[i * wk_row_numel(b->t) + j] = value;
}

double op_rounded(const op_buf *b, double value) {
    const float f = (float)value;
    return (double)(b->t.dtype == WK_BF16 ? wk_bf16_to_f32(wk_f32_to_bf16(f)) : f);
}

wk_segs op_segs_of(op_run *r) {
    const op_segs *s = r->s->segs;
    return (wk_segs){.off = op_ints(r, "segs.off", s->off, s->n + 1)->t,
                     .slot = op_ints(r, "segs.slot", s->slot, s->n)->t};
}

wk_tensor op_seq_off(op_run *r) {
    return op_ints(r, "seq_off", r->s->segs->off, r->s->segs->n + 1)->t;
}

weft_status op_upload(op_run *r) {
    for (int i = 0; i < r->count && r->st == WEFT_OK; i++)
        r->st = wk_upload(r->dev, r->buf[i].storage, r->buf[i].before);
    return r->st;
}

weft_status op_pack(op_run *r, wk_weight *weight, const op_buf *w) {
    *weight = (wk_weight){.w = w->t, .o = w->t.dim[0], .d = w->t.dim[1]};
    for (int dx = 0; dx < 2; dx++) {
        size_t bytes = wk_weight_pack_bytes(r->dev, weight->o, weight->d, w->t.dtype, dx != 0);
        if (bytes)
            WEFT_TRY(wk_arena_vec(&r->arena, dx ? &weight->dx : &weight->fwd, "packed", WK_U8,
                                  (int64_t)bytes));
    }
    return wk_weight_pack(r->dev, &(wk_weight_pack_args){weight});
}

/* ---- running and checking ---- */

/* Groups of hidden operands of every op that has some: operands marked (H) are one group, each (h)
 * is one of its own. */
static int hidden_groups(const op_case *c) {
    static const struct {
        const char *op;
        int groups;
    } of[] = {
        {"gather_rows", 2},   {"scatter_rows", 2}, {"mean_pool", 1},      {"embed_fwd", 2},
        {"linear_fwd", 1},    {"linear_dx", 1},    {"seg_linear_fwd", 2}, {"seg_linear_dx", 2},
        {"seg_linear_dw", 2}, {"dropout", 1},      {"layernorm_fwd", 2},  {"layernorm_bwd", 3},
        {"act_fwd", 1},       {"act_bwd", 1},      {"attn_fwd", 1},       {"attn_bwd", 1}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        if (strcmp(of[i].op, c->op) == 0) return of[i].groups;
    return 0;
}

unsigned op_variants(const op_case *c) {
    return 1u << hidden_groups(c);
}

bool op_multiplies(const op_case *c) {
    return strncmp(c->op, "linear_", 7) == 0 || strncmp(c->op, "seg_linear_", 11) == 0 ||
           strncmp(c->op, "attn_", 5) == 0;
}

weft_status op_run_case(op_run *r, wk_dev *dev, const op_case *c) {
    return op_run_case_as(r, dev, c, 0);
}

weft_status op_run_case_as(op_run *r, wk_dev *dev, const op_case *c, unsigned halves) {
    memset(r, 0, sizeof *r);
    r->dev = dev, r->s = &c->s, r->halves = halves;
    WEFT_TRY(wk_arena_open(&r->arena, dev, c->op, ARENA_BYTES));
    weft_status st = c->run(r);
    if (r->st != WEFT_OK) st = r->st;
    WEFT_TRY(st);
    if (r->groups > hidden_groups(c)) /* fewer in place */
        return WEFT_FAIL(&dev->ctx->err, WEFT_E_ARG,
                         "%s (%s) declares %d groups of hidden operands, known are %d", c->op,
                         c->name, r->groups, hidden_groups(c));
    WEFT_TRY(dev->backend->sync(dev));
    for (int i = 0; i < r->count; i++)
        WEFT_TRY(wk_download(dev, r->buf[i].after, r->buf[i].storage));
    return WEFT_OK;
}

/* Everything but the view of an output is as it was. */
static weft_status check_untouched(op_run *r, op_buf *b) {
    const size_t bytes = (size_t)b->storage.dim[0];
    const size_t row = (size_t)wk_row_numel(b->t) * wk_dtype_size(b->t.dtype);
    if (b->want) /* the view itself is compared with what is wanted, elsewhere */
        for (int64_t i = 0; i < b->t.dim[0]; i++)
            memcpy(element(b, b->before, i, 0), element(b, b->after, i, 0), row);
    for (size_t i = 0; i < bytes; i++)
        if (b->before[i] != b->after[i])
            return WEFT_FAIL(&r->dev->ctx->err, WEFT_E_DEVICE,
                             "%s: byte %zu of %zu was overwritten", b->name, i, bytes);
    return WEFT_OK;
}

/* Half a unit in the last place of a bfloat16, which has 8 significant bits, at this magnitude;
 * none for other dtypes, whose bounds contain it. */
static double half_unit(wk_dtype dtype, double magnitude) {
    if (dtype != WK_BF16 || !(magnitude > 0) || !isfinite(magnitude)) return 0;
    return ldexp(1.0, ilogb(magnitude) - 8);
}

static weft_status check_output(op_run *r, op_buf *b, double tol, double *worst) {
    const int64_t width = wk_row_numel(b->t), rows = b->t.dim[0];
    double scale = 0;
    for (int64_t i = 0; i < rows * width; i++)
        if (isfinite(b->want[i])) scale = fmax(scale, fabs(b->want[i]));
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < width; j++) {
            double want = b->want[i * width + j], got = load(b, b->after, i, j);
            double diff = got == want || (isnan(got) && isnan(want)) ? 0 : fabs(got - want);
            /* What came before the store lies at most tol * scale further out. */
            diff -= fmin(diff, half_unit(b->t.dtype, fabs(want) + tol * scale));
            if (worst && scale > 0 && diff / scale > *worst) *worst = diff / scale;
            if (!(diff <= tol * scale))
                return WEFT_FAIL(&r->dev->ctx->err, WEFT_E_DEVICE,
                                 "%s[%lld,%lld] (%s): got %.9g want %.9g, |diff| %.3g > %.3g * "
                                 "%.3g",
                                 b->name, (long long)i, (long long)j, wk_dtype_name(b->t.dtype),
                                 got, want, diff, tol, scale);
        }
    return WEFT_OK;
}

weft_status op_check(op_run *r, double tol, double *worst) {
    if (worst) *worst = 0;
    for (int i = 0; i < r->count; i++) {
        op_buf *b = &r->buf[i];
        if (b->want) WEFT_TRY(check_output(r, b, tol, worst));
        WEFT_TRY(check_untouched(r, b));
    }
    return WEFT_OK;
}

weft_status op_same_bits(op_run *a, const op_run *b) {
    for (int i = 0; i < a->count; i++)
        for (int64_t k = 0; k < a->buf[i].storage.dim[0]; k++)
            if (a->buf[i].after[k] != b->buf[i].after[k])
                return WEFT_FAIL(&a->dev->ctx->err, WEFT_E_DEVICE, "%s: byte %lld differs",
                                 a->buf[i].name, (long long)k);
    return WEFT_OK;
}

void op_close(op_run *r) {
    for (int i = 0; i < r->count; i++) {
        free(r->buf[i].before);
        free(r->buf[i].after);
        free(r->buf[i].want);
    }
    wk_arena_close(&r->arena);
    r->count = 0;
}

const op_case *op_case_at(int i) {
    const op_case *const tables[] = {op_cases_rows, op_cases_layers, op_cases_train,
                                     op_cases_variance};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const op_case *c = tables[t]; c->op; c++)
            if (i-- == 0) return c;
    return NULL;
}
