/* labels: op */
/* A client's numbers do not depend on who shares its call, on where its rows lie, on its slot, nor
 * on the number of threads: every op that clients share, all together and each client alone, bit
 * for bit; nor on NaN in another's. */
#include "kernels/dev.h"
#include "kernels/rng.h"
#include "tests/check.h"
#ifdef WEFT_TEST_SIMT
#    include "tests/simt/dev_simt.h"
#endif

#include <math.h>
#include <string.h>

enum {
    N = 61, /* rows of three clients */
    D = 40,
    O = 37, /* widths */
    R = 4,
    C = 3, /* rank, classes */
    HEADS = 2,
    WIDTH = D / HEADS,
    SLOTS = 5,
    P = R * D + O * R + C * D + C, /* A, B, head, its bias */
    ROWS = 2,                      /* of the sketch */
    BLOCKS = (P + WK_SKETCH_WIDTH - 1) / WK_SKETCH_WIDTH,
};

static const int32_t client_begin[] = {0, 13, 20, N};
/* Sequences; a client has whole ones. */
static const int32_t seq_begin[] = {0, 4, 13, 14, 20, 37, 38, N};
enum { SEQUENCES = 7 };

/* What goes in. Rows of one client are the same numbers wherever they lie. */
typedef struct inputs {
    float x[N * D], dy[N * O], dz[N * D], weight[O * D], bias[O], gamma[D], beta[D];
    float w[SLOTS * P], loss_weight[N], anchor[P];
    uint8_t sign[P], rot[BLOCKS * ROWS];
    int32_t label[N];
} inputs;

/* What comes out: rows, then numbers of slots. */
typedef struct outputs {
    float y[N * O], dx[N * D], s[N * R], up[N * O], ds[N * R], dropped[N * D], norm[N * D];
    float mean[N], rstd[N], dnorm[N * D], act[N * O], dact[N * O], o[N * D], lse[N * HEADS];
    float dq[N * D], dk[N * D], dv[N * D], head[N * C], loss[N], dlogits[N * C];
    float grad[SLOTS * P], w[SLOTS * P], m[SLOTS * P], v[SLOTS * P];
    float sketch[SLOTS * ROWS * WK_SKETCH_WIDTH];
    double loss_sum[SLOTS], sqnorm[SLOTS], drift[SLOTS];
} outputs;

static wk_ctx ctx;

static wk_tensor mat(float *data, int64_t rows, int64_t cols) {
    return wk_mat(data, WK_F32, rows, cols);
}

static wk_tensor vec(float *data, int64_t n) {
    return wk_vec(data, WK_F32, n);
}

static wk_tensor slot_view(float *stack, int64_t at, int64_t rows, int64_t cols) {
    return (wk_tensor){stack + at, {SLOTS, rows, cols}, P, 3, WK_F32};
}

#define RUN(call) check_ok((call), &ctx.err)

