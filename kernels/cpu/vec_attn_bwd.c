/* Attention backward (Dao 2023, algorithm 2): probabilities come back from lse, block by block. A
 * task is one sequence and one key/value head with all query heads that share it, so that dk and dv
 * have one owner; blocks of queries and then of keys go in order. */
#include "kernels/cpu/vec_attn.h"

#define WINDOW 32768 /* numbers of dk or dv that a task can collect in a room */

typedef struct scratch {
    attn_block q, d_o;
    attn_scores p, ds;
    float lse[ATTN_BLOCK], delta[ATTN_BLOCK];
    /* Only touched when the operands are bfloat16. */
    attn_room q_rows, do_rows, k_rows, v_rows, q_along, do_along, k_along, dq;
    attn_pairs pairs;
    float dk[WINDOW], dv[WINDOW];
} scratch;

/* One key/value head of one sequence. */
typedef struct owner {
    const wk_attn_bwd_args *a;
    int64_t start, length, group, shared, dh; /* shared: query heads of a key/value head */
} owner;

/* delta[i] = sum of dO * O over the head; lanes beyond the block read as zero. */
static void load_rows(scratch *w, const wk_attn_bwd_args *a, int64_t row, int64_t queries,
                      int64_t head, int64_t dh) {
    const bool half = is_half(a->o);
    memset(w->lse, 0, sizeof w->lse);
    memset(w->delta, 0, sizeof w->delta);
    for (int64_t i = 0; i < queries; i++) {
        const hid o = hid_row(a->o, row + i, head * dh, half),
                  d_o = hid_row(a->d_o, row + i, head * dh, half);
        vf sum = {0};
        for (int64_t j = 0; j < dh; j += VL) sum += hid_at(d_o, j, dh) * hid_at(o, j, dh);
        w->delta[i] = vf_sum(sum);
        w->lse[i] = cpu_row(a->lse, row + i)[head];
    }
}

/* In: w->p scores, w->ds = dP. Out: w->p = P, w->ds = P * (dP - delta) * scale. */
static void softmax_bwd(scratch *w, int64_t keys, int64_t queries, float scale, bool causal,
                        int64_t query, int64_t key) {
    for (int64_t i = 0; i < queries; i += VL) {
        const vf lse = vf_load(w->lse + i), delta = vf_load(w->delta + i);
        for (int64_t j = 0; j < keys; j++) {
            float *p = w->p.x + j * ATTN_BLOCK + i, *ds = w->ds.x + j * ATTN_BLOCK + i;
            vf e = vf_exp(vf_load(p) * scale - lse);
            if (causal) e = vf_select(attn_hidden(query + i, key + j), vf_set(0.0f), e);
            vf_store(p, e);
            vf_store(ds, e * (vf_load(ds) - delta) * scale);
        }
    }
}

/* What a pass computes. */
enum { DQ = 1, DKV = 2 };

/* Queries [first, first + queries) of a head against keys [from, to): adds to dk and dv, whose
 * first row is that of key `from`, and sets dq. */
