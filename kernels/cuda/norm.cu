/* Layer normalisation, each row read once: it stays in registers between its sums and its result.
 * Bound by memory; the floor is a read of x (and residual) and a write of y (and z) an element
 * forward, two reads and a write backward. The parameters come from the cache.
 *
 * A lane holds 16 elements of a row of up to 512, else 32, and rows of more than 1024 have several
 * warps. What 16 warps cannot hold (above 16384) is read again for every sum. */
#include "kernels/cuda/block.cuh"

#include <math.h>

/* ---- forward ---- */

template <class T, class Y> struct norm_fwd {
    row_plan plan;
    Y *y;
    T *z;                  /* or NULL */
    float *mean, *rstd;    /* or NULL */
    const T *x, *residual; /* residual: or NULL */
    const float *weight, *bias;
    int64_t ldy, ldz, ldx, ld_residual;
    float eps;
};

template <class T> WK_DEVICE float rounded(float x) {
    T y;
    set(y, x);
    return to_float(y);
}

/* x + residual, rounded to its dtype where z keeps it. */
template <int G, int V, class T, class Y>
WK_DEVICE void read_sum(float (&v)[G][V], const norm_fwd<T, Y> &a, int64_t row, int j) {
    read_groups(v, a.x + row * a.ldx, j, a.plan);
    if (!a.residual) return;
    float more[G][V];
    read_groups(more, a.residual + row * a.ld_residual, j, a.plan);
#pragma unroll
    for (int g = 0; g < G; g++)
#pragma unroll
        for (int k = 0; k < V; k++) {
            v[g][k] += more[g][k];
            if (a.z) v[g][k] = rounded<T>(v[g][k]);
        }
}

template <int G, int V, class T, class Y>
__global__ void __launch_bounds__(ROW_WARPS *WARP) layernorm_fwd_k(norm_fwd<T, Y> a) {
    WK_SHARED(float, part, [2][ROW_WARPS]);
    const row_plan p = a.plan;
    const int64_t row = plan_row(p);
    if (row < 0) return;
    const int first = first_column<V>(p), step = column_step<V>(p), span = G * step;
    const bool held = span >= p.width;
    float v[G][V], sum = 0, squares = 0;
#pragma unroll 1
    for (int j = first; j - first < p.width; j += span) {
        read_sum(v, a, row, j);
#pragma unroll
        for (int g = 0; g < G; g++)
#pragma unroll
            for (int k = 0; k < V; k++) sum += v[g][k];
    }
    const float mean = row_sum(sum, p, part[0]) / (float)p.width;
#pragma unroll 1
    for (int j = first; j - first < p.width; j += span) {
        if (!held) read_sum(v, a, row, j);
#pragma unroll
        for (int g = 0; g < G; g++)
#pragma unroll
            for (int k = 0; k < V; k++) {
                const float d = j + g * step + k < p.width ? v[g][k] - mean : 0.0f;
                squares = fmaf(d, d, squares);
            }
    }
    const float rstd = rsqrtf(row_sum(squares, p, part[1]) / (float)p.width + a.eps);
    if (first == 0) {
        if (a.mean) a.mean[row] = mean;
        if (a.rstd) a.rstd[row] = rstd;
    }
#pragma unroll 1
    for (int j = first; j - first < p.width; j += span) {
        if (!held) read_sum(v, a, row, j);
#pragma unroll
        for (int g = 0; g < G; g++) {
            float weight[V] = {}, bias[V] = {}, y[V];
            read_group(weight, a.weight, j + g * step, p);
            read_group(bias, a.bias, j + g * step, p);
            if (a.z) write_group(a.z + row * a.ldz, j + g * step, v[g], p);
#pragma unroll
            for (int k = 0; k < V; k++) y[k] = fmaf((v[g][k] - mean) * rstd, weight[k], bias[k]);
            write_group(a.y + row * a.ldy, j + g * step, y, p);
        }
    }
}

/* ---- backward ---- */

template <class Z, class Y, class X> struct norm_bwd {
    row_plan plan;
    Z *dz;
    const Y *dy;
    const X *z;
    const float *mean, *rstd, *weight;
    int64_t ld_dz, ld_dy, ldz;
};

/* g = dy * weight and xhat, zeros behind the row's end in g. */
template <int G, int V, class Z, class Y, class X>
WK_DEVICE void read_terms(float (&g)[G][V], float (&xhat)[G][V], const norm_bwd<Z, Y, X> &a,
                          int64_t row, int j) {
    const float mean = a.mean[row], rstd = a.rstd[row];
    const int step = column_step<V>(a.plan);
    read_groups(g, a.dy + row * a.ld_dy, j, a.plan);
    read_groups(xhat, a.z + row * a.ldz, j, a.plan);
#pragma unroll
    for (int i = 0; i < G; i++) {
        float weight[V] = {};
        read_group(weight, a.weight, j + i * step, a.plan);
#pragma unroll
        for (int k = 0; k < V; k++) {
            g[i][k] *= weight[k];
            xhat[i][k] = (xhat[i][k] - mean) * rstd;
        }
    }
}