/* The forward and backward of a layer over `rows` rows, sequences `seq_off` and segments `segs`. */
static void layer(wk_dev *dev, inputs *in, outputs *out, int64_t n, wk_segs segs, wk_tensor rng,
                  wk_tensor seq_off) {
    wk_weight w = {.w = mat(in->weight, O, D), .o = O, .d = D};
    wk_tensor x = mat(in->x, n, D), dy = mat(in->dy, n, O), dz = mat(in->dz, n, D);
    static uint8_t pack[2][1 << 20];
    for (int dx = 0; dx < 2; dx++) {
        size_t bytes = wk_weight_pack_bytes(dev, O, D, dev->hidden, dx != 0);
        assert_true(bytes <= sizeof pack[dx]);
        if (bytes) *(dx ? &w.dx : &w.fwd) = wk_vec(pack[dx], WK_U8, (int64_t)bytes);
    }
    RUN(wk_weight_pack(dev, &(wk_weight_pack_args){&w}));
    RUN(wk_linear_fwd(dev, &(wk_linear_fwd_args){
                               .y = mat(out->y, n, O), .x = x, .bias = vec(in->bias, O), .w = &w}));
    RUN(wk_linear_dx(dev, &(wk_linear_dx_args){.dx = mat(out->dx, n, D), .dy = dy, .w = &w}));

    wk_tensor a = slot_view(in->w, 0, R, D), b = slot_view(in->w, R * D, O, R);
    wk_tensor s = mat(out->s, n, R), ds = mat(out->ds, n, R), up = mat(out->up, n, O);
    RUN(wk_seg_linear_fwd(
        dev, &(wk_seg_linear_fwd_args){.y = s, .x = x, .m = a, .segs = segs, .alpha = 1}));
    RUN(wk_seg_linear_fwd(
        dev, &(wk_seg_linear_fwd_args){.y = up, .x = s, .m = b, .segs = segs, .alpha = 2}));
    RUN(wk_seg_linear_dx(
        dev, &(wk_seg_linear_dx_args){.dx = ds, .dy = dy, .m = b, .segs = segs, .alpha = 2}));
    RUN(wk_seg_linear_dw(
        dev,
        &(wk_seg_linear_dw_args){
            .dm = slot_view(out->grad, R * D, O, R), .dy = dy, .x = s, .segs = segs, .alpha = 2}));
    RUN(wk_seg_linear_dw(
        dev, &(wk_seg_linear_dw_args){
                 .dm = slot_view(out->grad, 0, R, D), .dy = ds, .x = x, .segs = segs, .alpha = 1}));
    RUN(wk_dropout(dev, &(wk_dropout_args){.y = mat(out->dropped, n, D),
                                           .x = x,
                                           .rng = rng,
                                           .segs = segs,
                                           .key = wk_rng_key(1, WK_RNG_DROPOUT, 2),
                                           .p = 0.3f}));

    wk_layernorm_fwd_args norm = {.y = mat(out->norm, n, D),
                                  .mean = vec(out->mean, n),
                                  .rstd = vec(out->rstd, n),
                                  .x = x,
                                  .residual = dz,
                                  .weight = vec(in->gamma, D),
                                  .bias = vec(in->beta, D),
                                  .eps = 1e-5f};
    RUN(wk_layernorm_fwd(dev, &norm));
    RUN(wk_layernorm_bwd(dev, &(wk_layernorm_bwd_args){.dz = mat(out->dnorm, n, D),
                                                       .dy = dz,
                                                       .z = x,
                                                       .mean = norm.mean,
                                                       .rstd = norm.rstd,
                                                       .weight = norm.weight}));
    RUN(wk_act_fwd(dev, &(wk_act_fwd_args){mat(out->act, n, O), dy, WK_ACT_GELU}));
    RUN(wk_act_bwd(dev, &(wk_act_bwd_args){mat(out->dact, n, O), up, dy, WK_ACT_GELU}));

    wk_attn_fwd_args attn = {.o = mat(out->o, n, D),
                             .lse = mat(out->lse, n, HEADS),
                             .q = x,
                             .k = dz,
                             .v = mat(out->norm, n, D),
                             .seq_off = seq_off,
                             .heads = HEADS,
                             .kv_heads = HEADS,
                             .max_len = 23,
                             .scale = 0.2f};
    RUN(wk_attn_fwd(dev, &attn));
    RUN(wk_attn_bwd(dev, &(wk_attn_bwd_args){.dq = mat(out->dq, n, D),
                                             .dk = mat(out->dk, n, D),
                                             .dv = mat(out->dv, n, D),
                                             .d_o = mat(out->dropped, n, D),
                                             .q = attn.q,
                                             .k = attn.k,
                                             .v = attn.v,
                                             .o = attn.o,
                                             .lse = attn.lse,
                                             .seq_off = seq_off,
                                             .heads = HEADS,
                                             .kv_heads = HEADS,
                                             .max_len = attn.max_len,
                                             .scale = attn.scale}));
}

