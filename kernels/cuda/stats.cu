/* Statistics over clients, number by number: the weighted sum, and means of the middle ranks. */
#include "kernels/cuda/fed.cuh"

/* ---- weighted_sum ---- */

/* A thread has 4 columns (VECTOR) or one, and adds the rows in their order, each product and sum
 * rounded in double as ref does. 4 N + 8 B/param. */
template <bool VECTOR>
__global__ __launch_bounds__(THREADS) void weighted_sum_k(double *y, const float *x, int64_t ld,
                                                          const double *weight, int64_t rows,
                                                          int64_t p) {
    constexpr int WIDTH = VECTOR ? 4 : 1;
    const int64_t i = WIDTH * ((int64_t)blockIdx.x * THREADS + threadIdx.x);
    if (i >= p) return;
    double sum[WIDTH] = {};
#pragma unroll 4
    for (int64_t n = 0; n < rows; n++) {
        float v[WIDTH];
        load(v, x + n * ld + i);
        const double by = weight[n];
#pragma unroll
        for (int c = 0; c < WIDTH; c++) sum[c] = __dadd_rn(sum[c], __dmul_rn(by, (double)v[c]));
    }
    if constexpr (VECTOR)
        store4<true>(y + i, sum, 4);
    else
        y[i] = sum[0];
}

weft_status cuda_weighted_sum(wk_dev *dev, const wk_weighted_sum_args *a) {
    const int64_t rows = a->x.dim[0], p = a->x.dim[1];
    double *y = (double *)a->y.data;
    const float *x = (const float *)a->x.data;
    const double *weight = (const double *)a->weight.data;
    if (p > 0 && can_vector(a->x, 4) && (uintptr_t)a->y.data % 16 == 0)
        LAUNCH(dev, weighted_sum_k<true>, (unsigned)ceil_div(p, 4 * THREADS), THREADS, 0, y, x,
               a->x.ld, weight, rows, p);
    else if (p > 0)
        LAUNCH(dev, weighted_sum_k<false>, (unsigned)ceil_div(p, THREADS), THREADS, 0, y, x,
               a->x.ld, weight, rows, p);
    return cuda_launched(dev, "weighted_sum");
}

/* ---- order_stat ---- */

/* A float as a number whose order is the float's; NaN above everything. -0 stands before +0, which
 * no sum of double can tell. */
WK_DEVICE uint32_t rank_key(float x) {
    const uint32_t bits = __float_as_uint(x);
    if (isnan(x)) return 0xffffffffu;
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}
WK_DEVICE float of_rank_key(uint32_t key) {
    return __uint_as_float(key >> 31 ? key & 0x7fffffffu : ~key);
}

/* Sorts the rows' keys of each column of the tile: Batcher's bitonic merge (1968) in the form whose
 * first step mirrors, so that every exchange puts the smaller key into the smaller row; rows past
 * the last then hold "above everything" and need not exist. Equal keys are equal values, so that
 * the ranks of equals do not matter. */
WK_DEVICE void sort_columns(uint32_t *key, int rows, int log_columns) {
    const int columns = 1 << log_columns;
    for (int log_size = 1; 1 << (log_size - 1) < rows; log_size++)
        for (int log_step = log_size - 1; log_step >= 0; log_step--) {
            const int size = 1 << log_size, step = 1 << log_step;
            const int pairs = (rows + size - 1) / size * (size / 2);
            for (int e = (int)threadIdx.x; e < pairs * columns; e += THREADS) {
                const int pair = e >> log_columns, column = e & (columns - 1);
                const int lower = (pair >> log_step) * 2 * step + (pair & (step - 1));
                const int upper = step == size / 2 ? lower ^ (size - 1) : lower + step;
                if (upper >= rows) continue;
                uint32_t *lo = key + lower * columns + column, *hi = key + upper * columns + column;
                const uint32_t a = *lo, b = *hi;
                *lo = a < b ? a : b;
                *hi = a < b ? b : a;
            }
            __syncthreads();
        }
}

/* A tile of columns: 4 N + 4 B/param, and log(N)^2 / 2 steps over it in shared memory, so
 * arithmetic is the limit from some ten rows on. */
__global__ __launch_bounds__(THREADS) void order_stat_k(float *y, const float *x, int64_t ld,
                                                        int rows, int64_t p, int log_columns,
                                                        int lo, int hi) {
    WK_DYN_SHARED(uint32_t, key);
    const int columns = 1 << log_columns;
    const int64_t first = (int64_t)blockIdx.x << log_columns;
    for (int e = (int)threadIdx.x; e < rows * columns; e += THREADS) {
        const int64_t j = first + (e & (columns - 1));
        key[e] = j < p ? rank_key(x[(e >> log_columns) * ld + j]) : 0;
    }
    __syncthreads();
    sort_columns(key, rows, log_columns);
    const int64_t j = first + threadIdx.x;
    if ((int)threadIdx.x >= columns || j >= p) return;
    double sum = 0.0;
    for (int rank = lo; rank < hi; rank++)
        sum += (double)of_rank_key(key[rank * columns + threadIdx.x]);
    y[j] = (float)(sum / (double)(hi - lo));
}

/* Enough columns for whole 32-byte sectors and for all threads, few enough that several blocks fit
 * on a multiprocessor: rows * columns within 32 KiB, except that 8 columns are kept while one block
 * has the memory. The logarithm of their number. */
static int log_columns_of(int64_t rows, size_t smem_max) {
    int log = 6;
    const int64_t column = rows * (int64_t)sizeof(uint32_t);
    while (log > 3 && column << log > (32 << 10)) log--;
    while (log > 0 && column << log > (int64_t)smem_max) log--;
    return log;
}

weft_status cuda_order_stat(wk_dev *dev, const wk_order_stat_args *a) {
    const int64_t rows = a->x.dim[0], p = a->x.dim[1];
    const int log_columns = log_columns_of(rows, cuda_lane_of(dev)->smem_max);
    const size_t bytes = ((size_t)rows * sizeof(uint32_t)) << log_columns;
    if (bytes > 48 << 10) WK_ALLOW_SHARED(order_stat_k, bytes);
    if (p > 0)
        LAUNCH(dev, order_stat_k, (unsigned)ceil_div(p, 1 << log_columns), THREADS, bytes,
               (float *)a->y.data, (const float *)a->x.data, a->x.ld, (int)rows, p, log_columns,
               (int)a->lo, (int)a->hi);
    return cuda_launched(dev, "order_stat");
}
