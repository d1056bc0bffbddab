#include "tests/engine/golden_bed.h"

#include "engine/models/encoder.h"
#include "engine/slots.h"
#include "tests/engine/golden_source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 3

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
    bool good;
    golden_bounds bounds;
} bed;

#define OK(expr) golden_must((expr), &b->ctx.err, #expr)

static void open_bed(bed *b, const golden_device *device, const golden_set *set,
                     const char *const *options, size_t n) {
    memset(b, 0, sizeof *b);
    b->good = golden_load(WEFT_TEST_DIR "/golden", set, &b->g);
    if (!b->good) exit(1);
    wk_ctx_init(&b->ctx, NULL);
    const wk_dev_options open = {.backend = device->name, .threads = 2, .hidden = device->hidden};
    if (device->plugin)
        OK(wk_dev_open_backend(&b->dev, &b->ctx, device->plugin, &open));
    else
        OK(wk_dev_open(&b->dev, &b->ctx, &open));
    b->config = golden_config(set);
    golden_set_options(b->config, options, n);
    b->rows = golden_rows(&b->g);
    weft_model_source source = golden_source(&b->g);
    OK(we_model_describe(&b->m, &b->ctx, b->config, &source, b->rows.num_labels));
    OK(wk_arena_open(&b->base, b->dev, "base", 16 << 20));
    OK(wk_arena_open(&b->run, b->dev, "run", 16 << 20));
    OK(wk_arena_open(&b->step, b->dev, "step", 64 << 20));
    we_pack_limits limits = {.tokens = 200, .rows = 20, .segments = SLOTS};
    OK(we_model_place(&b->m, &b->base, &b->step, true));
    OK(we_batch_place(&b->batch, &b->step, limits));
    OK(we_acts_place(&b->acts, &b->m, &b->step, limits, true));
    OK(we_slots_init(&b->slots, &b->ctx, SLOTS, 10));
    OK(we_slots_place(&b->slots, b->config, &b->run, b->m.lora.size));
    OK(we_pack_init(&b->pack, &b->ctx, limits));

    float *flat = calloc((size_t)b->m.lora.size, sizeof *flat);
    OK(we_model_load(&b->m, &source, 0, flat));
    wk_tensor x;
    OK(wk_arena_mat(&b->run, &x, "start", WK_F32, 1, b->m.lora.size));
    memset(flat, 0, (size_t)b->m.lora.size * sizeof *flat);
    OK(wk_upload(b->dev, x, flat));
    OK(we_slots_begin(&b->slots, b->dev, SLOTS, x));
    for (int client = 0; client < 2; client++) {
        for (int32_t i = 0; i < b->m.lora.n_views; i++) {
            const weft_view *v = &b->m.lora.view[i];
            size_t count = (size_t)(v->ndim == 2 ? v->dim[0] * v->dim[1] : v->dim[0]);
            memcpy(flat + v->offset, golden_view(&b->g, client, "adapter", v),
                   count * sizeof *flat);
        }
        OK(wk_upload(b->dev, wk_rows(b->slots.w, slot_of[client], 1), flat));
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
    OK(we_batch_upload(&b->batch, &b->pack, b->dev));
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

/* Rows of client c inside a packed tensor, as floats on the host; free them. */
static float *rows_of(bed *b, wk_tensor t, int client, bool per_token, size_t *count) {
    const int32_t *off = per_token ? b->pack.seg_token_off : b->pack.seg_row_off;
    const int64_t rows = off[client + 1] - off[client];
    *count = (size_t)(rows * wk_row_numel(t));
    float *out = calloc(*count + 1, sizeof *out);
    OK(wk_download(b->dev, out, wk_rows(t, off[client], rows)));
    if (t.dtype == WK_BF16)
        for (size_t i = *count; i-- > 0;) {
            uint16_t half;
            memcpy(&half, (const char *)out + 2 * i, sizeof half);
            out[i] = wk_bf16_to_f32(half);
        }
    return out;
}

static void compare(bed *b, const char *name, const float *got, const float *want, size_t n,
                    double bound) {
    double scale = 0, worst = 0;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) scale = fmax(scale, fabs((double)want[i]));
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)got[i] - (double)want[i]);
        if (!(d <= worst)) worst = d, at = i; /* NaN too */
    }
    if (worst <= bound * scale + 1e-30) return;
    (void)fprintf(stderr, "%s: %s[%zu]: got %.9g want %.9g, |diff| %.3g > %.3g * %.3g\n",
                  b->g.set->file, name, at, (double)got[at], (double)want[at], worst, bound, scale);
    b->good = false;
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
        float *got = rows_of(b, t, client, token, &count);
        const float *want = golden_f32(&b->g, key, &info);
        if (count != golden_count(info)) b->good = false;
        compare(b, key, got, want, golden_count(info), b->bounds.activation);
        free(got);
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
        float *row = rows_of(b, b->acts.loss, client, false, &n);
        for (size_t i = 0; i < n; i++) sum += (double)row[i];
        loss[client] = (float)(sum / (double)n);
        free(row);
    }
}

