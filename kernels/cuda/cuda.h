/* Inside the cuda backend: the device's state and the interfaces between its files. C and C++; no
 * CUDA header, so that the emulator's device (tests/simt) can use it too. */
#ifndef CUDA_CUDA_H
#define CUDA_CUDA_H

#include "kernels/dev.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What an op needs to launch: the first member of the device's impl. */
typedef struct cuda_lane {
    void *stream;    /* cudaStream_t; NULL under the emulator */
    int sms;         /* multiprocessors */
    size_t smem_max; /* dynamic shared memory that a block may have, bytes */
    unsigned char
        *scratch;         /* device memory, 256-byte aligned, for ops that sum in two stages: its */
    size_t scratch_bytes; /* contents do not outlive the op */
    /* Of dev->launches, which counts every kernel that ran: those inside replayed graphs; and the
     * graphs. The host issued launches - in_graphs + graphs things. */
    uint64_t in_graphs, graphs;
} cuda_lane;

#define CUDA_SCRATCH_BYTES ((size_t)64 << 20)

static inline cuda_lane *cuda_lane_of(wk_dev *dev) {
    return (cuda_lane *)dev->impl;
}

/* The end of every op: reports a failed launch by the op's name; with options.check also waits. */
WEFT_NODISCARD weft_status cuda_launched(wk_dev *dev, const char *op);

/* Each family of ops fills its slots. */
void cuda_fill_rows(wk_ops *table);     /* rows.cu: memory */
void cuda_fill_embed(wk_ops *table);    /* embed.cu: embedding, dropout */
void cuda_fill_norm(wk_ops *table);     /* norm.cu: layer norm */
void cuda_fill_act(wk_ops *table);      /* act.cu: activations */
void cuda_fill_loss(wk_ops *table);     /* loss.cu */
void cuda_fill_attn(wk_ops *table);     /* attn.cu */
void cuda_fill_lora(wk_ops *table);     /* lora.cu: segmented linears */
void cuda_fill_optim(wk_ops *table);    /* optim.cu: local optimizers, drift */
void cuda_fill_variance(wk_ops *table); /* variance.cu: what clients tell about their drift */
void cuda_fill_fed(wk_ops *table); /* fed.cu: updates, server, statistics over clients, noise */
/* All of the above: every op but the frozen linears (gemm_cublas.c). */
void cuda_fill_kernels(wk_ops *table);
void cuda_fill_gemm(wk_ops *table); /* gemm_cublas.c: the frozen linears */

/* letters.cu: one small kernel copies `bytes` from src (device) to dst (the device's address of
 * host memory) and then writes `number` to *sign, also on the host: who sees the number sees the
 * bytes. Any alignment is fine. */
void cuda_post_letter(wk_dev *dev, void *dst, uint64_t *sign, const void *src, size_t bytes,
                      uint64_t number);

/* The backend itself (dev_cuda.c); not under the emulator. */
extern const wk_backend wk_backend_cuda;

#ifdef __cplusplus
}
#endif
#endif
