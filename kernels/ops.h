/* THE OP VOCABULARY. What is not here, the engine cannot call; backends differ by table, not by
 * #ifdef.
 *
 * Each op takes the device and one struct of named arguments; `wk_<op>(dev, &args)` checks shapes,
 * dtypes and aliasing once (ops.c) and then calls the backend, which may trust its arguments.
 * Operands marked "opt" may be left zero. Unless said otherwise tensors are float32, matrices may
 * have strided rows, vectors are contiguous, an op overwrites its outputs, outputs may not overlap
 * inputs, every op is deterministic, and no op allocates. Indices, labels and offsets lie in device
 * memory, so they are not checked: the caller keeps them in range.
 *
 * Hidden operands: activations of the frozen base and their gradients, marked (h). Each is float32
 * or bfloat16, whatever the others of the call are; operands marked (H) have one dtype between
 * them, float32 or bfloat16. Values are rounded to bfloat16 on store only, to nearest even; sums
 * run in float32 or wider. A product of matrices may round its factors to bfloat16 when one of its
 * operands is bfloat16 (tensor cores), never otherwise.
 *
 * A backend's result for one row, sequence or segment may not depend on what else is in the call,
 * on its place, nor on the number of threads: a client's trajectory is then independent of its pack
 * mates.
 *
 * Letters: T tokens of a pack, N rows of any kind, S segments, Q sequences, K client slots,
 * P adapter numbers, D model width, O output width, R LoRA rank, H heads, Dh head width, C classes,
 * V vocabulary. */
#ifndef WK_OPS_H
#define WK_OPS_H

#include "kernels/status.h"
#include "kernels/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_dev wk_dev;

/* Segments: rows [off[s], off[s+1]) belong to client slot slot[s]. Segments are in row order and do
 * not overlap. An empty one is as if it were not there: nothing of its slot is read or written. A
 * slot appears at most once per call among the others. */
typedef struct wk_segs {
    wk_tensor off;  /* (S+1) i32, ascending; off[S] <= rows */
    wk_tensor slot; /* (S) i32 in [0, K) */
} wk_segs;

/* A frozen weight W (O, D), once per device. `fwd` and `dx` are the backend's own layouts of it,
 * filled by weight_pack. After that linear_fwd reads `fwd` alone when it is given and linear_dx
 * `dx` alone; each falls back to `w` when its layout is not given. So the owner may drop the plain
 * copy once every op it is going to call has its layout. */
typedef struct wk_weight {
    wk_tensor w;       /* (O, D) (h) */
    wk_tensor fwd, dx; /* opaque bytes (u8); not given when the backend uses `w` itself */
    int64_t o, d;
} wk_weight;

typedef enum wk_act {
    WK_ACT_GELU = 0,
    WK_ACT_GELU_TANH = 1,
    WK_ACT_RELU = 2,
    WK_ACT_TANH = 3
} wk_act;

/* clang-format off */
#define WK_OPS(X) \
    X(fill) X(copy) X(axpy) X(gather_rows) X(scatter_rows) X(mean_pool) X(embed_fwd) \
    X(weight_pack) X(linear_fwd) X(linear_dx) \
    X(seg_linear_fwd) X(seg_linear_dx) X(seg_linear_dw) X(dropout) \
    X(layernorm_fwd) X(layernorm_bwd) X(act_fwd) X(act_bwd) X(attn_fwd) X(attn_bwd) \
    X(softmax_xent) X(mse) X(seg_sum) \
    X(grad_norm) X(drift) X(adamw_step) X(sgd_step) \
    X(range_sqdist) X(project) X(table_sketch) \
    X(update_add) X(sum_read) X(weighted_sum) X(order_stat) X(noise) X(server_step)
/* clang-format on */

/* ---- memory ---- */

/* y[…] = value. Any dtype but f16; the value is converted. Strided rows are respected. */
typedef struct {
    wk_tensor y;
    double value;
} wk_fill_args;

/* y[i, …] = x[i, …] with conversion between f32, bf16 and f16 (f16 as source only), or between
 * equal dtypes of any kind. Same shape. */
typedef struct {
    wk_tensor y, x;
} wk_copy_args;

/* y += alpha * x. Same shape (N, D) or (N). */
typedef struct {
    wk_tensor y, x;
    float alpha;
} wk_axpy_args;

/* y[i, :] = x[idx[i], :]; zeros where idx[i] < 0.  x (T, D) (h)  idx (N) i32  →  y (N, D) (h). */
typedef struct {
    wk_tensor y, x, idx;
} wk_gather_rows_args;

