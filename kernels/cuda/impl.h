/* The cuda device from inside: its state and what its C files share. Needs the toolkit's headers;
 * kernels (.cu) see only cuda.h.
 *
 * Streams. Ops, letters and small uploads run on the lane. Larger uploads cross the bus on `feed`
 * into staging and are copied to their place on the lane, so that the next batch travels while this
 * one computes; send and fetch run on cp_in and cp_out. Sums with other ranks' devices have a
 * stream too (nccl.c). */
#ifndef CUDA_IMPL_H
#define CUDA_IMPL_H

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/lru.h"
#include "kernels/cuda/ring.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#define CUDA_WORKSPACE_BYTES ((size_t)32 << 20) /* what cuBLAS advises for Hopper */

/* Upload staging: pieces up to SMALL go straight on the lane. */
#define CUDA_SMALL_BYTES ((size_t)32 << 10)
#define CUDA_SMALL_SLOTS 128u
#define CUDA_LARGE_BYTES ((size_t)1 << 20)
#define CUDA_LARGE_SLOTS 8u

typedef struct cuda_staging {
    unsigned char *small, *large; /* pinned host memory */
    unsigned char *landing;       /* device memory, a slot beside each large one */
    cudaEvent_t small_done[CUDA_SMALL_SLOTS], large_arrived[CUDA_LARGE_SLOTS],
        large_done[CUDA_LARGE_SLOTS];
    cuda_ring small_ring, large_ring;
} cuda_staging;

/* In mapped host memory; the stride keeps neighbours in different cache lines. */
typedef struct cuda_letter {
    unsigned char bytes[WK_LETTER_BYTES];
    uint64_t sign; /* cuda_ticket_sequence of the letter that is here */
    unsigned char apart[120];
} cuda_letter;

typedef struct cuda_letters {
    cuda_letter *host, *device; /* the same memory as either side sees it */
    cuda_tickets tickets;
} cuda_letters;

typedef struct cuda_impl {
    cuda_lane lane; /* first: see cuda_lane_of */
    int ordinal;
    cudaStream_t stream, feed, cp_in, cp_out; /* stream is the lane's */
    cudaEvent_t lane_mark, in_done, out_done;
    bool in_pending, out_pending; /* sent or fetched since the last meet */
    unsigned char *block;         /* one allocation: GEMM workspace, scratch, landing */
    size_t block_bytes;
    void *workspace; /* of cuBLASLt */
    cublasLtHandle_t lt;
    cuda_lru plans;   /* gemm_plan.c: cuda_plan by exact shape */
    cuda_lru choices; /* gemm_plan.c: for options.placement, the algorithm by shape without rows */
    cuda_lru graphs;  /* replay.c */
    bool capturing;   /* the lane records a graph */
    cuda_staging staging;
    cuda_letters letters;
    cuda_poison poison;
    cudaEvent_t stamp[WK_STAMPS]; /* made when first used */
    void *domain;                 /* NVTX's, made at the first range */
    bool in_range;                /* an NVTX range is open */
    struct cuda_comm *comm;       /* nccl.c; NULL until it is asked for */
} cuda_impl;

static inline cuda_impl *cuda_impl_of(wk_dev *dev) {
    return dev->impl;
}

/* Start of every call but ops: the first failure again, if there was one; otherwise makes the
 * device current for this thread. */
WEFT_NODISCARD weft_status cuda_ready(wk_dev *dev);
/* The same for what may not happen while a graph is recorded. */
WEFT_NODISCARD weft_status cuda_ready_outside(wk_dev *dev, const char *what);
/* WEFT_OK, or the device is from now on unusable: names what failed, CUDA's name and text. */
WEFT_NODISCARD weft_status cuda_try(wk_dev *dev, cudaError_t e, const char *what);
WEFT_NODISCARD weft_status cuda_try_lt(wk_dev *dev, cublasStatus_t s, const char *what);

