/* Attention backward (Dao 2023, algorithm 2): probabilities come back from lse, block by block. A
 * task is one sequence and one key/value head with all query heads that share it, so that dk and dv
 * have one owner; blocks of queries and then of keys go in order. */
#include "kernels/cpu/vec_attn.h"

typedef struct scratch {
    attn_block q, d_o;
    attn_scores p, ds;
    float lse[ATTN_BLOCK], delta[ATTN_BLOCK];
} scratch;

/* delta[i] = sum of dO * O over the head; lanes beyond the block read as zero. */
static void load_rows(scratch *w, const wk_attn_bwd_args *a, int64_t row, int64_t queries,
                      int64_t head, int64_t dh) {
    memset(w->lse, 0, sizeof w->lse);
    memset(w->delta, 0, sizeof w->delta);
    for (int64_t i = 0; i < queries; i++) {
        const float *d_o = cpu_row(a->d_o, row + i) + head * dh,
                    *o = cpu_row(a->o, row + i) + head * dh;
        vf sum = {0};
        for (int64_t j = 0; j < dh; j += VL) sum += vf_at(d_o, j, dh) * vf_at(o, j, dh);
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

static void head_bwd(const wk_attn_bwd_args *a, int64_t start, int64_t length, int64_t head) {
    scratch w;
    const int64_t dh = a->q.dim[1] / a->heads, kv = head / (a->heads / a->kv_heads) * dh;
    for (int64_t first = 0; first < length; first += ATTN_BLOCK) {
        const int64_t queries = cpu_min(ATTN_BLOCK, length - first), row = start + first;
        const float *q = cpu_row(a->q, row) + head * dh, *d_o = cpu_row(a->d_o, row) + head * dh;
        float *dq = cpu_row(a->dq, row) + head * dh;
        const int64_t end = a->causal ? first + queries : length;
        load_rows(&w, a, row, queries, head, dh);
        attn_pack(&w.q, q, a->q.ld, queries, dh);
        attn_pack(&w.d_o, d_o, a->d_o.ld, queries, dh);
        for (int64_t key = 0; key < end; key += ATTN_BLOCK) {
            const int64_t keys = cpu_min(ATTN_BLOCK, end - key);
            const float *k = cpu_row(a->k, start + key) + kv, *v = cpu_row(a->v, start + key) + kv;
            attn_scores_of(&w.p, k, a->k.ld, keys, &w.q, queries, dh);
            attn_scores_of(&w.ds, v, a->v.ld, keys, &w.d_o, queries, dh);
            softmax_bwd(&w, keys, queries, a->scale, a->causal && key + keys > first, first, key);
            cpu_tile t = {.a = w.p.x,
                          .a_row = ATTN_BLOCK,
                          .a_k = 1,
                          .b = d_o,
                          .b_k = a->d_o.ld,
                          .c = cpu_row(a->dv, start + key) + kv,
                          .c_row = a->dv.ld,
                          .k = queries};
            attn_add_product(t, keys, dh);
            t.a = w.ds.x, t.b = q, t.b_k = a->q.ld;
            t.c = cpu_row(a->dk, start + key) + kv, t.c_row = a->dk.ld;
            attn_add_product(t, keys, dh);
            t.a_row = 1, t.a_k = ATTN_BLOCK, t.b = k, t.b_k = a->k.ld;
            t.c = dq, t.c_row = a->dq.ld, t.k = keys;
            attn_add_product(t, queries, dh);
        }
    }
}

static weft_status attn_bwd(wk_dev *dev, const wk_attn_bwd_args *a) {
    const int64_t sequences = a->seq_off.dim[0] - 1, shared = a->heads / a->kv_heads;
    const int32_t *off = a->seq_off.data;
    const wk_tensor out[] = {a->dq, a->dk, a->dv};
    const int64_t dh = a->q.dim[1] / a->heads;
    for (int i = 0; i < 3; i++) {
        attn_zero_rows(out[i], 0, off[0]);
        attn_zero_rows(out[i], off[sequences], out[i].dim[0]);
    }
    CPU_PARALLEL_FOR(cpu_threads(dev, a->q.dim[0] * a->q.dim[1] * a->max_len))
    for (int64_t task = 0; task < sequences * a->kv_heads; task++) {
        const int64_t seq = task / a->kv_heads, group = task % a->kv_heads;
        attn_zero_rows(wk_cols(a->dq, group * shared * dh, shared * dh), off[seq], off[seq + 1]);
        attn_zero_rows(wk_cols(a->dk, group * dh, dh), off[seq], off[seq + 1]);
        attn_zero_rows(wk_cols(a->dv, group * dh, dh), off[seq], off[seq + 1]);
        for (int64_t h = group * shared; h < (group + 1) * shared; h++)
            head_bwd(a, off[seq], off[seq + 1] - off[seq], h);
    }
    return WEFT_OK;
}

void WK_VEC(cpu_fill_attn_bwd)(wk_ops *table) {
    table->attn_bwd = attn_bwd;
}
