/* A stand-in for the CUDA runtime that runs on the host: what kernels/cuda calls, no more. Device
 * memory is the host's. Streams are lists of work that nobody runs until somebody waits; then the
 * next piece is taken from a random stream whose head may run. So a missing event, a staging slot
 * used again too early or a letter read too soon gives wrong numbers here, as it may on a GPU.
 * Graphs are lists too. No time, no concurrency, no kernels of its own (tests/simt runs those). */
#include "tests/cuda/fake/stream.h"

#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <vector>

struct CUevent_st {
    unsigned long long recorded = 0, done = 0, when = 0;
};

namespace {
struct Command {
    std::function<void()> run;   /* empty: see below */
    std::function<bool()> other; /* work of others: asked until it says that it is done */
    CUevent_st *record = nullptr, *wait = nullptr;
    unsigned long long version = 0;
};
} // namespace

struct CUgraph_st {
    std::vector<Command> commands;
};
struct CUgraphExec_st {
    std::vector<Command> commands;
};
struct CUstream_st {
    std::deque<Command> queue;
    CUgraph_st *capture = nullptr;
    bool broken = false; /* the capture met what it may not hold */
};

namespace {
std::set<CUstream_st *> streams;
std::map<const unsigned char *, size_t> allocations;
std::set<void *> pinned;
cudaError_t last = cudaSuccess;
unsigned long long clock_now = 0; /* pieces of work done */
unsigned long long dice = 88172645463325252ull;

cudaError_t result(cudaError_t e) {
    if (e != cudaSuccess) last = e;
    return e;
}

unsigned roll(unsigned n) { /* xorshift64, Marsaglia 2003 */
    dice ^= dice << 13, dice ^= dice >> 7, dice ^= dice << 17;
    return (unsigned)(dice % n);
}

bool may_run(const CUstream_st *s) {
    if (s->queue.empty()) return false;
    const Command &c = s->queue.front();
    if (c.other && !c.other()) return false;
    return !c.wait || c.wait->done >= c.version;
}

/* Runs one piece of work of some stream; false when none can. */
bool step() {
    std::vector<CUstream_st *> ready;
    for (CUstream_st *s : streams)
        if (may_run(s)) ready.push_back(s);
    if (ready.empty()) return false;
    CUstream_st *s = ready[roll((unsigned)ready.size())];
    Command c = s->queue.front();
    s->queue.pop_front();
    if (c.run) c.run();
    clock_now++;
    if (c.record) c.record->when = clock_now;
    if (c.record && c.record->done < c.version) c.record->done = c.version;
    return true;
}

bool others_work() {
    for (const CUstream_st *s : streams)
        if (!s->queue.empty() && s->queue.front().other) return true;
    return false;
}

template <class F> cudaError_t run_until(F done) {
    while (!done())
        if (!step()) {
            if (others_work()) continue;
            std::fprintf(stderr, "stand-in runtime: streams wait for each other for ever\n");
            std::abort();
        }
    return cudaSuccess;
}

/* Which of the machine's cards device 0 is: processes with different numbers have one each. */
int unit() {
    const char *number = std::getenv("FAKE_CUDA_UNIT");
    return number ? std::atoi(number) : 0;
}

void put(CUstream_st *s, Command c) {
    if (s->capture)
        s->capture->commands.push_back(std::move(c));
    else
        s->queue.push_back(std::move(c));
}
} // namespace

void fake::enqueue(void *stream, std::function<void()> work) {
    Command c;
    c.run = std::move(work);
    put((CUstream_st *)stream, std::move(c));
}

void fake_cuda_other(void *stream, bool (*is_done)(void *), void *ud) {
    Command c;
    c.other = [=] { return is_done(ud); };
    put((CUstream_st *)stream, std::move(c));
}

bool fake::on_device(const void *p, size_t bytes) {
    const unsigned char *at = (const unsigned char *)p;
    auto i = allocations.upper_bound(at);
    if (i == allocations.begin()) return false;
    --i;
    return at + bytes <= i->first + i->second;
}

/* ---- errors and devices ---- */