/* y[idx[i], :] = x[i, :], where idx[i] < 0 nothing; other rows of y are left as they are. No index
 * from 0 on occurs twice.  x (N, D) (h)  y (T, D) (h). */
typedef struct {
    wk_tensor y, x, idx;
} wk_scatter_rows_args;

/* y[q, :] = mean of rows seq_off[q] … seq_off[q+1]-1 of x; an empty sequence gives zeros.
 * x (T, D) (h)  seq_off (Q+1) i32  →  y (Q, D). */
typedef struct {
    wk_tensor y, x, seq_off;
} wk_mean_pool_args;

/* y[t, :] = word[tok[t], :] + pos[pos_id[t], :] (+ type[type_id[t], :]).
 * tok, pos_id, type_id (T) i32; word (V, D), pos (maxpos, D), type (n, D) opt with type_id, the
 * three (H); y (T, D) (h). */
typedef struct {
    wk_tensor y, tok, pos_id, type_id, word, pos, type;
} wk_embed_fwd_args;

/* ---- frozen linear ---- */

/* Fill weight->fwd and weight->dx (those given) from weight->w. Called once per weight, outside
 * steps; may allocate inside the backend. Sizes: wk_weight_pack_bytes. */
typedef struct {
    wk_weight *weight;
} wk_weight_pack_args;

/* y[t, :] = W x[t, :] + bias (+ residual[t, :]).
 * x (T, D)  W (O, D)  bias (O) opt  residual (T, O) opt, may be y itself  →  y (T, O), all (H). */
typedef struct {
    wk_tensor y, x, bias, residual;
    const wk_weight *w;
} wk_linear_fwd_args;

/* dx[t, :] = dy[t, :] W, or += when accumulate.  dy (T, O)  W (O, D)  →  dx (T, D), all (H).
 * There is no dW: the base is frozen. */
typedef struct {
    wk_tensor dx, dy;
    const wk_weight *w;
    bool accumulate;
} wk_linear_dx_args;

/* ---- per-client linear: LoRA factors and trained heads ---- */

/* y[t, :] = alpha * M[slot] x[t, :] + bias[slot], or += when accumulate; rows outside all segments
 * are left as they are.
 * x (N, D) (h)  m (K, O, D)  bias (K, O) opt  →  y (N, O) (h); m and bias are views into the
 * stacked (K, P) buffer, ld = its row stride.
 * LoRA: s = A x with O = R, then y += scale * B s with D = R. A trained head: O = C. */
typedef struct {
    wk_tensor y, x, m, bias;
    wk_segs segs;
    float alpha;
    bool accumulate;
} wk_seg_linear_fwd_args;

/* dx[t, :] = alpha * dy[t, :] M[slot], or += when accumulate; rows outside as above.
 * dy (N, O) (h)  m (K, O, D)  →  dx (N, D) (h). */
typedef struct {
    wk_tensor dx, dy, m;
    wk_segs segs;
    float alpha;
    bool accumulate;
} wk_seg_linear_dx_args;

/* dm[slot] += alpha * sum over the segment's rows of dy[t, :]^T x[t, :];
 * dbias[slot] += the sum of dy, without alpha.
 * dy (N, O) (h)  x (N, D) (h)  →  dm (K, O, D)  dbias (K, O) opt.
 * Rows in order, in chunks counted from the segment's first row. */
typedef struct {
    wk_tensor dm, dbias, dy, x;
    wk_segs segs;
    float alpha;
} wk_seg_linear_dw_args;

/* y = x * keep / (1 - p), or += when accumulate; y may be x when it overwrites. Rows outside all
 * segments are copied (or left, when accumulating).
 * keep of row t, column j of segment s: wk_rng_u32(key, index, step, round, client) / 2^32 >= p
 * with index = (t - off[s]) * D + j and (step, round, client) = rng[s]. A segment has < 2^32
 * elements. rng (S, 3) i32, read as u32. x, y (N, D) (H). */
typedef struct {
    wk_tensor y, x, rng;
    wk_segs segs;
    uint64_t key;
    float p;
    bool accumulate;
} wk_dropout_args;

/* ---- norm, activation, attention ---- */

/* z = x (+ residual);  y = (z - mean) * rstd * weight + bias, over each row, biased variance.
 * x (N, D), residual (N, D) opt, z (N, D) opt (H); weight, bias (D) → y (N, D) (h); mean, rstd (N)
 * opt, with z what the backward needs. z may be x. When z is rounded to bfloat16, y, mean and rstd
 * come from the rounded z. Ba, Kiros, Hinton 2016. */