/* staging and copies: copies.c */
WEFT_NODISCARD weft_status cuda_staging_open(wk_dev *dev, unsigned char *landing);
void cuda_staging_close(cuda_staging *s);
weft_status cuda_upload(wk_dev *dev, void *dst, const void *src, size_t bytes);
weft_status cuda_download(wk_dev *dev, void *dst, const void *src, size_t bytes);
weft_status cuda_pinned_alloc(wk_dev *dev, void **out, size_t bytes);
void cuda_pinned_release(wk_dev *dev, void *ptr);
weft_status cuda_send(wk_dev *dev, void *dst, const void *pinned, size_t bytes);
weft_status cuda_fetch(wk_dev *dev, void *pinned, const void *src, size_t bytes);
weft_status cuda_meet(wk_dev *dev);

/* letters.c */
WEFT_NODISCARD weft_status cuda_letters_open(wk_dev *dev);
void cuda_letters_close(cuda_letters *l);
weft_status cuda_post(wk_dev *dev, wk_tensor src, uint64_t *ticket);
weft_status cuda_collect(wk_dev *dev, uint64_t ticket, void *dst, size_t bytes);

/* replay.c */
#define CUDA_GRAPHS 64
weft_status cuda_replay(wk_dev *dev, const void *key, size_t bytes, wk_body body, void *ud);
void cuda_replay_close(wk_dev *dev);

/* profile.c: NVTX, times on the lane */
void cuda_range(wk_dev *dev, const char *name);
weft_status cuda_stamp(wk_dev *dev, int i);
weft_status cuda_between(wk_dev *dev, int i, int j, double *seconds);
void cuda_stamps_close(wk_dev *dev);

/* nccl.c, or no_nccl.c in a build without NCCL's header */
extern const wk_comm_calls cuda_comm_calls;

/* gemm_plan.c: one product with the frozen base, as cuBLASLt sees it. Its matrices are
 * column-major, ours row-major, so each of ours is its transpose there with the same ld:
 *
 *   linear_fwd  Y = X W^T   is   Y' = op(W') X'   W' (D, O) transposed, X' (D, T), Y' (O, T)
 *   linear_dx   dX = dY W   is   dX' = W' dY'     W' (D, O) as it is, dY' (O, T), dX' (D, T)
 *
 * so W is always the first factor, and a bias runs down the columns of Y', as the BIAS epilogue
 * has it. */
typedef struct cuda_gemm {
    int64_t width, inner, rows; /* of the result: its width (O or D), the sum's length, T */
    int64_t ld_w, ld_in, ld_c, ld_out;
    int64_t dtype;                                             /* wk_dtype of all operands */
    int64_t transposed;                                        /* linear_fwd */
    int64_t bias, add;                                         /* + bias; + c */
    int64_t align_w, align_in, align_c, align_out, align_bias; /* bytes; see cuda_gemm_align */
} cuda_gemm;

typedef struct cuda_plan {
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t w, in, c, out;
    cublasLtMatmulAlgo_t algo;
} cuda_plan;

#define CUDA_PLANS   512
#define CUDA_CHOICES 512

WEFT_NODISCARD weft_status cuda_gemm_open(wk_dev *dev);
void cuda_gemm_close(wk_dev *dev);
/* The plan of a product, made when it is new. The struct is compared as bytes and has no holes. */
WEFT_NODISCARD weft_status cuda_plan_for(wk_dev *dev, cuda_plan **out, const cuda_gemm *g,
                                         const char *op);
/* The largest power of two up to 16 that divides the address and the distance between rows: vector
 * loads and TMA ask for no more, and a larger class would tell apart what need not be. */
static inline int64_t cuda_gemm_align(const void *data, int64_t row_bytes) {
    const uintptr_t bits = (uintptr_t)data | (uintptr_t)row_bytes | 16u;
    return (int64_t)(bits & (~bits + 1));
}

#endif
