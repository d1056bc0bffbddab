/* labels: unit op */
/* The rule that federated packing rests on: the bits of a client's results depend neither on who
 * shares the pack, nor on the place in it, nor on the number of threads. Each op runs over clients
 * of random lengths: all in one pack, in another order after a gap, and each one alone, with 1 to 4
 * threads; a client's output must be the same bytes every time, with hidden operands in float32 and
 * in bfloat16, in every instruction set of the processor and with every GEMM. */
#include "kernels/cpu/cpu.h"
#include "kernels/rng.h"
#include "tests/kernels/op_fixture.h"

#define CLIENTS 6
#define D       48 /* width of most tensors */
#define O       80 /* another width, not a multiple of a panel */
#define R       8
#define HEADS   3
#define P       4099 /* adapter numbers */

static const int32_t length[CLIENTS] = {1, 17, 64, 130, 3, 201};

/* Who is in the pack, from which row on. Slot i holds the i-th client listed. */
typedef struct layout {
    int count, client[CLIENTS];
    int32_t first_row;
    int threads;
} layout;

/* What computes, and in which dtype hidden operands are. */
typedef struct subject {
    const char *isa;
    cpu_gemm_kind gemm;
    wk_dtype hidden;
} subject;

static wk_ctx ctx;

typedef struct pack {
    fx f;
    wk_dev *dev;
    const layout *l;
    const subject *s;
    int32_t off[CLIENTS + 1];
    int64_t rows;
    wk_segs segs;
} pack;

/* Numbers that belong to a client and a site, wherever they are put. */
static void client_numbers(float *out, int64_t n, int client, uint32_t site, float scale) {
    check_randn(out, (size_t)n, 11u, site * 64u + (uint32_t)client, scale);
}

/* Uninitialised, of the dtype of hidden operands. */
static wk_tensor hidden(pack *p, int64_t rows, int64_t cols, int64_t pad) {
    if (p->s->hidden == WK_F32) return fx_raw(&p->f, WK_F32, rows, cols, pad);
    const int64_t words = cols ? (cols + 1) / 2 : (rows + 1) / 2;
    wk_tensor t = fx_raw(&p->f, WK_F32, cols ? rows : words, cols ? words : 0, pad);
    t.dtype = WK_BF16, t.ld = cols ? 2 * t.ld : 1, t.dim[cols ? 1 : 0] = cols ? cols : rows;
    return t;
}

static void set(wk_tensor t, int64_t i, int64_t j, float value) {
    if (t.dtype == WK_BF16)
        ((uint16_t *)wk_row_ptr(t, i))[j] = wk_f32_to_bf16(value);
    else
        ((float *)wk_row_ptr(t, i))[j] = value;
}

static float get(wk_tensor t, int64_t i, int64_t j) {
    return t.dtype == WK_BF16 ? wk_bf16_to_f32(((uint16_t *)wk_row_ptr(t, i))[j])
                              : ((float *)wk_row_ptr(t, i))[j];
}

static void fill_rows(pack *p, wk_tensor t, uint32_t site) {
    const int64_t width = t.dim[1];
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t j = 0; j < width; j++) set(t, i, j, 0.0f);
    for (int i = 0; i < p->l->count; i++) {
        const int64_t n = p->off[i + 1] - p->off[i];
        float *flat = malloc((size_t)(n * width) * sizeof *flat);
        assert_non_null(flat);
        client_numbers(flat, n * width, p->l->client[i], site, 1.0f);
        for (int64_t r = 0; r < n; r++)
            for (int64_t j = 0; j < width; j++) set(t, p->off[i] + r, j, flat[r * width + j]);
        free(flat);
    }
}

static wk_tensor rows_of(pack *p, int64_t width, uint32_t site) {
    wk_tensor t = hidden(p, p->rows, width, 5);
    fill_rows(p, t, site);
    return t;
}

/* float32 whatever hidden operands are. */
static wk_tensor float_rows(pack *p, int64_t width, uint32_t site) {
    wk_tensor t = fx_raw(&p->f, WK_F32, p->rows, width, 5);
    fill_rows(p, t, site);
    return t;
}

static wk_tensor slots_of(pack *p, int64_t width, uint32_t site) {
    wk_tensor t = fx_raw(&p->f, WK_F32, p->l->count, width, 3);
    for (int i = 0; i < p->l->count; i++)
        client_numbers(wk_row_ptr(t, i), width, p->l->client[i], site, 0.3f);
    return t;
}