/* The trained head, its loss, and an optimizer step of the slots in `step`. */
static void head_and_step(wk_dev *dev, inputs *in, outputs *out, int64_t n, wk_segs segs,
                          int32_t *step) {
    const int64_t at = R * D + O * R;
    wk_tensor head = mat(out->head, n, C), dlogits = mat(out->dlogits, n, C);
    wk_tensor bias = wk_cols(mat(in->w, SLOTS, P), at + C * D, C);
    wk_tensor dbias = wk_cols(mat(out->grad, SLOTS, P), at + C * D, C);
    RUN(wk_seg_linear_fwd(dev, &(wk_seg_linear_fwd_args){.y = head,
                                                         .x = mat(out->o, n, D),
                                                         .m = slot_view(in->w, at, C, D),
                                                         .bias = bias,
                                                         .segs = segs,
                                                         .alpha = 1}));
    RUN(wk_softmax_xent(dev, &(wk_softmax_xent_args){.loss = vec(out->loss, n),
                                                     .dlogits = dlogits,
                                                     .logits = head,
                                                     .label = wk_vec(in->label, WK_I32, n),
                                                     .weight = vec(in->loss_weight, n)}));
    RUN(wk_seg_linear_dw(dev, &(wk_seg_linear_dw_args){.dm = slot_view(out->grad, at, C, D),
                                                       .dbias = dbias,
                                                       .dy = dlogits,
                                                       .x = mat(out->o, n, D),
                                                       .segs = segs,
                                                       .alpha = 1}));
    RUN(wk_seg_sum(dev, &(wk_seg_sum_args){.out = wk_vec(out->loss_sum, WK_F64, SLOTS),
                                           .x = vec(out->loss, n),
                                           .weight = vec(in->loss_weight, n),
                                           .segs = segs}));
    float lr[SLOTS] = {0.1f, 0.1f, 0.1f, 0.1f, 0.1f};
    int32_t dead[SLOTS] = {0};
    wk_slot_state slots = {wk_vec(step, WK_I32, SLOTS), vec(lr, SLOTS),
                           wk_vec(out->sqnorm, WK_F64, SLOTS), wk_vec(dead, WK_I32, SLOTS)};
    wk_drift_operands drift = {
        .anchor = vec(in->anchor, P),
        .sqnorm = wk_vec(out->drift, WK_F64, SLOTS),
        .sketch = {out->sketch, {SLOTS, ROWS, WK_SKETCH_WIDTH}, ROWS * WK_SKETCH_WIDTH, 3, WK_F32},
        .sign = wk_vec(in->sign, WK_U8, P),
        .rot = wk_mat(in->rot, WK_U8, BLOCKS, ROWS)};
    memcpy(out->w, in->w, sizeof out->w);
    RUN(wk_grad_norm(dev, &(wk_grad_norm_args){.g = mat(out->grad, SLOTS, P), .slots = slots}));
    RUN(wk_adamw_step(dev, &(wk_adamw_step_args){.w = mat(out->w, SLOTS, P),
                                                 .g = mat(out->grad, SLOTS, P),
                                                 .m = mat(out->m, SLOTS, P),
                                                 .v = mat(out->v, SLOTS, P),
                                                 .slots = slots,
                                                 .drift = drift,
                                                 .beta1 = 0.9f,
                                                 .beta2 = 0.999f,
                                                 .eps = 1e-8f,
                                                 .clip = 1.0f}));
}

/* Where client c lives; another shift, another slot. */
static int32_t slot_of(int client, int shift) {
    return (3 * shift + 2 * client) % SLOTS;
}

/* Clients [first, last) in one call. */
static void run_clients(wk_dev *dev, const inputs *all, outputs *out, int first, int last,
                        int shift) {
    static inputs in;
    const int32_t begin = client_begin[first], n = client_begin[last] - begin;
    int32_t off[4], slot[3], rng[9], seq_off[SEQUENCES + 1], step[SLOTS] = {0}, sequences = 0;
    in = *all;
    memset(out, 0, sizeof *out);
    memcpy(in.x, all->x + begin * D, (size_t)n * D * 4);
    memcpy(in.dy, all->dy + begin * O, (size_t)n * O * 4);
    memcpy(in.dz, all->dz + begin * D, (size_t)n * D * 4);
    memcpy(in.label, all->label + begin, (size_t)n * 4);
    memcpy(in.loss_weight, all->loss_weight + begin, (size_t)n * 4);
    off[0] = 0;
    for (int c = first; c < last; c++) {
        const int i = c - first;
        off[i + 1] = client_begin[c + 1] - begin;
        slot[i] = slot_of(c, shift);
        step[slot[i]] = 1;
        rng[3 * i] = 1, rng[3 * i + 1] = 2, rng[3 * i + 2] = c;
        memcpy(in.w + slot[i] * P, all->w + c * P, P * 4);
    }
    for (int q = 0; q <= SEQUENCES; q++)
        if (seq_begin[q] >= begin && seq_begin[q] <= begin + n)
            seq_off[sequences++] = seq_begin[q] - begin;
    wk_segs segs = {wk_vec(off, WK_I32, last - first + 1), wk_vec(slot, WK_I32, last - first)};
    layer(dev, &in, out, n, segs, wk_mat(rng, WK_I32, last - first, 3),
          wk_vec(seq_off, WK_I32, sequences));
    head_and_step(dev, &in, out, n, segs, step);
}

static void same_rows(const char *name, const float *pack, const float *other, int c, int width) {
    size_t rows = (size_t)(client_begin[c + 1] - client_begin[c]);
    check_same(name, pack + client_begin[c] * width, other, rows * (size_t)width * 4);
}

