/* A device: memory, an op table and counters. Everything above is written against this handle. */
#ifndef WK_DEV_H
#define WK_DEV_H

#include "kernels/base.h"
#include "kernels/ops.h"
#include "kernels/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Work that replay records: it calls ops, and nothing else that matters. */
typedef weft_status (*wk_body)(void *ud);

/* Sums between the devices of several ranks, which do not cross the host's memory: said at
 * wk_comm_find and the functions after it. */
#define WK_COMM_ID 128 /* bytes */

typedef struct wk_comm_offer {
    char library[32]; /* "NCCL 2.28.9"; only equal ones work together */
    char unit[40];    /* the device's own name, */
    char place[120];  /* and its machine and slot: where either is the same, the device is */
} wk_comm_offer;

typedef struct wk_comm_calls {
    weft_status (*find)(wk_dev *dev, wk_comm_offer *out);
    /* Not called, and may be NULL, where find fails. */
    weft_status (*id)(wk_dev *dev, unsigned char id[WK_COMM_ID]);
    weft_status (*open)(wk_dev *dev, int rank, int size, const unsigned char id[WK_COMM_ID],
                        double seconds);
    weft_status (*sum)(wk_dev *dev, void *words, int64_t n); /* int64 */
    void (*close)(wk_dev *dev);
} wk_comm_calls;

/* Memory and lifetime of a backend; the op table is separate (ops.h). Plugins export one of these.
 * A device is opened by fill_ops on its own copy of the table, then open, which sets note and impl
 * and may still change dev->ops (for the instruction set it finds, say). When open fails, close is
 * not called. */
typedef struct wk_backend {
    uint32_t abi;     /* WK_ABI of the build that made it */
    const char *name; /* "ref", "cpu", "dry", "cuda" */
    unsigned traits;  /* WK_TRAIT_* */
    weft_status (*open)(wk_dev *dev);
    void (*close)(wk_dev *dev);
    weft_status (*alloc)(wk_dev *dev, uintptr_t *out, size_t bytes);
    void (*release)(wk_dev *dev, uintptr_t ptr);
    weft_status (*upload)(wk_dev *dev, void *dst, const void *src, size_t bytes);   /* from host */
    weft_status (*download)(wk_dev *dev, void *dst, const void *src, size_t bytes); /* to host */
    weft_status (*sync)(wk_dev *dev);
    void (*fill_ops)(wk_ops *table);

    /* Optional, for devices that work beside the host; NULL means what is said at the function. */
    weft_status (*replay)(wk_dev *dev, const void *key, size_t bytes, wk_body body, void *ud);
    weft_status (*post)(wk_dev *dev, wk_tensor src, uint64_t *ticket);
    weft_status (*collect)(wk_dev *dev, uint64_t ticket, void *dst, size_t bytes);
    weft_status (*pinned_alloc)(wk_dev *dev, void **out, size_t bytes);
    void (*pinned_release)(wk_dev *dev, void *ptr);
    weft_status (*send)(wk_dev *dev, void *dst, const void *pinned, size_t bytes);
    weft_status (*fetch)(wk_dev *dev, void *pinned, const void *src, size_t bytes);
    weft_status (*meet)(wk_dev *dev);
    void (*range)(wk_dev *dev, const char *name);
    weft_status (*stamp)(wk_dev *dev, int i); /* the device's time here, i < WK_STAMPS */
    weft_status (*between)(wk_dev *dev, int i, int j, double *seconds); /* waits for stamp j */
    const wk_comm_calls *comm;
} wk_backend;

#define WK_TRAIT_PREFERS_BF16 1u /* hidden states are best kept as bfloat16 */
#define WK_TRAIT_SCATTERS     2u /* table_sketch reads its table by number too */

/* Changes whenever wk_backend, wk_dev, wk_ops or an argument struct does. */
#define WK_ABI 6u

#define WK_STAMPS       1024
#define WK_LETTERS      64
#define WK_LETTER_BYTES 1024

typedef struct wk_counters {
    double flops; /* multiply and add count as two */
    double bytes; /* floor: each operand once */
    uint64_t ops; /* op calls */
} wk_counters;

typedef struct wk_dev_options {
    const char *backend; /* "ref", "cpu" or "dry"; not read by wk_dev_open_backend */
    int threads;         /* 0: all cores of the process's affinity mask */
    wk_dtype hidden;     /* WK_F32 or WK_BF16: see wk_dev.hidden */
    int ordinal;         /* which of several devices */
    bool placement; /* a row's bits may not depend on the number of rows (R2) either; cuda only,
                     * the others always give it */
    bool check;     /* wait after each op, so that a failure names it; slow */
} wk_dev_options;

struct wk_dev {
    wk_ctx *ctx;
    const wk_backend *backend;
    wk_ops ops;
    wk_dev_options options; /* as opened, threads resolved */
    int threads;
    wk_dtype hidden;     /* dtype of the base's weights and activations: what the caller places */
    bool dry;            /* addresses may not be read */
    size_t held;         /* bytes that arenas have taken from the backend now */
    void *impl;          /* the backend's own */
    char note[160];      /* what the backend chose: instruction set, GEMM implementation */
    wk_counters count;   /* kept by the dry backend */
    uintptr_t next_fake; /* see wk_dev_fake */
    uint64_t launches; /* kernels and copies that the device was given so far; 0 on host devices */
    struct wk_profile *profile; /* being filled (profile.h), or NULL */
    double clock[WK_STAMPS];    /* of host devices */
    /* Letters of host devices. */
    uint64_t letters;
    unsigned char letter[WK_LETTERS][WK_LETTER_BYTES];
};

