/* The CUDA kernels of ops on rows, on the emulator: a row's bits are the same in a call of its own
 * as among others, where its alignment may differ too; so are a segment's and a sequence's. That
 * the numbers are right is for simt_ops to say. */
#include "kernels/rng.h"
#include "tests/simt/dev_simt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 7, MOST = 4, TABLE = 9 /* rows of what is looked up */, SEGMENTS = 3 };

static wk_ctx ctx;
static wk_dev *dev;
static int failures;
static uint32_t site; /* of the next operand's random numbers */

static void require(weft_status st) {
    if (st == WEFT_OK) return;
    (void)fprintf(stderr, "%s\n", ctx.err.text);
    exit(1);
}

/* Operands of a case; freed together. */
static void *held[64];
static int holding;

static void *memory(size_t bytes) {
    void *p = NULL;
    if (holding == 64 || posix_memalign(&p, 256, bytes)) exit(1);
    memset(p, 0x5a, bytes);
    return held[holding++] = p;
}

static void release_all(void) {
    while (holding > 0) free(held[--holding]);
}

/* A matrix, or a vector for cols 0, of numbers in [-2, 2); integers in [0, TABLE). */
static wk_tensor operand(wk_dtype dtype, int64_t rows, int64_t cols, int64_t pad) {
    const int64_t ld = (cols ? cols : 1) + pad, n = rows * ld;
    void *data = memory((size_t)(n + 1) * wk_dtype_size(dtype));
    wk_stream s = wk_stream_at(wk_rng_key(3, WK_RNG_TEST, site++), 0, 0, 0);
    for (int64_t i = 0; i < n; i++) {
        const float value = (float)(4 * wk_stream_f64(&s) - 2);
        if (dtype == WK_F32) ((float *)data)[i] = value;
        if (dtype == WK_BF16) ((uint16_t *)data)[i] = wk_f32_to_bf16(value);
        if (dtype == WK_I32) ((int32_t *)data)[i] = (int32_t)wk_stream_below(&s, TABLE);
    }
    wk_tensor t = cols ? wk_mat(data, dtype, rows, cols) : wk_vec(data, dtype, rows);
    t.ld = ld;
    return t;
}

static wk_tensor like(wk_tensor t) {
    const size_t bytes = (size_t)(t.dim[0] * t.ld + 1) * wk_dtype_size(t.dtype);
    void *copy = memory(bytes);
    memcpy(copy, t.data, bytes);
    t.data = copy;
    return t;
}

static void same(const char *op, const char *what, wk_tensor a, wk_tensor b) {
    const size_t bytes = (size_t)(a.dim[0] * a.ld) * wk_dtype_size(a.dtype);
    if (memcmp(a.data, b.data, bytes) == 0) return;
    printf("FAIL %s, %s: width %lld, stride %lld\n", op, what, (long long)wk_row_numel(a),
           (long long)a.ld);
    failures++;
}

/* What a case is made of. */
typedef struct row_shape {
    wk_dtype hidden;
    int64_t width, pad;
} row_shape;

/* An op on rows: the operands that have them, and those that all rows share. */
typedef struct row_call {
    wk_tensor in[MOST], out[MOST], shared[MOST];
} row_call;

static wk_tensor hidden(const row_shape *s, int64_t rows) {
    return operand(s->hidden, rows, s->width, s->pad);
}

static void make_norm_fwd(row_call *c, const row_shape *s) {
    c->in[0] = hidden(s, ROWS), c->in[1] = hidden(s, ROWS);
    c->out[0] = hidden(s, ROWS), c->out[1] = hidden(s, ROWS);
    c->out[2] = operand(WK_F32, ROWS, 0, 0), c->out[3] = operand(WK_F32, ROWS, 0, 0);
    c->shared[0] = operand(WK_F32, s->width, 0, 0), c->shared[1] = operand(WK_F32, s->width, 0, 0);
}
static weft_status run_norm_fwd(const row_call *c) {
    return wk_layernorm_fwd(dev, &(wk_layernorm_fwd_args){.y = c->out[0],
                                                          .z = c->out[1],
                                                          .mean = c->out[2],
                                                          .rstd = c->out[3],
                                                          .x = c->in[0],
                                                          .residual = c->in[1],
                                                          .weight = c->shared[0],
                                                          .bias = c->shared[1],
                                                          .eps = 1e-5f});
}

