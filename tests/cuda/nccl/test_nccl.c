/* kernels/cuda/nccl.c between processes, on the stand-ins for the CUDA runtime and NCCL: sums, and
 * whatever may go wrong, always in bounded time. With an argument:
 *
 *   test_nccl unloadable   libnccl.so.2 is there and cannot be loaded
 *   test_nccl no-device    it is NVIDIA's own, which finds no GPU here */
#define _GNU_SOURCE /* MAP_ANONYMOUS */

#include "kernels/cuda/impl.h"
#include "tests/cuda/gpu.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_WORDS 2507

static wk_ctx ctx;
static const wk_comm_calls *const nccl = &cuda_comm_calls;

/* What the ranks of a case share: rank 0's id, and how far it is. */
typedef struct table {
    unsigned char id[WK_COMM_ID];
    volatile int ready, given_up;
} table;

static table *shared;

static void nap(void) {
    (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A device with the parts that nccl.c uses. */
static wk_dev *device(void) {
    static wk_dev dev;
    static cuda_impl impl;
    dev.ctx = &ctx, dev.impl = &impl;
    cudaStreamCreateWithFlags(&impl.stream, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&impl.lane_mark, cudaEventDisableTiming);
    return &dev;
}

static void close_device(wk_dev *dev) {
    cuda_impl *impl = cuda_impl_of(dev);
    if (impl->comm) nccl->close(dev);
    cudaEventDestroy(impl->lane_mark);
    cudaStreamDestroy(impl->stream);
}

static weft_status open_rank(wk_dev *dev, int rank, int size, double wait) {
    wk_comm_offer offer = {0};
    OK(&ctx, nccl->find(dev, &offer));
    CHECK(strncmp(offer.library, "NCCL 2.", 7) == 0 && offer.unit[0] && offer.place[0]);
    if (rank == 0) {
        OK(&ctx, nccl->id(dev, shared->id));
        shared->ready = 1;
    }
    while (!shared->ready) nap();
    return nccl->open(dev, rank, size, shared->id, wait);
}

/* ---- cases: what each rank does ---- */

static uint64_t word(int rank, int64_t i, int64_t turn) {
    return ((uint64_t)(i + turn) * 0x9e3779b97f4a7c15u) ^ ((uint64_t)rank << 61);
}

static void sums(int rank, int size) {
    static const int64_t counts[] = {1, 5, 1000, MOST_WORDS, 0, 7, 7};
    static uint64_t in[MOST_WORDS], out[MOST_WORDS];
    void *words = NULL;
    wk_dev *dev = device();
    cudaStream_t lane = cuda_impl_of(dev)->stream;
    OK(&ctx, open_rank(dev, rank, size, 60));
    cudaMalloc(&words, sizeof in);
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        const size_t n = (size_t)counts[k];
        for (size_t i = 0; i < n; i++) in[i] = word(rank, (int64_t)i, (int64_t)k);
        /* Both copies are on the lane, which nobody waits for in between. */
        cudaMemcpyAsync(words, in, n * sizeof *in, cudaMemcpyHostToDevice, lane);
        OK(&ctx, nccl->sum(dev, words, counts[k]));
        cudaMemcpyAsync(out, words, n * sizeof *in, cudaMemcpyDeviceToHost, lane);
        cudaStreamSynchronize(lane);
        for (size_t i = 0; i < n; i++) {
            uint64_t want = 0;
            for (int r = 0; r < size; r++) want += word(r, (int64_t)i, (int64_t)k);
            CHECK(out[i] == want);
        }
    }
    EXPECT(&ctx, nccl->open(dev, rank, size, shared->id, 1), WEFT_E_ARG);
    close_device(dev);
    cudaFree(words);
}

/* Rank 1 opens nothing. */
static void nobody_comes(int rank, int size) {
    wk_dev *dev = device();
    if (rank == 1) return;
    const double start = seconds();
    EXPECT(&ctx, open_rank(dev, rank, size, 0.3), WEFT_E_COMM);
    CHECK(seconds() - start < 5);
    SAYS(&ctx, "connecting the ranks: no answer from the other ranks within 0.3 s");
    EXPECT(&ctx, nccl->sum(dev, shared, 1), WEFT_E_COMM);
    SAYS(&ctx, "connecting the ranks");
    close_device(dev);
}

/* Rank 1 comes to the first sum and not to the second. */
static void stays_away(int rank, int size) {
    void *words = NULL;
    wk_dev *dev = device();
    OK(&ctx, open_rank(dev, rank, size, 0.5));
    cudaMalloc(&words, 40);
    OK(&ctx, nccl->sum(dev, words, 5));
    const double start = seconds();
    if (rank == 0) {
        EXPECT(&ctx, nccl->sum(dev, words, 5), WEFT_E_COMM);
        SAYS(&ctx, "sum of 5 words: no answer from the other ranks within 0.5 s");
        CHECK(seconds() - start < 5);
        EXPECT(&ctx, nccl->sum(dev, words, 2), WEFT_E_COMM); /* it is over */
        SAYS(&ctx, "sum of 5 words");
        OK(&ctx, cuda_ready(dev)); /* and the device is as it was */
        cudaStreamSynchronize(cuda_impl_of(dev)->stream);
        shared->given_up = 1;
    } else {
        while (!shared->given_up) nap();
        const char *faults = getenv("FAKE_NCCL");
        EXPECT(&ctx, nccl->sum(dev, words, 5), WEFT_E_COMM);
        SAYS(&ctx, faults && strstr(faults, "remote") ? "sum of 5 words: remote process exited"
                                                      : "sum of 5 words: no answer");
    }
    close_device(dev);
    cudaFree(words);
}

static void breaks(int rank, int size) {
    void *words = NULL;
    wk_dev *dev = device();
    OK(&ctx, open_rank(dev, rank, size, 5));
    cudaMalloc(&words, 24);
    EXPECT(&ctx, nccl->sum(dev, words, 3), WEFT_E_COMM);
    SAYS(&ctx, "sum of 3 words: unhandled system error; a cable was pulled");
    close_device(dev);
    cudaFree(words);
}

static void is_refused(int rank, int size) {
    wk_dev *dev = device();
    EXPECT(&ctx, open_rank(dev, rank, size, 5), WEFT_E_COMM);
    SAYS(&ctx, "connecting the ranks: unhandled cuda error; no network at all"); /* in one line */
    close_device(dev);
}

static void is_too_old(int rank, int size) {
    wk_comm_offer offer = {0};
    wk_dev *dev = device();
    (void)rank, (void)size;
    EXPECT(&ctx, nccl->find(dev, &offer), WEFT_E_UNSUPPORTED);
    SAYS(&ctx, "is too old, 2.19 or newer is needed");
    SAYS(&ctx, strstr(getenv("FAKE_NCCL"), "2804") ? "NCCL 2.8 " : "NCCL 2.18 ");
    close_device(dev);
}

/* ---- running them ---- */

static void run(const char *name, int size, const char *faults, void (*body)(int rank, int size)) {
    pid_t pid[4];
    memset((void *)shared, 0, sizeof *shared);
    fflush(stdout);
    for (int r = 0; r < size; r++) {
        pid[r] = fork();
        if (pid[r] != 0) continue;
        char unit[12];
        (void)snprintf(unit, sizeof unit, "%d", r);
        setenv("FAKE_CUDA_UNIT", unit, 1);
        if (faults) setenv("FAKE_NCCL", faults, 1);
        alarm(60); /* a hang is a failure */
        gpu_failures = 0;
        body(r, size);
        fflush(stdout);
        _exit(gpu_failures ? 1 : 0);
    }
    for (int r = 0; r < size; r++) {
        int how = 0;
        if (waitpid(pid[r], &how, 0) == pid[r] && WIFEXITED(how) && WEXITSTATUS(how) == 0) continue;
        gpu_failures++;
        printf("FAIL %s: rank %d of %d ended with %#x\n", name, r, size, how);
    }
}

static void unloadable(void) {
    wk_comm_offer offer = {0};
    wk_dev *dev = device();
    EXPECT(&ctx, nccl->find(dev, &offer), WEFT_E_UNSUPPORTED);
    SAYS(&ctx, "no NCCL (");
    SAYS(&ctx, "libnccl.so.2");
    close_device(dev);
}

static void no_device(void) {
    wk_dev *dev = device();
    EXPECT(&ctx, open_rank(dev, 0, 1, 30), WEFT_E_COMM);
    printf("%s\n", ctx.err.text);
    SAYS(&ctx, "connecting the ranks: unhandled cuda error");
    CHECK(strchr(ctx.err.text, '\n') == NULL);
    close_device(dev);
}

int main(int argc, char **argv) {
    const char *which = argc > 1 ? argv[1] : "";
    wk_ctx_init(&ctx, NULL);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 1;
    if (strcmp(which, "unloadable") == 0) {
        unloadable();
        return gpu_end("an NCCL that cannot be loaded");
    }
    if (strcmp(which, "no-device") == 0) {
        no_device();
        return gpu_end("NCCL without a device");
    }
    for (int n = 1; n <= 4; n++) run("sums", n, NULL, sums);
    run("nobody comes", 2, NULL, nobody_comes);
    run("stays away", 2, NULL, stays_away);
    run("stays away, seen", 2, "remote", stays_away);
    run("stays away, abort hangs", 2, "stuck", stays_away);
    run("breaks", 2, "async", breaks);
    run("is refused", 1, "refuse", is_refused);
    run("is too old", 1, "version=21805", is_too_old);
    run("is far too old", 1, "version=2804", is_too_old);
    return gpu_end("NCCL");
}
