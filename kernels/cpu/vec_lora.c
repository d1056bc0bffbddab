/* Per-client linears: LoRA factors and heads. Every client's matrix is small and different, so a
 * task packs a panel of it on its stack and runs the register tile over a block of the client's
 * rows. Blocks are counted from the segment's first row. */
#include "kernels/cpu/vec_tile.h"

#define BLOCK_ROWS 96

static int64_t longest(wk_segs segs) {
    const int32_t *off = segs.off.data;
    int64_t most = 0;
    for (int64_t s = 0; s + 1 < segs.off.dim[0]; s++)
        if (off[s + 1] - off[s] > most) most = off[s + 1] - off[s];
    return most;
}

/* Tasks are (segment, block of rows, group of panels); panels are only grouped while that leaves
 * enough tasks, since each task packs its panels anew. */
typedef struct tasks {
    int64_t segments, blocks, panels, group, groups;
} tasks;

static tasks split(const wk_dev *dev, wk_segs segs, int64_t rows, int64_t n) {
    tasks t = {.segments = segs.off.dim[0] - 1, .blocks = cpu_ceil_div(rows, BLOCK_ROWS)};
    t.panels = cpu_ceil_div(n, TILE_COLS);
    t.group = t.panels > 0 ? t.panels : 1;
    while (t.group > 1 &&
           t.segments * t.blocks * cpu_ceil_div(t.panels, t.group) < 4 * dev->threads)
        t.group = cpu_ceil_div(t.group, 2);
    t.groups = cpu_ceil_div(t.panels, t.group);
    return t;
}

/* out[t, :] = alpha * in[t, :] B[slot] + bias[slot], or +=; B = m[slot] (k, n) or its transpose. */
typedef struct product {
    wk_tensor out, in, m, bias;
    wk_segs segs;
    float alpha;
    bool accumulate, transposed;
} product;

/* The panel's sums, already times alpha, where they could not be collected in y itself. */
VEC_INLINE void store(const product *p, const float *sum, int64_t cols, int64_t row, int64_t rows,
                      const float *bias, int64_t col, int64_t width, bool half) {
    for (int64_t i = 0; i < rows; i++, sum += cols) {
        const hid y = hid_row(p->out, row + i, col, half);
        for (int64_t j = 0; j < width; j += VL) {
            vf s = vf_load(sum + j);
            if (bias) s += vf_at(bias, j, width);
            hid_put(y, j, width, p->accumulate ? hid_at(y, j, width) + s : s);
        }
    }
}

/* A block of rows that is not float32, widened. */
typedef struct widened {
    float x[BLOCK_ROWS * TILE_K] __attribute__((aligned(64)));
} widened;

static void run_block(const product *p, int64_t s, int64_t row, int64_t rows, int64_t panel) {
    float sum[BLOCK_ROWS * TILE_COLS] __attribute__((aligned(64)));
    float b[TILE_K * TILE_COLS] __attribute__((aligned(64)));
    widened in;
    const int64_t n = p->out.dim[1], k = p->in.dim[1], col = panel * TILE_COLS;
    const int64_t width = cpu_min(TILE_COLS, n - col), cols = cpu_panel_cols(width);
    const int32_t slot = ((const int32_t *)p->segs.slot.data)[s];
    const float *m = cpu_row(p->m, slot);
    const float *bias = wk_given(p->bias) ? cpu_row(p->bias, slot) + col : NULL;
    /* y is the sum: float32 of a width that fills the panel. */
    const bool direct = width == cols && !bias && !is_half(p->out);
    float *y = direct ? cpu_row(p->out, row) + col : NULL;
    for (int64_t l = 0; l < k; l += TILE_K) {
        const int64_t depth = cpu_min(TILE_K, k - l);
        if (p->transposed)
            cpu_panel_pack_transposed(b, cols, m + col * k + l, k, depth, width);
        else
            cpu_panel_pack(b, cols, m + l * n + col, n, depth, width);
        for (int64_t i = 0; p->alpha != 1.0f && i < depth * cols; i++) b[i] *= p->alpha;
        cpu_tile t = {.a = cpu_row(p->in, row) + l,
                      .a_row = p->in.ld,
                      .a_k = 1,
                      .b = b,
                      .b_k = cols,
                      .c = direct ? y : sum,
                      .c_row = direct ? p->out.ld : cols,
                      .k = depth,
                      .fresh = l == 0 && !(direct && p->accumulate)};
        if (is_half(p->in)) {
            const uint16_t *x = wk_row_ptr(p->in, row);
            cpu_widen(in.x, depth, depth, x + l, p->in.ld, rows, depth);
            t.a = in.x, t.a_row = depth;
        }
        cpu_tile_run(&t, rows, cols);
    }
    if (!direct) HALF_1(store, is_half(p->out), p, sum, cols, row, rows, bias, col, width);
}