typedef struct {
    wk_tensor y, z, mean, rstd, x, residual, weight, bias;
    float eps;
} wk_layernorm_fwd_args;

/* dz = rstd * (g - mean(g) - xhat * mean(g * xhat)), g = dy * weight, xhat = (z - mean) * rstd.
 * z and its branches (x, residual) share dz. dz may be dy. The norm's own parameters are frozen.
 * dz, dy, z (N, D) (h). */
typedef struct {
    wk_tensor dz, dy, z, mean, rstd, weight;
} wk_layernorm_bwd_args;

/* y = act(x); (N, D) (H). GELU is the erf form, GELU_TANH the tanh form. y may be x. */
typedef struct {
    wk_tensor y, x;
    wk_act act;
} wk_act_fwd_args;

/* dx = dy * act'(x), x being the input of act_fwd; (N, D) (H). dx may be dy. */
typedef struct {
    wk_tensor dx, dy, x;
    wk_act act;
} wk_act_bwd_args;

#define WK_MAX_HEAD_DIM 256

/* o = softmax(scale * q k^T) v within each sequence and head; causal: position i sees j <= i.
 * q (T, H*Dh)  k, v (T, Hkv*Dh)  seq_off (Q+1) i32  →  o (T, H*Dh), these (H); lse (T, H), the log
 * of the row's sum of exponentials. H is a multiple of Hkv (grouped heads), Dh <= WK_MAX_HEAD_DIM.
 * Rows outside all sequences are zeroed in o and left as they are in lse. Dao 2023
 * (FlashAttention-2) for the blocking. */
typedef struct {
    wk_tensor o, lse, q, k, v, seq_off;
    int32_t heads, kv_heads, max_len; /* max_len >= the longest sequence */
    float scale;
    bool causal;
} wk_attn_fwd_args;

/* Gradients of attn_fwd; p is recomputed from lse. dq, dk, dv shaped like q, k, v, overwritten;
 * rows outside all sequences are zeroed. All but lse (H). */
typedef struct {
    wk_tensor dq, dk, dv, d_o, q, k, v, o, lse, seq_off;
    int32_t heads, kv_heads, max_len;
    float scale;
    bool causal;
} wk_attn_bwd_args;

/* ---- loss ---- */

/* loss[i] = -log softmax(logits[i])[label[i]];  dlogits[i] = weight[i] * (softmax - onehot).
 * logits (N, C)  label (N) i32  weight (N)  →  loss (N)  dlogits (N, C) opt, may be logits.
 * A negative label is ignored: loss 0, gradient 0. */
typedef struct {
    wk_tensor loss, dlogits, logits, label, weight;
} wk_softmax_xent_args;

/* loss[i] = mean over C of (pred - target)^2;  dpred = weight[i] * 2/C * (pred - target).
 * pred, target (N, C) → loss (N), dpred (N, C) opt, may be pred. */
typedef struct {
    wk_tensor loss, dpred, pred, target, weight;
} wk_mse_args;

/* out[slot] += sum over the segment's rows, in order, of weight[i] * x[i], in double.
 * x, weight (N) → out (K) f64. */
typedef struct {
    wk_tensor out, x, weight;
    wk_segs segs;
} wk_seg_sum_args;

/* ---- local optimizers over all slots ---- */

/* A slot takes part when step[k] > 0 and dead[k] == 0; the three ops leave others untouched. */
typedef struct wk_slot_state {
    wk_tensor step;   /* (K) i32: 1-based, for bias correction; 0: not stepping now */
    wk_tensor lr;     /* (K) f32 */
    wk_tensor sqnorm; /* (K) f64: squared gradient norm, from grad_norm */
    wk_tensor dead;   /* (K) i32: set once a slot's gradient is not finite; no op clears it */
} wk_slot_state;

/* g[k] += prox_mu * (w[k] - anchor) when prox_mu > 0 (FedProx, Li et al. 2020, eq. 2);
 * sqnorm[k] = sum g[k]^2 in double, in chunks of fixed size; dead[k] = 1 when it is not finite.
 * w, g (K, P), anchor (P) opt. */
typedef struct {
    wk_tensor g, w, anchor;
    wk_slot_state slots;
    float prox_mu;
} wk_grad_norm_args;

