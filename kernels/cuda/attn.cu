/* Packed attention: the two ops. They choose the kernels by shape, dtype and alignment, never by
 * the pack; each kernel then takes the sequences whose length is its own. */
#include "kernels/cuda/attn.cuh"

/* ---- rows outside all sequences ---- */

template <class T> __device__ void zero_row(const attn_rows<T> &y, int64_t row, int64_t width) {
    for (int64_t j = threadIdx.x; j < width; j += blockDim.x) set(y.data[row * y.ld + j], 0.0f);
}

template <class T>
__global__ void attn_zero_outside_k(attn_rows<T> x, attn_rows<T> y, attn_rows<T> z, int64_t x_width,
                                    int64_t width, int64_t rows, const int32_t *off, int64_t seqs) {
    const int64_t before = off[0] < rows ? off[0] : rows, behind = off[seqs];
    const int64_t outside = before + (behind < rows ? rows - behind : 0);
    for (int64_t i = blockIdx.x; i < outside; i += gridDim.x) {
        const int64_t row = i < before ? i : behind + i - before;
        zero_row(x, row, x_width);
        if (y.data) zero_row(y, row, width);
        if (z.data) zero_row(z, row, width);
    }
}

template <class T>
static void zero_outside(wk_dev *dev, wk_tensor x, wk_tensor y, wk_tensor z, wk_tensor seq_off) {
    const int64_t rows = x.dim[0], most = 2 * cuda_lane_of(dev)->sms;
    if (rows == 0) return;
    LAUNCH(dev, (attn_zero_outside_k<T>), dim3((unsigned)(rows < most ? rows : most)), 256, 0,
           attn_rows<T>{(T *)x.data, x.ld}, attn_rows<T>{(T *)y.data, y.ld},
           attn_rows<T>{(T *)z.data, z.ld}, wk_row_numel(x), wk_row_numel(y), rows,
           (const int32_t *)seq_off.data, seq_off.dim[0] - 1);
}

/* ---- the ops ---- */

template <class T> static attn_rows<T> rows_of(wk_tensor t) {
    return {(T *)t.data, t.ld};
}

template <class T, class Args> static attn_call<T> call_of(const Args *a) {
    attn_call<T> c = {};
    c.deal.off = (const int32_t *)a->seq_off.data;
    c.deal.seqs = (int32_t)(a->seq_off.dim[0] - 1);
    c.deal.shortest = 1;
    c.q = rows_of<const T>(a->q);
    c.k = rows_of<const T>(a->k);
    c.v = rows_of<const T>(a->v);
    c.o = rows_of<T>(a->o);
    c.lse = (float *)a->lse.data;
    c.lse_ld = a->lse.ld;
    c.heads = a->heads;
    c.group = a->heads / a->kv_heads;
    c.width = (int32_t)(a->q.dim[1] / a->heads);
    c.scale = a->scale;
    c.causal = a->causal;
    return c;
}

/* Whether the tensor-core kernels can take the call: they copy 16 bytes at a time. */
template <class Args> static bool tensor_cores(const Args *a) {
    return a->q.dtype == WK_BF16 && attn_has_width(a->q.dim[1] / a->heads) &&
           can_vector(a->q, 8) && can_vector(a->k, 8) && can_vector(a->v, 8) &&
           can_vector(a->o, 8);
}

template <class Args> static bool empty(const Args *a) {
    return a->q.dim[0] == 0 || a->q.dim[1] == 0 || a->seq_off.dim[0] < 2 || a->max_len == 0;
}

static weft_status cuda_attn_fwd(wk_dev *dev, const wk_attn_fwd_args *a) {
    const int64_t rows = a->q.dim[0];
    WITH_DTYPE(a->o.dtype, T, zero_outside<T>(dev, a->o, {}, {}, a->seq_off));
    if (empty(a)) return cuda_launched(dev, "attn_fwd");
    if (tensor_cores(a)) {
        attn_fwd_tensor(dev, call_of<bf16>(a), rows, a->max_len);
    } else {
        WITH_DTYPE(a->q.dtype, T, attn_fwd_plain<T>(dev, call_of<T>(a), rows, a->max_len));
    }
    return cuda_launched(dev, "attn_fwd");
}

template <class T> static attn_call<T> backward_of(const wk_attn_bwd_args *a) {
    attn_call<T> c = call_of<T>(a);
    c.d_o = rows_of<const T>(a->d_o);
    c.dq = rows_of<T>(a->dq);
    c.dk = rows_of<T>(a->dk);
    c.dv = rows_of<T>(a->dv);
    return c;
}

/* One float for each row and head: in the scratch, head by head, or when that is too small in the
 * first four bytes of the head's dq, which is written last. */
static void place_delta(wk_dev *dev, attn_call<bf16> &c, int64_t rows) {
    const cuda_lane *lane = cuda_lane_of(dev);
    const bool fits = (uint64_t)rows * (uint64_t)c.heads <= lane->scratch_bytes / sizeof(float);
    c.delta = fits ? (float *)lane->scratch : (float *)c.dq.data;
    c.delta_row = fits ? 1 : c.dq.ld / 2;
    c.delta_head = fits ? rows : c.width / 2;
}

static weft_status cuda_attn_bwd(wk_dev *dev, const wk_attn_bwd_args *a) {
    const int64_t rows = a->q.dim[0];
    WITH_DTYPE(a->dq.dtype, T, zero_outside<T>(dev, a->dq, a->dk, a->dv, a->seq_off));
    if (empty(a)) return cuda_launched(dev, "attn_bwd");
    if (tensor_cores(a) && can_vector(a->d_o, 8) && can_vector(a->dq, 8) && can_vector(a->dk, 8) &&
        can_vector(a->dv, 8)) {
        attn_call<bf16> c = backward_of<bf16>(a);
        place_delta(dev, c, rows);
        const bool split = attn_bwd_short(dev, c);
        c.deal.shortest = split ? ATTN_SHORT + 1 : 1;
        if (!split || a->max_len > ATTN_SHORT) attn_bwd_tensor(dev, c, rows, a->max_len);
    } else {
        WITH_DTYPE(a->q.dtype, T, attn_bwd_plain<T>(dev, backward_of<T>(a), rows, a->max_len));
    }
    return cuda_launched(dev, "attn_bwd");
}

void cuda_fill_attn(wk_ops *table) {
    table->attn_fwd = cuda_attn_fwd;
    table->attn_bwd = cuda_attn_bwd;
}
