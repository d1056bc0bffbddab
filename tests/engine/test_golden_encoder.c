/* labels: golden */
/* The encoders against PyTorch, transformers and peft: two recorded clients with their own adapters
 * and ragged batches, together in one pack. Bounds are those of the recorded fp32 numbers
 * themselves (PROVENANCE.md): both sides round differently, by a few 1e-7 of the largest value. */
#include "engine/models/encoder.h"
#include "engine/slots.h"
#include "kernels/dev.h"
#include "tests/check.h"
#include "tests/engine/golden_source.h"
#include "tests/golden/bert.h"
#include "tests/golden/bert_regression.h"
#include "tests/golden/distilbert.h"
#include "tests/golden/roberta.h"

#include <stdlib.h>
#include <string.h>

#define TOL_ACTIVATION 1e-5
#define TOL_GRADIENT   1e-4
#define TOL_LOSS       1e-5
/* Adam divides a gradient by its own size, so where one is all rounding, so is the step. */
#define TOL_ADAM_STEPS 1e-3
#define SLOTS          3

/* Client c sits in slot 2*c, so that slot 1 is empty and slot differs from segment. */
static const int32_t slot_of[2] = {0, 2};

typedef struct bed {
    golden_file g;
    wk_ctx ctx;
    wk_dev *dev;
    weft_config *config;
    weft_rows rows;
    we_model m;
    wk_arena base, run, step;
    we_pack pack;
    we_batch batch;
    we_acts acts;
    we_slots slots;
    int seen; /* hidden states compared */
} bed;

typedef struct golden_case {
    const char *backend;
    const golden_set *set;
} golden_case;

static void open_bed(bed *b, const golden_case *c, const char *const *options, size_t n) {
    memset(b, 0, sizeof *b);
    assert_true(golden_load(WEFT_TEST_DIR "/golden", c->set, &b->g));
    wk_ctx_init(&b->ctx, NULL);
    weft_error *err = &b->ctx.err;
    check_ok(wk_dev_open(&b->dev, &b->ctx, &(wk_dev_options){.backend = c->backend, .threads = 2}),
             err);
    b->config = golden_config(c->set);
    golden_set_options(b->config, options, n);
    b->rows = golden_rows(&b->g);
    weft_model_source source = golden_source(&b->g);
    check_ok(we_model_describe(&b->m, &b->ctx, b->config, &source, b->rows.num_labels), err);
    check_ok(wk_arena_open(&b->base, b->dev, "base", 16 << 20), err);
    check_ok(wk_arena_open(&b->run, b->dev, "run", 16 << 20), err);
    check_ok(wk_arena_open(&b->step, b->dev, "step", 64 << 20), err);
    we_pack_limits limits = {.tokens = 200, .rows = 20, .segments = SLOTS};
    check_ok(we_model_place(&b->m, &b->base, &b->step, true), err);
    check_ok(we_batch_place(&b->batch, &b->step, limits), err);
    check_ok(we_acts_place(&b->acts, &b->m, &b->step, limits, true), err);
    check_ok(we_slots_init(&b->slots, &b->ctx, SLOTS, 10), err);
    check_ok(we_slots_place(&b->slots, b->config, &b->run, b->m.lora.size), err);
    check_ok(we_pack_init(&b->pack, &b->ctx, limits), err);

    float *flat = calloc((size_t)b->m.lora.size, sizeof *flat);
    check_ok(we_model_load(&b->m, &source, 0, flat), err);
    wk_tensor x;
    check_ok(wk_arena_mat(&b->run, &x, "start", WK_F32, 1, b->m.lora.size), err);
    memset(flat, 0, (size_t)b->m.lora.size * sizeof *flat);
    check_ok(wk_upload(b->dev, x, flat), err);
    check_ok(we_slots_begin(&b->slots, b->dev, SLOTS, x), err);
    for (int client = 0; client < 2; client++) {
        for (int32_t i = 0; i < b->m.lora.n_views; i++) {
            const weft_view *v = &b->m.lora.view[i];
            size_t count = (size_t)(v->ndim == 2 ? v->dim[0] * v->dim[1] : v->dim[0]);
            memcpy(flat + v->offset, golden_view(&b->g, client, "adapter", v),
                   count * sizeof *flat);
        }
        check_ok(wk_upload(b->dev, wk_rows(b->slots.w, slot_of[client], 1), flat), err);
    }
    free(flat);

    we_positions positions = {b->m.hp.pos_offset, b->m.hp.pad_id};
    we_pack_clear(&b->pack);
    for (int32_t client = 0; client < 2; client++) {
        int64_t n_rows = 0;
        for (int64_t r = 0; r < b->rows.n_rows; r++) n_rows += b->rows.client[r] == client;
        we_pack_segment(&b->pack, slot_of[client], 0, 0, (uint32_t)client);
        for (int64_t r = 0; r < b->rows.n_rows; r++)
            if (b->rows.client[r] == client)
                we_pack_row(&b->pack, &b->rows, r, 1.0f / (float)n_rows, positions);
    }
    check_ok(we_batch_upload(&b->batch, &b->pack, b->dev), err);
}