static void make_norm_bwd(row_call *c, const row_shape *s) {
    c->in[0] = hidden(s, ROWS), c->in[1] = hidden(s, ROWS);
    c->in[2] = operand(WK_F32, ROWS, 0, 0), c->in[3] = operand(WK_F32, ROWS, 0, 0);
    c->out[0] = hidden(s, ROWS);
    c->shared[0] = operand(WK_F32, s->width, 0, 0);
}
static weft_status run_norm_bwd(const row_call *c) {
    return wk_layernorm_bwd(dev, &(wk_layernorm_bwd_args){.dz = c->out[0],
                                                          .dy = c->in[0],
                                                          .z = c->in[1],
                                                          .mean = c->in[2],
                                                          .rstd = c->in[3],
                                                          .weight = c->shared[0]});
}

static void make_map(row_call *c, const row_shape *s) {
    c->in[0] = hidden(s, ROWS), c->in[1] = hidden(s, ROWS), c->out[0] = hidden(s, ROWS);
}
static weft_status run_act_fwd(const row_call *c) {
    return wk_act_fwd(dev, &(wk_act_fwd_args){c->out[0], c->in[0], WK_ACT_GELU});
}
static weft_status run_act_bwd(const row_call *c) {
    return wk_act_bwd(dev, &(wk_act_bwd_args){c->out[0], c->in[0], c->in[1], WK_ACT_GELU_TANH});
}

static void make_loss(row_call *c, const row_shape *s) {
    const row_shape f = {WK_F32, s->width, s->pad};
    c->in[0] = hidden(&f, ROWS), c->in[1] = hidden(&f, ROWS);
    c->in[2] = operand(WK_F32, ROWS, 0, 0), c->in[3] = operand(WK_I32, ROWS, 0, 0);
    for (int i = 0; i < ROWS; i++) ((int32_t *)c->in[3].data)[i] = i == 2 ? -1 : i % 2;
    c->out[0] = operand(WK_F32, ROWS, 0, 0), c->out[1] = hidden(&f, ROWS);
}
static weft_status run_xent(const row_call *c) {
    return wk_softmax_xent(dev, &(wk_softmax_xent_args){.loss = c->out[0],
                                                        .dlogits = c->out[1],
                                                        .logits = c->in[0],
                                                        .label = c->in[3],
                                                        .weight = c->in[2]});
}
static weft_status run_mse(const row_call *c) {
    return wk_mse(dev, &(wk_mse_args){.loss = c->out[0],
                                      .dpred = c->out[1],
                                      .pred = c->in[0],
                                      .target = c->in[1],
                                      .weight = c->in[2]});
}

static void make_embed(row_call *c, const row_shape *s) {
    for (int i = 0; i < 3; i++) {
        c->in[i] = operand(WK_I32, ROWS, 0, 0);
        c->shared[i] = hidden(s, TABLE);
    }
    c->out[0] = hidden(s, ROWS);
}
static weft_status run_embed(const row_call *c) {
    return wk_embed_fwd(dev, &(wk_embed_fwd_args){.y = c->out[0],
                                                  .tok = c->in[0],
                                                  .pos_id = c->in[1],
                                                  .type_id = c->in[2],
                                                  .word = c->shared[0],
                                                  .pos = c->shared[1],
                                                  .type = c->shared[2]});
}
static weft_status run_gather(const row_call *c) {
    return wk_gather_rows(dev, &(wk_gather_rows_args){c->out[0], c->shared[0], c->in[0]});
}

typedef struct row_op {
    const char *name;
    void (*make)(row_call *c, const row_shape *s);
    weft_status (*run)(const row_call *c);
} row_op;

static const row_op row_ops[] = {
    {"layernorm_fwd", make_norm_fwd, run_norm_fwd},
    {"layernorm_bwd", make_norm_bwd, run_norm_bwd},
    {"act_fwd", make_map, run_act_fwd},
    {"act_bwd", make_map, run_act_bwd},
    {"softmax_xent", make_loss, run_xent},
    {"mse", make_loss, run_mse},
    {"embed_fwd", make_embed, run_embed},
    {"gather_rows", make_embed, run_gather},
};

