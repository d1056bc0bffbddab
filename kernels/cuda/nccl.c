/* Sums between the GPUs of several ranks: one NCCL communicator and one stream per device. Whole
 * numbers modulo 2^64 have no order, so the bits are those of any other way to add them up.
 *
 * The communicator does not block: what NCCL does in threads of its own, and what the stream does,
 * is looked at until it is done, has failed, or time is up. Then it is aborted, which also frees
 * the GPU of a kernel that waits for a rank that is gone. */
#define _GNU_SOURCE /* pthread_timedjoin_np */

#include "kernels/cuda/impl.h"
#include "kernels/cuda/nccl_calls.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LOOKS       4000 /* hard ones, then naps between them */
#define NAP_NS      50000L
#define END_SECONDS 10.0 /* that closing a communicator may take, if an answer may take longer */

_Static_assert(WK_COMM_ID == NCCL_UNIQUE_ID_BYTES, "an id is NCCL's");

/* A call that gives a communicator back, apart from the thread that waits for it. */
typedef struct ending {
    ncclResult_t (*end)(ncclComm_t comm);
    ncclComm_t comm;
    int ordinal;
} ending;

typedef struct cuda_comm {
    cuda_nccl api;
    char library[32];  /* "NCCL 2.28.9"; empty until it is loaded */
    ncclComm_t comm;   /* NULL: not open, or failed, */
    char failure[400]; /* and how */
    cudaStream_t stream;
    cudaEvent_t done;
    double seconds;
    void *buffer; /* registered, with its bytes */
    size_t bytes;
    void *registration; /* NULL: the library does without */
    bool busy;          /* it works, or did when CUDA failed: it can only be aborted */
    ending ending;
    bool hangs; /* in it: the memory is its own now */
} cuda_comm;

static cuda_comm *comm_of(wk_dev *dev) {
    return cuda_impl_of(dev)->comm;
}

static double now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the library ---- */

static weft_status load(wk_dev *dev) {
    cuda_comm *c = comm_of(dev);
    weft_error *err = &dev->ctx->err;
    int version = 0;
    if (c && c->library[0]) return WEFT_OK;
    if (!c) {
        void *memory = NULL;
        WEFT_TRY(wk_host_alloc(dev->ctx, &memory, 1, sizeof *c, "NCCL"));
        cuda_impl_of(dev)->comm = c = memory;
    }
    void *library = dlopen(CUDA_NCCL_LIBRARY, RTLD_NOW | RTLD_LOCAL); /* for good: it has threads */
    if (!library) {
        const char *why = dlerror();
        return WEFT_FAIL(err, WEFT_E_UNSUPPORTED, "no NCCL (%.200s)", why ? why : "unknown");
    }
    const char *missing = NULL;
#define X(name)                                                                                    \
    {                                                                                              \
        void *at = dlsym(library, #name);                                                          \
        memcpy(&c->api.name, &at, sizeof at);                                                      \
        if (!at && !missing) missing = #name;                                                      \
    }
    CUDA_NCCL_CALLS(X)
#undef X
    if (c->api.ncclGetVersion) (void)c->api.ncclGetVersion(&version);
    if (version < CUDA_NCCL_OLDEST)
        return WEFT_FAIL(err, WEFT_E_UNSUPPORTED, "NCCL %d.%d is too old, 2.19 or newer is needed",
                         version / (version < 10000 ? 1000 : 10000),
                         version / 100 % (version < 10000 ? 10 : 100));
    if (missing) return WEFT_FAIL(err, WEFT_E_UNSUPPORTED, CUDA_NCCL_LIBRARY " has no %s", missing);
    (void)snprintf(c->library, sizeof c->library, "NCCL %d.%d.%d", version / 10000,
                   version / 100 % 100, version % 100);
    return WEFT_OK;
}

static weft_status find(wk_dev *dev, wk_comm_offer *out) {
    struct cudaDeviceProp card;
    char machine[65] = "", slot[32] = "";
    const int ordinal = cuda_impl_of(dev)->ordinal;
    WEFT_TRY(cuda_ready_outside(dev, "NCCL"));
    WEFT_TRY(load(dev));
    WEFT_TRY(cuda_try(dev, cudaGetDeviceProperties(&card, ordinal), "cudaGetDeviceProperties"));
    WEFT_TRY(
        cuda_try(dev, cudaDeviceGetPCIBusId(slot, sizeof slot, ordinal), "cudaDeviceGetPCIBusId"));
    (void)gethostname(machine, sizeof machine - 1);
    (void)snprintf(out->library, sizeof out->library, "%s", comm_of(dev)->library);
    for (size_t i = 0; i < sizeof card.uuid.bytes; i++)
        (void)snprintf(out->unit + 2 * i, 3, "%02x", (unsigned char)card.uuid.bytes[i]);
    (void)snprintf(out->place, sizeof out->place, "%s %s", machine, slot);
    return WEFT_OK;
}

/* ---- ending a communicator ---- */

static double patience(const cuda_comm *c) {
    return c->seconds < END_SECONDS ? c->seconds : END_SECONDS;
}

static void *run_ending(void *ud) {
    const ending *e = ud;
    (void)cudaSetDevice(e->ordinal);
    (void)e->end(e->comm);
    return NULL;
}

/* NCCL promises no time for either way to end: so it happens beside this thread, which goes on
 * after a while and then leaves that one where it is. */
static void end(wk_dev *dev, ncclResult_t (*how)(ncclComm_t comm)) {
    cuda_comm *c = comm_of(dev);
    pthread_t thread;
    struct timespec until;
    c->ending = (ending){how, c->comm, cuda_impl_of(dev)->ordinal};
    c->comm = NULL;
    if (pthread_create(&thread, NULL, run_ending, &c->ending) != 0)
        return; /* the process ends it */
    (void)clock_gettime(CLOCK_REALTIME, &until);
    const double seconds = (double)until.tv_nsec * 1e-9 + patience(c);
    until.tv_sec += (time_t)seconds;
    until.tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9);
    if (pthread_timedjoin_np(thread, NULL, &until) == 0) return;
    c->hangs = true;
    (void)pthread_detach(thread);
}

