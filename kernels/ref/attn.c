/* Attention over packed sequences. Scores are computed again wherever they are needed, so that
 * nothing is stored but one row of sums per head. */
#include "kernels/ref/ref.h"

static double dot(ref_hidden a, ref_hidden b, int64_t n) {
    double sum = 0;
    for (int64_t j = 0; j < n; j++) sum += ref_get(a, j) * ref_get(b, j);
    return sum;
}

/* One past the last key that query i sees. */
static int64_t keys_end(bool causal, int64_t i, int64_t end) {
    return causal ? i + 1 : end;
}

static void zero_rows_outside(wk_tensor t, wk_tensor seq_off) {
    const int64_t first = ref_i32(seq_off)[0], last = ref_i32(seq_off)[seq_off.dim[0] - 1];
    for (int64_t i = 0; i < t.dim[0]; i++)
        if (i < first || i >= last)
            memset(wk_row_ptr(t, i), 0, (size_t)t.dim[1] * wk_dtype_size(t.dtype));
}

/* ---- forward ---- */

/* Row i, head h, keys of the sequence [begin, end). */
static void attend(const wk_attn_fwd_args *a, int64_t i, int64_t h, int64_t begin, int64_t end) {
    const int64_t width = a->q.dim[1] / a->heads;
    const int64_t kv = h / (a->heads / a->kv_heads) * width;
    const ref_hidden q = ref_hidden_at(a->q, i, h * width);
    const int64_t last = keys_end(a->causal, i, end);
    const double scale = (double)a->scale;
    double top = -HUGE_VAL, sum = 0, acc[WK_MAX_HEAD_DIM] = {0};
    for (int64_t j = begin; j < last; j++)
        top = fmax(top, scale * dot(q, ref_hidden_at(a->k, j, kv), width));
    for (int64_t j = begin; j < last; j++) {
        const double p = exp(scale * dot(q, ref_hidden_at(a->k, j, kv), width) - top);
        const ref_hidden v = ref_hidden_at(a->v, j, kv);
        sum += p;
        for (int64_t c = 0; c < width; c++) acc[c] += p * ref_get(v, c);
    }
    const ref_hidden o = ref_hidden_at(a->o, i, h * width);
    for (int64_t c = 0; c < width; c++) ref_put(o, c, acc[c] / sum);
    ref_row(a->lse, i)[h] = (float)(top + log(sum));
}

weft_status ref_attn_fwd(wk_dev *dev, const wk_attn_fwd_args *a) {
    const int32_t *off = ref_i32(a->seq_off);
    zero_rows_outside(a->o, a->seq_off);
    WK_PARALLEL_FOR(dev)
    for (int64_t s = 0; s < a->seq_off.dim[0] - 1; s++)
        for (int64_t i = off[s]; i < off[s + 1]; i++)
            for (int64_t h = 0; h < a->heads; h++) attend(a, i, h, off[s], off[s + 1]);
    return WEFT_OK;
}

/* ---- backward ---- */

/* p = exp(scale q k - lse);  ds = p (d_o v - d_o o);
 * dq = scale ds k,  dk = scale ds q,  dv = p d_o. */

/* p and ds of query i, key j in head h. */
static void score_gradient(const wk_attn_bwd_args *a, int64_t i, int64_t j, int64_t h, double *p,
                           double *ds) {
    const int64_t width = a->q.dim[1] / a->heads;
    const int64_t kv = h / (a->heads / a->kv_heads) * width;
    const ref_hidden q = ref_hidden_at(a->q, i, h * width), k = ref_hidden_at(a->k, j, kv);
    const ref_hidden d_o = ref_hidden_at(a->d_o, i, h * width),
                     o = ref_hidden_at(a->o, i, h * width);
    *p = exp((double)a->scale * dot(q, k, width) - (double)ref_row(a->lse, i)[h]);
    *ds = *p * (dot(d_o, ref_hidden_at(a->v, j, kv), width) - dot(d_o, o, width));
}

static void query_gradient(const wk_attn_bwd_args *a, int64_t i, int64_t h, int64_t begin,
                           int64_t end) {
    const int64_t width = a->q.dim[1] / a->heads;
    const int64_t kv = h / (a->heads / a->kv_heads) * width;
    double acc[WK_MAX_HEAD_DIM] = {0}, p, ds;
    for (int64_t j = begin; j < keys_end(a->causal, i, end); j++) {
        score_gradient(a, i, j, h, &p, &ds);
        const ref_hidden k = ref_hidden_at(a->k, j, kv);
        for (int64_t c = 0; c < width; c++) acc[c] += ds * ref_get(k, c);
    }
    const ref_hidden dq = ref_hidden_at(a->dq, i, h * width);
    for (int64_t c = 0; c < width; c++) ref_put(dq, c, (double)a->scale * acc[c]);
}

/* Key row j and key head g: the sum over the queries that see it and the heads that share it. */
static void key_gradient(const wk_attn_bwd_args *a, int64_t j, int64_t g, int64_t begin,
                         int64_t end) {
    const int64_t width = a->q.dim[1] / a->heads, shared = a->heads / a->kv_heads;
    double acc_k[WK_MAX_HEAD_DIM] = {0}, acc_v[WK_MAX_HEAD_DIM] = {0}, p, ds;
    for (int64_t h = g * shared; h < (g + 1) * shared; h++)
        for (int64_t i = a->causal ? j : begin; i < end; i++) {
            score_gradient(a, i, j, h, &p, &ds);
            const ref_hidden q = ref_hidden_at(a->q, i, h * width),
                             d_o = ref_hidden_at(a->d_o, i, h * width);
            for (int64_t c = 0; c < width; c++) {
                acc_k[c] += ds * ref_get(q, c);
                acc_v[c] += p * ref_get(d_o, c);
            }
        }
    const ref_hidden dk = ref_hidden_at(a->dk, j, g * width),
                     dv = ref_hidden_at(a->dv, j, g * width);
    for (int64_t c = 0; c < width; c++) {
        ref_put(dk, c, (double)a->scale * acc_k[c]);
        ref_put(dv, c, acc_v[c]);
    }
}

weft_status ref_attn_bwd(wk_dev *dev, const wk_attn_bwd_args *a) {
    const int32_t *off = ref_i32(a->seq_off);
    zero_rows_outside(a->dq, a->seq_off);
    zero_rows_outside(a->dk, a->seq_off);
    zero_rows_outside(a->dv, a->seq_off);
    WK_PARALLEL_FOR(dev)
    for (int64_t s = 0; s < a->seq_off.dim[0] - 1; s++)
        for (int64_t i = off[s]; i < off[s + 1]; i++) {
            for (int64_t h = 0; h < a->heads; h++) query_gradient(a, i, h, off[s], off[s + 1]);
            for (int64_t g = 0; g < a->kv_heads; g++) key_gradient(a, i, g, off[s], off[s + 1]);
        }
    return WEFT_OK;
}
