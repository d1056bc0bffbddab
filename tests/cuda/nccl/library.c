/* A stand-in for libnccl.so.2 between processes of one machine, on the stand-in CUDA runtime of the
 * program that opens it: what kernels/cuda/nccl.c calls, compiled against NCCL's own header.
 * Nothing is done at once: a communicator is ready, and a sum in its stream, only after some looks
 * at ncclCommGetAsyncError. A rank that calls what it may not ends with a line on stderr.
 *
 * FAKE_NCCL, words apart by commas: version=N; refuse (no communicator); async (sums fail after
 * they have begun); remote (the others see that a rank has aborted, else they wait for it for
 * ever); wrong (sums are off by one); stuck (ncclCommAbort never ends). */
#include <nccl.h>

#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RANKS 16
#define CHUNK 1000 /* words that cross at once */
#define LOOKS 3    /* until something has happened */
#define API   __attribute__((visibility("default")))

/* Of the program's stand-in runtime (stream.h). */
void fake_cuda_other(void *stream, bool (*is_done)(void *ud), void *ud);

/* What the ranks share. */
typedef struct board {
    atomic_int here[RANKS], gone[RANKS];
    atomic_ullong turn[RANKS]; /* halves of chunks done */
    uint64_t words[RANKS][CHUNK];
} board;

typedef struct work {
    struct ncclComm *comm;
    struct work *before;
    uint64_t *words;
    size_t n, at;
    cudaStream_t stream;
    bool written, summed, done;
} work;

struct ncclComm {
    board *board;
    char name[64];
    int rank, size, looks, registered;
    bool finalized;
    atomic_bool aborted;
    work *next; /* told, not yet in its stream */
    work *all;  /* ever told, the last first */
    ncclResult_t failure;
};

static char last[200];

static bool told(const char *word, int *value) {
    const char *all = getenv("FAKE_NCCL"), *at = all ? strstr(all, word) : NULL;
    if (at && value) *value = atoi(at + strlen(word));
    return at != NULL;
}

static void misused(const char *what) {
    fprintf(stderr, "stand-in NCCL: %s\n", what);
    abort();
}

/* ---- sums ---- */

/* All are as far as this rank. */
static bool together(const struct ncclComm *c) {
    const unsigned long long mine = c->board->turn[c->rank];
    for (int r = 0; r < c->size; r++)
        if (c->board->turn[r] < mine) return false;
    return true;
}

/* A step of the sum, if the others let it; true at its end, and when it was aborted. */
static bool advance(void *ud) {
    work *w = ud;
    struct ncclComm *c = w->comm;
    board *b = c->board;
    if (w->done || c->aborted) return true;
    const size_t n = w->n - w->at < CHUNK ? w->n - w->at : CHUNK;
    if (!w->written) {
        memcpy(b->words[c->rank], w->words + w->at, n * sizeof *w->words);
        w->written = true;
        b->turn[c->rank]++;
    }
    if (!w->summed) {
        if (!together(c)) return false;
        for (size_t i = 0; i < n; i++) {
            uint64_t total = told("wrong", NULL);
            for (int r = 0; r < c->size; r++) total += b->words[r][i];
            w->words[w->at + i] = total;
        }
        w->summed = true;
        b->turn[c->rank]++;
    }
    if (!together(c)) return false;
    w->at += n, w->written = w->summed = false;
    return w->done = w->at == w->n;
}

API ncclResult_t ncclAllReduce(const void *in, void *out, size_t n, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t c, cudaStream_t stream) {
    if (c->looks || c->next || c->finalized) misused("a sum on a communicator that is not ready");
    if (in != out || type != ncclUint64 || op != ncclSum || !n || !stream)
        misused("this sum is not known");
    work *w = calloc(1, sizeof *w); /* the stream may hold it to the end */
    *w = (work){.comm = c, .before = c->all, .words = out, .n = n, .stream = stream};
    c->next = c->all = w, c->looks = LOOKS;
    return ncclInProgress;
}

/* ---- communicators ---- */

API ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
    static int made;
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "/weft_nccl_%ld_%d", (long)getpid(), made++);
    const int file = shm_open(id->internal, O_CREAT | O_EXCL | O_RDWR, 0600);
    if (file < 0 || ftruncate(file, sizeof(board)) != 0) return ncclSystemError;
    close(file);
    return ncclSuccess;
}

API ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int size, ncclUniqueId id, int rank,
                                        ncclConfig_t *config) {
    const ncclConfig_t fresh = NCCL_CONFIG_INITIALIZER;
    if (config->magic != fresh.magic || config->size != sizeof *config || config->blocking)
        misused("not the configuration of a communicator that does not block");
    if (told("refuse", NULL)) {
        snprintf(last, sizeof last, "no network\nat all");
        shm_unlink(id.internal);
        return ncclUnhandledCudaError;
    }
    struct ncclComm *c = calloc(1, sizeof *c);
    const int file = shm_open(id.internal, O_RDWR, 0600);
    if (size > RANKS || file < 0) return ncclSystemError;
    c->board = mmap(NULL, sizeof *c->board, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    c->rank = rank, c->size = size, c->looks = LOOKS;
    snprintf(c->name, sizeof c->name, "%.60s", id.internal);
    *out = c;
    if (atomic_exchange(&c->board->here[rank], 1)) misused("a rank came twice");
    return ncclInProgress;
}

static bool all_here(const struct ncclComm *c) {
    for (int r = 0; r < c->size; r++)
        if (!c->board->here[r]) return false;
    shm_unlink(c->name);
    return true;
}

API ncclResult_t ncclCommGetAsyncError(ncclComm_t c, ncclResult_t *state) {
    *state = c->failure;
    for (int r = 0; r < c->size && told("remote", NULL); r++)
        if (c->board->gone[r]) *state = c->failure = ncclRemoteError;
    if (c->failure != ncclSuccess) return ncclSuccess;
    *state = ncclInProgress;
    if (c->looks && (!all_here(c) || --c->looks)) return ncclSuccess;
    if (c->next) {
        fake_cuda_other(c->next->stream, advance, c->next);
        c->next = NULL;
        if (told("async", NULL)) {
            snprintf(last, sizeof last, "a cable was pulled");
            c->failure = ncclSystemError;
        }
    }
    *state = ncclSuccess;
    return ncclSuccess;
}

API ncclResult_t ncclCommRegister(const ncclComm_t c, void *buffer, size_t bytes, void **handle) {
    if (c->looks || !bytes) misused("memory registered with a communicator that is not ready");
    c->registered++;
    *handle = buffer;
    return ncclSuccess;
}

API ncclResult_t ncclCommDeregister(const ncclComm_t c, void *handle) {
    if (!handle || --c->registered < 0) misused("this memory was not registered");
    return ncclSuccess;
}

API ncclResult_t ncclCommFinalize(ncclComm_t c) {
    if (c->finalized || c->looks) misused("finalized twice, or before it was ready");
    c->finalized = true;
    c->looks = LOOKS;
    return ncclInProgress;
}

API ncclResult_t ncclCommDestroy(ncclComm_t c) {
    if (!c->finalized || c->looks) misused("destroyed, but not finalized");
    if (c->registered) misused("destroyed, but it holds memory");
    for (work *w = c->all, *before; w; w = before) {
        before = w->before;
        free(w);
    }
    munmap(c->board, sizeof *c->board);
    free(c);
    return ncclSuccess;
}

API ncclResult_t ncclCommAbort(ncclComm_t c) {
    c->aborted = true; /* and stays readable: a stream may still ask */
    c->board->gone[c->rank] = 1;
    shm_unlink(c->name);
    while (told("stuck", NULL)) sleep(1);
    return ncclSuccess;
}

/* ---- the rest ---- */

API ncclResult_t ncclGetVersion(int *version) {
    *version = NCCL_VERSION_CODE;
    (void)told("version=", version);
    return ncclSuccess;
}

API const char *ncclGetErrorString(ncclResult_t r) {
    switch ((int)r) {
    case ncclUnhandledCudaError:
        return "unhandled cuda error";
    case ncclSystemError:
        return "unhandled system error";
    case ncclRemoteError:
        return "remote process exited or there was a network error";
    }
    return "another result";
}

API const char *ncclGetLastError(ncclComm_t c) {
    (void)c;
    return last;
}
