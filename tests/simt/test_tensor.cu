/* Tensor-core fragments and asynchronous copies against the index formulas of the PTX ISA, written
 * here anew, and all of them together in a product of matrices; bfloat16 against tensor.h. */
#include "kernels/tensor.h"
#include "tests/simt/both.h"

/* ---- ldmatrix ---- */

enum { LD = 24 }; /* elements between rows: more than 8, each row 16-byte aligned */

/* o[0 … 127] what each lane gets of the four matrices, o[128 … 255] of their transposes. */
__global__ void ldmatrix_k(const uint16_t *x, uint32_t *o) {
    WK_SHARED(uint4, rows, [32 * LD / 8]);
    uint16_t *m = reinterpret_cast<uint16_t *>(&rows[0]);
    const unsigned lane = threadIdx.x;
    for (unsigned c = 0; c < 8; c++) m[lane * LD + c] = x[lane * 8 + c];
    __syncwarp();
    uint32_t r[4], t[4];
    ldmatrix_x4(r, m + lane * LD);
    ldmatrix_x4_trans(t, m + lane * LD);
    for (unsigned i = 0; i < 4; i++) {
        o[lane * 4 + i] = r[i];
        o[128 + lane * 4 + i] = t[i];
    }
}

static void test_ldmatrix() {
    array<uint16_t> x(4 * 8 * 8);
    array<uint32_t> o(256);
    for (int i = 0; i < 256; i++) x[i] = (uint16_t)(i * 257 + 3);
    WK_LAUNCH(ldmatrix_k, 1, 32, 0, nullptr, x.p, o.p);
    finish("ldmatrix");
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++)
            for (int half = 0; half < 2; half++) {
                const int row = lane / 4, col = lane % 4 * 2 + half, at = lane * 4 + i;
                expect("ldmatrix", at, o[at] >> 16 * half & 0xffff, x[i * 64 + row * 8 + col]);
                expect("ldmatrix.trans", at, o[128 + at] >> 16 * half & 0xffff,
                       x[i * 64 + col * 8 + row]);
            }
}

/* ---- mma ---- */

/* Fragments as memory has them: a 8, b 4, d 4 numbers a lane. */
__global__ void mma_k(const uint32_t *a, const uint32_t *b, float *d) {
    uint32_t fa[4], fb[2];
    float fd[4];
    const unsigned lane = threadIdx.x;
    for (unsigned i = 0; i < 4; i++) fa[i] = a[lane * 4 + i], fd[i] = d[lane * 4 + i];
    for (unsigned i = 0; i < 2; i++) fb[i] = b[lane * 2 + i];
    mma_m16n8k16(fd, fa, fb);
    for (unsigned i = 0; i < 4; i++) d[lane * 4 + i] = fd[i];
}

/* PTX ISA, "Matrix fragments for mma.m16n8k16 with floating point type": where element i of a
 * lane's fragment lies. */
static void place_a(int lane, int i, int *row, int *col) {
    *row = lane / 4 + ((0 <= i && i < 2) || (4 <= i && i < 6) ? 0 : 8);
    *col = lane % 4 * 2 + (i & 1) + (i < 4 ? 0 : 8);
}
static void place_b(int lane, int i, int *row, int *col) {
    *row = lane % 4 * 2 + (i & 1) + (i < 2 ? 0 : 8);
    *col = lane / 4;
}
static void place_d(int lane, int i, int *row, int *col) {
    *row = lane / 4 + (i < 2 ? 0 : 8);
    *col = lane % 4 * 2 + (i & 1);
}

static uint32_t word(float lo, float hi) {
    return wk_f32_to_bf16(lo) | (uint32_t)wk_f32_to_bf16(hi) << 16;
}

