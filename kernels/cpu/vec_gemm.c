/* Our own GEMM for frozen weights: B packed once into column panels, rows of A used where they lie.
 * Tasks are blocks of rows times groups of panels; the split follows the number of rows and
 * threads, which the bits of a number cannot notice (vec_tile.h).
 *
 * bfloat16 operands are multiplied as pairs along k where the instruction set can (TILE_PAIRS).
 * Elsewhere B is packed as float32 and the rows of A are widened, block by block, as they are used.
 */
#include "kernels/cpu/vec_tile.h"

#define BLOCK_ROWS 96

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

/* Words of a row of A or a column of B. */
static int64_t words(int64_t k, bool half) {
    return TILE_PAIRS && half ? cpu_ceil_div(k, 2) : k;
}

static size_t bytes(int64_t n, int64_t k, wk_dtype dtype) {
    return (size_t)(cpu_ceil_div(n, TILE_COLS) * TILE_COLS * words(k, dtype == WK_BF16)) *
           sizeof(cpu_word);
}

/* Word l of a row x of k bfloat16, `step` apart; zero beyond its end. */
VEC_INLINE uint32_t half_word(const uint16_t *x, int64_t step, int64_t l, int64_t k) {
    if (!TILE_PAIRS) return (uint32_t)x[l * step] << 16;
    const uint32_t high = 2 * l + 1 < k ? x[(2 * l + 1) * step] : 0;
    return high << 16 | x[2 * l * step];
}

/* The panel of columns [first, first + width) of B; column j of B is a row of w when transposed. */
static void pack_half(uint32_t *panel, wk_tensor w, int64_t first, int64_t width, int64_t k,
                      bool transposed) {
    const int64_t step = transposed ? 1 : w.ld, next = transposed ? w.ld : 1;
    const uint16_t *x = (const uint16_t *)w.data + first * next;
    for (int64_t l = 0; l < words(k, true); l++, panel += TILE_COLS)
        for (int64_t j = 0; j < TILE_COLS; j++)
            panel[j] = j < width ? half_word(x + j * next, step, l, k) : 0;
}

static void pack(wk_dev *dev, void *packed, wk_tensor w, bool transposed) {
    const int64_t n = transposed ? w.dim[0] : w.dim[1], k = transposed ? w.dim[1] : w.dim[0];
    const int64_t panels = cpu_ceil_div(n, TILE_COLS), size = TILE_COLS * words(k, is_half(w));
    CPU_PARALLEL_FOR(cpu_threads(dev, n * k))
    for (int64_t p = 0; p < panels; p++) {
        float *panel = (float *)packed + p * size;
        const int64_t first = p * TILE_COLS, width = cpu_min(TILE_COLS, n - first);
        if (is_half(w))
            pack_half((uint32_t *)packed + p * size, w, first, width, k, transposed);
        else if (transposed)
            cpu_panel_pack_transposed(panel, TILE_COLS, cpu_row(w, first), w.ld, k, width);
        else
            cpu_panel_pack(panel, TILE_COLS, (const float *)w.data + first, w.ld, k, width);
    }
}

/* y = (sum + bias) + residual, or y += sum, for a block of one panel. */
VEC_INLINE void store_panel(const cpu_gemm_call *g, const float *sum, int64_t row, int64_t rows,
                            int64_t col, bool half) {
    const bool biased = wk_given(g->bias), residual = wk_given(g->residual);
    const int64_t width = cpu_min(TILE_COLS, g->n - col);
    const hid bias = biased ? hid_row(g->bias, 0, col, half) : (hid){.half = half};
    for (int64_t i = 0; i < rows; i++, sum += TILE_COLS) {
        const hid y = hid_row(g->out, row + i, col, half);
        const hid other = residual ? hid_row(g->residual, row + i, col, half) : y;
        for (int64_t j = 0; j < width; j += VL) {
            vf s = vf_load(sum + j);
            if (g->accumulate) s = hid_at(y, j, width) + s;
            if (biased) s += hid_at(bias, j, width);
            if (residual) s += hid_at(other, j, width);
            hid_put(y, j, width, s);
        }
    }
}

/* Rows of A as words, from word l on. */
typedef union a_block {
    uint32_t pair[BLOCK_ROWS * TILE_K];
    float wide[BLOCK_ROWS * TILE_K];
} a_block;

static void copy_half_rows(a_block *to, wk_tensor in, int64_t row, int64_t rows, int64_t l,
                           int64_t depth, int64_t k) {
    const uint16_t *x = wk_row_ptr(in, row);
    if (!TILE_PAIRS) {
        cpu_widen(to->wide, TILE_K, depth, x + l, in.ld, rows, depth);
        return;
    }
    for (int64_t i = 0; i < rows; i++, x += in.ld)
        for (int64_t j = 0; j < depth; j++) to->pair[i * TILE_K + j] = half_word(x, 1, l + j, k);
}

/* Pairs are read where they lie when rows consist of whole ones. */
static bool lies_in_words(wk_tensor in, int64_t k) {
    return !is_half(in) || (TILE_PAIRS && k % 2 == 0 && in.ld % 2 == 0);
}

static void run(wk_dev *dev, const cpu_gemm_call *g) {
    const bool half = is_half(g->in), in_place = lies_in_words(g->in, g->k);
    const int64_t m = g->in.dim[0], k = words(g->k, half), numbers = TILE_PAIRS && half ? 2 : 1;
    const int64_t blocks = cpu_ceil_div(m, BLOCK_ROWS), panels = cpu_ceil_div(g->n, TILE_COLS);
    int64_t group = 8; /* panels of one task; fewer when rows alone do not feed the threads */
    while (group > 1 && blocks * cpu_ceil_div(panels, group) < 4 * dev->threads) group /= 2;
    const int64_t groups = cpu_ceil_div(panels, group);
    CPU_PARALLEL_FOR(cpu_product_threads(dev, m * g->n * k))
    for (int64_t task = 0; task < blocks * groups; task++) {
        float sum[BLOCK_ROWS * TILE_COLS] __attribute__((aligned(64)));
        a_block copied;
        const int64_t row = task / groups * BLOCK_ROWS, rows = cpu_min(BLOCK_ROWS, m - row);
        const int64_t first = task % groups * group, end = cpu_min(panels, first + group);
        for (int64_t p = first; p < end; p++) {
            const cpu_word *b = (const cpu_word *)g->packed + p * TILE_COLS * k;
            for (int64_t l = 0; l < k; l += TILE_K) {
                cpu_tile t = {.a = (const cpu_word *)wk_row_ptr(g->in, row) + l,
                              .a_row = g->in.ld / numbers,
                              .a_k = 1,
                              .b = b + l * TILE_COLS,
                              .b_k = TILE_COLS,
                              .c = sum,
                              .c_row = TILE_COLS,
                              .k = cpu_min(TILE_K, k - l),
                              .fresh = l == 0,
                              .pairs = numbers == 2};
                if (!in_place) {
                    copy_half_rows(&copied, g->in, row, rows, l, t.k, g->k);
                    t.a = (const cpu_word *)&copied, t.a_row = TILE_K;
                }
                cpu_tile_rows(&t, rows);
            }
            HALF_1(store_panel, half, g, sum, row, rows, p * TILE_COLS);
        }
    }
}

const cpu_gemm_kernels WK_VEC(cpu_gemm) = {
    .isa = TEXT(WK_ISA), .pairs = TILE_PAIRS, .bytes = bytes, .pack = pack, .run = run};