static wk_tensor shared(pack *p, int64_t rows, int64_t cols, uint32_t site) {
    wk_tensor t = fx_raw(&p->f, WK_F32, rows, cols, 0);
    client_numbers(t.data, rows * (cols ? cols : 1), CLIENTS, site, 0.3f);
    return t;
}

static wk_tensor shared_hidden(pack *p, int64_t rows, int64_t cols, uint32_t site) {
    const wk_tensor from = shared(p, rows, cols, site), t = hidden(p, rows, cols, 0);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < (cols ? cols : 1); j++) set(t, i, j, get(from, i, j));
    return t;
}

/* y += x, for cases with two results. */
static void join(wk_tensor y, wk_tensor x) {
    for (int64_t i = 0; i < x.dim[0]; i++)
        for (int64_t j = 0; j < x.dim[1]; j++) set(y, i, j, get(y, i, j) + get(x, i, j));
}

/* ---- ops: each fills `out` with one tensor whose rows are tokens or slots ---- */

static wk_tensor linear(pack *p, bool dx) {
    wk_weight w = {.w = shared_hidden(p, O, D, 1), .o = O, .d = D};
    const size_t bytes = wk_weight_pack_bytes(p->dev, O, D, p->s->hidden, dx);
    wk_tensor t = fx_raw(&p->f, WK_F32, (int64_t)bytes / 4 + 65, 0, 0),
              y = rows_of(p, dx ? D : O, 2);
    t = wk_vec((void *)(((uintptr_t)t.data + 255) / 256 * 256), WK_U8, (int64_t)bytes);
    *(dx ? &w.dx : &w.fwd) = t;
    check_ok(wk_weight_pack(p->dev, &(wk_weight_pack_args){.weight = &w}), &ctx.err);
    wk_tensor x = rows_of(p, dx ? O : D, 3);
    if (dx)
        check_ok(wk_linear_dx(p->dev,
                              &(wk_linear_dx_args){.dx = y, .dy = x, .w = &w, .accumulate = true}),
                 &ctx.err);
    else
        check_ok(wk_linear_fwd(p->dev, &(wk_linear_fwd_args){.y = y,
                                                             .x = x,
                                                             .bias = shared_hidden(p, O, 0, 4),
                                                             .residual = y,
                                                             .w = &w}),
                 &ctx.err);
    return y;
}

static wk_tensor linear_fwd(pack *p) {
    return linear(p, false);
}

static wk_tensor linear_dx(pack *p) {
    return linear(p, true);
}

static wk_tensor seg_fwd(pack *p, int64_t o, int64_t d) {
    wk_tensor y = rows_of(p, o, 1);
    check_ok(wk_seg_linear_fwd(p->dev,
                               &(wk_seg_linear_fwd_args){.y = y,
                                                         .x = rows_of(p, d, 2),
                                                         .segs = p->segs,
                                                         .m = fx_stack(slots_of(p, o * d, 3), o, d),
                                                         .alpha = 0.7f,
                                                         .accumulate = true}),
             &ctx.err);
    return y;
}

static wk_tensor seg_shrink(pack *p) {
    return seg_fwd(p, R, D);
}

static wk_tensor seg_expand(pack *p) {
    return seg_fwd(p, O, R);
}

static wk_tensor seg_dx(pack *p) {
    wk_tensor dx = rows_of(p, D, 1);
    check_ok(wk_seg_linear_dx(p->dev,
                              &(wk_seg_linear_dx_args){.dx = dx,
                                                       .dy = rows_of(p, R, 2),
                                                       .m = fx_stack(slots_of(p, R * D, 3), R, D),
                                                       .segs = p->segs,
                                                       .alpha = 0.7f}),
             &ctx.err);
    return dx;
}

static wk_tensor seg_dw(pack *p) {
    wk_tensor dm = slots_of(p, O * D, 1), dbias = slots_of(p, O, 2);
    check_ok(wk_seg_linear_dw(p->dev, &(wk_seg_linear_dw_args){.dm = fx_stack(dm, O, D),
                                                               .dbias = dbias,
                                                               .dy = rows_of(p, O, 3),
                                                               .x = rows_of(p, D, 4),
                                                               .segs = p->segs,
                                                               .alpha = 0.7f}),
             &ctx.err);
    check_ok(wk_axpy(p->dev, &(wk_axpy_args){.y = wk_cols(dm, 0, O), .x = dbias, .alpha = 1.0f}),
             &ctx.err);
    return dm;
}