/* The first failure, kept: no more sums. */
static weft_status failed(wk_dev *dev, const char *what, const char *why, const char *more) {
    cuda_comm *c = comm_of(dev);
    (void)snprintf(c->failure, sizeof c->failure, "%s, %s: %s%s%.150s", c->library, what, why,
                   more[0] ? "; " : "", more);
    for (char *at = c->failure; *at; at++)
        if (*at < ' ' && *at > 0) *at = ' '; /* one line, whatever the library wrote */
    if (c->comm) end(dev, c->api.ncclCommAbort);
    return WEFT_FAIL(&dev->ctx->err, WEFT_E_COMM, "%s", c->failure);
}

static weft_status refused(wk_dev *dev, const char *what, ncclResult_t r) {
    const cuda_nccl *api = &comm_of(dev)->api;
    const char *more = api->ncclGetLastError(comm_of(dev)->comm);
    return failed(dev, what, api->ncclGetErrorString(r), more ? more : "");
}

/* ---- waiting ---- */

/* Until NCCL has done what it was told and the event has come. */
static weft_status wait_for(wk_dev *dev, const char *what, cudaEvent_t event, double deadline) {
    cuda_comm *c = comm_of(dev);
    for (int look = 0;; look++) {
        ncclResult_t state = ncclSuccess;
        cudaError_t reached = cudaSuccess;
        const ncclResult_t asked = c->api.ncclCommGetAsyncError(c->comm, &state);
        if (asked != ncclSuccess) state = asked;
        if (state != ncclSuccess && state != ncclInProgress) return refused(dev, what, state);
        if (event) reached = cudaEventQuery(event);
        if (reached == cudaErrorNotReady)
            (void)cudaGetLastError(); /* not a failure, but CUDA keeps it as the last one */
        else
            WEFT_TRY(cuda_try(dev, reached, what));
        if (state == ncclSuccess && reached == cudaSuccess) return WEFT_OK;
        if (now() > deadline) {
            char why[80];
            (void)snprintf(why, sizeof why, "no answer from the other ranks within %g s",
                           c->seconds);
            return failed(dev, what, why, "");
        }
        if (look >= LOOKS) (void)nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    }
}

/* ---- opening, summing, closing ---- */

static weft_status make_id(wk_dev *dev, unsigned char id[WK_COMM_ID]) {
    ncclUniqueId made;
    WEFT_TRY(cuda_ready_outside(dev, "NCCL"));
    WEFT_TRY(load(dev));
    const ncclResult_t r = comm_of(dev)->api.ncclGetUniqueId(&made);
    if (r != ncclSuccess) return refused(dev, "making an id", r);
    memcpy(id, made.internal, WK_COMM_ID);
    return WEFT_OK;
}

