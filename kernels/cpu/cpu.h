/* Inside the cpu backend: the device's state and the interfaces between its files. */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "kernels/dev.h"
#include "kernels/parallel.h"
#include "kernels/ref/ref.h"

/* A loop over tasks of unequal size, and one over many equal rows. `threads` changes who computes,
 * never what. */
#ifdef _OPENMP
#    define CPU_PARALLEL_FOR(threads)                                                              \
        WK_PRAGMA(omp parallel for num_threads(threads) schedule(dynamic, 1))
#    define CPU_PARALLEL_ROWS(threads)                                                             \
        WK_PRAGMA(omp parallel for num_threads(threads) schedule(static))
#else
#    define CPU_PARALLEL_ROWS(threads) (void)(threads);
#    define CPU_PARALLEL_FOR(threads)  (void)(threads);
#endif

/* Starting a team costs some microseconds: loops with less work than that, in elements of rows that
 * are read and written, run on the calling thread. */
static inline int cpu_threads(const wk_dev *dev, int64_t work) {
    return work < 32768 ? 1 : dev->threads;
}

/* The same for products, whose work is in multiply-adds. */
static inline int cpu_product_threads(const wk_dev *dev, int64_t work) {
    return cpu_threads(dev, work / 4);
}

static inline int64_t cpu_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static inline int64_t cpu_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline float *cpu_row(wk_tensor t, int64_t i) {
    return wk_row_ptr(t, i);
}

/* One product of the frozen linears: out (M, n) = in (M, k) B (k, n) + bias + residual, or += when
 * accumulate. B was packed by the same implementation from a weight of the dtype of the others. */
typedef struct cpu_gemm_call {
    wk_tensor out, in, bias, residual;
    const void *packed;
    const void *plan; /* of the implementation; NULL when it needs none */
    int64_t n, k;
    bool accumulate;
} cpu_gemm_call;

/* The own GEMM of one instruction set (vec_gemm.c). */
typedef struct cpu_gemm_kernels {
    const char *isa; /* for dev->note */
    bool pairs;      /* multiplies bfloat16; else it widens them to float32 */
    size_t (*bytes)(int64_t n, int64_t k, wk_dtype dtype);
    /* B (k, n) = w (k, n), or its transpose: w (n, k). */
    void (*pack)(wk_dev *dev, void *packed, wk_tensor w, bool transposed);
    void (*run)(wk_dev *dev, const cpu_gemm_call *call);
} cpu_gemm_kernels;

typedef struct cpu_dnnl cpu_dnnl; /* gemm_dnnl.c */

typedef struct cpu_impl {
    const cpu_gemm_kernels *own;
    cpu_dnnl *dnnl; /* NULL: not chosen */
} cpu_impl;

/* Switches an open device to an instruction set (base, v3, v4, v4bf16; NULL: the best there is,
 * with which a device opens) and its own GEMM; weights packed before must be packed again.
 * WEFT_E_UNSUPPORTED when the processor lacks it. */
WEFT_NODISCARD weft_status cpu_isa_select(wk_dev *dev, const char *name);

/* A device opens with our own: nothing was faster where it was measured (README.md). */
typedef enum cpu_gemm_kind { CPU_GEMM_OWN = 0, CPU_GEMM_DNNL = 1 } cpu_gemm_kind;

/* Switches an open device; weights packed before must be packed again. WEFT_E_UNSUPPORTED when
 * oneDNN is asked for and was not compiled in. */
WEFT_NODISCARD weft_status cpu_gemm_select(wk_dev *dev, cpu_gemm_kind kind);
void cpu_gemm_close(wk_dev *dev);
void cpu_gemm_fill(wk_ops *table);

/* oneDNN (gemm_dnnl.c), float32 only. Without WK_HAVE_DNNL open reports WEFT_E_UNSUPPORTED and the
 * rest is unreachable. A plan holds the primitives of one shape (n, k); weights of the same shape
 * share it.
 */
WEFT_NODISCARD weft_status cpu_dnnl_open(wk_dev *dev, cpu_dnnl **out);
void cpu_dnnl_close(wk_dev *dev, cpu_dnnl *dnnl);
const char *cpu_dnnl_name(const cpu_dnnl *dnnl); /* implementation, as oneDNN calls it */
WEFT_NODISCARD weft_status cpu_dnnl_plan(wk_dev *dev, cpu_dnnl *dnnl, int64_t n, int64_t k,
                                         const void **plan);
/* Bytes of a packed weight; the same answer whether or not there is a plan, and it takes no memory
 * from the context. 0: oneDNN has no kernel for the shape. */
size_t cpu_dnnl_bytes(wk_dev *dev, cpu_dnnl *dnnl, int64_t n, int64_t k);
WEFT_NODISCARD weft_status cpu_dnnl_pack(wk_dev *dev, cpu_dnnl *dnnl, const void *plan,
                                         void *packed, wk_tensor w, bool transposed);
WEFT_NODISCARD weft_status cpu_dnnl_run(wk_dev *dev, cpu_dnnl *dnnl, const cpu_gemm_call *call);

#endif