static wk_tensor dropout(pack *p) {
    int32_t at[CLIENTS * 3];
    for (int i = 0; i < p->l->count; i++)
        at[3 * i] = 5, at[3 * i + 1] = 2, at[3 * i + 2] = p->l->client[i];
    wk_tensor y = rows_of(p, O, 1), rng = fx_i32(&p->f, p->l->count * 3, at);
    check_ok(
        wk_dropout(p->dev, &(wk_dropout_args){.y = y,
                                              .x = y,
                                              .segs = p->segs,
                                              .key = 99,
                                              .p = 0.2f,
                                              .rng = wk_mat(rng.data, WK_I32, p->l->count, 3)}),
        &ctx.err);
    return y;
}

static wk_tensor embed(pack *p) {
    wk_tensor y = rows_of(p, O, 1), id = fx_raw(&p->f, WK_I32, p->rows, 0, 0),
              table = shared_hidden(p, 7, O, 2);
    for (int64_t i = 0; i < p->rows; i++) ((int32_t *)id.data)[i] = 0;
    for (int i = 0; i < p->l->count; i++)
        for (int32_t r = p->off[i]; r < p->off[i + 1]; r++)
            ((int32_t *)id.data)[r] = (r - p->off[i] + p->l->client[i]) % 7;
    wk_tensor sum = rows_of(p, O, 3);
    check_ok(wk_embed_fwd(p->dev, &(wk_embed_fwd_args){.y = sum,
                                                       .tok = id,
                                                       .pos_id = id,
                                                       .type_id = id,
                                                       .word = table,
                                                       .pos = table,
                                                       .type = table}),
             &ctx.err);
    check_ok(wk_copy(p->dev, &(wk_copy_args){.y = y, .x = sum}), &ctx.err);
    return y;
}

static wk_tensor layernorm(pack *p) {
    wk_tensor y = rows_of(p, O, 1), z = rows_of(p, O, 2), dz = rows_of(p, O, 3);
    wk_tensor mean = fx_out(&p->f, p->rows, 0, 0), rstd = fx_out(&p->f, p->rows, 0, 0);
    wk_tensor weight = shared(p, O, 0, 4);
    check_ok(wk_layernorm_fwd(p->dev, &(wk_layernorm_fwd_args){.y = y,
                                                               .z = z,
                                                               .mean = mean,
                                                               .rstd = rstd,
                                                               .x = z,
                                                               .residual = dz,
                                                               .weight = weight,
                                                               .bias = weight,
                                                               .eps = 1e-5f}),
             &ctx.err);
    check_ok(wk_layernorm_bwd(
                 p->dev,
                 &(wk_layernorm_bwd_args){
                     .dz = dz, .dy = y, .z = z, .mean = mean, .rstd = rstd, .weight = weight}),
             &ctx.err);
    return dz;
}

static wk_tensor activation(pack *p) {
    wk_tensor x = rows_of(p, O, 1), y = rows_of(p, O, 2);
    check_ok(wk_act_bwd(p->dev, &(wk_act_bwd_args){.dx = y, .dy = y, .x = x, .act = WK_ACT_GELU}),
             &ctx.err);
    check_ok(wk_act_fwd(p->dev, &(wk_act_fwd_args){.y = x, .x = x, .act = WK_ACT_GELU_TANH}),
             &ctx.err);
    join(y, x);
    return y;
}

static wk_tensor attention(pack *p) {
    wk_tensor qkv = rows_of(p, 3 * D, 1), grad = rows_of(p, 3 * D, 2), o = rows_of(p, D, 3);
    wk_tensor lse = fx_out(&p->f, p->rows, HEADS, 0);
    const wk_tensor q = wk_cols(qkv, 0, D), k = wk_cols(qkv, D, D), v = wk_cols(qkv, 2 * D, D);
    check_ok(wk_attn_fwd(p->dev, &(wk_attn_fwd_args){.o = o,
                                                     .lse = lse,
                                                     .q = q,
                                                     .k = k,
                                                     .v = v,
                                                     .seq_off = p->segs.off,
                                                     .heads = HEADS,
                                                     .kv_heads = HEADS,
                                                     .max_len = 201,
                                                     .scale = 0.25f}),
             &ctx.err);
    check_ok(wk_attn_bwd(p->dev, &(wk_attn_bwd_args){.dq = wk_cols(grad, 0, D),
                                                     .dk = wk_cols(grad, D, D),
                                                     .dv = wk_cols(grad, 2 * D, D),
                                                     .d_o = rows_of(p, D, 4),
                                                     .q = q,
                                                     .k = k,
                                                     .v = v,
                                                     .o = o,
                                                     .lse = lse,
                                                     .seq_off = p->segs.off,
                                                     .heads = HEADS,
                                                     .kv_heads = HEADS,
                                                     .max_len = 201,
                                                     .scale = 0.25f}),
             &ctx.err);
    join(wk_cols(grad, 0, D), o);
    return grad;
}

