/* What FDA needs beside the slots: memory, the tables of the sketch, and its sizes on the wire. */
#include "engine/fda.h"

#include "engine/models/model.h"
#include "engine/sketch.h"
#include "kernels/dev.h"
#include "kernels/exact_sum.h"

#include <math.h>
#include <string.h>

static bool estimates_by(const we_fda *f, we_estimator kind) {
    return f->cfg->fda_estimator == kind;
}

static bool has_tables(const we_fda *f) {
    return estimates_by(f, WE_ESTIMATOR_SKETCH) && f->cfg->fda_sketch != WE_SKETCH_XOR;
}

static bool has_blocks(const we_fda *f) {
    return estimates_by(f, WE_ESTIMATOR_SKETCH) && f->cfg->fda_sketch == WE_SKETCH_XOR;
}

static bool is_weighted(const we_fda *f) {
    for (int g = 0; g < WEFT_GROUPS; g++)
        if (f->weight[g] < 1 || f->weight[g] > 1) return true;
    return false;
}

static int64_t sketch_size(const we_fda *f) {
    return f->cfg->fda_sketch_depth * f->cfg->fda_sketch_width;
}

/* ---- sizes ---- */

uint64_t we_fda_state_bytes(const we_fda *f) {
    switch (f->cfg->fda_estimator) {
    case WE_ESTIMATOR_NAIVE:
        return sizeof(float);
    case WE_ESTIMATOR_LINEAR:
        return 2 * sizeof(float);
    case WE_ESTIMATOR_SKETCH:
        return (uint64_t)(sketch_size(f) + 1) * sizeof(float);
    case WE_ESTIMATOR_EXACT:
        break;
    }
    return (uint64_t)f->numel * sizeof(float);
}

/* Coefficients, as in the papers: the tables are made from them. */
uint64_t we_fda_once_bytes(const we_fda *f) {
    if (!estimates_by(f, WE_ESTIMATOR_SKETCH)) return 0;
    return (uint64_t)f->cfg->fda_sketch_depth * WE_SKETCH_HASH_BYTES;
}

/* A fixed theta does not say how long a round is. */
int64_t we_fda_usual_checks(const weft_config *cfg) {
    const int64_t many = 100;
    if (cfg->fda_rule == WE_RULE_FIXED && cfg->fda_target > many) return many;
    return cfg->fda_target;
}

double we_theta_next(int64_t target, int64_t checks, double variance) {
    return (double)target / (double)checks * variance;
}

/* ---- host memory ---- */

static weft_status take(we_fda *f, void *pointer, size_t count, size_t size, const char *what) {
    void *p = NULL;
    WEFT_TRY(wk_host_alloc(f->ctx, &p, count, size, what));
    memcpy(pointer, &p, sizeof p); /* whatever the type of the field */
    return WEFT_OK;
}

weft_status we_fda_describe(we_fda *f, wk_ctx *ctx, const weft_config *cfg, const we_model *model,
                            int32_t slots, int32_t cohort, int32_t clients) {
    memset(f, 0, sizeof *f);
    if (cfg->fl_sync == WE_SYNC_FIXED) return WEFT_OK;
    f->ctx = ctx, f->cfg = cfg;
    f->numel = model->lora.numel, f->size = model->lora.size, f->clients = clients;
    f->weight[WEFT_GROUP_A] = cfg->fda_weight_a;
    f->weight[WEFT_GROUP_B] = cfg->fda_weight_b;
    f->weight[WEFT_GROUP_SAVED] = cfg->fda_weight_saved;
    const size_t k = (size_t)slots, c = (size_t)cohort, p = (size_t)f->size;
    WEFT_TRY(take(f, &f->own, k, sizeof *f->own, "numbers of clients"));
    WEFT_TRY(take(f, &f->notes, c, sizeof *f->notes, "numbers of clients"));
    WEFT_TRY(take(f, &f->shares, c, sizeof(double), "shares of clients"));
    WEFT_TRY(take(f, &f->own_shares, k, sizeof(double), "shares of clients"));
    WEFT_TRY(take(f, &f->own_groups, k * WEFT_GROUPS, sizeof(double), "distances of clients"));
    WEFT_TRY(take(f, &f->groups, c * WEFT_GROUPS, sizeof(double), "distances of clients"));
    WEFT_TRY(take(f, &f->numbers, k, sizeof(double), "numbers of clients"));
    memset(f->own, 0, k * sizeof *f->own); /* padding too, for it travels */
    WEFT_TRY(
        take(f, &f->checks, (size_t)cfg->fda_max_checks, sizeof(weft_check), "checks of a round"));
    if (estimates_by(f, WE_ESTIMATOR_LINEAR)) {
        WEFT_TRY(take(f, &f->previous, p, sizeof(float), "previous global adapter"));
        WEFT_TRY(take(f, &f->current, p, sizeof(float), "direction"));
        memset(f->previous, 0, p * sizeof(float));
    }
    if (estimates_by(f, WE_ESTIMATOR_SKETCH)) {
        const size_t n = (size_t)sketch_size(f);
        WEFT_TRY(take(f, &f->sketches, k * n, sizeof(float), "sketches"));
        WEFT_TRY(take(f, &f->words, WK_SUM_WORDS * n, sizeof(int64_t), "sum of sketches"));
        WEFT_TRY(take(f, &f->mean_sketch, n, sizeof(double), "mean sketch"));
        WEFT_TRY(take(f, &f->seen, (size_t)clients, 1, "clients seen"));
        memset(f->seen, 0, (size_t)clients);
    }
    return WEFT_OK;
}