/* How far slots have drifted from an anchor: delta = w[k] - anchor.
 *   sqnorm[k]       = |delta|^2, in double, in chunks of fixed size
 *   sketch[k, j, b] = sum of sign_j(i) * delta_i over the i with bucket_j(i) = b, in float32
 * bucket_j(i) = (i mod W) xor rot[i / W, j];  sign_j(i) is -1 where bit j of sign[i] is set,
 * else 1. The AMS sketch (Alon, Matias, Szegedy 1999) of FDA in buckets that need no atomics:
 * within a block of W numbers no two meet, and rows j are independent when rot and sign are. anchor
 * (P); sqnorm (K) f64; sketch (K, R, W) opt with sign (P) u8 and rot (ceil(P/W), R) u8; R <= 8. */
#define WK_SKETCH_WIDTH 256 /* W */
typedef struct wk_drift_operands {
    wk_tensor anchor, sqnorm, sketch, sign, rot;
} wk_drift_operands;

/* The drift of the slots that take part, from w (K, P); others keep their sqnorm and sketch. */
typedef struct {
    wk_tensor w;
    wk_slot_state slots;
    wk_drift_operands drift;
} wk_drift_args;

/* Loshchilov, Hutter 2019, as torch.optim.AdamW; clipping as torch.nn.utils.clip_grad_norm_:
 *   c   = clip > 0 ? min(1, clip / (sqrt(sqnorm[k]) + 1e-6)) : 1
 *   g'  = c*g
 *   w  *= 1 - lr*weight_decay
 *   m   = beta1*m + (1-beta1)*g'
 *   v   = beta2*v + (1-beta2)*g'^2
 *   w  -= lr / (1 - beta1^step) * m / (sqrt(v) / sqrt(1 - beta2^step) + eps)
 * w, g, m, v (K, P). With drift.anchor given, also what drift would then compute, in the same pass
 * and to the same bits. */
typedef struct {
    wk_tensor w, g, m, v;
    wk_slot_state slots;
    wk_drift_operands drift; /* opt */
    float beta1, beta2, eps, weight_decay, clip;
} wk_adamw_step_args;

/* As torch.optim.SGD, with the c of adamw_step:
 *   g'  = c*g + weight_decay*w
 *   m   = step > 1 ? momentum*m + g' : g'
 *   w  -= lr * (nesterov ? g' + momentum*m : m)
 * w, g (K, P); m (K, P) opt when momentum = 0, where it is g'. */
typedef struct {
    wk_tensor w, g, m;
    wk_slot_state slots;
    float momentum, weight_decay, clip;
    bool nesterov;
} wk_sgd_step_args;

/* ---- the variance between clients: every row by itself ---- */

/* Squared distances from a point, range by range:
 *   out[k, s] = sum over i in [off[s], off[s+1]) of (w[k, i] - center[i])^2, in double.
 * w (K, P), center (P) f32 or f64, off (S+1) i32 ascending, off[S] <= P → out (K, S) f64. The order
 * of a sum depends on the range's length alone. */
typedef struct {
    wk_tensor out, w, center, off;
} wk_range_sqdist_args;

/* out[k] = sum of dir[i] * (w[k, i] - anchor[i]), in double.
 * w (K, P), anchor, dir (P) → out (K) f64. */
typedef struct {
    wk_tensor out, w, anchor, dir;
} wk_project_args;

/* A sketch by tables, of any width (Charikar, Chen, Farach-Colton 2002):
 *   sketch[k, j, b] = sum over n in [start[j, b], start[j, b+1]) of
 *                     +-scale[i] * (w[k, i] - anchor[i]),  entry[j, n] = 2 i + (1 for minus).
 * w (K, P), P < 2^30, anchor (P), scale (P) opt, entry (R, N) i32 ascending in a bucket, start
 * (R, M+1) i32 ascending with start[j, M] <= N → sketch (K, R, M). Summed in double.
 *
 * bucket (R, P) i32 opt is the same table by number, for those that scatter: 2 b + (1 for minus),
 * and 2 M for a number that no entry names. Tables are the engine's own and are trusted: an op does
 * not look whether their numbers are inside. */
typedef struct {
    wk_tensor sketch, w, anchor, scale, entry, start, bucket;
} wk_table_sketch_args;

/* ---- federation ---- */

/* acc += sum over k of weight[k] * (w[k] - anchor), products in double, the sum exact
 * (exact_sum.h): the order of updates and who adds which do not change it. Rows of weight 0 are not
 * looked at. acc (2, P) i64: high and low words; w (K, P), anchor (P), weight (K) f64. Products
 * must be finite and below WK_SUM_LIMIT; else their element of acc is undefined. */
