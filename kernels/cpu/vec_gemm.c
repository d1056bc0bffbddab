/* Our own GEMM for frozen weights: B packed once into column panels, rows of A used where they lie.
 * Tasks are blocks of rows times groups of panels; the split follows the number of rows and
 * threads, which the bits of a number cannot notice (vec_tile.h). */
#include "kernels/cpu/vec_tile.h"

#define BLOCK_ROWS 96

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

static size_t bytes(int64_t n, int64_t k) {
    return (size_t)(cpu_ceil_div(n, TILE_COLS) * TILE_COLS * k) * sizeof(float);
}

static void pack(wk_dev *dev, void *packed, wk_tensor w, bool transposed) {
    const int64_t n = transposed ? w.dim[0] : w.dim[1], k = transposed ? w.dim[1] : w.dim[0];
    const int64_t panels = cpu_ceil_div(n, TILE_COLS);
    CPU_PARALLEL_FOR(cpu_threads(dev, n * k))
    for (int64_t p = 0; p < panels; p++) {
        float *panel = (float *)packed + p * TILE_COLS * k;
        const int64_t first = p * TILE_COLS, width = cpu_min(TILE_COLS, n - first);
        if (transposed)
            cpu_panel_pack_transposed(panel, TILE_COLS, cpu_row(w, first), w.ld, k, width);
        else
            cpu_panel_pack(panel, TILE_COLS, (const float *)w.data + first, w.ld, k, width);
    }
}

/* One row of one panel from its sums: y = (sum + bias) + residual, or y += sum. */
VEC_INLINE vf finish(vf sum, const float *bias, const float *residual, const float *y) {
    if (y) return vf_load(y) + sum;
    if (bias) sum += vf_load(bias);
    return residual ? sum + vf_load(residual) : sum;
}

static void store_panel(const cpu_gemm_call *g, const float *sum, int64_t row, int64_t rows,
                        int64_t col) {
    const bool has_bias = wk_given(g->bias), has_residual = wk_given(g->residual);
    const float *bias = has_bias ? (const float *)g->bias.data + col : NULL;
    const int64_t width = cpu_min(TILE_COLS, g->n - col);
    for (int64_t i = 0; i < rows; i++, sum += TILE_COLS) {
        float *y = cpu_row(g->out, row + i) + col;
        const float *residual = has_residual ? cpu_row(g->residual, row + i) + col : NULL;
        const float *old = g->accumulate ? y : NULL;
        if (width == TILE_COLS) {
            vf s0 = finish(vf_load(sum), bias, residual, old);
            vf s1 = finish(vf_load(sum + VL), bias ? bias + VL : NULL,
                           residual ? residual + VL : NULL, old ? old + VL : NULL);
            vf_store(y, s0);
            vf_store(y + VL, s1);
        } else {
            for (int64_t j = 0; j < width; j++) {
                float s = sum[j];
                if (old) s = old[j] + s;
                if (!old && bias) s += bias[j];
                if (!old && residual) s += residual[j];
                y[j] = s;
            }
        }
    }
}

static void run(wk_dev *dev, const cpu_gemm_call *g) {
    const int64_t m = g->in.dim[0], k = g->k;
    const int64_t blocks = cpu_ceil_div(m, BLOCK_ROWS), panels = cpu_ceil_div(g->n, TILE_COLS);
    int64_t group = 8; /* panels of one task; fewer when rows alone do not feed the threads */
    while (group > 1 && blocks * cpu_ceil_div(panels, group) < 4 * dev->threads) group /= 2;
    const int64_t groups = cpu_ceil_div(panels, group);
    CPU_PARALLEL_FOR(cpu_threads(dev, m * g->n * k))
    for (int64_t task = 0; task < blocks * groups; task++) {
        float sum[BLOCK_ROWS * TILE_COLS] __attribute__((aligned(64)));
        const int64_t row = task / groups * BLOCK_ROWS, rows = cpu_min(BLOCK_ROWS, m - row);
        const int64_t first = task % groups * group, end = cpu_min(panels, first + group);
        for (int64_t p = first; p < end; p++) {
            const float *b = (const float *)g->packed + p * TILE_COLS * k;
            for (int64_t l = 0; l < k; l += TILE_K) {
                cpu_tile t = {.a = cpu_row(g->in, row) + l,
                              .a_row = g->in.ld,
                              .a_k = 1,
                              .b = b + l * TILE_COLS,
                              .b_k = TILE_COLS,
                              .c = sum,
                              .c_row = TILE_COLS,
                              .k = cpu_min(TILE_K, k - l),
                              .fresh = l == 0};
                cpu_tile_rows(&t, rows);
            }
            store_panel(g, sum, row, rows, p * TILE_COLS);
        }
    }
}

const cpu_gemm_kernels WK_VEC(cpu_gemm) = {
    .isa = TEXT(WK_ISA), .bytes = bytes, .pack = pack, .run = run};
