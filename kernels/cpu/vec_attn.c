/* Attention forward over packed sequences: online softmax over blocks of keys (Dao 2023, algorithm
 * 1). A task is one block of queries of one sequence and head. */
#include "kernels/cpu/vec_attn.h"

#include <math.h>

typedef struct running {
    float max[ATTN_BLOCK], sum[ATTN_BLOCK], shrink[ATTN_BLOCK];
} running;

/* Scores become exp(scale * score - max); sums and earlier output are to be multiplied by shrink.
 */
static void softmax_block(running *r, attn_scores *s, int64_t keys, int64_t queries, float scale,
                          bool causal, int64_t query, int64_t key) {
    for (int64_t i = 0; i < queries; i += VL) {
        float *col = s->x + i;
        const vf old = vf_load(r->max + i);
        vf max = old;
        for (int64_t j = 0; j < keys; j++) {
            vf x = vf_load(col + j * ATTN_BLOCK) * scale;
            if (causal)
                x = vf_select(attn_hidden(query + i, key + j), vf_set(-__builtin_inff()), x);
            vf_store(col + j * ATTN_BLOCK, x);
            max = vf_max(x, max);
        }
        const vf shrink = vf_exp_negative(old - max);
        vf sum = vf_load(r->sum + i) * shrink;
        for (int64_t j = 0; j < keys; j++) {
            vf e = vf_exp_negative(vf_load(col + j * ATTN_BLOCK) - max);
            vf_store(col + j * ATTN_BLOCK, e);
            sum += e;
        }
        vf_store(r->max + i, max);
        vf_store(r->sum + i, sum);
        vf_store(r->shrink + i, shrink);
    }
}

static void scale_row(float *o, int64_t dh, float by) {
    for (int64_t j = 0; j < dh; j += VL) vf_put(o, j, dh, vf_at(o, j, dh) * by);
}

/* Queries [first, first + queries) of the sequence that starts at row `start`. */
static void block_fwd(const wk_attn_fwd_args *a, int64_t start, int64_t length, int64_t head,
                      int64_t first, int64_t queries) {
    attn_block q;
    attn_room in, along, out;
    attn_pairs pairs;
    attn_scores s;
    running r;
    const int64_t dh = a->q.dim[1] / a->heads, kv = head / (a->heads / a->kv_heads) * dh;
    const bool paired = attn_paired(a->q);
    const int64_t words = attn_words(dh, paired);
    const int64_t end = a->causal ? first + queries : length;
    const attn_rows o = attn_begin(a->o, start + first, queries, head * dh, dh, out.x);
    attn_pack(&q, attn_read(a->q, start + first, queries, head * dh, dh, in.x), queries, words);
    for (int i = 0; i < ATTN_BLOCK; i++) r.max[i] = -__builtin_inff(), r.sum[i] = 0.0f;
    for (int64_t key = 0; key < end; key += ATTN_BLOCK) {
        const int64_t keys = cpu_min(ATTN_BLOCK, end - key);
        const attn_rows k = attn_read(a->k, start + key, keys, kv, dh, in.x);
        attn_scores_of(&s, k, keys, &q, queries, words, paired);
        softmax_block(&r, &s, keys, queries, a->scale, a->causal && key + keys > first, first, key);
        for (int64_t i = 0; key > 0 && i < queries; i++) scale_row(o.x + i * o.ld, dh, r.shrink[i]);
        attn_rows v = {0};
        if (!paired) v = attn_read(a->v, start + key, keys, kv, dh, in.x);
        v = attn_along(a->v, start + key, keys, kv, dh, v, along.x);
        cpu_tile t = attn_along_keys(&s, keys, queries, paired, &pairs);
        t.b = v.x, t.b_k = v.ld, t.c = o.x, t.c_row = o.ld;
        attn_add_product(t, queries, dh);
    }
    for (int64_t i = 0; i < queries; i++) {
        scale_row(o.x + i * o.ld, dh, 1.0f / r.sum[i]);
        cpu_row(a->lse, start + first + i)[head] = r.max[i] + logf(r.sum[i]);
    }
    attn_end(a->o, start + first, queries, head * dh, dh, o);
}

static weft_status attn_fwd(wk_dev *dev, const wk_attn_fwd_args *a) {
    const int64_t sequences = a->seq_off.dim[0] - 1, blocks = cpu_ceil_div(a->max_len, ATTN_BLOCK);
    const int32_t *off = a->seq_off.data;
    attn_zero_rows(a->o, 0, off[0]);
    attn_zero_rows(a->o, off[sequences], a->o.dim[0]);
    CPU_PARALLEL_FOR(cpu_product_threads(dev, a->q.dim[0] * a->q.dim[1] * a->max_len))
    for (int64_t task = 0; task < sequences * a->heads * blocks; task++) {
        const int64_t seq = task / (a->heads * blocks), head = task / blocks % a->heads;
        const int64_t length = off[seq + 1] - off[seq], first = task % blocks * ATTN_BLOCK;
        if (first < length)
            block_fwd(a, off[seq], length, head, first, cpu_min(ATTN_BLOCK, length - first));
    }
    return WEFT_OK;
}

void WK_VEC(cpu_fill_attn)(wk_ops *table) {
    table->attn_fwd = attn_fwd;
}