void we_fda_fini(we_fda *f) {
    if (!f->ctx) return;
    void *all[] = {f->own,      f->notes,   f->shares,      f->own_shares, f->own_groups,
                   f->groups,   f->numbers, f->checks,      f->previous,   f->current,
                   f->sketches, f->words,   f->mean_sketch, f->seen};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) wk_host_free(f->ctx, all[i]);
    memset(f, 0, sizeof *f);
}

uint64_t we_fda_host_bytes(const we_fda *f) {
    if (!f->ctx) return 0;
    uint64_t bytes = (uint64_t)f->cfg->fda_max_checks * sizeof(weft_check);
    if (f->previous) bytes += 2 * (uint64_t)f->size * sizeof(float);
    if (f->seen) bytes += (uint64_t)f->clients;
    if (f->sketches)
        bytes += (uint64_t)sketch_size(f) *
                 ((uint64_t)f->number.dim[0] * sizeof(float) + sizeof(double));
    return bytes;
}

/* ---- device memory ---- */

weft_status we_fda_place(we_fda *f, wk_arena *run, int32_t slots) {
    if (!f->ctx) return WEFT_OK;
    const int64_t depth = f->cfg->fda_sketch_depth, width = f->cfg->fda_sketch_width;
    WEFT_TRY(wk_arena_vec(run, &f->number, "numbers of clients", WK_F64, slots));
    if (estimates_by(f, WE_ESTIMATOR_LINEAR))
        WEFT_TRY(wk_arena_vec(run, &f->direction, "direction", WK_F32, f->size));
    if (has_tables(f)) {
        WEFT_TRY(wk_arena_mat(run, &f->entry, "table of the sketch", WK_I32, depth, f->numel));
        WEFT_TRY(wk_arena_mat(run, &f->start, "table of the sketch", WK_I32, depth, width + 1));
        if (wk_dev_traits(run->dev) & WK_TRAIT_SCATTERS)
            WEFT_TRY(wk_arena_mat(run, &f->bucket, "table of the sketch", WK_I32, depth, f->size));
        if (is_weighted(f))
            WEFT_TRY(wk_arena_vec(run, &f->scale, "weights of the sketch", WK_F32, f->size));
    }
    if (has_blocks(f)) {
        const int64_t blocks = (f->size + WK_SKETCH_WIDTH - 1) / WK_SKETCH_WIDTH;
        WEFT_TRY(wk_arena_vec(run, &f->sign, "signs of the sketch", WK_U8, f->size));
        WEFT_TRY(wk_arena_mat(run, &f->rot, "buckets of the sketch", WK_U8, blocks, depth));
    }
    if (!estimates_by(f, WE_ESTIMATOR_SKETCH)) return WEFT_OK;
    WEFT_TRY(wk_arena_mat(run, &f->sketch, "sketches", WK_F32, slots, depth * width));
    f->sketch.ndim = 3, f->sketch.dim[1] = depth, f->sketch.dim[2] = width;
    return WEFT_OK;
}

/* Where the numbers of an adapter lie in its flat vector, without the gaps. */
static void fill_places(const we_lora *lora, int32_t *place) {
    int64_t n = 0;
    for (int32_t i = 0; i < lora->n_views; i++) {
        const weft_view *v = &lora->view[i];
        const int64_t count = v->ndim == 2 ? v->dim[0] * v->dim[1] : v->dim[0];
        for (int64_t j = 0; j < count; j++) place[n++] = (int32_t)(v->offset + j);
    }
}