typedef struct {
    wk_tensor acc, w, anchor, weight;
} wk_update_add_args;

/* y = base + what acc holds, in double. acc (2, P) i64, base (P) opt → y (P) f64. */
typedef struct {
    wk_tensor y, acc, base;
} wk_sum_read_args;

/* y[p] = sum over n of weight[n] * x[n, p], in order of n, in double.
 * x (N, P)  weight (N) f64  →  y (P) f64. */
typedef struct {
    wk_tensor y, x, weight;
} wk_weighted_sum_args;

/* y[p] = mean of those of x[0 … N-1, p] whose rank lies in [lo, hi): the median for lo = (N-1)/2,
 * hi = N/2 + 1, the trimmed mean for lo = b, hi = N - b. Ranks ascend from 0; equal values rank by
 * n, NaN above everything. Summed by rank, in double. x (N, P), N <= WK_MAX_RANKED → y (P).
 * Yin, Chen, Ramchandran, Bartlett 2018. */
#define WK_MAX_RANKED 4096
typedef struct {
    wk_tensor y, x;
    int64_t lo, hi;
} wk_order_stat_args;

/* y[i] += sigma * normal, drawn as cuRAND's curand_normal4 does (Box, Muller 1958): the Philox
 * block i/4 of (key, step, round, client) has words v; with u = v[0] * 2^-32 + 2^-33 and
 * a = (v[1] * 2^-32 + 2^-33) * 2 pi, elements 0 and 1 are sqrt(-2 ln u) * (sin a, cos a), and v[2],
 * v[3] give elements 2 and 3. y (P). */
typedef struct {
    wk_tensor y;
    uint64_t key;
    uint32_t step, round, client;
    float sigma;
} wk_noise_args;

typedef enum wk_server_kind {
    WK_SERVER_AVG = 0,  /* x += lr * delta */
    WK_SERVER_AVGM = 1, /* m = beta1*m + delta; x += lr * m */
    WK_SERVER_ADAGRAD = 2,
    WK_SERVER_ADAM = 3,
    WK_SERVER_YOGI = 4,
} wk_server_kind;

/* The FedOpt family (Reddi et al. 2021). Below, delta stands for delta_scale * delta, the mean
 * update, and d2 for its square. Adagrad, Adam and Yogi:
 *   m = beta1*m + (1-beta1)*delta
 *   v = v + d2                                Adagrad
 *       beta2*v + (1-beta2)*d2                Adam
 *       v - (1-beta2)*d2*sign(v - d2)         Yogi
 *   x = x*(1 - lr*weight_decay) + lr * mhat / (sqrt(vhat) + tau)
 * with mhat = m/(1-beta1^step), vhat = v/(1-beta2^step) when bias_correction (Adam, Yogi), else m
 * and v. Avg and AvgM are as above and have no decay.
 * x (P) f32; delta (P) f64; m, v (P) f64 as the kind needs (Adagrad without m: delta itself).
 * Arithmetic in double. step is 1-based. */
typedef struct {
    wk_tensor x, delta, m, v;
    wk_server_kind kind;
    int64_t step;
    double delta_scale, lr, beta1, beta2, tau, weight_decay;
    bool bias_correction;
} wk_server_step_args;

/* ---- table ---- */

typedef struct wk_ops {
#define X(op) weft_status (*op)(wk_dev * dev, const wk_##op##_args *a);
    WK_OPS(X)
#undef X
    /* Bytes that weight_pack wants in weight->fwd (dx = false) or weight->dx (dx = true) for a W
     * of this dtype; 0 when the backend computes that product from the plain copy. */
    size_t (*weight_pack_bytes)(wk_dev *dev, int64_t o, int64_t d, wk_dtype dtype, bool dx);
} wk_ops;

size_t wk_weight_pack_bytes(wk_dev *dev, int64_t o, int64_t d, wk_dtype dtype, bool dx);

#define X(op) WEFT_STATUS_OP(op)
#define WEFT_STATUS_OP(op)                                                                         \
    __attribute__((warn_unused_result)) weft_status wk_##op(wk_dev *dev, const wk_##op##_args *a);
WK_OPS(X)
#undef WEFT_STATUS_OP
#undef X

static inline const char *wk_op_name(int index) {
    static const char *const names[] = {
#define X(op) #op,
        WK_OPS(X)
#undef X
    };
    return index >= 0 && index < (int)(sizeof names / sizeof *names) ? names[index] : "?";
}

#ifdef __cplusplus
}
#endif
#endif