static wk_tensor loss(pack *p) {
    wk_tensor d = float_rows(p, O, 1), value = fx_out(&p->f, p->rows, 0, 0);
    wk_tensor weight = fx_out(&p->f, p->rows, 0, 0), label = fx_raw(&p->f, WK_I32, p->rows, 0, 0);
    for (int64_t i = 0; i < p->rows; i++)
        ((float *)weight.data)[i] = 0.5f, ((int32_t *)label.data)[i] = 3;
    check_ok(wk_softmax_xent(
                 p->dev,
                 &(wk_softmax_xent_args){
                     .loss = value, .dlogits = d, .logits = d, .label = label, .weight = weight}),
             &ctx.err);
    for (int64_t i = 0; i < p->rows; i++)
        ((float *)wk_row_ptr(d, i))[0] += ((float *)value.data)[i];
    return d;
}

static wk_tensor optimizer(pack *p) {
    const int k = p->l->count;
    int32_t step[CLIENTS], dead[CLIENTS] = {0};
    wk_slot_state s = {.lr = fx_out(&p->f, k, 0, 0), .sqnorm = fx_raw(&p->f, WK_F64, k, 0, 0)};
    for (int i = 0; i < k; i++) step[i] = 3, ((float *)s.lr.data)[i] = 0.01f;
    s.step = fx_i32(&p->f, k, step), s.dead = fx_i32(&p->f, k, dead);
    wk_tensor w = slots_of(p, P, 1), g = slots_of(p, P, 2), m = slots_of(p, P, 3),
              v = slots_of(p, P, 4);
    for (int i = 0; i < k; i++)
        for (int64_t j = 0; j < P; j++) {
            float *x = (float *)wk_row_ptr(v, i) + j;
            *x *= *x;
        }
    check_ok(wk_grad_norm(
                 p->dev,
                 &(wk_grad_norm_args){
                     .g = g, .w = w, .anchor = shared(p, P, 0, 5), .slots = s, .prox_mu = 0.1f}),
             &ctx.err);
    check_ok(wk_adamw_step(p->dev, &(wk_adamw_step_args){.w = w,
                                                         .g = g,
                                                         .m = m,
                                                         .v = v,
                                                         .slots = s,
                                                         .beta1 = 0.9f,
                                                         .beta2 = 0.999f,
                                                         .eps = 1e-8f,
                                                         .weight_decay = 0.01f,
                                                         .clip = 1.0f}),
             &ctx.err);
    check_ok(wk_sgd_step(p->dev,
                         &(wk_sgd_step_args){
                             .w = w, .g = g, .m = m, .slots = s, .momentum = 0.9f, .clip = 1.0f}),
             &ctx.err);
    return w;
}

/* What a client tells about its drift, side by side in a row of bytes: a distance of two ranges, a
 * projection, a sketch in blocks and two by tables, one of them scaled. */
