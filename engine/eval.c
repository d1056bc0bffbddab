/* Forward passes over many rows, and the scores of what comes out. Rows are packed in their order,
 * up to the pack's limits; a row's outputs do not depend on the packing. */
#include "engine/engine.h"
#include "engine/metrics.h"
#include "kernels/dev.h"

#include <string.h>

weft_status we_tick(weft_engine *e, weft_phase phase, int64_t done, int64_t total) {
    if (!e->hooks.tick || e->hooks.tick(e->hooks.ud, phase, done, total)) return WEFT_OK;
    return WEFT_FAIL(&e->ctx.err, WEFT_E_STOPPED, "stopped on request");
}

weft_status we_forward_rows(weft_engine *e, const weft_rows *data, const int32_t *rows,
                            int64_t begin, int64_t end, const we_adapters *adapters,
                            weft_phase phase, we_take take, void *ud) {
    we_pack *p = &e->pack;
    for (int64_t i = begin; i < end;) {
        int64_t first = i;
        we_pack_clear(p);
        we_pack_segment(p, 0, 0, 0, 0);
        for (; i < end; i++) {
            int64_t row = rows ? rows[i] : i;
            int64_t tokens = data->offset[row + 1] - data->offset[row];
            if (p->n_rows + 1 > p->limits.rows || p->n_tokens + tokens > p->limits.tokens) break;
            we_pack_row(p, data, row, 1.0f, we_engine_positions(e));
        }
        WEFT_TRY(we_engine_pass(e, adapters, false));
        WEFT_TRY(take(ud, e, first, i - first));
        WEFT_TRY(we_tick(e, phase, i - begin, end - begin));
    }
    return WEFT_OK;
}

static weft_status collect(void *ud, weft_engine *e, int64_t first, int64_t count) {
    float *outputs = ud; /* (n, C) */
    return wk_download(e->dev, outputs + first * e->model.num_labels,
                       wk_rows(e->acts.logits, 0, count));
}

/* The outputs of all rows: each rank takes a share of them. */
static weft_status forward_all(weft_engine *e, const weft_rows *data, const int32_t *rows,
                               int64_t n, int64_t share, float *outputs) {
    const int64_t begin = e->ranks.rank * share < n ? e->ranks.rank * share : n,
                  end = begin + share < n ? begin + share : n;
    const size_t bytes = (size_t)share * (size_t)e->model.num_labels * sizeof *outputs;
    const we_adapters global = {.w = e->server.x};
    WEFT_TRY(
        we_forward_rows(e, data, rows, begin, end, &global, WEFT_PHASE_EVAL, collect, outputs));
    return we_ranks_allgather(e, (unsigned char *)outputs + (size_t)e->ranks.rank * bytes, bytes,
                              outputs);
}

weft_status we_score(weft_engine *e, const weft_rows *data, const int32_t *rows, int64_t n,
                     const float *outputs, weft_metrics *out) {
    return we_metrics_compute(&e->ctx, data, rows, n, outputs, e->model.num_labels, out);
}

weft_status weft_engine_eval(weft_engine *e, const weft_eval_options *options, weft_metrics *out,
                             weft_error *err) {
    const weft_rows *data = options->split == WEFT_SPLIT_TEST ? e->test : e->train;
    weft_status st = WEFT_OK;
    void *outputs = NULL;
    e->ranks.parted = false;
    if (!data) {
        st = WEFT_FAIL(&e->ctx.err, WEFT_E_CONFIG,
                       "there are no %s rows to evaluate on; set data.%s",
                       options->split == WEFT_SPLIT_TEST ? "test" : "training",
                       options->split == WEFT_SPLIT_TEST ? "test" : "train");
        goto out;
    }
    int64_t n = options->rows ? options->n_rows : data->n_rows;
    for (int64_t i = 0; options->rows && i < n; i++)
        if (options->rows[i] < 0 || options->rows[i] >= data->n_rows) {
            st = WEFT_FAIL(&e->ctx.err, WEFT_E_ARG, "row %d to evaluate is outside [0, %lld)",
                           options->rows[i], (long long)data->n_rows);
            goto out;
        }
    const int64_t classes = e->model.num_labels;
    const int64_t share = (n + e->ranks.size - 1) / e->ranks.size;
    WEFT_TRY_GOTO(st,
                  wk_host_alloc(&e->ctx, &outputs, (size_t)(share * e->ranks.size * classes),
                                sizeof(float), "model outputs"),
                  out);
    WEFT_TRY_GOTO(st, forward_all(e, data, options->rows, n, share, outputs), out);
    for (int64_t i = 0; options->output && i < n; i++)
        options->output(options->ud, options->rows ? options->rows[i] : i,
                        (const float *)outputs + i * classes, e->model.num_labels);
    WEFT_TRY_GOTO(st, we_score(e, data, options->rows, n, outputs, out), out);
out:
    wk_host_free(&e->ctx, outputs);
    st = we_ranks_meet(e, st);
    if (st != WEFT_OK && err) *err = e->ctx.err;
    return st;
}