template <int G, int V, class Z, class Y, class X>
__global__ void __launch_bounds__(ROW_WARPS *WARP) layernorm_bwd_k(norm_bwd<Z, Y, X> a) {
    WK_SHARED(float, part, [2][ROW_WARPS]);
    const row_plan p = a.plan;
    const int64_t row = plan_row(p);
    if (row < 0) return;
    const int first = first_column<V>(p), step = column_step<V>(p), span = G * step;
    const bool held = span >= p.width;
    float g[G][V], xhat[G][V], sum = 0, sum_x = 0;
#pragma unroll 1
    for (int j = first; j - first < p.width; j += span) {
        read_terms(g, xhat, a, row, j);
#pragma unroll
        for (int i = 0; i < G; i++)
#pragma unroll
            for (int k = 0; k < V; k++) {
                sum += g[i][k];
                sum_x = fmaf(g[i][k], xhat[i][k], sum_x);
            }
    }
    const float mean_g = row_sum(sum, p, part[0]) / (float)p.width,
                mean_gx = row_sum(sum_x, p, part[1]) / (float)p.width, rstd = a.rstd[row];
#pragma unroll 1
    for (int j = first; j - first < p.width; j += span) {
        if (!held) read_terms(g, xhat, a, row, j);
#pragma unroll
        for (int i = 0; i < G; i++) {
            float dz[V];
#pragma unroll
            for (int k = 0; k < V; k++) dz[k] = rstd * fmaf(-xhat[i][k], mean_gx, g[i][k] - mean_g);
            write_group(a.dz + row * a.ld_dz, j + i * step, dz, p);
        }
    }
}

/* ---- launchers: per dtypes, 16 elements a lane for rows that one warp then holds, else 32 ---- */

static bool narrow(int64_t width) {
    return width <= 16 * WARP;
}

template <class T, class Y> static void fwd(wk_dev *dev, const wk_layernorm_fwd_args *a) {
    const int V = width_of<T, T>::n;
    const int64_t rows = a->x.dim[0], width = a->x.dim[1];
    const bool vector = can_vector(a->x, V) && can_vector(a->residual, V) && can_vector(a->y, V) &&
                        can_vector(a->z, V) && (uintptr_t)a->weight.data % (V * 4) == 0 &&
                        (uintptr_t)a->bias.data % (V * 4) == 0;
    const norm_fwd<T, Y> f = {plan_rows(rows, width, narrow(width) ? 16 : 32, vector),
                              (Y *)a->y.data,
                              (T *)a->z.data,
                              (float *)a->mean.data,
                              (float *)a->rstd.data,
                              (const T *)a->x.data,
                              (const T *)a->residual.data,
                              (const float *)a->weight.data,
                              (const float *)a->bias.data,
                              a->y.ld,
                              a->z.ld,
                              a->x.ld,
                              a->residual.ld,
                              a->eps};
    if (rows == 0 || width == 0) return;
    const dim3 block = plan_block(f.plan);
    if (narrow(width))
        LAUNCH(dev, (layernorm_fwd_k<16 / V, V, T, Y>), plan_grid(f.plan), block, 0, f);
    else
        LAUNCH(dev, (layernorm_fwd_k<32 / V, V, T, Y>), plan_grid(f.plan), block, 0, f);
}

static weft_status cuda_layernorm_fwd(wk_dev *dev, const wk_layernorm_fwd_args *a) {
    WITH_DTYPE(a->x.dtype, T, WITH_DTYPE(a->y.dtype, Y, fwd<T, Y>(dev, a)));
    return cuda_launched(dev, "layernorm_fwd");
}

template <class Z, class Y, class X> static void bwd(wk_dev *dev, const wk_layernorm_bwd_args *a) {
    const int V = sizeof(Z) == 2 ? width_of<Y, X>::n : 4;
    const int64_t rows = a->dy.dim[0], width = a->dy.dim[1];
    const bool vector = can_vector(a->dz, V) && can_vector(a->dy, V) && can_vector(a->z, V) &&
                        (uintptr_t)a->weight.data % (V * 4) == 0;
    const norm_bwd<Z, Y, X> f = {plan_rows(rows, width, narrow(width) ? 16 : 32, vector),
                                 (Z *)a->dz.data,
                                 (const Y *)a->dy.data,
                                 (const X *)a->z.data,
                                 (const float *)a->mean.data,
                                 (const float *)a->rstd.data,
                                 (const float *)a->weight.data,
                                 a->dz.ld,
                                 a->dy.ld,
                                 a->z.ld};
    if (rows == 0 || width == 0) return;
    const dim3 block = plan_block(f.plan);
    if (narrow(width))
        LAUNCH(dev, (layernorm_bwd_k<16 / V, V, Z, Y, X>), plan_grid(f.plan), block, 0, f);
    else
        LAUNCH(dev, (layernorm_bwd_k<32 / V, V, Z, Y, X>), plan_grid(f.plan), block, 0, f);
}

static weft_status cuda_layernorm_bwd(wk_dev *dev, const wk_layernorm_bwd_args *a) {
    WITH_DTYPE(a->dz.dtype, Z,
               WITH_DTYPE(a->dy.dtype, Y, WITH_DTYPE(a->z.dtype, X, bwd<Z, Y, X>(dev, a))));
    return cuda_launched(dev, "layernorm_bwd");
}

void cuda_fill_norm(wk_ops *table) {
    table->layernorm_fwd = cuda_layernorm_fwd;
    table->layernorm_bwd = cuda_layernorm_bwd;
}
