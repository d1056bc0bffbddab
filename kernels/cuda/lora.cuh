/* What the kernels of the per-client linears share: their arguments, tiles in shared memory, and
 * float factors on the tensor cores.
 *
 * Precision. Where an operand of a product is bf16, products run on the tensor cores, and a float
 * factor enters as two bf16 terms, hi + lo, which hold it to 2^-17 of its size. Of two such factors
 * lo * lo is left out: another 2^-16. So a product of bf16 and float is within 2^-17 = 7.7e-6 of
 * its size and one of two floats within 2^-15 = 3.1e-5; sums come out within 3e-6 of the largest
 * (tests/simt/test_lora.c). What a bf16 engine loses is what it rounds on store. Factors beyond the
 * finite bf16 numbers (3.39e38) give NaN. Where all operands are float, products are float (FFMA)
 * and sums are in order of k. */
#ifndef CUDA_LORA_CUH
#define CUDA_LORA_CUH

#include "kernels/cuda/segs.cuh"

#define LORA_THREADS 128
#define LORA_WARPS   (LORA_THREADS / WARP)

/* out[t, j] = alpha * sum over i < k of in[t, i] * M(i, j) + bias[j], or +=, for j < n: the forward
 * product, M(i, j) = m[j * m_row + i], or the gradient of its input, M(i, j) = m[i * m_row + j]. */
struct seg_product {
    const void *in;
    void *out;
    const float *m, *bias; /* bias NULL: none */
    const int32_t *off, *slot;
    int64_t in_ld, out_ld, m_ld, m_row, bias_ld;
    int n, k, segs;
    float alpha;
    bool accumulate;
};

/* The gradient of m: for w < wide and n < narrow,
 *   dm[slot, w * wide_step + n * narrow_step] += alpha * sum over rows t of W[t, w] * N[t, n]
 * where W and N are dy and x in one order or the other. A part of dm is a gradient too. */
struct seg_gradient {
    const void *w, *n;
    float *dm;
    float *part; /* sums of chunks, part_ld floats apart, elements as far apart as stated */
    const int32_t *off, *slot;
    int64_t w_ld, n_ld, dm_ld, wide_step, narrow_step;
    int64_t part_ld, part_wide_step, part_narrow_step;
    int wide, narrow, segs;
    float alpha;
};

/* Launchers, by the precision of the products; `aligned`: `in` and m are so for 16-byte copies.
 * They choose a kernel by widths, dtypes and alignment, never by numbers of rows or segments. */
void lora_mma_product(wk_dev *dev, const seg_product &p, int64_t rows, wk_dtype in, wk_dtype out,
                      bool forward, bool aligned);
void lora_f32_product(wk_dev *dev, const seg_product &p, int64_t rows, bool forward, bool aligned);

extern "C" weft_status cuda_seg_linear_dw(wk_dev *dev, const wk_seg_linear_dw_args *a);

/* ---- tiles ---- */

/* A tile of ROWS x COLS elements to shared memory, rows LD apart there and `ld` apart in memory, of
 * which (rows, cols) exist; the others become zeros, and are not read. Asynchronous when VEC, which
 * needs 16-byte aligned rows and cols in whole 16 bytes. By all threads of the block. */
template <bool VEC, int ROWS, int COLS, int LD, class T>
WK_DEVICE void load_tile(T *to, const T *from, int64_t ld, int rows, int cols) {
    constexpr int unit = VEC ? 16 / (int)sizeof(T) : 1, units = COLS / unit;
    static_assert(LORA_THREADS % units == 0 && LD % unit == 0, "whole rows at a time, whole units");
    constexpr int step = LORA_THREADS / units; /* rows at a time */
    const int row0 = (int)threadIdx.x / units, col = (int)threadIdx.x % units * unit;
    from += row0 * ld + col;
    to += row0 * LD + col;
    if (col >= cols) rows = 0;
#pragma unroll
    for (int i = 0; i < (ROWS + step - 1) / step; i++) {
        const int row = row0 + i * step;
        if (ROWS % step != 0 && row >= ROWS) break;
        if (VEC) {
            cp_async16(to + i * step * LD, from, row < rows);
            from += step * ld;
        } else {
            T value;
            set(value, 0.0f);
            if (row < rows) value = from[i * step * ld];
            to[i * step * LD] = value;
        }
    }
}

/* ---- factors ---- */

/* Two floats as hi + lo in registers of two bf16. */
WK_DEVICE void split_bf16(float x, float y, uint32_t &hi, uint32_t &lo) {
    hi = pack_bf16(x, y);
    lo = pack_bf16(x - __uint_as_float(hi << 16), y - __uint_as_float(hi & 0xffff0000u));
}

/* Two elements a register, of tiles in shared memory; a bf16 has no lo. */
WK_DEVICE void pair(float x, float y, uint32_t &hi, uint32_t &lo) {
    split_bf16(x, y, hi, lo);
}
WK_DEVICE void pair(bf16 x, bf16 y, uint32_t &hi, uint32_t &lo) {
    hi = ((uint32_t)__bfloat16_as_ushort(y) << 16) | (uint32_t)__bfloat16_as_ushort(x);
    lo = 0;
}
template <class T> struct has_lo {
    static constexpr bool value = true;
};
template <> struct has_lo<bf16> {
    static constexpr bool value = false;
};

/* N elements, floats, to y, which is aligned for them: 16 bytes or one element. */
WK_DEVICE void put(float *y, const float (&v)[4]) {
    store(y, v);
}
WK_DEVICE void put(bf16 *y, const float (&v)[8]) {
    uint32_t x[4];
#pragma unroll
    for (int i = 0; i < 4; i++) x[i] = pack_bf16(v[2 * i], v[2 * i + 1]);
    store_global16(y, x);
}
template <class T> WK_DEVICE void put(T *y, const float (&v)[1]) {
    set(*y, v[0]);
}

/* d += a b with the terms that A and B have. */
template <class A, class B>
WK_DEVICE void mma_terms(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&a_lo)[4],
                         const uint32_t (&b)[2], const uint32_t (&b_lo)[2]) {
    mma_m16n8k16(d, a, b);
    if (has_lo<B>::value) mma_m16n8k16(d, a, b_lo);
    if (has_lo<A>::value) mma_m16n8k16(d, a_lo, b);
}

#endif
