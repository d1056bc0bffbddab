/* wk_replay as CUDA graphs. The first time that a key is seen its body runs as it is, which makes
 * every plan and loads every kernel; the second time it is recorded and launched; later times it is
 * launched alone. */
#include "kernels/cuda/impl.h"

typedef struct recorded {
    cudaGraphExec_t exec; /* NULL: seen, not recorded */
    uint64_t kernels;
} recorded;

static void drop(void *ud, void *value) {
    wk_dev *dev = ud;
    recorded *r = value;
    if (r->exec) (void)cudaGraphExecDestroy(r->exec);
    wk_host_free(dev->ctx, r);
}

void cuda_replay_close(wk_dev *dev) {
    cuda_lru_close(&cuda_impl_of(dev)->graphs, dev->ctx, drop, dev);
}

/* The body's work as an executable graph. Whatever fails, the lane records no longer afterwards. */
static weft_status record(wk_dev *dev, recorded *r, wk_body body, void *ud) {
    cuda_impl *impl = cuda_impl_of(dev);
    const uint64_t before = dev->launches;
    cudaGraph_t graph = NULL;
    WEFT_TRY(cuda_try(dev, cudaStreamBeginCapture(impl->stream, cudaStreamCaptureModeThreadLocal),
                      "cudaStreamBeginCapture"));
    impl->capturing = true;
    weft_status st = body(ud);
    impl->capturing = false;
    r->kernels = dev->launches - before;
    dev->launches = before; /* nothing ran */
    const cudaError_t ended = cudaStreamEndCapture(impl->stream, &graph);
    if (st != WEFT_OK)
        (void)cudaGetLastError(); /* what the body reported comes first */
    else
        st = cuda_try(dev, ended, "cudaStreamEndCapture");
    if (st == WEFT_OK)
        st = cuda_try(dev, cudaGraphInstantiate(&r->exec, graph, 0), "cudaGraphInstantiate");
    if (st != WEFT_OK) r->exec = NULL;
    if (graph) (void)cudaGraphDestroy(graph);
    return st;
}

static weft_status launch(wk_dev *dev, const recorded *r) {
    cuda_impl *impl = cuda_impl_of(dev);
    dev->launches += r->kernels;
    impl->lane.in_graphs += r->kernels;
    impl->lane.graphs++;
    return cuda_try(dev, cudaGraphLaunch(r->exec, impl->stream), "cudaGraphLaunch");
}

static weft_status remember(wk_dev *dev, const void *key, size_t bytes) {
    cuda_impl *impl = cuda_impl_of(dev);
    void *memory = NULL, *evicted = NULL;
    WEFT_TRY(wk_host_alloc(dev->ctx, &memory, 1, sizeof(recorded), "a recorded graph"));
    weft_status st = cuda_lru_add(&impl->graphs, dev->ctx, key, bytes, memory, &evicted);
    if (st != WEFT_OK) wk_host_free(dev->ctx, memory);
    if (!evicted) return st;
    st = cuda_try(dev, cudaStreamSynchronize(impl->stream), "replay"); /* it may be running */
    drop(dev, evicted);
    return st;
}

weft_status cuda_replay(wk_dev *dev, const void *key, size_t bytes, wk_body body, void *ud) {
    cuda_impl *impl = cuda_impl_of(dev);
    WEFT_TRY(cuda_ready(dev));
    /* A replay inside a body is part of that body. With options.check every op is waited for. */
    if (impl->capturing || dev->options.check) return body(ud);
    recorded *r = cuda_lru_find(&impl->graphs, key, bytes);
    if (!r) {
        WEFT_TRY(body(ud));
        return remember(dev, key, bytes);
    }
    if (!r->exec) WEFT_TRY(record(dev, r, body, ud));
    return launch(dev, r);
}