static void compare_views(bed *b, wk_tensor stacked, const char *what, double bound) {
    float *row = calloc((size_t)b->m.lora.size, sizeof *row);
    for (int client = 0; client < 2; client++) {
        OK(wk_download(b->dev, row, wk_rows(stacked, slot_of[client], 1)));
        for (int32_t i = 0; i < b->m.lora.n_views; i++) {
            const weft_view *v = &b->m.lora.view[i];
            char name[192];
            (void)snprintf(name, sizeof name, "c%d %s %s.%s", client, what, v->module, v->tensor);
            compare(b, name, row + v->offset, golden_view(&b->g, client, what, v),
                    (size_t)(v->ndim == 2 ? v->dim[0] * v->dim[1] : v->dim[0]), bound);
        }
    }
    free(row);
}

bool golden_forward_backward(const golden_device *device, const golden_set *set,
                             golden_bounds bounds) {
    bed own, *b = &own;
    open_bed(b, device, set, NULL, 0);
    b->bounds = bounds;
    we_adapters adapters = {b->slots.w, b->slots.g};
    we_pass pass = make_pass(b, &adapters);
    for (int watched = 1; watched >= 0; watched--) {
        b->m.watch = watched ? watch : NULL, b->m.watch_ud = b;
        OK(we_encoder_forward(&pass));
        if (watched && b->seen != 2 * (b->m.hp.layers + 3)) b->good = false;
        OK(we_encoder_loss(&pass));
        float loss[2];
        client_losses(b, loss);
        compare(b, "c0 loss", &loss[0], golden_f32(&b->g, "c0/loss", NULL), 1, bounds.loss);
        compare(b, "c1 loss", &loss[1], golden_f32(&b->g, "c1/loss", NULL), 1, bounds.loss);
        OK(wk_fill(b->dev, &(wk_fill_args){.y = b->slots.g}));
        OK(we_encoder_backward(&pass));
        compare_views(b, b->slots.g, "grad", bounds.gradient);
    }
    close_bed(b);
    return b->good;
}

/* Losses are those before each step. */
static void run_steps(bed *b, const char *prefix, int steps, float lr) {
    we_adapters adapters = {b->slots.w, b->slots.g};
    we_pass pass = make_pass(b, &adapters);
    float got[2][16];
    for (int t = 0; t < steps; t++) {
        float loss[2];
        OK(wk_fill(b->dev, &(wk_fill_args){.y = b->slots.g}));
        OK(we_encoder_forward(&pass));
        OK(we_encoder_loss(&pass));
        OK(we_encoder_backward(&pass));
        client_losses(b, loss);
        got[0][t] = loss[0], got[1][t] = loss[1];
        for (int k = 0; k < SLOTS; k++) b->slots.step[k] = k == 1 ? 0 : t + 1, b->slots.lr[k] = lr;
        OK(we_slots_step(&b->slots, b->dev, b->config, SLOTS, (wk_tensor){0}));
    }
    for (int client = 0; client < 2; client++) {
        char key[32];
        (void)snprintf(key, sizeof key, "c%d/%s.losses", client, prefix);
        compare(b, key, got[client], golden_f32(&b->g, key, NULL), (size_t)steps, b->bounds.loss);
    }
}

bool golden_steps(const golden_device *device, const golden_set *set, const char *optimizer,
                  golden_bounds bounds) {
    const bool adam = strcmp(optimizer, "adamw") == 0;
    const char *const for_adam[] = {"client.weight_decay", golden_text(set, "adamw.weight_decay")};
    const char *const for_sgd[] = {"client.optimizer",     "sgd",
                                   "client.momentum",      golden_text(set, "sgd.momentum"),
                                   "client.max_grad_norm", golden_text(set, "sgd.max_grad_norm")};
    bed own, *b = &own;
    open_bed(b, device, set, adam ? for_adam : for_sgd, adam ? 2 : 6);
    b->bounds = bounds;
    run_steps(b, optimizer, adam ? 10 : 5, (float)golden_number(set, adam ? "adamw.lr" : "sgd.lr"));
    compare_views(b, b->slots.w, optimizer, adam ? bounds.adam_steps : bounds.gradient);
    close_bed(b);
    return b->good;
}