extern "C" {
cudaError_t cudaGetLastError(void) {
    const cudaError_t e = last;
    last = cudaSuccess;
    return e;
}
const char *cudaGetErrorName(cudaError_t e) {
    switch ((int)e) {
    case cudaErrorInvalidDevice:
        return "cudaErrorInvalidDevice";
    case cudaErrorInvalidValue:
        return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
        return "cudaErrorMemoryAllocation";
    }
    return "cudaErrorOfTheStandIn";
}
const char *cudaGetErrorString(cudaError_t e) {
    return e ? "an error of the stand-in runtime" : "no error";
}
cudaError_t cudaGetDeviceCount(int *count) {
    *count = 1;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    return result(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device) {
    std::memset(p, 0, sizeof *p);
    std::snprintf(p->name, sizeof p->name, "stand-in for a GPU");
    p->major = 8, p->multiProcessorCount = 4, p->totalGlobalMem = (size_t)1 << 34;
    p->sharedMemPerBlockOptin = 99 << 10; /* the least that we run on: sm_86, sm_89 */
    std::snprintf(p->uuid.bytes, sizeof p->uuid.bytes, "%d", unit());
    return result(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}
cudaError_t cudaDeviceGetPCIBusId(char *id, int bytes, int device) {
    std::snprintf(id, (size_t)bytes, "0000:%02X:00.0", (unsigned)unit() & 255);
    return result(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}
cudaError_t cudaDriverGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

/* ---- memory ---- */

cudaError_t cudaMalloc(void **p, size_t bytes) {
    if (bytes > (size_t)1 << 34 || posix_memalign(p, 256, bytes))
        return result(cudaErrorMemoryAllocation);
    std::memset(*p, 0xa5, bytes);
    allocations[(const unsigned char *)*p] = bytes;
    return cudaSuccess;
}
cudaError_t cudaFree(void *p) {
    if (p && !allocations.erase((const unsigned char *)p)) return result(cudaErrorInvalidValue);
    while (step()) {
    } /* as the real one, it waits for all that may still use the memory */
    std::free(p);
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t *left, size_t *all) {
    *left = *all = (size_t)1 << 34;
    return cudaSuccess;
}
cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned) {
    if (posix_memalign(p, 4096, bytes)) return result(cudaErrorMemoryAllocation);
    pinned.insert(*p);
    return cudaSuccess;
}
cudaError_t cudaFreeHost(void *p) {
    if (!pinned.erase(p)) return result(cudaErrorInvalidValue);
    std::free(p);
    return cudaSuccess;
}
cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned) {
    *device = host;
    return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
    if (kind != cudaMemcpyDeviceToHost && !fake::on_device(dst, bytes))
        return result(cudaErrorInvalidValue);
    if (kind != cudaMemcpyHostToDevice && !fake::on_device(src, bytes))
        return result(cudaErrorInvalidValue);
    fake::enqueue(stream, [=] { std::memcpy(dst, src, bytes); });
    return cudaSuccess;
}

/* ---- streams and events ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned) {
    streams.insert(*s = new CUstream_st);
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t s) {
    streams.erase(s);
    delete s;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t s) {
    if (s->capture) {
        s->broken = true;
        return result(cudaErrorStreamCaptureUnsupported);
    }
    return run_until([=] { return s->queue.empty(); });
}
/* Lets a little happen; CUDA remembers "not ready" as the last error, so this does too. */
cudaError_t cudaStreamQuery(cudaStream_t s) {
    for (unsigned n = roll(4); n; n--) (void)step();
    return s->queue.empty() ? cudaSuccess : result(cudaErrorNotReady);
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned) {
    *e = new CUevent_st;
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *e) {
    return cudaEventCreateWithFlags(e, 0);
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to) {
    if (from->done < from->recorded || to->done < to->recorded) return result(cudaErrorNotReady);
    *ms = 1000.0f * (float)(to->when - from->when); /* a second for every piece of work */
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t e) {
    delete e;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
    Command c;
    c.record = e, c.version = ++e->recorded;
    put(s, c);
    return cudaSuccess;
}
/* As cudaStreamQuery. */
cudaError_t cudaEventQuery(cudaEvent_t e) {
    for (unsigned n = roll(4); n; n--) (void)step();
    return e->done >= e->recorded ? cudaSuccess : result(cudaErrorNotReady);
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) {
    return run_until([=] { return e->done >= e->recorded; });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
    Command c;
    c.wait = e, c.version = e->recorded;
    put(s, c);
    return cudaSuccess;
}

/* ---- graphs ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode) {
    if (s->capture) return result(cudaErrorIllegalState);
    s->capture = new CUgraph_st, s->broken = false;
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *graph) {
    *graph = nullptr;
    if (!s->capture) return result(cudaErrorIllegalState);
    CUgraph_st *captured = s->capture;
    s->capture = nullptr;
    if (s->broken) {
        delete captured;
        return result(cudaErrorStreamCaptureInvalidated);
    }
    *graph = captured;
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long) {
    *exec = new CUgraphExec_st{graph->commands};
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s) {
    for (const Command &c : exec->commands) put(s, c);
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    delete exec;
    return cudaSuccess;
}
}