static wk_tensor variance(pack *p) {
    enum { ROWS = 3, W = WK_SKETCH_WIDTH, BLOCKS = (P + W - 1) / W, WIDE = 7 };
    static uint8_t signs[P], rots[BLOCKS * ROWS];
    const int k = p->l->count;
    int32_t step[CLIENTS], dead[CLIENTS] = {0}, off[3] = {0, 1000, P};
    for (int i = 0; i < k; i++) step[i] = 1;
    wk_tensor w = slots_of(p, P, 1), anchor = shared(p, P, 0, 5), dir = shared(p, P, 0, 6);
    wk_tensor out = fx_raw(&p->f, WK_F32, k, 8 + ROWS * (W + 2 * WIDE), 0);
    wk_tensor far = fx_raw(&p->f, WK_F64, k, 2, 0), along = fx_raw(&p->f, WK_F64, k, 0, 0);
    wk_tensor norm = fx_raw(&p->f, WK_F64, k, 0, 0), sign = wk_vec(signs, WK_U8, P),
              rot = wk_mat(rots, WK_U8, BLOCKS, ROWS), entry = fx_raw(&p->f, WK_I32, ROWS, P, 0),
              start = fx_raw(&p->f, WK_I32, ROWS, WIDE + 1, 0),
              bucket = fx_raw(&p->f, WK_I32, ROWS, P, 0);
    for (int64_t i = 0; i < P; i++) signs[i] = (uint8_t)(i * 37);
    for (int64_t i = 0; i < BLOCKS * ROWS; i++) rots[i] = (uint8_t)(i * 91);
    for (int64_t j = 0; j < ROWS; j++) {
        int32_t *in = wk_row_ptr(bucket, j), *first = wk_row_ptr(start, j),
                *from = wk_row_ptr(entry, j), at = 0;
        for (int32_t i = 0; i < P; i++) in[i] = (int32_t)((i * 577 + j) % (2 * WIDE + 1));
        for (int32_t b = 0; b <= WIDE; b++) {
            first[b] = at;
            for (int32_t i = 0; i < P && b < WIDE; i++)
                if (in[i] >> 1 == b) from[at++] = 2 * i + (in[i] & 1);
        }
    }
    wk_tensor blocks = wk_cols(out, 8, ROWS * W), table[2];
    blocks.ndim = 3, blocks.dim[1] = ROWS, blocks.dim[2] = W;
    for (int i = 0; i < 2; i++) {
        table[i] = wk_cols(out, 8 + ROWS * (W + i * WIDE), ROWS * WIDE);
        table[i].ndim = 3, table[i].dim[1] = ROWS, table[i].dim[2] = WIDE;
    }
    const wk_slot_state s = {.step = fx_i32(&p->f, k, step),
                             .dead = fx_i32(&p->f, k, dead),
                             .lr = fx_out(&p->f, k, 0, 0),
                             .sqnorm = fx_raw(&p->f, WK_F64, k, 0, 0)};
    const wk_drift_operands drift = {anchor, norm, blocks, sign, rot};
    check_ok(
        wk_range_sqdist(p->dev, &(wk_range_sqdist_args){far, w, anchor, fx_i32(&p->f, 3, off)}),
        &ctx.err);
    check_ok(wk_project(p->dev, &(wk_project_args){along, w, anchor, dir}), &ctx.err);
    check_ok(wk_drift(p->dev, &(wk_drift_args){w, s, drift}), &ctx.err);
    for (int i = 0; i < 2; i++)
        check_ok(wk_table_sketch(p->dev, &(wk_table_sketch_args){.sketch = table[i],
                                                                 .w = w,
                                                                 .anchor = anchor,
                                                                 .scale = i ? dir : (wk_tensor){0},
                                                                 .entry = entry,
                                                                 .start = start,
                                                                 .bucket = bucket}),
                 &ctx.err);
    for (int i = 0; i < k; i++) {
        double row[4] = {((double *)far.data)[2 * i], ((double *)far.data)[2 * i + 1],
                         ((double *)along.data)[i], ((double *)norm.data)[i]};
        memcpy(wk_row_ptr(out, i), row, sizeof row);
    }
    return out;
}

static const struct {
    const char *name;
    wk_tensor (*run)(pack *p);
    bool per_slot, gemm;
} cases[] = {
    {"linear_fwd", linear_fwd, false, true},
    {"linear_dx", linear_dx, false, true},
    {"seg_linear_fwd shrink", seg_shrink, false, false},
    {"seg_linear_fwd expand", seg_expand, false, false},
    {"seg_linear_dx", seg_dx, false, false},
    {"seg_linear_dw", seg_dw, true, false},
    {"dropout", dropout, false, false},
    {"embed_fwd", embed, false, false},
    {"layernorm", layernorm, false, false},
    {"activation", activation, false, false},
    {"attention", attention, false, false},
    {"softmax_xent", loss, false, false},
    {"optimizer", optimizer, true, false},
    {"variance", variance, true, false},
};

/* ---- running and comparing ---- */

typedef struct kept {
    float *data;
    size_t bytes;
} kept;