static void queries_bwd(scratch *w, const owner *t, int64_t head, int64_t first, int64_t from,
                        int64_t to, attn_rows dk, attn_rows dv, int what) {
    const wk_attn_bwd_args *a = t->a;
    const int64_t queries = cpu_min(ATTN_BLOCK, t->length - first), row = t->start + first;
    const int64_t dh = t->dh, col = head * dh, kv = t->group * dh;
    const bool paired = attn_paired(a->q);
    const int64_t words = attn_words(dh, paired);
    if (a->causal) to = cpu_min(to, first + queries);
    const attn_rows q = attn_read(a->q, row, queries, col, dh, w->q_rows.x);
    const attn_rows d_o = attn_read(a->d_o, row, queries, col, dh, w->do_rows.x);
    const attn_rows q_b = attn_along(a->q, row, queries, col, dh, q, w->q_along.x);
    const attn_rows do_b = attn_along(a->d_o, row, queries, col, dh, d_o, w->do_along.x);
    attn_rows dq = {0};
    if (what & DQ) dq = attn_begin(a->dq, row, queries, col, dh, w->dq.x);
    load_rows(w, a, row, queries, head, dh);
    attn_pack(&w->q, q, queries, words);
    attn_pack(&w->d_o, d_o, queries, words);
    for (int64_t key = from; key < to; key += ATTN_BLOCK) {
        const int64_t keys = cpu_min(ATTN_BLOCK, to - key);
        const attn_rows k = attn_read(a->k, t->start + key, keys, kv, dh, w->k_rows.x);
        const attn_rows v = attn_read(a->v, t->start + key, keys, kv, dh, w->v_rows.x);
        attn_scores_of(&w->p, k, keys, &w->q, queries, words, paired);
        attn_scores_of(&w->ds, v, keys, &w->d_o, queries, words, paired);
        softmax_bwd(w, keys, queries, a->scale, a->causal && key + keys > first, first, key);
        if (what & DKV) {
            cpu_tile p = attn_along_queries(&w->p, keys, queries, paired, &w->pairs);
            p.b = do_b.x, p.b_k = do_b.ld, p.c = dv.x + (key - from) * dv.ld, p.c_row = dv.ld;
            attn_add_product(p, keys, dh);
            p = attn_along_queries(&w->ds, keys, queries, paired, &w->pairs);
            p.b = q_b.x, p.b_k = q_b.ld, p.c = dk.x + (key - from) * dk.ld, p.c_row = dk.ld;
            attn_add_product(p, keys, dh);
        }
        if (what & DQ) {
            const attn_rows k_b = attn_along(a->k, t->start + key, keys, kv, dh, k, w->k_along.x);
            cpu_tile p = attn_along_keys(&w->ds, keys, queries, paired, &w->pairs);
            p.b = k_b.x, p.b_k = k_b.ld, p.c = dq.x, p.c_row = dq.ld;
            attn_add_product(p, queries, dh);
        }
    }
    if (what & DQ) attn_end(a->dq, row, queries, col, dh, dq);
}

/* All queries against keys [from, to), whose dk and dv are then complete. */
static void keys_bwd(scratch *w, const owner *t, int64_t from, int64_t to, int what) {
    const wk_attn_bwd_args *a = t->a;
    const int64_t dh = t->dh, kv = t->group * dh, rows = to - from, row = t->start + from;
    attn_rows dk = {0}, dv = {0};
    if (what & DKV) dk = attn_begin(a->dk, row, rows, kv, dh, w->dk);
    if (what & DKV) dv = attn_begin(a->dv, row, rows, kv, dh, w->dv);
    for (int64_t head = t->group * t->shared; head < (t->group + 1) * t->shared; head++)
        for (int64_t first = 0; first < t->length; first += ATTN_BLOCK)
            queries_bwd(w, t, head, first, from, to, dk, dv, what);
    if (what & DKV) attn_end(a->dk, row, rows, kv, dh, dk);
    if (what & DKV) attn_end(a->dv, row, rows, kv, dh, dv);
}

/* In one pass where dk and dv of the whole sequence can be collected; a longer one of bfloat16
 * forms its scores twice: for dk and dv of a window of keys at a time, and for dq. */
static void owner_bwd(const owner *t) {
    scratch w;
    const int64_t window = WINDOW / t->dh / ATTN_BLOCK * ATTN_BLOCK;
    if (!is_half(t->a->q) || t->length <= window) {
        keys_bwd(&w, t, 0, t->length, DQ | DKV);
        return;
    }
    for (int64_t from = 0; from < t->length; from += window)
        keys_bwd(&w, t, from, cpu_min(from + window, t->length), DKV);
    keys_bwd(&w, t, 0, t->length, DQ);
}

static weft_status attn_bwd(wk_dev *dev, const wk_attn_bwd_args *a) {
    const int64_t sequences = a->seq_off.dim[0] - 1;
    const int32_t *off = a->seq_off.data;
    const wk_tensor out[] = {a->dq, a->dk, a->dv};
    for (int i = 0; i < 3; i++) {
        attn_zero_rows(out[i], 0, off[0]);
        attn_zero_rows(out[i], off[sequences], out[i].dim[0]);
    }
    CPU_PARALLEL_FOR(cpu_product_threads(dev, a->q.dim[0] * a->q.dim[1] * a->max_len))
    for (int64_t task = 0; task < sequences * a->kv_heads; task++) {
        const int64_t seq = task / a->kv_heads;
        const owner t = {.a = a,
                         .start = off[seq],
                         .length = off[seq + 1] - off[seq],
                         .group = task % a->kv_heads,
                         .shared = a->heads / a->kv_heads,
                         .dh = a->q.dim[1] / a->heads};
        owner_bwd(&t);
    }
    return WEFT_OK;
}

void WK_VEC(cpu_fill_attn_bwd)(wk_ops *table) {
    table->attn_bwd = attn_bwd;
}