static void run_product(wk_dev *dev, const product *p) {
    const int32_t *off = p->segs.off.data;
    const tasks t = split(dev, p->segs, longest(p->segs), p->out.dim[1]);
    const int64_t work = p->in.dim[0] * p->in.dim[1] * p->out.dim[1];
    CPU_PARALLEL_FOR(cpu_product_threads(dev, work))
    for (int64_t task = 0; task < t.segments * t.blocks * t.groups; task++) {
        const int64_t s = task / (t.blocks * t.groups), block = task / t.groups % t.blocks;
        const int64_t row = off[s] + block * BLOCK_ROWS,
                      rows = cpu_min(BLOCK_ROWS, off[s + 1] - row);
        const int64_t first = task % t.groups * t.group, end = cpu_min(t.panels, first + t.group);
        for (int64_t panel = first; rows > 0 && panel < end; panel++)
            run_block(p, s, row, rows, panel);
    }
}

static weft_status seg_linear_fwd(wk_dev *dev, const wk_seg_linear_fwd_args *a) {
    const product p = {.out = a->y,
                       .in = a->x,
                       .m = a->m,
                       .bias = a->bias,
                       .segs = a->segs,
                       .alpha = a->alpha,
                       .accumulate = a->accumulate,
                       .transposed = true};
    run_product(dev, &p);
    return WEFT_OK;
}

static weft_status seg_linear_dx(wk_dev *dev, const wk_seg_linear_dx_args *a) {
    const product p = {.out = a->dx,
                       .in = a->dy,
                       .m = a->m,
                       .segs = a->segs,
                       .alpha = a->alpha,
                       .accumulate = a->accumulate};
    run_product(dev, &p);
    return WEFT_OK;
}

/* A block of output rows of one segment's dm: A is dy read down its columns, B is x as it lies. */
static void dw_block(const wk_seg_linear_dw_args *a, int64_t s, int64_t o, int64_t height,
                     int64_t panel) {
    float sum[BLOCK_ROWS * TILE_COLS] __attribute__((aligned(64)));
    float b[TILE_K * TILE_COLS] __attribute__((aligned(64)));
    widened dy;
    const int32_t *off = a->segs.off.data;
    const int64_t first = off[s], rows = off[s + 1] - first, d = a->x.dim[1],
                  col = panel * TILE_COLS;
    const int64_t width = cpu_min(TILE_COLS, d - col), cols = cpu_panel_cols(width);
    for (int64_t l = 0; l < rows; l += TILE_K) {
        const int64_t depth = cpu_min(TILE_K, rows - l);
        const wk_tensor x = wk_cols(wk_rows(a->x, first + l, depth), col, width),
                        g = wk_cols(wk_rows(a->dy, first + l, depth), o, height);
        cpu_tile t = {.a = g.data,
                      .a_row = 1,
                      .a_k = g.ld,
                      .b = x.data,
                      .b_k = x.ld,
                      .c = sum,
                      .c_row = cols,
                      .k = depth,
                      .fresh = l == 0};
        if (is_half(g)) {
            cpu_widen(dy.x, height, height, g.data, g.ld, depth, height);
            t.a = dy.x, t.a_k = height;
        }
        if (is_half(x))
            cpu_widen(b, cols, cols, x.data, x.ld, depth, width);
        else if (width != cols)
            cpu_panel_pack(b, cols, x.data, x.ld, depth, width);
        if (is_half(x) || width != cols) t.b = b, t.b_k = cols;
        cpu_tile_run(&t, height, cols);
    }
    float *dm = cpu_row(a->dm, ((const int32_t *)a->segs.slot.data)[s]) + o * d + col;
    for (int64_t i = 0; i < height; i++)
        for (int64_t j = 0; j < width; j++) dm[i * d + j] += a->alpha * sum[i * cols + j];
}

static void dbias_block(const wk_seg_linear_dw_args *a, int64_t s, int64_t o, int64_t height) {
    const int32_t *off = a->segs.off.data;
    float sum[BLOCK_ROWS] = {0};
    for (int64_t i = off[s]; i < off[s + 1]; i++) {
        const hid dy = hid_row(a->dy, i, o, is_half(a->dy));
        for (int64_t j = 0; j < height; j++) sum[j] += hid_get(dy, j);
    }
    float *to = cpu_row(a->dbias, ((const int32_t *)a->segs.slot.data)[s]) + o;
    for (int64_t j = 0; j < height; j++) to[j] += sum[j];
}

static weft_status seg_linear_dw(wk_dev *dev, const wk_seg_linear_dw_args *a) {
    const int64_t o = a->dy.dim[1], d = a->x.dim[1];
    const int32_t *off = a->segs.off.data;
    const tasks t = split(dev, a->segs, o, d);
    CPU_PARALLEL_FOR(cpu_product_threads(dev, a->x.dim[0] * o * d))
    for (int64_t task = 0; task < t.segments * t.blocks * t.groups; task++) {
        const int64_t s = task / (t.blocks * t.groups), block = task / t.groups % t.blocks;
        if (off[s] == off[s + 1]) continue;
        const int64_t row = block * BLOCK_ROWS, height = cpu_min(BLOCK_ROWS, o - row);
        const int64_t first = task % t.groups * t.group, end = cpu_min(t.panels, first + t.group);
        if (wk_given(a->dbias) && first == 0) dbias_block(a, s, row, height);
        for (int64_t panel = first; panel < end; panel++) dw_block(a, s, row, height, panel);
    }
    return WEFT_OK;
}

void WK_VEC(cpu_fill_lora)(wk_ops *table) {
    table->seg_linear_fwd = seg_linear_fwd;
    table->seg_linear_dx = seg_linear_dx;
    table->seg_linear_dw = seg_linear_dw;
}