static void close_bed(bed *b) {
    we_pack_fini(&b->pack);
    we_slots_fini(&b->slots);
    we_acts_fini(&b->acts);
    wk_arena_close(&b->step);
    wk_arena_close(&b->run);
    wk_arena_close(&b->base);
    we_model_fini(&b->m);
    golden_rows_free(&b->rows);
    weft_config_free(b->config);
    wk_dev_close(b->dev);
    golden_free(&b->g);
}

/* Rows of client c inside a packed tensor. */
static const float *rows_of(const bed *b, const wk_tensor *t, int client, bool per_token,
                            size_t *count) {
    const int32_t *off = per_token ? b->pack.seg_token_off : b->pack.seg_row_off;
    *count = (size_t)((off[client + 1] - off[client]) * wk_row_numel(*t));
    return (const float *)wk_row_ptr(*t, off[client]);
}

static void watch(void *ud, const char *name, int32_t layer, wk_tensor t) {
    bed *b = ud;
    bool token = strcmp(name, "embeddings") == 0 || strcmp(name, "layer") == 0;
    for (int client = 0; client < 2; client++) {
        char key[32];
        size_t count;
        const golden_tensor *info;
        if (token)
            (void)snprintf(key, sizeof key, "c%d/hidden.%d", client, layer + 1);
        else
            (void)snprintf(key, sizeof key, "c%d/%s", client,
                           strcmp(name, "hidden") == 0 ? "pooled" : name);
        const float *got = rows_of(b, &t, client, token, &count);
        const float *want = golden_f32(&b->g, key, &info);
        assert_int_equal(count, golden_count(info));
        check_close(key, got, want, count, TOL_ACTIVATION);
        b->seen++;
    }
}

static we_pass make_pass(bed *b, const we_adapters *adapters) {
    return (we_pass){
        .m = &b->m, .batch = &b->batch, .acts = &b->acts, .adapters = adapters, .train = true};
}

/* Mean losses of the two clients from the row losses of the pack. */
static void client_losses(bed *b, float loss[2]) {
    for (int client = 0; client < 2; client++) {
        size_t n;
        double sum = 0;
        const float *row = rows_of(b, &b->acts.loss, client, false, &n);
        for (size_t i = 0; i < n; i++) sum += (double)row[i];
        loss[client] = (float)(sum / (double)n);
    }
}

static void check_views(bed *b, wk_tensor stacked, const char *what, double tol) {
    for (int client = 0; client < 2; client++)
        for (int32_t i = 0; i < b->m.lora.n_views; i++) {
            const weft_view *v = &b->m.lora.view[i];
            char name[192];
            (void)snprintf(name, sizeof name, "c%d %s %s.%s", client, what, v->module, v->tensor);
            const float *row = wk_row_ptr(stacked, slot_of[client]);
            check_close(name, row + v->offset, golden_view(&b->g, client, what, v),
                        v->ndim == 2 ? v->dim[0] * v->dim[1] : v->dim[0], tol);
        }
}

/* Watched, every layer computes all rows and shows them; unwatched, the last layer computes only
 * the rows that the head reads. Loss and gradients are the reference's both ways. */