static void rows_alone(const row_op *op, const row_shape *s) {
    row_call all = {0};
    op->make(&all, s);
    row_call other = all;
    for (int i = 0; i < MOST; i++)
        if (wk_given(all.out[i])) other.out[i] = like(all.out[i]);
    require(op->run(&all));
    for (int64_t row = ROWS - 1; row >= 0; row--) {
        row_call one = other;
        for (int i = 0; i < MOST; i++) {
            if (wk_given(one.in[i])) one.in[i] = wk_rows(one.in[i], row, 1);
            if (wk_given(one.out[i])) one.out[i] = wk_rows(one.out[i], row, 1);
        }
        require(op->run(&one));
    }
    for (int i = 0; i < MOST; i++)
        if (wk_given(all.out[i])) same(op->name, "rows alone", all.out[i], other.out[i]);
    release_all();
}

/* Dropout, mean_pool and seg_sum of three segments, and of each alone. */
static void segments_alone(const row_shape *s) {
    int32_t off[SEGMENTS + 1] = {3, 8, 9, 31}, slot[SEGMENTS] = {1, 0, 2};
    int32_t first[2] = {0, 0};
    const wk_segs all = {wk_vec(off, WK_I32, SEGMENTS + 1), wk_vec(slot, WK_I32, SEGMENTS)};
    const wk_tensor x = hidden(s, 33), weight = operand(WK_F32, 33, 0, 0),
                    value = operand(WK_F32, 33, 0, 0), rng = operand(WK_I32, SEGMENTS, 3, 0);
    const wk_tensor y = hidden(s, 33), pool = operand(WK_F32, SEGMENTS, s->width, s->pad);
    const wk_tensor y_one = like(y), pool_one = like(pool);
    double sum[SEGMENTS] = {0}, sum_one[SEGMENTS] = {0};
    wk_dropout_args drop = {.y = y, .x = x, .rng = rng, .segs = all, .key = 99, .p = 0.3f};
    require(wk_dropout(dev, &drop));
    require(wk_mean_pool(dev, &(wk_mean_pool_args){pool, x, all.off}));
    require(wk_seg_sum(dev, &(wk_seg_sum_args){wk_vec(sum, WK_F64, SEGMENTS), value, weight, all}));
    drop.p = 0; /* a copy of the rows that belong to nobody */
    drop.y = y_one;
    require(wk_dropout(dev, &drop));
    drop.p = 0.3f;
    for (int i = 0; i < SEGMENTS; i++) {
        const int32_t n = off[i + 1] - off[i];
        first[1] = n;
        const wk_segs one = {wk_vec(first, WK_I32, 2), wk_rows(all.slot, i, 1)};
        drop.x = wk_rows(x, off[i], n), drop.y = wk_rows(y_one, off[i], n);
        drop.rng = wk_rows(rng, i, 1), drop.segs = one;
        require(wk_dropout(dev, &drop));
        require(wk_mean_pool(dev, &(wk_mean_pool_args){wk_rows(pool_one, i, 1), drop.x, one.off}));
        require(wk_seg_sum(dev, &(wk_seg_sum_args){wk_vec(sum_one, WK_F64, SEGMENTS),
                                                   wk_rows(value, off[i], n),
                                                   wk_rows(weight, off[i], n), one}));
    }
    same("dropout", "segments alone", y, y_one);
    same("mean_pool", "sequences alone", pool, pool_one);
    if (memcmp(sum, sum_one, sizeof sum) != 0) {
        printf("FAIL seg_sum, segments alone\n");
        failures++;
    }
    release_all();
}

int main(void) {
    /* One warp, several, and more than 16 can hold; odd widths and strides. */
    static const row_shape shapes[] = {{WK_F32, 5, 0},     {WK_F32, 40, 0},    {WK_F32, 768, 3},
                                       {WK_F32, 1023, 1},  {WK_F32, 4096, 0},  {WK_F32, 20000, 1},
                                       {WK_BF16, 13, 3},   {WK_BF16, 384, 0},  {WK_BF16, 1024, 1},
                                       {WK_BF16, 4100, 0}, {WK_BF16, 17000, 0}};
    wk_ctx_init(&ctx, NULL);
    require(wk_dev_open_backend(&dev, &ctx, &wk_backend_simt, &(wk_dev_options){.threads = 1}));
    int ran = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (size_t k = 0; k < sizeof row_ops / sizeof *row_ops; k++, ran++)
            rows_alone(&row_ops[k], &shapes[i]);
        segments_alone(&shapes[i]);
    }
    wk_dev_close(dev);
    printf("%d cases, %d failed\n", ran, failures);
    return failures != 0 || ran == 0;
}