static void test_mma() {
    float a[16][16], b[16][8], d[16][8]; /* small integers, so that every sum is exact */
    array<uint32_t> fa(128), fb(64);
    array<float> fd(128);
    int r, c, r2, c2;
    for (r = 0; r < 16; r++)
        for (c = 0; c < 16; c++) a[r][c] = (float)((r * 37 + c * 11) % 23 - 11);
    for (r = 0; r < 16; r++)
        for (c = 0; c < 8; c++) b[r][c] = (float)((r * 29 + c * 17) % 19 - 9);
    for (r = 0; r < 16; r++)
        for (c = 0; c < 8; c++) d[r][c] = (float)(r * 8 + c);
    for (int lane = 0; lane < 32; lane++) {
        for (int i = 0; i < 8; i += 2) {
            place_a(lane, i, &r, &c), place_a(lane, i + 1, &r2, &c2);
            fa[lane * 4 + i / 2] = word(a[r][c], a[r2][c2]);
        }
        for (int i = 0; i < 4; i += 2) {
            place_b(lane, i, &r, &c), place_b(lane, i + 1, &r2, &c2);
            fb[lane * 2 + i / 2] = word(b[r][c], b[r2][c2]);
        }
        for (int i = 0; i < 4; i++) place_d(lane, i, &r, &c), fd[lane * 4 + i] = d[r][c];
    }
    WK_LAUNCH(mma_k, 1, 32, 0, nullptr, fa.p, fb.p, fd.p);
    finish("mma");
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++) {
            place_d(lane, i, &r, &c);
            float want = d[r][c];
            for (int k = 0; k < 16; k++) want += a[r][k] * b[k][c];
            expect("mma", lane * 4 + i, fd[lane * 4 + i], want);
        }
}

/* ---- cp.async ---- */

/* o[0]: the first group, read while the second is under way; o[1], o[2]: the second group, whose
 * second copy is not valid. */
__global__ void copies_k(const uint4 *x, const uint4 *behind, uint4 *o) {
    WK_DYN_SHARED(uint4, s);
    const unsigned t = threadIdx.x, n = blockDim.x;
    cp_async16(&s[t], &x[t]);
    cp_async_commit();
    cp_async16(&s[n + t], &x[n + t], true);
    cp_async16(&s[2 * n + t], behind, false);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    o[t] = s[n - 1 - t];
    cp_async_wait<0>();
    __syncthreads();
    o[n + t] = s[n + n - 1 - t];
    o[2 * n + t] = s[2 * n + n - 1 - t];
}

static void test_copies() {
    const unsigned n = 48;
    array<uint4> x(2 * n), o(3 * n);
    for (unsigned i = 0; i < 2 * n; i++) x[i] = make_uint4(i, i + 1000, i + 2000, i + 3000);
    WK_LAUNCH(copies_k, 1, n, 3 * n * sizeof(uint4), nullptr, x.p, x.p + 2 * n, o.p);
    finish("copies");
    for (unsigned t = 0; t < n; t++) {
        const unsigned from = n - 1 - t;
        expect("first group", t, o[t].x, from);
        expect("first group", t, o[t].w, from + 3000);
        expect("second group", t, o[n + t].y, n + from + 1000);
        expect("second group", t, o[n + t].z, n + from + 2000);
        expect("not valid", t, o[2 * n + t].x | o[2 * n + t].y, 0);
        expect("not valid", t, o[2 * n + t].z | o[2 * n + t].w, 0);
    }
}

/* ---- all together: y = x w^T, x (M, K), w (N, K) bf16, y (M, N) float, K a multiple of 32 ---- */

enum { TILE_M = 64, TILE_N = 32, TILE_K = 32, TILE_LD = TILE_K + 8 };