static void test_forward_backward(void **state) {
    bed b;
    open_bed(&b, *state, NULL, 0);
    weft_error *err = &b.ctx.err;
    we_adapters adapters = {b.slots.w, b.slots.g};
    we_pass pass = make_pass(&b, &adapters);
    for (int watched = 1; watched >= 0; watched--) {
        b.m.watch = watched ? watch : NULL, b.m.watch_ud = &b;
        check_ok(we_encoder_forward(&pass), err);
        if (watched) assert_int_equal(b.seen, 2 * (b.m.hp.layers + 3));
        check_ok(we_encoder_loss(&pass), err);
        float loss[2];
        client_losses(&b, loss);
        check_close("c0 loss", &loss[0], golden_f32(&b.g, "c0/loss", NULL), 1, TOL_LOSS);
        check_close("c1 loss", &loss[1], golden_f32(&b.g, "c1/loss", NULL), 1, TOL_LOSS);
        check_ok(wk_fill(b.dev, &(wk_fill_args){.y = b.slots.g}), err);
        check_ok(we_encoder_backward(&pass), err);
        check_views(&b, b.slots.g, "grad", TOL_GRADIENT);
    }
    close_bed(&b);
}

/* Steps of the client optimizer on the recorded batch; losses are those before each step. */
static void run_steps(bed *b, const char *prefix, int steps, float lr) {
    weft_error *err = &b->ctx.err;
    we_adapters adapters = {b->slots.w, b->slots.g};
    we_pass pass = make_pass(b, &adapters);
    float got[2][16];
    for (int t = 0; t < steps; t++) {
        float loss[2];
        check_ok(wk_fill(b->dev, &(wk_fill_args){.y = b->slots.g}), err);
        check_ok(we_encoder_forward(&pass), err);
        check_ok(we_encoder_loss(&pass), err);
        check_ok(we_encoder_backward(&pass), err);
        client_losses(b, loss);
        got[0][t] = loss[0], got[1][t] = loss[1];
        for (int k = 0; k < SLOTS; k++) b->slots.step[k] = k == 1 ? 0 : t + 1, b->slots.lr[k] = lr;
        check_ok(we_slots_step(&b->slots, b->dev, b->config, SLOTS, (wk_tensor){0}), err);
    }
    for (int client = 0; client < 2; client++) {
        char key[32];
        (void)snprintf(key, sizeof key, "c%d/%s.losses", client, prefix);
        check_close(key, got[client], golden_f32(&b->g, key, NULL), steps, TOL_LOSS);
    }
    check_views(b, b->slots.w, prefix,
                strcmp(prefix, "adamw") == 0 ? TOL_ADAM_STEPS : TOL_GRADIENT);
}

static void test_adamw(void **state) {
    const golden_case *c = *state;
    const char *const options[] = {"client.weight_decay",
                                   golden_text(c->set, "adamw.weight_decay")};
    bed b;
    open_bed(&b, c, options, 2);
    run_steps(&b, "adamw", 10, (float)golden_number(c->set, "adamw.lr"));
    close_bed(&b);
}

static void test_sgd(void **state) {
    const golden_case *c = *state;
    const char *const options[] = {
        "client.optimizer",     "sgd",
        "client.momentum",      golden_text(c->set, "sgd.momentum"),
        "client.max_grad_norm", golden_text(c->set, "sgd.max_grad_norm")};
    bed b;
    open_bed(&b, c, options, 6);
    run_steps(&b, "sgd", 5, (float)golden_number(c->set, "sgd.lr"));
    close_bed(&b);
}

int main(void) {
    static const golden_set *const sets[] = {&golden_bert, &golden_roberta, &golden_distilbert,
                                             &golden_bert_regression};
    static const char *const backends[] = {"ref", "cpu"};
    static golden_case cases[8];
    static char names[24][64];
    struct CMUnitTest tests[24];
    size_t n = 0, c = 0;
    for (size_t s = 0; s < 4; s++)
        for (size_t d = 0; d < 2; d++) {
            cases[c] = (golden_case){backends[d], sets[s]};
            const struct {
                const char *name;
                CMUnitTestFunction run;
            } kinds[] = {{"forward and backward", test_forward_backward},
                         {"ten AdamW steps", test_adamw},
                         {"five clipped SGD steps", test_sgd}};
            for (size_t k = 0; k < (sets[s] == &golden_bert ? 3 : 2); k++) {
                (void)snprintf(names[n], sizeof names[n], "%s %s: %s", sets[s]->file, backends[d],
                               kinds[k].name);
                tests[n] = (struct CMUnitTest){names[n], kinds[k].run, NULL, NULL, &cases[c]};
                n++;
            }
            c++;
        }
    return _cmocka_run_group_tests("golden encoder", tests, n, NULL, NULL);
}