static weft_status load_tables(we_fda *f, wk_dev *dev, const we_lora *lora) {
    const int64_t depth = f->cfg->fda_sketch_depth;
    const uint32_t width = (uint32_t)f->cfg->fda_sketch_width;
    const bool folds = f->cfg->fda_sketch == WE_SKETCH_HASH_XOR;
    const size_t count[4] = {(size_t)f->numel, (size_t)f->numel, width + 1, (size_t)f->size};
    const bool inverts = wk_given(f->bucket);
    int32_t *table[4] = {0}; /* place, entry, start, bucket */
    weft_status st = WEFT_OK;
    for (int i = 0; i < 3 + inverts && st == WEFT_OK; i++) {
        void *memory = NULL;
        st = wk_host_alloc(f->ctx, &memory, count[i], sizeof(int32_t), "table of the sketch");
        table[i] = memory;
    }
    if (st == WEFT_OK) fill_places(lora, table[0]);
    for (int64_t row = 0; row < depth && st == WEFT_OK; row++) {
        const we_sketch_hash h = we_sketch_hash_draw(f->cfg->run_seed, (int)row, folds);
        we_sketch_fill_row(&h, table[0], f->numel, width, table[2], table[1]);
        st = wk_upload(dev, wk_rows(f->entry, row, 1), table[1]);
        if (st == WEFT_OK) st = wk_upload(dev, wk_rows(f->start, row, 1), table[2]);
        if (st != WEFT_OK || !inverts) continue;
        we_sketch_invert_row(table[2], table[1], width, table[3], f->size);
        st = wk_upload(dev, wk_rows(f->bucket, row, 1), table[3]);
    }
    for (int i = 0; i < 4; i++) wk_host_free(f->ctx, table[i]);
    return st;
}

/* Numbers are scaled by the root of their group's weight. */
static weft_status load_scale(we_fda *f, wk_dev *dev, const we_lora *lora) {
    void *memory = NULL;
    WEFT_TRY(
        wk_host_alloc(f->ctx, &memory, (size_t)f->size, sizeof(float), "weights of the sketch"));
    float *scale = memory;
    memset(scale, 0, (size_t)f->size * sizeof *scale);
    for (int32_t i = 0; i < lora->n_views; i++) {
        const int64_t end = i + 1 < lora->n_views ? lora->view[i + 1].offset : f->size;
        const float root = (float)sqrt(f->weight[we_view_group(&lora->view[i])]);
        for (int64_t j = lora->view[i].offset; j < end; j++) scale[j] = root;
    }
    const weft_status st = wk_upload(dev, f->scale, scale);
    wk_host_free(f->ctx, memory);
    return st;
}

static weft_status load_blocks(we_fda *f, wk_dev *dev) {
    const int64_t depth = f->cfg->fda_sketch_depth;
    const size_t rots = (size_t)wk_numel(f->rot);
    void *sign = NULL, *rot = NULL;
    weft_status st = wk_host_alloc(f->ctx, &sign, (size_t)f->size, 1, "signs of the sketch");
    if (st == WEFT_OK) st = wk_host_alloc(f->ctx, &rot, rots, 1, "buckets of the sketch");
    if (st == WEFT_OK) {
        memset(sign, 0, (size_t)f->size);
        for (int row = 0; row < (int)depth; row++) {
            const we_sketch_hash h = we_sketch_hash_draw(f->cfg->run_seed, row, false);
            we_sketch_fill_xor(&h, row, f->size, sign, (uint8_t *)rot + row, depth);
        }
        st = wk_upload(dev, f->sign, sign);
        if (st == WEFT_OK) st = wk_upload(dev, f->rot, rot);
    }
    wk_host_free(f->ctx, sign);
    wk_host_free(f->ctx, rot);
    return st;
}

weft_status we_fda_load(we_fda *f, wk_dev *dev, const we_model *model) {
    if (!f->ctx) return WEFT_OK;
    if (has_tables(f)) WEFT_TRY(load_tables(f, dev, &model->lora));
    if (wk_given(f->scale)) WEFT_TRY(load_scale(f, dev, &model->lora));
    return has_blocks(f) ? load_blocks(f, dev) : WEFT_OK;
}
