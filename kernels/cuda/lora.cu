/* The per-client linears as ops: which kernel serves a call. The kernels are in lora_mma.cu,
 * lora_f32.cu (products) and lora_dw.cu (gradients). */
#include "kernels/cuda/lora.cuh"

static const float *floats(wk_tensor t) {
    return wk_given(t) ? (const float *)t.data : NULL;
}

/* Rows of every matrix of the stack begin at multiples of 16 bytes. */
static bool rows_aligned(wk_tensor m) {
    return can_vector(m, 4) && m.dim[2] % 4 == 0;
}

static bool row_aligned(wk_tensor x) {
    return can_vector(x, 16 / (int64_t)wk_dtype_size(x.dtype));
}

static void run_product(wk_dev *dev, seg_product p, wk_tensor out, wk_tensor in, wk_tensor m,
                        const wk_segs &segs, bool forward) {
    const int64_t rows = in.dim[0];
    p.in = in.data, p.in_ld = in.ld, p.k = (int)in.dim[1];
    p.out = out.data, p.out_ld = out.ld, p.n = (int)out.dim[1];
    p.m = (const float *)m.data, p.m_ld = m.ld, p.m_row = m.dim[2];
    p.off = (const int32_t *)segs.off.data, p.slot = (const int32_t *)segs.slot.data;
    p.segs = (int)segs.slot.dim[0];
    if (rows == 0 || p.segs == 0 || p.n == 0) return;
    const bool aligned = row_aligned(in) && rows_aligned(m);
    if (in.dtype == WK_F32 && out.dtype == WK_F32)
        lora_f32_product(dev, p, rows, forward, aligned);
    else
        lora_mma_product(dev, p, rows, in.dtype, out.dtype, forward, aligned);
}

static weft_status cuda_seg_linear_fwd(wk_dev *dev, const wk_seg_linear_fwd_args *a) {
    seg_product p = {};
    p.alpha = a->alpha, p.accumulate = a->accumulate;
    p.bias = floats(a->bias), p.bias_ld = a->bias.ld;
    run_product(dev, p, a->y, a->x, a->m, a->segs, true);
    return cuda_launched(dev, "seg_linear_fwd");
}

static weft_status cuda_seg_linear_dx(wk_dev *dev, const wk_seg_linear_dx_args *a) {
    seg_product p = {};
    p.alpha = a->alpha, p.accumulate = a->accumulate;
    run_product(dev, p, a->dx, a->dy, a->m, a->segs, false);
    return cuda_launched(dev, "seg_linear_dx");
}

void cuda_fill_lora(wk_ops *table) {
    table->seg_linear_fwd = cuda_seg_linear_fwd;
    table->seg_linear_dx = cuda_seg_linear_dx;
    table->seg_linear_dw = cuda_seg_linear_dw;
}