static void keep_or_compare(const char *name, const pack *p, wk_tensor out, bool per_slot,
                            kept *first) {
    for (int i = 0; i < p->l->count; i++) {
        const int64_t from = per_slot ? i : p->off[i],
                      rows = per_slot ? 1 : p->off[i + 1] - p->off[i];
        const size_t width = (size_t)out.dim[1] * wk_dtype_size(out.dtype);
        kept *k = &first[p->l->client[i]],
             now = {malloc((size_t)rows * width), (size_t)rows * width};
        assert_non_null(now.data);
        for (int64_t r = 0; r < rows; r++)
            memcpy((char *)now.data + (size_t)r * width, wk_row_ptr(out, from + r), width);
        if (k->data) {
            assert_int_equal(now.bytes, k->bytes);
            check_same(name, now.data, k->data, now.bytes);
            free(now.data);
        } else {
            *k = now;
        }
    }
}

static wk_dev *open_subject(const subject *s, int threads) {
    wk_dev *dev = NULL;
    check_ok(
        wk_dev_open(&dev, &ctx,
                    &(wk_dev_options){.backend = "cpu", .threads = threads, .hidden = s->hidden}),
        &ctx.err);
    weft_status st = cpu_isa_select(dev, s->isa);
    if (st == WEFT_OK) st = cpu_gemm_select(dev, s->gemm);
    if (st == WEFT_OK) return dev;
    assert_int_equal(st, WEFT_E_UNSUPPORTED);
    wk_dev_close(dev);
    return NULL;
}

static void run_layout(size_t which, const subject *s, const layout *l, kept *first) {
    pack p = {.l = l, .s = s, .rows = l->first_row + 2};
    p.off[0] = l->first_row;
    for (int i = 0; i < l->count; i++) p.off[i + 1] = p.off[i] + length[l->client[i]];
    p.rows = p.off[l->count] + 2;
    p.dev = open_subject(s, l->threads);
    const int32_t slot[CLIENTS] = {0, 1, 2, 3, 4, 5};
    p.segs = fx_segs(&p.f, l->count, p.off, slot);
    wk_tensor out = cases[which].run(&p);
    keep_or_compare(cases[which].name, &p, out, cases[which].per_slot, first);
    fx_check_guards(&p.f);
    fx_free(&p.f);
    wk_dev_close(p.dev);
}

static void run_case(size_t which, const subject *s) {
    kept first[CLIENTS] = {0};
    const layout packs[] = {{6, {0, 1, 2, 3, 4, 5}, 0, 2},
                            {6, {5, 3, 0, 4, 2, 1}, 7, 3},
                            {4, {2, 5, 1, 3}, 61, 4},
                            {6, {0, 1, 2, 3, 4, 5}, 0, 1}};
    for (size_t i = 0; i < sizeof packs / sizeof *packs; i++)
        run_layout(which, s, &packs[i], first);
    for (int c = 0; c < CLIENTS; c++) {
        const layout alone = {1, {c}, 1 + 13 * c, 1 + c % 3};
        run_layout(which, s, &alone, first);
    }
    for (int c = 0; c < CLIENTS; c++) free(first[c].data);
}

static void same_bits(void **state) {
    const subject *s = *state;
    wk_dev *dev = open_subject(s, 1);
    if (!dev) check_skip(ctx.err.text);
    print_message("%s\n", dev->note);
    wk_dev_close(dev);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (cases[i].gemm || s->gemm == CPU_GEMM_OWN) run_case(i, s);
}

static int init(void **state) {
    (void)state;
    wk_ctx_init(&ctx, NULL);
    return 0;
}

int main(void) {
    static const char *const isa[] = {"base", "v3", "v4", "v4bf16"};
    static subject subjects[9];
    static char names[9][64];
    struct CMUnitTest tests[9];
    for (size_t i = 0; i < 9; i++) {
        const bool dnnl = i == 8;
        subjects[i] = (subject){dnnl ? NULL : isa[i / 2], dnnl ? CPU_GEMM_DNNL : CPU_GEMM_OWN,
                                i % 2 ? WK_BF16 : WK_F32};
        (void)snprintf(names[i], sizeof names[i], "%s, %s", dnnl ? "oneDNN" : isa[i / 2],
                       wk_dtype_name(subjects[i].hidden));
        tests[i] = (struct CMUnitTest){names[i], same_bits, NULL, NULL, &subjects[i]};
    }
    return cmocka_run_group_tests(tests, init, NULL);
}