/* Client c of the whole pack, and of another call in which its rows begin at `at`. */
static void same_client(const outputs *pack, const outputs *other, int other_shift, int32_t at,
                        int c) {
    const int ps = slot_of(c, 0), os = slot_of(c, other_shift);
#define EACH_ROW(field, width) same_rows(#field, pack->field, other->field + at * (width), c, width)
#define SLOT(field, n)                                                                             \
    check_same(#field, &pack->field[ps * (n)], &other->field[os * (n)], (n) * sizeof *pack->field)
    EACH_ROW(y, O), EACH_ROW(dx, D), EACH_ROW(s, R), EACH_ROW(up, O), EACH_ROW(ds, R),
        EACH_ROW(dropped, D);
    EACH_ROW(norm, D), EACH_ROW(mean, 1), EACH_ROW(rstd, 1), EACH_ROW(dnorm, D), EACH_ROW(act, O),
        EACH_ROW(dact, O);
    EACH_ROW(o, D), EACH_ROW(lse, HEADS), EACH_ROW(dq, D), EACH_ROW(dk, D), EACH_ROW(dv, D);
    EACH_ROW(head, C), EACH_ROW(loss, 1), EACH_ROW(dlogits, C);
    SLOT(grad, P), SLOT(w, P), SLOT(m, P), SLOT(v, P), SLOT(loss_sum, 1), SLOT(sqnorm, 1);
    SLOT(drift, 1), SLOT(sketch, ROWS * WK_SKETCH_WIDTH);
#undef EACH_ROW
#undef SLOT
}

static void poison(inputs *in, int c) {
    const int32_t begin = client_begin[c], n = client_begin[c + 1] - begin;
    float *const fields[] = {in->x + begin * D, in->dy + begin * O, in->dz + begin * D,
                             in->w + c * P, in->loss_weight + begin};
    const int32_t sizes[] = {n * D, n * O, n * D, P, n};
    for (int f = 0; f < 5; f++)
        for (int32_t i = 0; i < sizes[f]; i++) fields[f][i] = NAN;
}

static wk_dev *open_device(const char *backend, int threads) {
    wk_dev *dev = NULL;
    const wk_dev_options options = {.backend = backend, .threads = threads};
#ifdef WEFT_TEST_SIMT
    RUN(wk_dev_open_backend(&dev, &ctx, &wk_backend_simt, &options));
#else
    RUN(wk_dev_open(&dev, &ctx, &options));
#endif
    return dev;
}

static void clients_are_independent_on(const char *backend) {
    static inputs in;
    static outputs pack, other;
    float *const fields[] = {in.x,     in.dy,   in.dz, in.weight,      in.bias,
                             in.gamma, in.beta, in.w,  in.loss_weight, in.anchor};
    const size_t sizes[] = {N * D, N * O, N * D, O * D, O, D, D, SLOTS * P, N, P};
    for (uint32_t i = 0; i < 10; i++) check_randn(fields[i], sizes[i], 11, i, 1);
    for (int i = 0; i < P; i++) in.sign[i] = (uint8_t)(i * 37 >> 3);
    for (int i = 0; i < BLOCKS * ROWS; i++) in.rot[i] = (uint8_t)(57 * i + 11);
    for (int i = 0; i < N; i++) in.label[i] = i % 7 == 4 ? -1 : i % C;
    wk_ctx_init(&ctx, NULL);
    wk_dev *one = open_device(backend, 1), *two = open_device(backend, 2);
    run_clients(one, &in, &pack, 0, 3, 0);
    for (int c = 0; c < 3; c++)
        assert_true(pack.w[slot_of(c, 0) * P] != in.w[c * P] &&
                    pack.drift[slot_of(c, 0)] > 0); /* something happened */
    run_clients(two, &in, &other, 0, 3, 0);
    check_same("two threads", &other, &pack, sizeof pack);
    for (int c = 0; c < 3; c++) {
        run_clients(two, &in, &other, c, c + 1, c);
        same_client(&pack, &other, c, 0, c);
    }
    /* A client that is nothing but NaN stays alone with it. */
    poison(&in, 1);
    run_clients(two, &in, &other, 0, 3, 0);
    assert_true(isnan(other.y[client_begin[1] * O]) && isnan(other.o[client_begin[1] * D]));
    assert_true(isnan(other.sqnorm[slot_of(1, 0)]));
    for (int c = 0; c < 3; c += 2) same_client(&pack, &other, 0, client_begin[c], c);
    wk_dev_close(one), wk_dev_close(two);
}

static void clients_are_independent(void **state) {
    clients_are_independent_on(*state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#ifdef WEFT_TEST_SIMT
        {"simt", clients_are_independent, NULL, NULL, (void *)(uintptr_t) "simt"},
#else
        {"ref", clients_are_independent, NULL, NULL, (void *)(uintptr_t) "ref"},
        {"cpu", clients_are_independent, NULL, NULL, (void *)(uintptr_t) "cpu"},
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