static weft_status open_comm(wk_dev *dev, int rank, int size, const unsigned char id[WK_COMM_ID],
                             double seconds) {
    static const char what[] = "connecting the ranks";
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER; /* of any version from 2.14 on */
    ncclUniqueId name;
    WEFT_TRY(cuda_ready_outside(dev, "NCCL"));
    WEFT_TRY(load(dev));
    cuda_comm *c = comm_of(dev);
    if (c->stream) return WEFT_FAIL(&dev->ctx->err, WEFT_E_ARG, "%s: that was done", what);
    WEFT_TRY(cuda_try(dev, cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking), what));
    WEFT_TRY(cuda_try(dev, cudaEventCreateWithFlags(&c->done, cudaEventDisableTiming), what));
    c->seconds = seconds;
    config.blocking = 0;
    memcpy(name.internal, id, WK_COMM_ID);
    c->busy = true;
    const double deadline = now() + seconds;
    const ncclResult_t r = c->api.ncclCommInitRankConfig(&c->comm, size, name, rank, &config);
    if (r != ncclSuccess && r != ncclInProgress) return refused(dev, what, r);
    WEFT_TRY(wait_for(dev, what, NULL, deadline));
    c->busy = false;
    return WEFT_OK;
}

/* The memory that is summed, made known to NCCL once, which spares it copies through buffers of its
 * own. Without it sums are slower and as right. */
static void know(cuda_comm *c, void *buffer, size_t bytes) {
    if (c->buffer == buffer && c->bytes == bytes) return;
    if (c->registration) (void)c->api.ncclCommDeregister(c->comm, c->registration);
    c->registration = NULL;
    c->buffer = buffer, c->bytes = bytes;
    if (buffer && c->api.ncclCommRegister(c->comm, buffer, bytes, &c->registration) != ncclSuccess)
        c->registration = NULL;
}

static weft_status sum(wk_dev *dev, void *words, int64_t n) {
    cuda_impl *impl = cuda_impl_of(dev);
    cuda_comm *c = impl->comm;
    char what[64];
    WEFT_TRY(cuda_ready_outside(dev, "a sum over ranks"));
    if (!c || !c->comm)
        return WEFT_FAIL(&dev->ctx->err, WEFT_E_COMM, "%s",
                         c && c->failure[0] ? c->failure
                                            : "a sum over ranks that are not connected");
    if (n == 0) return WEFT_OK;
    (void)snprintf(what, sizeof what, "sum of %lld words", (long long)n);
    know(c, words, (size_t)n * sizeof(int64_t));
    const double deadline = now() + c->seconds;
    WEFT_TRY(cuda_try(dev, cudaEventRecord(impl->lane_mark, impl->stream), what));
    WEFT_TRY(cuda_try(dev, cudaStreamWaitEvent(c->stream, impl->lane_mark, 0), what));
    c->busy = true;
    const ncclResult_t r =
        c->api.ncclAllReduce(words, words, (size_t)n, ncclUint64, ncclSum, c->comm, c->stream);
    if (r != ncclSuccess && r != ncclInProgress) return refused(dev, what, r);
    WEFT_TRY(wait_for(dev, what, NULL, deadline)); /* now it is in the stream */
    WEFT_TRY(cuda_try(dev, cudaEventRecord(c->done, c->stream), what));
    WEFT_TRY(wait_for(dev, what, c->done, deadline)); /* so the lane need not */
    c->busy = false;
    return WEFT_OK;
}

static void close_comm(wk_dev *dev) {
    cuda_comm *c = comm_of(dev);
    if (!c) return;
    (void)cudaSetDevice(cuda_impl_of(dev)->ordinal);
    if (c->comm && !c->busy) {
        ncclResult_t state = ncclInProgress;
        const double deadline = now() + patience(c);
        know(c, NULL, 0);
        (void)c->api.ncclCommFinalize(c->comm);
        while (c->api.ncclCommGetAsyncError(c->comm, &state) == ncclSuccess &&
               state == ncclInProgress && now() < deadline)
            (void)nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
        end(dev, state == ncclSuccess ? c->api.ncclCommDestroy : c->api.ncclCommAbort);
    }
    if (c->comm) end(dev, c->api.ncclCommAbort);
    if (c->done) (void)cudaEventDestroy(c->done);
    if (c->stream) (void)cudaStreamDestroy(c->stream);
    cuda_impl_of(dev)->comm = NULL;
    if (!c->hangs) wk_host_free(dev->ctx, c);
}

const wk_comm_calls cuda_comm_calls = {
    .find = find, .id = make_id, .open = open_comm, .sum = sum, .close = close_comm};