/* 2x2 warps of 32x16 each; the next tile is copied while this one is multiplied. */
__global__ void __launch_bounds__(128)
    product_k(const bf16 *x, const bf16 *w, float *y, int m, int n, int k) {
    WK_SHARED(uint4, x_tiles, [2 * TILE_M * TILE_LD / 8]);
    WK_SHARED(uint4, w_tiles, [2 * TILE_N * TILE_LD / 8]);
    bf16 *xs = reinterpret_cast<bf16 *>(&x_tiles[0]), *ws = reinterpret_cast<bf16 *>(&w_tiles[0]);
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    const int row0 = (int)blockIdx.y * TILE_M, col0 = (int)blockIdx.x * TILE_N;
    const int warp_row = warp / 2 * 32, warp_col = warp % 2 * 16;
    float sum[2][2][4] = {};
    const auto load = [&](int stage, int k0) {
        for (int i = (int)threadIdx.x; i < TILE_M * TILE_K / 8; i += 128) {
            const int r = i / 4, c = i % 4 * 8;
            cp_async16(xs + (stage * TILE_M + r) * TILE_LD + c, x + (row0 + r) * k + k0 + c,
                       row0 + r < m);
        }
        for (int i = (int)threadIdx.x; i < TILE_N * TILE_K / 8; i += 128) {
            const int r = i / 4, c = i % 4 * 8;
            cp_async16(ws + (stage * TILE_N + r) * TILE_LD + c, w + (col0 + r) * k + k0 + c,
                       col0 + r < n);
        }
        cp_async_commit();
    };
    load(0, 0);
    for (int k0 = 0, stage = 0; k0 < k; k0 += TILE_K, stage ^= 1) {
        if (k0 + TILE_K < k) {
            load(stage ^ 1, k0 + TILE_K);
            cp_async_wait<1>();
        } else {
            cp_async_wait<0>();
        }
        __syncthreads();
        for (int kk = 0; kk < TILE_K; kk += 16) {
            uint32_t a[2][4], b[4];
            /* Lanes 0-15 give 16 rows at kk, lanes 16-31 the same at kk+8; for w lanes 0-7 and
             * 8-15 give 8 rows at kk and kk+8, and so on for the next 8. */
            for (int i = 0; i < 2; i++)
                ldmatrix_x4(a[i], xs + (stage * TILE_M + warp_row + i * 16 + lane % 16) * TILE_LD +
                                      kk + lane / 16 * 8);
            ldmatrix_x4(b, ws + (stage * TILE_N + warp_col + lane / 16 * 8 + lane % 8) * TILE_LD +
                               kk + lane / 8 % 2 * 8);
            for (int j = 0; j < 2; j++) {
                const uint32_t half[2] = {b[2 * j], b[2 * j + 1]};
                for (int i = 0; i < 2; i++) mma_m16n8k16(sum[i][j], a[i], half);
            }
        }
        __syncthreads();
    }
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            for (int e = 0; e < 4; e++) {
                const int r = row0 + warp_row + i * 16 + lane / 4 + e / 2 * 8;
                const int c = col0 + warp_col + j * 8 + lane % 4 * 2 + e % 2;
                if (r < m && c < n) y[r * n + c] = sum[i][j][e];
            }
}

static void test_product(int m, int n, int k) {
    array<bf16> x((size_t)(m * k)), w((size_t)(n * k));
    array<float> y((size_t)(m * n));
    for (int i = 0; i < m * k; i++) x[i] = __float2bfloat16((float)(i * 7 % 31 - 15));
    for (int i = 0; i < n * k; i++) w[i] = __float2bfloat16((float)(i * 5 % 29 - 14));
    const dim3 grid((unsigned)((n + TILE_N - 1) / TILE_N), (unsigned)((m + TILE_M - 1) / TILE_M));
    WK_LAUNCH(product_k, grid, 128, 0, nullptr, x.p, w.p, y.p, m, n, k);
    finish("product");
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float want = 0; /* integers below 2^24: exact in any order */
            for (int e = 0; e < k; e++)
                want += __bfloat162float(x[i * k + e]) * __bfloat162float(w[j * k + e]);
            expect("product", i * n + j, y[i * n + j], want);
        }
}

/* ---- bfloat16 ---- */

__global__ void bf16_k(uint32_t step, uint32_t *o) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    const bf16 b = __float2bfloat16(__uint_as_float(i * step));
    o[2 * i] = __bfloat16_as_ushort(b);
    o[2 * i + 1] = __float_as_uint(__bfloat162float(__ushort_as_bfloat16((uint16_t)i)));
}

static void test_bf16() {
    const uint32_t n = few ? 256 : 1 << 16,
                   step = 65537; /* from every exponent, in and between ties */
    array<uint32_t> o(2 * n);
    WK_LAUNCH(bf16_k, n / 256, 256, 0, nullptr, step, o.p);
    finish("bf16");
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bits = i * step, wide = i << 16;
        float f;
        memcpy(&f, &bits, sizeof f);
        expect("to bf16", i, o[2 * i], f != f ? 0x7fff : wk_f32_to_bf16(f));
        expect("from bf16", i, o[2 * i + 1], wide);
    }
}

static void all() {
    test_ldmatrix();
    test_mma();
    test_copies();
    test_product(64, 32, 32);
    test_product(70, 45, 96);
    test_bf16();
}

int main(int argc, char **argv) {
    return run_both(all, argc, argv);
}
