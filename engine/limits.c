/* How large a pack may have to be, and whether the rows suit the model. */
#include "engine/engine.h"

#include <math.h>
#include <string.h>

typedef struct lengths {
    int64_t shortest, longest;
} lengths;

static weft_status check_rows(weft_engine *e, const weft_rows *rows, const char *name,
                              lengths *len) {
    const we_hparams *hp = &e->model.hp;
    int64_t usable = hp->max_pos - hp->pos_offset;
    if (rows->n_rows <= 0) return WEFT_FAIL(&e->ctx.err, WEFT_E_DATA, "there are no %s rows", name);
    if (!rows->label == !rows->target)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_ARG, "%s rows need either labels or targets", name);
    if (rows->label ? rows->num_labels < 2 : rows->num_labels != 1)
        return WEFT_FAIL(
            &e->ctx.err, WEFT_E_DATA, "%s rows have %d labels; %s", name, rows->num_labels,
            rows->label ? "classification needs two classes or more" : "regression has one output");
    for (int64_t i = 0; i < rows->n_rows; i++) {
        int64_t n = rows->offset[i + 1] - rows->offset[i];
        if (n < 1)
            return WEFT_FAIL(&e->ctx.err, WEFT_E_DATA, "%s row %lld has no tokens", name,
                             (long long)i);
        if (n > usable)
            return WEFT_FAIL(
                &e->ctx.err, WEFT_E_CONFIG,
                "%s row %lld has %lld tokens, the model takes %lld; set data.max_length=%lld", name,
                (long long)i, (long long)n, (long long)usable, (long long)usable);
        if (n > len->longest) len->longest = n;
        if (n < len->shortest) len->shortest = n;
        if (rows->label && (rows->label[i] < 0 || rows->label[i] >= rows->num_labels))
            return WEFT_FAIL(&e->ctx.err, WEFT_E_DATA, "%s row %lld: label %d is outside [0, %d)",
                             name, (long long)i, rows->label[i], rows->num_labels);
        if (rows->target && !isfinite(rows->target[i]))
            return WEFT_FAIL(&e->ctx.err, WEFT_E_DATA, "%s row %lld: the target is %f", name,
                             (long long)i, (double)rows->target[i]);
    }
    for (int64_t t = 0; t < rows->offset[rows->n_rows]; t++) {
        if (rows->token[t] < 0 || rows->token[t] >= hp->vocab)
            return WEFT_FAIL(
                &e->ctx.err, WEFT_E_DATA,
                "token id %d is outside the model's vocabulary of %d: tokenizer and weights "
                "do not belong together",
                rows->token[t], hp->vocab);
        if (rows->type && e->model.arch->type && rows->type[t] >= hp->type_vocab)
            return WEFT_FAIL(
                &e->ctx.err, WEFT_E_DATA,
                "token type %d is outside the model's %d types: it takes no text pairs",
                rows->type[t], hp->type_vocab);
    }
    return WEFT_OK;
}

/* Tokens of the `micro` longest rows of a client: no micro-batch of it can hold more. */
static int64_t largest_micro_batch(const weft_rows *rows, const int32_t *row, int64_t n,
                                   int64_t micro, int64_t longest, int64_t *histogram) {
    int64_t total = 0, left = micro;
    if (n <= micro) {
        for (int64_t i = 0; i < n; i++) total += rows->offset[row[i] + 1] - rows->offset[row[i]];
        return total;
    }
    memset(histogram, 0, (size_t)(longest + 1) * sizeof *histogram);
    for (int64_t i = 0; i < n; i++) histogram[rows->offset[row[i] + 1] - rows->offset[row[i]]]++;
    for (int64_t len = longest; len > 0 && left > 0; len--) {
        int64_t take = histogram[len] < left ? histogram[len] : left;
        total += take * len;
        left -= take;
    }
    return total;
}

/* Tokens of the largest micro-batch of any client. */
static weft_status largest_of_all(weft_engine *e, int64_t longest, int64_t *most) {
    const weft_config *cfg = e->cfg;
    const weft_partition *part = e->partition;
    const int64_t micro =
        cfg->client_micro_batch_size > 0 ? cfg->client_micro_batch_size : cfg->client_batch_size;
    void *histogram = NULL;
    WEFT_TRY(
        wk_host_alloc(&e->ctx, &histogram, (size_t)longest + 1, sizeof(int64_t), "row lengths"));
    *most = 0;
    for (int32_t c = 0; c < part->n_clients; c++) {
        const int64_t from = part->offset[c], n = part->offset[c + 1] - from;
        const int64_t tokens =
            largest_micro_batch(e->train, part->row + from, n, micro, longest, histogram);
        if (tokens > *most) *most = tokens;
    }
    wk_host_free(&e->ctx, histogram);
    return WEFT_OK;
}

/* No pack of training can hold more than a micro-batch for each slot, so none need be larger; those
 * of evaluation may be as large as engine.pack_tokens says. */
static int64_t useful_tokens(const weft_engine *e, int64_t micro_batch) {
    const int64_t asked = e->cfg->engine_pack_tokens;
    const bool evaluates = e->test || e->cfg->eval_clients_every > 0 || !e->partition;
    if (evaluates || micro_batch >= asked / e->slots.n) return asked;
    return micro_batch * e->slots.n;
}

weft_status we_plan_limits(weft_engine *e) {
    lengths len = {INT64_MAX, 0};
    if (e->train) WEFT_TRY(check_rows(e, e->train, "training", &len));
    if (e->test) WEFT_TRY(check_rows(e, e->test, "test", &len));
    int64_t most = 0;
    if (e->train && e->partition) WEFT_TRY(largest_of_all(e, len.longest, &most));
    const int64_t useful = useful_tokens(e, most);
    if (most < len.longest) most = len.longest;
    e->limits.tokens = useful > most ? useful : most;
    e->limits.rows = e->limits.tokens / len.shortest;
    e->limits.segments = e->slots.n > 0 ? e->slots.n : 1;
    if (e->limits.tokens > INT32_MAX / 4)
        return WEFT_FAIL(&e->ctx.err, WEFT_E_CONFIG,
                         "a client's batch has %lld tokens; lower client.batch_size or set "
                         "client.micro_batch_size",
                         (long long)e->limits.tokens);
    return WEFT_OK;
}