/* Opens a built-in backend. WEFT_E_CONFIG names an unknown one. */
WEFT_NODISCARD weft_status wk_dev_open(wk_dev **out, wk_ctx *ctx, const wk_dev_options *options);
/* Opens a backend that a plugin brought. WEFT_E_UNSUPPORTED when it is of another build (abi), its
 * table misses an op, or it cannot do what the options ask for. */
WEFT_NODISCARD weft_status wk_dev_open_backend(wk_dev **out, wk_ctx *ctx, const wk_backend *backend,
                                               const wk_dev_options *options);
void wk_dev_close(wk_dev *dev); /* NULL is fine */

/* `bytes` of address space with no memory behind it, 256-byte aligned and apart from every other
 * range of this device: for dry allocations and arenas that measure. */
uintptr_t wk_dev_fake(wk_dev *dev, size_t bytes);

/* Makes a dry device answer wk_weight_pack_bytes and wk_dev_traits as `target` does, so that a plan
 * counts what the device that will run needs. `target` must stay open as long as `dry` asks; NULL:
 * no packing. */
void wk_dev_dry_plan_for(wk_dev *dry, wk_dev *target);
unsigned wk_dev_traits(const wk_dev *dev); /* of the backend; of a dry device's target */

/* Host to device and back; contiguous bytes, WEFT_E_SHAPE when the tensor is a strided view. On a
 * dry device nothing moves: download zero-fills. Both are in order with the ops. After upload `src`
 * may be reused; download waits for the device. */
WEFT_NODISCARD weft_status wk_upload(wk_dev *dev, wk_tensor dst, const void *src);
WEFT_NODISCARD weft_status wk_download(wk_dev *dev, void *dst, wk_tensor src);

/* ---- a device that works beside the host ---- */

/* Runs body(ud), which calls ops only. Its work is a pure function of `key` (bytes): the same
 * addresses, shapes and scalars, whatever the tensors hold. A device that records keeps what the
 * body issued and, when the key comes again, issues that as a whole (a CUDA graph) without calling
 * the body. Others always call it. */
WEFT_NODISCARD weft_status wk_replay(wk_dev *dev, const void *key, size_t bytes, wk_body body,
                                     void *ud);

/* A letter from the device: once all work so far is done, the contents of src (contiguous, at most
 * WK_LETTER_BYTES; may be not given, which only marks the place). collect waits for it; a letter is
 * kept until WK_LETTERS later ones are posted. Host devices write it at once. */
WEFT_NODISCARD weft_status wk_post(wk_dev *dev, wk_tensor src, uint64_t *ticket);
WEFT_NODISCARD weft_status wk_collect(wk_dev *dev, uint64_t ticket, void *dst, size_t bytes);

/* Host memory that the device can copy from and to while both work. */
WEFT_NODISCARD weft_status wk_pinned_alloc(wk_dev *dev, void **out, size_t bytes, const char *what);
void wk_pinned_free(wk_dev *dev, void *ptr); /* NULL is fine */
/* Copies beside the ops: a send or fetch begins after all ops issued before it, a send also after
 * all fetches (so it may reuse what a fetch reads, or send what it writes), and runs while later
 * ops do. Those may touch neither end until wk_meet, after which ops see what was sent, and the
 * host may use both ends of the pinned memory once a later letter is collected. */
WEFT_NODISCARD weft_status wk_send(wk_dev *dev, wk_tensor dst, const void *pinned);
WEFT_NODISCARD weft_status wk_fetch(wk_dev *dev, void *pinned, wk_tensor src);
WEFT_NODISCARD weft_status wk_meet(wk_dev *dev);

/* Names the work that follows, for profilers (NVTX) and for the counts of the dry device; NULL ends
 * the range. Ranges do not nest. `name` is a static string. */
void wk_range(wk_dev *dev, const char *name);

/* ---- a device among those of other ranks ---- */

/* What this device brings to a sum with others. WEFT_E_UNSUPPORTED, with the reason, when it has
 * nothing for that: its ranks then sum through the host. */
WEFT_NODISCARD weft_status wk_comm_find(wk_dev *dev, wk_comm_offer *out);
/* A name for a new group of ranks: made on one, carried to all of them by the caller. After find.
 */
WEFT_NODISCARD weft_status wk_comm_id(wk_dev *dev, unsigned char id[WK_COMM_ID]);
/* All ranks call these alike, each with a device of its own, and all come within `seconds`; both
 * wait for the end, and begin when the device has done its work so far, which counts as waiting:
 * who has much of it under way collects a letter first. WEFT_E_COMM, in one line, after `seconds`
 * or when the library or another rank fails; later sums return the same, until close. */
WEFT_NODISCARD weft_status wk_comm_open(wk_dev *dev, int rank, int size,
                                        const unsigned char id[WK_COMM_ID], double seconds);
/* t (int64, contiguous) = the sum over ranks, modulo 2^64, in place. t's memory may not go before
 * wk_comm_close. */
WEFT_NODISCARD weft_status wk_comm_sum(wk_dev *dev, wk_tensor t);
void wk_comm_close(wk_dev *dev); /* of this rank alone; fine without open */

#ifdef __cplusplus
}
#endif
#endif
